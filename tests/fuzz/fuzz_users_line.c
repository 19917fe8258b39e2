/*
 * Lines of user-import: what is read can be written, and is then read as the same.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "tools/users_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
write_again(const struct users_line *line)
{
	static const size_t room = 2 * USERS_LINE_MAX;
	struct users_line *again = malloc(sizeof *again);
	char *text = malloc(room), why[300] = "";

	assert(again != NULL && text != NULL);
	if (line->password[0] == 0 && line->account.uid != 0 &&
		line->account.home[0] != 0 &&
		users_line_write(text, room, &line->account,
			line->has_secret ? &line->secret : NULL) == 0) {
		text[strcspn(text, "\n")] = 0;
		assert(users_line_scan(text, again, why, sizeof why) == 1);
		assert(strcmp(again->account.name, line->account.name) == 0);
		assert(strcmp(again->account.home, line->account.home) == 0);
		assert(strcmp(again->account.targets, line->account.targets) ==
			0);
		assert(again->account.quota_octets ==
			line->account.quota_octets);
		assert(again->has_secret == line->has_secret);
	}
	free(again);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct users_line *line = malloc(sizeof *line);
	char *text = malloc(size + 1), why[300] = "";

	assert(line != NULL && text != NULL);
	memcpy(text, data, size);
	text[size] = 0;
	int result = users_line_scan(text, line, why, sizeof why);
	assert(result >= 0 || why[0] != 0);
	if (result == 1)
		write_again(line);
	free(line);
	free(text);
	return 0;
}
