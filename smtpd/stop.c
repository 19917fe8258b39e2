#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include "lib/deadline.h"
#include "smtpd/session.h"
#include "smtpd/stop.h"

int
stop_start(struct session *session)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -1;
	session->stop_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return session->stop_fd < 0 ? -1 : 0;
}

static enum stop_result
wait_events(const struct session *session, short events, int64_t deadline_ms)
{
	struct pollfd wait[2] = {
		{session->stop_fd, POLLIN, 0}, {session->input.fd, events, 0}};
	int ready;

	do
		ready = poll(wait, 2, deadline_left_ms(deadline_ms));
	while (ready < 0 && errno == EINTR);
	if (wait[0].revents != 0)
		return STOP_ASKED;
	/* An error of poll() is found by whoever reads. */
	return ready == 0 ? STOP_TIMEOUT : STOP_INPUT;
}

enum stop_result
stop_wait_input(const struct session *session, int64_t deadline_ms)
{
	return wait_events(session, POLLIN, deadline_ms);
}

bool
stop_wait_line(struct session *session, int64_t deadline_ms)
{
	if (session_has_line(session))
		return wait_events(session, 0, deadline_now_ms()) == STOP_ASKED;
	do {
		enum stop_result result = stop_wait_input(session, deadline_ms);
		enum line_result taken;

		if (result == STOP_ASKED)
			return true;
		if (result == STOP_TIMEOUT)
			return false;
		taken = line_take(&session->input);
		/* the rest is found again by whoever reads the line */
		if (taken != LINE_OK && taken != LINE_TIMEOUT)
			return false;
	} while (!session_has_line(session));
	return false;
}

void
stop_wait_gone(const struct session *session, int64_t deadline_ms)
{
	(void)wait_events(session, POLLRDHUP, deadline_ms);
}

struct reply
stop_reply(void)
{
	struct reply reply = reply_make(
		421, "4.3.2", "the server is going down, try again later");

	reply.close_after = 1;
	return reply;
}
