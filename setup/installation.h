#ifndef SETUP_INSTALLATION_H
#define SETUP_INSTALLATION_H

/*
 * The parts of install-check: each looks at one part of the installation and
 * tells what it found.
 */

#include <stdbool.h>
#include <sys/types.h>
#include "lib/home.h"
#include "setup/findings.h"

/* The installed copy of tools/install.table. */
#define INSTALLATION_TABLE KEEPMAIL_PREFIX "/share/keepmail/install.table"

struct installation {
	struct findings *findings;
	const char *home; /* path */
	const char
		*programs; /* path of the folder of make-home and make-users */
	bool is_private;
	uid_t owner; /* of a private home */
};

/* What a path must be. */
enum installed_kind { KIND_FOLDER, KIND_FIFO, KIND_FILE, KIND_LINK };

struct path_wanted {
	const char *path; /* absolute */
	enum installed_kind kind;
	const char *user, *group; /* names */
	mode_t mode;
	const char *target; /* of a link */
	const char *make;   /* the command that makes it */
};

/* Looks at one path and tells what it found. */
void installation_path(const struct installation *installation,
	const struct path_wanted *wanted);

/* Programs, manuals and links, by the table that was installed with them. */
void installation_programs(const struct installation *installation);

/* The folders, FIFOs and run scripts of the home, by `make-home --table`. */
void installation_home(const struct installation *installation);

/* What lies in folders of the home: who may change or read it. */
void installation_contents(const struct installation *installation);

/* Users and groups, by `make-users --table`, and control/ids. */
void installation_users(const struct installation *installation);

/* That no regular file is set-uid or set-gid. */
void installation_setid(const struct installation *installation);

#endif
