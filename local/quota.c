#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/durable.h"
#include "local/quota.h"

#define FILE_NAME "maildirsize"
#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
/* Of a file that is read at all, in octets. */
#define READ_MAX 65536
/* How long another delivery's look is waited for, and how often it is tried. */
#define LOCK_MS 5000
#define LOCK_AGAIN_NS (2 * 1000 * 1000)

/* What the file says, or what was counted. */
struct usage {
	struct quota limit;
	int64_t octets, messages;
	bool is_large;	/* the file should be made anew */
	bool is_old;	/* … or was not made just now */
	bool is_usable; /* it has a first line */
};

/* Adds without passing the ends. */
static void
add(int64_t *sum, int64_t more)
{
	if (__builtin_add_overflow(*sum, more, sum))
		*sum = more > 0 ? INT64_MAX : INT64_MIN;
}

/* --- the file --- */

static bool
read_limit(const char *line, struct quota *limit)
{
	char *end;

	*limit = (struct quota){0};
	for (const char *at = line;; at = end + 1) {
		errno = 0;
		uint64_t number = strtoull(at, &end, 10);
		if (end == at || *at == '-' || errno != 0)
			return false;
		if (*end == 'S')
			limit->octets = number;
		else if (*end == 'C')
			limit->messages = number;
		else
			return false;
		if (*++end != ',')
			return *end == 0;
	}
}

static void
read_text(char *text, struct usage *usage)
{
	char *line = strsep(&text, "\n");

	usage->is_usable = read_limit(line, &usage->limit);
	while (usage->is_usable && (line = strsep(&text, "\n")) != NULL) {
		char *end;
		int64_t octets = strtoll(line, &end, 10);

		if (end == line || *end != ' ')
			continue;
		add(&usage->octets, octets);
		add(&usage->messages, strtoll(end, NULL, 10));
	}
}

/* 1; 0: there is no file; -1 with errno. */
static int
read_file(int maildir, struct usage *usage)
{
	struct stat st;
	ssize_t got = -1;
	int fd = openat(maildir, FILE_NAME,
		O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	*usage = (struct usage){0};
	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	char *text = malloc(READ_MAX + 1);
	if (text != NULL && fstat(fd, &st) == 0) {
		got = S_ISREG(st.st_mode) ? pread(fd, text, READ_MAX, 0) : 0;
		usage->is_large = st.st_size >= QUOTA_FILE_MAX;
		usage->is_old =
			st.st_mtime < time(NULL) - QUOTA_FRESH_S ||
			memchr(text, '\n', got > 0 ? (size_t)got : 0) == NULL;
	}
	if (got >= 0) {
		text[got] = 0;
		read_text(text, usage);
	}
	free(text);
	close(fd);
	return got >= 0 ? 1 : -1;
}

/* --- counting --- */

/* The size of a message: what its name says, or what it is. -1: not counted. */
static int64_t
size_of(int folder, const char *name)
{
	const char *size = strstr(name, ",S=");
	struct stat st;
	char *end;

	if (size != NULL) {
		long long octets = strtoll(size + 3, &end, 10);

		if (end != size + 3 && octets >= 0)
			return octets;
	}
	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		!S_ISREG(st.st_mode))
		return -1;
	return st.st_size;
}

static int
count_messages(int folder, const char *sub, struct usage *usage)
{
	int fd = openat(folder, sub, FOLDER_FLAGS);

	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	DIR *listing = fdopendir(fd);
	if (listing == NULL) {
		close(fd);
		return -1;
	}
	for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
		int64_t size = entry->d_name[0] == '.'
				       ? -1
				       : size_of(fd, entry->d_name);

		if (size < 0)
			continue;
		add(&usage->octets, size);
		add(&usage->messages, 1);
	}
	closedir(listing);
	return 0;
}

static int
count_folder(int folder, struct usage *usage)
{
	if (count_messages(folder, "cur", usage) < 0)
		return -1;
	return count_messages(folder, "new", usage);
}

/* The Maildir's folders: ".name", links not followed. */
static int
count_folders(int maildir, struct usage *usage)
{
	int fd = openat(maildir, ".", FOLDER_FLAGS), result = 0;
	DIR *listing = fd < 0 ? NULL : fdopendir(fd);

	if (listing == NULL)
		return -1;
	for (struct dirent *entry;
		result == 0 && (entry = readdir(listing)) != NULL;) {
		const char *name = entry->d_name;

		if (name[0] != '.' || name[1] == 0 || name[1] == '.' ||
			strcmp(name, ".Trash") == 0)
			continue;
		int folder = openat(fd, name, FOLDER_FLAGS);
		if (folder < 0)
			continue; /* no folder, or gone */
		result = count_folder(folder, usage);
		close(folder);
	}
	closedir(listing);
	return result;
}

