/*
 * Envelopes: there and back, and every rule that a hostile one may break.
 */
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lib/envelope.h"
#include "lib/pack.h"
#include "lib/records.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
#define TEXT(literal) literal, sizeof literal - 1

static enum envelope_result
unpack(const stralloc *octets, int origin_optional)
{
	struct envelope envelope;
	enum envelope_result result = envelope_unpack(
		octets->s, octets->len, origin_optional, &envelope);

	if (result != ENVELOPE_OK) {
		assert_null(envelope.reverse_path);
		assert_null(envelope.recipient);
		assert_int_equal(0, envelope.recipients);
	}
	envelope_free(&envelope);
	return result;
}

/* --- there and back --- */

static void
fill(struct envelope *envelope)
{
	*envelope = ENVELOPE_ZERO;
	envelope->reverse_path = strdup("\"a b\"@example.net");
	envelope->body = BODY_8BITMIME;
	envelope->smtputf8 = 1;
	envelope->requiretls = 1;
	envelope->ret = RET_HDRS;
	envelope->envid = strdup("QQ314159");
	envelope->origin.kind = ORIGIN_NETWORK;
	envelope->origin.uid = 4000000000u;
	envelope->origin.client_address = strdup("[192.0.2.1]");
	envelope->origin.client_name = strdup("client.example");
	envelope->origin.hello = strdup("hello.example");
	envelope->origin.protocol = strdup("ESMTP");
	envelope->origin.authenticated = strdup("user@example.org");
	envelope->origin.tls = strdup("TLSv1.3");
	assert_int_equal(0,
		envelope_add_recipient(envelope, "b@example.org",
			NOTIFY_SUCCESS | NOTIFY_DELAY, "rfc822;b@example.org"));
	assert_int_equal(0, envelope_add_recipient(envelope,
				    "\303\274@example.org", NOTIFY_NEVER, ""));
}

static void
test_round_trip(void **state)
{
	stralloc packed = STRALLOC_ZERO, again = STRALLOC_ZERO;
	struct envelope envelope, copy;

	(void)state;
	fill(&envelope);
	assert_int_equal(0, envelope_pack(&envelope, &packed));
	assert_int_equal(
		ENVELOPE_OK, envelope_unpack(packed.s, packed.len, 0, &copy));
	assert_string_equal("\"a b\"@example.net", copy.reverse_path);
	assert_int_equal(BODY_8BITMIME, copy.body);
	assert_int_equal(1, copy.smtputf8);
	assert_int_equal(1, copy.requiretls);
	assert_int_equal(RET_HDRS, copy.ret);
	assert_string_equal("QQ314159", copy.envid);
	assert_int_equal(ORIGIN_NETWORK, copy.origin.kind);
	assert_true(copy.origin.uid == 4000000000u);
	assert_string_equal("[192.0.2.1]", copy.origin.client_address);
	assert_string_equal("client.example", copy.origin.client_name);
	assert_string_equal("hello.example", copy.origin.hello);
	assert_string_equal("ESMTP", copy.origin.protocol);
	assert_string_equal("user@example.org", copy.origin.authenticated);
	assert_string_equal("TLSv1.3", copy.origin.tls);
	assert_int_equal(2, copy.recipients);
	assert_string_equal("b@example.org", copy.recipient[0].address);
	assert_int_equal(
		NOTIFY_SUCCESS | NOTIFY_DELAY, copy.recipient[0].notify);
	assert_string_equal("rfc822;b@example.org", copy.recipient[0].orcpt);
	assert_string_equal("\303\274@example.org", copy.recipient[1].address);
	assert_int_equal(NOTIFY_NEVER, copy.recipient[1].notify);
	assert_string_equal("", copy.recipient[1].orcpt);
	assert_int_equal(0, envelope_pack(&copy, &again));
	assert_int_equal(packed.len, again.len);
	assert_memory_equal(packed.s, again.s, again.len);
	envelope_free(&envelope);
	envelope_free(&envelope);
	envelope_free(&copy);
	stralloc_free(&packed);
	stralloc_free(&again);
}

