#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "queue/wakeup.h"

#define FIFO_OCTETS (256 * 1024)
/* What one call of wakeup_read takes: the FIFO twice over. */
#define READ_MAX ((size_t)2 * FIFO_OCTETS)

int
wakeup_open_reader(int queue_folder, const char *name, unsigned mode)
{
	struct stat st;

	if (fstatat(queue_folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		!S_ISFIFO(st.st_mode)) {
		(void)unlinkat(queue_folder, name, 0);
		if (mkfifoat(queue_folder, name, mode) < 0)
			return -1;
	}
	/* Reading and writing: with a writer of its own it never ends. */
	int fd = openat(queue_folder, name,
		O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		(void)fcntl(fd, F_SETPIPE_SZ, FIFO_OCTETS);
	return fd;
}

static int
line_is_sound(const char *line, size_t length)
{
	if (length == 0 || length > WAKEUP_LINE_MAX)
		return 0;
	for (size_t i = 0; i < length; i++) {
		char c = line[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			    c == '.' || c == '/' || c == '_' || c == '-'))
			return 0;
	}
	return 1;
}

/*
 * A line is in the pipe whole or not at all, because it is shorter than PIPE_BUF;
 * only the end of our buffer can cut one, and then its rest comes with the next
 * read.
 */
size_t
wakeup_read(
	int fd, void (*each)(void *context, const char *line), void *context)
{
	char buffer[16 * 1024];
	size_t held = 0, given = 0, taken = 0;
	ssize_t got;

	/* bounded, or one that writes without end would never let us go */
	while (taken < READ_MAX &&
		(got = read(fd, buffer + held, sizeof buffer - 1 - held)) > 0) {
		size_t length = held + (size_t)got, start = 0;

		taken += (size_t)got;
		for (;;) {
			char *end =
				memchr(buffer + start, '\n', length - start);
			if (end == NULL)
				break;
			*end = 0;
			size_t line = (size_t)(end - buffer) - start;
			if (line_is_sound(buffer + start, line)) {
				each(context, buffer + start);
				given++;
			}
			start += line + 1;
		}
		held = length - start;
		if (held > WAKEUP_LINE_MAX)
			held = 0; /* not a line of ours */
		memmove(buffer, buffer + start, held);
	}
	return given;
}

/* True if the name still leads to the FIFO that is open. */
static int
is_current(const struct wakeup_writer *writer, int queue_folder)
{
	struct stat name, open_one;

	return fstatat(queue_folder, writer->name, &name,
		       AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstat(writer->fd, &open_one) == 0 &&
	       name.st_ino == open_one.st_ino && name.st_dev == open_one.st_dev;
}

void
wakeup_prepare(struct wakeup_writer *writer, int queue_folder)
{
	if (writer->fd >= 0 && !is_current(writer, queue_folder)) {
		close(writer->fd);
		writer->fd = -1;
	}
	if (writer->fd < 0)
		writer->fd = openat(queue_folder, writer->name,
			O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
}

void
wakeup_write(struct wakeup_writer *writer, const char *line)
{
	char octets[WAKEUP_LINE_MAX + 1];
	size_t length = strlen(line);

	if (length > WAKEUP_LINE_MAX || writer->fd < 0)
		return;
	memcpy(octets, line, length);
	octets[length] = '\n';
	if (write(writer->fd, octets, length + 1) < 0 && errno == EPIPE) {
		close(writer->fd);
		writer->fd = -1;
	}
}

void
wakeup_ring(struct wakeup_writer *writer, int queue_folder, const char *line)
{
	wakeup_prepare(writer, queue_folder);
	wakeup_write(writer, line);
}
