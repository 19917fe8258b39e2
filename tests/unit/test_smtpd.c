/* The parts of smtpd that decide by themselves: trace field, policy, hops,
 * parameters. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lib/envelope.h"
#include "smtpd/hops.h"
#include "smtpd/parameters.h"
#include "smtpd/policy.h"
#include "smtpd/trace.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

/* --- trace --- */

static void
trace_forms(void **state)
{
	char field[TRACE_MAX];
	struct trace trace = {
		.hello = "client.example",
		.name = "unknown",
		.address = "192.0.2.1",
		.me = "host.test",
		.protocol = "ESMTP",
		.id = "0123456789abcdefghjk",
		.time_s = 1700000000,
	};

	(void)state;
	size_t len = trace_write(field, sizeof field, &trace);
	assert_string_equal(field,
		"Received: from client.example (unknown [192.0.2.1])\n"
		"\tby host.test with ESMTP id 0123456789abcdefghjk;\n"
		"\tTue, 14 Nov 2023 22:13:20 +0000\n");
	assert_int_equal(len, strlen(field));
	assert_int_equal(trace_write(field, len, &trace), 0);
	assert_int_equal(trace_write(field, len + 1, &trace), len);

	trace.hello = "a) (b; \"c\" <d>\r\nX: \xff";
	trace.name = "x.example";
	trace.address = "2001:db8::1";
	trace.protocol = "SMTP";
	trace.recipient = "\"a b\"@host.test";
	trace_write(field, sizeof field, &trace);
	assert_string_equal(field,
		"Received: from a???b???c???d???X:?? (x.example "
		"[IPv6:2001:db8::1])\n"
		"\tby host.test with SMTP id 0123456789abcdefghjk\n"
		"\tfor <\"a b\"@host.test>;\n"
		"\tTue, 14 Nov 2023 22:13:20 +0000\n");

	trace.is_hidden = true;
	trace.recipient = NULL;
	trace.protocol = "ESMTPSA";
	trace.cipher = "TLS_AES_128_GCM_SHA256";
	trace.login = "ann@host.test) x";
	trace_write(field, sizeof field, &trace);
	assert_string_equal(field,
		"Received: by host.test with ESMTPSA (login ann@host.test? x) "
		"id 0123456789abcdefghjk\n"
		"\ttls TLS_AES_128_GCM_SHA256;\n"
		"\tTue, 14 Nov 2023 22:13:20 +0000\n");
}

static void
trace_longest(void **state)
{
	char text[3000], field[TRACE_MAX];
	struct trace trace = {text, text, text, "host.test", "ESMTP",
		"0123456789abcdefghjk", text, INT64_MAX, false, text, text};

	(void)state;
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = 0;
	size_t len = trace_write(field, sizeof field, &trace);
	assert_true(len > 700);
	assert_null(strstr(field, "for <"));
	trace.hello = trace.name = trace.address = "";
	trace.recipient = NULL;
	trace_write(field, sizeof field, &trace);
	assert_non_null(strstr(field, "from unknown (unknown [unknown])"));
}

/* --- policy --- */

static struct setting_list
list(char **line, size_t *number, size_t count)
{
	for (size_t i = 0; i < count; i++)
		number[i] = i + 1;
	return (struct setting_list){line, number, count, true};
}

static enum policy_verdict
judge(const struct policy *policy, const char *domain)
{
	return policy_judge(policy, domain, strlen(domain));
}

static void
policy_verdicts(void **state)
{
	char local[] = "host.test", below[] = ".virtual.test",
	     backup[] = "backup.test";
	char *locals[] = {local, below}, *hosts[] = {local, below, backup};
	size_t number[3];
	const struct setting_list local_list = list(locals, number, 2);
	const struct setting_list host_list = list(hosts, number, 3);
	const struct setting_list none = {0};
	struct policy policy;
	char why[200];

	(void)state;
	assert_int_equal(policy_build(&policy, "me.test", &local_list,
				 &host_list, NULL, why, sizeof why),
		0);
	assert_int_equal(judge(&policy, "host.test"), POLICY_LOCAL);
	assert_int_equal(judge(&policy, "a.virtual.test"), POLICY_LOCAL);
	assert_int_equal(judge(&policy, "virtual.test"), POLICY_REFUSED);
	assert_int_equal(judge(&policy, "backup.test"), POLICY_ONWARD);
	assert_int_equal(judge(&policy, "me.test"), POLICY_REFUSED);
	assert_int_equal(judge(&policy, "else.test"), POLICY_REFUSED);
	policy_free(&policy);
	policy_free(&policy);

	assert_int_equal(policy_build(&policy, "me.test", &none, &none, NULL,
				 why, sizeof why),
		0);
	assert_int_equal(judge(&policy, "me.test"), POLICY_NOTHING);
	policy_free(&policy);

	assert_int_equal(policy_build(&policy, "me.test", &none, &none, "", why,
				 sizeof why),
		0);
	assert_int_equal(judge(&policy, "me.test"), POLICY_LOCAL);
	assert_int_equal(judge(&policy, "else.test"), POLICY_ONWARD);
	policy_free(&policy);
}

