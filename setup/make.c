/* Users, home, control files. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "lib/address.h"
#include "lib/deadline.h"
#include "setup/installation.h"
#include "setup/setup.h"

#define WORD_SIZE (4 * SETUP_PATH_MAX + 3)

/* --- users and home --- */

void
setup_users(struct setup *setup)
{
	char path[SETUP_PATH_MAX], before[16384], after[16384];
	struct findings *findings = &setup->findings;

	if (setup->is_private) {
		findings_tell(findings, FINDING_OK, "users", NULL,
			"a private home has no users of its own");
		return;
	}
	setup_path(setup, "control/ids", path);
	(void)setup_read(path, before, sizeof before);
	if (setup_tool(setup, "make-users", setup->home, NULL, NULL, "") < 0) {
		findings_tell(findings, FINDING_FAIL, "users",
			"apt-get install passwd && keepmail make-users", "%s",
			setup->run.said);
		return;
	}
	(void)setup_read(path, after, sizeof after);
	bool is_same = strcmp(before, after) == 0;
	findings_tell(findings, is_same ? FINDING_OK : FINDING_CHANGED, "users",
		NULL, "%s", is_same ? "are there" : "made");
}

/* How many folders of the home are not as they should be. */
static unsigned
home_faults(const struct setup *setup)
{
	struct findings quiet;
	struct installation installation = {.findings = &quiet,
		.home = setup->home,
		.programs = setup->programs,
		.is_private = setup->is_private,
		.owner = geteuid()};

	findings_start(&quiet, false);
	quiet.is_silent = true;
	installation_home(&installation);
	return quiet.count[FINDING_FAIL];
}

void
setup_home(struct setup *setup)
{
	struct findings *findings = &setup->findings;
	unsigned faults = home_faults(setup);
	char path[SETUP_PATH_MAX];
	int made = setup->is_private
			   ? setup_tool(setup, "make-home", "--private",
				     setup->home, NULL, "")
			   : setup_tool(setup, "make-home", setup->home, NULL,
				     NULL, "");

	if (made == 0 && setup->is_private &&
		setup_write_new(
			setup_path(setup, "control/private", path), "") < 0 &&
		errno != EEXIST) {
		findings_tell(findings, FINDING_FAIL, path, NULL, "%s",
			strerror(errno));
		return;
	}
	if (made < 0)
		findings_tell(findings, FINDING_FAIL, setup->home,
			"mend what it says, and run setup again", "%s",
			setup->run.said);
	else
		findings_tell(findings,
			faults > 0 ? FINDING_CHANGED : FINDING_OK, setup->home,
			NULL, "%s",
			faults > 0 ? "its folders are made" : "is there");
}

/* --- control files --- */

static bool
is_full_name(const char *name)
{
	return strlen(name) <= SETUP_NAME_MAX && name[0] != '[' &&
	       domain_valid(name, strlen(name)) && strchr(name, '.') != NULL;
}

void
setup_host(struct setup *setup, const char *wanted)
{
	char path[SETUP_PATH_MAX], text[1024];
	struct utsname names;

	if (setup_read(setup_path(setup, "control/me", path), text,
		    sizeof text) == 0 &&
		text[0] != '\0') {
		text[strcspn(text, "\r\n \t")] = '\0';
		snprintf(setup->host, sizeof setup->host, "%.255s", text);
	} else if (wanted != NULL) {
		snprintf(setup->host, sizeof setup->host, "%.255s", wanted);
	} else if (uname(&names) == 0 && is_full_name(names.nodename)) {
		snprintf(setup->host, sizeof setup->host, "%s", names.nodename);
	} else {
		snprintf(setup->host, sizeof setup->host, "mail.%.250s",
			setup->domain);
	}
}

/* Writes a control file that is missing; says whether it holds each line. */
static void
control_file(struct setup *setup, const char *name, const char *const line[],
	const char *text)
{
	struct findings *findings = &setup->findings;
	char path[SETUP_PATH_MAX], relative[64], word[WORD_SIZE],
		mend[FINDINGS_TEXT_MAX], *got = setup->file;

	snprintf(relative, sizeof relative, "control/%s", name);
	setup_path(setup, relative, path);
	if (setup_write_new(path, text) == 0) {
		findings_tell(findings, FINDING_CHANGED, relative, NULL,
			"written: %.*s", (int)strcspn(text, "\n"), text);
		return;
	}
	if (errno != EEXIST || setup_read(path, got, SETUP_FILE_SIZE) < 0) {
		findings_tell(findings, FINDING_FAIL, relative, NULL, "%s",
			strerror(errno));
		return;
	}
	for (; *line != NULL; line++)
		if (!setup_has_line(got, *line)) {
			findings_tell(findings, FINDING_WARN, relative,
				findings_mend(mend, "echo %s >>%s", *line,
					findings_word(path, word, sizeof word)),
				"is there without %s, and left as it is",
				*line);
			return;
		}
	findings_tell(findings, FINDING_OK, relative, NULL, "is there");
}

