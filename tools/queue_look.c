#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "lib/ident.h"
#include "queue/layout.h"
#include "tools/queue_check.h"

/* --- opening --- */

static int
open_beneath(int queue, const char *path, uint64_t flags)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};

	return (int)syscall(SYS_openat2, queue, path, &how, sizeof how);
}

int
check_open_folder(int queue, const char *folder)
{
	return open_beneath(
		queue, folder[0] ? folder : ".", O_RDONLY | O_DIRECTORY);
}

int
check_open_file(int queue, const char *path)
{
	return open_beneath(queue, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
}

void
check_path(char path[CHECK_PATH_MAX], const char *folder, const char *name)
{
	/* Every folder that is gone into has a name that was checked, but for
	 * buckets of bad names, which have nothing below them looked at. */
	snprintf(path, CHECK_PATH_MAX, "%.120s%s%.255s", folder,
		folder[0] ? "/" : "", name);
}

/* --- the lists --- */

void
check_unread(struct check *check, const char *path)
{
	if (check->is_unread)
		return;
	check->error = errno;
	check->is_unread = true;
	snprintf(check->unread, sizeof check->unread, "%s", path);
}

void
check_found(struct check *check, enum check_what what, const char *folder,
	const char *name, const struct stat *st)
{
	if (check->findings == check->findings_room) {
		size_t room =
			check->findings_room ? check->findings_room * 2 : 16;
		struct check_finding *more =
			reallocarray(check->finding, room, sizeof *more);

		if (more == NULL) {
			check_unread(check, folder);
			return;
		}
		check->finding = more;
		check->findings_room = room;
	}
	struct check_finding *new = &check->finding[check->findings++];
	memset(new, 0, sizeof *new);
	new->what = what;
	check_path(new->path, folder, name);
	if (st != NULL) {
		new->device = st->st_dev;
		new->inode = st->st_ino;
	}
}

void
check_free(struct check *check)
{
	free(check->finding);
	free(check->seen);
	check->finding = NULL;
	check->seen = NULL;
	check->findings = check->findings_room = 0;
	check->ids = check->ids_room = 0;
}

int
check_stat(struct check *check, const char *folder, const char *name,
	struct stat *st)
{
	char path[CHECK_PATH_MAX];

	check_path(path, folder, name);
	/* The folders before the name were opened as folders by each_name; a
	 * link in their place since then shows nothing but another inode. */
	if (fstatat(check->queue, path, st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (errno != ENOENT)
		check_unread(check, path);
	return -1;
}

/* --- folders --- */

static int
is_name(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") != 0 &&
	       strcmp(entry->d_name, "..") != 0;
}

/* Calls each(check, folder, name) for every name. How many there were; or -1 if
 * the folder is gone or cannot be read, which is noted. */
static int
each_name(struct check *check, const char *folder,
	void (*each)(struct check *check, const char *folder, const char *name))
{
	struct dirent **name;
	int fd = check_open_folder(check->queue, folder);
	int names = fd < 0 ? -1 : scandirat(fd, ".", &name, is_name, alphasort);

	if (names < 0 && errno != ENOENT)
		check_unread(check, folder);
	if (fd >= 0)
		close(fd);
	for (int i = 0; i < names; i++) {
		each(check, folder, name[i]->d_name);
		free(name[i]);
	}
	if (names >= 0)
		free(name);
	return names;
}

/* Looks at something that should be a folder. True if it is one. */
static bool
is_folder(struct check *check, const char *folder, const char *name,
	struct stat *st)
{
	char path[CHECK_PATH_MAX];
	enum check_what what = CHECK_NO_FILE;

	if (check_stat(check, folder, name, st) < 0)
		return false;
	if (S_ISDIR(st->st_mode)) {
		check_path(path, folder, name);
		if (!check_owner_is(check, check_owner_of(path, S_IFDIR), st))
			check_found(check, CHECK_OWNER, folder, name, st);
		return true;
	}
	if (S_ISREG(st->st_mode))
		what = ident_valid(name, strlen(name)) ? CHECK_MISPLACED
						       : CHECK_NAME;
	check_found(check, what, folder, name, st);
	return false;
}

/* A folder of messages below deferred/ or waiting/; an empty one has no sense. */
static void
look_at_bucket(struct check *check, const char *folder, const char *name,
	const struct stat *st,
	void (*each)(struct check *check, const char *folder, const char *name))
{
	char path[CHECK_PATH_MAX];

	check_path(path, folder, name);
	if (each_name(check, path, each) == 0)
		check_found(check, CHECK_EMPTY, folder, name, st);
}

static void
look_at_deferred(struct check *check, const char *folder, const char *name)
{
	uint64_t minute;
	struct stat st;

	if (!is_folder(check, folder, name, &st))
		return;
	if (layout_minute_scan(name, &minute) == 0)
		look_at_bucket(check, folder, name, &st, check_message);
	else
		check_found(check, CHECK_BUCKET, folder, name, &st);
}

/* A channel's digit and a minute. */
static bool
is_waiting_bucket(const char *name)
{
	uint64_t minute;

	return name[0] != 0 && strchr("0123456789abcdef", name[0]) != NULL &&
	       layout_minute_scan(name + 1, &minute) == 0;
}

/* waiting/GROUP/ID, or waiting/GROUP/CMMMMMMMMMM/ID. */
static void
look_at_group(struct check *check, const char *folder, const char *name)
{
	struct stat st;

	if (check_stat(check, folder, name, &st) < 0)
		return;
	if (!S_ISDIR(st.st_mode))
		check_message(check, folder, name);
	else if (!is_waiting_bucket(name))
		check_found(check, CHECK_BUCKET, folder, name, &st);
	else if (is_folder(check, folder, name, &st))
		look_at_bucket(check, folder, name, &st, check_message);
}

static void
look_at_waiting(struct check *check, const char *folder, const char *name)
{
	struct stat st;

	if (!is_folder(check, folder, name, &st))
		return;
	if (layout_dest_is_valid(name, strlen(name)))
		look_at_bucket(check, folder, name, &st, look_at_group);
	else
		check_found(check, CHECK_BUCKET, folder, name, &st);
}

static void
look_at_doubtful(struct check *check, const char *folder, const char *name)
{
	char path[CHECK_PATH_MAX];
	size_t length = strlen(name);
	struct stat st;

	if (check_stat(check, folder, name, &st) < 0)
		return;
	check_path(path, folder, name);
	if (S_ISDIR(st.st_mode))
		check_found(check, CHECK_FOLDER, folder, name, &st);
	else if (!S_ISREG(st.st_mode))
		check_found(check, CHECK_NO_FILE, folder, name, &st);
	else if (!ident_valid(name, length) &&
		 (length != IDENT_LENGTH + 4 ||
			 !ident_valid(name, IDENT_LENGTH) ||
			 strcmp(name + IDENT_LENGTH, ".why") != 0))
		check_found(check, CHECK_NAME, folder, name, &st);
}

/* What is asked of the runner may have any name. */
static void
look_at_request(struct check *check, const char *folder, const char *name)
{
	struct stat st;

	if (check_stat(check, folder, name, &st) == 0 && !S_ISREG(st.st_mode))
		check_found(check,
			S_ISDIR(st.st_mode) ? CHECK_FOLDER : CHECK_NO_FILE,
			folder, name, &st);
}

static void
look_at_wake(struct check *check, const char *folder, const char *name)
{
	struct stat st;

	if (check_stat(check, folder, name, &st) < 0)
		return;
	bool is_known = strcmp(name, "runner") == 0 ||
			strcmp(name, "local") == 0 ||
			strcmp(name, "remote") == 0;
	if (S_ISDIR(st.st_mode))
		check_found(check, CHECK_FOLDER, folder, name, &st);
	else if (S_ISREG(st.st_mode))
		check_found(check, CHECK_NAME, folder, name, &st);
	else if (!is_known || !S_ISFIFO(st.st_mode))
		check_found(check, CHECK_NO_FILE, folder, name, &st);
}

/* --- jobs --- */

/* folder is jobs/CHANNEL/DEST. */
static void
look_at_job(struct check *check, const char *folder, const char *name)
{
	const char *channel = folder + strlen("jobs/");
	const char *dest = strrchr(folder, '/') + 1;

	check_job(check, dest - channel == sizeof "local" ? "local" : "remote",
		dest, name);
}

static void
look_at_destination(struct check *check, const char *folder, const char *name)
{
	char path[CHECK_PATH_MAX];
	struct stat st;

	if (!is_folder(check, folder, name, &st))
		return;
	check_path(path, folder, name);
	if (layout_dest_is_valid(name, strlen(name)))
		(void)each_name(check, path, look_at_job);
	else
		check_found(check, CHECK_BUCKET, folder, name, &st);
}

/* --- the whole --- */

static const struct {
	const char *name;
	void (*each)(struct check *check, const char *folder, const char *name);
} top[] = {
	{QUEUE_INCOMING, check_message},
	{QUEUE_ACTIVE, check_message},
	{QUEUE_DEFERRED, look_at_deferred},
	{QUEUE_WAITING, look_at_waiting},
	{QUEUE_HELD, check_message},
	{QUEUE_DOUBTFUL, look_at_doubtful},
	{QUEUE_REQUESTS, look_at_request},
	{"wake", look_at_wake},
	{"jobs", NULL},
	{QUEUE_JOBS_LOCAL, look_at_destination},
	{QUEUE_JOBS_REMOTE, look_at_destination},
};
#define TOP (sizeof top / sizeof top[0])

/* A name in folder, which is the queue or jobs/, that is none of the table. */
static void
look_at_top(struct check *check, const char *folder, const char *name)
{
	char path[CHECK_PATH_MAX];
	struct stat st;

	check_path(path, folder, name);
	for (size_t i = 0; i < TOP; i++)
		if (strcmp(top[i].name, path) == 0)
			return;
	/* where the queue is a file system of its own */
	if (strcmp(path, "lost+found") == 0)
		return;
	if (is_folder(check, folder, name, &st))
		check_found(check, CHECK_FOLDER, folder, name, &st);
}

static void
look_at_folder(struct check *check, size_t i)
{
	struct stat st;

	if (fstatat(check->queue, top[i].name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			check_found(
				check, CHECK_MISSING, "", top[i].name, NULL);
		else
			check_unread(check, top[i].name);
		return;
	}
	if (is_folder(check, "", top[i].name, &st))
		(void)each_name(check, top[i].name,
			top[i].each ? top[i].each : look_at_top);
}

static int
compare(const void *left, const void *right)
{
	const struct check_id *a = left, *b = right;
	int order = strcmp(a->id, b->id);

	return order ? order : strcmp(a->path, b->path);
}

/* Ids that were seen at two places, and stand at both still: a message that
 * moves meanwhile is seen twice too. */
static void
look_for_twins(struct check *check)
{
	struct stat st, other;

	if (check->ids > 1)
		qsort(check->seen, check->ids, sizeof *check->seen, compare);
	for (size_t i = 1; i < check->ids; i++) {
		const struct check_id *a = &check->seen[i - 1],
				      *b = &check->seen[i];

		if (strcmp(a->id, b->id) != 0 ||
			check_stat(check, "", b->path, &st) < 0 ||
			check_stat(check, "", a->path, &other) < 0)
			continue;
		size_t before = check->findings;
		check_found(check, CHECK_TWICE, "", b->path, &st);
		if (check->findings > before)
			snprintf(check->finding[before].other, CHECK_PATH_MAX,
				"%s", a->path);
	}
}

int
check_look(struct check *check)
{
	struct stat st;

	check_free(check);
	check->is_unread = false;
	if (fstat(check->queue, &st) < 0)
		return -1;
	if (!check_owner_is(check, check_owner_of(".", S_IFDIR), &st))
		check_found(check, CHECK_OWNER, "", ".", &st);
	(void)each_name(check, "", look_at_top);
	for (size_t i = 0; i < TOP; i++)
		look_at_folder(check, i);
	look_for_twins(check);
	return check->is_unread ? -1 : 0;
}
