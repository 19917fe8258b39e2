/*
 * The small commands of .qmail files in one program, which does what its name says:
 * forward, condredirect, bouncesaying, except, preline, qreceipt.
 *
 * Runs as the owner of the mail, from a .qmail file.
 * Is handed the message on descriptor 0 and the delivery's variables.
 * Promises qmail's exit statuses: 0 done, 99 done and no further line, 100 failed
 * for good, 111 failed for now.
 * Never runs a shell.
 */

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "lib/addresslist.h"
#include "lib/date.h"
#include "lib/durable.h"
#include "lib/escape.h"
#include "lib/fields.h"
#include "lib/ident.h"
#include "lib/outcome.h"
#include "local/command.h"

#define DONE_AND_NO_MORE 99

static int
usage(const char *words)
{
	fprintf(stderr, "usage: %s\n", words);
	return STATUS_MISUSE;
}

/* --- forward, condredirect --- */

static int
send_on(const char *word, const char *sender_variable, char *const *address)
{
	uint64_t offset, octets;
	const char *sender = command_variable(sender_variable);

	if (sender == NULL)
		return STATUS_MISUSE;
	if (command_message(&offset, &octets) < 0)
		return STATUS_TEMPORARY;
	return command_send(word, sender, address, 0, offset, octets, true);
}

static int
forward(int argc, char **argv)
{
	if (argc < 2 || (argv[1][0] == '-' && strchr(argv[1], '@') == NULL))
		return usage("forward address ...");
	return send_on("forward", "NEWSENDER", argv + 1);
}

static int
condredirect(int argc, char **argv)
{
	if (argc < 3)
		return usage("condredirect address program [argument ...]");
	int status = command_run(argv + 2);
	if (status != 0)
		return status == STATUS_TEMPORARY ? status : 0;
	char *address[] = {argv[1], NULL};
	status = send_on("condredirect", "SENDER", address);
	return status == 0 ? DONE_AND_NO_MORE : status;
}

/* --- bouncesaying, except --- */

static int
bouncesaying(int argc, char **argv)
{
	if (argc < 2)
		return usage("bouncesaying text [program [argument ...]]");
	int status = argc > 2 ? command_run(argv + 2) : 0;
	if (status != 0)
		return status == STATUS_TEMPORARY ? status : 0;
	printf("%s\n", argv[1]);
	return STATUS_MISUSE;
}

static int
except(int argc, char **argv)
{
	if (argc < 2)
		return usage("except program [argument ...]");
	int status = command_run(argv + 1);
	if (status == 0)
		return STATUS_MISUSE;
	return status == STATUS_TEMPORARY ? status : 0;
}

/* --- preline --- */

