#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "lib/role.h"
#include "tls/keyring.h"
#include "tls/signer.h"
#include "tls/signer_sign.h"

/* How often the folder is looked at. */
#define LOOK_MS 2000
/* How long sessions are served whose parent has ended. */
#define LAST_MS (60 * 1000)

static const struct role role = {
	.program = "tlsd's signer",
	.user = "_keep-tls",
	.group = "_keep-tls",
	.path = {{"tls", ROLE_READ}},
	.calls = CALLS_READ,
	.memory_octets = 256 * 1024 * 1024,
	.descriptors = 8192,
};

struct client {
	int fd;
	unsigned left; /* signatures that it may still have */
};

struct signer {
	struct keyring keyring;
	int control; /* -1: the parent has ended */
	struct client *client;
	struct pollfd *wait; /* control, then the clients */
	unsigned clients, clients_max;
	bool is_told; /* the parent knows what there is */
	int64_t look_deadline_ms, last_deadline_ms;
};

/* --- what there is, to the parent --- */

/* A memory file with the octets, to be read from its start. -1: none. */
static int
memory_file(const unsigned char *octets, size_t length)
{
	int fd = memfd_create("tls", MFD_CLOEXEC);
	size_t done = 0;

	while (fd >= 0 && done < length) {
		ssize_t put =
			pwrite(fd, octets + done, length - done, (off_t)done);

		if (put > 0) {
			done += (size_t)put;
		} else if (put == 0 || errno != EINTR) {
			close(fd);
			return -1;
		}
	}
	return fd;
}

static int
tell_entry(const struct signer *signer, enum keep_kind kind,
	const struct keyring_entry *entry)
{
	struct keep_record record = {
		.magic = SIGN_MAGIC,
		.kind = kind,
		.count = (uint32_t)entry->chain,
		.staple = (uint32_t)entry->staple,
	};

	memcpy(record.key, entry->key, sizeof record.key);
	memcpy(record.name, entry->name, sizeof record.name);
	int fd = memory_file(entry->octets, entry->chain + entry->staple);
	if (fd < 0)
		return -1;
	int result = descriptors_send(
		signer->control, &record, sizeof record, &fd, 1);
	close(fd);
	return result;
}

static int
tell(const struct signer *signer)
{
	const struct keyring *keyring = &signer->keyring;
	struct keep_record record = {
		.magic = SIGN_MAGIC,
		.kind = KEEP_BEGIN,
		.count = (uint32_t)keyring_count(keyring),
	};

	if (descriptors_send(signer->control, &record, sizeof record, NULL, 0) <
		0)
		return -1;
	for (size_t i = 0; i < keyring->entries; i++)
		if (keyring->entry[i]->octets != NULL &&
			tell_entry(signer, KEEP_CERTIFICATE,
				keyring->entry[i]) < 0)
			return -1;
	if (keyring->clients.octets != NULL &&
		tell_entry(signer, KEEP_CLIENTS, &keyring->clients) < 0)
		return -1;
	record.kind = KEEP_END;
	return descriptors_send(
		signer->control, &record, sizeof record, NULL, 0);
}

static void
look(struct signer *signer, bool at_once)
{
	signer->look_deadline_ms = deadline_after_ms(LOOK_MS);
	if (keyring_look(&signer->keyring, at_once))
		signer->is_told = false;
	if (signer->is_told)
		return;
	signer->is_told = tell(signer) == 0;
	if (!signer->is_told)
		log_line("cannot tell which certificates there are: %s",
			strerror(errno));
}

/* --- the parent --- */

static void
end_parent(struct signer *signer)
{
	close(signer->control);
	signer->control = -1;
	signer->last_deadline_ms = deadline_after_ms(LAST_MS);
}

