/*
 * Lines from a pipe. The first octet chooses the limit, the second how the rest
 * is cut into writes. The lines must be those that a plain split at LF gives.
 */
#include "lib/line.h"
#include <assert.h>
#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_line(const uint8_t *data, size_t with_end, size_t max,
	enum line_result result, const char *text, size_t len)
{
	size_t crlf = with_end > 1 && data[with_end - 2] == '\r';
	size_t without = with_end - 1 - crlf;

	if (with_end > max) {
		assert(result == LINE_TOO_LONG);
		return;
	}
	assert(len == without && memcmp(text, data, len) == 0);
	if (crlf && memchr(data, '\r', without) == NULL)
		assert(result == LINE_OK);
	else
		assert(result == LINE_BARE);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct line_reader reader;
	size_t max, piece, given = 0, at = 2, len;
	const char *text;
	int fd[2];

	if (size < 2 || size > 4000 || pipe(fd) == -1)
		return 0;
	max = 2 + data[0];
	piece = 1 + data[1] % 64u;
	line_start(&reader, fd[0]);
	for (given = 2; given < size;) {
		size_t count = size - given < piece ? size - given : piece;

		assert(write(fd[1], data + given, count) == (ssize_t)count);
		given += count;
		assert(line_fill(&reader, DEADLINE_NEVER) == LINE_OK);
	}
	close(fd[1]);
	for (;;) {
		const uint8_t *lf = memchr(data + at, '\n', size - at);
		enum line_result result =
			line_read(&reader, max, DEADLINE_NEVER, &text, &len);

		if (lf == NULL) {
			assert(result == LINE_EOF);
			break;
		}
		check_line(data + at, (size_t)(lf - (data + at)) + 1, max,
			result, text, len);
		at = (size_t)(lf - data) + 1;
	}
	close(fd[0]);
	return 0;
}