/* Writes the lines and the message. What nobody reads is no error. */
static int
feed(int to, const bool *wanted)
{
	static const char *const names[] = {"UFLINE", "RPLINE", "DTLINE"};
	char buffer[65536];
	ssize_t got;

	for (int i = 0; i < 3; i++) {
		const char *line = wanted[i] ? command_variable(names[i]) : "";

		if (line == NULL)
			return STATUS_MISUSE;
		if (durable_write_all(to, line, strlen(line)) < 0)
			return errno == EPIPE ? 0 : STATUS_TEMPORARY;
	}
	while ((got = read(0, buffer, sizeof buffer)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return STATUS_TEMPORARY;
		if (durable_write_all(to, buffer, (size_t)got) < 0)
			return errno == EPIPE ? 0 : STATUS_TEMPORARY;
	}
	return 0;
}

static int
run_preline(char **argument, const bool *wanted)
{
	int ends[2], status = 0;

	if (pipe(ends) < 0)
		return STATUS_TEMPORARY;
	pid_t pid = fork();
	if (pid == 0) {
		if (dup2(ends[0], 0) < 0)
			_exit(STATUS_TEMPORARY);
		close(ends[0]);
		close(ends[1]);
		signal(SIGPIPE, SIG_DFL);
		execvp(argument[0], argument);
		fprintf(stderr, "cannot run %s: %s\n", argument[0],
			strerror(errno));
		_exit(STATUS_TEMPORARY);
	}
	close(ends[0]);
	int fed = pid < 0 ? STATUS_TEMPORARY : feed(ends[1], wanted);
	close(ends[1]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return STATUS_TEMPORARY;
	if (fed != 0)
		return fed;
	return WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_TEMPORARY;
}

static int
preline(int argc, char **argv)
{
	static const char letters[] = "frdFRD";
	bool wanted[3] = {true, true, true};
	int option;

	/* "+": what follows the program's name is the program's */
	while ((option = getopt(argc, argv, "+frdFRD")) != -1) {
		const char *at = strchr(letters, option);

		if (at == NULL)
			return STATUS_MISUSE;
		wanted[(at - letters) % 3] = at - letters >= 3;
	}
	if (optind == argc)
		return usage("preline [-frd] program [argument ...]");
	signal(SIGPIPE, SIG_IGN);
	return run_preline(argv + optind, wanted);
}

/* --- qreceipt --- */

struct wish {
	struct path address;
	bool is_there;
};

static int
look_for(void *context, const struct path *path)
{
	struct wish *wish = context;

	wish->is_there |= strcasecmp(path->local, wish->address.local) == 0 &&
			  strcmp(path->domain, wish->address.domain) == 0;
	return 0;
}

/* Whether the header asks for a receipt by this address; and its Message-ID. */
static int
asks(const char *address, char *ident, size_t size, bool *is_asked)
{
	struct wish wish = {.is_there = false};
	struct fields fields;
	struct field field;
	char text[500];
	size_t length;

	ident[0] = 0;
	if (address_mailbox_scan(
		    address, strlen(address), ADDRESS_UTF8, &wish.address) < 0)
		return usage("qreceipt address");
	char *block = command_header(&length);
	if (block == NULL)
		return STATUS_TEMPORARY;
	fields_start(&fields, block, length);
	while (fields_next(&fields, &field)) {
		if (field_is(&field, "Notice-Requested-Upon-Delivery-To"))
			(void)addresslist_read(field.body, field.body_len,
				ADDRESS_UTF8, look_for, &wish, NULL);
		if (field_is(&field, "Message-ID")) {
			(void)field_unfold(&field, text, sizeof text);
			escape_line(
				ident, size, text, strlen(text), ESCAPE_MASK);
		}
	}
	free(block);
	*is_asked = wish.is_there;
	return 0;
}

static int
write_receipt(
	int file, const char *address, const char *sender, const char *about)
{
	char date[DATE_OCTETS + 1], ident[IDENT_LENGTH + 1];
	const char *host = command_variable("HOST");

	if (host == NULL || ident_make(ident) < 0)
		return -1;
	date_write(date, time(NULL));
	return dprintf(file,
		"From: DELIVERY NOTICE SYSTEM <%s>\n"
		"To: %s\n"
		"Subject: success notice\n"
		"Date: %s\n"
		"Message-ID: <%s@%s>\n"
		"%s%s%s"
		"Auto-Submitted: auto-replied\n"
		"\n"
		"Hi! This is the mail system at %s. Your message to %s was "
		"delivered.\n",
		address, sender, date, ident, host,
		*about != 0 ? "In-Reply-To: " : "", about,
		*about != 0 ? "\n" : "", host, address);
}

static int
qreceipt(int argc, char **argv)
{
	char about[500];
	bool is_asked = false;
	const char *sender = command_variable("SENDER");

	if (argc != 2 || sender == NULL)
		return usage("qreceipt address");
	if (*sender == 0 || *sender == '#')
		return 0;
	int status = asks(argv[1], about, sizeof about, &is_asked);
	if (status != 0 || !is_asked)
		return status;
	int file = memfd_create("receipt", MFD_CLOEXEC);
	int length =
		file < 0 ? -1 : write_receipt(file, argv[1], sender, about);
	if (length < 0) {
		fprintf(stderr, "cannot write the receipt\n");
		return STATUS_TEMPORARY;
	}
	char to[1001], *address[] = {to, NULL};
	snprintf(to, sizeof to, "%s", sender);
	return command_send(
		"qreceipt", "", address, file, 0, (uint64_t)length, false);
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} commands[] = {{"forward", forward}, {"condredirect", condredirect},
		{"bouncesaying", bouncesaying}, {"except", except},
		{"preline", preline}, {"qreceipt", qreceipt}};
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash != NULL ? slash + 1 : argc > 0 ? argv[0] : "";

	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		if (strcmp(name, commands[i].name) == 0)
			return commands[i].run(argc, argv);
	return usage("forward, condredirect, bouncesaying, except, preline or "
		     "qreceipt, by which name it is called");
}
