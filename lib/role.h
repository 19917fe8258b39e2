#ifndef LIB_ROLE_H
#define LIB_ROLE_H

/*
 * A role: what one program may be and do, as data at the top of its file, and
 * the one routine that makes it true before input is touched. Privilege is only
 * given up: limits, groups, gid, uid, a proof that the old identity cannot be had
 * back, not dumpable, no_new_privs, the Landlock set, the list of system calls.
 *
 * In private mode (lib/home.h) no identity is changed and everything else holds
 * all the same.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "lib/home.h"

/* Classes of system calls; what none of a role's classes holds kills. */
enum role_calls {
	CALLS_BASE = 0,	   /* always: memory, time, read, write, poll */
	CALLS_READ = 1,	   /* open files and folders to read them */
	CALLS_WRITE = 2,   /* create, change, rename, remove, sync files */
	CALLS_CONNECT = 4, /* make sockets and connect them */
	CALLS_SERVE = 8,   /* accept connections on what listens already */
	CALLS_FORK = 16,   /* start children of the same program, wait */
	CALLS_EXEC = 32,   /* start other programs */
	/* Sockets of other families than unix; reaches_network adds it. */
	CALLS_NETWORK = 64,
	/* No list and no Landlock set, which children would inherit: for the one
	 * program whose children are whatever an administrator names. Its uid,
	 * its limits and no_new_privs hold it. */
	CALLS_ANY = 128,
};

enum role_access {
	ROLE_READ = 1,	  /* open to read; list folders */
	ROLE_WRITE = 2,	  /* and create, change, rename, remove below it */
	ROLE_CONNECT = 4, /* a folder of sockets; for the reader of the table:
			     no kernel rule stands behind it */
};

#define ROLE_PATHS_MAX 12
#define ROLE_GROUPS_MAX 4

struct role_path {
	const char
		*path;	 /* below the home, or absolute if it begins with "/" */
	unsigned access; /* enum role_access */
};

struct role {
	const char *program;
	/* "_keep-…"; or "root" for the one program that stays it, and whose
	 * children become others: it gets the limits alone. */
	const char *user;
	const char *group; /* primary */
	/* Supplementary groups; one that begins with "?" may be missing. */
	const char *groups[ROLE_GROUPS_MAX + 1];
	/* tcpserver has changed uid and gid already: check that it did. */
	bool is_given;
	/* What is open to it in the file system. Nothing: an empty set. Paths
	 * that do not exist are left out. */
	struct role_path path[ROLE_PATHS_MAX];
	bool reaches_network; /* may connect by TCP to anywhere */
	unsigned calls;	      /* enum role_calls, ored */
	/* Limits, each also the hard one; 0 leaves it as it is. */
	uint64_t memory_octets; /* RLIMIT_DATA */
	unsigned descriptors;	/* RLIMIT_NOFILE */
};

/*
 * Makes the role true for this process, in the order above. Returns 0; or -1
 * with a sentence in why, and then the caller must end: some of it may have
 * happened. A kernel without Landlock or an older one is no failure: *why is then
 * a sentence for the log, and otherwise "".
 */
int role_take(const struct role *role, const struct home *home, char *why,
	size_t size);

/*
 * Narrows further, for a child: another, smaller set of paths (up to the first
 * with a NULL path) and calls. Same results as role_take.
 */
int role_confine(const struct role_path *path, bool reaches_network,
	unsigned calls, const struct home *home, char *why, size_t size);

/*
 * Becomes another user for good: groups, gid, uid, the proof, and a umask of 077
 * (role_take leaves it at 0: each file that a program of ours makes has the mode
 * that stands in the code). Refuses uid 0
 * and gid 0 (EPERM). In private mode the uid must be the running one (EPERM
 * otherwise), and nothing changes. 0, or -1 with errno: the caller must end.
 */
int role_become(const struct home *home, uid_t uid, gid_t gid,
	const gid_t *group, unsigned groups);

/* --- parts, for the test of each --- */

/* Installs the list of system calls. 0, or -1 with errno. Does nothing where the
 * program is built with a sanitizer, whose own calls are not listed. */
int role_filter_install(unsigned calls);

#endif
