#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "smtpd/moved.h"

/* Reads the word at text[0..len). 0, or -1. */
static int
take_word(struct moved *moved, const char *text, size_t len)
{
	if (len == strlen("public") && memcmp(text, "public", len) == 0)
		moved->is_public = true;
	else if (len == strlen("forward") && memcmp(text, "forward", len) == 0)
		moved->is_forwarded = true;
	else
		return -1;
	return 0;
}

/* Reads what stands behind the old address. 0, or -1. */
static int
scan_rest(const char *text, struct moved *moved)
{
	size_t len = strcspn(text, ":");

	moved->is_public = moved->is_forwarded = false;
	if (address_mailbox_scan(text, len, 0, &moved->address) < 0)
		return -1;
	while (text[len] == ':') {
		text += len + 1;
		len = strcspn(text, ":");
		if (take_word(moved, text, len) < 0)
			return -1;
	}
	return 0;
}

/* A domain is compared in its ASCII form. */
static bool
is_ascii(const char *domain)
{
	while (*domain != 0 && (unsigned char)*domain < 128)
		domain++;
	return *domain == 0;
}

int
moved_check(const struct setting_list *list, char *why, size_t size)
{
	struct moved moved;
	struct path old;

	for (size_t i = 0; i < list->count; i++) {
		const char *line = list->line[i];
		size_t len = strcspn(line, ":");

		if (line[len] == ':' &&
			address_mailbox_scan(line, len, ADDRESS_UTF8, &old) ==
				0 &&
			is_ascii(old.domain) &&
			scan_rest(line + len + 1, &moved) == 0)
			continue;
		snprintf(why, size,
			"control/moved line %zu: expected old@example.org:"
			"new@example.net, perhaps with :public or :forward, "
			"found \"%.60s\"",
			list->number[i], line);
		return -1;
	}
	return 0;
}

void
moved_find(const struct setting_list *list, const struct path *path,
	struct moved *moved)
{
	struct path old;

	moved->line = 0;
	for (size_t i = 0; i < list->count; i++) {
		const char *line = list->line[i];
		size_t len = strcspn(line, ":");

		if (line[len] == 0 ||
			address_mailbox_scan(line, len, ADDRESS_UTF8, &old) <
				0 ||
			strcmp(old.domain, path->domain) != 0 ||
			strcasecmp(old.local, path->local) != 0 ||
			scan_rest(line + len + 1, moved) < 0)
			continue;
		moved->line = list->number[i];
		return;
	}
}
