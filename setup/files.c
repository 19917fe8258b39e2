#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "setup/setup.h"

#define TOOL_MS 60000

const char *
setup_path(const struct setup *setup, const char *relative,
	char path[SETUP_PATH_MAX])
{
	snprintf(path, SETUP_PATH_MAX, "%s/%s", setup->home, relative);
	return path;
}

int
setup_tool(struct setup *setup, const char *tool, const char *first,
	const char *second, const char *third, const char *input)
{
	char path[SETUP_PATH_MAX];
	/* execv changes none of them */
	char *argv[] = {
		path, (char *)first, (char *)second, (char *)third, NULL};

	snprintf(path, sizeof path, "%s/%s", setup->programs, tool);
	return run_program(
		&setup->run, argv, input, deadline_after_ms(TOOL_MS));
}

enum finding
setup_internet(const struct setup *setup, enum finding result)
{
	return setup->is_loopback && result == FINDING_FAIL ? FINDING_WARN
							    : result;
}

int
setup_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	size_t used = 0;
	ssize_t count = 1;

	text[0] = '\0';
	if (fd < 0)
		return -1;
	while (count > 0 && used < size - 1) {
		count = read(fd, text + used, size - 1 - used);
		if (count > 0)
			used += (size_t)count;
	}
	int saved = errno;
	close(fd);
	text[used] = '\0';
	errno = saved;
	return count < 0 ? -1 : 0;
}

bool
setup_has_line(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *next; *text != '\0'; text = next) {
		size_t line = strcspn(text, "\n");

		next = text + line + (text[line] != '\0');
		line = strcspn(text, "\t\n");
		while (line > 0 &&
			(text[line - 1] == ' ' || text[line - 1] == '\r'))
			line--;
		if (line == len && strncasecmp(text, word, len) == 0)
			return true;
	}
	return false;
}

/* Writes all of it and syncs. 0, or -1 with errno. */
static int
fill(int fd, const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		ssize_t count = write(fd, text, left);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -1;
		text += count;
		left -= (size_t)count;
	}
	return fchmod(fd, 0644) < 0 || fsync(fd) < 0 ? -1 : 0;
}

int
setup_write_new(const char *path, const char *text)
{
	char new[SETUP_PATH_MAX + 30];
	int result = -1;

	snprintf(new, sizeof new, "%s.new.%ld", path, (long)getpid());
	int fd = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	/* link() does not replace what somebody else made meanwhile */
	if (fill(fd, text) == 0 && link(new, path) == 0)
		result = 0;
	int saved = errno;
	close(fd);
	unlink(new);
	errno = saved;
	return result;
}
