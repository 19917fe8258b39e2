/*
 * Sizes of messages on the wire, without opening files where that can be: from
 * the name, or from the cache that earlier sessions have left in the Maildir:
 *
 *   keepmail-sizes   "keepmail-sizes 1" LF, then for each message the decimal
 *                    numbers inode, hash of the name's base, octets of the file,
 *                    time of modification in ns, octets on the wire, divided by
 *                    one space and ended by LF
 *
 * Nothing is lost with it. A file that is not exactly that is not used at all.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <skalibs/blake2s.h>
#include "lib/dots.h"
#include "lib/durable.h"
#include "pop3d/maildrop.h"
#include "pop3d/number.h"

#define CACHE_NAME "keepmail-sizes"
#define CACHE_HEAD "keepmail-sizes 1\n"
/* A larger one is not read. */
#define CACHE_OCTETS_MAX (64 * 1024 * 1024)
/* Five numbers of 20 digits, and what divides them. */
#define CACHE_LINE_MAX 106
#define NUMBERS 5
#define BLOCK_OCTETS 32768

/* A line of the cache. */
struct cached {
	uint64_t inode, hash;
	struct maildrop_size size;
};

static uint64_t
modified_ns(const struct stat *status)
{
	return (uint64_t)status->st_mtim.tv_sec * 1000000000u +
	       (uint64_t)status->st_mtim.tv_nsec;
}

/* Whether so many octets of a file can be so many on the wire. */
static bool
is_possible(uint64_t wire_octets, uint64_t file_octets)
{
	/* A CR for each octet, and the end of a last line without one. */
	return file_octets < UINT64_MAX / 4 && wire_octets >= file_octets &&
	       wire_octets - file_octets <= file_octets + 2;
}

/* --- from the name --- */

/* The number after key in the base of a name, ended by "," or the end. */
static bool
number_in_name(const struct maildrop_message *message, const char key[static 3],
	uint64_t *number)
{
	const char *end = message->name + message->base_length;
	const char *at = memmem(message->name, message->base_length, key, 3);

	if (at == NULL)
		return false;
	at += 3;
	const char *comma = memchr(at, ',', (size_t)(end - at));
	return pop3_number(
		at, (size_t)((comma != NULL ? comma : end) - at), number);
}

/* The sizes that the name tells, if they can be true. */
static bool
sizes_in_name(const struct maildrop_message *message, uint64_t *wire_octets,
	uint64_t *file_octets)
{
	return number_in_name(message, ",S=", file_octets) &&
	       number_in_name(message, ",W=", wire_octets) &&
	       is_possible(*wire_octets, *file_octets);
}

/* --- the cache --- */

static uint64_t
hash_of(const struct maildrop_message *message)
{
	blake2s_ctx context = BLAKE2S_INIT(32);
	char hash[32];
	uint64_t number;

	blake2s_update(&context, message->name, message->base_length);
	blake2s_final(&context, hash);
	memcpy(&number, hash, sizeof number);
	return number;
}

static int
compare_cached(const void *left_pointer, const void *right_pointer)
{
	const struct cached *left = left_pointer, *right = right_pointer;

	if (left->inode != right->inode)
		return left->inode < right->inode ? -1 : 1;
	if (left->hash != right->hash)
		return left->hash < right->hash ? -1 : 1;
	return 0;
}

/* One line, without its LF. */
static bool
read_line(const char *line, size_t length, struct cached *cached)
{
	uint64_t number[NUMBERS];
	const char *end = line + length;

	for (unsigned at = 0; at < NUMBERS; at++) {
		const char *space = memchr(line, ' ', (size_t)(end - line));

		if ((space == NULL) != (at == NUMBERS - 1))
			return false;
		if (space == NULL)
			space = end;
		if (!pop3_number(line, (size_t)(space - line), &number[at]))
			return false;
		line = space + 1;
	}
	*cached = (struct cached){.inode = number[0],
		.hash = number[1],
		.size = {.is_known = 1,
			.file_octets = number[2],
			.modified_ns = number[3],
			.wire_octets = number[4]}};
	return is_possible(number[4], number[2]);
}

/* All lines. Returns how many, with a list that is the caller's; or 0. */
static size_t
read_lines(const char *text, size_t length, struct cached **list)
{
	size_t head = strlen(CACHE_HEAD), count = 0, lines = 0;
	const char *end = text + length;

	*list = NULL;
	if (length <= head || memcmp(text, CACHE_HEAD, head) != 0 ||
		end[-1] != '\n')
		return 0;
	text += head;
	for (const char *at = text;
		at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL;
		at++)
		lines++;
	*list = calloc(lines + 1, sizeof **list);
	while (*list != NULL && text < end) {
		const char *lf = memchr(text, '\n', (size_t)(end - text));

		if (!read_line(text, (size_t)(lf - text), *list + count)) {
			free(*list);
			*list = NULL;
			return 0;
		}
		count++;
		text = lf + 1;
	}
	return *list != NULL ? count : 0;
}

/* The whole cache, or NULL; *length octets. */
static char *
read_file(const struct maildrop *drop, size_t *length)
{
	struct stat status;
	int fd = openat(drop->maildir, CACHE_NAME,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char *text = NULL;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
		status.st_size > 0 && status.st_size <= CACHE_OCTETS_MAX)
		text = malloc((size_t)status.st_size);
	*length = 0;
	while (text != NULL && *length < (size_t)status.st_size) {
		ssize_t count = read(
			fd, text + *length, (size_t)status.st_size - *length);

		if (count > 0) {
			*length += (size_t)count;
		} else if (count == 0 || errno != EINTR) {
			free(text);
			text = NULL;
		}
	}
	close(fd);
	return text;
}

