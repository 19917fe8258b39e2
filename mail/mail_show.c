/*
 * mail-show shows a message as a person reads it, and saves its attachments.
 *
 * Runs as whoever reads the mail.
 * Is handed a message, or a Maildir and which message of it.
 * Promises to change nothing but to make the files that --save names, and to print
 * no control character that stood in a message.
 * Never follows a name from a message out of the folder that it saves into, never
 * writes over a file, and never fetches or runs anything.
 */

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/outcome.h"
#include "lib/sanitized.h"
#include "mail/charset.h"
#include "mail/save.h"
#include "mail/show.h"
#include "tools/plain.h"

/* What the child that reads a message may take. */
#define CPU_S 60
#define MEMORY_OCTETS ((rlim_t)3 << 29)

struct call {
	struct show_options show;
	const char *save;    /* "all" or a number; NULL: nothing */
	const char *save_to; /* the folder */
	const char *source;  /* file or Maildir; NULL: the caller's Maildir */
	const char *wanted;  /* number or name in it, or NULL */
};

static int
usage(void)
{
	fputs("usage: mail-show [--json] [--fields] [--charset NAME]\n"
	      "                 [--save NUMBER DIR | --save-all DIR]\n"
	      "                 [- | FILE | MAILDIR [NUMBER | NAME]]\n",
		stderr);
	return STATUS_MISUSE;
}

static int
complain(const char *what, const char *why)
{
	fputs("mail-show: ", stderr);
	plain_text(stderr, what);
	fprintf(stderr, ": %s\n", why);
	return errno == ENOMEM || errno == EIO || errno == ENOSPC ||
			       errno == EDQUOT || errno == EMFILE ||
			       errno == ENFILE || errno == EROFS
		       ? STATUS_TEMPORARY
		       : STATUS_MISUSE;
}

/* The charset of the terminal, NULL for UTF-8; the C locale has none. */
static const char *
terminal_charset(void)
{
	const char *name;

	if (setlocale(LC_CTYPE, "") == NULL)
		return NULL;
	name = nl_langinfo(CODESET);
	return strcmp(name, "UTF-8") == 0 || strcmp(name, "ANSI_X3.4-1968") == 0
		       ? NULL
		       : name;
}

static int
parse_option(struct call *call, int argc, char **argv, int *at)
{
	const char *option = argv[*at];
	int left = argc - *at - 1;

	if (strcmp(option, "--json") == 0) {
		call->show.is_json = true;
	} else if (strcmp(option, "--fields") == 0) {
		call->show.all_fields = true;
	} else if (strcmp(option, "--charset") == 0 && left > 0) {
		call->show.charset = argv[++*at];
	} else if (strcmp(option, "--save") == 0 && left > 1) {
		call->save = argv[++*at];
		call->save_to = argv[++*at];
		if (strspn(call->save, "0123456789") != strlen(call->save) ||
			strlen(call->save) == 0 || strlen(call->save) > 6)
			return -1;
	} else if (strcmp(option, "--save-all") == 0 && left > 0) {
		call->save = "all";
		call->save_to = argv[++*at];
	} else {
		return -1;
	}
	return 0;
}

static int
parse(struct call *call, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && argv[i][0] == '-' && argv[i][1] != 0; i++) {
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		if (parse_option(call, argc, argv, &i) < 0)
			return -1;
	}
	if (argc - i > 2)
		return -1;
	if (i < argc)
		call->source = argv[i++];
	if (i < argc)
		call->wanted = argv[i];
	return 0;
}

/* --- saving --------------------------------------------------------------- */

static int
save_one(const struct call *call, int folder, const struct message *message,
	size_t number)
{
	char name[NAME_MAX_OCTETS + 8];

	if (save_part(folder, &message->parts[number - 1], (unsigned)number,
		    name) < 0)
		return complain(call->save_to, strerror(errno));
	printf("[%zu] ", number);
	plain_text(stdout, call->save_to);
	putchar('/');
	charset_print(stdout, call->show.charset, name, strlen(name), 0);
	putchar('\n');
	return STATUS_DONE;
}

