/*
 * Transparency and line ends, at every split of the input and with the smallest
 * buffers.
 */
#include "lib/dots.h"
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
#define TEXT(literal) literal, sizeof literal - 1
#define NO_END ((size_t)-1)

static const struct data_row {
	const char *name;
	const char *wire;
	size_t wire_len;
	const char *content;
	size_t content_len;
	unsigned seen;
	size_t end; /* octets consumed at the end, or NO_END */
} DATA_ROWS[] = {
	{"1 dot at once", TEXT(".\r\n"), TEXT(""), 0, 3},
	{"2 doubled dot first", TEXT("..a\r\n.\r\n"), TEXT(".a\n"), 0, 8},
	{"2 single dot first", TEXT(".a\r\n.\r\n"), TEXT("a\n"), 0, 7},
	{"2 doubled dot alone", TEXT("..\r\n.\r\n"), TEXT(".\n"), 0, 7},
	{"3 CRLF . LF", TEXT("a\r\n.\nb"), TEXT("a\n\nb"), DOTS_BARE_LF,
		NO_END},
	{"4 LF . LF", TEXT("a\n.\nb"), TEXT("a\n.\nb"), DOTS_BARE_LF, NO_END},
	{"4 LF . CRLF", TEXT("a\n.\r\nb"), TEXT("a\n.\nb"), DOTS_BARE_LF,
		NO_END},
	{"4 CR . CR", TEXT("a\r.\rb"), TEXT("a\r.\rb"), DOTS_BARE_CR, NO_END},
	{"4 CR . CRLF", TEXT("a\r.\r\nb"), TEXT("a\r.\nb"), DOTS_BARE_CR,
		NO_END},
	{"5 CRLF . CR CRLF", TEXT("a\r\n.\r\r\nb"), TEXT("a\n\r\nb"),
		DOTS_BARE_CR, NO_END},
	{"5 and then the end", TEXT("a\r\n.\r\r\n.\r\n"), TEXT("a\n\r\n"),
		DOTS_BARE_CR, 10},
	{"6 CRLF . CR b", TEXT("a\r\n.\rb"), TEXT("a\n\rb"), DOTS_BARE_CR,
		NO_END},
	{"7 CR inside", TEXT("a\rb\r\n.\r\n"), TEXT("a\rb\n"), DOTS_BARE_CR, 8},
	{"7 NUL inside", TEXT("a\0b\r\n.\r\n"), TEXT("a\0b\n"), DOTS_NUL, 8},
	{"7 NUL after the end", TEXT("a\r\n.\r\n\0"), TEXT("a\n"), 0, 6},
	{"9 LF inside, then the end", TEXT("a\nb\r\n.\r\n"), TEXT("a\nb\n"),
		DOTS_BARE_LF, 8},
	{"9 LF first", TEXT("\n.\r\n\r\n.\r\n"), TEXT("\n.\n\n"), DOTS_BARE_LF,
		9},
	{"10 CR and LF apart", TEXT("aaaaaaa\r\nb\r\n.\r\n"),
		TEXT("aaaaaaa\nb\n"), 0, 15},
	{"11 a command after the end", TEXT("a\r\n.\r\nQUIT\r\n"), TEXT("a\n"),
		0, 6},
	{"11 LF after the end", TEXT("a\r\n.\r\n\n"), TEXT("a\n"), 0, 6},
	{"11 an end after the end", TEXT("a\r\n.\r\n.\r\n"), TEXT("a\n"), 0, 6},
	{"13 lost before the end", TEXT("a\r\n."), TEXT("a\n"), 0, NO_END},
	{"13 lost before the last LF", TEXT("a\r\n.\r"), TEXT("a\n"), 0,
		NO_END},
	{"empty line", TEXT("\r\n.\r\n"), TEXT("\n"), 0, 5},
	{"CR CR LF", TEXT("a\r\r\n.\r\n"), TEXT("a\r\n"), DOTS_BARE_CR, 7},
	{"CR CR . CRLF", TEXT("a\r\r.\r\nb"), TEXT("a\r\r.\nb"), DOTS_BARE_CR,
		NO_END},
	{"LF CR", TEXT("a\n\rb"), TEXT("a\n\rb"), DOTS_BARE_LF | DOTS_BARE_CR,
		NO_END},
	{"dot inside a line", TEXT("a.\r\n.\r\n"), TEXT("a.\n"), 0, 7},
	{"dot and space", TEXT(". \r\n.\r\n"), TEXT(" \n"), 0, 7},
	{"CRLF . CR . CRLF", TEXT("\r\n.\r.\r\n.\r\n"), TEXT("\n\r.\n"),
		DOTS_BARE_CR, 10},
	{"8 bit", TEXT("\377\200\r\n.\r\n"), TEXT("\377\200\n"), 0, 7},
};

