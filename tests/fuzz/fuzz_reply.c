/*
 * A server's reply, lines divided by LF. What was read and is written again must
 * read as the same reply.
 */
#include "lib/reply.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum reply_result
read_lines(struct reply *reply, const char *text, size_t len, size_t line_end)
{
	enum reply_result result = REPLY_MORE;

	reply_begin(reply);
	while (len > 0 && result == REPLY_MORE) {
		const char *lf = memchr(text, '\n', len);
		size_t line = lf != NULL ? (size_t)(lf - text) : len;
		char *copy = malloc(line > 0 ? line : 1);

		assert(copy != NULL);
		memcpy(copy, text, line);
		result = reply_take_line(
			reply, copy, line >= line_end ? line - line_end : line);
		free(copy);
		line += lf != NULL;
		text += line;
		len -= line;
	}
	return result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reply reply, again;
	char wire[REPLY_WIRE_MAX], summary[100];
	size_t len, i;

	if (read_lines(&reply, (const char *)data, size, 0) != REPLY_DONE)
		return 0;
	assert(reply.text_len == strlen(reply.text));
	assert(reply_summary(&reply, summary, sizeof summary) < sizeof summary);
	len = reply_write(&reply, wire, sizeof wire);
	assert(len >= 6);
	for (i = 0; i < len; i++)
		assert((wire[i] >= 32 && wire[i] <= 126) || wire[i] == '\r' ||
			wire[i] == '\n');
	assert(read_lines(&again, wire, len, 1) == REPLY_DONE);
	assert(again.code == reply.code);
	assert(strcmp(again.enhanced, reply.enhanced) == 0 ||
		reply.enhanced[0] == '\0');
	return 0;
}
