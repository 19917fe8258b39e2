#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "lib/addresslist.h"
#include "lib/fields.h"
#include "smtpd/patterns.h"
#include "smtpd/senders.h"

/* The longest line of control/senderlogins, in octets. */
#define LINE_OCTETS_MAX 4096
#define BLANKS " \t"

/* The next word of a line that is being cut up, or NULL. */
static char *
next_word(char **rest)
{
	char *word;

	do
		word = strsep(rest, BLANKS);
	while (word != NULL && *word == 0);
	return word;
}

static struct setting_list
list_of_one(char **pattern, size_t *number)
{
	return (struct setting_list){
		.line = pattern, .number = number, .count = 1};
}

static bool
is_line_sound(const char *text, size_t number, char *why, size_t size)
{
	char line[LINE_OCTETS_MAX + 1], *rest = line, *word;
	unsigned patterns = 0;

	if (strlen(text) > LINE_OCTETS_MAX)
		return false;
	memcpy(line, text, strlen(text) + 1);
	if (next_word(&rest) == NULL)
		return false;
	while ((word = next_word(&rest)) != NULL) {
		const struct setting_list one = list_of_one(&word, &number);

		if (*word == '!' || patterns_check(&one, PATTERNS_ADDRESSES,
					    "senderlogins", why, size) < 0)
			return false;
		patterns++;
	}
	return patterns > 0;
}

int
senders_check(const struct setting_list *list, char *why, size_t size)
{
	for (size_t i = 0; i < list->count; i++) {
		if (is_line_sound(list->line[i], list->number[i], why, size))
			continue;
		snprintf(why, size,
			"control/senderlogins line %zu: expected a login and "
			"patterns of addresses, found \"%.60s\"",
			list->number[i], list->line[i]);
		return -1;
	}
	return 0;
}

static bool
is_login_itself(const struct domains *locals, const char *login,
	const struct path *sender)
{
	struct path own;

	if (strchr(login, '@') == NULL)
		return strcasecmp(login, sender->local) == 0 &&
		       domains_has(locals, sender->domain, sender->domain_len);
	return address_mailbox_scan(login, strlen(login), ADDRESS_UTF8, &own) ==
		       0 &&
	       strcasecmp(own.local, sender->local) == 0 &&
	       strcmp(own.domain, sender->domain) == 0;
}

static bool
is_given(const char *text, size_t number, const char *login,
	const struct path *sender)
{
	char line[LINE_OCTETS_MAX + 1], *rest = line, *word;

	memcpy(line, text, strlen(text) + 1);
	word = next_word(&rest);
	if (word == NULL || strcasecmp(word, login) != 0)
		return false;
	while ((word = next_word(&rest)) != NULL) {
		const struct setting_list one = list_of_one(&word, &number);

		if (patterns_refuse(patterns_find_address(&one, sender)))
			return true;
	}
	return false;
}

bool
senders_belong(const struct setting_list *list, const struct domains *locals,
	const char *login, const struct path *sender)
{
	if (sender->kind == PATH_NULL)
		return true;
	if (sender->kind != PATH_MAILBOX)
		return false;
	if (is_login_itself(locals, login, sender))
		return true;
	for (size_t i = 0; i < list->count; i++)
		if (is_given(list->line[i], list->number[i], login, sender))
			return true;
	return false;
}

/* --- the header --- */

struct owner {
	const struct setting_list *list;
	const struct domains *locals;
	const char *login;
	unsigned addresses;
};

static int
check_address(void *context, const struct path *path)
{
	struct owner *owner = context;

	owner->addresses++;
	return path->kind == PATH_MAILBOX &&
			       senders_belong(owner->list, owner->locals,
				       owner->login, path)
		       ? 0
		       : 1;
}

const char *
senders_header(const struct setting_list *list, const struct domains *locals,
	const char *login, const char *block, size_t len)
{
	struct owner owner = {list, locals, login, 0};
	struct fields fields;
	struct field field;

	fields_start(&fields, block, len);
	while (fields_next(&fields, &field)) {
		if (!field_is(&field, "From"))
			continue;
		owner.addresses = 0;
		switch (addresslist_read(field.body, field.body_len,
			ADDRESS_NO_DOMAIN | ADDRESS_UTF8, check_address, &owner,
			NULL)) {
		case ADDRESSLIST_OK:
			if (owner.addresses > 0)
				break;
			return "the From field names nobody";
		case ADDRESSLIST_STOPPED:
			return "the From field has an address that is not "
			       "yours";
		default:
			return "the From field cannot be read";
		}
	}
	return NULL;
}
