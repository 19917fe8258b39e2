#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/address.h"
#include "lib/escape.h"
#include "local/instructions.h"

#define PREFIX ".qmail"
#define DEFAULT "default"

/* "4.x.x file NAME: WHAT" with the name fit to be shown. */
static void
explain(char *why, size_t size, const char *status, const char *name,
	const char *what)
{
	char shown[INSTRUCTIONS_NAME_MAX];

	escape_line(shown, sizeof shown, name, strlen(name), ESCAPE_MASK);
	snprintf(why, size, "%s %s %s", status, shown, what);
}

/* Whether a file may be believed, and whether there is anything in it. */
static enum instructions_result
look_at(struct instructions_file *file, char *why, size_t size)
{
	struct stat st;

	if (fstat(file->fd, &st) < 0) {
		explain(why, size, "4.3.0", file->name, strerror(errno));
		return INSTRUCTIONS_TROUBLE;
	}
	if (!S_ISREG(st.st_mode)) {
		explain(why, size, "4.7.0", file->name,
			"is not a regular file");
		return INSTRUCTIONS_TROUBLE;
	}
	if (st.st_uid != geteuid() && st.st_uid != 0) {
		explain(why, size, "4.7.0", file->name,
			"belongs to another user");
		return INSTRUCTIONS_TROUBLE;
	}
	if (st.st_mode & (S_IWGRP | S_IWOTH)) {
		explain(why, size, "4.7.0", file->name,
			"can be written by group or others");
		return INSTRUCTIONS_TROUBLE;
	}
	file->forward_only = (st.st_mode & S_IXUSR) != 0;
	return st.st_size == 0 ? INSTRUCTIONS_EMPTY : INSTRUCTIONS_FOUND;
}

