#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/durable.h"
#include "lib/fields.h"
#include "lib/home.h"
#include "local/command.h"
#include "local/environment.h"
#include "local/forward.h"
#include "tools/queue_program.h"

#define DELIVERED_TO "Delivered-To: "

const char *
command_variable(const char *name)
{
	const char *value = getenv(name);

	if (value == NULL)
		fprintf(stderr, "$%s is not set\n", name);
	return value;
}

/* --- the message --- */

/* Puts a file with what is left of descriptor 0 in its place. */
static int
copy_input(void)
{
	char buffer[65536];
	ssize_t got;
	int file = queue_program_file();

	if (file < 0)
		return -1;
	while ((got = read(0, buffer, sizeof buffer)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 || durable_write_all(file, buffer, (size_t)got) < 0)
			goto fail;
	}
	if (lseek(file, 0, SEEK_SET) < 0 || dup2(file, 0) < 0)
		goto fail;
	close(file);
	return 0;

fail:
	close(file);
	return -1;
}

int
command_message(uint64_t *offset, uint64_t *octets)
{
	struct stat st;

	if (fstat(0, &st) < 0 || (!S_ISREG(st.st_mode) && copy_input() < 0) ||
		fstat(0, &st) < 0)
		goto fail;
	off_t at = lseek(0, 0, SEEK_CUR);
	if (at < 0)
		goto fail;
	*offset = (uint64_t)at;
	*octets = at < st.st_size ? (uint64_t)(st.st_size - at) : 0;
	return 0;

fail:
	fprintf(stderr, "cannot read the message: %s\n", strerror(errno));
	return -1;
}

char *
command_header(size_t *length)
{
	uint64_t offset, octets;
	char *block = malloc(FIELDS_BLOCK_MAX + 1);

	*length = 0;
	if (block == NULL || command_message(&offset, &octets) < 0) {
		free(block);
		return NULL;
	}
	while (*length < FIELDS_BLOCK_MAX) {
		ssize_t got = pread(0, block + *length,
			FIELDS_BLOCK_MAX - *length, (off_t)*length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			fprintf(stderr, "cannot read the message: %s\n",
				strerror(errno));
			free(block);
			return NULL;
		}
		if (got == 0)
			break;
		*length += (size_t)got;
	}
	block[*length] = 0;
	return block;
}

/* --- sending --- */

/* The address in $DTLINE, owned; or NULL after a complaint. */
static char *
delivered_to(void)
{
	const char *line = command_variable("DTLINE");
	size_t prefix = strlen(DELIVERED_TO);
	struct path path;

	if (line == NULL)
		return NULL;
	size_t length = strcspn(line, "\n");
	if (strncmp(line, DELIVERED_TO, prefix) == 0 &&
		address_mailbox_scan(line + prefix, length - prefix,
			ADDRESS_UTF8, &path) == 0)
		return strndup(line + prefix, length - prefix);
	fprintf(stderr, "$DTLINE is no Delivered-To field\n");
	return NULL;
}

static int
add_all(struct forward *forward, char *const *address)
{
	char why[500];

	for (; *address != NULL; address++)
		if (forward_add(forward, *address, why, sizeof why) < 0) {
			/* without the status, which is not the caller's */
			fprintf(stderr, "%s\n", why + strcspn(why, " ") + 1);
			forward_free(forward);
			return -1;
		}
	return 0;
}

static int
send_from(const struct home *home, const char *word, struct forward *forward)
{
	char path[HOME_NAME_MAX], text[OUTCOME_TEXT_MAX + 1];

	forward->socket_path = home_path(home, "socket/submit", path);
	/* the delivery to this command is reported as one, where that is asked
	 * for: so as if a copy were kept */
	enum outcome outcome = forward_submit(forward, true, text);
	const char *last = strrchr(text, ' ');
	if (outcome != OUTCOME_FAILED && outcome != OUTCOME_DEFERRED &&
		last != NULL) {
		printf("%s: qp %s\n", word, last + 1);
		return 0;
	}
	fprintf(stderr, "%s: %s\n", word, text + strcspn(text, " ") + 1);
	return outcome == OUTCOME_FAILED ? STATUS_MISUSE : STATUS_TEMPORARY;
}

/* What the sender asked of reports, and of the way. */
static void
add_wishes(struct forward *forward)
{
	const char *envid = getenv("DSN_ENVID"), *orcpt = getenv("DSN_ORCPT");
	const char *notify = getenv("DSN_NOTIFY"), *ret = getenv("DSN_RET");

	if (envid != NULL && strlen(envid) <= ENVELOPE_ENVID_MAX)
		forward->envid = envid;
	if (orcpt != NULL && strlen(orcpt) <= ENVELOPE_ORCPT_MAX)
		forward->orcpt = orcpt;
	if (notify != NULL)
		forward->notify = environment_read_notify(notify);
	if (ret != NULL && strcmp(ret, "FULL") == 0)
		forward->ret = RET_FULL;
	else if (ret != NULL && strcmp(ret, "HDRS") == 0)
		forward->ret = RET_HDRS;
	forward->requiretls = getenv("REQUIRETLS") != NULL;
}

int
command_send(const char *word, const char *reverse_path, char *const *address,
	int fd, uint64_t offset, uint64_t octets, int is_forward)
{
	struct newsender sender = {.is_list = false};
	struct domains ours = DOMAINS_ZERO;
	struct home home;
	char why[300], *from = NULL;
	const char *host = command_variable("HOST");

	if (!envelope_reverse_path_is_sound(
		    reverse_path, strlen(reverse_path))) {
		fprintf(stderr, "the sender is no address\n");
		return STATUS_MISUSE;
	}
	if (host == NULL || (is_forward && (from = delivered_to()) == NULL))
		return STATUS_MISUSE;
	if (home_open(&home, why, sizeof why) < 0) {
		fprintf(stderr, "%s\n", why);
		free(from);
		return STATUS_TEMPORARY;
	}
	snprintf(sender.near, sizeof sender.near, "%s", reverse_path);
	memcpy(sender.far, sender.near, sizeof sender.far);
	struct forward forward = {.address = from,
		.host = host,
		.ours = &ours,
		.sender = &sender,
		.envid = "",
		.orcpt = "",
		.content = fd,
		.offset = offset,
		.octets = octets};
	int status = STATUS_MISUSE;
	if (is_forward)
		add_wishes(&forward);
	if (add_all(&forward, address) == 0)
		status = send_from(&home, word, &forward);
	free(from);
	return status;
}

/* --- programs --- */

int
command_run(char *const *argument)
{
	int status;

	if (lseek(0, 0, SEEK_SET) < 0)
		fprintf(stderr, "descriptor 0 is no file\n");
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		execvp(argument[0], argument);
		fprintf(stderr, "cannot run %s: %s\n", argument[0],
			strerror(errno));
		_exit(STATUS_TEMPORARY);
	}
	if (pid < 0) {
		fprintf(stderr, "cannot fork: %s\n", strerror(errno));
		return STATUS_TEMPORARY;
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return STATUS_TEMPORARY;
	(void)lseek(0, 0, SEEK_SET);
	return WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_TEMPORARY;
}
