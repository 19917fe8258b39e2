/*
 * One text as a control file of every kind: read from a folder of links to a
 * file in memory.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "lib/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct values {
	char *text, *host;
	int64_t number, is_on;
	struct setting_list list;
};

#define AT(member) .offset = offsetof(struct values, member)
static const struct setting table[] = {
	{"value", SETTING_TEXT, NULL, AT(text)},
	{"value", SETTING_HOST, NULL, AT(host)},
	{"value", SETTING_NUMBER, NULL, -7, 7777, AT(number)},
	{"value", SETTING_SWITCH, NULL, AT(is_on)},
	{"value", SETTING_LIST, NULL, AT(list)},
};

static void
check(const struct values *values)
{
	if (values->text != NULL)
		assert(strpbrk(values->text, "\n\r\t") == NULL);
	assert(values->number >= -7 && values->number <= 7777);
	assert(values->is_on == 0 || values->is_on == 1);
	for (size_t i = 0; i < values->list.count; i++) {
		const char *line = values->list.line[i];

		assert(*line != 0 && *line != '#');
		assert(strchr(line, '\n') == NULL);
		assert(i == 0 ||
			values->list.number[i] > values->list.number[i - 1]);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char folder[] = "/tmp/fuzz-settings.XXXXXX", link[64], target[64];
	int fd = memfd_create("value", MFD_CLOEXEC);

	assert(fd >= 0 && mkdtemp(folder) != NULL);
	assert(write(fd, data, size) == (ssize_t)size);
	snprintf(link, sizeof link, "%s/value", folder);
	snprintf(target, sizeof target, "/proc/self/fd/%d", fd);
	assert(symlink(target, link) == 0);
	for (size_t i = 0; i < SETTINGS_COUNT(table); i++) {
		struct values values = {0};
		char why[200] = "";

		if (settings_read(&table[i], 1, folder, &values, why,
			    sizeof why) == 0)
			check(&values);
		else
			assert(why[0] != 0 && strpbrk(why, "\n\r\t") == NULL);
		settings_free(&table[i], 1, &values);
		settings_free(&table[i], 1, &values);
	}
	unlink(link);
	rmdir(folder);
	close(fd);
	return 0;
}
