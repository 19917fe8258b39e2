/* The header as qmail-inject and sendmail rewrite it: any octets. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "compat/inject_header.h"
#include "lib/fields.h"
#include "tools/mail_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
take(void *context, const struct path *path)
{
	(void)context;
	return path->local_len > ADDRESS_LOCAL_MAX;
}

/* What was to be removed is gone, in a header whose end is sound. */
static void
check(const stralloc *made, size_t body_at, size_t size)
{
	if (made->len == 0 || made->s[made->len - 1] != '\n' || body_at > size)
		abort();
	if (fields_count(made->s, made->len, "Bcc") != 0 ||
		fields_count(made->s, made->len, "Return-Path") != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct inject_header inject = {
		.rewrite = {"host", "domain.test", "plus.test"},
		.from = "a@b.test",
		.date = "x",
		.message_id = "<x@y>",
		.followup_lists = "a@b.test\nlist@b.test\n",
		.each = take};
	static const struct mail_header_additions additions = {
		.from = "a@b.test", .message_id = "<x@y>"};
	const char *text = (const char *)data;
	stralloc made = STRALLOC_ZERO, path = STRALLOC_ZERO;
	size_t body_at;
	char bad[100];

	if (inject_header(&inject, text, size, &made, &body_at, bad,
		    sizeof bad) == INJECT_OK)
		check(&made, body_at, size);
	inject_return_path(&inject.rewrite, text, size, &path);
	made.len = 0;
	mail_header_recipients(text, size, take, NULL, bad, sizeof bad);
	if (mail_header_rewrite(text, size, &additions, &made, &body_at) == 0)
		check(&made, body_at, size);
	stralloc_free(&made);
	stralloc_free(&path);
	return 0;
}