static int
save(const struct call *call, const struct message *message)
{
	size_t i, number = strtoul(call->save, NULL, 10);
	int status = STATUS_DONE, folder;

	if (strcmp(call->save, "all") != 0 &&
		(number < 1 || number > message->count)) {
		errno = EINVAL;
		return complain(call->save, "the message has no such part");
	}
	folder = open(call->save_to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return complain(call->save_to, strerror(errno));
	if (strcmp(call->save, "all") != 0)
		status = save_one(call, folder, message, number);
	else
		for (i = 0; i < message->count && status == STATUS_DONE; i++) {
			if (!message->parts[i].is_text)
				status = save_one(call, folder, message, i + 1);
		}
	close(folder);
	return status;
}

/* --- showing -------------------------------------------------------------- */

static int
show_descriptor(const struct call *call, int fd, const char *name)
{
	struct message message;
	int status = STATUS_DONE;

	if (message_read(fd, &message) < 0) {
		const char *why =
			errno == EBADMSG ? "there is no message in it"
			: errno == ELOOP ? "has groups of addresses without "
					   "end, to harm who reads it"
			: errno == EFBIG ? "is larger than 128 megabytes"
					 : strerror(errno);

		status = complain(name, why);
	} else if (call->save != NULL) {
		status = save(call, &message);
	} else if (show_message(&message, &call->show) < 0) {
		status = complain(name, strerror(errno));
	}
	message_free(&message);
	return status;
}

static int
show_maildir(const struct call *call, const char *path)
{
	struct folder folder;
	int status = STATUS_DONE;

	if (folder_read(path, &folder) < 0) {
		status = complain(path,
			errno == ENOTDIR ? "is neither message nor Maildir"
					 : strerror(errno));
	} else if (call->wanted == NULL && call->save == NULL) {
		if (show_folder(&folder, &call->show) < 0)
			status = complain(path, strerror(errno));
	} else if (call->wanted == NULL) {
		errno = EINVAL;
		status = complain(path, "say which message of it");
	} else {
		const struct folder_entry *entry =
			folder_find(&folder, call->wanted);
		int fd = entry == NULL ? -1 : folder_open(&folder, entry);

		if (fd < 0)
			status = complain(call->wanted,
				entry == NULL ? "no such message there"
					      : strerror(errno));
		else
			status = show_descriptor(call, fd, call->wanted);
		if (fd >= 0)
			close(fd);
	}
	folder_free(&folder);
	return status;
}

/* Without an argument: Maildir in the caller's home. */
static int
show_own(const struct call *call)
{
	const char *home = getenv("HOME");
	char path[4096];

	if (home == NULL || strlen(home) > sizeof(path) - 16)
		return usage();
	snprintf(path, sizeof(path), "%s/Maildir", home);
	return show_maildir(call, path);
}

static int
show(const struct call *call)
{
	int fd, status;

	if (call->source == NULL)
		return show_own(call);
	if (strcmp(call->source, "-") == 0)
		return call->wanted != NULL
			       ? usage()
			       : show_descriptor(call, 0, "standard input");
	fd = open(call->source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		close(fd);
		return show_maildir(call, call->source);
	}
	if (errno != ENOTDIR)
		return complain(call->source, strerror(errno));
	if (call->wanted != NULL)
		return complain(call->source, "is no Maildir");
	fd = open(call->source, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return complain(call->source, strerror(errno));
	status = show_descriptor(call, fd, call->source);
	close(fd);
	return status;
}

/*
 * The library's work is done in a child with bounds: whatever a message does to it,
 * this process says so in words.
 */
static int
show_in_child(const struct call *call)
{
	static const struct rlimit CPU = {CPU_S, CPU_S}, CORE = {0, 0};
	static const struct rlimit MEMORY = {MEMORY_OCTETS, MEMORY_OCTETS};
	int how, status;
	pid_t child = fork();

	if (child < 0)
		return complain("fork", strerror(errno));
	if (child == 0) {
		(void)setrlimit(RLIMIT_CPU, &CPU);
		(void)setrlimit(RLIMIT_CORE, &CORE);
		if (!SANITIZED)
			(void)setrlimit(RLIMIT_AS, &MEMORY);
		message_library_start();
		status = show(call);
		if ((fflush(stdout) == EOF || ferror(stdout)) &&
			status == STATUS_DONE) {
			fputs("mail-show: cannot write\n", stderr);
			status = STATUS_TEMPORARY;
		}
		exit(status);
	}
	while (waitpid(child, &how, 0) < 0) {
		if (errno != EINTR)
			return complain("waitpid", strerror(errno));
	}
	if (WIFEXITED(how))
		return WEXITSTATUS(how);
	if (WTERMSIG(how) == SIGPIPE)
		return STATUS_TEMPORARY;
	fprintf(stderr,
		"mail-show: a message could not be read within bounds"
		" (%d s, 1.5 GB of memory): %s\n",
		CPU_S, strsignal(WTERMSIG(how)));
	return STATUS_TEMPORARY;
}

int
main(int argc, char **argv)
{
	struct call call = {.show = {.charset = terminal_charset()}};

	if (parse(&call, argc, argv) < 0)
		return usage();
	if (call.show.charset != NULL && !charset_known(call.show.charset)) {
		errno = EINVAL;
		return complain(call.show.charset, "no such charset");
	}
	return show_in_child(&call);
}
