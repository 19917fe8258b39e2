#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/ident.h"
#include "lib/log.h"
#include "queue/room.h"

#define COUNT_MS 1000

enum submit_code
room_on_disk(int fd, const struct room_left *left, uint64_t octets,
	char why[ROOM_TEXT_MAX])
{
	struct statvfs disk;

	why[0] = 0;
	if (fstatvfs(fd, &disk) < 0) {
		snprintf(why, ROOM_TEXT_MAX, "free space of the queue: %s",
			strerror(errno));
		return SUBMIT_WRITE;
	}
	uint64_t room = (uint64_t)disk.f_bavail * disk.f_frsize;
	if (room < left->octets || octets > room - left->octets) {
		snprintf(why, ROOM_TEXT_MAX,
			"no room on the queue's disk: %" PRIu64
			" KiB are free, %" PRIu64 " stay so",
			room >> 10, left->octets >> 10);
		return SUBMIT_WRITE;
	}
	/* some file systems have no fixed number of inodes, and say 0 */
	if (disk.f_files != 0 && disk.f_favail < left->inodes) {
		snprintf(why, ROOM_TEXT_MAX,
			"no room on the queue's disk: %" PRIu64
			" inodes are free, %" PRIu64 " stay so",
			(uint64_t)disk.f_favail, left->inodes);
		return SUBMIT_WRITE;
	}
	return SUBMIT_ACCEPTED;
}

/* A folder that cannot be read cannot be written either, and whoever tries says
 * so. */
static uint64_t
count_files(int folder)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *names = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	uint64_t count = 0;

	if (names == NULL) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while ((entry = readdir(names)) != NULL)
		count += (uint64_t)ident_valid(
			entry->d_name, strlen(entry->d_name));
	closedir(names);
	return count;
}

static bool
has_too_many(struct room *room, uint64_t limit)
{
	bool is_counted = room->counted_ms != 0;

	if (is_counted && room->files < limit)
		return false;
	if (!is_counted || room->made > room->incoming_max / 8 ||
		deadline_left_ms(room->counted_ms + COUNT_MS) == 0) {
		room->files = count_files(room->folder);
		room->made = 0;
		room->counted_ms = deadline_now_ms();
	}
	return room->files >= limit;
}

void
room_file_made(struct room *room)
{
	room->files++;
	room->made++;
}

void
room_file_removed(struct room *room)
{
	if (room->files > 0)
		room->files--;
}

/* The limits, or while it is closed stricter ones. */
static enum submit_code
look(struct room *room, char why[ROOM_TEXT_MAX])
{
	struct room_left left = room->left;
	uint64_t incoming_max = room->incoming_max;

	if (room->refusal != SUBMIT_ACCEPTED) {
		left.octets += left.octets / 16;
		left.inodes += left.inodes / 16;
		incoming_max -= incoming_max / 8;
	}
	if (room_on_disk(room->folder, &left, 0, why) != SUBMIT_ACCEPTED)
		return SUBMIT_WRITE;
	if (!has_too_many(room, incoming_max))
		return SUBMIT_ACCEPTED;
	snprintf(why, ROOM_TEXT_MAX,
		"no room in the queue: %" PRIu64
		" messages wait for queue-runner",
		room->files);
	return SUBMIT_BUSY;
}

bool
room_is_open(struct room *room)
{
	char why[ROOM_TEXT_MAX];
	enum submit_code refusal = look(room, why);

	if (refusal != SUBMIT_ACCEPTED && room->refusal == SUBMIT_ACCEPTED)
		log_line("refuses submissions: %s", why);
	if (refusal == SUBMIT_ACCEPTED && room->refusal != SUBMIT_ACCEPTED)
		log_line("submissions are taken again");
	room->refusal = refusal;
	memcpy(room->why, why, sizeof room->why);
	return refusal == SUBMIT_ACCEPTED;
}
