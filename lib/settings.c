#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/address.h"
#include "lib/settings.h"

/* What the readers of one table share. */
struct reading {
	const char *folder;
	char *why;
	size_t size;
};

/* A file's octets, NUL-terminated. Returns 1, 0 if it is missing, -1 with why. */
static int
read_file(const struct reading *reading, const char *name, char **text,
	size_t *length)
{
	char path[512];
	struct stat st;
	const char *trouble;

	int needed =
		snprintf(path, sizeof path, "%s/%s", reading->folder, name);
	if (needed < 0 || (size_t)needed >= sizeof path) {
		snprintf(reading->why, reading->size,
			"%s: the path is too long", name);
		return -1;
	}
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0) {
		trouble = strerror(errno);
		goto fail;
	}
	trouble = "not a regular file";
	if (!S_ISREG(st.st_mode))
		goto fail;
	trouble = "larger than a control file may be";
	if (st.st_size > SETTINGS_FILE_MAX)
		goto fail;
	trouble = "out of memory";
	char *octets = malloc((size_t)st.st_size + 1);
	if (octets == NULL)
		goto fail;
	size_t have = 0;
	while (have < (size_t)st.st_size) {
		ssize_t got =
			read(fd, octets + have, (size_t)st.st_size - have);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			trouble = strerror(errno);
			free(octets);
			goto fail;
		}
		if (got == 0)
			break;
		have += (size_t)got;
	}
	octets[have] = 0;
	const char *nul = memchr(octets, 0, have);
	if (nul != NULL) {
		trouble = "holds a NUL octet";
		free(octets);
		goto fail;
	}
	close(fd);
	*text = octets;
	*length = have;
	return 1;

fail:
	snprintf(reading->why, reading->size, "%s: %s", path, trouble);
	if (fd >= 0)
		close(fd);
	return -1;
}

static void
strip(char *line)
{
	size_t length = strlen(line);

	while (length > 0 &&
		(line[length - 1] == ' ' || line[length - 1] == '\t' ||
			line[length - 1] == '\r'))
		line[--length] = 0;
}

static int
refuse(const struct reading *reading, const struct setting *setting,
	const char *value, const char *expected)
{
	char found[61];

	snprintf(found, sizeof found, "%s", value);
	for (char *at = found; *at != 0; at++)
		if (*at < 32 || *at == 127)
			*at = '?';
	snprintf(reading->why, reading->size,
		"%s/%s line 1: expected %s, found \"%s\"", reading->folder,
		setting->name, expected, found);
	return -1;
}

static int
take_number(const struct reading *reading, const struct setting *setting,
	const char *value, int64_t *number)
{
	char expected[100], *end;
	int64_t low = setting->minimum, high = setting->maximum;

	if (setting->kind == SETTING_SWITCH) {
		low = 0;
		high = 1;
	}
	errno = 0;
	int64_t found = strtoimax(value, &end, 10);
	if (errno == 0 && end != value && *end == 0 && found >= low &&
		found <= high && *value != ' ' && *value != '+') {
		*number = found;
		return 0;
	}
	snprintf(expected, sizeof expected,
		"a number from %" PRId64 " to %" PRId64, low, high);
	return refuse(reading, setting, value, expected);
}

static int
take_text(const struct reading *reading, const struct setting *setting,
	const char *value, char **text)
{
	size_t length = strlen(value);

	for (size_t i = 0; i < length; i++)
		if ((unsigned char)value[i] < 32 || value[i] == 127)
			return refuse(reading, setting, value,
				"printable characters");
	if (setting->kind == SETTING_HOST && !domain_valid(value, length) &&
		!domain_is_literal(value, length))
		return refuse(reading, setting, value,
			"a host name such as mail.example.org");
	char *copy = strdup(value);
	if (copy == NULL) {
		snprintf(reading->why, reading->size, "out of memory");
		return -1;
	}
	*text = copy;
	return 0;
}

