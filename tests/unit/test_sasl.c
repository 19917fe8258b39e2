/*
 * Ways to log in, with a database: the examples of the RFCs, what is malformed,
 * who is refused, and that the time does not tell who exists.
 */
#include "lib/base64.h"
#include "tools/sasl.h"
#include "tools/users.h"
#include "tests/unit/accounts.h"
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

#define PROOF ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="

/* --- exchanges with a database --- */

struct place {
	struct home home;
	struct auth_settings settings;
	struct auth_place place;
	struct auth_begin begin;
	struct auth_message reply;
	struct sasl sasl;
};

static void
put(struct place *at, const char *name, enum users_keeping keeping)
{
	struct users users;
	char why[300];

	assert_int_equal(users_open(&users, &at->home, why, sizeof why), 0);
	put_account(&users, name);
	assert_int_equal(users_put_password(&users, name, "tanstaaftanstaaf",
				 keeping, why, sizeof why),
		0);
	users_close(&users);
}

static int
make_place(void **state)
{
	struct place *at = calloc(1, sizeof *at);
	char path[HOME_NAME_MAX];
	static char none[] = "", me[] = "postoffice.reston.mci.net";

	assert_non_null(at);
	at->home.is_private = true;
	snprintf(at->home.path, sizeof at->home.path, "/tmp/saslXXXXXX");
	assert_non_null(mkdtemp(at->home.path));
	assert_int_equal(mkdir(home_path(&at->home, "users", path), 0700), 0);
	at->settings.program = none;
	at->settings.me = me;
	at->place.home = &at->home;
	at->place.settings = &at->settings;
	put(at, "a@x", USERS_KEEP_HASHES);
	put(at, "tim@x", USERS_KEEP_PASSWORD);
	*state = at;
	return 0;
}

static int
remove_place(void **state)
{
	static const char *const name[] = {
		"users/accounts.cdb", "users/secrets.cdb", "users/.lock"};
	struct place *at = *state;
	char path[HOME_NAME_MAX];

	for (size_t i = 0; i < LENGTH(name); i++)
		(void)unlink(home_path(&at->home, name[i], path));
	rmdir(home_path(&at->home, "users", path));
	rmdir(at->home.path);
	free(at);
	return 0;
}

static void
begin(struct place *at, enum auth_mechanism mechanism)
{
	memset(&at->begin, 0, sizeof at->begin);
	at->begin.mechanism = mechanism;
	sasl_start(&at->sasl, &at->place, &at->begin);
}

static enum sasl_next
take(struct place *at, const void *octets, size_t len)
{
	return sasl_take(&at->sasl, octets, len, &at->reply);
}

#define TAKE(at, text) take(at, text, sizeof(text) - 1)

static void
challenge_is(const struct place *at, const char *expected)
{
	assert_int_equal(at->reply.kind, AUTH_CHALLENGE);
	assert_int_equal(at->reply.length, strlen(expected));
	assert_memory_equal(at->reply.octets, expected, strlen(expected));
}

static void
test_plain(void **state)
{
#define ROW(text, next, verdict)                      \
	{                                             \
		text, sizeof(text) - 1, next, verdict \
	}
	static const struct {
		const char *text;
		size_t len;
		enum sasl_next next;
		enum auth_verdict verdict;
	} rows[] = {
		ROW("\0a@x\0tanstaaftanstaaf", SASL_READY, AUTH_YES),
		ROW("a@x\0a@x\0tanstaaftanstaaf", SASL_READY, AUTH_YES),
		ROW("A@x\0a@X\0tanstaaftanstaaf", SASL_READY, AUTH_YES),
		ROW("tim@x\0a@x\0tanstaaftanstaaf", SASL_READY, AUTH_NO),
		ROW("\0a@x\0t", SASL_READY, AUTH_NO),
		ROW("\0a@x\0", SASL_READY, AUTH_NO),
		ROW("\0b@x\0tanstaaftanstaaf", SASL_READY, AUTH_NO),
		ROW("\0seed\0tanstaaftanstaaf", SASL_READY, AUTH_NO),
		ROW("", SASL_MALFORMED, 0),
		ROW("a@x", SASL_MALFORMED, 0),
		ROW("a@x\0tanstaaftanstaaf", SASL_MALFORMED, 0),
		ROW("\0\0tanstaaftanstaaf", SASL_MALFORMED, 0),
		ROW("\0a@x\0tanstaaf\0tanstaaf", SASL_MALFORMED, 0),
		ROW("\0a@x\0tanstaaftanstaaf\0", SASL_MALFORMED, 0),
	};
	struct place *at = *state;

	for (size_t i = 0; i < LENGTH(rows); i++) {
		print_message("# row %zu\n", i);
		begin(at, AUTH_PLAIN);
		if (i % 2 == 1) {
			assert_int_equal(take(at, NULL, 0), SASL_CHALLENGE);
			challenge_is(at, "");
		}
		assert_int_equal(
			take(at, rows[i].text, rows[i].len), rows[i].next);
		if (rows[i].next == SASL_READY)
			assert_int_equal(
				sasl_check(&at->sasl), rows[i].verdict);
		if (rows[i].verdict == AUTH_YES)
			assert_string_equal(at->sasl.key, "u:a@x");
		assert_false(sasl_farewell(&at->sasl, &at->reply));
		sasl_end(&at->sasl);
	}
}

