#ifndef LOCAL_OUTSIDE_H
#define LOCAL_OUTSIDE_H

/*
 * Addresses that a program of the administrator's knows (LDAP, SQL, …), asked
 * over the unix socket (SOCK_STREAM) that control/lookupsocket names. A
 * connection has one question and one answer, each a line of fields with a TAB
 * between two:
 *
 *   get TAB local@domain                        in lower case
 *
 *   mailbox [TAB home=PATH] [TAB quota=OCTETS]  it keeps mail
 *   alias TAB ADDRESS [TAB ADDRESS …]           it goes to these
 *   none                                        nobody has it
 *   temporary [TAB TEXT]                        ask later
 *
 * Anything else, no whole line, and no answer in time are temporary: who cannot be
 * asked makes no mail bounce. Mail of such an address belongs to _keep-vmail,
 * whatever the program says, and lies in mail/DOMAIN/LOCAL unless home says where.
 */

#include <stdint.h>
#include "lib/accounts.h"
#include "lib/address.h"
#include "lib/home.h"

/* Octets of a line, its line feed included. */
#define OUTSIDE_LINE_MAX 4096
/* How long the program may take, in milliseconds. */
#define OUTSIDE_MS 10000

struct outside {
	int fd; /* the caller's to close */
	size_t have;
	char line[OUTSIDE_LINE_MAX];
};

/*
 * Connects and sends the question for an address (text form). Returns 0, or -1
 * with errno and no descriptor.
 */
int outside_send(struct outside *outside, const char *socket_path,
	const char *address, int64_t deadline_ms);

/*
 * Takes what has arrived. Returns 1 when there is a whole line, without its line
 * feed, in outside->line; -1 when more must come; 0 when none will come.
 */
int outside_receive(struct outside *outside);

/*
 * Reads an answer into the account: kind, home ("" if it says none), quota and
 * targets; the rest stays. ACCOUNT_NONE for "none"; ACCOUNT_TROUBLE for
 * "temporary" and nonsense, with a sentence in why.
 */
enum account_result
outside_scan(const char *line, struct account *account, char *why, size_t size);

/*
 * Asks, waits for the answer at most OUTSIDE_MS, and fills in what it says of an
 * account that already has uid, gid and name (the address). A mailbox without a
 * home gets mail/DOMAIN/LOCAL.
 */
enum account_result
outside_fill(const struct home *home, const char *socket_path,
	struct account *account, char *why, size_t size);

/* The socket's path from control/lookupsocket: "" if there is none. 0, or -1
 * with why. */
int outside_setting(const struct home *home, char path[HOME_NAME_MAX],
	char *why, size_t size);

#endif