static int
take_value(const struct reading *reading, const struct setting *setting,
	const char *value, void *at)
{
	if (setting->kind == SETTING_NUMBER || setting->kind == SETTING_SWITCH)
		return take_number(reading, setting, value, at);
	return take_text(reading, setting, value, at);
}

static int
read_value(
	const struct reading *reading, const struct setting *setting, void *at)
{
	const char *fallback = setting->fallback;
	bool is_me = fallback != NULL && strcmp(fallback, "@me") == 0;
	char *text = NULL;
	size_t length;

	int found = read_file(reading, setting->name, &text, &length);
	if (found == 0 && is_me)
		found = read_file(reading, "me", &text, &length);
	if (found < 0)
		return -1;
	if (found == 0 && (fallback == NULL || is_me)) {
		snprintf(reading->why, reading->size,
			"%s/%s is missing: it must hold %s", reading->folder,
			is_me ? "me" : setting->name,
			is_me ? "this host's name" : setting->meaning);
		return -1;
	}
	if (found == 0)
		return take_value(reading, setting, fallback, at);
	char *end = strchr(text, '\n');
	if (end != NULL)
		*end = 0;
	strip(text);
	int result = take_value(reading, setting, text, at);
	free(text);
	return result;
}

static void
free_list(struct setting_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->line[i]);
	free(list->line);
	free(list->number);
	memset(list, 0, sizeof *list);
}

/* Adds one line to the list. 0, or -1 out of memory. */
static int
add_line(struct setting_list *list, const char *line, size_t number)
{
	if ((list->count & (list->count - 1)) == 0) {
		size_t room = list->count == 0 ? 1 : list->count * 2;
		char **lines = realloc(list->line, room * sizeof *lines);

		if (lines == NULL)
			return -1;
		list->line = lines;
		size_t *numbers = realloc(list->number, room * sizeof *numbers);
		if (numbers == NULL)
			return -1;
		list->number = numbers;
	}
	char *copy = strdup(line);
	if (copy == NULL)
		return -1;
	list->line[list->count] = copy;
	list->number[list->count++] = number;
	return 0;
}

static int
read_list(const struct reading *reading, const struct setting *setting,
	struct setting_list *list)
{
	char *text = NULL;
	size_t length, number = 0;

	int found = read_file(reading, setting->name, &text, &length);
	if (found < 0)
		return -1;
	if (found == 0 && setting->fallback != NULL &&
		strcmp(setting->fallback, "@me") == 0)
		found = read_file(reading, "me", &text, &length);
	else
		list->present = found == 1;
	if (found < 0)
		return -1;
	if (found == 0)
		return 0;
	for (char *next = text; next != NULL && *next != 0;) {
		char *line = strsep(&next, "\n");

		number++;
		strip(line);
		if (*line == 0 || *line == '#')
			continue;
		if (add_line(list, line, number) < 0) {
			snprintf(reading->why, reading->size, "out of memory");
			free(text);
			free_list(list);
			return -1;
		}
	}
	free(text);
	return 0;
}

int
settings_read(const struct setting *table, size_t count,
	const char *control_folder, void *into, char *why, size_t size)
{
	struct reading reading = {control_folder, why, size};

	for (size_t i = 0; i < count; i++) {
		void *at = (char *)into + table[i].offset;
		int result = table[i].kind == SETTING_LIST
				     ? read_list(&reading, &table[i], at)
				     : read_value(&reading, &table[i], at);

		if (result < 0) {
			settings_free(table, i, into);
			return -1;
		}
	}
	return 0;
}

void
settings_free(const struct setting *table, size_t count, void *into)
{
	for (size_t i = 0; i < count; i++) {
		void *at = (char *)into + table[i].offset;

		switch (table[i].kind) {
		case SETTING_LIST:
			free_list(at);
			break;
		case SETTING_TEXT:
		case SETTING_HOST: {
			char **text = at;

			free(*text);
			*text = NULL;
			break;
		}
		case SETTING_NUMBER:
		case SETTING_SWITCH:
			*(int64_t *)at = 0;
			break;
		}
	}
}
