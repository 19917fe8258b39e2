#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/service.h"
#include "lib/settings.h"
#include "local/outside.h"

struct outside_settings {
	char *socket;
};

static const struct setting settings_table[] = {
	{"lookupsocket", SETTING_TEXT, "", 0, 0,
		offsetof(struct outside_settings, socket),
		"unix socket of a program that knows more addresses"},
};

int
outside_setting(const struct home *home, char path[HOME_NAME_MAX], char *why,
	size_t size)
{
	struct outside_settings settings = {NULL};
	char control[HOME_NAME_MAX];
	int result = -1;

	if (settings_read(settings_table, SETTINGS_COUNT(settings_table),
		    home_path(home, "control", control), &settings, why,
		    size) < 0)
		return -1;
	if (settings.socket[0] != 0 &&
		(settings.socket[0] != '/' || strlen(settings.socket) > 107)) {
		snprintf(why, size,
			"control/lookupsocket: expected an absolute path of at "
			"most 107 octets");
	} else {
		snprintf(path, HOME_NAME_MAX, "%s", settings.socket);
		result = 0;
	}
	settings_free(
		settings_table, SETTINGS_COUNT(settings_table), &settings);
	return result;
}

int
outside_send(struct outside *outside, const char *socket_path,
	const char *address, int64_t deadline_ms)
{
	char question[ADDRESS_TEXT_MAX + 8];

	outside->have = 0;
	int length = snprintf(question, sizeof question, "get\t%s\n", address);
	if (length < 0 || (size_t)length >= sizeof question) {
		errno = ENAMETOOLONG;
		return -1;
	}
	outside->fd = service_connect(socket_path, SOCK_STREAM, deadline_ms);
	if (outside->fd < 0)
		return -1;
	/* a new connection's buffer has room for all of it */
	ssize_t sent =
		send(outside->fd, question, (size_t)length, MSG_NOSIGNAL);
	if (sent == length)
		return 0;
	int saved = sent < 0 ? errno : EPROTO;
	close(outside->fd);
	outside->fd = -1;
	errno = saved;
	return -1;
}

int
outside_receive(struct outside *outside)
{
	for (;;) {
		size_t room = sizeof outside->line - outside->have;
		ssize_t got = room == 0 ? 0
					: recv(outside->fd,
						  outside->line + outside->have,
						  room, MSG_DONTWAIT);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return -1;
		if (got <= 0)
			return 0;
		char *feed = memchr(
			outside->line + outside->have, '\n', (size_t)got);
		outside->have += (size_t)got;
		if (feed == NULL)
			continue;
		*feed = 0;
		/* a NUL within would hide what follows it */
		return strlen(outside->line) == (size_t)(feed - outside->line);
	}
}

/* --- answers --- */

static bool
scan_quota(const char *text, uint64_t *quota)
{
	char *end;

	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != 0 || errno != 0 ||
		value > ACCOUNT_QUOTA_MAX)
		return false;
	*quota = value;
	return true;
}

static bool
take_word(const char *word, struct account *account)
{
	if (strncmp(word, "quota=", 6) == 0)
		return scan_quota(word + 6, &account->quota_octets);
	if (strncmp(word, "home=", 5) == 0 && word[5] == '/' &&
		strlen(word + 5) < sizeof account->home) {
		snprintf(account->home, sizeof account->home, "%s", word + 5);
		return true;
	}
	return false;
}

static bool
take_target(const char *word, struct account *account)
{
	size_t used = strlen(account->targets);
	struct path path;

	if (address_mailbox_scan(word, strlen(word), ADDRESS_UTF8, &path) < 0 ||
		used + strlen(word) + 2 > sizeof account->targets)
		return false;
	snprintf(account->targets + used, sizeof account->targets - used,
		"%s%s", used > 0 ? "\n" : "", word);
	return true;
}