static void
hear_parent(struct signer *signer)
{
	struct keep_record record;
	unsigned descriptors = 0;
	int fd = -1;
	ssize_t got = descriptors_receive(
		signer->control, &record, sizeof record, &fd, 1, &descriptors);

	if (got < 0 && (errno == EAGAIN || errno == EMSGSIZE))
		return;
	if (got <= 0) {
		end_parent(signer);
		return;
	}
	bool is_whole =
		got == (ssize_t)sizeof record && record.magic == SIGN_MAGIC;
	if (is_whole && record.kind == KEEP_SESSION && descriptors == 1 &&
		signer->clients < signer->clients_max) {
		signer->client[signer->clients++] =
			(struct client){fd, SIGN_SESSION_MAX};
		return;
	}
	if (descriptors > 0)
		close(fd);
	if (is_whole && record.kind == KEEP_LOOK)
		look(signer, true);
}

/* --- sessions --- */

/* False when the session has ended or has had all that it may have. */
static bool
hear_client(struct signer *signer, struct client *client)
{
	struct sign_request request;
	struct sign_answer answer = {.magic = SIGN_MAGIC};
	ssize_t got = recv(
		client->fd, &request, sizeof request, MSG_DONTWAIT | MSG_TRUNC);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (got != (ssize_t)sizeof request || request.magic != SIGN_MAGIC ||
		request.length > SIGN_OCTETS_MAX)
		return false;
	EVP_PKEY *key = keyring_find(&signer->keyring, request.key);
	if (key != NULL)
		answer.length =
			(uint32_t)signer_sign(key, &request, answer.octets);
	ERR_clear_error();
	if (send(client->fd, &answer, sizeof answer,
		    MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return false;
	return --client->left > 0;
}

static void
hear_clients(struct signer *signer)
{
	/* from the last, so that whoever takes an ended one's place was heard */
	for (unsigned i = signer->clients; i-- > 0;) {
		struct client *client = &signer->client[i];

		if (signer->wait[1 + i].revents == 0 ||
			hear_client(signer, client))
			continue;
		close(client->fd);
		*client = signer->client[--signer->clients];
	}
}

static int
time_left(const struct signer *signer)
{
	return deadline_left_ms(signer->control < 0 ? signer->last_deadline_ms
						    : signer->look_deadline_ms);
}

static int
serve(struct signer *signer)
{
	while (signer->control >= 0 ||
		(signer->clients > 0 && time_left(signer) > 0)) {
		signer->wait[0] = (struct pollfd){signer->control, POLLIN, 0};
		for (unsigned i = 0; i < signer->clients; i++)
			signer->wait[1 + i] = (struct pollfd){
				signer->client[i].fd, POLLIN, 0};
		int ready = poll(
			signer->wait, 1 + signer->clients, time_left(signer));
		if (ready < 0 && errno != EINTR) {
			log_line("signer: poll: %s", strerror(errno));
			return STATUS_TEMPORARY;
		}
		if (ready > 0) {
			hear_clients(signer);
			if (signer->wait[0].revents != 0)
				hear_parent(signer);
		}
		if (signer->control >= 0 && time_left(signer) == 0)
			look(signer, false);
	}
	return STATUS_DONE;
}

int
signer_run(const struct home *home, int control, unsigned sessions)
{
	struct signer *signer = calloc(1, sizeof *signer);
	char path[HOME_NAME_MAX], why[300];

	if (signer == NULL)
		return STATUS_TEMPORARY;
	signer->control = control;
	signer->clients_max = sessions;
	signer->client = calloc(sessions, sizeof signer->client[0]);
	signer->wait = calloc(1 + sessions, sizeof signer->wait[0]);
	signer->keyring.folder = open(
		home_path(home, "tls", path), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (signer->client == NULL || signer->wait == NULL ||
		signer->keyring.folder < 0) {
		log_line("%s: %s: run make-home", path, strerror(errno));
		return STATUS_TEMPORARY;
	}
	if (role_take(&role, home, why, sizeof why) < 0) {
		log_line("%s", why);
		return STATUS_TEMPORARY;
	}
	look(signer, true);
	return serve(signer);
}
