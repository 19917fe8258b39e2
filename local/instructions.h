#ifndef LOCAL_INSTRUCTIONS_H
#define LOCAL_INSTRUCTIONS_H

/*
 * .qmail files: which one applies to an address, and what it says
 * (dot-qmail(5)).
 *
 *   #...               a comment
 *   |COMMAND           a program gets the message
 *   /PATH/ or ./PATH/  a Maildir
 *   /PATH or ./PATH    an mbox
 *   &ADDRESS, ADDRESS  a forward; without a domain, to the local host
 *   +list              from here on forwards alone
 *   +...               nothing
 *
 * White space at the end of a line does not count; empty lines are passed over,
 * but an empty first line means that the user is not done yet: the mail waits.
 * The file is the user's own, and a hostile one at worst harms that user.
 */

#include <stdbool.h>
#include <stddef.h>

#define INSTRUCTIONS_SIZE_MAX 65536 /* octets of a file */
#define INSTRUCTIONS_LINES_MAX 1000
/* Octets of a file's name, with its NUL. */
#define INSTRUCTIONS_NAME_MAX 256

struct instructions_file {
	int fd; /* the caller's to close; -1 unless FOUND */
	char name[INSTRUCTIONS_NAME_MAX];
	bool has_matched;
	const char *matched; /* what "default" stands for, in extension */
	bool forward_only;   /* the execute bit: no programs, no folders */
};

enum instructions_result {
	INSTRUCTIONS_FOUND,
	INSTRUCTIONS_EMPTY,   /* a file of 0 octets: the default delivery */
	INSTRUCTIONS_NONE,    /* no such file */
	INSTRUCTIONS_TROUBLE, /* cannot tell, or not safe to use: why */
};

/*
 * Finds the file for dash and extension in the home folder: .qmail if both are
 * empty, else .qmail DASH EXTENSION, the extension in lower case with ":" for
 * ".", then the same ending in "default" instead of what follows a dash, the
 * longest first. It must be a regular file of the effective uid or of root,
 * writable by its owner alone. An extension with "/" or a control character has
 * none. On TROUBLE why has a reply text, "4.x.x …".
 */
enum instructions_result
instructions_find(int home, const char *dash, const char *extension,
	struct instructions_file *file, char *why, size_t size);

/*
 * Whether there is a file for dash and extension, in lower case as above, whose
 * name goes on with this end ("-owner"). 1 or 0; or -1 with a reply text in why.
 */
int instructions_exist(int home, const char *dash, const char *extension,
	const char *end, char *why, size_t size);

/*
 * Whether instructions in this home may be followed now: not while others may
 * write into it, nor while its sticky bit says that its user is editing. 0, or
 * -1 with a reply text in why.
 */
int instructions_home(int home, char *why, size_t size);

enum instruction_kind {
	INSTRUCTION_PROGRAM, /* text: the command */
	INSTRUCTION_MAILDIR, /* text: the path, as written */
	INSTRUCTION_MBOX,    /* text: the path, as written */
	INSTRUCTION_FORWARD, /* text: the address, as written */
};

struct instruction {
	enum instruction_kind kind;
	unsigned number; /* the line, from 1 */
	const char *text;
};

struct instructions {
	char *octets; /* owned */
	struct instruction *line;
	unsigned lines;
};

#define INSTRUCTIONS_ZERO ((struct instructions){0})

/*
 * Takes the file's text apart. All of it is checked first, so that a mistake in
 * the last line is found before the first is followed. Returns 0, or -1 with a
 * reply text in why and *instructions empty.
 */
int instructions_parse(const char *octets, size_t length, bool forward_only,
	struct instructions *instructions, char *why, size_t size);

/* Reads the file that was found, and parses it. As above. */
int instructions_read(const struct instructions_file *file,
	struct instructions *instructions, char *why, size_t size);

/* Frees what it owns and makes it empty. Safe twice. */
void instructions_free(struct instructions *instructions);

#endif
