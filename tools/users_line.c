#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/address.h"
#include "tools/users.h"
#include "tools/users_line.h"

/* --- values --- */

static int
scan_number(const char *text, uint64_t maximum, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && *end == 0 && errno == 0 &&
			       *number <= maximum
		       ? 0
		       : -1;
}

int
users_scan_size(const char *text, uint64_t *octets)
{
	static const char unit[] = "KMGT";
	char digits[32];
	size_t length = strlen(text);
	unsigned shift = 0;

	if (length == 0 || length >= sizeof digits)
		return -1;
	memcpy(digits, text, length + 1);
	const char *found = strchr(unit, digits[length - 1]);
	if (found != NULL) {
		shift = 10 * (unsigned)(found - unit + 1);
		digits[length - 1] = 0;
	}
	if (scan_number(digits, ACCOUNT_QUOTA_MAX >> shift, octets) < 0)
		return -1;
	*octets <<= shift;
	return 0;
}

static int
scan_owner(const char *text, struct account *account)
{
	char copy[32];
	uint64_t uid, gid;
	const char *colon = strchr(text, ':');

	if (colon == NULL || (size_t)(colon - text) >= sizeof copy)
		return -1;
	snprintf(copy, sizeof copy, "%.*s", (int)(colon - text), text);
	if (scan_number(copy, 0xfffffffe, &uid) < 0 ||
		scan_number(colon + 1, 0xfffffffe, &gid) < 0 || uid == 0 ||
		gid == 0)
		return -1;
	account->uid = (uid_t)uid;
	account->gid = (gid_t)gid;
	return 0;
}

static int
scan_hex(const char *text, size_t length, uint8_t *into, size_t size)
{
	if (length != 2 * size)
		return -1;
	for (size_t i = 0; i < length; i++) {
		static const char digits[] = "0123456789abcdef";
		const char *found =
			text[i] == 0 ? NULL : strchr(digits, text[i]);

		if (found == NULL)
			return -1;
		uint8_t value = (uint8_t)(found - digits);
		into[i / 2] = (uint8_t)(i % 2 == 0 ? value << 4
						   : into[i / 2] | value);
	}
	return 0;
}

static int
scan_verifier(const char *text, struct scram_verifier *verifier)
{
	char copy[256], *rest = copy;
	uint64_t iterations;

	if (strlen(text) >= sizeof copy)
		return -1;
	memcpy(copy, text, strlen(text) + 1);
	const char *count = strsep(&rest, ":");
	const char *salt = strsep(&rest, ":");
	const char *stored = strsep(&rest, ":");
	const char *server = rest;
	if (server == NULL ||
		scan_number(count, SCRAM_ITERATIONS_MAX, &iterations) < 0 ||
		iterations < SCRAM_ITERATIONS_MIN ||
		scan_hex(salt, strlen(salt), verifier->salt, SCRAM_SALT) < 0 ||
		scan_hex(stored, strlen(stored), verifier->stored_key,
			DIGEST_SHA256) < 0 ||
		scan_hex(server, strlen(server), verifier->server_key,
			DIGEST_SHA256) < 0)
		return -1;
	verifier->iterations = (uint32_t)iterations;
	return 0;
}

static int
take_text(char *into, size_t size, const char *text)
{
	size_t length = strlen(text);

	if (length == 0 || length >= size)
		return -1;
	memcpy(into, text, length + 1);
	return 0;
}

int
users_add_target(
	struct account *account, const char *target, char *why, size_t size)
{
	size_t used = strlen(account->targets);
	char text[ADDRESS_TEXT_MAX + 1];
	struct path path;

	if (address_mailbox_scan(target, strlen(target), ADDRESS_UTF8, &path) <
			0 ||
		path.kind != PATH_MAILBOX) {
		snprintf(why, size, "\"%.100s\" is not an address", target);
		return -1;
	}
	address_write(text, sizeof text, &path);
	if (strcasecmp(text, account->name) == 0) {
		snprintf(why, size,
			"%.255s cannot be sent on to itself; a copy can be "
			"kept",
			account->name);
		return -1;
	}
	if (used + strlen(text) + 2 > sizeof account->targets) {
		snprintf(why, size, "more than %zu octets of addresses",
			sizeof account->targets - 1);
		return -1;
	}
	snprintf(account->targets + used, sizeof account->targets - used,
		"%s%s", used > 0 ? "\n" : "", text);
	return 0;
}