/* Tries the one name that is in file. */
static enum instructions_result
try_name(int home, struct instructions_file *file, char *why, size_t size)
{
	/* not blocking, so that a FIFO of that name holds nobody up */
	file->fd = openat(
		home, file->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (file->fd < 0) {
		if (errno == ENOENT)
			return INSTRUCTIONS_NONE;
		explain(why, size, "4.3.0", file->name, strerror(errno));
		return INSTRUCTIONS_TROUBLE;
	}
	enum instructions_result result = look_at(file, why, size);
	if (result != INSTRUCTIONS_FOUND) {
		close(file->fd);
		file->fd = -1;
	}
	return result;
}

/* Makes the name from the first octets of an extension. False if it is too long
 * for a file, which then cannot exist. */
static bool
make_name(struct instructions_file *file, const char *dash,
	const char *extension, size_t octets, const char *end)
{
	int length = snprintf(file->name, sizeof file->name, PREFIX "%s%.*s%s",
		dash, (int)octets, extension, end);

	if (length < 0 || (size_t)length >= sizeof file->name)
		return false;
	char *at = file->name + strlen(PREFIX) + strlen(dash);
	for (size_t i = 0; i < octets; i++) {
		if (at[i] >= 'A' && at[i] <= 'Z')
			at[i] = (char)(at[i] - 'A' + 'a');
		else if (at[i] == '.')
			at[i] = ':';
	}
	return true;
}

static bool
can_be_in_a_name(const char *text)
{
	for (; *text != 0; text++)
		if ((unsigned char)*text < 32 || *text == 127 || *text == '/')
			return false;
	return true;
}

enum instructions_result
instructions_find(int home, const char *dash, const char *extension,
	struct instructions_file *file, char *why, size_t size)
{
	size_t length = strlen(extension);
	enum instructions_result result = INSTRUCTIONS_NONE;

	*file = (struct instructions_file){.fd = -1};
	if (!can_be_in_a_name(dash) || !can_be_in_a_name(extension) ||
		length > INT16_MAX)
		return INSTRUCTIONS_NONE;
	if (make_name(file, dash, extension, length, ""))
		result = try_name(home, file, why, size);
	if (result != INSTRUCTIONS_NONE) {
		size_t tail = strlen(DEFAULT);

		/* somebody wrote to user-default */
		if (length >= tail &&
			strcasecmp(extension + length - tail, DEFAULT) == 0) {
			file->has_matched = true;
			file->matched = extension + length - tail;
		}
		return result;
	}
	if (*dash == 0)
		return INSTRUCTIONS_NONE;
	for (size_t kept = length + 1; kept-- > 0;) {
		if (kept > 0 && extension[kept - 1] != '-')
			continue;
		if (!make_name(file, dash, extension, kept, DEFAULT))
			continue;
		result = try_name(home, file, why, size);
		if (result == INSTRUCTIONS_NONE)
			continue;
		file->has_matched = true;
		file->matched = extension + kept;
		return result;
	}
	return INSTRUCTIONS_NONE;
}

int
instructions_exist(int home, const char *dash, const char *extension,
	const char *end, char *why, size_t size)
{
	struct instructions_file file;
	struct stat st;

	if (!can_be_in_a_name(dash) || !can_be_in_a_name(extension) ||
		!make_name(&file, dash, extension, strlen(extension), end))
		return 0;
	if (fstatat(home, file.name, &st, 0) == 0)
		return 1;
	if (errno == ENOENT)
		return 0;
	explain(why, size, "4.3.0", file.name, strerror(errno));
	return -1;
}

int
instructions_home(int home, char *why, size_t size)
{
	struct stat st;

	if (fstat(home, &st) < 0) {
		snprintf(why, size, "4.3.0 home folder: %s", strerror(errno));
		return -1;
	}
	if (st.st_mode & S_IWOTH) {
		snprintf(why, size,
			"4.7.0 the home folder can be written by "
			"everybody");
		return -1;
	}
	if (st.st_mode & S_ISVTX) {
		snprintf(why, size,
			"4.2.1 the home folder is sticky: its user "
			"is editing the instructions");
		return -1;
	}
	return 0;
}

/* An instruction for one line, which begins with neither "#" nor "+". Returns
 * NULL, or what is wrong with it. */
static const char *
read_line(const char *text, bool forward_only, struct instruction *line)
{
	struct path path;
	size_t length = strlen(text);

	line->text = text;
	if (*text == '|') {
		line->kind = INSTRUCTION_PROGRAM;
		line->text++;
	} else if (*text == '/' || *text == '.') {
		line->kind = text[length - 1] == '/' ? INSTRUCTION_MAILDIR
						     : INSTRUCTION_MBOX;
		if (*text == '.' && text[1] != '/')
			return "4.3.5 a path begins with / or ./";
	} else {
		line->kind = INSTRUCTION_FORWARD;
		line->text += *text == '&';
		if (address_mailbox_scan(line->text, strlen(line->text),
			    ADDRESS_NO_DOMAIN | ADDRESS_UTF8, &path) < 0)
			return "4.3.5 not an address to forward to";
		return NULL;
	}
	if (forward_only)
		return "4.7.0 a program or a mailbox, where the file's execute "
		       "bit or +list allows forwards alone";
	return NULL;
}

/* Ends the line that starts at text where its white space begins. Returns the
 * start of the next one, or end. */
static char *
cut_line(char *text, char *end)
{
	char *lf = memchr(text, '\n', (size_t)(end - text));
	char *next = lf != NULL ? lf + 1 : end;
	char *last = lf != NULL ? lf : end;

	while (last > text &&
		(last[-1] == ' ' || last[-1] == '\t' || last[-1] == '\r'))
		last--;
	*last = 0;
	return next;
}

/* Takes all lines of the copy [octets, end), which has a NUL after it. Returns
 * NULL or what is wrong with line *number. */
static const char *
read_lines(struct instructions *instructions, char *end, bool forward_only,
	unsigned *number)
{
	const char *wrong;

	for (char *at = instructions->octets; at < end;) {
		char *text = at;
		struct instruction *line =
			&instructions->line[instructions->lines];

		if (++*number > INSTRUCTIONS_LINES_MAX)
			return "4.3.5 too many lines";
		at = cut_line(text, end);
		if (*number == 1 && *text == 0)
			return "4.2.1 first line is empty";
		forward_only |= strcmp(text, "+list") == 0;
		if (*text == 0 || *text == '#' || *text == '+')
			continue;
		line->number = *number;
		wrong = read_line(text, forward_only, line);
		if (wrong != NULL)
			return wrong;
		instructions->lines++;
	}
	return NULL;
}

static size_t
count_lines(const char *octets, size_t length)
{
	size_t lines = 1;

	for (size_t i = 0; i < length; i++)
		lines += octets[i] == '\n';
	return lines < INSTRUCTIONS_LINES_MAX ? lines : INSTRUCTIONS_LINES_MAX;
}

int
instructions_parse(const char *octets, size_t length, bool forward_only,
	struct instructions *instructions, char *why, size_t size)
{
	unsigned number = 0;
	const char *wrong;

	*instructions = INSTRUCTIONS_ZERO;
	if (length > INSTRUCTIONS_SIZE_MAX) {
		snprintf(why, size,
			"4.3.5 instructions are larger than %d "
			"octets",
			INSTRUCTIONS_SIZE_MAX);
		return -1;
	}
	if (memchr(octets, 0, length) != NULL) {
		snprintf(why, size, "4.3.5 instructions contain a NUL");
		return -1;
	}
	/* one more: the place looked at after the last line */
	instructions->line = calloc(
		count_lines(octets, length) + 1, sizeof *instructions->line);
	instructions->octets = malloc(length + 1);
	if (instructions->line == NULL || instructions->octets == NULL) {
		instructions_free(instructions);
		snprintf(why, size, "4.3.0 out of memory");
		return -1;
	}
	memcpy(instructions->octets, octets, length);
	instructions->octets[length] = 0;
	wrong = read_lines(instructions, instructions->octets + length,
		forward_only, &number);
	if (wrong == NULL)
		return 0;
	snprintf(why, size, "%s (line %u of the instructions)", wrong, number);
	instructions_free(instructions);
	return -1;
}

int
instructions_read(const struct instructions_file *file,
	struct instructions *instructions, char *why, size_t size)
{
	size_t length = 0;
	ssize_t got = 1;
	int result = -1;

	*instructions = INSTRUCTIONS_ZERO;
	char *octets = malloc(INSTRUCTIONS_SIZE_MAX + 1);
	if (octets == NULL) {
		snprintf(why, size, "4.3.0 out of memory");
		return -1;
	}
	while (got > 0 && length <= INSTRUCTIONS_SIZE_MAX) {
		got = pread(file->fd, octets + length,
			INSTRUCTIONS_SIZE_MAX + 1 - length, (off_t)length);
		if (got > 0)
			length += (size_t)got;
		else if (got < 0 && errno == EINTR)
			got = 1;
	}
	if (got < 0)
		explain(why, size, "4.3.0", file->name, strerror(errno));
	else
		result = instructions_parse(octets, length, file->forward_only,
			instructions, why, size);
	free(octets);
	return result;
}

void
instructions_free(struct instructions *instructions)
{
	free(instructions->octets);
	free(instructions->line);
	*instructions = INSTRUCTIONS_ZERO;
}
