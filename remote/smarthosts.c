#include "remote/smarthosts.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int refuse(char *why, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int
refuse(char *why, size_t size, const char *format, ...)
{
	va_list arguments;
	size_t used = (size_t)snprintf(why, size, "%s: ", SMARTHOSTS_FILE);

	if (used >= size)
		return -1;
	va_start(arguments, format);
	vsnprintf(why + used, size - used, format, arguments);
	va_end(arguments);
	return -1;
}

/* Whether nobody but remote and root can have read it. */
static int
check_file(
	const struct stat *st, uid_t owner, gid_t group, char *why, size_t size)
{
	if (!S_ISREG(st->st_mode))
		return refuse(why, size, "is no plain file");
	if (st->st_uid != owner)
		return refuse(why, size, "is owned by uid %u: expected %u",
			(unsigned)st->st_uid, (unsigned)owner);
	if ((st->st_mode & 037) != 0)
		return refuse(why, size,
			"has mode %04o, which lets others read or change it: "
			"expected 0640; change the passwords in it, too",
			(unsigned)(st->st_mode & 07777));
	if ((st->st_mode & 040) != 0 && st->st_gid != group)
		return refuse(why, size,
			"can be read by group %u: expected group %u",
			(unsigned)st->st_gid, (unsigned)group);
	if (st->st_size > SMARTHOSTS_OCTETS_MAX)
		return refuse(why, size, "is larger than %d octets",
			SMARTHOSTS_OCTETS_MAX);
	return 0;
}

/* Copies a user or a password. */
static bool
take_text(char to[SMARTHOSTS_TEXT_MAX + 1], const char *text, size_t len)
{
	if (len == 0 || len > SMARTHOSTS_TEXT_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 127)
			return false;
	memcpy(to, text, len);
	to[len] = 0;
	return true;
}

int
smarthosts_take_line(
	const char *line, size_t len, const char *name, struct login *login)
{
	size_t name_len = strlen(name);

	if (len == 0 || line[0] == '#')
		return 0;
	const char *colon = memchr(line, ':', len);
	if (colon == NULL)
		return -1;
	if ((size_t)(colon - line) != name_len ||
		memcmp(line, name, name_len) != 0)
		return 0;
	len -= name_len + 1;
	line = colon + 1;
	colon = memchr(line, ':', len);
	if (colon == NULL || name_len > ROUTE_LABEL_MAX ||
		!take_text(login->user, line, (size_t)(colon - line)) ||
		!take_text(login->password, colon + 1,
			len - (size_t)(colon + 1 - line)))
		return -1;
	memcpy(login->name, name, name_len + 1);
	return 1;
}

static int
find_line(const char *text, size_t len, const char *name, struct login *login,
	char *why, size_t size)
{
	unsigned number = 0;

	for (size_t at = 0; at < len;) {
		const char *line = text + at;
		const char *end = memchr(line, '\n', len - at);
		size_t line_len = end ? (size_t)(end - line) : len - at;
		int found = smarthosts_take_line(line, line_len, name, login);

		number++;
		if (found > 0)
			return 0;
		if (found < 0)
			return refuse(why, size,
				"line %u: expected NAME:USER:PASSWORD, each of "
				"1 to %d octets",
				number, SMARTHOSTS_TEXT_MAX);
		at += line_len + 1;
	}
	return refuse(why, size, "has no line for \"%s\"", name);
}

/* Reads all of the file into text. The number of octets, or -1 with errno. */
static ssize_t
read_all(int fd, char *text, size_t size)
{
	size_t used = 0;

	while (used < size) {
		ssize_t got = pread(fd, text + used, size - used, (off_t)used);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		used += (size_t)got;
	}
	return (ssize_t)used;
}

int
smarthosts_find(int fd, uid_t owner, gid_t group, const char *name,
	struct login *login, char *why, size_t size)
{
	struct stat st;
	int result;

	memset(login, 0, sizeof *login);
	if (fd < 0 || fstat(fd, &st) < 0)
		return refuse(why, size, "%s", strerror(errno));
	if (check_file(&st, owner, group, why, size) < 0)
		return -1;
	size_t room = (size_t)st.st_size + 1;
	char *text = malloc(room);
	if (text == NULL)
		return refuse(why, size, "out of memory");
	ssize_t len = read_all(fd, text, room);
	if (len < 0)
		result = refuse(why, size, "%s", strerror(errno));
	else
		result = find_line(text, (size_t)len, name, login, why, size);
	explicit_bzero(text, room);
	free(text);
	if (result < 0)
		explicit_bzero(login, sizeof *login);
	return result;
}
