#include "mail/save.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "lib/durable.h"

#define TRIES 999

static int
create(int folder, const char *first, char name[NAME_MAX_OCTETS + 8])
{
	unsigned try;
	int fd;

	memcpy(name, first, strlen(first) + 1);
	fd = durable_create(folder, name, 0600);
	for (try = 2; fd < 0 && errno == EEXIST && try <= TRIES; try++) {
		name_variant(name, first, try);
		fd = durable_create(folder, name, 0600);
	}
	return fd;
}

int
save_part(int folder, const struct message_part *part, unsigned number,
	char name[NAME_MAX_OCTETS + 8])
{
	char first[NAME_MAX_OCTETS + 1];
	stralloc octets = STRALLOC_ZERO;
	int fd, error;

	if (message_content(part, &octets) < 0)
		return -1;
	name_for_file(first, part->name, part->type, number);
	fd = create(folder, first, name);
	if (fd < 0) {
		error = errno;
		stralloc_free(&octets);
		errno = error;
		return -1;
	}
	int result = durable_write_all(fd, octets.s, octets.len);
	if (result == 0)
		result = durable_sync_file(fd);
	if (result == 0)
		result = durable_sync_folder(folder);
	error = errno;
	close(fd);
	stralloc_free(&octets);
	if (result < 0)
		unlinkat(folder, name, 0);
	errno = error;
	return result;
}