static void
control_me(struct setup *setup, const char *host)
{
	char text[SETUP_NAME_MAX + 2], path[SETUP_PATH_MAX];
	struct stat st;
	char mend[FINDINGS_TEXT_MAX], word[WORD_SIZE];

	setup_path(setup, "control/me", path);
	snprintf(text, sizeof text, "%s\n", host);
	if (lstat(path, &st) == 0 && !is_full_name(host))
		findings_tell(&setup->findings, FINDING_FAIL, "control/me",
			findings_mend(mend, "echo mail.%s >%s", setup->domain,
				findings_word(path, word, sizeof word)),
			"%s is not a host's full name", host);
	else
		control_file(
			setup, "me", (const char *const[]){host, NULL}, text);
}

/* Whether control/virtualdomains hands the domain to somebody. */
static bool
is_virtual(struct setup *setup)
{
	char path[SETUP_PATH_MAX], *line = setup->file, *rest = NULL;
	size_t len = strlen(setup->domain);

	if (setup_read(setup_path(setup, "control/virtualdomains", path), line,
		    SETUP_FILE_SIZE) < 0)
		return false;
	for (line = strtok_r(line, "\n", &rest); line != NULL;
		line = strtok_r(NULL, "\n", &rest))
		if (strncasecmp(line, setup->domain, len) == 0 &&
			line[len] == ':')
			return true;
	return false;
}

/*
 * Where locals exists and does not name the domain it becomes one of the user
 * database, so that no file of the administrator is changed.
 */
static void
control_domain(struct setup *setup)
{
	struct findings *findings = &setup->findings;
	char path[SETUP_PATH_MAX], *got = setup->file, text[600];
	const char *both[] = {setup->domain, setup->host, NULL};
	const char *alone[] = {setup->domain, NULL};
	bool has_file =
		access(setup_path(setup, "control/locals", path), F_OK) == 0;

	snprintf(text, sizeof text, "%s\n%s\n", setup->domain, setup->host);
	if (strcmp(setup->domain, setup->host) == 0)
		snprintf(text, sizeof text, "%s\n", setup->domain);
	if (setup_tool(setup, "domain-list", NULL, NULL, NULL, "") == 0 &&
		setup_has_line(setup->run.output, setup->domain)) {
		findings_tell(findings, FINDING_OK, "domain", NULL,
			"%s is in the user database", setup->domain);
		return;
	}
	if (is_virtual(setup)) {
		findings_tell(findings, FINDING_OK, "domain", NULL,
			"%s is in control/virtualdomains, and stays there",
			setup->domain);
		control_file(setup, "rcpthosts", alone, text);
		return;
	}
	if (!has_file || (setup_read(path, got, SETUP_FILE_SIZE) == 0 &&
				 setup_has_line(got, setup->domain))) {
		control_file(setup, "locals", has_file ? alone : both, text);
		control_file(setup, "rcpthosts", alone, text);
		return;
	}
	if (setup_tool(setup, "domain-add", setup->domain, NULL, NULL, "") < 0)
		findings_tell(findings, FINDING_FAIL, "domain",
			"mend what it says, and run setup again", "%s",
			setup->run.said);
	else
		findings_tell(findings, FINDING_CHANGED, "domain", NULL,
			"%s is put into the user database, for "
			"control/locals is there without it",
			setup->domain);
}

/* Who may connect to submit mail: programs of this host without a login. */
static void
control_rules(struct setup *setup)
{
	static const char rules[] = "127.:allow,RELAYCLIENT=\"\"\n:allow\n";
	struct findings *findings = &setup->findings;
	char path[SETUP_PATH_MAX], cdb[SETUP_PATH_MAX], new[SETUP_PATH_MAX];
	char program[] = "tcprules", *argv[] = {program, cdb, new, NULL};

	setup_path(setup, "control/tcp.submission", path);
	setup_path(setup, "control/tcp.submission.cdb", cdb);
	setup_path(setup, "control/tcp.submission.tmp", new);
	if (access(cdb, F_OK) == 0 || access(path, F_OK) == 0) {
		findings_tell(findings, FINDING_OK, "control/tcp.submission",
			NULL, "is there");
		return;
	}
	if (run_program(&setup->run, argv, rules, deadline_after_ms(20000)) <
			0 ||
		setup_write_new(path, rules) < 0)
		findings_tell(findings, FINDING_FAIL, "control/tcp.submission",
			"apt-get install ucspi-tcp-ipv6", "%s",
			setup->run.said[0] != '\0' ? setup->run.said
						   : strerror(errno));
	else
		findings_tell(findings, FINDING_CHANGED,
			"control/tcp.submission", NULL,
			"written: programs of this host submit without a "
			"login");
}

void
setup_control(struct setup *setup)
{
	control_me(setup, setup->host);
	control_domain(setup);
	control_rules(setup);
}
