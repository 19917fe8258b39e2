#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "tools/mail_header.h"

static const struct mail_header_additions additions = {
	.from = "Ann <ann@a.test>",
	.message_id = "<id@a.test>",
	.time_s = 1795234806,
};
#define DATE "Sat, 21 Nov 2026 04:20:06 +0000\n"
#define ADDED "Date: " DATE "Message-ID: <id@a.test>\nFrom: Ann <ann@a.test>\n"

static const struct {
	const char *name, *in, *out, *body;
} rewrite[] = {
	{"nothing there", "To: b@b.test\n\nbody\n", ADDED "To: b@b.test\n\n",
		"body\n"},
	{"all there", "Date: x\nmessage-id: <y>\nFrom: z\nTo: b\n\nbody\n",
		"Date: x\nmessage-id: <y>\nFrom: z\nTo: b\n\n", "body\n"},
	{"what must not travel goes",
		"Bcc: c@c.test,\n d@d.test\nReturn-Path: <x>\nTo: b\n"
		"Content-Length: 4\nResent-bcc: e\n\nbody",
		"Resent-Date: " DATE
		"Resent-Message-ID: <id@a.test>\nResent-From: Ann "
		"<ann@a.test>\nTo: b\n\n",
		"body"},
	{"the newest of two resendings is completed",
		"Resent-To: n\nResent-From: o\nResent-To: o\nResent-Date: o\n"
		"Resent-Message-ID: o\n\n",
		"Resent-Date: " DATE "Resent-Message-ID: <id@a.test>\n"
		"Resent-To: n\nResent-From: o\nResent-To: o\nResent-Date: o\n"
		"Resent-Message-ID: o\n\n",
		""},
	{"an mbox separator goes", "From ann Sat Nov\nSubject: s\n\nbody\n",
		ADDED "Subject: s\n\n", "body\n"},
	{"no header at all", "Good morning!\n\nbody\n", ADDED "\n",
		"Good morning!\n\nbody\n"},
	{"an empty message", "", ADDED "\n", ""},
	{"an empty line first", "\nbody\n", ADDED "\n", "body\n"},
	{"a header alone, its line without an end", "Subject: s",
		ADDED "Subject: s\n\n", ""},
	{"no empty line before the body", "Subject: s\nnot a field\n",
		ADDED "Subject: s\n\n", "not a field\n"},
	{"CR LF", "Subject: s\r\n\r\nbody\r\n", ADDED "Subject: s\r\n\n",
		"body\r\n"},
};

static void
test_rewrite(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rewrite) / sizeof(rewrite[0]); i++) {
		stralloc into = STRALLOC_ZERO;
		size_t body_at = 99999;

		assert_int_equal(mail_header_rewrite(rewrite[i].in,
					 strlen(rewrite[i].in), &additions,
					 &into, &body_at),
			0);
		assert_true(stralloc_0(&into));
		if (strcmp(into.s, rewrite[i].out) != 0)
			print_message("# %s\n", rewrite[i].name);
		assert_string_equal(into.s, rewrite[i].out);
		assert_string_equal(rewrite[i].in + body_at, rewrite[i].body);
		stralloc_free(&into);
	}
}

static int
note(void *context, const struct path *path)
{
	stralloc *found = context;
	char text[ADDRESS_TEXT_MAX + 1];

	address_write(text, sizeof(text), path);
	return !(stralloc_cats(found, text) && stralloc_cats(found, " "));
}

static const struct {
	const char *in, *found;
	enum mail_header_result result;
} recipients[] = {
	{"To: a@a.test\nCC: B <b@b.test>, c@c.test\nBcc: d\n\nTo: no@no.test\n",
		"a@a.test b@b.test c@c.test d ", MAIL_HEADER_OK},
	{"To: g: a@a.test, \"x y\"@b.test;\n\n", "a@a.test \"x y\"@b.test ",
		MAIL_HEADER_OK},
	{"To: a@a.test\nResent-To: r@r.test\n\n", "r@r.test ", MAIL_HEADER_OK},
	{"To: a@a.test\nResent-Date: x\n\n", "", MAIL_HEADER_OK},
	{"Resent-To: n@n.test\nResent-Cc: c@n.test\nReceived: x\n"
	 "Resent-From: o\nresent-to: o@o.test\nResent-Cc: p@o.test\n\n",
		"n@n.test c@n.test ", MAIL_HEADER_OK},
	{"Resent-From: x\nResent-To: a@a.test\nReceived: x\n"
	 "Resent-Bcc: b@b.test\n\n",
		"a@a.test ", MAIL_HEADER_OK},
	{"Resent-To: a@a.test\nResent-To: b@b.test\nResent-From: x\n\n",
		"a@a.test b@b.test ", MAIL_HEADER_OK},
	{"To: Team: (a) ann@a.test,\n\t\"B, C\" <b@b.test> (c (d)),;, "
	 "undisclosed:;\nCc: =?utf-8?Q?J=C3=B6rg?= =?utf-8?B?eA==?= "
	 "<j@j.test>\n\n",
		"ann@a.test b@b.test j@j.test ", MAIL_HEADER_OK},
	{"Subject: To: a@a.test\n\n", "", MAIL_HEADER_OK},
	{"To: <a@a.test\n\n", "", MAIL_HEADER_BAD},
	{"To: a@a.test\nCc: b@@b\n\n", "a@a.test ", MAIL_HEADER_BAD},
};

static void
test_recipients(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(recipients) / sizeof(recipients[0]);
		i++) {
		stralloc found = STRALLOC_ZERO;
		char bad[40];

		assert_int_equal(mail_header_recipients(recipients[i].in,
					 strlen(recipients[i].in), note, &found,
					 bad, sizeof(bad)),
			recipients[i].result);
		assert_true(stralloc_0(&found));
		assert_string_equal(found.s, recipients[i].found);
		stralloc_free(&found);
	}
}

static const struct {
	const char *name, *out;
} from[] = {
	{"", "a@a.test"},
	{"Ann", "Ann <a@a.test>"},
	{"Ann B", "Ann B <a@a.test>"},
	{"Ann B. \"C\" \\", "\"Ann B. \\\"C\\\" \\\\\" <a@a.test>"},
	{"\xc3\x84nn", "=?utf-8?Q?=C3=84=6E=6E?= <a@a.test>"},
	{"\xc3\x84nn of a longer name",
		"=?utf-8?Q?=C3=84=6E=6E=20=6F=66=20=61=20=6C=6F=6E=67?= "
		"=?utf-8?Q?=65=72=20=6E=61=6D=65?= <a@a.test>"},
	{"Ann\nBcc: x", NULL},
	{"Ann\x7f", NULL},
};

static void
test_from(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		stralloc into = STRALLOC_ZERO;
		int result;

		errno = 0;
		result = mail_header_from(from[i].name, "a@a.test", &into);
		if (from[i].out == NULL) {
			assert_int_equal(result, -1);
			assert_int_equal(errno, EINVAL);
			assert_int_equal(into.len, 0);
		} else {
			assert_int_equal(result, 0);
			assert_true(stralloc_0(&into));
			assert_string_equal(into.s, from[i].out);
		}
		stralloc_free(&into);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rewrite),
		cmocka_unit_test(test_recipients),
		cmocka_unit_test(test_from),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
