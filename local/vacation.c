#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/addresslist.h"
#include "lib/durable.h"
#include "lib/escape.h"
#include "lib/fields.h"
#include "local/vacation.h"

/* Octets of the file, whatever stands in it. */
#define SEEN_OCTETS_MAX (16 * 1024 * 1024)

int
vacation_add_name(struct vacation *vacation, const char *address)
{
	if (vacation->names == VACATION_NAMES_MAX ||
		address_mailbox_scan(address, strlen(address), ADDRESS_UTF8,
			&vacation->name[vacation->names]) < 0)
		return -1;
	vacation->names++;
	return 0;
}

/* --- who may have an answer --- */

static bool
is_same(const struct path *one, const struct path *other)
{
	return strcasecmp(one->local, other->local) == 0 &&
	       strcmp(one->domain, other->domain) == 0;
}

static bool
is_ours(const struct vacation *vacation, const struct path *path)
{
	for (unsigned i = 0; i < vacation->names; i++)
		if (is_same(&vacation->name[i], path))
			return true;
	return false;
}

static bool
ends_in(const char *text, const char *end)
{
	size_t length = strlen(text), tail = strlen(end);

	return length >= tail && strcasecmp(text + length - tail, end) == 0;
}

/* Local parts behind which nobody reads, by RFC 3834 section 2 and by custom. */
static bool
is_of_a_program(const char *local)
{
	static const char *const ends[] = {
		"-request", "-relay", "-owner", "-bounces", NULL};
	static const char *const starts[] = {"owner-", "bounce", "noreply",
		"no-reply", "donotreply", "do-not-reply", "listserv",
		"majordomo", "mailer-daemon", "mailer", "srs1=", NULL};

	for (int i = 0; ends[i] != NULL; i++)
		if (ends_in(local, ends[i]))
			return true;
	for (int i = 0; starts[i] != NULL; i++)
		if (strncasecmp(local, starts[i], strlen(starts[i])) == 0)
			return true;
	return false;
}

/* Why a field forbids an answer, or NULL. */
static const char *
field_forbids(const struct field *field)
{
	static const char *const precedences[] = {"bulk", "junk", "list"};
	char text[100];

	if (field->name_len >= 5 && strncasecmp(field->name, "List-", 5) == 0)
		return "it comes from a list";
	(void)field_unfold(field, text, sizeof text);
	if (field_is(field, "Auto-Submitted") &&
		(strncasecmp(text, "no", 2) != 0 ||
			(text[2] != 0 && strchr("; \t(", text[2]) == NULL)))
		return "a program has sent it";
	if (field_is(field, "X-Auto-Response-Suppress") &&
		strcasecmp(text, "none") != 0)
		return "its sender wants no answer";
	if (field_is(field, "Feedback-ID") || field_is(field, "X-Loop"))
		return "a program has sent it";
	for (size_t i = 0; field_is(field, "Precedence") && i < 3; i++)
		if (strcasecmp(text, precedences[i]) == 0)
			return "it is not of the first class";
	return NULL;
}

struct search {
	const struct vacation *vacation;
	bool found;
};

static int
look_for(void *context, const struct path *path)
{
	struct search *search = context;

	search->found |= is_ours(search->vacation, path);
	return 0;
}

static void
take_text(const struct field *field, char *into, size_t size)
{
	char text[998];

	(void)field_unfold(field, text, sizeof text);
	(void)escape_line(into, size, text, strlen(text), ESCAPE_MASK);
}

/* What an answer needs of a field, and whether it names us. */
static void
take_field(struct vacation *vacation, const struct field *field,
	struct search *search)
{
	static const char *const recipients[] = {
		"To", "Cc", "Resent-To", "Resent-Cc"};

	for (size_t i = 0; i < 4; i++)
		if (field_is(field, recipients[i]))
			(void)addresslist_read(field->body, field->body_len,
				ADDRESS_UTF8, look_for, search, NULL);
	if (field_is(field, "Subject"))
		take_text(field, vacation->subject, sizeof vacation->subject);
	else if (field_is(field, "Message-ID"))
		take_text(field, vacation->ident, sizeof vacation->ident);
	else if (field_is(field, "References") ||
		 (field_is(field, "In-Reply-To") &&
			 vacation->references[0] == 0))
		take_text(field, vacation->references,
			sizeof vacation->references);
}

bool
vacation_may_answer(struct vacation *vacation, const char *block, size_t length,
	const char *sender, const char **why)
{
	struct search search = {.vacation = vacation};
	struct fields fields;
	struct field field;
	struct path from;

	*why = "it has no sender";
	if (address_mailbox_scan(sender, strlen(sender), ADDRESS_UTF8, &from) <
		0)
		return false;
	*why = "a program has sent it";
	if (is_of_a_program(from.local))
		return false;
	*why = "it is our own";
	if (is_ours(vacation, &from))
		return false;
	fields_start(&fields, block, length);
	while (fields_next(&fields, &field)) {
		*why = field_forbids(&field);
		if (*why != NULL)
			return false;
		take_field(vacation, &field, &search);
	}
	*why = "it names none of our addresses";
	return search.found;
}

