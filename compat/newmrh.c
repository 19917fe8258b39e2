#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <skalibs/cdbmake.h>
#include "compat/names.h"
#include "lib/durable.h"
#include "lib/home.h"
#include "lib/outcome.h"

#define NAME "qmail-newmrh"
#define LINE_MAX_OCTETS 1000

/* Each line of the list, in lower case, as a key without data. */
static int
compile(FILE *list, int fd)
{
	cdbmaker maker = CDBMAKER_ZERO;
	char line[LINE_MAX_OCTETS];

	if (!cdbmake_start(&maker, fd))
		return -1;
	while (fgets(line, sizeof line, list) != NULL) {
		size_t length = strlen(line);

		if (length + 1 == sizeof line && line[length - 1] != '\n') {
			errno = EMSGSIZE;
			return -1;
		}
		while (length > 0 && isspace((unsigned char)line[length - 1]))
			length--;
		for (size_t i = 0; i < length; i++)
			line[i] = (char)tolower((unsigned char)line[i]);
		if (length > 0 && line[0] != '#' &&
			!cdbmake_add(&maker, line, (uint32_t)length, "", 0))
			return -1;
	}
	return ferror(list) || !cdbmake_finish(&maker) ? -1 : 0;
}

static int
replace(int folder, FILE *list)
{
	static const char new[] = "morercpthosts.tmp";

	unlinkat(folder, new, 0);
	int fd = durable_create(folder, new, 0644);
	if (fd < 0)
		return -1;
	if (compile(list, fd) == 0 && fchmod(fd, 0644) == 0 &&
		durable_sync_file(fd) == 0 &&
		renameat(folder, new, folder, "morercpthosts.cdb") == 0) {
		close(fd);
		return durable_sync_folder(folder);
	}
	int error = errno;
	close(fd);
	unlinkat(folder, new, 0);
	errno = error;
	return -1;
}

int
newmrh_main(int argc, char **argv)
{
	char path[HOME_NAME_MAX], why[400];
	struct home home;
	int status = 0;

	(void)argv;
	if (argc > 1)
		return names_fail(STATUS_MISUSE, NAME, "it has no options", "");
	if (home_open(&home, why, sizeof why) < 0)
		return names_fail(STATUS_TEMPORARY, NAME, why, "");
	umask(022);
	home_path(&home, "control", path);
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FILE *list =
		fopen(home_path(&home, "control/morercpthosts", path), "re");
	if (folder < 0 || list == NULL)
		status = names_fail(
			STATUS_TEMPORARY, NAME, path, strerror(errno));
	else if (replace(folder, list) < 0)
		status = names_fail(STATUS_TEMPORARY, NAME,
			"control/morercpthosts.cdb", strerror(errno));
	if (list != NULL)
		fclose(list);
	if (folder >= 0)
		close(folder);
	return status;
}
