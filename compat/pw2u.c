#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "compat/names.h"
#include "lib/home.h"
#include "lib/outcome.h"

#define NAME "qmail-pw2u"
#define LINE_MAX_OCTETS 4096
#define TABLE_OCTETS_MAX (16 * 1024 * 1024)

enum homes {
	HOMES_ANY,  /* -H: not looked at */
	HOMES_MUST, /* -h: one that is missing ends it */
	HOMES_OWN,  /* -o: one that is missing is left out */
};

struct pw2u {
	enum homes homes;
	bool takes_upper, has_break, has_alias;
	char break_char;
	const char *dash;
	/* users/include and its like: lines; NULL without the file. Owned. */
	char *include, *exclude, *mailnames, *subusers, *append;
};

/* --- the lists --- */

/* Reads users/NAME, if it is there. 0, or -1 with errno. */
static int
read_file(const struct home *home, const char *name, char **text)
{
	char path[HOME_NAME_MAX];
	FILE *file = fopen(home_path(home, name, path), "re");
	struct stat status;

	if (file == NULL)
		return errno == ENOENT ? 0 : -1;
	int result = -1;
	if (fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode) &&
		status.st_size <= TABLE_OCTETS_MAX) {
		size_t size = (size_t)status.st_size;

		*text = calloc(1, size + 1);
		if (*text != NULL && fread(*text, 1, size, file) == size)
			result = 0;
	}
	fclose(file);
	return result;
}

/*
 * The line of a table that begins with this word and, if it has more, a ":". What
 * follows stands in *rest, *length octets. Blanks at the end do not count.
 */
static bool
find(const char *table, const char *word, const char **rest, size_t *length)
{
	size_t word_length = strlen(word);

	while (table != NULL && *table != 0) {
		size_t end = strcspn(table, "\n"), trimmed = end;

		while (trimmed > 0 &&
			isspace((unsigned char)table[trimmed - 1]))
			trimmed--;
		if (trimmed >= word_length &&
			memcmp(table, word, word_length) == 0 &&
			(trimmed == word_length || table[word_length] == ':')) {
			*rest = table + word_length + (trimmed > word_length);
			*length = trimmed - (size_t)(*rest - table);
			return true;
		}
		table += end;
		table += *table == '\n';
	}
	return false;
}

/* --- lines --- */

static void
print_pair(const struct pw2u *pw2u, const char *name, size_t length,
	const struct passwd *user, const char *extension, size_t ext_length)
{
	char who[LINE_MAX_OCTETS * 2];

	snprintf(who, sizeof who, "%s:%lu:%lu:%s", user->pw_name,
		(unsigned long)user->pw_uid, (unsigned long)user->pw_gid,
		user->pw_dir);
	if (ext_length > 0)
		printf("=%.*s:%s:%s:%.*s:\n", (int)length, name, who,
			pw2u->dash, (int)ext_length, extension);
	else
		printf("=%.*s:%s:::\n", (int)length, name, who);
	if (!pw2u->has_break)
		return;
	printf("+%.*s%c:%s:%s:%.*s", (int)length, name, pw2u->break_char, who,
		pw2u->dash, (int)ext_length, extension);
	if (ext_length > 0)
		putchar(pw2u->break_char);
	puts(":");
}

/* users/subusers has "sub:user:ext:" */
static void
print_subusers(const struct pw2u *pw2u, const struct passwd *user)
{
	const char *line = pw2u->subusers;
	size_t user_length = strlen(user->pw_name);

	while (line != NULL && *line != 0) {
		size_t end = strcspn(line, "\n");
		const char *colon = memchr(line, ':', end);
		const char *who = colon == NULL ? NULL : colon + 1;
		const char *next =
			who == NULL
				? NULL
				: memchr(who, ':', end - (size_t)(who - line));

		if (next != NULL && line[0] != '#' &&
			(size_t)(next - who) == user_length &&
			memcmp(who, user->pw_name, user_length) == 0) {
			const char *ext = next + 1;
			size_t left = end - (size_t)(ext - line);
			const char *last = memchr(ext, ':', left);

			print_pair(pw2u, line, (size_t)(colon - line), user,
				ext, last != NULL ? (size_t)(last - ext) : 0);
		}
		line += end;
		line += *line == '\n';
	}
}

static void
print_user(struct pw2u *pw2u, const struct passwd *user)
{
	const char *names;
	size_t length;

	if (names_is_alias(user->pw_name)) {
		pw2u->has_alias = true;
		printf("+:%s:%lu:%lu:%s:%s::\n", user->pw_name,
			(unsigned long)user->pw_uid,
			(unsigned long)user->pw_gid, user->pw_dir, pw2u->dash);
	}
	if (!find(pw2u->mailnames, user->pw_name, &names, &length)) {
		names = user->pw_name;
		length = strlen(names);
	}
	while (length > 0) {
		const char *colon = memchr(names, ':', length);
		size_t one = colon != NULL ? (size_t)(colon - names) : length;

		if (one > 0)
			print_pair(pw2u, names, one, user, "", 0);
		one += colon != NULL;
		names += one;
		length -= one;
	}
	print_subusers(pw2u, user);
}

