#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "lib/fields.h"
#include "lib/utf8.h"
#include "queue/report.h"

/* What must be known of a report before its first line: how much of the message
 * goes back, what is not ASCII, and a boundary. */

static bool
has_8bit(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] >= 0x80)
			return true;
	return false;
}

bool
report_has_8bit(const char *text)
{
	return has_8bit(text, strlen(text));
}

ssize_t
report_read(const struct report *report, uint64_t at, uint64_t end, char *block)
{
	size_t want =
		end - at < REPORT_BLOCK_OCTETS ? end - at : REPORT_BLOCK_OCTETS;
	ssize_t got;

	do
		got = pread(
			report->fd, block, want, (off_t)(report->offset + at));
	while (got < 0 && errno == EINTR);
	if (got == 0)
		errno = EIO; /* shorter than promised */
	return got == 0 ? -1 : got;
}

/* How many octets from the content's start are its header. */
static int
measure_header(struct report *report, char *block)
{
	uint64_t end = report->octets;
	struct fields fields;
	struct field field;
	ssize_t got = 0;

	_Static_assert(
		REPORT_HEADER_MAX <= REPORT_BLOCK_OCTETS, "one block has it");
	if (end > REPORT_HEADER_MAX)
		end = REPORT_HEADER_MAX;
	if (end > 0)
		got = report_read(report, 0, end, block);
	if (got < 0)
		return -1;
	fields_start(&fields, block, (size_t)got);
	report->return_octets = 0;
	while (fields_next(&fields, &field))
		report->return_octets =
			(uint64_t)(field.start - block) + field.len;
	/* A field that the bound cuts is left out. */
	while (report->return_octets > 0 &&
		block[report->return_octets - 1] != '\n')
		report->return_octets--;
	return 0;
}

static int
make_boundary(struct report *report)
{
	unsigned char random[16];
	size_t at = 0;

	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
		errno = EIO;
		return -1;
	}
	/* "=_" occurs in no encoded text, RFC 2045 section 6.7. */
	at = (size_t)snprintf(report->boundary, sizeof report->boundary, "=_");
	for (size_t i = 0; i < sizeof random; i++)
		at += (size_t)snprintf(report->boundary + at,
			sizeof report->boundary - at, "%02x", random[i]);
	return 0;
}

/*
 * Looks through what goes back for octets that are not ASCII, and for the
 * boundary. Returns 1 if the boundary occurs, 0 if not, -1 on an error. Block
 * has room for a boundary before REPORT_BLOCK_OCTETS.
 */
static int
survey(struct report *report, char *room)
{
	char *block = room + REPORT_BOUNDARY_SIZE;
	size_t length = strlen(report->boundary), kept = 0;

	report->returns_8bit = false;
	for (uint64_t at = 0; at < report->return_octets;) {
		ssize_t got =
			report_read(report, at, report->return_octets, block);
		if (got < 0)
			return -1;
		size_t have = kept + (size_t)got;
		if (memmem(block - kept, have, report->boundary, length))
			return 1;
		report->returns_8bit |= has_8bit(block, (size_t)got);
		/* The end may hold the beginning of a boundary. */
		size_t keep = have < length - 1 ? have : length - 1;
		memmove(block - keep, block + got - keep, keep);
		kept = keep;
		at += (uint64_t)got;
	}
	return 0;
}

bool
report_line_is_utf8(const char *line)
{
	for (const char *p = line; *p; p++)
		if ((unsigned char)*p < 32 || *p == 127)
			return false;
	return utf8_valid(line, strlen(line));
}

static void
survey_words(struct report *report)
{
	const struct setting_list *more = report->bouncetext;

	report->status_8bit = report->words_8bit = false;
	for (size_t i = 0; i < report->recipients; i++)
		report->status_8bit |=
			report_has_8bit(report->recipient[i].address);
	report->words_8bit = report->status_8bit;
	for (size_t i = 0; more != NULL && i < more->count; i++)
		report->words_8bit |= report_has_8bit(more->line[i]) &&
				      report_line_is_utf8(more->line[i]);
	report->needs_utf8 = report_has_8bit(report->to) ||
			     report_has_8bit(report->from_local);
}

int
report_prepare(struct report *report)
{
	char *room = malloc(REPORT_BOUNDARY_SIZE + REPORT_BLOCK_OCTETS);
	int result = 0;

	if (room == NULL)
		return -1;
	report->returns_whole =
		report->kind == REPORT_FAILED &&
		(report->ret == RET_FULL ||
			(report->ret == RET_NONE &&
				report->octets <= report->whole_max));
	report->return_octets = report->octets;
	if (!report->returns_whole)
		result = measure_header(report, room);
	survey_words(report);
	while (result == 0) {
		result = make_boundary(report);
		if (result == 0)
			result = survey(report, room);
		if (result != 1)
			break;
		result = 0;
	}
	report->is_8bit = report->words_8bit || report->status_8bit ||
			  report->returns_8bit || report->needs_utf8;
	int saved = errno;
	free(room);
	errno = saved;
	return result;
}
