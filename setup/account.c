/* The first account, and the addresses that each domain must have. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include "setup/setup.h"

#define WHY_MAX 600

/* 1, 0, or -1 with a sentence. */
static int
is_there(const struct setup *setup, char why[WHY_MAX])
{
	struct home home;
	struct users users;

	if (home_open(&home, why, WHY_MAX) < 0 ||
		users_open(&users, &home, why, WHY_MAX) < 0)
		return -1;
	int has = users_has(&users, setup->user.address, why, WHY_MAX);
	users_close(&users);
	return has;
}

/* Reads the password, from a terminal without showing it. 0 or -1. */
static int
ask_password(const struct setup *setup, char password[USERS_PASSWORD_MAX + 1],
	char why[WHY_MAX])
{
	struct termios shown, hidden;
	bool is_terminal = tcgetattr(STDIN_FILENO, &shown) == 0;

	if (is_terminal) {
		hidden = shown;
		hidden.c_lflag &= ~(tcflag_t)ECHO;
		fprintf(stderr, "password for %s: ", setup->user.address);
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	}
	int result = users_read_password(STDIN_FILENO, password, why, WHY_MAX);
	if (is_terminal) {
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
		fputc('\n', stderr);
	}
	return result;
}

static void
add(struct setup *setup)
{
	struct findings *findings = &setup->findings;
	char password[USERS_PASSWORD_MAX + 2], why[WHY_MAX],
		mend[FINDINGS_TEXT_MAX];

	findings_mend(mend, "keepmail user-add %s", setup->user.address);
	if (ask_password(setup, password, why) < 0) {
		findings_tell(findings, FINDING_FAIL, "account", mend,
			"%s is not made: %s", setup->user.address, why);
		return;
	}
	password[strlen(password) + 1] = 0;
	password[strlen(password)] = '\n';
	int added = setup_tool(
		setup, "user-add", setup->user.address, NULL, NULL, password);
	explicit_bzero(password, sizeof password);
	if (added < 0)
		findings_tell(findings, FINDING_FAIL, "account", mend, "%s",
			setup->run.said);
	else
		findings_tell(findings, FINDING_CHANGED, "account", NULL,
			"%s is made", setup->user.address);
}

/* RFC 5321 section 4.5.1 wants postmaster, RFC 2142 abuse. */
static void
add_aliases(struct setup *setup)
{
	static const char *const names[] = {
		"postmaster", "abuse", "mailer-daemon"};
	char path[SETUP_PATH_MAX], relative[64], text[300];

	snprintf(text, sizeof text, "&%s\n", setup->user.address);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		snprintf(
			relative, sizeof relative, "alias/.qmail-%s", names[i]);
		setup_path(setup, relative, path);
		if (setup_write_new(path, text) == 0)
			findings_tell(&setup->findings, FINDING_CHANGED,
				relative, NULL, "mail goes to %s",
				setup->user.address);
		else if (errno == EEXIST)
			findings_tell(&setup->findings, FINDING_OK, relative,
				NULL, "is there");
		else
			findings_tell(&setup->findings, FINDING_FAIL, relative,
				NULL, "%s", strerror(errno));
	}
}

void
setup_account(struct setup *setup)
{
	char why[WHY_MAX];
	int has = is_there(setup, why);

	if (has < 0)
		findings_tell(&setup->findings, FINDING_FAIL, "account",
			"mend what it says, and run setup again", "%s", why);
	else if (has > 0)
		findings_tell(&setup->findings, FINDING_OK, "account", NULL,
			"%s is there", setup->user.address);
	else
		add(setup);
	add_aliases(setup);
}
