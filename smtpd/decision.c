#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "lib/log.h"
#include "smtpd/decision.h"

/* Of an address: more than any that is taken. Together with the others it fits
 * into a line of the log, but for why. */
#define FIELD_MAX 330
#define HELLO_MAX 130

const char *
decision_word(char *into, size_t size, const char *text)
{
	size_t at = 0;

	if (*text == 0)
		text = "-";
	for (; *text != 0; text++) {
		unsigned char c = (unsigned char)*text;

		if (at + 8 > size) {
			memcpy(into + at, "...", 3);
			at += 3;
			break;
		}
		if (c > 32 && c < 127 && c != '\\')
			into[at++] = *text;
		else
			at += (size_t)snprintf(
				into + at, size - at, "\\x%02x", c);
	}
	into[at] = 0;
	return into;
}

/* An address in its brackets; "-" for none. */
static const char *
address(char into[FIELD_MAX], const char *text)
{
	char whole[FIELD_MAX];

	if (text == NULL)
		return decision_word(into, FIELD_MAX, "");
	snprintf(whole, sizeof whole, "<%s>", text);
	return decision_word(into, FIELD_MAX, whole);
}

static const char *
verdict_of(int code)
{
	if (code == 0)
		return "lost";
	if (code < 400)
		return "accepted";
	return code < 500 ? "deferred" : "refused";
}

static const char *
rule_of(char into[64], const char *rule)
{
	snprintf(into, 64, "%s", rule != NULL && *rule != 0 ? rule : "-");
	for (char *at = into; *at != 0; at++)
		if (*at == ' ')
			*at = '-';
	return into;
}

void
decision_log(const struct session *session, const struct decision *decision)
{
	const struct envelope *envelope = &session->transaction.envelope;
	const char *hello = decision->hello, *from = decision->from;
	const char *to = decision->to;
	bool is_open = (session->state & SESSION_OPEN) != 0;
	const char *id = is_open ? session->transaction.submission.id : "";
	char client_field[64], hello_field[HELLO_MAX], from_field[FIELD_MAX];
	char to_field[FIELD_MAX], rule[64];

	if (hello == NULL)
		hello = session->peer.hello;
	if (from == NULL)
		from = envelope->reverse_path;
	if (to == NULL && envelope->recipients == 1)
		to = envelope->recipient[0].address;
	log_line("verdict=%s at=%s client=%s helo=%s from=%s to=%s rule=%s "
		 "code=%d id=%s recipients=%u octets=%" PRIu64 " why=%s",
		verdict_of(decision->code), decision->at,
		decision_word(client_field, sizeof client_field,
			session->peer.address),
		decision_word(hello_field, sizeof hello_field, hello),
		address(from_field, from), address(to_field, to),
		rule_of(rule, decision->rule), decision->code,
		*id != 0 ? id : "-", (unsigned)envelope->recipients,
		decision->octets,
		decision->why != NULL && *decision->why != 0 ? decision->why
							     : "-");
}
