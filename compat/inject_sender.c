#include "compat/inject.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/escape.h"
#include "lib/outcome.h"
#include "tools/mail_header.h"

int
inject_fail(int status, const char *what, const char *about)
{
	char line[600];

	escape_line(line, sizeof line, about, strlen(about), ESCAPE_MASK);
	fprintf(stderr, "qmail-inject: fatal: %s%s%s\n", what,
		line[0] ? ": " : "", line);
	return status;
}

/* The first variable of these that is set and not empty, or NULL. */
static const char *
first_of(const char *const *name)
{
	for (; *name != NULL; name++) {
		const char *value = getenv(*name);

		if (value != NULL && *value != 0)
			return value;
	}
	return NULL;
}

static bool
has_control(const char *text)
{
	for (; *text != 0; text++)
		if ((unsigned char)*text < ' ' || *text == 127)
			return true;
	return false;
}

/* user, quoted if it must be, with host or the default one, whole. */
static int
make_address(const struct inject *inject, const char *user, const char *host,
	stralloc *into)
{
	struct path path = {.kind = PATH_LOCAL, .local_len = strlen(user)};
	char text[ADDRESS_TEXT_MAX + 300];

	if (path.local_len > ADDRESS_LOCAL_MAX || has_control(user) ||
		(host != NULL && (strlen(host) > ADDRESS_DOMAIN_MAX ||
					 has_control(host))))
		return -1;
	memcpy(path.local, user, path.local_len + 1);
	size_t length = address_write(text, sizeof text, &path);
	if (host != NULL) {
		text[length++] = '@';
		memcpy(text + length, host, strlen(host) + 1);
		length += strlen(host);
	}
	return rewrite_address(&inject->header.rewrite, text, length, into);
}

/* address (name), or name <address>. */
static int
make_from(struct inject *inject, const char *address)
{
	static const char *const names[] = {
		"QMAILNAME", "MAILNAME", "NAME", NULL};
	const char *name = first_of(names);

	if (name == NULL)
		name = "";
	if (inject->comment_name && *name != 0 &&
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUV"
			     "WXYZ0123456789!#$%&'*+-/=?^_`{|}~ ,;:@<>[].") ==
			strlen(name) &&
		strlen(name) <= 200)
		return stralloc_cats(&inject->from, address) &&
				       stralloc_cats(&inject->from, " (") &&
				       stralloc_cats(&inject->from, name) &&
				       stralloc_cats(&inject->from, ")")
			       ? 0
			       : -1;
	if (mail_header_from(name, address, &inject->from) == 0)
		return 0;
	inject->from.len = 0; /* such a name is left out */
	return errno == EINVAL ? mail_header_from("", address, &inject->from)
			       : -1;
}

static const char *
user_name(char *buffer, size_t size)
{
	static const char *const users[] = {
		"QMAILUSER", "MAILUSER", "USER", "LOGNAME", NULL};
	const char *user = first_of(users);

	(void)size;
	if (user != NULL)
		return user;
	memcpy(buffer, "anonymous", sizeof "anonymous");
	return buffer;
}

/* user-TIME.PID and user-…-@host-@[], as the letters m and r ask. */
static int
make_verp(const struct inject *inject, const char *user, const char *host,
	stralloc *into)
{
	char local[ADDRESS_LOCAL_MAX + 60];
	int length = snprintf(local, sizeof local, "%.256s", user);

	if (inject->verp_message)
		length += snprintf(local + length,
			sizeof local - (size_t)length, "-%lld.%ld",
			(long long)inject->now, (long)getpid());
	if (inject->verp_recipient && length < (int)sizeof local - 1)
		memcpy(local + length, "-", 2);
	if (make_address(inject, local, host, into) < 0)
		return -1;
	return !inject->verp_recipient || stralloc_cats(into, "-@[]") ? 0 : -1;
}

/* The envelope's sender and the From field. */
int
inject_set_sender(struct inject *inject, size_t length)
{
	static const char *const hosts[] = {"QMAILHOST", "MAILHOST", NULL};
	const struct rewrite *rewrite = &inject->header.rewrite;
	const char *host = first_of(hosts), *user, *suser, *shost;
	char buffer[16];
	stralloc address = STRALLOC_ZERO;
	int found = 0;

	user = user_name(buffer, sizeof buffer);
	suser = getenv("QMAILSUSER");
	shost = getenv("QMAILSHOST");
	if (make_address(inject, user, host, &address) < 0 ||
		!stralloc_0(&address) || make_from(inject, address.s) < 0 ||
		!stralloc_0(&inject->from)) {
		stralloc_free(&address);
		return inject_fail(STATUS_MISUSE, "not a sender", user);
	}
	snprintf(
		inject->work->from, sizeof inject->work->from, "%s", address.s);
	stralloc_free(&address);
	if (inject->sender != NULL)
		found = rewrite_address(rewrite, inject->sender,
				strlen(inject->sender),
				&inject->reverse_path) < 0
				? -1
				: 1;
	else if (!inject->drops_path)
		found = inject_return_path(rewrite, inject->work->spool.memory,
			length, &inject->reverse_path);
	if (found == 0)
		found = make_verp(inject, suser != NULL ? suser : user,
			shost != NULL ? shost : host, &inject->reverse_path);
	if (found < 0 || !stralloc_0(&inject->reverse_path))
		return inject_fail(STATUS_TEMPORARY, "out of memory", "");
	const char *path = inject->reverse_path.s;
	if (!envelope_reverse_path_is_sound(path, strlen(path)))
		return inject_fail(STATUS_MISUSE, "not a sender", path);
	for (const char *p = path; *p != 0; p++)
		if (*p & 0x80)
			inject->work->envelope.smtputf8 = 1;
	inject->work->envelope.reverse_path = strdup(path);
	return inject->work->envelope.reverse_path == NULL
		       ? inject_fail(STATUS_TEMPORARY, "out of memory", "")
		       : 0;
}
