/*
 * control-show shows every setting: its value or default, and what it means.
 * control-check, the same program under another name, tells everything that is
 * wrong in control/, by file and line, before a program is started with it.
 *
 * Runs as whoever calls it and may read control/.
 * Is handed nothing but KEEPMAIL and control/.
 * Promises to change nothing.
 */

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "lib/home.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "setup/findings.h"
#include "tools/control_lists.h"
#include "tools/control_table.h"

/* What the files of control/ have shown so far. */
struct looking {
	char folder[HOME_NAME_MAX]; /* control/ of the home */
	bool has_me;
	unsigned wrong;
	struct findings *findings; /* where they are told; NULL: as text */
};

union value {
	char *text;
	int64_t number;
	struct setting_list list;
};

/* Writes a text of a file: octets that a terminal might obey as \xNN. */
static void
show_text(const char *text)
{
	for (; *text != 0; text++) {
		unsigned char octet = (unsigned char)*text;

		if (octet < 32 || octet >= 127)
			printf("\\x%02x", octet);
		else
			putchar(octet);
	}
}

static void
tell_wrong(void *context, const char *why)
{
	struct looking *looking = context;

	looking->wrong++;
	if (looking->findings != NULL) {
		findings_tell(looking->findings, FINDING_FAIL, "control", NULL,
			"%s", why);
		return;
	}
	printf("wrong: ");
	show_text(why);
	printf("\n");
}

/* 1: there is such a file; 0: none; -1 with errno. */
static int
exists(const struct looking *looking, const char *name)
{
	char path[HOME_NAME_MAX + 300];
	struct stat status;

	snprintf(path, sizeof path, "%s/%s", looking->folder, name);
	if (stat(path, &status) == 0)
		return 1;
	return errno == ENOENT ? 0 : -1;
}

static bool
is_text(const struct setting *setting)
{
	return setting->kind == SETTING_TEXT || setting->kind == SETTING_HOST;
}

/* --- control-check --- */

static void
check_row(struct looking *looking, const struct setting *setting)
{
	union value value = {0};
	char why[400];

	/* said once, of control/me */
	if (setting->fallback != NULL &&
		strcmp(setting->fallback, "@me") == 0 && !looking->has_me &&
		exists(looking, setting->name) == 0)
		return;
	if (settings_read(
		    setting, 1, looking->folder, &value, why, sizeof why) < 0) {
		tell_wrong(looking, why);
		return;
	}
	if (setting->kind == SETTING_LIST)
		control_list_check(
			setting->name, &value.list, tell_wrong, looking);
	else if (is_text(setting))
		control_value_check(
			setting->name, value.text, tell_wrong, looking);
	settings_free(setting, 1, &value);
}

/* Files that are no settings: of lib/home.h, and what .cdb files are made of. */
static bool
is_known(const char *name)
{
	size_t length = strlen(name);

	if (name[0] == '.' || strcmp(name, "ids") == 0 ||
		strcmp(name, "private") == 0 || strncmp(name, "tcp.", 4) == 0 ||
		strcmp(name, "morercpthosts") == 0 ||
		(length > 4 && strcmp(name + length - 4, ".cdb") == 0))
		return true;
	for (size_t i = 0; i < control_rows_count; i++)
		if (strcmp(control_rows[i].setting.name, name) == 0)
			return true;
	return false;
}

static void
tell_stranger(const struct looking *looking, const char *name)
{
	if (looking->findings != NULL) {
		findings_tell(looking->findings, FINDING_WARN, "control", NULL,
			"control/%s: no setting has this name", name);
		return;
	}
	printf("note: control/");
	show_text(name);
	printf(": no setting has this name\n");
}

/* A name that is misspelt would otherwise be a setting that does nothing. */
static int
look_for_strangers(const struct looking *looking)
{
	DIR *folder = opendir(looking->folder);
	struct dirent *entry;

	if (folder == NULL) {
		log_line("%s: %s", looking->folder, strerror(errno));
		return -1;
	}
	while ((entry = readdir(folder)) != NULL)
		if (!is_known(entry->d_name))
			tell_stranger(looking, entry->d_name);
	closedir(folder);
	return 0;
}

static int
check(struct looking *looking)
{
	if (look_for_strangers(looking) < 0)
		return STATUS_TEMPORARY;
	for (size_t i = 0; i < control_rows_count; i++)
		check_row(looking, &control_rows[i].setting);
	if (looking->findings != NULL)
		return findings_end(looking->findings);
	if (looking->wrong == 0)
		printf("ok: nothing is wrong in %s\n", looking->folder);
	return looking->wrong == 0 ? STATUS_DONE : STATUS_FOUND;
}

/* --- control-show --- */

static void
show_value(const struct setting *setting, const union value *value)
{
	if (setting->kind == SETTING_LIST) {
		if (value->list.count == 0)
			printf("(empty)");
		for (size_t i = 0; i < value->list.count; i++) {
			if (i > 0)
				printf("\n\t");
			show_text(value->list.line[i]);
		}
	} else if (is_text(setting)) {
		show_text(value->text);
	} else {
		printf("%" PRId64, value->number);
	}
}

static void
show_row(struct looking *looking, const struct control_row *row)
{
	const struct setting *setting = &row->setting;
	union value value = {0};
	char why[400];

	printf("%s: %s.\n\t", setting->name, setting->meaning);
	if (settings_read(
		    setting, 1, looking->folder, &value, why, sizeof why) < 0) {
		tell_wrong(looking, why);
	} else {
		bool is_default = exists(looking, setting->name) == 0;

		if (is_default)
			printf("(Default.) ");
		show_value(setting, &value);
		printf("\n");
		settings_free(setting, 1, &value);
	}
	printf("\t(Read by %s.)\n", row->readers);
}

static int
show(struct looking *looking, int names, char **name)
{
	unsigned found = 0;

	for (size_t i = 0; i < control_rows_count; i++) {
		bool is_wanted = names == 0;

		for (int j = 0; j < names; j++)
			if (strcmp(name[j], control_rows[i].setting.name) == 0)
				is_wanted = true;
		if (!is_wanted)
			continue;
		show_row(looking, &control_rows[i]);
		found++;
	}
	if (names > 0 && found < (unsigned)names) {
		log_line("a setting of such a name does not exist");
		return STATUS_MISUSE;
	}
	return looking->wrong == 0 ? STATUS_DONE : STATUS_FOUND;
}

int
main(int argc, char **argv)
{
	struct looking looking = {0};
	struct findings findings;
	struct home home;
	char why[400];

	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *called = slash != NULL ? slash + 1
			     : argc > 0	   ? argv[0]
					   : "";
	bool is_check = strcmp(called, "control-check") == 0;
	log_start(is_check ? "control-check" : "control-show");
	bool is_json = is_check && argc == 2 && strcmp(argv[1], "--json") == 0;
	if (!is_json &&
		((is_check && argc > 1) || (argc > 1 && argv[1][0] == '-'))) {
		log_line(is_check ? "usage: control-check [--json]"
				  : "usage: control-show [setting ...]");
		return STATUS_MISUSE;
	}
	if (home_open(&home, why, sizeof why) < 0) {
		log_line("%s", why);
		return STATUS_TEMPORARY;
	}
	home_path(&home, "control", looking.folder);
	if (is_json) {
		findings_start(&findings, true);
		looking.findings = &findings;
	}
	looking.has_me = exists(&looking, "me") == 1;
	int status =
		is_check ? check(&looking) : show(&looking, argc - 1, argv + 1);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		log_line("standard output: %s", strerror(errno));
		return STATUS_TEMPORARY;
	}
	return status;
}
