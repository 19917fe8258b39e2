#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/date.h"
#include "smtpd/header.h"

void
header_start(struct header *header)
{
	*header = (struct header){.is_line_start = true};
}

void
header_end(struct header *header)
{
	free(header->block);
	header->block = NULL;
	header->len = 0;
}

/* Octets up to and with the empty line that ends the header; 0: not in here. */
static size_t
find_end(struct header *header, const char *octets, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (octets[i] == '\n' && header->is_line_start)
			return i + 1;
		header->is_line_start = octets[i] == '\n';
	}
	return 0;
}

enum header_result
header_take(
	struct header *header, const char *octets, size_t len, size_t *taken)
{
	size_t end = find_end(header, octets, len);

	*taken = end > 0 ? end : len;
	if (*taken > HEADER_MAX - header->len)
		return HEADER_TOO_LONG;
	if (header->block == NULL)
		header->block = malloc(HEADER_MAX);
	if (header->block == NULL)
		return HEADER_NO_MEMORY;
	memcpy(header->block + header->len, octets, *taken);
	header->len += *taken;
	header->is_whole = end > 0;
	return end > 0 ? HEADER_WHOLE : HEADER_MORE;
}

bool
header_is_sound(const struct header *header)
{
	struct fields fields;
	struct field field;

	fields_start(&fields, header->block != NULL ? header->block : "",
		header->len);
	while (fields_next(&fields, &field))
		;
	return fields.body_at == header->len;
}

size_t
header_additions(const struct header *header, const char *id, const char *host,
	int64_t time_s, char into[HEADER_ADDITIONS_MAX])
{
	const char *block = header->block != NULL ? header->block : "";
	char date[DATE_OCTETS + 1];
	int length = 0;

	if (fields_count(block, header->len, "Date") == 0) {
		date_write(date, time_s);
		length = snprintf(
			into, HEADER_ADDITIONS_MAX, "Date: %s\n", date);
	}
	if (fields_count(block, header->len, "Message-ID") == 0)
		length += snprintf(into + length,
			HEADER_ADDITIONS_MAX - (size_t)length,
			"Message-ID: <%s@%s>\n", id, host);
	return (size_t)length;
}
