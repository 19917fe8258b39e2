#ifndef SMTPD_POLICY_H
#define SMTPD_POLICY_H

/*
 * Who may send where: control/rcpthosts, and morercpthosts.cdb if there are too
 * many for a list, say for which domains mail is taken from anybody, control/locals which of all domains end here, and the variable
 * RELAYCLIENT (from tcpserver's rules) lifts rcpthosts for one client. The
 * decision is a pure function of a table built once; whether an address exists
 * is resolve's to say.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/address.h"
#include "lib/cdbfile.h"
#include "lib/domains.h"
#include "lib/ours.h"
#include "lib/settings.h"

struct policy {
	struct domains locals;	  /* owned */
	struct domains rcpthosts; /* owned */
	bool has_rcpthosts;	  /* control/rcpthosts exists */
	struct cdbfile more;	  /* control/morercpthosts.cdb, owned */
	bool has_more;
	bool may_relay;	    /* RELAYCLIENT is set */
	const char *suffix; /* its value, not owned; "" for none */
};

enum policy_verdict {
	POLICY_LOCAL,	/* ours: ask resolve whether somebody has it */
	POLICY_ONWARD,	/* taken, and sent on to another host */
	POLICY_REFUSED, /* another's, and this client may not relay */
	POLICY_NOTHING, /* rcpthosts is missing, or the cdb is damaged: nothing
			   is taken now */
};

/*
 * Builds the tables. Without control/locals, me is the one local domain.
 * relay_client is the value of RELAYCLIENT, or NULL. Returns 0; or -1 with a
 * sentence in why that names file and line, and *policy empty.
 */
int policy_build(struct policy *policy, const char *me,
	const struct setting_list *locals, const struct setting_list *rcpthosts,
	const char *relay_client, char *why, size_t size);

/*
 * Adds the domains of a cdb, as qmail-newmrh makes it: keys in lower case, ".suffix"
 * for all names below one, no data. No file: nothing is added. Returns 0, or -1
 * with a sentence in why.
 */
int policy_add_more(
	struct policy *policy, const char *path, char *why, size_t size);

/* Frees the tables. Safe twice. */
void policy_free(struct policy *policy);

/* The decision for one domain (in lower case, as struct path has it). */
enum policy_verdict
policy_judge(const struct policy *policy, const char *domain, size_t len);

/*
 * The number of the line in its file by which a domain is in one of the tables;
 * 0 if it is not, or by no line.
 */
size_t
policy_line(const struct domains *domains, const char *domain, size_t len);

/*
 * Appends RELAYCLIENT's value to the path's text, as qmail does (a value such
 * as "@gateway.example" sends all mail of a client there, "user@host" becoming
 * a quoted local part). Nothing to append: no change. 0, or -1 if the result is
 * no mailbox; then *path is as it was.
 */
int policy_append(const struct policy *policy, struct path *path);

enum policy_answer {
	POLICY_EXISTS,	  /* take it */
	POLICY_NOBODY,	  /* never: the domain is ours, nobody has it */
	POLICY_ELSEWHERE, /* resolve does not know the domain as ours */
	POLICY_LATER,	  /* cannot tell now */
	POLICY_FULL_NOW,  /* somebody has it, whose mailbox is full */
	POLICY_FULL,	  /* the same, and that is for good */
};

/*
 * Asks resolve (lib and errors as resolve_ask) about an address as text. *why
 * is a sentence for the log, "" for POLICY_EXISTS. *domain is by what the domain is
 * ours, OURS_TROUBLE if resolve gave no answer.
 */
enum policy_answer
policy_ask(int *fd, const char *socket_path, const char *address,
	int64_t deadline_ms, enum ours_kind *domain, char *why, size_t size);

#endif
