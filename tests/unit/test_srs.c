/*
 * Reverse-paths that are rewritten: for hosts that check them, and for each
 * recipient.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "lib/envelope.h"
#include "lib/verp.h"
#include "local/srs.h"

#define KEY "an-example-of-a-key"
#define NOW INT64_C(1800000000)
#define DAY INT64_C(86400)

static struct srs
make(const char *keys)
{
	struct srs srs = {.domain = "f.test"};
	char why[100] = "";

	if (srs_read_keys(&srs, keys, strlen(keys), why, sizeof why) < 0)
		fail_msg("%s", why);
	return srs;
}

static enum srs_result
back(const struct srs *srs, const char *address, int64_t now_s,
	char text[ADDRESS_TEXT_MAX + 1])
{
	struct path path;

	assert_int_equal(address_mailbox_scan(
				 address, strlen(address), ADDRESS_UTF8, &path),
		0);
	return srs_reverse(srs, &path, now_s, text);
}

static void
test_there_and_back(void **state)
{
	struct srs srs = make(KEY "\n");
	char out[ADDRESS_TEXT_MAX + 1], text[ADDRESS_TEXT_MAX + 1];
	static const char *const senders[] = {"ann@example.org",
		"Ann=x-y+z@example.org", "\"a b\"@example.org",
		"ann@[192.0.2.1]", "gr\303\274n@gr\303\274n.test", NULL};

	(void)state;
	for (int i = 0; senders[i] != NULL; i++) {
		assert_true(srs_forward(&srs, senders[i], NOW, out) > 0);
		assert_non_null(strstr(out, "SRS0="));
		assert_string_equal(strrchr(out, '@'), "@f.test");
		assert_int_equal(back(&srs, out, NOW, text), SRS_OK);
		assert_string_equal(text, senders[i]);
	}
}

static void
test_age(void **state)
{
	struct srs srs = make(KEY);
	char out[ADDRESS_TEXT_MAX + 1], text[ADDRESS_TEXT_MAX + 1];

	(void)state;
	assert_true(srs_forward(&srs, "ann@example.org", NOW, out) > 0);
	assert_int_equal(back(&srs, out, NOW - DAY, text), SRS_OK);
	assert_int_equal(back(&srs, out, NOW + SRS_DAYS * DAY, text), SRS_OK);
	assert_int_equal(
		back(&srs, out, NOW + (SRS_DAYS + 1) * DAY, text), SRS_EXPIRED);
	assert_int_equal(back(&srs, out, NOW - 2 * DAY, text), SRS_EXPIRED);
}

static void
test_forgeries(void **state)
{
	struct srs srs = make(KEY), other = make("another-key-as-long");
	char out[ADDRESS_TEXT_MAX + 1], text[ADDRESS_TEXT_MAX + 1];

	(void)state;
	assert_true(srs_forward(&srs, "ann@example.org", NOW, out) > 0);
	assert_int_equal(back(&other, out, NOW, text), SRS_FORGED);
	/* another sender than the one that the hash proves */
	char *at = strstr(out, "ann@");
	memcpy(at, "bob", 3);
	assert_int_equal(back(&srs, out, NOW, text), SRS_FORGED);
	memcpy(at, "ANN", 3);
	assert_int_equal(back(&srs, out, NOW, text), SRS_OK);
	/* another day */
	assert_int_equal(out[strlen("SRS0=aaaaaaaa")], '=');
	out[strlen("SRS0=aaaaaaaa=")] ^= 1;
	assert_int_equal(back(&srs, out, NOW, text), SRS_FORGED);
	static const char *const forged[] = {"SRS0=x@f.test", "SRS0@f.test",
		"SRS0==@f.test", "srs1=a=b==c@f.test",
		"SRS0=aaaaaaaa=bb=example.org=ann@f.test",
		"SRS0=========@f.test", NULL};
	for (int i = 0; forged[i] != NULL; i++)
		assert_int_not_equal(back(&srs, forged[i], NOW, text), SRS_OK);
	assert_int_equal(back(&srs, "ann@f.test", NOW, text), SRS_NONE);
	assert_int_equal(back(&srs, "SRS0=x@g.test", NOW, text), SRS_NONE);
	assert_int_equal(back(&srs, "SRS2=x@f.test", NOW, text), SRS_NONE);
	srs.domain[0] = 0;
	assert_int_equal(back(&srs, "SRS0=x@f.test", NOW, text), SRS_NONE);
	assert_int_equal(srs_forward(&srs, "ann@example.org", NOW, out), 0);
}

