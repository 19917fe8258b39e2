#ifndef SETUP_SETUP_H
#define SETUP_SETUP_H

/*
 * The steps of setup. Each does its part or looks at it, tells what it found, and
 * never ends the program: the next step is taken whatever came of this one.
 */

#include <stdbool.h>
#include <stddef.h>
#include "lib/settings.h"
#include "remote/dns.h"
#include "setup/findings.h"
#include "setup/run.h"
#include "tools/users.h"

#define SETUP_NAME_MAX 255 /* octets of a domain */
#define SETUP_FILE_SIZE (SETTINGS_FILE_MAX + 1)
#define SETUP_PATH_MAX 600 /* of any path made here, with its NUL */

struct setup {
	struct findings findings;
	const char *home;     /* path */
	const char *programs; /* path */
	char domain[SETUP_NAME_MAX + 1];
	char host[SETUP_NAME_MAX + 1]; /* this host's name; "" until known */
	struct users_name user;	       /* of the first account */
	bool has_user;		       /* --user was given */
	bool is_private;
	bool is_loopback;	 /* no way to the Internet, or none is wanted */
	const char *certbot;	 /* folder of certificates of others */
	const char *signed_name; /* a domain with DNSSEC */
	const char *reach; /* a domain whose mail server is to be reached */
	char *file;	   /* room for a control file: SETUP_FILE_SIZE */
	struct run run;	   /* of the program at hand */
	struct dns dns;
	struct dns_answer answer; /* the latest */
};

/* Makes the path of something below the home. Returns path. */
const char *setup_path(const struct setup *setup, const char *relative,
	char path[SETUP_PATH_MAX]);

/* Runs a tool of the programs' folder with up to three arguments, NULL ends them.
 * As run_program. */
int setup_tool(struct setup *setup, const char *tool, const char *first,
	const char *second, const char *third, const char *input);

/*
 * Tells a finding about the way to the Internet: on loopback a FAIL is a warning,
 * for nothing here is broken.
 */
enum finding setup_internet(const struct setup *setup, enum finding result);

/* --- what is made --- */

void setup_users(struct setup *setup);
void setup_home(struct setup *setup);

/* Finds this host's name: control/me, --host, or the system's. */
void setup_host(struct setup *setup, const char *wanted);
/* me, the domain, rcpthosts, tcp.submission. */
void setup_control(struct setup *setup);
void setup_account(struct setup *setup);
void setup_certificates(struct setup *setup);

/* --- what is looked at --- */

/* Whether this host has only addresses of its own (loopback, link-local). */
bool setup_has_no_network(void);
void setup_check_names(struct setup *setup);
void setup_check_host(struct setup *setup);

/* --- files --- */

/* Reads the start of a small file as a text; -1 with errno. */
int setup_read(const char *path, char *text, size_t size);
/* Whether the text has a line that is the word, what is behind a tab, and blanks,
 * aside. */
bool setup_has_line(const char *text, const char *word);
/* Writes a file that is not there yet, durably, mode 0644. 0, or -1 with errno
 * (EEXIST). */
int setup_write_new(const char *path, const char *text);

#endif
