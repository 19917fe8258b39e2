/* STARTTLS: RFC 3207. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "remote/client.h"
#include "remote/client_wire.h"

/* The longest that a handshake may take, whatever the server's other waits. */
#define HANDSHAKE_MS 60000
/* How long the service may take to say whether it works. */
#define ASK_MS 10000

static enum client_tls_result
fail(struct client *client, enum client_tls_result result, const char *code,
	const char *what, const char *why)
{
	client->outcome = OUTCOME_DEFERRED;
	client_text(client, client->text, "%s %s: %s", code, what, why);
	return result;
}

static const char *
verified_text(uint32_t verified)
{
	switch (verified) {
	case TLS_VERIFIED_NAME:
		return "verified";
	case TLS_VERIFIED_CHAIN:
		return "verified for another name";
	default:
		return "unverified";
	}
}

/* Puts what was agreed behind the address in client->where. */
static void
add_where(struct client *client, const struct tls_facts *facts)
{
	size_t len = strlen(client->where);

	if (len > 0 && client->where[len - 1] == ')')
		len--;
	snprintf(client->where + len, sizeof client->where - len, " %s %s %s)",
		facts->protocol, facts->cipher, verified_text(facts->verified));
}

/* Goes on with the other end of what the service gave. */
static void
go_on(struct client *client, int fd, const struct tls_facts *facts)
{
	close(client->fd);
	client->fd = fd;
	client->capabilities = client->mechanisms = 0;
	client->size_limit = 0;
	client->is_encrypted = 1;
	/* A reply that was injected before the handshake is not the server's:
	 * whatever lies in the buffer goes. */
	line_start(&client->in, fd);
	output_start(&client->out, fd);
	add_where(client, facts);
}

enum client_tls_result
client_start_tls(struct client *client, const char *socket_path,
	const struct tls_request *request, const char *name,
	struct tls_facts *facts)
{
	int service = tls_open(
		socket_path, request, deadline_after_ms(ASK_MS), facts);
	int64_t wait_ms = client->timeouts.mail_ms;

	if (service < 0)
		return fail(client, CLIENT_TLS_NOT_HERE, "4.7.4",
			"no TLS to be had here", facts->text);
	client_put(client, "STARTTLS");
	int class = client_reply(client, wait_ms);
	if (class != 2) {
		close(service);
		(void)client_next_host(client, class, "after STARTTLS");
		client->outcome = OUTCOME_DEFERRED;
		return client->broken ? CLIENT_TLS_LOST : CLIENT_TLS_REFUSED;
	}
	int fd = tls_hand_over(service, client->fd, client->fd,
		deadline_after_ms(
			wait_ms < HANDSHAKE_MS ? wait_ms : HANDSHAKE_MS),
		facts);
	if (fd < 0) {
		/* the connection is the service's, and at its end */
		client_break(client, "the TLS handshake failed");
		return fail(client, CLIENT_TLS_FAILED, "4.7.5",
			"the TLS handshake failed", facts->text);
	}
	go_on(client, fd, facts);
	return client_hello(client, name) == CLIENT_OK ? CLIENT_TLS_ON
						       : CLIENT_TLS_LOST;
}