static void
policy_bad_line(void **state)
{
	char good[] = "host.test", bad[] = "no domain";
	char *lines[] = {good, bad};
	size_t number[2];
	const struct setting_list bad_list = list(lines, number, 2);
	const struct setting_list none = {0};
	struct policy policy;
	char why[200];

	(void)state;
	assert_int_equal(policy_build(&policy, "me.test", &none, &bad_list,
				 NULL, why, sizeof why),
		-1);
	assert_non_null(strstr(why, "control/rcpthosts line 2"));
	policy_free(&policy);
}

static void
policy_suffixes(void **state)
{
	static const struct {
		const char *address, *suffix, *result; /* NULL: refused */
	} ROWS[] = {
		{"a@b.test", "", "a@b.test"},
		{"a@b.test", ".gate", "a@b.test.gate"},
		{"a@b.test", "@gate.test", "\"a@b.test\"@gate.test"},
		{"a@b.test", ".x@Gate.test", "\"a@b.test.x\"@gate.test"},
		{"\"a b\"@b.test", "@gate.test", "\"a b@b.test\"@gate.test"},
		{"a@b.test", "@", NULL},
		{"a@b.test", " x", NULL},
		{"a@b.test", "@gate\n.test", NULL},
		{"a@b.test", "\n@gate.test", NULL},
	};
	char text[ADDRESS_TEXT_MAX + 1], suffix[2000];
	struct policy policy = {.may_relay = true};
	struct path path;

	(void)state;
	for (size_t i = 0; i < LENGTH(ROWS); i++) {
		policy.suffix = ROWS[i].suffix;
		assert_int_equal(address_mailbox_scan(ROWS[i].address,
					 strlen(ROWS[i].address), 0, &path),
			0);
		int result = policy_append(&policy, &path);
		address_write(text, sizeof text, &path);
		assert_int_equal(result, ROWS[i].result == NULL ? -1 : 0);
		assert_string_equal(text, ROWS[i].result == NULL
						  ? ROWS[i].address
						  : ROWS[i].result);
	}
	memset(suffix, 'x', sizeof suffix - 1);
	suffix[sizeof suffix - 1] = 0;
	policy.suffix = suffix;
	assert_int_equal(policy_append(&policy, &path), -1);
	suffix[1000] = '@';
	assert_int_equal(policy_append(&policy, &path), -1);
	suffix[0] = '@';
	suffix[1000] = 'x';
	assert_int_equal(policy_append(&policy, &path), -1);
}

/* --- hops --- */

static const struct hops_row {
	const char *content;
	uint64_t received;
} HOPS_ROWS[] = {
	{"", 0},
	{"Received: a\nreceived: b\nRECEIVED : c\n\nReceived: d\n", 3},
	{"Received: a\n\tReceived: fold\n Received: fold\nTo: x\nReceived:b",
		2},
	{"Received-SPF: a\nXReceived: b\nReceive: c\nReceivedd: d\n", 0},
	{"\nReceived: a\n", 0},
	{" Received: a\nReceived: b\n", 0},
	{"no header\nReceived: a\n", 0},
	{"To: x\nno header\nReceived: a\n", 0},
	{"Received a\nReceived: b\n", 0},
	{"From a@b.test Tue\nReceived: a\n", 1},
	{">From a@b.test Tue\nReceived: a\n", 1},
	{"To: x\nFrom a@b.test Tue\nReceived: a\n", 0},
	{"Received\n: a\n", 0},
	{"Received", 0},
	{"Received:", 1},
};

static void
hops_at_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(HOPS_ROWS); i++) {
		const char *content = HOPS_ROWS[i].content;
		size_t len = strlen(content);

		for (size_t split = 0; split <= len; split++) {
			struct hops hops;

			hops_start(&hops);
			hops_scan(&hops, content, split);
			hops_scan(&hops, content + split, len - split);
			assert_int_equal(hops.received, HOPS_ROWS[i].received);
		}
	}
}