/* A bounce: no reverse-path, no origin yet; missing texts become "". */
static void
test_least(void **state)
{
	stralloc packed = STRALLOC_ZERO;
	struct envelope envelope = ENVELOPE_ZERO, copy;

	(void)state;
	assert_int_equal(0, envelope_add_recipient(&envelope, "a@b.c", 0, ""));
	assert_int_equal(0, envelope_pack(&envelope, &packed));
	assert_int_equal(ENVELOPE_BAD_FORMAT, unpack(&packed, 0));
	assert_int_equal(
		ENVELOPE_OK, envelope_unpack(packed.s, packed.len, 1, &copy));
	assert_string_equal("", copy.reverse_path);
	assert_string_equal("", copy.envid);
	assert_int_equal(0, copy.origin.kind);
	assert_string_equal("", copy.origin.client_address);
	assert_string_equal("", copy.origin.tls);
	assert_string_equal("", copy.recipient[0].orcpt);
	envelope_free(&copy);
	envelope.origin.kind = ORIGIN_SUITE;
	packed.len = 0;
	assert_int_equal(0, envelope_pack(&envelope, &packed));
	assert_int_equal(ENVELOPE_OK, unpack(&packed, 0));
	assert_int_equal(ENVELOPE_OK, unpack(&packed, 1));
	envelope_free(&envelope);
	stralloc_free(&packed);
}

static void
test_many_recipients(void **state)
{
	struct envelope envelope = ENVELOPE_ZERO, copy;
	stralloc packed = STRALLOC_ZERO;
	char address[40];
	uint32_t i;

	(void)state;
	envelope.origin.kind = ORIGIN_LOCAL;
	for (i = 0; i < ENVELOPE_RECIPIENTS_MAX; i++) {
		snprintf(address, sizeof address, "r%u@example.org", i);
		assert_int_equal(
			0, envelope_add_recipient(&envelope, address, 0, ""));
	}
	errno = 0;
	assert_int_equal(-1, envelope_add_recipient(&envelope, "a@b.c", 0, ""));
	assert_int_equal(E2BIG, errno);
	assert_int_equal(0, envelope_pack(&envelope, &packed));
	assert_int_equal(
		ENVELOPE_OK, envelope_unpack(packed.s, packed.len, 0, &copy));
	assert_int_equal(ENVELOPE_RECIPIENTS_MAX, copy.recipients);
	for (i = 0; i < copy.recipients; i++)
		assert_string_equal(envelope.recipient[i].address,
			copy.recipient[i].address);
	envelope_free(&copy);
	/* one more, which envelope_add_recipient would not have added */
	assert_int_equal(
		0, record_append(&packed, 'T', TEXT("\0\5a@b.c\0\0\0")));
	assert_int_equal(ENVELOPE_BAD_FORMAT, unpack(&packed, 0));
	envelope_free(&envelope);
	stralloc_free(&packed);
}

/* --- what is not packed --- */

/* One text of a good envelope with something that must not get in. */
static void
refuses_to_pack(const struct envelope *envelope, char **text, size_t max)
{
	static const char BAD[] = {1, '\n', '\r', '\t', 31, 127};
	char *saved = *text, control[] = "a?b", *longest = calloc(1, max + 2);
	stralloc packed = STRALLOC_ZERO;

	assert_non_null(longest);
	assert_true(stralloc_cats(&packed, "before"));
	*text = control;
	for (size_t i = 0; i < sizeof BAD; i++) {
		control[1] = BAD[i];
		errno = 0;
		assert_int_equal(-1, envelope_pack(envelope, &packed));
		assert_int_equal(EINVAL, errno);
		assert_int_equal(6, packed.len);
	}
	*text = memset(longest, 'x', max + 1);
	errno = 0;
	assert_int_equal(-1, envelope_pack(envelope, &packed));
	assert_int_equal(EINVAL, errno);
	assert_int_equal(6, packed.len);
	longest[max] = 0;
	assert_int_equal(0, envelope_pack(envelope, &packed));
	assert_memory_equal("before", packed.s, 6);
	*text = saved;
	free(longest);
	stralloc_free(&packed);
}

