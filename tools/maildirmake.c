/*
 * maildirmake makes a Maildir: a folder with tmp, new and cur in it.
 *
 * Runs as whoever wants the Maildir.
 * Is handed the folder's name, which must be free.
 * Promises that all of it stands on disk, for nobody but its owner, when it ends
 * with 0.
 * Never touches what is there already.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/outcome.h"
#include "tools/maildir_make.h"

static int
complain(const char *name)
{
	int error = errno;

	fprintf(stderr, "maildirmake: %s: %s\n", name, strerror(error));
	return error == EEXIST || error == ENOENT || error == ENOTDIR ||
			       error == EACCES || error == EPERM
		       ? STATUS_MISUSE
		       : STATUS_TEMPORARY;
}

int
main(int argc, char **argv)
{
	int next = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1;

	if (argc != next + 1 || *argv[next] == 0 ||
		(next == 1 && *argv[1] == '-')) {
		fputs("usage: maildirmake DIR\n", stderr);
		return STATUS_MISUSE;
	}
	const char *name = argv[next];
	umask(077);
	if (mkdir(name, 0700) < 0)
		return complain(name);
	int fd = open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || maildir_make_inner(fd, (uid_t)-1, (gid_t)-1) < 0)
		return complain(name);
	close(fd);
	return STATUS_DONE;
}
