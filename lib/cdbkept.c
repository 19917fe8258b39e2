#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include "lib/cdbkept.h"

void
cdbkept_at(struct cdbkept *kept, const char *path)
{
	*kept = (struct cdbkept){.is_open = false};
	snprintf(kept->path, sizeof kept->path, "%s", path);
}

void
cdbkept_close(struct cdbkept *kept)
{
	if (kept->is_open)
		cdbfile_close(&kept->file);
	kept->is_open = false;
}

static bool
is_same(const struct cdbkept *kept, const struct stat *st)
{
	return kept->is_open && kept->device == st->st_dev &&
	       kept->inode == st->st_ino && kept->octets == st->st_size &&
	       kept->changed.tv_sec == st->st_mtim.tv_sec &&
	       kept->changed.tv_nsec == st->st_mtim.tv_nsec;
}

int
cdbkept_fresh(struct cdbkept *kept)
{
	struct stat st;

	if (lstat(kept->path, &st) < 0) {
		int saved = errno;

		cdbkept_close(kept);
		errno = saved;
		return saved == ENOENT ? 0 : -1;
	}
	if (is_same(kept, &st))
		return 1;
	cdbkept_close(kept);
	/* If it is replaced between stat and open, the next question finds the
	 * numbers of the older one to differ, and opens it again. */
	if (cdbfile_open(&kept->file, kept->path) < 0)
		return errno == ENOENT ? 0 : -1;
	kept->is_open = true;
	kept->device = st.st_dev;
	kept->inode = st.st_ino;
	kept->octets = st.st_size;
	kept->changed = st.st_mtim;
	return 1;
}
