#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/escape.h"
#include "smtpd/session.h"

int64_t
session_deadline_ms(const struct session *session)
{
	return deadline_after_ms(session->settings.timeout_s * 1000);
}

bool
session_has_line(const struct session *session)
{
	size_t len;
	const char *octets = line_buffered(&session->input, &len);

	return len > 0 && memchr(octets, '\n', len) != NULL;
}

int
session_reply(struct session *session, const struct reply *reply)
{
	char wire[REPLY_WIRE_MAX];
	int64_t deadline_ms = session_deadline_ms(session);
	size_t len = reply_write(reply, wire, sizeof wire);

	transcript_reply(session, wire, len);
	if (output_put(&session->output, wire, len, deadline_ms) < 0)
		return -1;
	if (session_has_line(session) && !reply->close_after)
		return 0;
	return output_flush(&session->output, deadline_ms);
}

void
session_end_transaction(struct session *session)
{
	submit_abandon(&session->transaction.submission);
	envelope_free(&session->transaction.envelope);
	header_end(&session->transaction.header);
	session->transaction.bad_sender_line = 0;
	session->transaction.is_refused = false;
	session->is_refusing = false;
	if (session->state != SESSION_CONNECTED)
		session->state = SESSION_GREETED;
}

void
session_name(char into[SESSION_NAME_MAX + 1], const char *text, size_t len)
{
	if (text == NULL || len == 0) {
		text = "unknown";
		len = strlen(text);
	}
	escape_line(into, SESSION_NAME_MAX + 1, text, len, ESCAPE_MASK);
}

static uint32_t
mechanisms_now(const struct session *session)
{
	const struct peer *peer = &session->peer;

	if (peer->login[0] != 0)
		return 0;
	return peer->has_tls || session->settings.auth_in_clear == 1
		       ? session->mechanisms
		       : 0;
}

void
session_mechanisms(const struct session *session, char list[AUTH_LIST_MAX])
{
	auth_mechanisms_list(
		mechanisms_now(session), &session->peer.channel, list);
}

bool
session_offers(const struct session *session, enum auth_mechanism mechanism)
{
	return auth_mechanism_is_offered(
		mechanisms_now(session), mechanism, &session->peer.channel);
}
