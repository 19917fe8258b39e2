#include <string.h>
#include <strings.h>
#include "lib/deadline.h"
#include "smtpd/verbs.h"

/*
 * BDAT size [LAST] (RFC 3030 section 2): so many octets of content follow the
 * command at once. They are taken in every case, in whatever state, or the
 * session ends: otherwise content would pass for commands. A chunk that is refused
 * ends the transaction as a whole, so that chunks that are on their way behind it
 * find none.
 *
 * Line ends have the same law as in DATA: what is bare here would be the end of a
 * message on another host.
 */

/* Octets of refused chunks that one session may make us read and drop. */
#define DISCARD_MAX (UINT64_C(1) << 30)

enum chunk_form {
	CHUNK_OK,
	CHUNK_BAD_END,	/* the size is known; what follows is not "LAST" */
	CHUNK_BAD_SIZE, /* nobody knows where the next command is */
};

struct chunk {
	uint64_t octets;
	bool is_last;
};

/* chunk-size [ SP "LAST" ], chunk-size = 1*DIGIT. */
static enum chunk_form
chunk_scan(struct chunk *chunk, const char *text, size_t len)
{
	size_t at = 0;

	*chunk = (struct chunk){0};
	for (; at < len && text[at] >= '0' && text[at] <= '9'; at++) {
		unsigned digit = (unsigned)(text[at] - '0');

		if (chunk->octets > ((uint64_t)INT64_MAX - digit) / 10)
			return CHUNK_BAD_SIZE;
		chunk->octets = chunk->octets * 10 + digit;
	}
	if (at == 0 || (at < len && text[at] != ' '))
		return CHUNK_BAD_SIZE;
	while (at < len && text[at] == ' ')
		at++;
	chunk->is_last = len - at == strlen("LAST") &&
			 strncasecmp(text + at, "LAST", strlen("LAST")) == 0;
	return at == len || chunk->is_last ? CHUNK_OK : CHUNK_BAD_END;
}

/* Waits for more of the chunk; replies that wait are sent first. */
static enum line_result
fill(struct session *session, int64_t deadline_ms)
{
	if (output_flush(&session->output, session_deadline_ms(session)) < 0)
		return LINE_ERROR;
	return line_fill(&session->input, deadline_ms);
}

/*
 * Takes *left octets, to the queue or to nobody, or fewer if the content fails;
 * *left is then what is still to come. LINE_OK, or as line_fill.
 */
static enum line_result
read_chunk(struct session *session, uint64_t *left, bool is_discarded)
{
	const struct content *content = &session->transaction.content;
	struct line_reader *input = &session->input;
	size_t len, consumed;

	while (*left > 0 && (is_discarded || content->failure.code == 0)) {
		const char *octets = line_buffered(input, &len);

		if (len > *left)
			len = (size_t)*left;
		consumed = len;
		if (!is_discarded)
			(void)content_take(session, octets, len, &consumed);
		line_consume(input, consumed);
		*left -= consumed;
		if (*left == 0 || !line_is_empty(input))
			continue;
		enum line_result filled = fill(
			session, is_discarded ? session_deadline_ms(session)
					      : content_deadline_ms(session));
		if (filled != LINE_OK)
			return filled;
	}
	return LINE_OK;
}

/* Whether so much may still be read only to be dropped. */
static bool
may_discard(struct session *session, uint64_t octets)
{
	if (octets > DISCARD_MAX - session->discarded)
		return false;
	session->discarded += octets;
	return true;
}

/* The chunk is not wanted: drops it, and ends the transaction, if there is one. */
static struct reply
discard(struct session *session, uint64_t octets, struct reply reply)
{
	if ((session->state & SESSION_OPEN) != 0)
		session_end_transaction(session);
	session->is_refusing = session->state == SESSION_GREETED;
	if (!may_discard(session, octets)) {
		reply.close_after = 1;
		return reply;
	}
	enum line_result result = read_chunk(session, &octets, true);
	if (result == LINE_OK)
		return reply;
	session->is_lost = result != LINE_TIMEOUT;
	reply = reply_make(421, "4.4.2", "timeout");
	reply.close_after = 1;
	return reply;
}

/* Takes a chunk of the message. */
static struct reply
take(struct session *session, const struct chunk *chunk)
{
	struct content *content = &session->transaction.content;
	uint64_t limit = (uint64_t)session->databytes;

	if (limit > 0 &&
		(chunk->octets > limit ||
			content->counter.wire_octets > limit - chunk->octets)) {
		content_fail(session, "databytes",
			reply_make(552, "5.3.4",
				"the message is too big, at most %llu octets "
				"are taken",
				(unsigned long long)limit));
		return discard(session, chunk->octets, content_refuse(session));
	}
	session->state = SESSION_CHUNKS;
	/* Chunks that come with their command need no wait. */
	if (deadline_left_ms(content_deadline_ms(session)) == 0)
		return content_lost(session, LINE_TIMEOUT);
	uint64_t left = chunk->octets;
	enum line_result result = read_chunk(session, &left, false);
	if (result != LINE_OK)
		return content_lost(session, result);
	if (content->failure.code != 0)
		return discard(session, left, content_refuse(session));
	if (chunk->is_last)
		return content_finish(session);
	return reply_make(250, "2.0.0", "%llu octets received",
		(unsigned long long)chunk->octets);
}

struct reply
verb_bdat(struct session *session, const char *argument, size_t len)
{
	struct chunk chunk;
	enum chunk_form form = chunk_scan(&chunk, argument, len);
	struct reply refusal = {0};

	if (form == CHUNK_BAD_SIZE) {
		refusal = reply_make(501, "5.5.4", "expected BDAT size [LAST]");
		refusal.close_after = 1;
		return refusal;
	}
	if (session->state == SESSION_GREETED && session->is_refusing)
		refusal = reply_make(
			554, "5.5.1", "the message has been refused");
	else if ((session->state & (SESSION_RECIPIENT | SESSION_CHUNKS)) == 0)
		refusal = verbs_out_of_order(session, verb_bdat);
	else if (form == CHUNK_BAD_END)
		refusal = reply_make(501, "5.5.4", "expected BDAT size [LAST]");
	else if (session->state == SESSION_RECIPIENT)
		refusal = content_begin(session, DOTS_CHUNK, "BDAT");
	if (refusal.code != 0)
		return discard(session, chunk.octets, refusal);
	return take(session, &chunk);
}