/* --- who has had one --- */

/* Opens and locks the file, and makes sure that it is the one of that name. */
static int
open_seen(int folder, const char *name)
{
	struct stat here, there;

	for (;;) {
		int fd = openat(folder, name,
			O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW |
				O_NONBLOCK,
			0600);
		if (fd < 0)
			return -1;
		int locked = flock(fd, LOCK_EX);
		int saved = errno;
		if (locked == 0 && fstat(fd, &here) == 0 &&
			fstatat(folder, name, &there, 0) == 0 &&
			here.st_ino == there.st_ino) {
			if (S_ISREG(here.st_mode) &&
				here.st_size <= SEEN_OCTETS_MAX)
				return fd;
			errno = EFBIG;
			close(fd);
			return -1;
		}
		close(fd);
		/* where there are no locks the next try would fail as well */
		if (locked < 0 && saved != EINTR) {
			errno = saved;
			return -1;
		}
	}
}

/* All of the file, with a NUL after it; owned. */
static char *
read_seen(int fd, size_t *length)
{
	struct stat st;

	*length = 0;
	if (fstat(fd, &st) < 0)
		return NULL;
	char *text = malloc((size_t)st.st_size + 1);
	while (text != NULL && *length < (size_t)st.st_size) {
		ssize_t got = pread(fd, text + *length,
			(size_t)st.st_size - *length, (off_t)*length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			free(text);
			return NULL;
		}
		if (got == 0)
			break;
		*length += (size_t)got;
	}
	if (text != NULL)
		text[*length] = 0;
	return text;
}

/* Takes a line apart: its time, and where its address starts. False: it is none. */
static bool
read_line(const char *line, long long *time_s, const char **address)
{
	char *end;

	errno = 0;
	*time_s = strtoll(line, &end, 10);
	*address = end + 1;
	return end != line && *end == ' ' && errno == 0;
}

/* Whether the sender was noted after a time; and how many lines there are. */
static bool
is_noted(const char *text, const char *sender, int64_t after_s, unsigned *lines)
{
	size_t length = strlen(sender);
	bool found = false;

	*lines = 0;
	for (const char *at = text; *at != 0; ++*lines) {
		const char *end = strchrnul(at, '\n'), *address;
		long long time_s;

		if (read_line(at, &time_s, &address) && time_s > after_s &&
			end > address && (size_t)(end - address) == length &&
			strncasecmp(address, sender, length) == 0)
			found = true;
		at = *end != 0 ? end + 1 : end;
	}
	return found;
}

/* Writes the file anew without its older half. Failure does no harm. */
static void
shorten(int folder, const char *name, const char *text, size_t length)
{
	const char *half = memchr(text + length / 2, '\n', length - length / 2);

	if (half != NULL)
		(void)durable_replace(folder, name, half + 1,
			length - (size_t)(half + 1 - text), 0600, geteuid(),
			getegid());
}

static enum vacation_seen
note(int fd, const char *text, size_t length, const char *sender, int64_t now_s)
{
	char line[1100];
	/* a line that a power cut has torn is ended first */
	int octets = snprintf(line, sizeof line, "%s%lld %s\n",
		length > 0 && text[length - 1] != '\n' ? "\n" : "",
		(long long)now_s, sender);

	if (octets > 0 && (size_t)octets < sizeof line &&
		durable_write_all(fd, line, (size_t)octets) == 0 &&
		durable_sync_file(fd) == 0)
		return VACATION_NEW;
	return VACATION_FAILED;
}

enum vacation_seen
vacation_note(int folder, const char *name, const char *sender, int64_t now_s,
	int64_t for_s, int *fd, int64_t *length)
{
	enum vacation_seen result = VACATION_FAILED;
	unsigned lines;
	size_t octets = 0;

	*fd = open_seen(folder, name);
	if (*fd < 0)
		return VACATION_FAILED;
	char *text = read_seen(*fd, &octets);
	if (text != NULL && is_noted(text, sender, now_s - for_s, &lines)) {
		result = VACATION_SEEN;
	} else if (text != NULL && lines >= VACATION_SEEN_MAX) {
		shorten(folder, name, text, octets);
		free(text);
		close(*fd);
		*fd = open_seen(folder, name);
		text = *fd < 0 ? NULL : read_seen(*fd, &octets);
	}
	*length = (int64_t)octets;
	if (text != NULL && result != VACATION_SEEN)
		result = note(*fd, text, octets, sender, now_s);
	if (result == VACATION_FAILED && *fd >= 0) {
		int saved = errno;

		/* what could not be read is not cut */
		if (text != NULL)
			vacation_forget(*fd, *length);
		close(*fd);
		*fd = -1;
		errno = saved;
	}
	free(text);
	return result;
}

void
vacation_forget(int fd, int64_t length)
{
	if (ftruncate(fd, length) == 0)
		(void)durable_sync_file(fd);
}