/* --- parameters --- */

static const struct parameters_row {
	enum parameters_command command;
	const char *text;
	enum parameters_result result;
	uint64_t size;
	uint8_t body;
	const char *bad;
} PARAMETERS_ROWS[] = {
	{PARAMETERS_MAIL, "", PARAMETERS_OK, 0, 0, ""},
	{PARAMETERS_MAIL, "   ", PARAMETERS_OK, 0, 0, ""},
	{PARAMETERS_MAIL, " SIZE=0", PARAMETERS_OK, 0, 0, ""},
	{PARAMETERS_MAIL, " size=123  body=8bitMIME ", PARAMETERS_OK, 123,
		BODY_8BITMIME, ""},
	{PARAMETERS_MAIL, " BODY=7BIT", PARAMETERS_OK, 0, BODY_7BIT, ""},
	{PARAMETERS_MAIL, " SIZE=18446744073709551615", PARAMETERS_OK,
		UINT64_MAX, 0, ""},
	{PARAMETERS_MAIL, " SIZE=18446744073709551616", PARAMETERS_OK,
		UINT64_MAX, 0, ""},
	{PARAMETERS_MAIL, " SIZE=99999999999999999999", PARAMETERS_OK,
		UINT64_MAX, 0, ""},
	{PARAMETERS_MAIL, " SIZE=000000000000000000001", PARAMETERS_SYNTAX, 0,
		0, "SIZE=000000000000000000001"},
	{PARAMETERS_MAIL, "SIZE=1", PARAMETERS_SYNTAX, 0, 0, "SIZE=1"},
	{PARAMETERS_MAIL, "\tSIZE=1", PARAMETERS_SYNTAX, 0, 0, "\tSIZE=1"},
	{PARAMETERS_MAIL, " SIZE=1x", PARAMETERS_SYNTAX, 0, 0, "SIZE=1x"},
	{PARAMETERS_MAIL, " SIZE=", PARAMETERS_SYNTAX, 0, 0, "SIZE="},
	{PARAMETERS_MAIL, " SIZE", PARAMETERS_SYNTAX, 0, 0, "SIZE"},
	{PARAMETERS_MAIL, " SIZE=1 SIZE=1", PARAMETERS_DUPLICATE, 0, 0,
		"SIZE=1"},
	{PARAMETERS_MAIL, " BODY", PARAMETERS_SYNTAX, 0, 0, "BODY"},
	{PARAMETERS_MAIL, " BODY=7BITS", PARAMETERS_SYNTAX, 0, 0, "BODY=7BITS"},
	{PARAMETERS_MAIL, " X=1=2", PARAMETERS_SYNTAX, 0, 0, "X=1=2"},
	{PARAMETERS_MAIL, " -X", PARAMETERS_SYNTAX, 0, 0, "-X"},
	{PARAMETERS_MAIL, " X_Y", PARAMETERS_SYNTAX, 0, 0, "X_Y"},
	{PARAMETERS_MAIL, " AUTH=<>", PARAMETERS_OK, 0, 0, ""},
	{PARAMETERS_MAIL, " auth=e+3Dmc2@example.com", PARAMETERS_OK, 0, 0, ""},
	{PARAMETERS_MAIL, " AUTH=", PARAMETERS_SYNTAX, 0, 0, "AUTH="},
	{PARAMETERS_MAIL, " AUTH", PARAMETERS_SYNTAX, 0, 0, "AUTH"},
	{PARAMETERS_MAIL, " AUTH=<", PARAMETERS_SYNTAX, 0, 0, "AUTH=<"},
	{PARAMETERS_MAIL, " AUTH=<a@b.test>", PARAMETERS_SYNTAX, 0, 0,
		"AUTH=<a@b.test>"},
	{PARAMETERS_MAIL, " AUTH=a+@b.test", PARAMETERS_SYNTAX, 0, 0,
		"AUTH=a+@b.test"},
	{PARAMETERS_MAIL, " AUTH=a+0A@b.test", PARAMETERS_SYNTAX, 0, 0,
		"AUTH=a+0A@b.test"},
	{PARAMETERS_MAIL, " AUTH=<> AUTH=<>", PARAMETERS_DUPLICATE, 0, 0,
		"AUTH=<>"},
	{PARAMETERS_RCPT, " AUTH=<>", PARAMETERS_UNKNOWN, 0, 0, "AUTH=<>"},
	{PARAMETERS_MAIL, " smtputf8", PARAMETERS_OK, 0, 0, ""},
	{PARAMETERS_MAIL, " SMTPUTF8=", PARAMETERS_SYNTAX, 0, 0, "SMTPUTF8="},
	{PARAMETERS_MAIL, " SMTPUTF8=1", PARAMETERS_SYNTAX, 0, 0, "SMTPUTF8=1"},
	{PARAMETERS_MAIL, " SMTPUTF8 SIZE=1 smtputf8", PARAMETERS_DUPLICATE, 0,
		0, "smtputf8"},
	{PARAMETERS_MAIL, " REQUIRETLS", PARAMETERS_UNKNOWN, 0, 0,
		"REQUIRETLS"},
	{PARAMETERS_MAIL_TLS, " RequireTLS SIZE=2", PARAMETERS_OK, 2, 0, ""},
	{PARAMETERS_MAIL_TLS, " REQUIRETLS=1", PARAMETERS_SYNTAX, 0, 0,
		"REQUIRETLS=1"},
	{PARAMETERS_MAIL_TLS, " REQUIRETLS REQUIRETLS", PARAMETERS_DUPLICATE, 0,
		0, "REQUIRETLS"},
	{PARAMETERS_RCPT, " SMTPUTF8", PARAMETERS_UNKNOWN, 0, 0, "SMTPUTF8"},
	{PARAMETERS_MAIL, " SIZE=1 ret=full ENVID=a+2Bb", PARAMETERS_OK, 1, 0,
		""},
	{PARAMETERS_MAIL, " RET=HDRS RET=HDRS", PARAMETERS_DUPLICATE, 0, 0,
		"RET=HDRS"},
	{PARAMETERS_MAIL, " RET=ALL", PARAMETERS_SYNTAX, 0, 0, "RET=ALL"},
	{PARAMETERS_MAIL, " RET", PARAMETERS_SYNTAX, 0, 0, "RET"},
	{PARAMETERS_MAIL, " ENVID=a ENVID=b", PARAMETERS_DUPLICATE, 0, 0,
		"ENVID=b"},
	{PARAMETERS_MAIL, " ENVID", PARAMETERS_SYNTAX, 0, 0, "ENVID"},
	{PARAMETERS_MAIL, " ENVID=a+2", PARAMETERS_SYNTAX, 0, 0, "ENVID=a+2"},
	{PARAMETERS_MAIL, " ENVID=a+0A", PARAMETERS_SYNTAX, 0, 0, "ENVID=a+0A"},
	{PARAMETERS_MAIL, " NOTIFY=NEVER", PARAMETERS_UNKNOWN, 0, 0,
		"NOTIFY=NEVER"},
	{PARAMETERS_RCPT, " NOTIFY=never", PARAMETERS_OK, 0, 0, ""},
	{PARAMETERS_RCPT, " NOTIFY=DELAY,success,FAILURE", PARAMETERS_OK, 0, 0,
		""},
	{PARAMETERS_RCPT, " NOTIFY=NEVER,DELAY", PARAMETERS_SYNTAX, 0, 0,
		"NOTIFY=NEVER,DELAY"},
	{PARAMETERS_RCPT, " NOTIFY=DELAY,DELAY", PARAMETERS_SYNTAX, 0, 0,
		"NOTIFY=DELAY,DELAY"},
	{PARAMETERS_RCPT, " NOTIFY=DELAY,", PARAMETERS_SYNTAX, 0, 0,
		"NOTIFY=DELAY,"},
	{PARAMETERS_RCPT, " NOTIFY=,DELAY", PARAMETERS_SYNTAX, 0, 0,
		"NOTIFY=,DELAY"},
	{PARAMETERS_RCPT, " NOTIFY=ALWAYS", PARAMETERS_SYNTAX, 0, 0,
		"NOTIFY=ALWAYS"},
	{PARAMETERS_RCPT, " NOTIFY", PARAMETERS_SYNTAX, 0, 0, "NOTIFY"},
	{PARAMETERS_RCPT, " NOTIFY=NEVER NOTIFY=NEVER", PARAMETERS_DUPLICATE, 0,
		0, "NOTIFY=NEVER"},
	{PARAMETERS_RCPT, " ORCPT=rfc822;a+2Bb@c.test", PARAMETERS_OK, 0, 0,
		""},
	{PARAMETERS_RCPT, " ORCPT=rfc822;", PARAMETERS_SYNTAX, 0, 0,
		"ORCPT=rfc822;"},
	{PARAMETERS_RCPT, " ORCPT=;a", PARAMETERS_SYNTAX, 0, 0, "ORCPT=;a"},
	{PARAMETERS_RCPT, " ORCPT=a@b.test", PARAMETERS_SYNTAX, 0, 0,
		"ORCPT=a@b.test"},
	{PARAMETERS_RCPT, " ORCPT=rfc822;a+0D", PARAMETERS_SYNTAX, 0, 0,
		"ORCPT=rfc822;a+0D"},
	{PARAMETERS_RCPT, " ORCPT=a;b ORCPT=a;b", PARAMETERS_DUPLICATE, 0, 0,
		"ORCPT=a;b"},
	{PARAMETERS_RCPT, " RET=FULL", PARAMETERS_UNKNOWN, 0, 0, "RET=FULL"},
	{PARAMETERS_RCPT, "", PARAMETERS_OK, 0, 0, ""},
	{PARAMETERS_RCPT, " SIZE=1", PARAMETERS_UNKNOWN, 0, 0, "SIZE=1"},
};