/* Feeds wire[0..len) in three pieces, through an output of `room` octets. */
static void
decode_split(
	const struct data_row *row, size_t first, size_t second, size_t room)
{
	const size_t cut[] = {first, second, row->wire_len};
	struct dots_decoder decoder;
	enum dots_result result = DOTS_MORE;
	char content[256];
	size_t at = 0, length = 0, i;

	dots_decode_start(&decoder, DOTS_DATA);
	for (i = 0; i < LENGTH(cut) && result == DOTS_MORE; i++) {
		while (at < cut[i] && result == DOTS_MORE) {
			size_t consumed, produced;

			result = dots_decode(&decoder, row->wire + at,
				cut[i] - at, &consumed, content + length, room,
				&produced);
			if (produced > room || consumed > cut[i] - at)
				fail_msg("%s: too much", row->name);
			at += consumed;
			length += produced;
			if (consumed == 0 && produced == 0)
				fail_msg("%s: no progress", row->name);
		}
	}
	if ((result == DOTS_END) != (row->end != NO_END) ||
		(row->end != NO_END && at != row->end))
		fail_msg("%s at %zu,%zu: end at %zu", row->name, first, second,
			at);
	if (length != row->content_len ||
		memcmp(content, row->content, length) != 0)
		fail_msg("%s at %zu,%zu: content", row->name, first, second);
	if (decoder.seen != row->seen)
		fail_msg("%s at %zu,%zu: seen %u", row->name, first, second,
			decoder.seen);
}

static void
test_data(void **state)
{
	static const size_t ROOM[] = {2, 3, 4, 5, 100};
	size_t row, first, second, room;

	(void)state;
	for (row = 0; row < LENGTH(DATA_ROWS); row++)
		for (first = 0; first <= DATA_ROWS[row].wire_len; first++)
			for (second = first; second <= DATA_ROWS[row].wire_len;
				second++)
				for (room = 0; room < LENGTH(ROOM); room++)
					decode_split(&DATA_ROWS[row], first,
						second, ROOM[room]);
}

static void
test_octet_by_octet(void **state)
{
	size_t row;

	(void)state;
	for (row = 0; row < LENGTH(DATA_ROWS); row++) {
		const struct data_row *r = &DATA_ROWS[row];
		struct dots_decoder decoder;
		char content[256];
		size_t at = 0, length = 0, consumed, produced;
		enum dots_result result = DOTS_MORE;

		dots_decode_start(&decoder, DOTS_DATA);
		while (at < r->wire_len && result == DOTS_MORE) {
			result = dots_decode(&decoder, r->wire + at, 1,
				&consumed, content + length, 2, &produced);
			assert_int_equal(1, consumed);
			at++;
			length += produced;
		}
		assert_int_equal(r->content_len, length);
		assert_memory_equal(r->content, content, length);
		assert_int_equal(r->seen, decoder.seen);
	}
}