static void
test_not_packed(void **state)
{
	struct envelope envelope;
	struct origin *origin = &envelope.origin;
	char **text[] = {&origin->client_address, &origin->client_name,
		&origin->hello, &origin->protocol, &origin->authenticated,
		&origin->tls};

	(void)state;
	fill(&envelope);
	refuses_to_pack(
		&envelope, &envelope.reverse_path, ENVELOPE_ADDRESS_MAX);
	refuses_to_pack(&envelope, &envelope.envid, ENVELOPE_ENVID_MAX);
	refuses_to_pack(&envelope, &envelope.recipient[1].address,
		ENVELOPE_ADDRESS_MAX);
	refuses_to_pack(
		&envelope, &envelope.recipient[0].orcpt, ENVELOPE_ORCPT_MAX);
	for (size_t i = 0; i < LENGTH(text); i++)
		refuses_to_pack(&envelope, text[i], ENVELOPE_ORIGIN_TEXT_MAX);
	envelope_free(&envelope);
}

/* --- what is not unpacked --- */

/*
 * Envelopes from a script: each letter a record that is sound by itself.
 * F f(null) P O T t(another), and x an unknown one, "." an empty one of type 0.
 */
static void
add_record(stralloc *octets, char letter)
{
	static const struct {
		char letter;
		uint8_t type;
		const char *payload;
		size_t length;
	} SOUND[] = {
		{'F', 'F', TEXT("a@b.c")},
		{'f', 'F', TEXT("")},
		{'P', 'P', TEXT("\0\0\0\0\0\2id")},
		{'O', 'O', TEXT("\1\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0")},
		{'T', 'T', TEXT("\0\5d@e.f\0\0\0")},
		{'t', 'T', TEXT("\0\5g@h.i\16\0\0")},
		{'x', 'x', TEXT("?")},
		{'R', 'R', TEXT("\0")},
		{'.', 0, TEXT("")},
	};

	for (size_t i = 0; i < LENGTH(SOUND); i++)
		if (SOUND[i].letter == letter) {
			assert_int_equal(
				0, record_append(octets, SOUND[i].type,
					   SOUND[i].payload, SOUND[i].length));
			return;
		}
	fail_msg("no such record: %c", letter);
}

/* Whether it is sound with its origin, and as a submission that may lack it. */
static void
check_script(const char *script, int is_whole, int is_submission)
{
	stralloc octets = STRALLOC_ZERO;

	for (const char *at = script; *at; at++)
		add_record(&octets, *at);
	if ((unpack(&octets, 0) == ENVELOPE_OK) != is_whole)
		fail_msg("%s with its origin", script);
	if ((unpack(&octets, 1) == ENVELOPE_OK) != is_submission)
		fail_msg("%s as a submission", script);
	stralloc_free(&octets);
}

static void
test_order(void **state)
{
	static const char *const WHOLE[] = {"FPOT", "FPOTt", "fPOtTT", "FOT"};
	static const char *const SUBMISSION[] = {"FPT", "FT", "fT"};
	static const char *const BAD[] = {"", "F", "FPO", "POT", "OT", "T",
		"PFOT", "OFPT", "POFT", "TFPO", "FFPOT", "FfPOT", "FPFOT",
		"FPOFT", "FPOTF", "FPPOT", "FOPT", "FPOPT", "FPOOT", "FOPOT",
		"FPTO", "FOTP", "FTPO", "FPOTP", "FPOTO", "FPOTx", "xFPOT",
		"FxPOT", "FPOTR", "FPOT.", ".FPOT"};

	(void)state;
	for (size_t i = 0; i < LENGTH(WHOLE); i++)
		check_script(WHOLE[i], 1, 1);
	for (size_t i = 0; i < LENGTH(SUBMISSION); i++)
		check_script(SUBMISSION[i], 0, 1);
	for (size_t i = 0; i < LENGTH(BAD); i++)
		check_script(BAD[i], 0, 0);
}

/* The script with the record of this type replaced. */
static enum envelope_result
unpack_with(uint8_t type, const char *payload, size_t length)
{
	stralloc octets = STRALLOC_ZERO;

	for (const char *at = "FPOT"; *at; at++)
		if (*at == (char)type)
			assert_int_equal(0,
				record_append(&octets, type, payload, length));
		else
			add_record(&octets, *at);
	enum envelope_result result = unpack(&octets, 0);
	stralloc_free(&octets);
	return result;
}

