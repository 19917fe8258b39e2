#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "lib/durable.h"
#include "lib/ident.h"
#include "lib/log.h"
#include "queue/runner.h"
#include "remote/route.h"

/*
 * The files in requests/: each is read once, carried out a few messages at a
 * time, answered, and removed. It stays until then, so that a runner that starts
 * anew carries it out; what was done already is found done.
 *
 * Whoever may write into the folder may ask, save the suite's own roles, which
 * are members of the same group for other reasons.
 */

/* Requests at work at one time; the others wait in their folder. */
#define OPEN_MAX 32
/* Names that one look at the folder takes. */
#define NAMES_MAX 4096
/* Messages that are operated on before the runner sees to other things. */
#define SLICE 16
/* The same for a search: questions whether a file is in a folder. */
#define SEARCH_SLICE 4000
/* A message that moves while it is searched for may be missed once. */
#define SEARCHES 2
/* An answer that nobody fetched, and a file without its name. */
#define LEFT_OVER_S (24 * 3600)

struct verdict {
	const char *text; /* NULL: not carried out yet */
	bool is_done;
	bool is_lost; /* to be searched for */
};

/* A request at work. */
struct asked {
	struct asked *next;
	char name[IDENT_LENGTH + 1];
	uid_t uid; /* who asks */
	struct request request;
	struct verdict *verdict; /* owned: one a message */
	unsigned open;		 /* verdicts without a text */
	unsigned searches;
};

static void
request_path(const char *name, const char *before, const char *after,
	char path[LAYOUT_PATH_MAX])
{
	snprintf(path, LAYOUT_PATH_MAX, QUEUE_REQUESTS "/%s%.20s%s", before,
		name, after);
}

/* --- answers --- */

