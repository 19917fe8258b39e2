/* A report of hostile words: it stays a report, whatever they are. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include "queue/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct text {
	char *octets;
	size_t length;
};

static int
put(void *context, const void *octets, size_t length)
{
	struct text *text = context;
	char *more = realloc(text->octets, text->length + length + 1);

	if (more == NULL)
		return -1;
	memcpy(more + text->length, octets, length);
	text->octets = more;
	text->length += length;
	more[text->length] = 0;
	return 0;
}

static void
judge(const char *text, char class)
{
	struct report_verdict verdict;

	report_judge(text, class, &verdict);
	assert(verdict.status[0] == class && verdict.status[1] == '.');
	assert(strlen(verdict.status) < sizeof verdict.status);
	assert(!verdict.is_smtp || verdict.address[0] != 0);
	for (const char *p = verdict.words; *p; p++)
		assert(*p >= 32 && *p < 127);
	for (const char *p = verdict.host; *p; p++)
		assert(*p > 32 && *p < 127);
}

/* How often the boundary stands at the start of a line. */
static unsigned
count_parts(const struct text *text, const char *boundary)
{
	const char *at = text->octets, *end = at + text->length;
	size_t length = strlen(boundary);
	unsigned count = 0;

	while ((at = memmem(at, (size_t)(end - at), boundary, length))) {
		count += at[-1] == '-' && at[-2] == '-' && at[-3] == '\n';
		at += length;
	}
	return count;
}

static void
compose(const char *words, const char *orcpt, const char *line,
	const char *content, size_t octets)
{
	char *lines[] = {strdup(line)};
	size_t number[] = {1};
	struct setting_list bouncetext = {lines, number, 1, true};
	struct report_recipient recipient = {
		"a@b.test", orcpt, OUTCOME_FAILED, words, 1700000000000};
	struct text text = {0};
	int fd = memfd_create("content", MFD_CLOEXEC);
	struct report report = {
		.me = "me.test",
		.from_local = "f",
		.from_host = "me.test",
		.to = "s@x.test",
		.id = "i",
		.about = "a",
		.envid = orcpt,
		.ret = octets & 1 ? RET_FULL : RET_HDRS,
		.bouncetext = &bouncetext,
		.recipient = &recipient,
		.recipients = 1,
		.fd = fd,
		.octets = octets,
	};

	if (lines[0] != NULL && fd >= 0 &&
		write(fd, content, octets) == (ssize_t)octets &&
		report_prepare(&report) == 0 &&
		report_write(&report, put, &text) == 0) {
		assert(count_parts(&text, report.boundary) == 4);
		for (size_t i = 0; !report.is_8bit && i < text.length; i++)
			assert((unsigned char)text.octets[i] < 0x80);
	}
	free(text.octets);
	free(lines[0]);
	if (fd >= 0)
		close(fd);
}

/* Three texts, each ended by NUL, and the content. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *piece[3], *at = (const char *)data, *end = at + size;

	for (unsigned i = 0; i < 3; i++) {
		const char *nul = memchr(at, 0, (size_t)(end - at));

		if (nul == NULL || nul - at > OUTCOME_TEXT_MAX)
			return 0;
		piece[i] = at;
		at = nul + 1;
	}
	judge(piece[0], '2');
	judge(piece[0], '5');
	if (strlen(piece[1]) <= ENVELOPE_ENVID_MAX)
		compose(piece[0], piece[1], piece[2], at, (size_t)(end - at));
	return 0;
}
