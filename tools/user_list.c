/*
 * user-list, and by other names domain-add, domain-del, domain-list, alias-add,
 * user-del, user-set, user-export and user-import: the user database.
 *
 * Runs as root (in private mode as the owner of the home).
 * Promises that a change holds whole or not at all, and at once.
 * Never removes mail.
 */

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/outcome.h"
#include "tools/plain.h"
#include "tools/users_admin.h"

struct tool {
	const char *name;
	int (*run)(struct admin *admin);
	const char *usage;
};

static const struct tool tools[] = {
	{"user-list", admin_user_list, "[--json] [DOMAIN]"},
	{"domain-add", admin_domain_add, "[--owner USER] DOMAIN"},
	{"domain-del", admin_domain_del, "[--all] DOMAIN"},
	{"domain-list", admin_domain_list, "[--json]"},
	{"alias-add", admin_alias_add, "ADDRESS TARGET ..."},
	{"user-del", admin_user_del, "ADDRESS"},
	{"user-set", admin_user_set,
		"[--quota SIZE] [--messages NUMBER] [--forward ADDRESS ...] "
		"[--copy yes|no] [--login yes|no] ADDRESS"},
	{"user-export", admin_user_export, ">FILE"},
	{"user-import", admin_user_import, "<FILE"},
};

static const struct tool *
find_tool(const char *called)
{
	const char *slash = called != NULL ? strrchr(called, '/') : NULL;
	const char *name = slash != NULL ? slash + 1 : called;

	for (size_t i = 0; name != NULL && i < sizeof tools / sizeof tools[0];
		i++)
		if (strcmp(name, tools[i].name) == 0)
			return &tools[i];
	return &tools[0];
}

/* Whether each argument that looks like an option is one of the tool's: what is
 * wrong with the call is said before anything is opened. */
static bool
knows_options(const struct tool *tool, int count, char **argument)
{
	for (int i = 0; i < count; i++) {
		size_t length = strlen(argument[i]);
		const char *found = strstr(tool->usage, argument[i]);

		if (argument[i][0] == '-' &&
			(found == NULL || argument[i][1] != '-' ||
				length == 2 ||
				strchr(" ]", found[length]) == NULL))
			return false;
	}
	return true;
}

int
main(int argc, char **argv)
{
	const struct tool *tool = find_tool(argv[0]);
	struct admin admin = {
		.name = tool->name, .count = argc - 1, .argument = argv + 1};
	int status = STATUS_MISUSE;

	umask(077);
	if (!knows_options(tool, admin.count, admin.argument))
		status = ADMIN_USAGE;
	else if (home_open(&admin.home, admin.why, sizeof admin.why) < 0)
		status = STATUS_TEMPORARY;
	else if (!admin.home.is_private && geteuid() != 0)
		snprintf(admin.why, sizeof admin.why, "only root can do that");
	else
		status = tool->run(&admin);
	if (status == ADMIN_USAGE) {
		fprintf(stderr, "usage: %s %s\n", tool->name, tool->usage);
		return STATUS_MISUSE;
	}
	if ((fflush(stdout) != 0 || ferror(stdout)) && status == STATUS_DONE) {
		snprintf(admin.why, sizeof admin.why,
			"cannot write to standard output");
		status = STATUS_TEMPORARY;
	}
	if (status != STATUS_DONE) {
		fprintf(stderr, "%s: ", tool->name);
		plain_text(stderr, admin.why);
		fputc('\n', stderr);
	}
	return status;
}