static void
parameters_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(PARAMETERS_ROWS); i++) {
		const struct parameters_row *row = &PARAMETERS_ROWS[i];
		struct parameters got;

		assert_int_equal(parameters_scan(row->command, row->text,
					 strlen(row->text), &got),
			row->result);
		assert_int_equal(got.bad_len, strlen(row->bad));
		assert_memory_equal(
			got.bad ? got.bad : "", row->bad, got.bad_len);
		if (row->result != PARAMETERS_OK)
			continue;
		assert_true(got.size == row->size);
		assert_int_equal(got.body, row->body);
	}
}

/* Those that are a keyword alone. */
static void
parameters_flags(void **state)
{
	struct parameters got;

	(void)state;
	assert_int_equal(
		parameters_scan(PARAMETERS_MAIL_TLS, " SIZE=1", 7, &got),
		PARAMETERS_OK);
	assert_false(got.smtputf8 || got.requiretls);
	assert_int_equal(
		parameters_scan(PARAMETERS_MAIL_TLS, " SMTPUTF8", 9, &got),
		PARAMETERS_OK);
	assert_true(got.smtputf8 && !got.requiretls);
	assert_int_equal(
		parameters_scan(PARAMETERS_MAIL_TLS, " REQUIRETLS", 11, &got),
		PARAMETERS_OK);
	assert_true(got.requiretls && !got.smtputf8);
}

