#ifndef LOCAL_ACCOUNT_H
#define LOCAL_ACCOUNT_H

/*
 * The one routine that knows which accounts an address may mean, and what an
 * account's key means. resolve asks the first question; the warden the second,
 * of itself, whatever anybody told it.
 *
 * For local@domain, in this order: the virtual account of that address; the
 * system user of that name; for each "-" in the local part, from the last to the
 * first, the virtual account and then the system user of what stands before it,
 * with what stands behind it as extension; the alias account with the whole local
 * part as extension. Case does not matter.
 *
 * A system user counts if its uid is neither 0 nor a role's and its home folder
 * is there and its own (in private mode: if its uid is the running one besides).
 */

#include <stdbool.h>
#include "lib/accounts.h"
#include "lib/address.h"
#include "lib/home.h"
#include "local/resolve.h"

/* At most so many dashes are tried, from the last on. */
#define ACCOUNT_DASHES_MAX 8
#define ACCOUNT_CANDIDATES_MAX (2 * ACCOUNT_DASHES_MAX + 2)

struct candidate {
	char account[ACCOUNT_KEY_MAX];
	char dash[4];
	char extension[ADDRESS_LOCAL_MAX + 1];
	/* It takes the address, whatever its instructions are; otherwise they
	 * must be looked up. */
	bool is_certain;
};

/*
 * Lists the candidates for a mailbox whose domain is ours, and stops after the
 * first that is certain. Returns how many; or -1 with errno when a database
 * cannot be read now.
 */
int account_candidates(const struct home *home, const struct path *path,
	struct candidate candidate[ACCOUNT_CANDIDATES_MAX]);

/*
 * The account of a key: "u:local@domain", "s:name", "a:". ACCOUNT_NONE also for
 * one that must not be used: uid or gid 0, a role's uid. The key is checked to be
 * one.
 */
enum account_result account_by_key(
	const struct home *home, const char *key, struct account *account);

#endif
