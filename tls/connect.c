#include "tls/connect.h"
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/log.h"
#include "tls/facts.h"
#include "tls/pump.h"

/* Levels of OpenSSL's strength (SSL_CTX_set_security_level(3)): that of what may
 * be verified, and that of TLS which is better than none. */
#define LEVEL_STRONG 2
#define LEVEL_ANY 1

/* What the verification found. */
struct verdict {
	bool must_hold; /* the handshake is to end with the first error */
	long chain;	/* the first error but the name's, X509_V_… */
	long name;
};

struct session {
	SSL *ssl;
	int input, output, clear;
	struct tls_request request;
	struct verdict verdict;
	struct tls_facts facts;
};

/* --- records --- */

static int
wait_for(int fd, short events, int64_t deadline_ms)
{
	struct pollfd one = {.fd = fd, .events = events};
	int ready;

	do
		ready = poll(&one, 1, deadline_left_ms(deadline_ms));
	while ((ready < 0 && errno == EINTR) ||
		(ready == 0 && deadline_left_ms(deadline_ms) != 0));
	return ready > 0 ? 0 : -1;
}

/* Whoever does not wait for its answer loses it. */
static int
say(int connection, const struct tls_facts *facts)
{
	return send(connection, facts, sizeof *facts,
		       MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof *facts
		       ? 0
		       : -1;
}

static int
say_no(int connection, enum tls_status status, const char *text)
{
	struct tls_facts facts;

	facts_start(&facts, status);
	snprintf(facts.text, sizeof facts.text, "%s", text);
	(void)say(connection, &facts);
	return -1;
}

static int
receive_request(int connection, struct tls_request *request)
{
	if (wait_for(connection, POLLIN, deadline_after_ms(CONNECT_RECORD_MS)) <
		0)
		return -1;
	ssize_t got = recv(
		connection, request, sizeof *request, MSG_DONTWAIT | MSG_TRUNC);
	if (got < 0 || !tls_request_is_valid(request, (size_t)got) ||
		request->service != TLS_CONNECT ||
		request->check > TLS_CHECK_NAME)
		return -1;
	if (request->check == TLS_CHECK_NAME && request->name[0] == 0)
		return -1;
	return 0;
}

/* Receives the descriptors. 0, or -1: there are none. */
static int
receive_hand_over(int connection, struct session *session)
{
	int descriptor[3];
	unsigned count = 0;
	char octet;

	if (wait_for(connection, POLLIN,
		    deadline_after_ms(10 * CONNECT_RECORD_MS)) < 0)
		return -1;
	ssize_t got = descriptors_receive(
		connection, &octet, 1, descriptor, 3, &count);
	if (got == 1 && octet == TLS_HAND_OVER && count == 3) {
		session->input = descriptor[0];
		session->output = descriptor[1];
		session->clear = descriptor[2];
		return 0;
	}
	for (unsigned i = 0; got >= 0 && i < count; i++)
		close(descriptor[i]);
	return -1;
}

/* --- the certificate --- */

static bool
is_name_error(long error)
{
	return error == X509_V_ERR_HOSTNAME_MISMATCH ||
	       error == X509_V_ERR_IP_ADDRESS_MISMATCH;
}

/* OpenSSL asks for each error whether to go on. */
static int
verify(int is_well, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(
		store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct verdict *verdict = SSL_get_app_data(ssl);
	long error = X509_STORE_CTX_get_error(store);

	if (is_well)
		return 1;
	if (is_name_error(error))
		verdict->name = error;
	else if (verdict->chain == X509_V_OK)
		verdict->chain = error;
	return !verdict->must_hold;
}

/* The name to ask for and to compare with. 0, or -1. */
static int
set_name(SSL *ssl, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	struct in6_addr address;

	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
				       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (name[0] == 0)
		return 0;
	/* RFC 6066 section 3: no literals in the SNI */
	if (inet_pton(AF_INET, name, &address) == 1 ||
		inet_pton(AF_INET6, name, &address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1 ? 0 : -1;
	return SSL_set_tlsext_host_name(ssl, name) == 1 &&
			       SSL_set1_host(ssl, name) == 1
		       ? 0
		       : -1;
}

static int
make_session(struct session *session, SSL_CTX *context)
{
	struct verdict *verdict = &session->verdict;
	SSL *ssl = SSL_new(context);

	session->ssl = ssl;
	if (ssl == NULL || SSL_set_rfd(ssl, session->input) != 1 ||
		SSL_set_wfd(ssl, session->output) != 1 ||
		set_name(ssl, session->request.name) < 0)
		return -1;
	verdict->must_hold = session->request.check == TLS_CHECK_NAME;
	verdict->chain = verdict->name = X509_V_OK;
	SSL_set_app_data(ssl, verdict);
	SSL_set_verify(ssl, SSL_VERIFY_PEER, verify);
	SSL_set_security_level(
		ssl, verdict->must_hold ? LEVEL_STRONG : LEVEL_ANY);
	/* what counts as verified is always strong */
	X509_VERIFY_PARAM_set_auth_level(SSL_get0_param(ssl), LEVEL_STRONG);
	SSL_set_connect_state(ssl);
	return 0;
}

/* How far it held. */
static void
judge(struct session *session)
{
	const struct verdict *verdict = &session->verdict;
	struct tls_facts *facts = &session->facts;
	long error =
		verdict->chain != X509_V_OK ? verdict->chain : verdict->name;

	if (verdict->chain != X509_V_OK || facts->fingerprint[0] == 0)
		facts->verified = TLS_UNVERIFIED;
	else if (verdict->name != X509_V_OK || session->request.name[0] == 0)
		facts->verified = TLS_VERIFIED_CHAIN;
	else
		facts->verified = TLS_VERIFIED_NAME;
	facts->text[0] = 0;
	if (error != X509_V_OK)
		snprintf(facts->text, sizeof facts->text, "%s",
			X509_verify_cert_error_string(error));
}

/* --- the handshake --- */

static int
fail(struct session *session, int connection, const char *text)
{
	const struct verdict *verdict = &session->verdict;
	char all[TLS_TEXT_MAX];

	long error =
		verdict->chain != X509_V_OK ? verdict->chain : verdict->name;
	if (verdict->must_hold && error != X509_V_OK)
		snprintf(all, sizeof all, "the certificate for %.90s: %.60s",
			session->request.name,
			X509_verify_cert_error_string(error));
	else
		snprintf(all, sizeof all, "%s", text);
	return say_no(connection, TLS_FAILED, all);
}

/* Returns 0 with the session's facts; or -1, and the asker knows why. */
static int
shake_hands(struct session *session, int connection)
{
	int64_t deadline_ms = deadline_after_ms(CONNECT_HANDSHAKE_MS);
	char why[160];

	for (;;) {
		ERR_clear_error();
		errno = 0;
		int result = SSL_do_handshake(session->ssl);
		int saved = errno;
		if (result == 1)
			break;
		int error = SSL_get_error(session->ssl, result);
		int waited = -1;
		if (error == SSL_ERROR_WANT_READ)
			waited = wait_for(session->input, POLLIN, deadline_ms);
		else if (error == SSL_ERROR_WANT_WRITE)
			waited =
				wait_for(session->output, POLLOUT, deadline_ms);
		else if (error == SSL_ERROR_SYSCALL && ERR_peek_error() == 0)
			return fail(session, connection,
				saved != 0 ? strerror(saved)
					   : "the peer closed");
		if (error == SSL_ERROR_WANT_READ ||
			error == SSL_ERROR_WANT_WRITE) {
			if (waited < 0)
				return fail(session, connection,
					"the peer takes too long");
			continue;
		}
		facts_why(why, sizeof why);
		return fail(session, connection, why);
	}
	facts_fill(session->ssl, &session->facts);
	judge(session);
	return 0;
}

static void
run_session(struct session *session, SSL_CTX *context, int connection)
{
	struct pump_sums sums;
	char why[160];

	if (pump_unblock(session->input) < 0 ||
		pump_unblock(session->output) < 0 ||
		make_session(session, context) < 0) {
		facts_why(why, sizeof why);
		say_no(connection, TLS_FAILED, why);
		return;
	}
	if (shake_hands(session, connection) < 0 ||
		say(connection, &session->facts) < 0)
		return;
	close(connection);
	/* An end that was cut off is seen by the asker, who reads replies. */
	(void)pump_run(session->ssl, session->clear, &sums);
	pump_linger(session->input, session->output);
}

void
connect_serve(const struct authorities *authorities, int connection)
{
	struct session session = {.ssl = NULL};
	struct tls_facts offer;

	if (receive_request(connection, &session.request) < 0) {
		say_no(connection, TLS_REFUSED, "that is no request");
		return;
	}
	SSL_CTX *context =
		authorities_find(authorities, session.request.certificate);
	if (context == NULL) {
		log_line("no certificate \"%s\" in tls-client/",
			session.request.certificate);
		say_no(connection, TLS_REFUSED,
			"the certificate that the route names is not there");
		return;
	}
	facts_start(&offer, TLS_OFFERED);
	if (say(connection, &offer) < 0 ||
		receive_hand_over(connection, &session) < 0)
		return;
	run_session(&session, context, connection);
}