/* --- reading --- */

/* One field "name=value". 0 or -1; why may have a sentence. */
static int
take_value(struct users_line *line, const char *name, const char *value,
	char *why, size_t size)
{
	struct account *account = &line->account;
	uint64_t number;
	int result = -1;

	if (strcmp(name, "owner") == 0)
		return scan_owner(value, account);
	if (strcmp(name, "home") == 0)
		return take_text(account->home, sizeof account->home, value);
	if (account->kind == ACCOUNT_DOMAIN)
		return -1;
	if (strcmp(name, "to") == 0)
		return users_add_target(account, value, why, size);
	if (account->kind == ACCOUNT_ALIAS)
		return -1;
	if (strcmp(name, "maildir") == 0)
		return take_text(
			account->maildir, sizeof account->maildir, value);
	if (strcmp(name, "quota") == 0)
		return users_scan_size(value, &account->quota_octets);
	if (strcmp(name, "messages") == 0) {
		result = scan_number(value, UINT32_MAX, &number);
		if (result == 0)
			account->quota_messages = (uint32_t)number;
		return result;
	}
	if (strcmp(name, "password") == 0)
		return take_text(line->password, sizeof line->password, value);
	if (strcmp(name, "hash") == 0)
		result = take_text(
			line->secret.hash, sizeof line->secret.hash, value);
	else if (strcmp(name, "plain") == 0)
		result = take_text(line->secret.password,
			sizeof line->secret.password, value);
	else if (strcmp(name, "scram") == 0)
		result = scan_verifier(value, &line->secret.verifier);
	if (result == 0 && strcmp(name, "scram") == 0)
		line->secret.has_verifier = true;
	if (result == 0)
		line->has_secret = true;
	return result;
}

static int
take_field(struct users_line *line, char *field, char *why, size_t size)
{
	char *equals = strchr(field, '=');
	bool is_user = line->account.kind == ACCOUNT_MAILBOX;

	*why = 0;
	if (is_user && strcmp(field, "copy") == 0) {
		line->account.flags |= ACCOUNT_KEEPS_COPY;
		return 0;
	}
	if (is_user && strcmp(field, "nologin") == 0) {
		line->account.flags |= ACCOUNT_NO_LOGIN;
		return 0;
	}
	if (equals != NULL)
		*equals = 0;
	if (equals != NULL &&
		take_value(line, field, equals + 1, why, size) == 0)
		return 0;
	/* values may be secret, and are not said */
	if (*why == 0)
		snprintf(why, size, "the field \"%.30s\" is wrong", field);
	return -1;
}

static int
take_name(struct users_line *line, const char *kind, const char *text,
	char *why, size_t size)
{
	struct account *account = &line->account;
	struct users_name name;

	if (strcmp(kind, "domain") == 0) {
		account->kind = ACCOUNT_DOMAIN;
		if (!domain_valid(text, strlen(text)) ||
			strlen(text) + 2 > sizeof account->name) {
			snprintf(why, size, "\"%.100s\" is not a domain", text);
			return -1;
		}
		snprintf(account->name, sizeof account->name, "@%.254s", text);
		for (char *c = account->name; *c != 0; c++)
			if (*c >= 'A' && *c <= 'Z')
				*c = (char)(*c - 'A' + 'a');
		return 0;
	}
	bool is_alias = strcmp(kind, "alias") == 0;
	if (!is_alias && strcmp(kind, "user") != 0) {
		snprintf(why, size,
			"expected domain, user or alias, a TAB and a name");
		return -1;
	}
	account->kind = is_alias ? ACCOUNT_ALIAS : ACCOUNT_MAILBOX;
	if (users_read_name(text, &name, why, size) < 0)
		return -1;
	if (!is_alias && strcmp(name.local, "*") == 0) {
		snprintf(why, size, "a catch-all, *@%.200s, is an alias",
			name.domain);
		return -1;
	}
	snprintf(account->name, sizeof account->name, "%s", name.address);
	return 0;
}

