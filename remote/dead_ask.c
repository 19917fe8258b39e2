#include "remote/dead_ask.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/log.h"
#include "lib/service.h"

#define BACKLOG 16

int
dead_ask_listen(
	struct dead_ask *ask, const struct home *home, char *why, size_t size)
{
	char path[HOME_NAME_MAX];
	gid_t readers = (gid_t)-1;

	if (!home->is_private &&
		home_group_id(home, "keep-read", &readers) < 0) {
		snprintf(why, size,
			"control/ids does not name group keep-read: run "
			"make-users");
		return -1;
	}
	home_path(home, DEAD_ASK_SOCKET, path);
	ask->listener =
		service_listen(path, SOCK_SEQPACKET, 0660, readers, BACKLOG);
	if (ask->listener < 0) {
		snprintf(why, size, "cannot listen on %s: %s", path,
			strerror(errno));
		return -1;
	}
	return 0;
}

int
dead_ask_fd(const struct dead_ask *ask, int64_t *again_ms)
{
	if (ask->asker < 0)
		return ask->listener;
	if (ask->until_ms < *again_ms)
		*again_ms = ask->until_ms;
	return ask->asker;
}

static void
end_asker(struct dead_ask *ask)
{
	if (ask->asker >= 0)
		close(ask->asker);
	ask->asker = -1;
}

/* Members of the group, but for roles: some are, and none is an administrator. */
static bool
may_ask(const struct home *home, int fd)
{
	struct peer peer;

	return peer_identity(fd, &peer) == 0 &&
	       !home_is_role_uid(home, peer.uid);
}

static void
take_asker(struct dead_ask *ask, const struct home *home)
{
	int fd = accept4(
		ask->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (!may_ask(home, fd)) {
		close(fd);
		return;
	}
	ask->asker = fd;
	ask->until_ms = deadline_after_ms(DEAD_ASK_MS);
}

/* True if something was forgotten. */
static bool
answer(struct dead_ask *ask, struct dead_table *table,
	const struct dead_question *question)
{
	struct dead_answer *all = malloc(sizeof *all);

	if (all == NULL)
		return false;
	size_t len = dead_answer(
		table, question, deadline_now_ms(), time(NULL), all);
	(void)send(ask->asker, all, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	bool is_clear = question->operation == DEAD_CLEAR && all->count > 0;
	if (is_clear)
		log_line("%u dead addresses are forgotten: asked for",
			(unsigned)all->count);
	free(all);
	return is_clear;
}

bool
dead_ask_serve(
	struct dead_ask *ask, const struct home *home, struct dead_table *table)
{
	struct dead_question question;
	unsigned char octets[sizeof question];

	if (ask->asker < 0)
		take_asker(ask, home);
	if (ask->asker < 0)
		return false;
	ssize_t got = recv(
		ask->asker, octets, sizeof octets, MSG_DONTWAIT | MSG_TRUNC);
	if (got < 0 && (errno == EAGAIN || errno == EINTR) &&
		deadline_left_ms(ask->until_ms) > 0)
		return false;
	bool is_clear =
		got > 0 &&
		dead_question_read(octets, (size_t)got, &question) == 0 &&
		answer(ask, table, &question);
	end_asker(ask);
	return is_clear;
}

void
dead_ask_end(struct dead_ask *ask)
{
	end_asker(ask);
	if (ask->listener >= 0)
		close(ask->listener);
	ask->listener = -1;
}