enum account_result
outside_scan(const char *line, struct account *account, char *why, size_t size)
{
	char copy[OUTSIDE_LINE_MAX + 1], *rest = copy;

	snprintf(copy, sizeof copy, "%s", line);
	const char *verb = strsep(&rest, "\t");
	bool is_sound = strlen(line) < sizeof copy;
	account->kind = ACCOUNT_MAILBOX;
	account->flags = 0;
	account->home[0] = account->targets[0] = 0;
	account->quota_octets = account->quota_messages = 0;
	if (strcmp(verb, "temporary") == 0) {
		snprintf(why, size, "the look-up program says: %.150s",
			rest != NULL ? rest : "later");
		return ACCOUNT_TROUBLE;
	}
	if (strcmp(verb, "none") == 0 && rest == NULL)
		return ACCOUNT_NONE;
	if (strcmp(verb, "mailbox") == 0) {
		while (is_sound && rest != NULL)
			is_sound = take_word(strsep(&rest, "\t"), account);
	} else if (strcmp(verb, "alias") == 0 && rest != NULL) {
		account->kind = ACCOUNT_ALIAS;
		while (is_sound && rest != NULL)
			is_sound = take_target(strsep(&rest, "\t"), account);
	} else {
		is_sound = false;
	}
	if (is_sound)
		return ACCOUNT_FOUND;
	snprintf(why, size, "the look-up program's answer makes no sense");
	return ACCOUNT_TROUBLE;
}

/* --- asking and waiting --- */

/* Waits for the line. 0 or -1 with why. */
static int
wait_line(struct outside *outside, int64_t deadline_ms, char *why, size_t size)
{
	struct pollfd wait = {.fd = outside->fd, .events = POLLIN};

	for (;;) {
		int result = outside_receive(outside);

		if (result == 1)
			return 0;
		int left = deadline_left_ms(deadline_ms);
		if (result == 0 || left == 0) {
			snprintf(why, size, "the look-up program %s",
				result == 0 ? "gave no whole answer"
					    : "took too long");
			return -1;
		}
		(void)poll(&wait, 1, left);
	}
}

/* mail/DOMAIN/LOCAL. */
static enum account_result
default_home(const struct home *home, struct account *account)
{
	struct path path;

	if (address_mailbox_scan(account->name, strlen(account->name),
		    ADDRESS_UTF8, &path) < 0 ||
		path.local[0] == '.' || path.local[0] == 0 ||
		strchr(path.local, '/') != NULL ||
		strchr(path.domain, '/') != NULL || path.domain[0] == '[')
		return ACCOUNT_NONE;
	int length = snprintf(account->home, sizeof account->home,
		"%s/mail/%s/%s", home->path, path.domain, path.local);
	return length < 0 || (size_t)length >= sizeof account->home
		       ? ACCOUNT_NONE
		       : ACCOUNT_FOUND;
}

enum account_result
outside_fill(const struct home *home, const char *socket_path,
	struct account *account, char *why, size_t size)
{
	int64_t deadline_ms = deadline_after_ms(OUTSIDE_MS);
	unsigned char packed[ACCOUNT_RECORD_MAX];
	enum account_result result = ACCOUNT_TROUBLE;
	struct outside outside;
	size_t length;

	if (outside_send(&outside, socket_path, account->name, deadline_ms) <
		0) {
		snprintf(why, size, "the look-up program: %s", strerror(errno));
		return ACCOUNT_TROUBLE;
	}
	if (wait_line(&outside, deadline_ms, why, size) == 0)
		result = outside_scan(outside.line, account, why, size);
	close(outside.fd);
	if (result != ACCOUNT_FOUND)
		return result;
	snprintf(account->maildir, sizeof account->maildir, "./Maildir/");
	if (account->kind == ACCOUNT_ALIAS)
		home_path(home, "mail", account->home);
	else if (account->home[0] == 0)
		result = default_home(home, account);
	/* whatever it said must make an account */
	if (result == ACCOUNT_FOUND &&
		account_pack(account, packed, sizeof packed, &length) < 0) {
		snprintf(why, size,
			"the look-up program's answer makes no account");
		result = ACCOUNT_TROUBLE;
	}
	return result;
}