/* Row 12: lines of any length; here with blocks that cut them. */
static void
test_long_lines(void **state)
{
	static const size_t LINE[] = {998, 999, 1000, 65535, 10 * 1000 * 1000};
	size_t i;

	(void)state;
	for (i = 0; i < LENGTH(LINE); i++) {
		char *wire = malloc(LINE[i] + 5), *out = malloc(4097);
		struct dots_decoder decoder;
		size_t at = 0, length = 0, consumed, produced;
		enum dots_result result;

		memset(wire, 'x', LINE[i]);
		memcpy(wire + LINE[i], "\r\n.\r\n", 5);
		dots_decode_start(&decoder, DOTS_DATA);
		do {
			size_t count = LINE[i] + 5 - at;

			if (count > 4096)
				count = 4096;
			result = dots_decode(&decoder, wire + at, count,
				&consumed, out, 4097, &produced);
			assert_int_equal(count, consumed);
			at += consumed;
			length += produced;
		} while (result == DOTS_MORE && at < LINE[i] + 5);
		assert_int_equal(DOTS_END, result);
		assert_int_equal(LINE[i] + 1, length);
		assert_int_equal(0, decoder.seen);
		free(wire);
		free(out);
	}
}

static const struct plain_row {
	const char *name;
	enum dots_mode mode;
	const char *in;
	size_t in_len;
	const char *content;
	size_t content_len;
	unsigned seen;
} PLAIN_ROWS[] = {
	{"dots stand", DOTS_CHUNK, TEXT("..a\r\n.\r\n.b"), TEXT("..a\n.\n.b"),
		0},
	{"bare CR last", DOTS_CHUNK, TEXT("a\r"), TEXT("a\r"), DOTS_BARE_CR},
	{"bare LF", DOTS_CHUNK, TEXT("a\n"), TEXT("a\n"), DOTS_BARE_LF},
	{"empty", DOTS_CHUNK, TEXT(""), TEXT(""), 0},
	{"all three", DOTS_LOCAL, TEXT("a\nb\r\nc\rd"), TEXT("a\nb\nc\nd"), 0},
	{"CR last", DOTS_LOCAL, TEXT("a\r"), TEXT("a\n"), 0},
	{"dots stand locally", DOTS_LOCAL, TEXT("..\n.\r\n"), TEXT("..\n.\n"),
		0},
	{"NUL", DOTS_LOCAL, TEXT("a\0\n"), TEXT("a\0\n"), DOTS_NUL},
};

static void
test_plain(void **state)
{
	size_t i, split;

	(void)state;
	for (i = 0; i < LENGTH(PLAIN_ROWS); i++) {
		const struct plain_row *row = &PLAIN_ROWS[i];

		for (split = 0; split <= row->in_len; split++) {
			struct dots_decoder decoder;
			char content[64];
			size_t consumed, length, produced;

			dots_decode_start(&decoder, row->mode);
			dots_decode(&decoder, row->in, split, &consumed,
				content, sizeof content, &length);
			assert_int_equal(split, consumed);
			dots_decode(&decoder, row->in + split,
				row->in_len - split, &consumed,
				content + length, sizeof content - length,
				&produced);
			length += produced;
			length +=
				dots_decode_finish(&decoder, content + length);
			if (length != row->content_len ||
				memcmp(content, row->content, length) != 0 ||
				decoder.seen != row->seen)
				fail_msg("%s at %zu", row->name, split);
		}
	}
}

