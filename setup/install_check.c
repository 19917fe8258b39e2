/*
 * install-check verifies an installation: each path, owner and mode of programs,
 * manuals and home, users and groups, and that nothing is set-uid or set-gid.
 *
 * Runs as root; of a private home as its owner.
 * Is handed nothing but KEEPMAIL and options.
 * Promises to change nothing.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/descriptors.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "setup/installation.h"

static int
usage(void)
{
	log_line("usage: install-check [--json] [--all] [--programs folder]");
	return STATUS_MISUSE;
}

static int
check(struct installation *installation)
{
	struct findings *findings = installation->findings;

	if (installation->is_private) {
		findings_tell(findings, FINDING_OK, "programs", NULL,
			"not looked at: a private home runs them from where "
			"they were built");
	} else {
		installation_programs(installation);
		installation_users(installation);
	}
	installation_home(installation);
	installation_contents(installation);
	installation_setid(installation);
	return findings_end(findings);
}

int
main(int argc, char **argv)
{
	struct findings findings;
	struct home home;
	char why[300];
	bool is_json = false, is_short = true;
	const char *path = getenv("KEEPMAIL"), *programs = KEEPMAIL_LIBEXEC;

	log_start("install-check");
	if (descriptors_ensure_standard() < 0)
		return STATUS_TEMPORARY;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			is_json = true;
		else if (strcmp(argv[i], "--all") == 0)
			is_short = false;
		else if (strcmp(argv[i], "--programs") == 0 && i + 1 < argc)
			programs = argv[++i];
		else
			return usage();
	}
	if (path == NULL || path[0] == '\0')
		path = KEEPMAIL_HOME;
	if (path[0] != '/' || programs[0] != '/' ||
		strlen(path) > HOME_PATH_MAX || strlen(programs) > 400) {
		log_line("%s must begin with / and be no longer",
			path[0] != '/' || strlen(path) > HOME_PATH_MAX
				? "KEEPMAIL"
				: "the folder of programs");
		return STATUS_MISUSE;
	}
	bool is_open = home_open(&home, why, sizeof why) == 0;
	findings_start(&findings, is_json);
	findings.is_short = is_short;
	struct installation installation = {.findings = &findings,
		.home = path,
		.programs = programs,
		.is_private = is_open && home.is_private,
		.owner = geteuid()};
	return check(&installation);
}
