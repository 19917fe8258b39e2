#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "lib/envelope.h"
#include "local/environment.h"

#define PATH_VALUE "/usr/local/bin:/usr/bin:/bin:"

/* Adds NAME=VALUE, of the value its first octets. After a failure nothing is
 * added: the missing variable is noticed at the end. */
static void
set_part(struct environment *environment, const char *name, const char *value,
	size_t octets)
{
	unsigned at = environment->variables;

	if (at == ENVIRONMENT_MAX)
		return;
	if (asprintf(&environment->variable[at], "%s=%.*s", name, (int)octets,
		    value) < 0) {
		environment->variable[at] = NULL;
		return;
	}
	environment->variables++;
}

static void
set(struct environment *environment, const char *name, const char *value)
{
	set_part(environment, name, value, strlen(value));
}

/* HOST and what is before its last, second-last, … dot. */
static void
set_hosts(struct environment *environment, const char *host)
{
	static const char *const NAMES[] = {"HOST2", "HOST3", "HOST4"};
	size_t length = strlen(host);

	set(environment, "HOST", host);
	for (unsigned i = 0; i < 3; i++) {
		const char *dot = memrchr(host, '.', length);

		length = dot != NULL ? (size_t)(dot - host) : 0;
		set_part(environment, NAMES[i], host, length);
	}
}

/* EXT and what is after its first, second, … dash. */
static void
set_extensions(struct environment *environment, const char *extension)
{
	static const char *const NAMES[] = {"EXT2", "EXT3", "EXT4"};

	set(environment, "EXT", extension);
	for (unsigned i = 0; i < 3; i++) {
		const char *dash = strchr(extension, '-');

		extension =
			dash != NULL ? dash + 1 : extension + strlen(extension);
		set(environment, NAMES[i], extension);
	}
}

/* White space in the sender would end it there. */
size_t
environment_mbox_line(char line[ENVIRONMENT_LINE_MAX], const char *sender)
{
	char date[64];
	time_t now = time(NULL);
	struct tm tm;

	if (gmtime_r(&now, &tm) == NULL ||
		strftime(date, sizeof date, "%a %b %e %H:%M:%S %Y", &tm) == 0)
		date[0] = 0;
	snprintf(line, ENVIRONMENT_LINE_MAX, "From %.1000s",
		*sender != 0 ? sender : "MAILER-DAEMON");
	for (char *at = line + strlen("From "); *at != 0; at++)
		if (*at == ' ' || *at == '\t')
			*at = '-';
	size_t length = strlen(line);
	snprintf(line + length, ENVIRONMENT_LINE_MAX - length, " %s\n", date);
	return strlen(line);
}

static void
set_trace(
	struct environment *environment, const struct environment_words *words)
{
	char line[ENVIRONMENT_LINE_MAX];

	snprintf(line, sizeof line, "Delivered-To: %s\n", words->recipient);
	set(environment, "DTLINE", line);
	snprintf(line, sizeof line, "Return-Path: <%s>\n", words->sender);
	set(environment, "RPLINE", line);
	(void)environment_mbox_line(line, words->sender);
	set(environment, "UFLINE", line);
}

static const struct {
	const char *word;
	uint8_t bit;
} NOTIFY_WORDS[] = {{"NEVER", NOTIFY_NEVER}, {"SUCCESS", NOTIFY_SUCCESS},
	{"FAILURE", NOTIFY_FAILURE}, {"DELAY", NOTIFY_DELAY}};

void
environment_write_notify(char text[ENVIRONMENT_NOTIFY_MAX], uint8_t notify)
{
	size_t length = 0;

	text[0] = 0;
	for (unsigned i = 0; i < 4; i++)
		if (notify & NOTIFY_WORDS[i].bit)
			length += (size_t)snprintf(text + length,
				ENVIRONMENT_NOTIFY_MAX - length, "%s%s",
				length > 0 ? "," : "", NOTIFY_WORDS[i].word);
}

uint8_t
environment_read_notify(const char *text)
{
	char written[ENVIRONMENT_NOTIFY_MAX];

	for (uint8_t notify = NOTIFY_NEVER; notify <= NOTIFY_ALL; notify++) {
		environment_write_notify(written, notify);
		if (strcmp(written, text) == 0)
			return notify == NOTIFY_NEVER ||
					       !(notify & NOTIFY_NEVER)
				       ? notify
				       : 0;
	}
	return 0;
}

/* Returns how many there are. */
static unsigned
set_wishes(
	struct environment *environment, const struct environment_words *words)
{
	char notify[ENVIRONMENT_NOTIFY_MAX];
	const char *ret = words->ret == RET_FULL   ? "FULL"
			  : words->ret == RET_HDRS ? "HDRS"
						   : NULL;

	environment_write_notify(notify, words->notify);
	const struct {
		const char *name, *value;
	} wishes[] = {{"DSN_NOTIFY", notify}, {"DSN_RET", ret},
		{"DSN_ENVID", words->envid}, {"DSN_ORCPT", words->orcpt},
		{"REQUIRETLS", words->requiretls ? "1" : NULL}};
	unsigned wanted = 0;

	for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++) {
		if (wishes[i].value == NULL || *wishes[i].value == 0)
			continue;
		set(environment, wishes[i].name, wishes[i].value);
		wanted++;
	}
	return wanted;
}

int
environment_make(
	struct environment *environment, const struct environment_words *words)
{
	char path[sizeof PATH_VALUE + 4096];
	const struct {
		const char *name, *value;
	} PLAIN[] = {
		{"PATH", path},
		{"SHELL", "/bin/sh"},
		{"KEEPMAIL", words->keepmail},
		{"HOME", words->home},
		{"USER", words->user},
		{"LOGNAME", words->user},
		{"SENDER", words->sender},
		{"NEWSENDER", words->new_sender},
		{"RECIPIENT", words->recipient},
		{"LOCAL", words->local},
	};
	const unsigned plain = sizeof PLAIN / sizeof PLAIN[0];
	unsigned wanted = plain + 4 + 4 + 3;

	snprintf(path, sizeof path, PATH_VALUE "%s", words->programs);
	*environment = (struct environment){0};
	for (unsigned i = 0; i < plain; i++)
		set(environment, PLAIN[i].name, PLAIN[i].value);
	set_hosts(environment, words->host);
	set_extensions(environment, words->extension);
	set_trace(environment, words);
	if (words->matched != NULL) {
		set(environment, "DEFAULT", words->matched);
		wanted++;
	}
	wanted += set_wishes(environment, words);
	if (environment->variables == wanted)
		return 0;
	environment_free(environment);
	errno = ENOMEM;
	return -1;
}

void
environment_free(struct environment *environment)
{
	for (unsigned i = 0; i < environment->variables; i++)
		free(environment->variable[i]);
	*environment = (struct environment){0};
}