static void
test_login(void **state)
{
	struct place *at = *state;

	begin(at, AUTH_LOGIN);
	assert_int_equal(take(at, NULL, 0), SASL_CHALLENGE);
	challenge_is(at, "Username:");
	assert_int_equal(TAKE(at, "a@x"), SASL_CHALLENGE);
	challenge_is(at, "Password:");
	assert_int_equal(TAKE(at, "tanstaaftanstaaf"), SASL_READY);
	assert_int_equal(sasl_check(&at->sasl), AUTH_YES);
	begin(at, AUTH_LOGIN);
	assert_int_equal(TAKE(at, "a@x"), SASL_CHALLENGE);
	challenge_is(at, "Password:");
	assert_int_equal(TAKE(at, ""), SASL_READY);
	assert_int_equal(sasl_check(&at->sasl), AUTH_NO);
	begin(at, AUTH_LOGIN);
	assert_int_equal(TAKE(at, ""), SASL_MALFORMED);
	begin(at, AUTH_LOGIN);
	assert_int_equal(TAKE(at, "a\0b"), SASL_MALFORMED);
}

/* RFC 2195 section 2 has the challenge, the password and the digest. */
static void
test_cram(void **state)
{
	static const char challenge[] =
		"<1896.697170952@postoffice.reston.mci.net>";
	static const struct {
		const char *text;
		enum sasl_next next;
		enum auth_verdict verdict;
	} rows[] = {
		{"tim@x b913a602c7eda7a495b4e6e7334d3890", SASL_READY,
			AUTH_YES},
		{"tim@x B913A602C7EDA7A495B4E6E7334D3890", SASL_READY,
			AUTH_YES},
		{"tim@x b913a602c7eda7a495b4e6e7334d3891", SASL_READY, AUTH_NO},
		/* No password is kept. */
		{"a@x b913a602c7eda7a495b4e6e7334d3890", SASL_READY, AUTH_NO},
		{"b@x b913a602c7eda7a495b4e6e7334d3890", SASL_READY, AUTH_NO},
		{"tim@x", SASL_MALFORMED, 0},
		{" b913a602c7eda7a495b4e6e7334d3890", SASL_MALFORMED, 0},
		{"tim@x b913a602c7eda7a495b4e6e7334d389", SASL_MALFORMED, 0},
		{"tim@x b913a602c7eda7a495b4e6e7334d389g", SASL_MALFORMED, 0},
		{"tim@x  b913a602c7eda7a495b4e6e7334d3890", SASL_READY,
			AUTH_NO},
	};
	struct place *at = *state;
	char first[SASL_CRAM_MAX];

	for (size_t i = 0; i < LENGTH(rows); i++) {
		print_message("# %s\n", rows[i].text);
		begin(at, AUTH_CRAM_MD5);
		assert_int_equal(take(at, NULL, 0), SASL_CHALLENGE);
		if (i > 0)
			assert_string_not_equal(first, at->sasl.challenge);
		memcpy(first, at->sasl.challenge, sizeof first);
		challenge_is(at, first);
		assert_int_equal(first[0], '<');
		memcpy(at->sasl.challenge, challenge, sizeof challenge);
		assert_int_equal(take(at, rows[i].text, strlen(rows[i].text)),
			rows[i].next);
		if (rows[i].next == SASL_READY)
			assert_int_equal(
				sasl_check(&at->sasl), rows[i].verdict);
	}
	begin(at, AUTH_CRAM_MD5);
	assert_int_equal(TAKE(at, "tim@x b913a602c7eda7a495b4e6e7334d3890"),
		SASL_MALFORMED);
}