/* 1: this user gets mail; 0: not; -1 after a message. */
static int
is_taken(const struct pw2u *pw2u, const struct passwd *user)
{
	const char *rest;
	struct stat status;
	size_t length;

	if (user->pw_uid == 0)
		return 0;
	for (const char *p = user->pw_name; *p != 0; p++)
		if (!pw2u->takes_upper && isupper((unsigned char)*p))
			return 0;
	if (pw2u->include != NULL &&
		!find(pw2u->include, user->pw_name, &rest, &length))
		return 0;
	if (find(pw2u->exclude, user->pw_name, &rest, &length))
		return 0;
	if (pw2u->homes == HOMES_ANY)
		return 1;
	if (stat(user->pw_dir, &status) == 0)
		return status.st_uid == user->pw_uid;
	if (errno == ENOENT && pw2u->homes == HOMES_OWN)
		return 0;
	return names_fail(-1, NAME, strerror(errno), user->pw_dir);
}

/* name:password:uid:gid:gecos:home:shell. False if it is not so. */
static bool
read_line(char *line, struct passwd *user)
{
	char *field[7], *end;
	size_t fields = 0;

	line[strcspn(line, "\n")] = 0;
	while (line != NULL && fields < 7) {
		field[fields++] = line;
		line = strchr(line, ':');
		if (line != NULL)
			*line++ = 0;
	}
	if (fields < 6 || field[0][0] == 0 || field[2][0] == 0 ||
		field[3][0] == 0 || field[5][0] != '/')
		return false;
	for (size_t i = 0; i < 6; i++)
		for (const char *p = field[i]; *p != 0; p++)
			if (iscntrl((unsigned char)*p))
				return false;
	user->pw_name = field[0];
	user->pw_dir = field[5];
	user->pw_uid = (uid_t)strtoul(field[2], &end, 10);
	if (*end != 0)
		return false;
	user->pw_gid = (gid_t)strtoul(field[3], &end, 10);
	return *end == 0;
}

static int
convert(struct pw2u *pw2u)
{
	char line[LINE_MAX_OCTETS];

	while (fgets(line, sizeof line, stdin) != NULL) {
		struct passwd user = {0};

		if (strlen(line) + 1 == sizeof line)
			return names_fail(STATUS_TEMPORARY, NAME,
				"a line is too long", "");
		if (!read_line(line, &user))
			continue;
		int taken = is_taken(pw2u, &user);
		if (taken < 0)
			return STATUS_TEMPORARY;
		if (taken > 0)
			print_user(pw2u, &user);
	}
	if (ferror(stdin))
		return names_fail(STATUS_TEMPORARY, NAME, "standard input",
			strerror(errno));
	if (!pw2u->has_alias)
		return names_fail(STATUS_TEMPORARY, NAME,
			"there is no user alias or _keep-alias", "");
	if (pw2u->append != NULL) {
		size_t length = strlen(pw2u->append);

		fputs(pw2u->append, stdout);
		if (length > 0 && pw2u->append[length - 1] != '\n')
			putchar('\n');
	}
	puts(".");
	if (fflush(stdout) != 0)
		return names_fail(STATUS_TEMPORARY, NAME, "standard output",
			strerror(errno));
	return 0;
}

static int
read_options(int argc, char **argv, struct pw2u *pw2u)
{
	int letter;

	opterr = 0;
	while ((letter = getopt(argc, argv, "/ohHuUc:C")) != -1)
		switch (letter) {
		case '/':
			pw2u->dash = "-/";
			break;
		case 'o':
			pw2u->homes = HOMES_OWN;
			break;
		case 'h':
			pw2u->homes = HOMES_MUST;
			break;
		case 'H':
			pw2u->homes = HOMES_ANY;
			break;
		case 'u':
		case 'U':
			pw2u->takes_upper = letter == 'u';
			break;
		case 'c':
			pw2u->has_break = true;
			pw2u->break_char = optarg[0];
			if (optarg[0] <= ' ' || optarg[0] == ':' ||
				optarg[0] > '~')
				return -1;
			break;
		case 'C':
			pw2u->has_break = false;
			break;
		default:
			return -1;
		}
	return optind == argc ? 0 : -1;
}

int
pw2u_main(int argc, char **argv)
{
	struct pw2u pw2u = {.homes = HOMES_OWN,
		.has_break = true,
		.break_char = '-',
		.dash = "-"};
	struct home home;
	char why[400];
	int status;

	if (read_options(argc, argv, &pw2u) < 0)
		return names_fail(STATUS_MISUSE, NAME,
			"usage: qmail-pw2u [-/ohHuUC] [-c CHAR]", "");
	if (home_open(&home, why, sizeof why) < 0)
		return names_fail(STATUS_TEMPORARY, NAME, why, "");
	if (read_file(&home, "users/include", &pw2u.include) < 0 ||
		read_file(&home, "users/exclude", &pw2u.exclude) < 0 ||
		read_file(&home, "users/mailnames", &pw2u.mailnames) < 0 ||
		read_file(&home, "users/subusers", &pw2u.subusers) < 0 ||
		read_file(&home, "users/append", &pw2u.append) < 0)
		status = names_fail(
			STATUS_TEMPORARY, NAME, "users", strerror(errno));
	else
		status = convert(&pw2u);
	free(pw2u.include);
	free(pw2u.exclude);
	free(pw2u.mailnames);
	free(pw2u.subusers);
	free(pw2u.append);
	return status;
}
