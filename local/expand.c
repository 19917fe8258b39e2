#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "lib/address.h"
#include "lib/envelope.h"
#include "lib/escape.h"
#include "local/expand.h"
#include "local/forward.h"
#include "local/loop.h"
#include "local/newsender.h"

#define WHY_SIZE (OUTCOME_TEXT_MAX + 1)
#define INCLUDE ":include:"

struct expansion {
	const struct account *account;
	struct forward forward;
	unsigned targets;
	char why[WHY_SIZE];
};

static void
report(struct warden_report *into, enum outcome outcome, const char *text)
{
	into->magic = WARDEN_MAGIC;
	into->outcome = outcome;
	escape_line(
		into->text, sizeof into->text, text, strlen(text), ESCAPE_MASK);
}

/* --- targets --- */

static int
take_address(void *context, const char *address)
{
	struct expansion *expansion = context;

	expansion->targets++;
	return forward_add(
		&expansion->forward, address, expansion->why, WHY_SIZE);
}

/* One address, of a line or a part of it between commas. */
static int
take_part(const char *text, size_t length, const struct expand_sink *sink,
	char *why, size_t size)
{
	char address[ADDRESS_TEXT_MAX + 1];
	struct path path;

	while (length > 0 && (unsigned char)text[length - 1] <= ' ')
		length--;
	while (length > 0 && (unsigned char)text[0] <= ' ') {
		text++;
		length--;
	}
	if (length == 0)
		return 0;
	if (length > ADDRESS_TEXT_MAX || strchr("|/:", text[0]) != NULL ||
		address_mailbox_scan(text, length,
			ADDRESS_NO_DOMAIN | ADDRESS_UTF8, &path) < 0) {
		snprintf(why, size,
			"4.3.5 \"%.*s\" in an included file is not an address",
			(int)(length < 100 ? length : 100), text);
		return -1;
	}
	memcpy(address, text, length);
	address[length] = 0;
	return sink->take(sink->context, address);
}

/* One line: the octets up to each comma that is not quoted. */
static int
take_line(const char *text, size_t length, const struct expand_sink *sink,
	char *why, size_t size)
{
	bool is_quoted = false;
	size_t start = 0;

	for (size_t at = 0; at <= length; at++) {
		if (at < length && text[at] == '\\' && is_quoted) {
			at++;
			continue;
		}
		if (at < length && text[at] == '"')
			is_quoted = !is_quoted;
		if (at < length && (text[at] != ',' || is_quoted))
			continue;
		if (take_part(text + start, at - start, sink, why, size) < 0)
			return -1;
		start = at + 1;
	}
	return start <= length ? take_part(text + start, length - start, sink,
					 why, size)
			       : 0;
}

int
expand_included(const char *text, size_t length, const struct expand_sink *sink,
	char *why, size_t size)
{
	const char *end = text + length;

	while (text < end) {
		const char *feed = memchr(text, '\n', (size_t)(end - text));
		size_t octets = (size_t)((feed != NULL ? feed : end) - text);

		if (text[0] != '#' &&
			take_line(text, octets, sink, why, size) < 0)
			return -1;
		text += octets + 1;
	}
	return 0;
}

/* Opens an included file that may be believed. -1 with why. */
static int
open_included(const char *path, uid_t owner, struct stat *st, char *why)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	const char *wrong = NULL;

	if (fd < 0 || fstat(fd, st) < 0)
		wrong = strerror(errno);
	else if (!S_ISREG(st->st_mode))
		wrong = "not a file";
	else if ((st->st_uid != 0 && st->st_uid != owner) ||
		 (st->st_mode & 022) != 0)
		wrong = "it must be root's or the alias's own, and nobody "
			"else's to write";
	else if (st->st_size > EXPAND_FILE_MAX)
		wrong = "too big";
	if (wrong == NULL)
		return fd;
	snprintf(why, WHY_SIZE, "4.3.5 %.200s: %s", path, wrong);
	if (fd >= 0)
		close(fd);
	return -1;
}

static int
include(struct expansion *expansion, const char *path)
{
	const struct expand_sink sink = {take_address, expansion};
	struct stat st;
	size_t have = 0;
	int result = -1;

	int fd = open_included(
		path, expansion->account->uid, &st, expansion->why);
	if (fd < 0)
		return -1;
	size_t size = (size_t)st.st_size;
	char *text = malloc(size + 1);
	while (text != NULL && have < size) {
		ssize_t got = read(fd, text + have, size - have);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		have += (size_t)got;
	}
	close(fd);
	if (text == NULL || have < size)
		snprintf(expansion->why, WHY_SIZE,
			"4.3.0 %.200s: cannot be read", path);
	else
		result = expand_included(
			text, size, &sink, expansion->why, WHY_SIZE);
	free(text);
	return result;
}

/* 0, or -1 with why. */
static int
gather(struct expansion *expansion)
{
	char targets[ACCOUNT_TARGETS_MAX], *rest = targets;

	snprintf(targets, sizeof targets, "%s", expansion->account->targets);
	while (rest != NULL) {
		const char *target = strsep(&rest, "\n");
		bool is_file = strncmp(target, INCLUDE, strlen(INCLUDE)) == 0;

		if ((is_file ? include(expansion, target + strlen(INCLUDE))
			     : take_address(expansion, target)) < 0)
			return -1;
	}
	return 0;
}

/* --- the whole --- */

