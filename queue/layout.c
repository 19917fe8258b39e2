#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <skalibs/blake2s.h>
#include "lib/ident.h"
#include "queue/layout.h"

static const char hex[] = "0123456789abcdef";

const char *
channel_name(enum channel channel)
{
	return channel == CHANNEL_LOCAL ? "local" : "remote";
}

/* True if text[0..length) is lower-case hexadecimal. */
static int
is_hex(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (text[i] == 0 || strchr(hex, text[i]) == NULL)
			return 0;
	return 1;
}

void
layout_dest(const char *destination, char dest[LAYOUT_DEST_LENGTH + 1])
{
	char digest[LAYOUT_DEST_LENGTH / 2];
	blake2s_ctx context = BLAKE2S_INIT(sizeof digest);

	blake2s_update(&context, destination, strlen(destination));
	blake2s_final(&context, digest);
	for (size_t i = 0; i < sizeof digest; i++) {
		unsigned octet = (unsigned char)digest[i];

		dest[2 * i] = hex[octet >> 4];
		dest[2 * i + 1] = hex[octet & 15];
	}
	dest[LAYOUT_DEST_LENGTH] = 0;
}

int
layout_dest_is_valid(const char *text, size_t length)
{
	return length == LAYOUT_DEST_LENGTH && is_hex(text, length);
}

void
layout_message(const char *folder, const char *id, char path[LAYOUT_PATH_MAX])
{
	assert(ident_valid(id, strlen(id)));
	snprintf(path, LAYOUT_PATH_MAX, "%s/%s", folder, id);
}

void
layout_bucket(uint64_t minute, char path[LAYOUT_PATH_MAX])
{
	snprintf(path, LAYOUT_PATH_MAX, QUEUE_DEFERRED "/%010llx",
		(unsigned long long)minute & 0xffffffffff);
}

void
layout_deferred(uint64_t minute, const char *id, char path[LAYOUT_PATH_MAX])
{
	assert(ident_valid(id, strlen(id)));
	snprintf(path, LAYOUT_PATH_MAX, QUEUE_DEFERRED "/%010llx/%s",
		(unsigned long long)minute & 0xffffffffff, id);
}

void
layout_waiting_folder(const char *dest, char path[LAYOUT_PATH_MAX])
{
	assert(layout_dest_is_valid(dest, strlen(dest)));
	snprintf(path, LAYOUT_PATH_MAX, QUEUE_WAITING "/%s", dest);
}

int
layout_part_is_valid(const char *part)
{
	return strlen(part) == LAYOUT_MINUTE_LENGTH + 1 &&
	       is_hex(part, LAYOUT_MINUTE_LENGTH + 1);
}

void
layout_waiting_part(
	const char *dest, const char *part, char path[LAYOUT_PATH_MAX])
{
	assert(layout_dest_is_valid(dest, strlen(dest)));
	assert(layout_part_is_valid(part));
	snprintf(path, LAYOUT_PATH_MAX, QUEUE_WAITING "/%s/%.11s", dest, part);
}

void
layout_waiting(const char *dest, const char *part, const char *id,
	char path[LAYOUT_PATH_MAX])
{
	assert(layout_dest_is_valid(dest, strlen(dest)));
	assert(layout_part_is_valid(part));
	assert(ident_valid(id, strlen(id)));
	snprintf(path, LAYOUT_PATH_MAX, QUEUE_WAITING "/%s/%.11s/%s", dest,
		part, id);
}

void
layout_job_folder(
	enum channel channel, const char *dest, char path[LAYOUT_PATH_MAX])
{
	assert(layout_dest_is_valid(dest, strlen(dest)));
	snprintf(path, LAYOUT_PATH_MAX, "jobs/%s/%s", channel_name(channel),
		dest);
}

void
layout_job(enum channel channel, const char *dest, const char *id,
	uint32_t number, char path[LAYOUT_PATH_MAX])
{
	assert(layout_dest_is_valid(dest, strlen(dest)));
	assert(ident_valid(id, strlen(id)));
	snprintf(path, LAYOUT_PATH_MAX, "jobs/%s/%s/%s.%x",
		channel_name(channel), dest, id, number);
}

int
layout_minute_scan(const char *name, uint64_t *minute)
{
	uint64_t value = 0;

	if (strlen(name) != LAYOUT_MINUTE_LENGTH ||
		!is_hex(name, LAYOUT_MINUTE_LENGTH))
		return -1;
	for (size_t i = 0; i < LAYOUT_MINUTE_LENGTH; i++)
		value = value * 16 + (uint64_t)(strchr(hex, name[i]) - hex);
	*minute = value;
	return 0;
}

int
layout_job_scan(const char *name, char id[21], uint32_t *number)
{
	size_t length = strlen(name);
	uint64_t value = 0;

	if (length < IDENT_LENGTH + 2 || length > IDENT_LENGTH + 9 ||
		!ident_valid(name, IDENT_LENGTH) || name[IDENT_LENGTH] != '.')
		return -1;
	const char *digits = name + IDENT_LENGTH + 1;
	size_t count = length - IDENT_LENGTH - 1;
	if (!is_hex(digits, count) || (digits[0] == '0' && count > 1))
		return -1;
	for (size_t i = 0; i < count; i++)
		value = value * 16 + (uint64_t)(strchr(hex, digits[i]) - hex);
	memcpy(id, name, IDENT_LENGTH);
	id[IDENT_LENGTH] = 0;
	*number = (uint32_t)value;
	return 0;
}

/* The part of the path after this folder and "/", or NULL. */
static const char *
below(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	return strncmp(path, folder, length) == 0 && path[length] == '/'
		       ? path + length + 1
		       : NULL;
}

/* The part of the path after so many hexadecimal digits and "/", or NULL. */
static const char *
after_hex(const char *path, size_t digits)
{
	if (path == NULL || strnlen(path, digits + 1) <= digits ||
		!is_hex(path, digits) || path[digits] != '/')
		return NULL;
	return path + digits + 1;
}

int
layout_place_is_valid(const char *path, const char *id)
{
	static const char *const FLAT[] = {
		QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_HELD, QUEUE_DOUBTFUL};
	const char *rest =
		after_hex(below(path, QUEUE_DEFERRED), LAYOUT_MINUTE_LENGTH);

	if (rest == NULL)
		rest = after_hex(after_hex(below(path, QUEUE_WAITING),
					 LAYOUT_DEST_LENGTH),
			LAYOUT_MINUTE_LENGTH + 1);
	for (size_t i = 0; rest == NULL && i < sizeof FLAT / sizeof FLAT[0];
		i++)
		rest = below(path, FLAT[i]);
	return rest != NULL && ident_valid(id, strlen(id)) &&
	       strcmp(rest, id) == 0;
}