/* Takes over what the cache knows of the messages. */
static void
read_cache(struct maildrop *drop)
{
	struct cached *list;
	size_t length;
	uint64_t ignored[2];
	char *text = read_file(drop, &length);

	if (text == NULL)
		return;
	size_t count = read_lines(text, length, &list);
	free(text);
	if (count > 0)
		qsort(list, count, sizeof *list, compare_cached);
	for (size_t at = 0; count > 0 && at < drop->messages; at++) {
		const struct maildrop_message *message = &drop->message[at];

		if (sizes_in_name(message, &ignored[0], &ignored[1]))
			continue;
		struct cached wanted = {
			.inode = message->inode, .hash = hash_of(message)};
		const struct cached *found = bsearch(
			&wanted, list, count, sizeof *list, compare_cached);
		if (found != NULL)
			drop->size[at] = found->size;
	}
	free(list);
}

/* The lines of all sizes that are known. 0, or -1 with errno. */
static int
write_lines(const struct maildrop *drop, int fd)
{
	char block[BLOCK_OCTETS] = CACHE_HEAD;
	size_t used = strlen(block);

	for (size_t at = 0; at < drop->messages; at++) {
		const struct maildrop_message *message = &drop->message[at];
		const struct maildrop_size *size = &drop->size[at];

		if (!size->is_known || message->gone)
			continue;
		used += (size_t)snprintf(block + used, sizeof block - used,
			"%llu %llu %llu %llu %llu\n",
			(unsigned long long)message->inode,
			(unsigned long long)hash_of(message),
			(unsigned long long)size->file_octets,
			(unsigned long long)size->modified_ns,
			(unsigned long long)size->wire_octets);
		if (sizeof block - used > CACHE_LINE_MAX)
			continue;
		if (durable_write_all(fd, block, used) < 0)
			return -1;
		used = 0;
	}
	return durable_write_all(fd, block, used);
}

void
maildrop_sizes_save(struct maildrop *drop)
{
	struct timespec now = {0};
	char name[80];

	if (drop->counted == 0 || drop->size == NULL || drop->maildir < 0)
		return;
	drop->counted = 0;
	int tmp = openat(drop->maildir, "tmp",
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (tmp < 0)
		return;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	snprintf(name, sizeof name, CACHE_NAME ".%lld.%ld.%ld",
		(long long)now.tv_sec, (long)now.tv_nsec, (long)getpid());
	int fd = durable_create(tmp, name, 0600);
	if (fd >= 0) {
		int failed = write_lines(drop, fd) < 0;

		/* Not synced: after a power cut it may be cut, and is then
		 * not used. */
		failed |= close(fd) < 0;
		if (failed ||
			renameat(tmp, name, drop->maildir, CACHE_NAME) < 0)
			(void)unlinkat(tmp, name, 0);
	}
	close(tmp);
}

/* --- by counting --- */

/* Counts a file from its beginning. 0, or -1 with errno. */
static int
count_file(int fd, uint64_t *wire_octets, uint64_t *file_octets)
{
	struct dots_counter counter;
	char block[BLOCK_OCTETS];

	*file_octets = 0;
	dots_count_start(&counter, DOTS_POP3);
	for (;;) {
		ssize_t count = read(fd, block, sizeof block);

		if (count == 0)
			break;
		if (count > 0) {
			dots_count(&counter, block, (size_t)count);
			*file_octets += (uint64_t)count;
		} else if (errno != EINTR) {
			return -1;
		}
	}
	*wire_octets = dots_count_finish(&counter);
	return 0;
}

/* Counts a message's file; known if it is what it was when it was opened. */
static void
count_message(struct maildrop *drop, struct maildrop_message *message,
	struct maildrop_size *size)
{
	struct stat status;
	int fd = maildrop_message_open(drop, message, &status);

	if (fd < 0)
		return;
	if (count_file(fd, &size->wire_octets, &size->file_octets) == 0) {
		size->is_known = 1;
		size->modified_ns = modified_ns(&status);
		drop->counted++;
	}
	close(fd);
}

/* --- all of it --- */

static struct maildrop_size *
size_of(struct maildrop *drop, const struct maildrop_message *message)
{
	if (drop->size == NULL) {
		drop->size = calloc(drop->messages, sizeof *drop->size);
		if (drop->size == NULL)
			return NULL;
		read_cache(drop);
	}
	return &drop->size[message - drop->message];
}

uint64_t
maildrop_octets(struct maildrop *drop, struct maildrop_message *message)
{
	uint64_t wire_octets, file_octets;

	if (sizes_in_name(message, &wire_octets, &file_octets))
		return wire_octets;
	struct maildrop_size *size = size_of(drop, message);
	if (size == NULL)
		return 0;
	if (!size->is_known)
		count_message(drop, message, size);
	return size->is_known ? size->wire_octets : 0;
}

int
maildrop_is_unchanged(struct maildrop *drop,
	const struct maildrop_message *message, const struct stat *status)
{
	uint64_t wire_octets, file_octets;

	if (status->st_ino != message->inode)
		return 0;
	if (sizes_in_name(message, &wire_octets, &file_octets))
		return (uint64_t)status->st_size == file_octets;
	if (drop->size == NULL)
		return 0;
	struct maildrop_size *size = &drop->size[message - drop->message];
	if (size->is_known && size->file_octets == (uint64_t)status->st_size &&
		size->modified_ns == modified_ns(status))
		return 1;
	size->is_known = 0;
	return 0;
}
