/*
 * qmail-names is several small commands of qmail's, by their names: qmail-qread,
 * qmail-newmrh, qmail-pw2u and qmail-getpw.
 *
 * Runs as whoever calls it; qmail-qread needs to read the queue folder (root, or a
 * member of keep-read), qmail-newmrh to write into control/.
 * Is handed arguments; qmail-pw2u a passwd file on descriptor 0.
 * Promises qmail's output, octet by octet, for programs that read it.
 */

#include <stdio.h>
#include <string.h>
#include "compat/names.h"
#include "lib/escape.h"
#include "lib/outcome.h"

int
names_fail(int status, const char *name, const char *what, const char *about)
{
	char line[600];

	escape_line(line, sizeof line, about, strlen(about), ESCAPE_MASK);
	fprintf(stderr, "%s: fatal: %s%s%s\n", name, what, line[0] ? ": " : "",
		line);
	return status;
}

int
names_is_alias(const char *user)
{
	return strcmp(user, "alias") == 0 || strcmp(user, "_keep-alias") == 0;
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} commands[] = {
		{"qmail-qread", qread_main},
		{"qmail-newmrh", newmrh_main},
		{"qmail-pw2u", pw2u_main},
		{"qmail-getpw", getpw_main},
	};

	/* by its own name: the command is the first argument */
	for (int shift = 0; shift < 2 && shift < argc; shift++) {
		const char *slash = strrchr(argv[shift], '/');
		const char *name = slash != NULL ? slash + 1 : argv[shift];

		for (size_t i = 0; i < sizeof commands / sizeof commands[0];
			i++)
			if (strcmp(name, commands[i].name) == 0)
				return commands[i].run(
					argc - shift, argv + shift);
	}
	fputs("usage: qmail-names COMMAND [argument …]\n"
	      "COMMAND: qmail-qread, qmail-newmrh, qmail-pw2u, qmail-getpw\n",
		stderr);
	return STATUS_MISUSE;
}