/* RFC 1939 section 7, with another password: its digest is by md5sum. */
static void
test_apop(void **state)
{
	static const char stamp[] = "<1896.697170952@dbc.mtview.ca.us>";
	struct place *at = *state;
	uint8_t digest[DIGEST_MD5];
	char text[100], digits[33];

	digest_md5(digest, stamp, strlen(stamp), "tanstaaf", 8);
	digest_hex(digits, digest, sizeof digest);
	assert_string_equal(digits, "c4c9334bac560ecc979e58001b3e22fb");
	digest_md5(digest, stamp, strlen(stamp), "tanstaaftanstaaf", 16);
	digest_hex(digits, digest, sizeof digest);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(text, sizeof text, "%s %s",
			i == 0	 ? "tim@x"
			: i == 1 ? "a@x"
				 : "b@x",
			digits);
		begin(at, AUTH_APOP);
		snprintf(at->begin.timestamp, sizeof at->begin.timestamp, "%s",
			stamp);
		assert_int_equal(take(at, text, strlen(text)), SASL_READY);
		assert_int_equal(
			sasl_check(&at->sasl), i == 0 ? AUTH_YES : AUTH_NO);
	}
	begin(at, AUTH_APOP);
	assert_int_equal(take(at, text, strlen(text)), SASL_MALFORMED);
}

static void
test_external(void **state)
{
	struct place *at = *state;

	for (unsigned i = 0; i < 4; i++) {
		begin(at, AUTH_EXTERNAL);
		snprintf(at->begin.channel.identity,
			sizeof at->begin.channel.identity, "%s",
			i == 3 ? "b@x" : "a@x");
		assert_int_equal(i == 0	  ? TAKE(at, "")
				 : i == 1 ? TAKE(at, "A@x")
				 : i == 2 ? TAKE(at, "tim@x")
					  : TAKE(at, ""),
			SASL_READY);
		assert_int_equal(
			sasl_check(&at->sasl), i < 2 ? AUTH_YES : AUTH_NO);
	}
	begin(at, AUTH_EXTERNAL);
	assert_int_equal(TAKE(at, "a@x"), SASL_MALFORMED);
}

/* What a client says to the challenge in at->reply, for a password. */
static size_t
write_final(const struct place *at, const char *header,
	const struct auth_channel *channel, const char *bare,
	const char *password, char *final, size_t size)
{
	char reply[SCRAM_MESSAGE_MAX], nonce[300], salt_text[30], text[200];
	char signed_text[1500];
	uint8_t salt[SCRAM_SALT], proof[DIGEST_SHA256], key[DIGEST_SHA256];
	uint8_t salted[DIGEST_SHA256], bound[200];
	unsigned iterations;

	snprintf(reply, sizeof reply, "%.*s", (int)at->reply.length,
		(const char *)at->reply.octets);
	assert_int_equal(sscanf(reply, "r=%299[^,],s=%29[^,],i=%u", nonce,
				 salt_text, &iterations),
		3);
	base64_read(salt, sizeof salt, salt_text, strlen(salt_text));
	digest_pbkdf2_sha256(salted, password, strlen(password), salt,
		SCRAM_SALT, iterations);
	digest_hmac_sha256(key, salted, 32, "Client Key", 10);
	memcpy(bound, header, strlen(header));
	memcpy(bound + strlen(header), channel->exporter,
		header[0] == 'p' ? channel->exporter_len : 0);
	base64_write(text, sizeof text, bound,
		strlen(header) +
			(header[0] == 'p' ? channel->exporter_len : 0));
	int len = snprintf(final, size, "c=%s,r=%s", text, nonce);
	snprintf(signed_text, sizeof signed_text, "%s,%s,%s", bare, reply,
		final);
	digest_sha256(proof, key, 32);
	digest_hmac_sha256(proof, proof, 32, signed_text, strlen(signed_text));
	for (size_t i = 0; i < 32; i++)
		proof[i] ^= key[i];
	base64_write(text, sizeof text, proof, 32);
	len += snprintf(final + len, size - (size_t)len, ",p=%s", text);
	return (size_t)len;
}

