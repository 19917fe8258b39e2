#include "queue/servants.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/descriptors.h"

/* After so many orders it is dismissed, so that none grows old. */
#define ORDERS_MAX 500

#define DONE_ACCEPTED 'A'
#define DONE_NOT 'N'

static void
dismiss(struct servants *servants, struct servant *servant)
{
	close(servant->line);
	servant->line = -1;
	servants->resting--;
}

static int
send_order(struct servants *servants, struct servant *servant,
	const struct order *order, int connection, int file, int runner)
{
	const int descriptor[] = {connection, file, runner};

	if (descriptors_send(servant->line, order, sizeof *order, descriptor,
		    runner < 0 ? 2 : 3) < 0)
		return -1;
	memcpy(servant->id, order->id, sizeof servant->id);
	servant->orders++;
	servants->resting--;
	servants->busy++;
	return 0;
}

bool
servants_give(struct servants *servants, const struct order *order,
	int connection, int file, int runner)
{
	for (unsigned i = 0; i < servants->count; i++) {
		struct servant *servant = &servants->servant[i];

		if (servant->line < 0 || servant->id[0] != 0 ||
			servant->uid != order->uid)
			continue;
		if (send_order(servants, servant, order, connection, file,
			    runner) == 0)
			return true;
		dismiss(servants, servant);
	}
	return false;
}

int
servants_add(struct servants *servants, const struct order *order,
	int connection, int file, int runner, int *line)
{
	int ends[2];

	if (servants->count == SERVANTS_MAX) {
		errno = EAGAIN;
		return -1;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		/* with a copy of another's line that would never be closed */
		for (unsigned i = 0; i < servants->count; i++)
			if (servants->servant[i].line >= 0)
				close(servants->servant[i].line);
		close(ends[0]);
		close(connection);
		close(file);
		*line = ends[1];
		return 1;
	}
	int saved = errno;
	close(ends[1]);
	if (pid < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) {
		close(ends[0]);
		errno = saved;
		return -1;
	}
	struct servant *servant = &servants->servant[servants->count++];
	*servant = (struct servant){
		.pid = pid, .line = ends[0], .uid = order->uid};
	servants->resting++;
	if (send_order(servants, servant, order, connection, file, runner) == 0)
		return 0;
	saved = errno;
	dismiss(servants, servant);
	errno = saved;
	return -1;
}

void
servant_run(int line,
	int (*serve)(void *context, const struct order *order,
		const int descriptor[3]),
	void *context)
{
	struct order order;

	for (;;) {
		int descriptor[3] = {-1, -1, -1};
		unsigned count;
		ssize_t got = descriptors_receive(
			line, &order, sizeof order, descriptor, 3, &count);

		if (got != (ssize_t)sizeof order || count < 2)
			return;
		char done = serve(context, &order, descriptor) == 0
				    ? DONE_ACCEPTED
				    : DONE_NOT;
		for (unsigned i = 0; i < count; i++)
			close(descriptor[i]);
		if (send(line, &done, 1, MSG_NOSIGNAL) != 1)
			return;
	}
}

int
servants_hear(struct servants *servants, struct servant *servant,
	char id[IDENT_LENGTH + 1])
{
	char done;

	if (servant->line < 0 || servant->id[0] == 0 ||
		recv(servant->line, &done, 1, MSG_DONTWAIT) != 1)
		return -1;
	memcpy(id, servant->id, sizeof servant->id);
	servant->id[0] = 0;
	servants->busy--;
	servants->resting++;
	if (servant->orders >= ORDERS_MAX ||
		servants->resting > SERVANTS_RESTING_MAX)
		dismiss(servants, servant);
	return done == DONE_ACCEPTED;
}

struct servant *
servants_find(struct servants *servants, pid_t pid)
{
	for (unsigned i = 0; i < servants->count; i++)
		if (servants->servant[i].pid == pid)
			return &servants->servant[i];
	return NULL;
}

void
servants_remove(struct servants *servants, struct servant *servant)
{
	if (servant->line >= 0) {
		close(servant->line);
		if (servant->id[0] != 0)
			servants->busy--;
		else
			servants->resting--;
	}
	*servant = servants->servant[--servants->count];
}

void
servants_dismiss(struct servants *servants)
{
	for (unsigned i = 0; i < servants->count; i++)
		if (servants->servant[i].line >= 0 &&
			servants->servant[i].id[0] == 0)
			dismiss(servants, &servants->servant[i]);
}
