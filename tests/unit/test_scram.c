/* SCRAM's messages, and what they are made of: base64 and digests. */
#include "lib/base64.h"
#include "tools/scram.h"
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

/* --- base64 --- */

static void
test_base64(void **state)
{
	static const char *const good[][2] = {{"", ""}, {"f", "Zg=="},
		{"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="},
		{"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"},
		{"\xff\xfe\xfd", "//79"}, {"\xfb", "+w=="}};
	static const char *const bad[] = {"Z", "Zg", "Zg=", "Zh==", "Zm9=",
		"====", "Z===", "Zg==Zg==", "Zm9v=", "Zm9 ", " Zm9", "Zm-_",
		"Zm9v\r\n==", "Zm\n9", "Zg==\n", "Zm8=\t", "aGVsbG9="};
	char octets[64], text[64];

	(void)state;
	for (size_t i = 0; i < LENGTH(good); i++) {
		size_t len = strlen(good[i][0]);

		assert_int_equal(base64_read(octets, sizeof octets, good[i][1],
					 strlen(good[i][1])),
			len);
		assert_memory_equal(octets, good[i][0], len);
		assert_int_equal(
			base64_write(text, sizeof text, good[i][0], len),
			strlen(good[i][1]));
		assert_string_equal(text, good[i][1]);
	}
	for (size_t i = 0; i < LENGTH(bad); i++) {
		print_message("# %s\n", bad[i]);
		assert_int_equal(base64_read(octets, sizeof octets, bad[i],
					 strlen(bad[i])),
			-1);
	}
	assert_int_equal(base64_read(octets, sizeof octets, "AA\0A", 4), -1);
	assert_int_equal(base64_read(octets, 2, "Zm9v", 4), -1);
	assert_int_equal(base64_write(text, 4, "foo", 3), 0);
	assert_string_equal(text, "");
}

/* --- digests --- */

static void
hex_is(const uint8_t *octets, size_t len, const char *expected)
{
	char text[2 * DIGEST_SHA256 + 1];

	digest_hex(text, octets, len);
	assert_string_equal(text, expected);
}

/* RFC 4231 (cases 2 and 6), RFC 2202 (cases 2 and 6), RFC 7914 section 11. */
static void
test_digests(void **state)
{
	uint8_t digest[DIGEST_SHA256], key[131];

	(void)state;
	digest_hmac_sha256(
		digest, "Jefe", 4, "what do ya want for nothing?", 28);
	hex_is(digest, DIGEST_SHA256,
		"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec38"
		"43");
	memset(key, 0xaa, sizeof key);
	digest_hmac_sha256(digest, key, 131,
		"Test Using Larger Than Block-Size Key - Hash Key First", 54);
	hex_is(digest, DIGEST_SHA256,
		"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f"
		"54");
	digest_pbkdf2_sha256(digest, "passwd", 6, "salt", 4, 1);
	hex_is(digest, DIGEST_SHA256,
		"55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dac"
		"bc");
	digest_hmac_md5(digest, "Jefe", 4, "what do ya want for nothing?", 28);
	hex_is(digest, DIGEST_MD5, "750c783e6ab0b503eaa86e310a5db738");
	digest_hmac_md5(digest, key, 80,
		"Test Using Larger Than Block-Size Key - Hash Key First", 54);
	hex_is(digest, DIGEST_MD5, "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd");
	assert_true(digest_is_same("abc", "abc", 3));
	assert_false(digest_is_same("abc", "abd", 3));
}

/* --- SCRAM --- */

#define FIRST "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define OURS "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define PROOF ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="