int
users_line_scan(
	const char *text, struct users_line *line, char *why, size_t size)
{
	char copy[USERS_LINE_MAX], *rest = copy;
	int result = 0;

	memset(line, 0, sizeof *line);
	if (*text == 0 || *text == '#')
		return 0;
	size_t length = strlen(text);
	if (length >= sizeof copy) {
		snprintf(why, size, "longer than %zu octets", sizeof copy - 1);
		return -1;
	}
	if (memchr(text, '\n', length) != NULL) {
		snprintf(why, size, "a line feed within a line");
		return -1;
	}
	memcpy(copy, text, length + 1);
	snprintf(line->account.maildir, sizeof line->account.maildir,
		"./Maildir/");
	const char *kind = strsep(&rest, "\t");
	const char *name = rest != NULL ? strsep(&rest, "\t") : "";
	result = take_name(line, kind, name, why, size);
	while (result == 0 && rest != NULL)
		result = take_field(line, strsep(&rest, "\t"), why, size);
	if (result == 0 && line->account.kind == ACCOUNT_ALIAS &&
		line->account.targets[0] == 0) {
		snprintf(why, size, "an alias needs a to=");
		result = -1;
	}
	if (result == 0 && line->has_secret &&
		(line->secret.hash[0] == 0 || line->password[0] != 0)) {
		snprintf(why, size,
			"scram and plain go with hash, and none "
			"of them with password");
		result = -1;
	}
	explicit_bzero(copy, sizeof copy);
	return result < 0 ? -1 : 1;
}

/* --- writing --- */

struct writing {
	char *into;
	size_t size, used;
};

static void __attribute__((format(printf, 2, 3)))
put(struct writing *writing, const char *format, ...)
{
	size_t room = writing->size - writing->used;
	va_list arguments;

	va_start(arguments, format);
	int length = vsnprintf(
		writing->into + writing->used, room, format, arguments);
	va_end(arguments);
	/* what does not fit fills it up, which users_line_write sees */
	writing->used += length >= 0 && (size_t)length < room ? (size_t)length
							      : room - 1;
}

static void
put_hex(struct writing *writing, const uint8_t *octets, size_t length)
{
	put(writing, ":");
	for (size_t i = 0; i < length; i++)
		put(writing, "%02x", octets[i]);
}

static void
put_secret(struct writing *writing, const struct secret *secret)
{
	const struct scram_verifier *verifier = &secret->verifier;

	put(writing, "\thash=%s", secret->hash);
	if (secret->has_verifier) {
		put(writing, "\tscram=%u", (unsigned)verifier->iterations);
		put_hex(writing, verifier->salt, SCRAM_SALT);
		put_hex(writing, verifier->stored_key, DIGEST_SHA256);
		put_hex(writing, verifier->server_key, DIGEST_SHA256);
	}
	/* a password with a TAB or a line feed cannot stand in a line */
	if (secret->password[0] != 0 &&
		strpbrk(secret->password, "\t\n") == NULL)
		put(writing, "\tplain=%s", secret->password);
}

int
users_line_write(char *into, size_t size, const struct account *account,
	const struct secret *secret)
{
	static const char *const kind[] = {"user", "alias", "domain"};
	struct writing writing = {into, size, 0};
	bool is_domain = account->kind == ACCOUNT_DOMAIN;

	put(&writing, "%s\t%s\towner=%u:%u\thome=%s", kind[account->kind],
		account->name + is_domain, (unsigned)account->uid,
		(unsigned)account->gid, account->home);
	if (account->kind == ACCOUNT_MAILBOX)
		put(&writing, "\tmaildir=%s", account->maildir);
	if (account->quota_octets > 0)
		put(&writing, "\tquota=%llu",
			(unsigned long long)account->quota_octets);
	if (account->quota_messages > 0)
		put(&writing, "\tmessages=%u",
			(unsigned)account->quota_messages);
	for (const char *at = account->targets; *at != 0;) {
		size_t length = strcspn(at, "\n");

		put(&writing, "\tto=%.*s", (int)length, at);
		at += length + (at[length] == '\n');
	}
	if (account->flags & ACCOUNT_KEEPS_COPY)
		put(&writing, "\tcopy");
	if (account->flags & ACCOUNT_NO_LOGIN)
		put(&writing, "\tnologin");
	if (secret != NULL)
		put_secret(&writing, secret);
	return writing.used + 1 < size ? 0 : -1;
}
