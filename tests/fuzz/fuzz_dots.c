/*
 * Transparency. The first octet is a seed for how the rest is cut. As wire
 * octets it is decoded in pieces and compared with a decoder written octet by
 * octet from the rules; as content it is encoded, checked for bare line ends and
 * counted, and decoded again: one message in, one message out.
 */
#include "lib/dots.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
	char *octets;
	size_t len, consumed;
	unsigned seen;
	int ended;
};

static size_t
piece(unsigned *seed, size_t left)
{
	*seed = *seed * 1103515245u + 12345u;
	return left == 0 ? 0 : 1 + (*seed >> 16) % (left < 9 ? left : 9);
}

static struct result
decode_in_pieces(const char *wire, size_t len, unsigned seed)
{
	struct result result = {malloc(len + 2), 0, 0, 0, 0};
	struct dots_decoder decoder;

	assert(result.octets != NULL);
	dots_decode_start(&decoder, DOTS_DATA);
	while (result.consumed < len && !result.ended) {
		size_t count = piece(&seed, len - result.consumed);
		size_t room = 2 + (seed >> 8) % 7, consumed, produced;
		char out[9];

		result.ended =
			dots_decode(&decoder, wire + result.consumed, count,
				&consumed, out, room, &produced) == DOTS_END;
		assert(consumed <= count && produced <= room);
		assert(consumed > 0 || produced > 0);
		memcpy(result.octets + result.len, out, produced);
		result.len += produced;
		result.consumed += consumed;
	}
	result.seen = decoder.seen;
	return result;
}

/* The rules again, slowly: whole lines that end in CRLF. */
static struct result
decode_slowly(const char *wire, size_t len)
{
	struct result result = {malloc(len + 2), 0, 0, 0, 0};
	size_t i;
	int line_start = 1;

	assert(result.octets != NULL);
	for (i = 0; i < len;) {
		int crlf =
			wire[i] == '\r' && i + 1 < len && wire[i + 1] == '\n';

		if (line_start && wire[i] == '.') {
			line_start = 0;
			if (len - i >= 3 && memcmp(wire + i, ".\r\n", 3) == 0) {
				result.ended = 1;
				i += 3;
				break;
			}
			i++;
			continue;
		}
		line_start = crlf;
		if (crlf) {
			result.octets[result.len++] = '\n';
			i += 2;
			continue;
		}
		if (wire[i] == '\r' && i + 1 == len) {
			i++; /* held back: nobody knows yet */
			break;
		}
		if (wire[i] == '\r')
			result.seen |= DOTS_BARE_CR;
		if (wire[i] == '\n')
			result.seen |= DOTS_BARE_LF;
		if (wire[i] == '\0')
			result.seen |= DOTS_NUL;
		result.octets[result.len++] = wire[i++];
	}
	result.consumed = i;
	return result;
}

static void
check_decoder(const char *wire, size_t len, unsigned seed)
{
	struct result a = decode_in_pieces(wire, len, seed);
	struct result b = decode_slowly(wire, len);

	assert(a.ended == b.ended && a.len == b.len && a.seen == b.seen);
	assert(a.consumed == b.consumed);
	assert(memcmp(a.octets, b.octets, a.len) == 0);
	free(a.octets);
	free(b.octets);
}

static void
check_encoder(
	const char *content, size_t len, unsigned seed, enum dots_policy policy)
{
	struct dots_encoder encoder;
	struct dots_counter counter;
	char *wire = malloc(3 * len + DOTS_FINISH_MAX);
	size_t at = 0, length = 0, stuffed = 0, i;
	struct result back;

	assert(wire != NULL);
	dots_encode_start(&encoder, policy);
	dots_count_start(&counter, policy);
	while (at < len) {
		size_t count = piece(&seed, len - at);
		size_t room = 2 + (seed >> 8) % 7, consumed, produced;
		char out[9];

		dots_encode(&encoder, content + at, count, &consumed, out, room,
			&produced);
		assert(consumed <= count && produced <= room);
		assert(consumed > 0 || produced > 0);
		dots_count(&counter, content + at, consumed);
		memcpy(wire + length, out, produced);
		length += produced;
		at += consumed;
	}
	length += dots_encode_finish(&encoder, wire + length);
	for (i = 0; i + (policy == DOTS_BDAT ? 0 : 3) < length; i++) {
		if (wire[i] == '.' && policy != DOTS_BDAT &&
			(i == 0 || (i > 1 && memcmp(wire + i - 2, "\r\n", 2) ==
						     0)))
			stuffed++;
		assert(wire[i] != '\n' || (i > 0 && wire[i - 1] == '\r'));
		if (policy != DOTS_POP3)
			assert(wire[i] != '\r' || wire[i + 1] == '\n');
	}
	if (policy == DOTS_BDAT) {
		assert(length == dots_count_finish(&counter));
		free(wire);
		return;
	}
	assert(length == dots_count_finish(&counter) + stuffed + 3);
	back = decode_in_pieces(wire, length, seed);
	assert(back.ended && back.consumed == length);
	if (memchr(content, '\r', len) == NULL) {
		assert(back.len == len || back.len == len + 1);
		assert(memcmp(back.octets, content, len) == 0);
	}
	free(back.octets);
	free(wire);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char LETTERS[] = "\r\n.a\r\n.\r";
	char *text;
	size_t i;

	if (size < 2)
		return 0;
	text = malloc(size - 1);
	if (text == NULL)
		return 0;
	memcpy(text, data + 1, size - 1);
	/* An even seed: few letters, so that ends of lines are frequent. */
	for (i = 0; i < size - 1 && data[0] % 2 == 0; i++)
		text[i] = LETTERS[(unsigned char)text[i] % 8];
	check_decoder(text, size - 1, data[0]);
	check_encoder(text, size - 1, data[0], DOTS_SMTP);
	check_encoder(text, size - 1, data[0], DOTS_POP3);
	check_encoder(text, size - 1, data[0], DOTS_BDAT);
	free(text);
	return 0;
}
