#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "lib/base64.h"
#include "lib/deadline.h"
#include "lib/sasl_front.h"

static enum sasl_front_result
no_answer(struct sasl_front *front)
{
	front->error = errno;
	return SASL_FRONT_TEMPORARY;
}

/* The client's next line, decoded. SASL_FRONT_YES: it is there. */
static enum sasl_front_result
read_response(struct sasl_front *front, uint8_t octets[AUTH_OCTETS_MAX],
	size_t *octets_len)
{
	int64_t deadline_ms = deadline_after_ms(front->line_wait_ms);
	const char *line;
	size_t len;

	if (front->must_stop != NULL &&
		front->must_stop(front->context, deadline_ms))
		return SASL_FRONT_STOPPED;
	switch (line_read(
		front->input, LINE_AUTH_MAX, deadline_ms, &line, &len)) {
	case LINE_OK:
		break;
	case LINE_BARE:
		return SASL_FRONT_MALFORMED;
	case LINE_TOO_LONG:
		return SASL_FRONT_TOO_LONG;
	case LINE_TIMEOUT:
		return SASL_FRONT_TIMEOUT;
	default:
		return SASL_FRONT_LOST;
	}
	ssize_t decoded = -1;
	enum sasl_front_result result = SASL_FRONT_MALFORMED;
	if (len == 1 && *line == '*')
		result = SASL_FRONT_CANCELLED;
	else
		decoded = base64_read(octets, AUTH_OCTETS_MAX, line, len);
	/* It may have held a password. */
	explicit_bzero(
		front->input->buffer + (line - front->input->buffer), len);
	if (decoded < 0)
		return result;
	*octets_len = (size_t)decoded;
	return SASL_FRONT_YES;
}

/* One challenge of authd to the client, and the answer back. */
static enum sasl_front_result
carry(struct sasl_front *front, const struct auth_message *message)
{
	char text[BASE64_TEXT(AUTH_OCTETS_MAX) + 1];
	uint8_t octets[AUTH_OCTETS_MAX];
	size_t len = base64_write(
		text, sizeof text, message->octets, message->length);

	if (front->challenge == NULL)
		return SASL_FRONT_MALFORMED;
	if (front->challenge(front->context, text, len) < 0)
		return SASL_FRONT_LOST;
	enum sasl_front_result result = read_response(front, octets, &len);
	if (result != SASL_FRONT_YES)
		return result;
	if (auth_respond(front->fd, octets, len,
		    deadline_after_ms(front->auth_wait_ms)) < 0)
		result = no_answer(front);
	explicit_bzero(octets, len);
	return result;
}

static enum sasl_front_result
take_verdict(struct sasl_front *front, const struct auth_message *message)
{
	switch (message->verdict) {
	case AUTH_YES:
		memcpy(front->account, message->octets, message->length);
		front->account[message->length] = 0;
		return SASL_FRONT_YES;
	case AUTH_NO:
		return SASL_FRONT_NO;
	case AUTH_MALFORMED:
		return SASL_FRONT_MALFORMED;
	default:
		return SASL_FRONT_TEMPORARY;
	}
}

static enum sasl_front_result
converse(struct sasl_front *front, const struct auth_begin *begin)
{
	struct auth_message message;

	front->fd = auth_open(front->socket_path, begin,
		deadline_after_ms(front->auth_wait_ms));
	if (front->fd < 0)
		return no_answer(front);
	for (;;) {
		if (auth_receive(front->fd, &message,
			    deadline_after_ms(front->auth_wait_ms)) < 0)
			return no_answer(front);
		if (message.kind == AUTH_VERDICT)
			return take_verdict(front, &message);
		enum sasl_front_result result = carry(front, &message);
		if (result != SASL_FRONT_YES)
			return result;
	}
}

/* begin is complete. */
static enum sasl_front_result
run(struct sasl_front *front, struct auth_begin *begin)
{
	front->fd = -1;
	front->error = 0;
	front->account[0] = 0;
	enum sasl_front_result result = converse(front, begin);
	explicit_bzero(begin->octets, begin->length);
	if (result != SASL_FRONT_YES && front->fd >= 0) {
		close(front->fd);
		front->fd = -1;
	}
	return result;
}

enum sasl_front_result
sasl_front_run(struct sasl_front *front, struct auth_begin *begin,
	const char *text, size_t len)
{
	begin->magic = AUTH_MAGIC;
	begin->has_initial = text != NULL;
	begin->length = 0;
	if (text != NULL && !(len == 1 && *text == '=')) {
		ssize_t decoded =
			len == 0 ? -1
				 : base64_read(begin->octets,
					   sizeof begin->octets, text, len);

		if (decoded < 0) {
			explicit_bzero(begin->octets, sizeof begin->octets);
			return SASL_FRONT_MALFORMED;
		}
		begin->length = (uint32_t)decoded;
	}
	return run(front, begin);
}

enum sasl_front_result
sasl_front_ask(struct sasl_front *front, struct auth_begin *begin,
	const void *octets, size_t len)
{
	begin->magic = AUTH_MAGIC;
	begin->has_initial = 1;
	if (len > sizeof begin->octets)
		return SASL_FRONT_MALFORMED;
	memcpy(begin->octets, octets, len);
	begin->length = (uint32_t)len;
	front->challenge = NULL;
	return run(front, begin);
}
