#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/log.h"

static const char *log_program = "keepmail";

static struct {
	bool is_on;
	size_t length;
	char octets[LOG_GATHER_MAX];
} log_gathered;

void
log_start(const char *program)
{
	log_program = program;
}

void
log_gather(void)
{
	log_gathered.is_on = true;
}

void
log_write(void)
{
	int saved = errno;
	size_t length = log_gathered.length;

	log_gathered.length = 0;
	if (length > 0 && write(2, log_gathered.octets, length) < 0)
		errno = saved;
}

/* One line, whole. */
static void
put(const char *line, size_t length)
{
	if (log_gathered.length + length > LOG_GATHER_MAX)
		log_write();
	memcpy(log_gathered.octets + log_gathered.length, line, length);
	log_gathered.length += length;
	if (!log_gathered.is_on)
		log_write();
}

void
log_line(const char *format, ...)
{
	static const char hex[] = "0123456789abcdef";
	int saved = errno;
	char text[LOG_LINE_MAX + 1];
	char line[LOG_LINE_MAX + 64];
	size_t at;
	va_list arguments;

	va_start(arguments, format);
	int length = vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	if (length < 0)
		length = 0;
	if ((size_t)length >= sizeof text)
		length = sizeof text - 1;
	at = log_program[0] == 0
		     ? 0
		     : (size_t)snprintf(line, 50, "%.40s: ", log_program);
	for (int i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		if (at + 9 > LOG_LINE_MAX) {
			line[at++] = '.';
			line[at++] = '.';
			line[at++] = '.';
			break;
		}
		if (c >= 32 && c < 127) {
			line[at++] = (char)c;
			continue;
		}
		line[at++] = '\\';
		line[at++] = 'x';
		line[at++] = hex[c >> 4];
		line[at++] = hex[c & 15];
	}
	line[at++] = '\n';
	put(line, at);
	errno = saved;
}