/* A chain: the second forwards what the first has rewritten, the third that. */
static void
test_chain(void **state)
{
	struct srs first = make(KEY), second = make("the-second-one-s-key"),
		   third = make("the-third-one-s-key");
	char a[ADDRESS_TEXT_MAX + 1], b[ADDRESS_TEXT_MAX + 1],
		c[ADDRESS_TEXT_MAX + 1], text[ADDRESS_TEXT_MAX + 1];

	(void)state;
	snprintf(second.domain, sizeof second.domain, "second.test");
	snprintf(third.domain, sizeof third.domain, "third.test");
	assert_true(srs_forward(&first, "ann@example.org", NOW, a) > 0);
	assert_true(srs_forward(&second, a, NOW, b) > 0);
	assert_memory_equal(b, "SRS1=", 5);
	assert_true(srs_forward(&third, b, NOW, c) > 0);
	assert_memory_equal(c, "SRS1=", 5);
	/* both send reports straight to the first */
	assert_int_equal(back(&third, c, NOW, text), SRS_OK);
	assert_string_equal(text, a);
	assert_int_equal(back(&second, b, NOW, text), SRS_OK);
	assert_string_equal(text, a);
	assert_int_equal(back(&second, c, NOW, text), SRS_NONE);
	assert_int_equal(back(&first, a, NOW, text), SRS_OK);
	assert_string_equal(text, "ann@example.org");
}

/* What a sender who poses as a chain has us prove is no address of ours of a day of
 * his choice. */
static void
test_kinds(void **state)
{
	struct srs srs = make(KEY);
	char b[ADDRESS_TEXT_MAX + 1], text[ADDRESS_TEXT_MAX + 1];

	(void)state;
	assert_true(srs_forward(&srs, "SRS1=xx=aa=victim.test=user@evil.test",
			    NOW, b) > 0);
	assert_memory_equal(b, "SRS1=", 5);
	assert_non_null(strstr(b, "=aa=victim.test=user@f.test"));
	b[3] = '0';
	assert_int_equal(back(&srs, b, NOW, text), SRS_FORGED);
}

static void
test_what_stays(void **state)
{
	struct srs srs = make(KEY);
	char out[ADDRESS_TEXT_MAX + 1], local[ADDRESS_LOCAL_MAX + 20];

	(void)state;
	assert_int_equal(srs_forward(&srs, "", NOW, out), 0);
	assert_int_equal(srs_forward(&srs, "#@[]", NOW, out), 0);
	assert_int_equal(srs_forward(&srs, "l-@h.test-@[]", NOW, out), 0);
	memset(local, 'a', sizeof local);
	snprintf(local + ADDRESS_LOCAL_MAX - 20, 30, "@example.org");
	assert_int_equal(srs_forward(&srs, local, NOW, out), 0);
}

static void
test_keys(void **state)
{
	char out[ADDRESS_TEXT_MAX + 1], text[ADDRESS_TEXT_MAX + 1], why[100];
	struct srs old = make(KEY), both, bad = {.keys = 0};
	static const char *const wrong[] = {"", "# a comment\n", "short\n",
		KEY "\nshort\n", "with a\001 control character", NULL};

	(void)state;
	both = make("# new\nthe-key-from-now-on \n\n" KEY "\n");
	assert_int_equal(both.keys, 2);
	assert_true(srs_forward(&old, "ann@example.org", NOW, out) > 0);
	assert_int_equal(back(&both, out, NOW, text), SRS_OK);
	assert_true(srs_forward(&both, "ann@example.org", NOW, out) > 0);
	assert_int_equal(back(&old, out, NOW, text), SRS_FORGED);
	for (int i = 0; wrong[i] != NULL; i++) {
		assert_int_equal(srs_read_keys(&bad, wrong[i], strlen(wrong[i]),
					 why, sizeof why),
			-1);
		assert_int_equal(bad.keys, 0);
	}
	srs_forget(&both);
	for (size_t i = 0; i < sizeof both.key; i++)
		assert_int_equal(((char *)both.key)[i], 0);
}

static void
test_verp(void **state)
{
	char text[ADDRESS_TEXT_MAX + 1], local[300];
	static const struct {
		const char *from, *to, *wanted;
	} rows[] = {
		{"list-@h.test-@[]", "ann@x.test", "list-ann=x.test@h.test"},
		{"list@h.test", "ann@x.test", "list@h.test"},
		{"", "ann@x.test", ""},
		{"#@[]", "ann@x.test", "#@[]"},
		{"l-@h.test-@[]", "\"a b\"@x.test", "\"l-a b=x.test\"@h.test"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		assert_int_equal(verp_expand(rows[i].from, rows[i].to, text,
					 sizeof text),
			strlen(rows[i].wanted));
		assert_string_equal(text, rows[i].wanted);
	}
	/* too long for a local part: the base */
	memset(local, 'a', sizeof local);
	snprintf(local + 250, 50, "@x.test");
	(void)verp_expand("list-@h.test-@[]", local, text, sizeof text);
	assert_string_equal(text, "list-@h.test");
	static const char *const none[] = {
		"-@[]", "@-@[]", "a-@[]", "a@b", "a@b-@[] ", "a@b@[]", NULL};
	for (int i = 0; none[i] != NULL; i++)
		assert_int_equal(verp_base(none[i], strlen(none[i])), 0);
	assert_true(envelope_reverse_path_is_sound("a@b-@[]", 7));
	assert_false(envelope_reverse_path_is_sound("a b@c-@[]", 9));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_age),
		cmocka_unit_test(test_forgeries),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_what_stays),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_verp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
