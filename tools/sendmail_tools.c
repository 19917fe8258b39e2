#include "tools/sendmail_tools.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>
#include "lib/addresslist.h"
#include "lib/outcome.h"

#define STARTS_NOT 127
/* What address-why ends with. */
#define WHY_NOBODY 1
#define WHY_NOT_OURS 2

static _Noreturn void
become(const char *program, char **words, int is_quiet)
{
	if (is_quiet) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		if (null < 0 || dup2(null, STDOUT_FILENO) < 0)
			_exit(STARTS_NOT);
	}
	signal(SIGPIPE, SIG_DFL);
	execv(program, words);
	_exit(STARTS_NOT);
}

/* Runs words[0], a program of ours, and gives how it ended. */
static int
run(char **words, int is_quiet)
{
	const char *folder = getenv("KEEPMAIL_PROGRAMS");
	char program[500];
	int status = 0;

	if (folder == NULL || folder[0] != '/')
		folder = KEEPMAIL_LIBEXEC;
	if ((size_t)snprintf(program, sizeof program, "%s/%s", folder,
		    words[0]) >= sizeof program)
		return STARTS_NOT;
	signal(SIGCHLD, SIG_DFL); /* else the end would be lost */
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		become(program, words, is_quiet);
	if (pid < 0)
		return STARTS_NOT;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : STARTS_NOT;
}

/* -q: 'I' an id, 'R' a part of recipients' domain, 'S' a sender. */
int
sendmail_flush(struct sendmail *work)
{
	char program[] = "queue-retry", all[] = "--all", wait[] = "--wait",
	     seconds[] = "10", sender[] = "--sender", domain[] = "--domain",
	     recipient[] = "--recipient";
	char path[HOME_NAME_MAX], *value = work->options.flush_value;
	char *words[6] = {program, wait, seconds};

	if (access(home_path(&work->home, "queue/requests", path),
		    W_OK | X_OK) < 0)
		return sendmail_fail(work, EX_NOPERM,
			"-q is for root and the group keep-read",
			strerror(errno));
	switch (work->options.flush) {
	case 'I':
		words[3] = value;
		break;
	case 'R':
		words[3] = strchr(value, '@') != NULL && value[0] != '@'
				   ? recipient
				   : domain;
		words[4] = value;
		break;
	case 'S':
		words[3] = sender;
		words[4] = value;
		break;
	default:
		words[3] = all;
	}
	switch (run(words, 1)) {
	case STATUS_DONE:
		return 0;
	case STATUS_MISUSE:
		return sendmail_fail(work, EX_UNAVAILABLE,
			"queue-retry did not do all of it", "");
	case STARTS_NOT:
		return sendmail_fail(
			work, EX_OSFILE, "queue-retry cannot be run", "");
	default:
		return sendmail_fail(work, EX_TEMPFAIL,
			"the runner has not tried it yet", "");
	}
}

struct verify {
	struct sendmail *work;
	int status;
};

static int
verify_one(void *context, const struct path *given)
{
	char program[] = "address-why", end[] = "--";
	char address[ADDRESS_TEXT_MAX + 1];
	char *words[] = {program, end, address, NULL};
	struct verify *verify = context;
	struct path path = *given;

	if (path.kind != PATH_MAILBOX &&
		address_set_domain(
			&path, verify->work->me, strlen(verify->work->me)) < 0)
		return verify->status = sendmail_fail(verify->work, EX_TEMPFAIL,
			       "not a host name in control/me",
			       verify->work->me);
	address_write(address, sizeof address, &path);
	switch (run(words, 0)) {
	case 0:
	case WHY_NOT_OURS:
		return 0;
	case WHY_NOBODY:
		verify->status = sendmail_fail(verify->work, EX_NOUSER,
			"no mailbox here by that name", address);
		return 0;
	case STARTS_NOT:
		verify->status = sendmail_fail(verify->work, EX_OSFILE,
			"address-why cannot be run", "");
		return 1;
	default:
		verify->status = sendmail_fail(verify->work, EX_TEMPFAIL,
			"it cannot be told now", address);
		return 1;
	}
}

int
sendmail_verify(struct sendmail *work)
{
	struct verify verify = {.work = work};

	if (getuid() != 0 && !work->home.is_private)
		return sendmail_fail(
			work, EX_NOPERM, "-bv is for root alone", "");
	if (work->options.recipient[0] == NULL)
		return sendmail_fail(work, EX_USAGE, "no address given", "");
	for (char **argument = work->options.recipient; *argument; argument++)
		switch (addresslist_read(*argument, strlen(*argument),
			ADDRESS_NO_DOMAIN | ADDRESS_UTF8, verify_one, &verify,
			NULL)) {
		case ADDRESSLIST_OK:
			break;
		case ADDRESSLIST_BAD:
			return sendmail_fail(
				work, EX_DATAERR, "not an address", *argument);
		case ADDRESSLIST_STOPPED:
			return verify.status;
		}
	return verify.status;
}
