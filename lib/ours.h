#ifndef LIB_OURS_H
#define LIB_OURS_H

/*
 * Which domains are ours, asked by everything that has to know: resolve,
 * queue-runner (what is delivered here and what goes elsewhere) and the tools.
 * The first that there is decides:
 *
 *   1. control/locals: the domain, or ".suffix" of it.
 *   2. control/virtualdomains: "user@domain:prepend", "domain:prepend",
 *      ".suffix:prepend" (the longest first), ":prepend". The address stands for
 *      prepend-local at this host. Without anything after the ":" it is not
 *      ours, and nothing below is looked at.
 *   3. The user database's domains (domain-add).
 *
 * Case does not matter.
 */

#include <stddef.h>
#include "lib/cdbkept.h"
#include "lib/domains.h"
#include "lib/home.h"
#include "lib/settings.h"

struct ours_user;

struct ours {
	struct domains locals,
		virtuals;	/* owned; values "LINE" "LINE:PREPEND" */
	struct ours_user *user; /* owned, sorted */
	size_t users;
	struct cdbkept accounts; /* users/accounts.cdb */
};

enum ours_kind {
	OURS_NOT = 0,
	OURS_LOCAL = 1,
	OURS_VIRTUALDOMAIN = 2,
	OURS_DATABASE = 3,
	OURS_TROUBLE = 4, /* errno: the database cannot be read now */
};

/* By what it was decided. The texts live as long as the tables. */
struct ours_match {
	const char *file; /* "control/locals", … or "" */
	size_t line;	  /* 0: it has no lines */
	const char *prepend;
};

/*
 * Builds the tables; the lists are not kept. Without control/locals, me is the
 * one local domain. Returns 0, or -1 with a sentence in why and everything freed.
 */
int ours_build(struct ours *ours, const struct home *home, const char *me,
	const struct setting_list *locals,
	const struct setting_list *virtualdomains, char *why, size_t size);

/*
 * Decides about a mailbox: local part (unquoted) and domain. match may be NULL.
 */
enum ours_kind ours_find(struct ours *ours, const char *local, size_t local_len,
	const char *domain, size_t domain_len, struct ours_match *match);

/* The same for the text form local@domain. OURS_NOT if it is not an address. */
enum ours_kind ours_find_address(struct ours *ours, const char *address);

/* Frees everything. Safe twice. */
void ours_free(struct ours *ours);

#endif