static void
test_payloads(void **state)
{
	static const struct {
		const char *name;
		enum envelope_result result;
		uint8_t type;
		const char *payload;
		size_t length;
	} ROW[] = {
#define OK ENVELOPE_OK
#define FORMAT ENVELOPE_BAD_FORMAT
#define ADDRESS ENVELOPE_BAD_ADDRESS
#define NO_TEXTS "\0\0\0\0\0\0\0\0\0\0\0\0"
		{"F double bounce", OK, 'F', TEXT("#@[]")},
		{"F", OK, 'F', TEXT("x@example.org")},
		{"F quoted", OK, 'F', TEXT("\"x y\"@example.org")},
		{"F literal", OK, 'F', TEXT("x@[192.0.2.1]")},
		{"F without domain", ADDRESS, 'F', TEXT("x")},
		{"F with brackets", ADDRESS, 'F', TEXT("<x@example.org>")},
		{"F with LF", ADDRESS, 'F', TEXT("x@example.org\n")},
		{"F with LF inside", ADDRESS, 'F',
			TEXT("\"x\ny\"@example.org")},
		{"F with NUL", ADDRESS, 'F', TEXT("x@example.org\0")},
		{"F with DEL", ADDRESS, 'F', TEXT("x\177@example.org")},
		{"F two", ADDRESS, 'F', TEXT("x@example.org y@example.org")},
		{"F not UTF-8", ADDRESS, 'F', TEXT("\377@example.org")},
		{"P", OK, 'P', TEXT("\1\1\1\2\0\0")},
		{"P FULL", OK, 'P', TEXT("\0\0\0\1\0\0")},
		{"P body", FORMAT, 'P', TEXT("\2\0\0\0\0\0")},
		{"P smtputf8", FORMAT, 'P', TEXT("\0\2\0\0\0\0")},
		{"P requiretls", FORMAT, 'P', TEXT("\0\0\2\0\0\0")},
		{"P ret", FORMAT, 'P', TEXT("\0\0\0\3\0\0")},
		{"P empty", FORMAT, 'P', TEXT("")},
		{"P short", FORMAT, 'P', TEXT("\0\0\0")},
		{"P no envid", FORMAT, 'P', TEXT("\0\0\0\0")},
		{"P torn envid", FORMAT, 'P', TEXT("\0\0\0\0\0\2i")},
		{"P too much", FORMAT, 'P', TEXT("\0\0\0\0\0\2id+")},
		{"P control", FORMAT, 'P', TEXT("\0\0\0\0\0\2i\n")},
		{"P NUL", FORMAT, 'P', TEXT("\0\0\0\0\0\2i\0")},
		{"O local", OK, 'O', TEXT("\1\0\0\0\0" NO_TEXTS)},
		{"O suite", OK, 'O', TEXT("\3\377\377\377\377" NO_TEXTS)},
		{"O no kind", FORMAT, 'O', TEXT("\0\0\0\0\0" NO_TEXTS)},
		{"O kind", FORMAT, 'O', TEXT("\4\0\0\0\0" NO_TEXTS)},
		{"O far kind", FORMAT, 'O', TEXT("\377\0\0\0\0" NO_TEXTS)},
		{"O empty", FORMAT, 'O', TEXT("")},
		{"O short", FORMAT, 'O', TEXT("\1\0\0\0")},
		{"O five texts", FORMAT, 'O',
			TEXT("\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0")},
		{"O too much", FORMAT, 'O', TEXT("\1\0\0\0\0" NO_TEXTS "\0")},
		{"O control", FORMAT, 'O',
			TEXT("\1\0\0\0\0\0\1\r\0\0\0\0\0\0\0\0\0\0")},
		{"O control in the last", FORMAT, 'O',
			TEXT("\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\t")},
		{"T never", OK, 'T', TEXT("\0\5d@e.f\1\0\0")},
		{"T notify", OK, 'T', TEXT("\0\5d@e.f\16\0\0")},
		{"T orcpt", OK, 'T', TEXT("\0\5d@e.f\0\0\3r;x")},
		{"T never and more", FORMAT, 'T', TEXT("\0\5d@e.f\3\0\0")},
		{"T all of them", FORMAT, 'T', TEXT("\0\5d@e.f\17\0\0")},
		{"T unknown notify", FORMAT, 'T', TEXT("\0\5d@e.f\20\0\0")},
		{"T far notify", FORMAT, 'T', TEXT("\0\5d@e.f\200\0\0")},
		{"T null", ADDRESS, 'T', TEXT("\0\0\0\0\0")},
		{"T no domain", ADDRESS, 'T', TEXT("\0\12postmaster\0\0\0")},
		{"T not one", ADDRESS, 'T', TEXT("\0\5d@e..\0\0\0")},
		{"T LF", ADDRESS, 'T', TEXT("\0\6d@e.f\n\0\0\0")},
		{"T NUL", ADDRESS, 'T', TEXT("\0\6d@e.f\0\0\0\0")},
		{"T empty", FORMAT, 'T', TEXT("")},
		{"T torn", FORMAT, 'T', TEXT("\0\6d@e.f")},
		{"T no notify", FORMAT, 'T', TEXT("\0\5d@e.f")},
		{"T no orcpt", FORMAT, 'T', TEXT("\0\5d@e.f\0")},
		{"T torn orcpt", FORMAT, 'T', TEXT("\0\5d@e.f\0\0\4r;x")},
		{"T too much", FORMAT, 'T', TEXT("\0\5d@e.f\0\0\0\0")},
		{"T control", FORMAT, 'T', TEXT("\0\5d@e.f\0\0\3r;\177")},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(ROW); i++) {
		enum envelope_result result =
			unpack_with(ROW[i].type, ROW[i].payload, ROW[i].length);

		if (result != ROW[i].result)
			fail_msg("%s: %d", ROW[i].name, (int)result);
	}
}

