#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "lib/dots.h"
#include "lib/durable.h"
#include "local/maildir.h"
#include "local/way.h"

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define COPY_SIZE 65536
/* Of the host in a file name, in octets. */
#define HOST_MAX 100

/* Where a delivery stands: descriptors are -1 until they are open. */
struct delivery {
	const struct maildir_message *message;
	int maildir, tmp, new, file;
	char name[NAME_MAX + 1];	    /* below tmp/ */
	char final_name[NAME_MAX + 1 + 64]; /* below new/ */
	uint64_t size, wire_size;
	const char *doing; /* for the text, should it fail */
};

static int
open_child(int folder, const char *name, bool create)
{
	int fd = openat(folder, name, FOLDER_FLAGS);

	if (fd >= 0 || errno != ENOENT || !create)
		return fd;
	if (mkdirat(folder, name, 0700) < 0 && errno != EEXIST)
		return -1;
	if (way_sync(folder) < 0)
		return -1;
	return openat(folder, name, FOLDER_FLAGS);
}

static int
open_path(int folder, const char *path, bool create)
{
	char last[NAME_MAX + 1];
	int parent = way_open(folder, path, last);
	int fd = parent < 0 ? -1 : open_child(parent, last, create);

	way_close(parent);
	return fd;
}

static int
open_maildir(
	struct delivery *delivery, int folder, const char *path, bool create)
{
	struct stat st;

	delivery->doing = "open the Maildir";
	delivery->maildir = open_path(folder, path, create);
	if (delivery->maildir < 0 || fstat(delivery->maildir, &st) < 0)
		return -1;
	if (st.st_uid != geteuid()) {
		delivery->doing = "use a Maildir of another owner";
		errno = EPERM;
		return -1;
	}
	delivery->doing = "open tmp, new and cur";
	delivery->tmp = open_child(delivery->maildir, "tmp", true);
	delivery->new = open_child(delivery->maildir, "new", true);
	if (delivery->tmp < 0 || delivery->new < 0)
		return -1;
	int cur = open_child(delivery->maildir, "cur", true);
	if (cur < 0)
		return -1;
	close(cur);
	return 0;
}

/* The host as it may stand in a file name: what would mean something there is
 * written as an octal escape. */
static void
write_host(char buffer[HOST_MAX + 1], const char *host)
{
	size_t length = 0;

	for (; *host != 0; host++) {
		unsigned char octet = (unsigned char)*host;
		bool plain = octet > 32 && octet < 127 &&
			     strchr("/:,\\", octet) == NULL;

		if (length + (plain ? 1 : 4) > HOST_MAX)
			break;
		if (plain)
			buffer[length++] = *host;
		else
			length += (size_t)snprintf(buffer + length,
				HOST_MAX + 1 - length, "\\%03o", octet);
	}
	buffer[length] = 0;
}

static int
create_file(struct delivery *delivery, unsigned number)
{
	struct timespec now;
	char host[HOST_MAX + 1];

	delivery->doing = "create a file in tmp";
	write_host(host, delivery->message->host);
	if (clock_gettime(CLOCK_REALTIME, &now) < 0)
		return -1;
	snprintf(delivery->name, sizeof delivery->name, "%lld.M%06ldP%ldQ%u.%s",
		(long long)now.tv_sec, now.tv_nsec / 1000, (long)getpid(),
		number, host);
	delivery->file = durable_create(delivery->tmp, delivery->name, 0600);
	return delivery->file < 0 ? -1 : 0;
}

static int
write_counted(struct delivery *delivery, struct dots_counter *counter,
	const char *octets, size_t length)
{
	dots_count(counter, octets, length);
	delivery->size += length;
	return durable_write_all(delivery->file, octets, length);
}

static int
write_file(struct delivery *delivery)
{
	const struct maildir_message *message = delivery->message;
	struct dots_counter counter;
	char buffer[COPY_SIZE];
	uint64_t done = 0;

	delivery->doing = "write the message";
	dots_count_start(&counter, DOTS_POP3);
	if (write_counted(delivery, &counter, message->trace,
		    strlen(message->trace)) < 0)
		return -1;
	while (done < message->octets) {
		uint64_t left = message->octets - done;
		ssize_t got = pread(message->fd, buffer,
			left < COPY_SIZE ? (size_t)left : COPY_SIZE,
			(off_t)(message->offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			errno = EIO; /* the message is shorter than promised */
		if (got <= 0)
			return -1;
		if (write_counted(delivery, &counter, buffer, (size_t)got) < 0)
			return -1;
		done += (uint64_t)got;
	}
	delivery->wire_size = dots_count_finish(&counter);
	return 0;
}

/* Makes the file durable and gives it its name in new/. */
static int
finish_file(struct delivery *delivery)
{
	delivery->doing = "sync the message";
	if (durable_sync_file(delivery->file) < 0)
		return -1;
	int file = delivery->file;
	delivery->file = -1;
	if (close(file) < 0)
		return -1;
	snprintf(delivery->final_name, sizeof delivery->final_name,
		"%s,S=%llu,W=%llu", delivery->name,
		(unsigned long long)delivery->size,
		(unsigned long long)delivery->wire_size);
	delivery->doing = "move the message into new";
	if (durable_publish(delivery->tmp, delivery->name, delivery->new,
		    delivery->final_name) < 0)
		return -1;
	delivery->name[0] = 0; /* nothing is left in tmp */
	delivery->doing = "sync new";
	if (durable_sync_folder(delivery->new) == 0)
		return 0;
	int saved = errno;
	(void)unlinkat(delivery->new, delivery->final_name, 0);
	errno = saved;
	return -1;
}

enum outcome
maildir_deliver(int folder, const char *path, bool create,
	const struct maildir_message *message, unsigned number,
	char text[OUTCOME_TEXT_MAX + 1])
{
	struct delivery delivery = {.message = message,
		.maildir = -1,
		.tmp = -1,
		.new = -1,
		.file = -1};
	enum outcome outcome = OUTCOME_DELIVERED;

	text[0] = 0;
	if (open_maildir(&delivery, folder, path, create) < 0 ||
		create_file(&delivery, number) < 0) {
		outcome = OUTCOME_DEFERRED;
		way_explain(delivery.doing, path, errno, text);
	} else if (write_file(&delivery) < 0 || finish_file(&delivery) < 0) {
		outcome = OUTCOME_DEFERRED;
		way_explain(delivery.doing, path, errno, text);
		if (delivery.name[0] != 0)
			(void)unlinkat(delivery.tmp, delivery.name, 0);
	}
	way_close(delivery.file);
	way_close(delivery.tmp);
	way_close(delivery.new);
	way_close(delivery.maildir);
	return outcome;
}