/* Whether the message may be sent on at all. False: the report is filled. */
static bool
may_go_on(const struct warden_request *request, int content_fd,
	struct warden_report *into)
{
	switch (loop_check(content_fd, request->content_offset,
		request->content_octets, request->address)) {
	case LOOP_NONE:
		return true;
	case LOOP_DELIVERED_TO:
		report(into, OUTCOME_FAILED,
			"5.4.6 mail loop: it was delivered to this address "
			"before");
		return false;
	case LOOP_FORWARDS:
		report(into, OUTCOME_FAILED,
			"5.4.6 it was forwarded too often");
		return false;
	case LOOP_RECEIVED:
		report(into, OUTCOME_FAILED,
			"5.4.6 mail loop: too many Received fields");
		return false;
	default:
		report(into, OUTCOME_DEFERRED,
			"4.3.0 the message cannot be read");
		return false;
	}
}

static bool
has_end(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

static bool
is_request_sound(const struct warden_request *request, int content_fd)
{
	struct path path;
	struct stat st;

	return has_end(request->address, sizeof request->address) &&
	       has_end(request->reverse_path, sizeof request->reverse_path) &&
	       has_end(request->envid, sizeof request->envid) &&
	       has_end(request->orcpt, sizeof request->orcpt) &&
	       request->notify <= NOTIFY_ALL && request->ret <= RET_HDRS &&
	       request->requiretls <= 1 &&
	       address_mailbox_scan(request->address, strlen(request->address),
		       ADDRESS_UTF8, &path) == 0 &&
	       envelope_reverse_path_is_sound(
		       request->reverse_path, strlen(request->reverse_path)) &&
	       fstat(content_fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       request->content_offset <= (uint64_t)st.st_size &&
	       request->content_octets <=
		       (uint64_t)st.st_size - request->content_offset;
}

/* With which reverse-path it goes on. 0, or -1 with why. */
static int
find_sender(struct newsender *sender, const struct deliver_settings *settings,
	const struct account *account, const struct warden_request *request,
	char *why)
{
	struct warden_request of_list = *request;
	struct path recipient;
	char path[HOME_NAME_MAX];

	if (address_mailbox_scan(request->address, strlen(request->address),
		    ADDRESS_UTF8, &recipient) < 0)
		return -1;
	if (account->kind == ACCOUNT_ALIAS) {
		snprintf(of_list.dash, sizeof of_list.dash, "-");
		snprintf(of_list.extension, sizeof of_list.extension, "%s",
			recipient.local);
	}
	int home = open(account->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* an alias needs no home */
	if (home < 0 && errno == ENOENT)
		home = open(home_path(settings->home, "mail", path),
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (home < 0) {
		snprintf(why, WHY_SIZE, "4.3.0 %.300s: %s", account->home,
			strerror(errno));
		return -1;
	}
	int result = newsender_find(sender, home, &of_list, &recipient,
		&settings->srs, &settings->ours, (int64_t)time(NULL), why,
		WHY_SIZE);
	close(home);
	return result;
}

static void
send_on(struct expansion *expansion, bool is_kept, struct warden_report *into)
{
	char text[WHY_SIZE] = "";

	if (gather(expansion) < 0) {
		report(into, OUTCOME_DEFERRED, expansion->why);
	} else if (expansion->targets == 0) {
		report(into, OUTCOME_DISCARDED,
			"2.0.0 discarded: the alias has no target now");
	} else {
		enum outcome outcome =
			forward_submit(&expansion->forward, is_kept, text);
		report(into, outcome, text);
	}
	forward_free(&expansion->forward);
}

void
expand(struct deliver_settings *settings, const struct account *account,
	const struct warden_request *request, int content_fd,
	struct warden_report *into)
{
	struct expansion expansion = {.account = account};
	bool keeps = account->kind == ACCOUNT_MAILBOX &&
		     (account->flags & ACCOUNT_KEEPS_COPY) != 0;
	char socket_path[HOME_NAME_MAX];
	struct newsender sender;

	*into = (struct warden_report){0};
	signal(SIGPIPE, SIG_IGN); /* a queue that goes away is an answer */
	if (!is_request_sound(request, content_fd)) {
		report(into, OUTCOME_DEFERRED,
			"4.3.5 the delivery request is malformed");
		return;
	}
	if (!may_go_on(request, content_fd, into))
		return;
	if (find_sender(&sender, settings, account, request, expansion.why) <
		0) {
		report(into, OUTCOME_DEFERRED, expansion.why);
		return;
	}
	if (keeps) {
		(void)deliver(settings, account, request, content_fd, into);
		if (into->outcome == OUTCOME_FAILED ||
			into->outcome == OUTCOME_DEFERRED)
			return;
	}
	expansion.forward = (struct forward){
		.socket_path =
			home_path(settings->home, "socket/submit", socket_path),
		.address = request->address,
		.host = settings->host,
		.ours = &settings->ours,
		.sender = &sender,
		.envid = request->envid,
		.orcpt = request->orcpt,
		.notify = request->notify,
		.ret = request->ret,
		.requiretls = request->requiretls,
		.content = content_fd,
		.offset = request->content_offset,
		.octets = request->content_octets,
		.envelope = ENVELOPE_ZERO,
	};
	send_on(&expansion, keeps, into);
	/* with a copy kept, "expanded" would say that nobody has it yet */
	if (keeps && into->outcome == OUTCOME_EXPANDED)
		into->outcome = OUTCOME_DELIVERED;
}
