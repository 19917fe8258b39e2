#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/durable.h"
#include "tools/maildir_make.h"

int
maildir_make_folder(
	int parent, const char *name, mode_t mode, uid_t uid, gid_t gid)
{
	struct stat st;
	/* Until it has its owner it has no mode: so who comes after one who was
	 * killed in between knows it, and ends the work. */
	bool is_given = uid != (uid_t)-1 && uid != geteuid();
	bool is_new = mkdirat(parent, name, is_given ? 0 : 0700) == 0;

	if (!is_new && errno != EEXIST)
		return -1;
	int fd = openat(
		parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		goto close_folder;
	/* Ours to give away only if it is one that we made. */
	bool is_ours = st.st_uid == geteuid() || (is_given && st.st_uid == uid);
	if (is_given && (st.st_mode & 07777) == 0)
		is_new = true;
	if (is_new && is_ours) {
		if ((uid == (uid_t)-1 || fchown(fd, uid, gid) == 0) &&
			fchmod(fd, mode) == 0 &&
			durable_sync_folder(parent) == 0)
			return fd;
		goto close_folder;
	}
	if (!is_new && (uid == (uid_t)-1 || st.st_uid == uid || st.st_uid == 0))
		return fd;
	errno = EPERM;

close_folder:;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

int
maildir_make_inner(int folder, uid_t uid, gid_t gid)
{
	static const char *const name[] = {"tmp", "new", "cur"};

	for (unsigned i = 0; i < 3; i++) {
		int fd = maildir_make_folder(folder, name[i], 0700, uid, gid);

		if (fd < 0)
			return -1;
		close(fd);
	}
	return durable_sync_folder(folder);
}
