#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <skalibs/uint32.h>
#include "lib/cdbfile.h"

#define HEADS 256
#define HEADS_OCTETS (HEADS * 8)

/* Every hash table must lie behind the heads and within the map. The lowest of
 * them is where the records end. */
static int
check_heads(struct cdbfile *file)
{
	uint32_t lowest = file->map.size;

	for (unsigned i = 0; i < HEADS; i++) {
		uint32_t at, slots;

		uint32_unpack(file->map.map + i * 8, &at);
		uint32_unpack(file->map.map + i * 8 + 4, &slots);
		if (at < HEADS_OCTETS || at > file->map.size ||
			slots > (file->map.size - at) / 8)
			return -1;
		if (at < lowest)
			lowest = at;
	}
	file->end = lowest;
	return 0;
}

int
cdbfile_open(struct cdbfile *file, const char *path)
{
	struct stat st;
	int saved;

	file->map = cdb_zero;
	file->where = 0;
	file->end = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		goto close_file;
	errno = EBADMSG;
	if (!S_ISREG(st.st_mode) || st.st_size < HEADS_OCTETS)
		goto close_file;
	errno = EFBIG;
	if (st.st_size > CDBFILE_OCTETS_MAX || !cdb_init_fromfd(&file->map, fd))
		goto close_file;
	close(fd);
	if (file->map.size >= HEADS_OCTETS && check_heads(file) == 0)
		return 0;
	cdbfile_close(file);
	errno = EBADMSG;
	return -1;

close_file:
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

void
cdbfile_close(struct cdbfile *file)
{
	if (file->map.map != NULL)
		cdb_free(&file->map);
	file->map = cdb_zero;
}

int
cdbfile_find(const struct cdbfile *file, const char *key, size_t length,
	cdb_data *data)
{
	if (length > file->map.size)
		return 0;
	int found = cdb_find(&file->map, data, key, (uint32_t)length);
	if (found == 0)
		return 0;
	if (found > 0 && data->s >= file->map.map + HEADS_OCTETS &&
		data->s <= file->map.map + file->map.size &&
		data->len <= (size_t)(file->map.map + file->map.size - data->s))
		return 1;
	errno = EBADMSG;
	return -1;
}

int
cdbfile_next(struct cdbfile *file, cdb_data *key, cdb_data *data)
{
	if (file->where == 0)
		file->where = HEADS_OCTETS;
	if (file->where == file->end)
		return 0;
	errno = EBADMSG;
	uint32_t room = file->end - file->where;
	const char *at = file->map.map + file->where;
	if (room < 8)
		return -1;
	uint32_unpack(at, &key->len);
	uint32_unpack(at + 4, &data->len);
	room -= 8;
	if (key->len > room || data->len > room - key->len)
		return -1;
	key->s = at + 8;
	data->s = key->s + key->len;
	file->where += 8 + key->len + data->len;
	return 1;
}
