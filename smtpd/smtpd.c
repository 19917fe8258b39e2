/*
 * smtpd takes mail from other hosts: one process for one connection, which
 * tcpserver has accepted and put on descriptors 0 and 1.
 *
 * Runs as _keep-smtpd:keep-suite, which tcpserver has made it already; it sees
 * no file once its settings are read.
 * Is handed the connection, and the client's address and name by tcpserver's
 * variables TCPREMOTEIP and TCPREMOTEHOST; RELAYCLIENT and DATABYTES by its
 * rules.
 * Promises 250 after the content only when queue-inject has made the message
 * durable; for everything that is not so, a reply of 4xx or 5xx or none.
 * Never touches the queue or a mailbox, looks into a user database, sees a key, or
 * connects to anything but the sockets submit, filter, resolve, lookup, count, auth
 * and tls.
 */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "lib/role.h"
#include "smtpd/peer.h"
#include "smtpd/configure.h"
#include "smtpd/stop.h"
#include "smtpd/tls.h"
#include "smtpd/verbs.h"

static const struct role ROLE = {
	.program = "smtpd",
	.user = "_keep-smtpd",
	.group = "keep-suite",
	.is_given = true,
	.calls = CALLS_CONNECT,
	.memory_octets = 128 * 1024 * 1024,
	.descriptors = 16,
};

static struct session *
session_new(void)
{
	struct session *session = calloc(1, sizeof *session);

	if (session == NULL)
		return NULL;
	session->state = SESSION_CONNECTED;
	session->resolve_fd = session->stop_fd = session->tls.fd = -1;
	COUNTER_CLOSED(&session->limits.counter);
	SUBMISSION_CLOSED(&session->transaction.submission);
	/* Until the settings are read. */
	session->settings.timeout_s = 10;
	peer_start(session);
	line_start(&session->input, STDIN_FILENO);
	output_start(&session->output, STDOUT_FILENO);
	return session;
}

/*
 * Drops what the client has sent already: closing a socket with unread octets
 * would take our last reply away from it.
 */
static void
drain(struct session *session)
{
	for (int i = 0; i < 16; i++) {
		line_discard(&session->input);
		if (line_fill(&session->input, deadline_now_ms()) != LINE_OK)
			return;
	}
}

static void
session_free(struct session *session)
{
	session_end_transaction(session);
	drain(session);
	tls_server_close(&session->tls);
	if (session->resolve_fd >= 0)
		close(session->resolve_fd);
	if (session->stop_fd >= 0)
		close(session->stop_fd);
	configure_free(session);
	free(session);
}

static int
refuse_service(struct session *session, const char *why)
{
	struct reply reply = reply_make(421, "4.3.0",
		"this server's configuration needs care, try again later");

	log_line("%s", why);
	reply.close_after = 1;
	/* Who waits for a handshake understands no words. */
	if (!session->tls.is_first)
		session_reply(session, &reply);
	session_free(session);
	return STATUS_TEMPORARY;
}

static struct reply
closing(const char *enhanced, const char *text)
{
	struct reply reply = reply_make(421, enhanced, "%s", text);

	reply.close_after = 1;
	return reply;
}

/* The reply to the next line; is_lost if the client has gone. */
static struct reply
next_reply(struct session *session)
{
	const char *line;
	size_t len;

	int64_t deadline_ms = session_deadline_ms(session);
	if (stop_wait_line(session, deadline_ms))
		return stop_reply();
	switch (line_read(&session->input, limits_line_max(session),
		deadline_ms, &line, &len)) {
	case LINE_OK:
		transcript_line(session, line, len, verbs_are(line, len));
		return verbs_run(session, line, len);
	case LINE_TOO_LONG:
		return verbs_refuse(session, "line too long");
	case LINE_BARE:
		transcript_line(session, line, len, verbs_are(line, len));
		return verbs_refuse_bare(session, line, len);
	case LINE_TIMEOUT:
		return closing("4.4.2", "timeout");
	case LINE_ERROR:
		if (errno == EMSGSIZE)
			return closing("4.7.0", "line too long");
		/* fallthrough */
	default:
		session->is_lost = true;
		return closing("4.4.2", "connection lost");
	}
}

static void
converse(struct session *session)
{
	struct reply reply = peer_begin(session);

	transcript_client(session);
	if (reply.code == 220)
		reply = limits_client(session, reply);
	if (session->tls.is_first &&
		(reply.code != 220 || tls_start_first(session) < 0))
		return;
	if (reply.code == 220)
		reply = limits_greet(session, reply);
	while (!session->is_lost &&
		(reply.code == 0 || session_reply(session, &reply) == 0) &&
		!reply.close_after)
		reply = next_reply(session);
}

int
main(void)
{
	struct session *session;
	char why[600];

	log_start("smtpd");
	signal(SIGPIPE, SIG_IGN);
	session = session_new();
	if (session == NULL) {
		log_line("out of memory");
		return STATUS_TEMPORARY;
	}
	if (stop_start(session) < 0)
		log_line("signalfd: %s", strerror(errno));
	if (home_open(&session->home, why, sizeof why) < 0 ||
		tls_server_find(
			&session->tls, &session->home, why, sizeof why) < 0 ||
		configure(session, false, why, sizeof why) < 0 ||
		role_take(&ROLE, &session->home, why, sizeof why) < 0)
		return refuse_service(session, why);
	/* From here on input is touched. */
	if (*why != 0)
		log_line("%s", why);
	converse(session);
	session_free(session);
	return STATUS_DONE;
}
