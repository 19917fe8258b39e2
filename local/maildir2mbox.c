/*
 * maildir2mbox moves the messages of the Maildir $MAILDIR to the end of the mbox
 * $MAIL, for programs that read no Maildir.
 *
 * Runs as the owner of both.
 * Is handed nothing else; $MAILTMP, which other programs of that name need, is not
 * used.
 * Promises that a message leaves the Maildir only after it stands in the mbox, on
 * disk; one may stand there twice if the power fails meanwhile.
 * Never touches tmp, nor what is no file.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/fields.h"
#include "lib/outcome.h"
#include "local/command.h"
#include "local/environment.h"
#include "local/mbox.h"

#define HEAD_MAX 65536

static int
complain(const char *name)
{
	fprintf(stderr, "maildir2mbox: %s: %s\n", name, strerror(errno));
	return -1;
}

/* The sender, from the message's own Return-Path. */
static void
find_sender(int fd, char sender[1000])
{
	char *block = malloc(HEAD_MAX), text[1000];
	struct fields fields;
	struct field field;

	sender[0] = 0;
	ssize_t got = block != NULL ? pread(fd, block, HEAD_MAX, 0) : -1;
	fields_start(&fields, block, got > 0 ? (size_t)got : 0);
	while (got > 0 && fields_next(&fields, &field)) {
		if (!field_is(&field, "Return-Path"))
			continue;
		size_t length = field_unfold(&field, text, sizeof text);
		if (length >= 2 && text[0] == '<' && text[length - 1] == '>')
			snprintf(sender, 1000, "%.*s", (int)length - 2,
				text + 1);
		break;
	}
	free(block);
}

/* 0; or -1 after a complaint. */
static int
move(int folder, const char *name, const char *mbox)
{
	char line[ENVIRONMENT_LINE_MAX], sender[1000];
	char text[OUTCOME_TEXT_MAX + 1];
	struct stat st;
	int result = -1;
	int fd = openat(
		folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) < 0) {
		if (fd >= 0)
			close(fd);
		/* another program has taken it meanwhile */
		return errno == ENOENT ? 0 : complain(name);
	}
	struct maildir_message message = {
		.fd = fd, .octets = (uint64_t)st.st_size, .trace = ""};
	find_sender(fd, sender);
	(void)environment_mbox_line(line, sender);
	if (!S_ISREG(st.st_mode))
		result = 0;
	else if (mbox_deliver(AT_FDCWD, mbox, line, &message, MBOX_LOCK_MS,
			 text) != OUTCOME_DELIVERED)
		fprintf(stderr, "maildir2mbox: %s\n",
			text + strcspn(text, " ") + 1);
	else
		result = unlinkat(folder, name, 0) < 0 ? complain(name) : 0;
	close(fd);
	return result;
}

static int
by_name(const struct dirent **left, const struct dirent **right)
{
	long long one = atoll((*left)->d_name), other = atoll((*right)->d_name);

	if (one != other)
		return one < other ? -1 : 1;
	return strcmp((*left)->d_name, (*right)->d_name);
}

static int
is_message(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int
move_all(const char *maildir, const char *sub, const char *mbox)
{
	char path[4096];
	struct dirent **entry;
	int result = 0;

	snprintf(path, sizeof path, "%s/%s", maildir, sub);
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int entries =
		folder < 0 ? -1 : scandir(path, &entry, is_message, by_name);
	if (entries < 0)
		result = complain(path);
	for (int i = 0; i < entries; i++) {
		if (result == 0)
			result = move(folder, entry[i]->d_name, mbox);
		free(entry[i]);
	}
	if (entries >= 0)
		free(entry);
	if (folder >= 0)
		close(folder);
	return result;
}

int
main(int argc, char **argv)
{
	(void)argv;
	const char *maildir = argc > 1 ? NULL : command_variable("MAILDIR");
	const char *mbox = argc > 1 ? NULL : command_variable("MAIL");

	if (maildir == NULL || mbox == NULL) {
		fputs("usage: maildir2mbox, with $MAILDIR and $MAIL set\n",
			stderr);
		return STATUS_MISUSE;
	}
	umask(077);
	return move_all(maildir, "cur", mbox) == 0 &&
			       move_all(maildir, "new", mbox) == 0
		       ? STATUS_DONE
		       : STATUS_TEMPORARY;
}
