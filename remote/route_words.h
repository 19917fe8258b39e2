#ifndef REMOTE_ROUTE_WORDS_H
#define REMOTE_ROUTE_WORDS_H

/*
 * The settings of a route, as words in control/smtproutes and in a destination:
 *
 *   tls=none|may|must|verify  none: never. may: if the server offers it, without
 *                   a look at its certificate. must: or the mail waits. verify:
 *                   must, and the certificate is for the server's name. Where
 *                   nothing is said: verify with auth=, else may
 *   name=NAME       the name that the certificate must have, and that is asked
 *                   for (SNI), instead of the host's
 *   certificate=NAME  shows the client certificate tls-client/NAME.pem
 *   auth=NAME       logs in with that line of secrets/smarthosts; not by MX, of
 *                   which the DNS says the names, unless name= stands there
 *   auth-clear      the password may pass unencrypted
 *   no-bdat         sends by DATA even where CHUNKING is offered
 *   source=ADDRESS  connects from there, as far as the server's address is of
 *                   the same family; once for each family
 *   unusable=NUMBER nothing is sent: that line of control/smtproutes is wrong.
 *                   Not to be written by people
 *
 * Each word once. A word that is not known is an error: what somebody wanted for
 * the safety of mail must not be passed over.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROUTE_NAME_MAX 255
/* Octets of a credential's or a certificate's name. */
#define ROUTE_LABEL_MAX 32
/* Octets of the longest words as route_words_write writes them, with a NUL. */
#define ROUTE_WORDS_SIZE 530

enum route_tls {
	ROUTE_TLS_MAY = 0,
	ROUTE_TLS_NONE,
	ROUTE_TLS_MUST,
	ROUTE_TLS_VERIFY,
};

struct route_words {
	enum route_tls tls;
	bool is_tls_set; /* by a word */
	bool auth_clear;
	bool no_bdat;
	bool has_source_v4, has_source_v6;
	struct in_addr source_v4;
	struct in6_addr source_v6;
	char auth[ROUTE_LABEL_MAX + 1];	       /* "" for none */
	char certificate[ROUTE_LABEL_MAX + 1]; /* "" for none */
	char name[ROUTE_NAME_MAX + 1]; /* lower case; "" for the host's */
	uint32_t unusable;	       /* a line's number, or 0 */
};

/* No words: opportunistic TLS. */
#define ROUTE_WORDS_ZERO ((struct route_words){.tls = ROUTE_TLS_MAY})

/*
 * Reads words divided by blanks and tabs: all of text. Returns 0; or -1 with what
 * is wrong in why (printable), and *words undefined.
 */
int route_words_read(struct route_words *words, const char *text, size_t len,
	char *why, size_t size);

/*
 * Writes them in one order, a blank before each, NUL at the end: equal settings
 * are equal texts. Returns the length; ROUTE_WORDS_SIZE is room enough.
 */
size_t
route_words_write(const struct route_words *words, char text[ROUTE_WORDS_SIZE]);

#endif