/* Counts all there is and writes the file. */
static int
count(int maildir, const struct quota *limit, struct usage *usage)
{
	char text[200], size[32] = "", messages[32] = "";

	*usage = (struct usage){.limit = *limit, .is_usable = true};
	if (count_folder(maildir, usage) < 0 ||
		count_folders(maildir, usage) < 0)
		return -1;
	if (limit->octets > 0)
		snprintf(size, sizeof size, "%" PRIu64 "S", limit->octets);
	if (limit->messages > 0)
		snprintf(messages, sizeof messages, "%s%" PRIu64 "C",
			limit->octets > 0 ? "," : "", limit->messages);
	int length =
		snprintf(text, sizeof text, "%s%s\n%" PRId64 " %" PRId64 "\n",
			size, messages, usage->octets, usage->messages);
	int folder = openat(maildir, ".", FOLDER_FLAGS);
	int result = folder < 0 ? -1
				: durable_replace(folder, FILE_NAME, text,
					  (size_t)length, 0600, geteuid(),
					  getegid());
	if (folder >= 0)
		close(folder);
	return result;
}

/* --- the decision --- */

static bool
is_over(const struct usage *usage, uint64_t octets)
{
	uint64_t used = usage->octets > 0 ? (uint64_t)usage->octets : 0;
	uint64_t messages = usage->messages > 0 ? (uint64_t)usage->messages : 0;
	const struct quota *limit = &usage->limit;

	return (limit->octets > 0 && (used > limit->octets ||
					     octets > limit->octets - used)) ||
	       (limit->messages > 0 && messages >= limit->messages);
}

static enum quota_result
check(int maildir, const struct quota *limit, uint64_t octets)
{
	struct usage usage;
	bool has_limit = limit->octets > 0 || limit->messages > 0;
	int found = read_file(maildir, &usage);

	if (found < 0)
		return QUOTA_TROUBLE;
	if (!has_limit && (found == 0 || !usage.is_usable))
		return QUOTA_FITS;
	const struct quota holds = has_limit ? *limit : usage.limit;
	bool is_same = usage.limit.octets == holds.octets &&
		       usage.limit.messages == holds.messages;
	if (found == 0 || !usage.is_usable || !is_same || usage.is_large ||
		(usage.is_old && is_over(&usage, octets)))
		if (count(maildir, &holds, &usage) < 0)
			return QUOTA_TROUBLE;
	if (holds.octets > 0 && octets > holds.octets)
		return QUOTA_TOO_BIG;
	return is_over(&usage, octets) ? QUOTA_OVER : QUOTA_FITS;
}

bool
quota_is_full(int maildir, const struct quota *limit)
{
	struct usage usage;
	bool has_limit = limit->octets > 0 || limit->messages > 0;

	return read_file(maildir, &usage) == 1 && usage.is_usable &&
	       !usage.is_large && !usage.is_old &&
	       (!has_limit ||
		       (usage.limit.octets == limit->octets &&
			       usage.limit.messages == limit->messages)) &&
	       is_over(&usage, QUOTA_SMALLEST);
}

/* --- one after the other --- */

/* Whether the Maildir is locked now. It is the user's: who holds the lock for long
 * harms his own quota, and holds up nothing. */
static bool
lock(int maildir)
{
	const struct timespec pause = {.tv_nsec = LOCK_AGAIN_NS};
	int64_t deadline_ms = deadline_after_ms(LOCK_MS);

	while (flock(maildir, LOCK_EX | LOCK_NB) < 0) {
		if ((errno != EWOULDBLOCK && errno != EINTR) ||
			deadline_left_ms(deadline_ms) == 0)
			return false;
		(void)nanosleep(&pause, NULL);
	}
	return true;
}

/* Appends what came or, with a sign, went. Nothing if there is no file. */
static void
note(int maildir, const char *sign, uint64_t octets)
{
	char line[64];
	struct stat st;
	int fd = openat(maildir, FILE_NAME,
		O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		int length = snprintf(line, sizeof line, "%s%" PRIu64 " %s1\n",
			sign, octets, sign);
		(void)durable_write_all(fd, line, (size_t)length);
	}
	close(fd);
}

enum quota_result
quota_take(int maildir, const struct quota *limit, uint64_t octets)
{
	bool is_locked = lock(maildir);
	enum quota_result result = check(maildir, limit, octets);
	int saved = errno;

	if (result == QUOTA_FITS)
		note(maildir, "", octets);
	if (is_locked)
		(void)flock(maildir, LOCK_UN);
	errno = saved;
	return result;
}

void
quota_give_back(int maildir, uint64_t octets)
{
	note(maildir, "-", octets);
}
