#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "smtpd/rules.h"

int
rules_open(struct rules *rules, const char *path, char *why, size_t size)
{
	if (cdbfile_open(&rules->file, path) == 0) {
		rules->is_open = true;
		return 0;
	}
	if (errno == ENOENT)
		return 0;
	snprintf(why, size, "%s: %s: expected what tcprules makes", path,
		strerror(errno));
	return -1;
}

void
rules_close(struct rules *rules)
{
	if (rules->is_open)
		cdbfile_close(&rules->file);
	rules->is_open = false;
}

/* What tcprules writes: "D" or "+NAME=VALUE", each with its NUL. */
static int
check_data(struct rules_record *record)
{
	const char *at = record->data;
	const char *end = at != NULL ? at + record->len : NULL;

	while (at < end) {
		const char *nul = memchr(at, 0, (size_t)(end - at));

		if (nul == NULL || (*at != 'D' && *at != '+'))
			return -1;
		if (*at == 'D')
			record->is_denied = true;
		at = nul + 1;
	}
	return 0;
}

/* Looks for prefix and text[0..len) together: 1 found, 0 not, -1 damaged. */
static int
try_rule(const struct rules *rules, const char *prefix, const char *text,
	size_t len, struct rules_record *record)
{
	cdb_data data;
	int made = snprintf(record->rule, sizeof record->rule, "%s%.*s", prefix,
		(int)len, text);

	if (made < 0 || (size_t)made >= sizeof record->rule)
		return 0;
	int found =
		cdbfile_find(&rules->file, record->rule, (size_t)made, &data);
	if (found <= 0)
		return found;
	record->is_found = true;
	record->data = data.s;
	record->len = data.len;
	return check_data(record) < 0 ? -1 : 1;
}

/* The prefixes of an address, each up to and with a "." or ":". */
static int
try_prefixes(const struct rules *rules, const char *address,
	struct rules_record *record)
{
	int found = 0;

	for (size_t len = strlen(address); found == 0 && len > 0; len--)
		if (address[len - 1] == '.' || address[len - 1] == ':')
			found = try_rule(rules, "", address, len, record);
	return found;
}

/* The suffixes of a name, each from a "." on, then "=" alone. */
static int
try_suffixes(const struct rules *rules, const char *name,
	struct rules_record *record)
{
	int found = 0;

	for (const char *at = name; found == 0 && *at != 0; at++)
		if (*at == '.')
			found = try_rule(rules, "=", at, strlen(at), record);
	return found != 0 ? found : try_rule(rules, "=", "", 0, record);
}

int
rules_find(const struct rules *rules, const char *address, const char *name,
	struct rules_record *record)
{
	int found;

	*record = (struct rules_record){0};
	if (!rules->is_open)
		return 0;
	found = try_rule(rules, "", address, strlen(address), record);
	if (found == 0 && *name != 0)
		found = try_rule(rules, "=", name, strlen(name), record);
	if (found == 0)
		found = try_prefixes(rules, address, record);
	if (found == 0 && *name != 0)
		found = try_suffixes(rules, name, record);
	if (found == 0)
		found = try_rule(rules, "", "", 0, record);
	if (found == 0)
		*record->rule = 0;
	return found < 0 ? -1 : 0;
}

const char *
rules_variable(const struct rules_record *record, const char *name)
{
	size_t len = strlen(name);
	const char *at = record->data;
	const char *end = at != NULL ? at + record->len : NULL;
	const char *value = NULL;

	/* The last of two holds, as it does in an environment. */
	for (; at != NULL && at < end; at += strlen(at) + 1)
		if (*at == '+' && strncmp(at + 1, name, len) == 0 &&
			at[len + 1] == '=')
			value = at + len + 2;
	return value;
}