/* A record with one text of this length in it. */
static enum envelope_result
unpack_long(uint8_t type, const char *before, size_t before_len, size_t length,
	const char *after, size_t after_len)
{
	stralloc payload = STRALLOC_ZERO;
	char *text = malloc(length);

	memset(text, 'x', length);
	assert_true(stralloc_catb(&payload, before, before_len));
	assert_int_equal(0, pack_text(&payload, text, length));
	assert_true(stralloc_catb(&payload, after, after_len));
	enum envelope_result result = unpack_with(type, payload.s, payload.len);
	free(text);
	stralloc_free(&payload);
	return result;
}

static void
test_lengths(void **state)
{
	static const char origin[] = "\1\0\0\0\1\0\0\0\0\0\0\0\0\0\0";
	char address[ENVELOPE_ADDRESS_MAX + 2];

	(void)state;
	for (size_t over = 0; over < 2; over++) {
		enum envelope_result expected = over ? FORMAT : OK;

		assert_int_equal(
			expected, unpack_long('P', "\0\0\0\0", 4,
					  ENVELOPE_ENVID_MAX + over, "", 0));
		assert_int_equal(
			expected, unpack_long('T', TEXT("\0\5d@e.f\0"),
					  ENVELOPE_ORCPT_MAX + over, "", 0));
		for (size_t texts = 0; texts < 6; texts++)
			assert_int_equal(expected,
				unpack_long('O', origin, 5 + 2 * texts,
					ENVELOPE_ORIGIN_TEXT_MAX + over,
					origin + 5, 10 - 2 * texts));
	}
	memset(address, 'x', sizeof address);
	memcpy(address + sizeof address - 6, "@e.org", 6);
	assert_int_equal(ADDRESS, unpack_with('F', address, sizeof address));
	assert_int_equal(OK, unpack_with('F', address + 800, 202));
}

/* A tail that is no record, and one octet changed anywhere. */
static void
test_damage(void **state)
{
	stralloc octets = STRALLOC_ZERO;
	struct envelope envelope;

	(void)state;
	fill(&envelope);
	assert_int_equal(0, envelope_pack(&envelope, &octets));
	assert_int_equal(OK, unpack(&octets, 0));
	for (size_t i = 0; i < octets.len; i++) {
		octets.s[i] ^= 1;
		assert_int_not_equal(OK, unpack(&octets, 0));
		octets.s[i] ^= 1;
	}
	size_t whole = octets.len;
	/* cut between two recipients it is whole again: lengths elsewhere */
	for (octets.len = 0; octets.len < whole - 60; octets.len++)
		assert_int_not_equal(OK, unpack(&octets, 0));
	octets.len = whole;
	assert_true(stralloc_catb(&octets, "\0", 1));
	assert_int_equal(FORMAT, unpack(&octets, 0));
	octets.len = 0;
	assert_int_equal(FORMAT, unpack(&octets, 1));
	envelope_free(&envelope);
	stralloc_free(&octets);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_least),
		cmocka_unit_test(test_many_recipients),
		cmocka_unit_test(test_not_packed),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_payloads),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}
