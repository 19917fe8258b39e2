#include "smtpd/verbs.h"

/*
 * DATA: content goes from the connection to the queue block by block. Whatever is
 * wrong with it, it is read to its real end, CRLF.CRLF and nothing else, so that
 * what follows is a command for both sides; only then is it answered.
 */

/* Reads to the end of the content. LINE_OK, or as line_fill. */
static enum line_result
read_content(struct session *session)
{
	struct line_reader *input = &session->input;
	size_t len, consumed;

	for (;;) {
		const char *octets = line_buffered(input, &len);
		bool is_end = content_take(session, octets, len, &consumed);

		line_consume(input, consumed);
		if (is_end)
			return LINE_OK;
		enum line_result filled =
			line_fill(input, content_deadline_ms(session));
		if (filled != LINE_OK)
			return filled;
	}
}

struct reply
verb_data(struct session *session, const char *argument, size_t len)
{
	const struct reply go =
		reply_make(354, "", "go ahead, end with a dot alone on a line");
	struct reply refusal = content_begin(session, DOTS_DATA, "DATA");

	(void)argument;
	(void)len;
	if (refusal.code != 0)
		return refusal;
	if (session_reply(session, &go) < 0 ||
		output_flush(&session->output, session_deadline_ms(session)) <
			0)
		return content_lost(session, LINE_ERROR);
	enum line_result result = read_content(session);
	if (result != LINE_OK)
		return content_lost(session, result);
	return content_finish(session);
}
