#include "lib/dots.h"
#include <string.h>

enum decoder_state {
	AT_LINE_START,
	IN_MIDDLE,
	AFTER_CR,     /* a CR is held back: is it a line end? */
	AFTER_DOT,    /* a dot at a line start is held back */
	AFTER_DOT_CR, /* a dot at a line start, then a CR */
	AT_END,
};

/* Where the decoder or encoder stands in its two blocks. */
struct cursor {
	const char *in, *in_end;
	char *out, *out_end;
};

/* Copies octets up to in_end or out_end, whichever comes first. */
static void
copy_up_to(struct cursor *cursor, const char *until)
{
	size_t count = (size_t)(until - cursor->in);
	size_t room = (size_t)(cursor->out_end - cursor->out);

	if (count > room)
		count = room;
	memcpy(cursor->out, cursor->in, count);
	cursor->in += count;
	cursor->out += count;
}

void
dots_decode_start(struct dots_decoder *decoder, enum dots_mode mode)
{
	*decoder = (struct dots_decoder){.mode = mode};
	decoder->state = mode == DOTS_DATA ? AT_LINE_START : IN_MIDDLE;
}

/* Copies the ordinary octets before the next CR, as far as there is room. */
static void
decode_middle(struct dots_decoder *decoder, struct cursor *cursor)
{
	size_t count = (size_t)(cursor->in_end - cursor->in);
	size_t room = (size_t)(cursor->out_end - cursor->out);
	const char *from = cursor->in;
	const char *cr;

	if (count > room)
		count = room;
	cr = memchr(from, '\r', count);
	copy_up_to(cursor, cr != NULL ? cr : from + count);
	if (memchr(from, '\n', (size_t)(cursor->in - from)) != NULL)
		decoder->seen |= DOTS_BARE_LF;
	if (cr != NULL) {
		cursor->in++;
		decoder->state = AFTER_CR;
	}
}

/* After a CR that was held back, or after the CR of dot CR. */
static void
decode_after_cr(struct dots_decoder *decoder, struct cursor *cursor)
{
	if (*cursor->in == '\n') {
		cursor->in++;
		if (decoder->state == AFTER_DOT_CR) {
			decoder->state = AT_END;
			return;
		}
		*cursor->out++ = '\n';
		decoder->state =
			decoder->mode == DOTS_DATA ? AT_LINE_START : IN_MIDDLE;
		return;
	}
	/* A bare CR; what comes now is looked at again in the middle. */
	*cursor->out++ = decoder->mode == DOTS_LOCAL ? '\n' : '\r';
	decoder->seen |= DOTS_BARE_CR;
	decoder->state = IN_MIDDLE;
}

/* One step: takes an octet, or leaves the state, or both. */
static void
decode_step(struct dots_decoder *decoder, struct cursor *cursor)
{
	switch ((enum decoder_state)decoder->state) {
	case AT_LINE_START:
		decoder->state = IN_MIDDLE;
		if (*cursor->in == '.') {
			cursor->in++;
			decoder->state = AFTER_DOT;
		}
		break;
	case IN_MIDDLE:
		decode_middle(decoder, cursor);
		break;
	case AFTER_DOT:
		decoder->state = IN_MIDDLE;
		if (*cursor->in == '\r') {
			cursor->in++;
			decoder->state = AFTER_DOT_CR;
		}
		break;
	case AFTER_CR:
	case AFTER_DOT_CR:
		decode_after_cr(decoder, cursor);
		break;
	case AT_END:
		break;
	}
}

enum dots_result
dots_decode(struct dots_decoder *decoder, const char *in, size_t len,
	size_t *consumed, char *out, size_t size, size_t *produced)
{
	struct cursor cursor = {in, in + len, out, out + size};

	while (decoder->state != AT_END && cursor.in < cursor.in_end &&
		cursor.out < cursor.out_end)
		decode_step(decoder, &cursor);
	*consumed = (size_t)(cursor.in - in);
	*produced = (size_t)(cursor.out - out);
	if (memchr(out, '\0', *produced) != NULL)
		decoder->seen |= DOTS_NUL;
	if (decoder->mode == DOTS_LOCAL)
		decoder->seen &= DOTS_NUL;
	return decoder->state == AT_END ? DOTS_END : DOTS_MORE;
}

size_t
dots_decode_finish(struct dots_decoder *decoder, char out[1])
{
	int state = decoder->state;

	decoder->state = AT_END;
	if (state != AFTER_CR && state != AFTER_DOT_CR)
		return 0;
	if (decoder->mode == DOTS_LOCAL) {
		out[0] = '\n';
	} else {
		out[0] = '\r';
		decoder->seen |= DOTS_BARE_CR;
	}
	return 1;
}

void
dots_encode_start(struct dots_encoder *encoder, enum dots_policy policy)
{
	*encoder = (struct dots_encoder){policy, AT_LINE_START};
}