/* RFC 3848, RFC 6531 section 4.3. */
static void
protocol_words(void **state)
{
	(void)state;
	assert_string_equal(trace_protocol(false, false, false, false), "SMTP");
	assert_string_equal(trace_protocol(true, false, false, false), "ESMTP");
	assert_string_equal(trace_protocol(true, false, true, false), "ESMTPS");
	assert_string_equal(trace_protocol(true, false, true, true), "ESMTPSA");
	assert_string_equal(
		trace_protocol(true, true, false, false), "UTF8SMTP");
	assert_string_equal(
		trace_protocol(true, true, false, true), "UTF8SMTPA");
	assert_string_equal(
		trace_protocol(true, true, true, true), "UTF8SMTPSA");
}

/* What the parameters of RFC 3461 leave behind. */
static void
parameters_of_dsn(void **state)
{
	const char *mail = " ENVID=x+20y RET=HDRS";
	const char *rcpt = " ORCPT=rfc822;a@b.test NOTIFY=SUCCESS,DELAY";
	struct parameters got;

	(void)state;
	assert_int_equal(
		parameters_scan(PARAMETERS_MAIL, mail, strlen(mail), &got),
		PARAMETERS_OK);
	assert_int_equal(got.ret, RET_HDRS);
	assert_int_equal(got.envid_len, 5);
	assert_memory_equal(got.envid, "x+20y", 5);
	assert_int_equal(
		parameters_scan(PARAMETERS_RCPT, rcpt, strlen(rcpt), &got),
		PARAMETERS_OK);
	assert_int_equal(got.notify, NOTIFY_SUCCESS | NOTIFY_DELAY);
	assert_int_equal(got.orcpt_len, strlen("rfc822;a@b.test"));
	assert_memory_equal(got.orcpt, "rfc822;a@b.test", got.orcpt_len);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trace_forms),
		cmocka_unit_test(trace_longest),
		cmocka_unit_test(policy_verdicts),
		cmocka_unit_test(policy_bad_line),
		cmocka_unit_test(policy_suffixes),
		cmocka_unit_test(hops_at_every_split),
		cmocka_unit_test(parameters_rows),
		cmocka_unit_test(parameters_of_dsn),
		cmocka_unit_test(parameters_flags),
		cmocka_unit_test(protocol_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