/* RFC 7677 section 3. */
static void
test_scram_example(void **state)
{
	static const char final[] = "c=biws,r=rOprNGfwEbeRWgbNEkqO" OURS PROOF;
	static const struct auth_channel none;
	struct scram_verifier verifier;
	struct scram scram = {.is_plus = false};
	uint8_t salt[SCRAM_SALT];
	char message[SCRAM_MESSAGE_MAX], wrong[sizeof final];

	(void)state;
	assert_int_equal(
		base64_read(salt, sizeof salt, "W22ZaJ0SNY7soEsUEjb6gQ==", 24),
		SCRAM_SALT);
	scram_derive(&verifier, "pencil", salt, 4096);
	assert_int_equal(scram_take_first(&scram, &none, FIRST, strlen(FIRST)),
		SCRAM_OK);
	assert_string_equal(scram.name, "user");
	scram_write_first(&scram, &verifier, OURS);
	assert_string_equal(scram.first_reply,
		"r=rOprNGfwEbeRWgbNEkqO" OURS
		",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
	assert_int_equal(
		scram_take_final(&scram, &verifier, final, strlen(final)),
		SCRAM_OK);
	scram_write_final(&scram, message);
	assert_string_equal(
		message, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
	/* Each single change refuses it. */
	for (size_t i = 0; i < strlen(final); i++) {
		memcpy(wrong, final, sizeof wrong);
		wrong[i] = wrong[i] == 'A' ? 'B' : 'A';
		assert_int_not_equal(scram_take_final(&scram, &verifier, wrong,
					     strlen(wrong)),
			SCRAM_OK);
		assert_int_not_equal(
			scram_take_final(&scram, &verifier, final, i),
			SCRAM_OK);
	}
	scram_derive(&verifier, "Pencil", salt, 4096);
	assert_int_equal(
		scram_take_final(&scram, &verifier, final, strlen(final)),
		SCRAM_REFUSED);
}

static void
test_scram_first(void **state)
{
	static const struct auth_channel none;
	static const struct auth_channel tls = {.exporter_len = 32};
	static const struct {
		const char *text;
		enum scram_result plain, with_tls, plus;
	} rows[] = {
		{"n,,n=a,r=x", SCRAM_OK, SCRAM_OK, SCRAM_REFUSED},
		/* The client could, and thinks that we cannot. */
		{"y,,n=a,r=x", SCRAM_OK, SCRAM_REFUSED, SCRAM_REFUSED},
		{"p=tls-exporter,,n=a,r=x", SCRAM_REFUSED, SCRAM_REFUSED,
			SCRAM_OK},
		{"p=tls-server-end-point,,n=a,r=x", SCRAM_REFUSED,
			SCRAM_REFUSED, SCRAM_REFUSED},
		{"p=tls-unique,,n=a,r=x", SCRAM_REFUSED, SCRAM_REFUSED,
			SCRAM_REFUSED},
		{"n,a=b,n=a,r=x", SCRAM_OK, SCRAM_OK, SCRAM_REFUSED},
		{"n,a=,n=a,r=x", SCRAM_OK, SCRAM_OK, SCRAM_REFUSED},
		{"n,,n=a=2Cb=3D,r=x", SCRAM_OK, SCRAM_OK, SCRAM_REFUSED},
		{"n,,n=a,r=x,e=1", SCRAM_OK, SCRAM_OK, SCRAM_REFUSED},
#define BAD SCRAM_MALFORMED, SCRAM_MALFORMED, SCRAM_MALFORMED
		{"", BAD},
		{"n", BAD},
		{"n,", BAD},
		{"n,,", BAD},
		{"x,,n=a,r=x", BAD},
		{",,n=a,r=x", BAD},
		{"p=tls-exporter", BAD},
		{"n,b=c,n=a,r=x", BAD},
		{"n,,n=,r=x", BAD},
		{"n,,n=a", BAD},
		{"n,,n=a,r=", BAD},
		{"n,,n=a,r=x y", BAD},
		{"n,,n=a=2c,r=x", BAD},
		{"n,,n=a=,r=x", BAD},
		{"n,,n=\xff,r=x", BAD},
		{"n,,n=a\x01,r=x", BAD},
		{"n,,m=1,n=a,r=x", BAD},
		{"n,,n=a,r=x,m=1", BAD},
		{"n,,r=x,n=a", BAD},
	};
	struct scram scram;

	(void)state;
	for (size_t i = 0; i < LENGTH(rows); i++) {
		size_t len = strlen(rows[i].text);

		print_message("# %s\n", rows[i].text);
		scram.is_plus = false;
		assert_int_equal(
			scram_take_first(&scram, &none, rows[i].text, len),
			rows[i].plain);
		assert_int_equal(
			scram_take_first(&scram, &tls, rows[i].text, len),
			rows[i].with_tls);
		scram.is_plus = true;
		assert_int_equal(
			scram_take_first(&scram, &tls, rows[i].text, len),
			rows[i].plus);
	}
	assert_int_equal(scram_take_first(&scram, &none, "n,,n=a\0,r=x", 11),
		SCRAM_MALFORMED);
}

static void
test_scram_made_up(void **state)
{
	static const uint8_t one[DIGEST_SHA256] = {1}, two[DIGEST_SHA256] = {2};
	struct scram_verifier first, again;

	(void)state;
	scram_make_up(&first, one, "a@x");
	scram_make_up(&again, one, "a@x");
	assert_memory_equal(&first, &again, sizeof first);
	assert_int_equal(first.iterations, SCRAM_ITERATIONS);
	scram_make_up(&again, one, "b@x");
	assert_memory_not_equal(first.salt, again.salt, SCRAM_SALT);
	scram_make_up(&again, two, "a@x");
	assert_memory_not_equal(first.salt, again.salt, SCRAM_SALT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_digests),
		cmocka_unit_test(test_scram_example),
		cmocka_unit_test(test_scram_first),
		cmocka_unit_test(test_scram_made_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