/* Writes the answer and removes the request. */
static void
answer(struct runner *runner, const char *name, const stralloc *octets)
{
	char new[LAYOUT_PATH_MAX], path[LAYOUT_PATH_MAX];

	request_path(name, ".", REQUEST_DONE, new);
	request_path(name, "", REQUEST_DONE, path);
	(void)unlinkat(runner->queue, new, 0);
	int fd = durable_create(runner->queue, new, 0644);
	if (fd < 0 || durable_write_all(fd, octets->s, octets->len) < 0 ||
		renameat(runner->queue, new, runner->queue, path) < 0)
		log_line("cannot write %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	request_path(name, "", "", path);
	if (unlinkat(runner->queue, path, 0) < 0 && errno != ENOENT)
		log_line("cannot remove %s: %s", path, strerror(errno));
}

static void
refuse(struct runner *runner, const char *name, uid_t uid, const char *why)
{
	struct request_answer all = {.id = ""};
	stralloc octets = STRALLOC_ZERO;

	log_line("request: %s of uid %u refused: %s", name, (unsigned)uid, why);
	snprintf(all.text, sizeof all.text, "%s", why);
	if (request_pack_answer(&octets, &all) == 0)
		answer(runner, name, &octets);
	stralloc_free(&octets);
}

/* Needs no second look: it is answered from memory, at once. */
static void
list(struct runner *runner, const char *name, uid_t uid)
{
	stralloc octets = STRALLOC_ZERO;

	if (destinations_pack(runner, &octets) == 0)
		answer(runner, name, &octets);
	else
		refuse(runner, name, uid, "no memory");
	stralloc_free(&octets);
}

/* --- taking --- */

/* Reads all of an open file. NULL: *why says what is wrong with it. */
static const char *
read_request(const struct runner *runner, int fd, const struct stat *st,
	struct request *request)
{
	struct route_target target;
	size_t size = (size_t)st->st_size;

	if (!S_ISREG(st->st_mode) || st->st_nlink != 1)
		return "it is no plain file";
	if (home_is_role_uid(&runner->home, st->st_uid))
		return "its owner is a role of the suite, not an administrator";
	if (st->st_size <= 0 || st->st_size > REQUEST_OCTETS_MAX)
		return "it is empty or too large";
	char *octets = malloc(size);
	if (octets == NULL)
		return "no memory";
	ssize_t got = pread(fd, octets, size, 0);
	enum request_result result = REQUEST_BAD;
	if (got == st->st_size)
		result = request_unpack(octets, size, request);
	free(octets);
	if (result == REQUEST_NO_MEMORY)
		return "no memory";
	if (result == REQUEST_BAD)
		return "it is not in the form of a request";
	if (request->operation == REQUEST_ROUTE && request->text[0] != 0 &&
		route_parse(request->text, &target) < 0) {
		request_free(request);
		return "its destination is none";
	}
	return NULL;
}

static struct asked *
make_asked(const char *name, uid_t uid, struct request *request)
{
	struct asked *asked = calloc(1, sizeof *asked);

	if (asked == NULL)
		return NULL;
	asked->verdict = calloc(request->ids, sizeof *asked->verdict);
	if (asked->verdict == NULL) {
		free(asked);
		return NULL;
	}
	memcpy(asked->name, name, IDENT_LENGTH + 1);
	asked->uid = uid;
	asked->request = *request;
	asked->open = request->ids;
	return asked;
}

/* True if an earlier run has answered it and could not remove it any more. */
static bool
is_answered(const struct runner *runner, const char *name)
{
	char path[LAYOUT_PATH_MAX];
	struct stat st;

	request_path(name, "", REQUEST_DONE, path);
	if (fstatat(runner->queue, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		!S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return false;
	request_path(name, "", "", path);
	(void)unlinkat(runner->queue, path, 0);
	return true;
}

void
requests_take(struct runner *runner, const char *name)
{
	struct asked **link = &runner->asked;
	struct request request = REQUEST_ZERO;
	char path[LAYOUT_PATH_MAX];
	unsigned count = 0;
	struct stat st;

	for (; *link != NULL; link = &(*link)->next, count++)
		if (strcmp((*link)->name, name) == 0)
			return;
	request_path(name, "", "", path);
	runner->asked_is_full |= count >= OPEN_MAX;
	if (count >= OPEN_MAX ||
		fstatat(runner->queue, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		S_ISDIR(st.st_mode) || is_answered(runner, name))
		return;
	int fd = openat(runner->queue, path,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	const char *why = fd < 0 || fstat(fd, &st) < 0
				  ? "it cannot be opened"
				  : read_request(runner, fd, &st, &request);
	if (fd >= 0)
		close(fd);
	if (why == NULL && request.operation == REQUEST_DESTINATIONS) {
		list(runner, name, st.st_uid);
		request_free(&request);
		return;
	}
	if (why == NULL) {
		*link = make_asked(name, st.st_uid, &request);
		if (*link != NULL) {
			runner->asked_is_ready = true;
			return;
		}
		request_free(&request);
		why = "no memory";
	}
	refuse(runner, name, st.st_uid, why);
}

static int
compare(const void *left, const void *right)
{
	return memcmp(left, right, IDENT_LENGTH);
}

/* Removes what nobody will fetch or finish any more. */
static void
clear_away(struct runner *runner, const char *name)
{
	char path[LAYOUT_PATH_MAX];
	const char *id = name + (name[0] == '.');
	struct stat st;

	if (strlen(id) < IDENT_LENGTH || !ident_valid(id, IDENT_LENGTH) ||
		(id[IDENT_LENGTH] != 0 &&
			strcmp(id + IDENT_LENGTH, REQUEST_DONE) != 0))
		return;
	snprintf(path, sizeof path, QUEUE_REQUESTS "/%.40s", name);
	if (fstatat(runner->queue, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		!S_ISDIR(st.st_mode) && st.st_mtime < time(NULL) - LEFT_OVER_S)
		(void)unlinkat(runner->queue, path, 0);
}

void
requests_sweep(struct runner *runner)
{
	int fd = openat(runner->queue, QUEUE_REQUESTS,
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	char(*name)[IDENT_LENGTH + 1] = calloc(NAMES_MAX, sizeof *name);
	struct dirent *entry;
	unsigned names = 0;

	if (folder == NULL || name == NULL) {
		log_line("cannot read " QUEUE_REQUESTS ": %s", strerror(errno));
		if (folder != NULL)
			closedir(folder);
		else if (fd >= 0)
			close(fd);
		free(name);
		return;
	}
	while (names < NAMES_MAX && (entry = readdir(folder)) != NULL)
		if (ident_valid(entry->d_name, strlen(entry->d_name)))
			memcpy(name[names++], entry->d_name, IDENT_LENGTH + 1);
		else
			clear_away(runner, entry->d_name);
	closedir(folder);
	qsort(name, names, sizeof *name, compare);
	for (unsigned i = 0; i < names; i++)
		requests_take(runner, name[i]);
	free(name);
	/* what could not be done for want of something is tried again */
	runner->asked_is_ready |= runner->asked != NULL;
}

/* --- carrying out --- */

static void
judge(struct asked *asked, unsigned number, bool is_done, const char *text)
{
	asked->verdict[number].text = text;
	asked->verdict[number].is_done = is_done;
	asked->verdict[number].is_lost = false;
	asked->open--;
	log_line("request: %s msg %s uid %u: %s",
		request_name(asked->request.operation),
		asked->request.id[number].id, (unsigned)asked->uid, text);
}

/* True if it is at work at a channel, and this has been seen to. */
static bool
is_put_off(const struct runner *runner, const char *id)
{
	const struct message *message = message_find(runner, id);

	return message != NULL && message->is_asked && message->jobs_out > 0;
}

/* Goes on with a request; *left is how many operations it may do yet. */
static void
carry_out(struct runner *runner, struct asked *asked, unsigned *left)
{
	for (unsigned i = 0; i<asked->request.ids && * left> 0; i++) {
		struct verdict *verdict = &asked->verdict[i];
		struct request_id *id = &asked->request.id[i];
		const char *why = NULL;

		if (verdict->text != NULL || verdict->is_lost ||
			is_put_off(runner, id->id))
			continue;
		--*left;
		switch (operate(
			runner, &asked->request, asked->uid, id, &why)) {
		case OPERATE_DONE:
			judge(asked, i, true, why);
			break;
		case OPERATE_REFUSED:
			judge(asked, i, false, why);
			break;
		case OPERATE_LOST:
			verdict->is_lost = true;
			id->place[0] = 0;
			break;
		case OPERATE_LATER:
			break;
		}
	}
}

/* Notes the messages that are in this folder. */
static void
look_into(struct runner *runner, struct asked *asked, const char *folder)
{
	char path[LAYOUT_PATH_MAX];
	struct stat st;

	for (unsigned i = 0; i < asked->request.ids; i++) {
		struct request_id *id = &asked->request.id[i];

		if (!asked->verdict[i].is_lost)
			continue;
		snprintf(path, sizeof path, "%.80s/%.20s", folder, id->id);
		if (fstatat(runner->queue, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		memcpy(id->place, path, sizeof path);
		asked->verdict[i].is_lost = false;
	}
}

static unsigned
count_lost(const struct asked *asked)
{
	unsigned lost = 0;

	for (unsigned i = 0; i < asked->request.ids; i++)
		lost += asked->verdict[i].is_lost;
	return lost;
}

/* The search is over: what was not found is looked up once more, and then given
 * up. */
static void
end_search(struct runner *runner, struct asked *asked)
{
	runner->searching = NULL;
	asked->searches++;
	for (unsigned i = 0; i < asked->request.ids; i++)
		if (asked->verdict[i].is_lost && asked->searches < SEARCHES)
			asked->verdict[i].is_lost = false;
		else if (asked->verdict[i].is_lost)
			judge(asked, i, false, "it is not in the queue");
}

/* True if there is more to search. */
static bool
search(struct runner *runner, struct asked *asked)
{
	char folder[LAYOUT_PATH_MAX];
	unsigned lost = count_lost(asked);

	if (lost == 0 && runner->searching == asked) {
		search_end(&runner->search);
		runner->searching = NULL;
	}
	if (lost == 0 || (runner->searching && runner->searching != asked))
		return false;
	if (runner->searching == NULL) {
		runner->searching = asked;
		search_begin(runner, &runner->search);
	}
	for (unsigned i = 0; i < SEARCH_SLICE / lost + 1; i++) {
		if (!search_next(runner, &runner->search, folder)) {
			end_search(runner, asked);
			break;
		}
		if (folder[0] != 0)
			look_into(runner, asked, folder);
	}
	return true;
}

/* All is decided: it is made durable, and then told. */
static void
finish(struct runner *runner, struct asked *asked)
{
	struct request_answer one;
	stralloc octets = STRALLOC_ZERO;
	int fd, result = 0;

	message_settle_listed(runner);
	commit_all(runner);
	fd = openat(runner->queue, QUEUE_HELD,
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || durable_sync_folder(fd) < 0 ||
		durable_sync_folder(runner->active) < 0)
		log_line("alarm: " QUEUE_HELD ": sync: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	for (unsigned i = 0; i < asked->request.ids && result == 0; i++) {
		memcpy(one.id, asked->request.id[i].id, sizeof one.id);
		one.is_done = asked->verdict[i].is_done;
		snprintf(one.text, sizeof one.text, "%s",
			asked->verdict[i].text);
		result = request_pack_answer(&octets, &one);
	}
	if (result == 0)
		answer(runner, asked->name, &octets);
	stralloc_free(&octets);
}

bool
requests_step(struct runner *runner)
{
	struct asked **link = &runner->asked;
	unsigned left = SLICE;
	bool more = false;

	if (!runner->asked_is_ready)
		return false;
	runner->asked_is_ready = false;
	while (*link != NULL && left > 0) {
		struct asked *asked = *link;

		carry_out(runner, asked, &left);
		more |= search(runner, asked);
		if (asked->open > 0) {
			link = &asked->next;
			continue;
		}
		*link = asked->next;
		finish(runner, asked);
		request_free(&asked->request);
		free(asked->verdict);
		free(asked);
	}
	if (runner->asked_is_full && runner->asked == NULL) {
		runner->asked_is_full = false;
		requests_sweep(runner);
	}
	more |= left == 0;
	runner->asked_is_ready |= more;
	return more;
}
