/* Parameters of MAIL and RCPT: what is found lies in the input, and a list that
 * is fine stays so with blanks behind it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "lib/envelope.h"
#include "lib/xtext.h"
#include "smtpd/hops.h"
#include "smtpd/parameters.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* It lies in the input; as it is written it is ASCII, and is written the same. */
static void
check_orcpt(const char *text_end, const struct parameters *got)
{
	char written[ENVELOPE_ORCPT_MAX + 1], again[ENVELOPE_ORCPT_MAX + 1];

	assert(got->orcpt + got->orcpt_len <= text_end);
	size_t len =
		parameters_write_orcpt(written, got->orcpt, got->orcpt_len);
	assert(len > 0 && len <= ENVELOPE_ORCPT_MAX && strlen(written) == len);
	assert(xtext_orcpt_type(written, len) > 0);
	assert(parameters_write_orcpt(again, written, len) == len);
	assert(strcmp(written, again) == 0);
}

static void
scan(enum parameters_command command, const char *text, size_t size)
{
	struct parameters got, again;
	enum parameters_result result =
		parameters_scan(command, text, size, &got);

	if (result != PARAMETERS_OK) {
		assert(got.bad >= text && got.bad_len > 0);
		assert(got.bad + got.bad_len <= text + size);
		return;
	}
	assert(command == PARAMETERS_MAIL ||
		(!got.has_size && !got.has_body && !got.has_ret && !got.envid));
	assert(command == PARAMETERS_RCPT || (!got.has_notify && !got.orcpt));
	if (got.orcpt != NULL)
		check_orcpt(text + size, &got);
	if (got.envid != NULL) {
		char plain[ENVELOPE_ENVID_MAX + 1];
		long count = xtext_decode(
			plain, sizeof plain, got.envid, got.envid_len);
		assert(count > 0 && strlen(plain) == (size_t)count);
	}
	char *longer = malloc(size + 2);
	if (longer == NULL)
		return;
	if (size > 0)
		memcpy(longer, text, size);
	memcpy(longer + size, "  ", 2);
	assert(parameters_scan(command, longer, size + 2, &again) ==
		PARAMETERS_OK);
	assert(again.size == got.size && again.body == got.body);
	assert(again.notify == got.notify && again.ret == got.ret);
	free(longer);
}

/* The same blocks for the counter of hops, at one split. */
static void
count(const char *text, size_t size, size_t split)
{
	struct hops once, twice;

	hops_start(&once);
	hops_scan(&once, text, size);
	hops_start(&twice);
	hops_scan(&twice, text, split);
	hops_scan(&twice, text + split, size - split);
	assert(once.received == twice.received);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;

	scan(PARAMETERS_MAIL, text, size);
	scan(PARAMETERS_RCPT, text, size);
	if (size > 0)
		count(text, size, data[0] % (size + 1));
	return 0;
}
