#ifndef LOCAL_ACCOUNT_H
#define LOCAL_ACCOUNT_H

/*
 * The one routine that knows which accounts an address may mean, and what an
 * account's key means. resolve asks the first question, for everybody; the warden
 * the second, of itself, whatever anybody told it. addresses(5) is the manual.
 *
 * Whether a domain is ours says lib/ours.h. Then, for local@domain:
 *
 *   1. the user database: the account or alias of that address
 *   2. users/aliases.cdb: the alias of that local part   (domains of locals)
 *   3. users/cdb: the exact entry, or the longest wildcard; nothing follows then
 *   4. the system user of that name
 *   5. for each delimiter in the local part, from the last to the first, the
 *      database's account and then the system user of what stands before it,
 *      with what stands behind it as extension, if it has instructions for that
 *   6. the alias account with the whole local part as extension, if it has
 *      instructions for that
 *   7. the look-up program (control/lookupsocket)
 *   8. the user database: the domain's catch-all
 *
 * An address of control/virtualdomains stands for prepend-local, and knows 3 to 6;
 * one of a domain of the user database 1, 5 (accounts of the database alone), 7
 * and 8. Case does not matter.
 *
 * A system user counts if its uid is neither 0 nor a role's and its home folder
 * is there and its own (in private mode: if its uid is the running one besides).
 */

#include <stdbool.h>
#include "lib/accounts.h"
#include "lib/address.h"
#include "lib/home.h"
#include "lib/ours.h"
#include "local/resolve.h"

/* At most so many delimiters are tried, from the last on. */
#define ACCOUNT_DASHES_MAX 8
#define ACCOUNT_CANDIDATES_MAX (2 * ACCOUNT_DASHES_MAX + 6)

enum candidate_proof {
	CANDIDATE_CERTAIN, /* it takes the address, whatever it has */
	CANDIDATE_LOOKUP,  /* if the warden finds instructions for it */
	CANDIDATE_FINAL,   /* the same, and nobody after it is asked */
	CANDIDATE_OUTSIDE, /* if the look-up program knows it */
};

struct candidate {
	char account[ACCOUNT_KEY_MAX];
	char dash[4];
	char extension[ADDRESS_LOCAL_MAX + 1];
	enum candidate_proof proof;
	bool may_be_full; /* the warden may know that it is full */
};

struct candidates {
	struct candidate candidate[ACCOUNT_CANDIDATES_MAX];
	int count;
	enum ours_kind domain;
	uint64_t version; /* another one when a database has changed */
};

/* What the routine reads, open. */
struct address_book {
	const struct home *home;
	struct ours ours;
	struct cdbkept assign, aliases;
	char delimiters[16];
	bool has_outside;
	bool counts_all; /* a mailbox without a quota here may have its own */
};

/* Who wants to hear of each step; file and line are where it was decided, file ""
 * and line 0 if nowhere. */
struct account_teller {
	void (*say)(
		void *context, const char *file, size_t line, const char *text);
	void *context;
};

/* Names the files; the tables of book->ours are built already. */
void account_book_open(struct address_book *book, const struct home *home,
	const char *delimiters, bool has_outside);
void account_book_close(struct address_book *book);

/*
 * Lists the candidates for a mailbox, and stops after the first that is certain.
 * Returns 0 (found->domain OURS_NOT: it is not ours, OURS_TROUBLE never); or -1
 * with errno when a database cannot be read now. teller may be NULL.
 */
int account_candidates(struct address_book *book, const struct path *path,
	const struct account_teller *teller, struct candidates *found);

/*
 * The account of a key: "u:local@domain" in the user database, "e:name" an alias
 * of users/aliases.cdb, "q:local" an entry of users/cdb, "s:name" a system user,
 * "a:" the alias account, "x:local@domain" whatever the look-up program says: of
 * that, only name, uid and gid are filled in (see local/outside.h). ACCOUNT_NONE
 * also for one that must not be used: uid or gid 0, a role's uid. The key is
 * checked to be one.
 */
enum account_result account_by_key(
	const struct home *home, const char *key, struct account *account);

/*
 * For the process that has become the account's owner, before it keeps or reads
 * mail: asks the look-up program for what only it knows of an "x:" account, and
 * makes the home and the Maildir of a mailbox below mail/ if they are missing.
 * ACCOUNT_NONE: there is no such account (any more). ACCOUNT_TROUBLE: a reply
 * text in why.
 */
enum account_result account_prepare(const struct home *home, const char *key,
	struct account *account, char *why, size_t size);

/* Whether mail may be kept as that uid and gid. */
bool
account_may_be_used(const struct home *home, const struct account *account);

/* As account_system, for users who may have mail and whose home is there and
 * theirs. */
enum account_result account_of_system(
	const struct home *home, const char *name, struct account *account);

#endif