static void
test_scram(void **state)
{
	static const struct {
		const char *header, *bare, *password;
		bool is_plus, is_other_channel;
		enum auth_verdict verdict;
	} rows[] = {
		{"n,,", "n=a@x,r=abc", "tanstaaftanstaaf", 0, 0, AUTH_YES},
		{"n,a=A@x,", "n=a@X,r=abc", "tanstaaftanstaaf", 0, 0, AUTH_YES},
		{"n,a=tim@x,", "n=a@x,r=abc", "tanstaaftanstaaf", 0, 0,
			AUTH_NO},
		{"n,,", "n=a@x,r=abc", "wrong", 0, 0, AUTH_NO},
		{"n,,", "n=b@x,r=abc", "tanstaaftanstaaf", 0, 0, AUTH_NO},
		{"p=tls-exporter,,", "n=a@x,r=abc", "tanstaaftanstaaf", 1, 0,
			AUTH_YES},
		{"p=tls-exporter,,", "n=a@x,r=abc", "tanstaaftanstaaf", 1, 1,
			AUTH_NO},
	};
	struct place *at = *state;
	char first[200], final[900];

	for (size_t i = 0; i < LENGTH(rows); i++) {
		struct auth_channel channel = {.exporter_len = 32};

		print_message("# row %zu\n", i);
		memset(channel.exporter, 7, sizeof channel.exporter);
		begin(at, rows[i].is_plus ? AUTH_SCRAM_SHA_256_PLUS
					  : AUTH_SCRAM_SHA_256);
		at->begin.channel = channel;
		assert_int_equal(take(at, NULL, 0), SASL_CHALLENGE);
		challenge_is(at, "");
		snprintf(first, sizeof first, "%s%s", rows[i].header,
			rows[i].bare);
		assert_int_equal(
			take(at, first, strlen(first)), SASL_CHALLENGE);
		channel.exporter[31] ^= rows[i].is_other_channel;
		size_t len = write_final(at, rows[i].header, &channel,
			rows[i].bare, rows[i].password, final, sizeof final);
		assert_int_equal(take(at, final, len), SASL_READY);
		assert_int_equal(sasl_check(&at->sasl), rows[i].verdict);
		if (rows[i].verdict == AUTH_YES) {
			assert_true(sasl_farewell(&at->sasl, &at->reply));
			assert_memory_equal(at->reply.octets, "v=", 2);
		}
	}
	/* A downgrade is refused once it is seen. */
	begin(at, AUTH_SCRAM_SHA_256);
	at->begin.channel.exporter_len = 32;
	assert_int_equal(TAKE(at, "y,,n=a@x,r=abc"), SASL_READY);
	assert_int_equal(sasl_check(&at->sasl), AUTH_NO);
}

/* --- the time --- */

static int64_t
cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* One try; gives its CPU time. */
static int64_t
attempt(struct place *at, enum auth_mechanism mechanism, const char *name)
{
	char text[200];

	begin(at, mechanism);
	int len =
		mechanism == AUTH_PLAIN
			? snprintf(text, sizeof text, "%c%s%cnot this one", 0,
				  name, 0)
			: snprintf(text, sizeof text,
				  "%s b913a602c7eda7a495b4e6e7334d3890", name);
	int64_t start_ns = cpu_ns();
	if (mechanism == AUTH_SCRAM_SHA_256) {
		len = snprintf(text, sizeof text, "n,,n=%s,r=abc", name);
		assert_int_equal(take(at, text, (size_t)len), SASL_CHALLENGE);
		len = snprintf(text, sizeof text, "c=biws,r=%s" PROOF,
			at->sasl.scram.nonce);
	} else if (mechanism == AUTH_CRAM_MD5) {
		assert_int_equal(take(at, NULL, 0), SASL_CHALLENGE);
	}
	assert_int_equal(take(at, text, (size_t)len), SASL_READY);
	assert_int_equal(sasl_check(&at->sasl), AUTH_NO);
	return cpu_ns() - start_ns;
}

static int
compare(const void *one, const void *other)
{
	int64_t left = *(const int64_t *)one, right = *(const int64_t *)other;

	return (left > right) - (left < right);
}

/*
 * Names that exist and others, by turns; the lower quartiles of the two are
 * compared, which other processes hardly touch. allowed is what may lie between
 * them, as a part of the one.
 */
static void
compare_times(struct place *at, enum auth_mechanism mechanism, size_t tries,
	double allowed)
{
	int64_t *known = calloc(tries, sizeof *known);
	int64_t *unknown = calloc(tries, sizeof *unknown);

	assert_non_null(known);
	assert_non_null(unknown);
	for (size_t i = 0; i < tries; i++) {
		known[i] = attempt(at, mechanism, "tim@x");
		unknown[i] = attempt(at, mechanism, "tom@x");
	}
	qsort(known, tries, sizeof *known, compare);
	qsort(unknown, tries, sizeof *unknown, compare);
	double one = (double)known[tries / 4];
	double other = (double)unknown[tries / 4];
	print_message("# mechanism %d, %zu tries of each: known %.1f us, "
		      "unknown %.1f us, %+.2f %%\n",
		(int)mechanism, tries, one / 1000, other / 1000,
		100 * (other - one) / one);
	assert_true(other < one * (1 + allowed));
	assert_true(one < other * (1 + allowed));
	free(known);
	free(unknown);
}

static void
test_times(void **state)
{
	const char *more = getenv("KEEPMAIL_TIMING");
	size_t tries = more != NULL ? strtoul(more, NULL, 10) : 40;

	compare_times(*state, AUTH_PLAIN, tries > 0 ? tries : 1, 0.25);
	compare_times(*state, AUTH_SCRAM_SHA_256, 500, 0.50);
	compare_times(*state, AUTH_CRAM_MD5, 500, 0.50);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_login),
		cmocka_unit_test(test_cram),
		cmocka_unit_test(test_apop),
		cmocka_unit_test(test_external),
		cmocka_unit_test(test_scram),
		cmocka_unit_test(test_times),
	};

	return cmocka_run_group_tests(tests, make_place, remove_place);
}
