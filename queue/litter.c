#include "queue/litter.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/ident.h"
#include "lib/log.h"
#include "queue/message_file.h"

void
litter_remove(int incoming, const char *id, bool was_killed)
{
	struct message_header header;

	if (!was_killed) {
		if (unlinkat(incoming, id, 0) < 0 && errno != ENOENT)
			log_line("cannot remove queue/incoming/%s: %s", id,
				strerror(errno));
		return;
	}
	int file = openat(incoming, id, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (file < 0)
		return;
	enum message_result result = message_read_header(file, &header);
	if (result == MESSAGE_BAD || (result == MESSAGE_OK && !header.marked))
		(void)unlinkat(incoming, id, 0);
	close(file);
}

void
litter_clear(int incoming)
{
	int again = openat(incoming, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = again < 0 ? NULL : fdopendir(again);
	struct message_header header;
	struct dirent *entry;
	struct stat st;

	if (folder == NULL) {
		log_line("cannot read queue/incoming: %s", strerror(errno));
		if (again >= 0)
			close(again);
		return;
	}
	while ((entry = readdir(folder)) != NULL) {
		if (!ident_valid(entry->d_name, strlen(entry->d_name)))
			continue;
		int file = openat(incoming, entry->d_name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (file < 0)
			continue;
		if (flock(file, LOCK_EX | LOCK_NB) == 0 &&
			fstat(file, &st) == 0 &&
			(st.st_size == 0 || (message_read_header(file,
						     &header) == MESSAGE_OK &&
						    !header.marked)))
			(void)unlinkat(incoming, entry->d_name, 0);
		close(file);
	}
	closedir(folder);
}