static const struct wire_row {
	const char *name;
	enum dots_policy policy;
	const char *content;
	size_t content_len;
	const char *wire;
	size_t wire_len;
	uint64_t wire_octets;
} WIRE_ROWS[] = {
	{"empty", DOTS_SMTP, TEXT(""), TEXT(".\r\n"), 0},
	{"one line", DOTS_SMTP, TEXT("a\n"), TEXT("a\r\n.\r\n"), 3},
	{"no last line end", DOTS_SMTP, TEXT("a"), TEXT("a\r\n.\r\n"), 3},
	{"empty line", DOTS_SMTP, TEXT("\n"), TEXT("\r\n.\r\n"), 2},
	{"first dot", DOTS_SMTP, TEXT("."), TEXT("..\r\n.\r\n"), 3},
	{"dot line", DOTS_SMTP, TEXT("a\n.\nb\n"),
		TEXT("a\r\n..\r\nb\r\n.\r\n"), 9},
	{"two dots", DOTS_SMTP, TEXT("..\n"), TEXT("...\r\n.\r\n"), 4},
	{"dot inside", DOTS_SMTP, TEXT("a.b\n"), TEXT("a.b\r\n.\r\n"), 5},
	{"CRLF stays", DOTS_SMTP, TEXT("a\r\n.\r\n"), TEXT("a\r\n..\r\n.\r\n"),
		6},
	{"CR becomes CRLF", DOTS_SMTP, TEXT("a\rb\n"), TEXT("a\r\nb\r\n.\r\n"),
		6},
	{"a dot after CR is stuffed", DOTS_SMTP, TEXT("a\r.\rb\n"),
		TEXT("a\r\n..\r\nb\r\n.\r\n"), 9},
	{"CR last", DOTS_SMTP, TEXT("a\r"), TEXT("a\r\n.\r\n"), 3},
	{"CR first", DOTS_SMTP, TEXT("\ra"), TEXT("\r\na\r\n.\r\n"), 5},
	{"CR CR LF", DOTS_SMTP, TEXT("a\r\r\nb"), TEXT("a\r\n\r\nb\r\n.\r\n"),
		8},
	{"LF CR", DOTS_SMTP, TEXT("\n\r.\n"), TEXT("\r\n\r\n..\r\n.\r\n"), 7},
	{"NUL and 8 bit", DOTS_SMTP, TEXT("\0\377\n"), TEXT("\0\377\r\n.\r\n"),
		4},
	{"CR is kept", DOTS_POP3, TEXT("a\rb\n"), TEXT("a\rb\r\n.\r\n"), 5},
	{"CR . is no line", DOTS_POP3, TEXT("\r.\n"), TEXT("\r.\r\n.\r\n"), 4},
	{"CRLF stays in POP3", DOTS_POP3, TEXT("a\r\n.\n"),
		TEXT("a\r\n..\r\n.\r\n"), 6},
	{"CR CR is kept", DOTS_POP3, TEXT("\r\r\n"), TEXT("\r\r\n.\r\n"), 3},
	{"CR last in POP3", DOTS_POP3, TEXT("a\r"), TEXT("a\r\r\n.\r\n"), 4},
	{"first dot in POP3", DOTS_POP3, TEXT(".a\n"), TEXT("..a\r\n.\r\n"), 4},
};

static void
encode_split(
	const struct wire_row *row, size_t first, size_t second, size_t room)
{
	const size_t cut[] = {first, second, row->content_len};
	struct dots_encoder encoder;
	struct dots_counter counter;
	char wire[256];
	size_t at = 0, length = 0, i;

	dots_encode_start(&encoder, row->policy);
	dots_count_start(&counter, row->policy);
	for (i = 0; i < LENGTH(cut); i++) {
		dots_count(&counter, row->content + at, cut[i] - at);
		while (at < cut[i]) {
			size_t consumed, produced;

			dots_encode(&encoder, row->content + at, cut[i] - at,
				&consumed, wire + length, room, &produced);
			if (produced > room || consumed > cut[i] - at)
				fail_msg("%s: too much", row->name);
			if (consumed == 0 && produced == 0)
				fail_msg("%s: no progress", row->name);
			at += consumed;
			length += produced;
		}
	}
	length += dots_encode_finish(&encoder, wire + length);
	if (length != row->wire_len || memcmp(wire, row->wire, length) != 0)
		fail_msg("%s at %zu,%zu room %zu: wire", row->name, first,
			second, room);
	if (dots_count_finish(&counter) != row->wire_octets)
		fail_msg("%s at %zu,%zu: %llu octets", row->name, first, second,
			(unsigned long long)counter.wire_octets);
}

static void
test_encode(void **state)
{
	static const size_t ROOM[] = {2, 3, 4, 5, 100};
	size_t row, first, second, room;

	(void)state;
	for (row = 0; row < LENGTH(WIRE_ROWS); row++)
		for (first = 0; first <= WIRE_ROWS[row].content_len; first++)
			for (second = first;
				second <= WIRE_ROWS[row].content_len; second++)
				for (room = 0; room < LENGTH(ROOM); room++)
					encode_split(&WIRE_ROWS[row], first,
						second, ROOM[room]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_octet_by_octet),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_encode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
