/*
 * pop3d-session is the session part of the POP3 server as a program: for the
 * chain in which a program before it, such as checkpassword, has logged the
 * client in and become the owner of the mail.
 *
 * Runs as the owner of the mail, in the home folder. Is handed the connection on
 * 0 and 1, and the client's address in TCPREMOTEIP.
 * Promises to touch nothing but that Maildir: it confines itself to it before it
 * reads a command. Never runs as root.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/descriptors.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "lib/role.h"
#include "pop3d/session.h"

static int
refuse(const char *why)
{
	static const char ANSWER[] = "-ERR [SYS/TEMP] no service now\r\n";

	log_line("%s", why);
	if (write(STDOUT_FILENO, ANSWER, sizeof ANSWER - 1) < 0)
		return STATUS_TEMPORARY;
	return STATUS_TEMPORARY;
}

/* Copies a variable of the environment if it fits and is printable, without
 * blanks, which part the fields of the log. */
static void
take_variable(
	char *into, size_t size, const char *variable, const char *otherwise)
{
	const char *text = getenv(variable);

	if (text == NULL || *text == '\0' || strlen(text) >= size)
		text = otherwise;
	for (const char *at = text; *at != '\0'; at++)
		if (*at <= ' ' || *at > '~')
			text = at = otherwise;
	snprintf(into, size, "%s", text);
}

/* Where the mail is: home is the working folder, or "/" for an absolute path. */
static int
find_maildir(struct account *account, const char *maildir)
{
	if (*maildir == '/')
		snprintf(account->home, sizeof account->home, "/");
	else if (getcwd(account->home, sizeof account->home) == NULL)
		return -1;
	if (strlen(maildir) >= sizeof account->maildir) {
		errno = ENAMETOOLONG;
		return -1;
	}
	snprintf(account->maildir, sizeof account->maildir, "%s", maildir);
	return 0;
}

static int
confine(const struct account *account, char *why, size_t size)
{
	char maildir[ACCOUNT_HOME_MAX * 2 + 2];
	const struct role_path path[] = {{maildir, ROLE_WRITE}, {NULL, 0}};
	const struct home home = {0};

	snprintf(maildir, sizeof maildir, "%s/%s", account->home,
		account->maildir);
	return role_confine(
		path, false, CALLS_READ | CALLS_WRITE, &home, why, size);
}

int
main(int argc, char **argv)
{
	struct warden_request request = {0};
	struct account account = {0};
	char why[300];

	log_start("pop3d-session");
	if (descriptors_ensure_standard() < 0)
		return STATUS_TEMPORARY;
	if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
		log_line("usage: pop3d-session [Maildir]");
		return STATUS_MISUSE;
	}
	if (getuid() == 0 || geteuid() == 0)
		return refuse("is started as root: the program before it "
			      "must become the owner of the mail");
	if (find_maildir(&account, argc > 1 ? argv[1] : "./Maildir/") < 0) {
		snprintf(why, sizeof why, "the Maildir: %s", strerror(errno));
		return refuse(why);
	}
	take_variable(account.name, sizeof account.name, "USER", "unknown");
	take_variable(request.client, sizeof request.client, "TCPREMOTEIP",
		"unknown");
	if (confine(&account, why, sizeof why) < 0)
		return refuse(why);
	if (*why != '\0')
		log_line("%s", why);
	return pop3_session(
		&account, &request, STDIN_FILENO, STDOUT_FILENO, -1);
}
