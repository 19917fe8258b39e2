#include "tools/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_OCTETS 65536

static int
write_all(int fd, const char *octets, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, octets, length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		octets += n;
		length -= (size_t)n;
	}
	return 0;
}

/* A file that no name leads to. */
static int
open_nameless(void)
{
	const char *folder = getenv("TMPDIR");
	char name[] = "/tmp/keepmail.XXXXXX";
	int fd;

	if (folder == NULL || folder[0] != '/')
		folder = "/tmp";
	fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	/* A file system without O_TMPFILE. */
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0)
		unlink(name);
	return fd;
}

enum spool_result
spool_put(struct spool *spool, const char *octets, size_t length)
{
	size_t here = SPOOL_MEMORY_OCTETS - spool->held;

	if (length > SPOOL_MAX - spool->octets)
		return SPOOL_TOO_LONG;
	if (here > length)
		here = length;
	for (size_t i = 0; i < length && !spool->eight_bit; i++)
		spool->eight_bit = (octets[i] & 0x80) != 0;
	spool->nul |= memchr(octets, 0, length) != NULL;
	memcpy(spool->memory + spool->held, octets, here);
	spool->held += here;
	if (here < length) {
		if (spool->fd < 0)
			spool->fd = open_nameless();
		if (spool->fd < 0 ||
			write_all(spool->fd, octets + here, length - here) < 0)
			return SPOOL_WRITE;
	}
	spool->octets += length;
	return SPOOL_OK;
}

/*
 * The octets of a chunk before a line that is a dot alone; *ended is set if
 * there is one. A dot at the start of a line is held back (in spool->dot, with
 * the CR after it as 2) until the next octet decides.
 */
static enum spool_result
spool_add_lines(
	struct spool *spool, const char *octets, size_t length, int *ended)
{
	static const char held_back[] = ".\r";
	enum spool_result result;
	size_t start = 0;

	for (size_t i = 0; i < length; i++) {
		char c = octets[i];

		if (spool->dot && c == '\n') {
			*ended = 1;
			return SPOOL_OK;
		}
		if (spool->dot == 1 && c == '\r') {
			spool->dot = 2;
			start = i + 1;
			continue;
		}
		if (spool->dot) {
			result =
				spool_put(spool, held_back, (size_t)spool->dot);
			if (result != SPOOL_OK)
				return result;
			spool->dot = 0;
			start = i;
		}
		if (spool->at_line && c == '.') {
			result = spool_put(spool, octets + start, i - start);
			if (result != SPOOL_OK)
				return result;
			spool->dot = 1;
			start = i + 1;
		}
		spool->at_line = c == '\n';
	}
	return spool_put(spool, octets + start, length - start);
}

int
spool_start(struct spool *spool)
{
	spool->memory = malloc(SPOOL_MEMORY_OCTETS);
	return spool->memory == NULL ? -1 : 0;
}

enum spool_result
spool_read(int fd, int dot_ends, struct spool *spool)
{
	char chunk[CHUNK_OCTETS];
	enum spool_result result = SPOOL_OK;
	int ended = 0;

	if (spool_start(spool) < 0)
		return SPOOL_WRITE;
	while (!ended && result == SPOOL_OK) {
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return SPOOL_READ;
		if (n == 0)
			break;
		if (dot_ends)
			result = spool_add_lines(
				spool, chunk, (size_t)n, &ended);
		else
			result = spool_put(spool, chunk, (size_t)n);
	}
	/* A dot without a line end, last of all, is a dot alone too. */
	return result;
}

int
spool_each(const struct spool *spool, uint64_t offset,
	int (*each)(void *context, const char *octets, size_t length),
	void *context)
{
	char chunk[CHUNK_OCTETS];
	int stopped;

	if (offset < spool->held) {
		stopped = each(context, spool->memory + offset,
			spool->held - (size_t)offset);
		if (stopped != 0)
			return stopped;
		offset = spool->held;
	}
	while (offset < spool->octets) {
		ssize_t n = pread(spool->fd, chunk, sizeof(chunk),
			(off_t)(offset - spool->held));
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO;
		if (n <= 0)
			return -1;
		stopped = each(context, chunk, (size_t)n);
		if (stopped != 0)
			return stopped;
		offset += (size_t)n;
	}
	return 0;
}

void
spool_free(struct spool *spool)
{
	free(spool->memory);
	if (spool->fd >= 0)
		close(spool->fd);
	*spool = SPOOL_EMPTY;
}
