#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/log.h"
#include "lib/role.h"
#include "tls/facts.h"
#include "tls/pump.h"
#include "tls/session.h"

/* How long an asker may take to close that was told no. */
#define CLOSE_MS 2000

enum { INPUT, OUTPUT, CLEAR, DESCRIPTORS };

/* --- the asker --- */

/* Waits until something has come. 0, or -1. */
static int
await(int fd, int64_t deadline_ms)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	int ready;

	do
		ready = poll(&wait, 1, deadline_left_ms(deadline_ms));
	while (ready < 0 && errno == EINTR);
	return ready > 0 ? 0 : -1;
}

/* Best effort: who does not wait for it loses it. */
static void
tell(const struct session *session, const struct tls_facts *facts)
{
	(void)send(session->connection, facts, sizeof *facts,
		MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Says no. The asker closes first, so that it finds what was said. */
static void
refuse(const struct session *session, const char *why)
{
	struct tls_facts facts;

	facts_start(&facts, TLS_REFUSED);
	snprintf(facts.text, sizeof facts.text, "%s", why);
	tell(session, &facts);
	(void)await(session->connection, deadline_after_ms(CLOSE_MS));
}

static bool
may_ask_for(const struct session *session, uint32_t service)
{
	const char *user = service == TLS_POP3 ? "_keep-pop3d" : "_keep-smtpd";

	return session->asker.uid == 0 ||
	       home_is_user(session->home, user, session->asker.uid);
}

/* Takes the request. 0; -1: there is none that can be served. */
static int
take_request(const struct session *session, struct tls_request *request)
{
	if (await(session->connection, deadline_after_ms(SESSION_REQUEST_MS)) <
		0)
		return -1;
	ssize_t got = recv(session->connection, request, sizeof *request,
		MSG_DONTWAIT | MSG_TRUNC);
	if (got == 0)
		return -1;
	if (got < 0 || !tls_request_is_valid(request, (size_t)got)) {
		log_line("not a request, from uid %u",
			(unsigned)session->asker.uid);
		return -1;
	}
	if (request->service < 1 || request->service > CONTEXTS_MAX ||
		!may_ask_for(session, request->service)) {
		log_line("uid %u may not ask for service %u",
			(unsigned)session->asker.uid,
			(unsigned)request->service);
		refuse(session, "not for you");
		return -1;
	}
	return 0;
}

static bool
is_stream_pair(int fd)
{
	int type = 0, domain = 0;
	socklen_t size = sizeof type;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
		return false;
	size = sizeof domain;
	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
	       type == SOCK_STREAM && domain == AF_UNIX;
}

/* Takes the descriptors. 0, or -1: none came, and nothing is to be said. */
static int
take_descriptors(const struct session *session, int descriptor[DESCRIPTORS])
{
	unsigned count = 0;
	char octet = 0;

	if (await(session->connection,
		    deadline_after_ms(SESSION_HAND_OVER_MS)) < 0)
		return -1;
	ssize_t got = descriptors_receive(session->connection, &octet,
		sizeof octet, descriptor, DESCRIPTORS, &count);
	if (got == 1 && octet == TLS_HAND_OVER && count == DESCRIPTORS &&
		is_stream_pair(descriptor[CLEAR]))
		return 0;
	if (got != 0)
		log_line("no three descriptors from uid %u",
			(unsigned)session->asker.uid);
	return -1;
}

/* --- the handshake --- */

/* What the handshake's wait asks for, with the asker's end of the pair beside it:
 * nobody needs a session whose asker has gone. False: it is over. */
static bool
wait_for_peer(SSL *ssl, const int descriptor[DESCRIPTORS], int error,
	int64_t deadline_ms, char *why, size_t size)
{
	struct pollfd wait[] = {
		{.fd = SSL_get_rfd(ssl), .events = POLLIN},
		{.fd = descriptor[CLEAR], .events = 0},
	};

	if (error == SSL_ERROR_WANT_WRITE)
		wait[0] = (struct pollfd){SSL_get_wfd(ssl), POLLOUT, 0};
	int ready = poll(wait, 2, deadline_left_ms(deadline_ms));
	if (ready == 0) {
		snprintf(why, size, "the handshake took too long");
		return false;
	}
	if (ready > 0 && wait[1].revents != 0) {
		snprintf(why, size, "who asked has gone");
		return false;
	}
	return ready > 0 || errno == EINTR;
}

static int
shake_hands(SSL *ssl, const int descriptor[DESCRIPTORS], char *why, size_t size)
{
	int64_t deadline_ms = deadline_after_ms(SESSION_HANDSHAKE_MS);

	for (;;) {
		ERR_clear_error();
		errno = 0;
		int result = SSL_accept(ssl);
		int saved = errno;

		if (result == 1)
			return 0;
		int error = SSL_get_error(ssl, result);
		if (error == SSL_ERROR_WANT_READ ||
			error == SSL_ERROR_WANT_WRITE) {
			if (!wait_for_peer(ssl, descriptor, error, deadline_ms,
				    why, size))
				return -1;
			continue;
		}
		if (error == SSL_ERROR_SYSCALL && ERR_peek_error() == 0)
			snprintf(why, size, "%s",
				saved != 0 ? strerror(saved)
					   : "the peer closed");
		else
			facts_why(why, size);
		return -1;
	}
}

static SSL *
new_ssl(const struct session *session, uint32_t service,
	const int descriptor[DESCRIPTORS])
{
	SSL *ssl = SSL_new(session->contexts->context[service]);

	if (ssl == NULL || pump_unblock(descriptor[INPUT]) < 0 ||
		pump_unblock(descriptor[OUTPUT]) < 0 ||
		SSL_set_rfd(ssl, descriptor[INPUT]) != 1 ||
		SSL_set_wfd(ssl, descriptor[OUTPUT]) != 1) {
		SSL_free(ssl);
		return NULL;
	}
	return ssl;
}

/* --- all of it --- */

static const char *
name_of(uint32_t service)
{
	switch (service) {
	case TLS_SMTP:
		return "smtp";
	case TLS_SUBMISSION:
		return "submission";
	default:
		return "pop3";
	}
}

/* The asker needs the connection no more, nor the session a signature. */
static void
close_both(struct session *session)
{
	close(session->connection);
	if (*session->signer >= 0)
		close(*session->signer);
	session->connection = *session->signer = -1;
}

static void
run_pump(const struct tls_request *request, const struct tls_facts *facts,
	SSL *ssl, int clear)
{
	struct pump_sums sums;

	(void)pump_run(ssl, clear, &sums);
	log_line("%s %s: %s %s%s%s%s%s%s%s, %llu octets in, %llu out%s%s",
		name_of(request->service), request->peer, facts->protocol,
		facts->cipher, facts->is_resumed ? " resumed" : "",
		facts->name[0] != 0 ? " name " : "", facts->name,
		facts->fingerprint[0] != 0 ? " client " : "",
		facts->fingerprint[0] == 0 ? ""
		: facts->verified	   ? facts->channel.identity
					   : "unverified",
		facts->verified && facts->channel.identity[0] == 0
			? "without a "
			  "name"
			: "",
		(unsigned long long)sums.from_peer,
		(unsigned long long)sums.to_peer, sums.why[0] != 0 ? ": " : "",
		sums.why);
}

static void
serve(struct session *session, const struct tls_request *request,
	const int descriptor[DESCRIPTORS])
{
	SSL *ssl = new_ssl(session, request->service, descriptor);
	struct tls_facts facts;
	char why[TLS_TEXT_MAX] = "out of memory";

	if (ssl == NULL || shake_hands(ssl, descriptor, why, sizeof why) < 0) {
		log_line("%s %s: no handshake: %s", name_of(request->service),
			request->peer, why);
		facts_start(&facts, TLS_FAILED);
		snprintf(facts.text, sizeof facts.text, "%s", why);
		tell(session, &facts);
		pump_linger(descriptor[INPUT], descriptor[OUTPUT]);
		return;
	}
	facts_fill(ssl, &facts);
	tell(session, &facts);
	close_both(session);
	run_pump(request, &facts, ssl, descriptor[CLEAR]);
}

void
session_run(struct session *session)
{
	int descriptor[DESCRIPTORS];
	struct tls_request request;
	struct tls_facts facts;
	char why[200];

	if (role_confine(NULL, false, CALLS_BASE, session->home, why,
		    sizeof why) < 0) {
		log_line("%s", why);
		refuse(session, "cannot serve now");
		return;
	}
	if (take_request(session, &request) < 0)
		return;
	if (session->refusal != NULL) {
		refuse(session, session->refusal);
		return;
	}
	facts_start(&facts, TLS_OFFERED);
	tell(session, &facts);
	if (take_descriptors(session, descriptor) == 0)
		serve(session, &request, descriptor);
}