/*
 * After a CR that was held back. The room is two octets. Nothing but an LF is
 * taken here: the octet after a bare CR is looked at again, and after the CRLF
 * that DOTS_SMTP makes of it, it begins a line.
 */
static void
encode_after_cr(struct dots_encoder *encoder, struct cursor *cursor)
{
	*cursor->out++ = '\r';
	encoder->state = AT_LINE_START;
	if (*cursor->in == '\n') {
		cursor->in++;
		*cursor->out++ = '\n';
	} else if (encoder->policy != DOTS_POP3) {
		*cursor->out++ = '\n';
	} else {
		encoder->state = IN_MIDDLE;
	}
}

/*
 * Copies the rest of a line and its end. cr is the next CR in the input, or
 * its end. There is room for one octet at least.
 */
static void
encode_line(struct dots_encoder *encoder, struct cursor *cursor, const char *cr)
{
	size_t len = (size_t)(cr - cursor->in);
	const char *lf = memchr(cursor->in, '\n', len);

	copy_up_to(cursor, lf != NULL ? lf : cr);
	if (cursor->in == lf && cursor->out_end - cursor->out >= 2) {
		cursor->in++;
		*cursor->out++ = '\r';
		*cursor->out++ = '\n';
		encoder->state = AT_LINE_START;
	} else if (lf == NULL && cursor->in == cr && cr < cursor->in_end) {
		cursor->in++;
		encoder->state = AFTER_CR;
	}
}

void
dots_encode(struct dots_encoder *encoder, const char *in, size_t len,
	size_t *consumed, char *out, size_t size, size_t *produced)
{
	struct cursor cursor = {in, in, out, out + size};
	const char *cr = NULL;

	/* Nothing gets shorter: do not look at what cannot fit. */
	cursor.in_end += len < size ? len : size;
	while (cursor.in < cursor.in_end && cursor.out_end - cursor.out >= 2) {
		if (encoder->state == AFTER_CR) {
			encode_after_cr(encoder, &cursor);
			continue;
		}
		if (encoder->state == AT_LINE_START && *cursor.in == '.' &&
			encoder->policy != DOTS_BDAT)
			*cursor.out++ = '.';
		encoder->state = IN_MIDDLE;
		if (cr == NULL || cr < cursor.in)
			cr = memchr(cursor.in, '\r',
				(size_t)(cursor.in_end - cursor.in));
		if (cr == NULL)
			cr = cursor.in_end;
		encode_line(encoder, &cursor, cr);
	}
	*consumed = (size_t)(cursor.in - in);
	*produced = (size_t)(cursor.out - out);
}

size_t
dots_encode_finish(struct dots_encoder *encoder, char out[DOTS_FINISH_MAX])
{
	size_t at = 0;

	/* A last CR is the first half of the line end, unless it is kept. */
	if (encoder->state == AFTER_CR && encoder->policy == DOTS_POP3)
		out[at++] = '\r';
	if (encoder->state != AT_LINE_START) {
		out[at++] = '\r';
		out[at++] = '\n';
	}
	encoder->state = AT_LINE_START;
	if (encoder->policy == DOTS_BDAT)
		return at;
	memcpy(out + at, ".\r\n", 3);
	return at + 3;
}

void
dots_count_start(struct dots_counter *counter, enum dots_policy policy)
{
	*counter = (struct dots_counter){policy, AT_LINE_START, 0};
}

/*
 * The octets that come on top of in[0..len): a CR for each LF that has none
 * before it, and unless with DOTS_POP3 an LF for each CR that none follows. The state
 * is that after the octet before in; the LF that a last CR may get is counted
 * with the octet after it.
 */
static uint64_t
count_added(const struct dots_counter *counter, const char *in, size_t len)
{
	uint64_t added = 0;
	int after_cr = counter->state == AFTER_CR;
	const char *end = in + len;

	if (after_cr || memchr(in, '\r', len) != NULL) {
		for (; in < end; in++) {
			if (*in == '\n')
				added += !after_cr;
			else if (after_cr && counter->policy != DOTS_POP3)
				added++;
			after_cr = *in == '\r';
		}
		return added;
	}
	while ((in = memchr(in, '\n', (size_t)(end - in))) != NULL) {
		in++;
		added++;
	}
	return added;
}

void
dots_count(struct dots_counter *counter, const char *in, size_t len)
{
	if (len == 0)
		return;
	counter->wire_octets += len + count_added(counter, in, len);
	if (in[len - 1] == '\n')
		counter->state = AT_LINE_START;
	else
		counter->state = in[len - 1] == '\r' ? AFTER_CR : IN_MIDDLE;
}

uint64_t
dots_count_finish(struct dots_counter *counter)
{
	if (counter->state == AFTER_CR && counter->policy != DOTS_POP3)
		counter->wire_octets++;
	else if (counter->state != AT_LINE_START)
		counter->wire_octets += 2;
	counter->state = AT_LINE_START;
	return counter->wire_octets;
}
