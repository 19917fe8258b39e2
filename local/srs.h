#ifndef LOCAL_SRS_H
#define LOCAL_SRS_H

/*
 * The Sender Rewriting Scheme: a message that is forwarded to another host leaves
 * with a reverse-path in a domain of ours, or that host's check of the sender's
 * domain (SPF, RFC 7208) would refuse us. A report about it comes back to that
 * address and is sent on to the sender.
 *
 *   ann@example.org        ->  SRS0=HASH=TT=example.org=ann@SRSDOMAIN
 *   SRS0=…@other.example   ->  SRS1=HASH=other.example==…@SRSDOMAIN
 *   SRS1=H=first.example=… ->  SRS1=HASH=first.example=…@SRSDOMAIN
 *
 * TT is the day, HASH proves that we wrote the address: without it, anybody could
 * have mail sent through us to anybody. Both are in base32, because some hosts
 * change the case of a local part; so the case does not count in what is proved.
 * The hash is the first 40 bits of HMAC-SHA256 with the first key; what any of the
 * keys proves is taken, so that a key can be replaced.
 */

#include <stddef.h>
#include <stdint.h>
#include "lib/address.h"

#define SRS_KEYS_MAX 8
#define SRS_KEY_MIN 16
#define SRS_KEY_MAX 200
/* How long an address is good for, in days. */
#define SRS_DAYS 21

struct srs {
	char domain[ADDRESS_DOMAIN_MAX + 1]; /* "": nothing is rewritten */
	unsigned keys;
	char key[SRS_KEYS_MAX][SRS_KEY_MAX + 1];
};

/*
 * Reads keys from text[0..length), one a line; empty lines and those that begin
 * with "#" are passed over. 0; or -1 with a sentence in why, and no keys.
 */
int srs_read_keys(struct srs *srs, const char *text, size_t length, char *why,
	size_t size);

/*
 * The reverse-path with which a message may leave. Writes its text form and
 * returns its length; or 0 if there is nothing to rewrite: scheme not in use, the
 * null reverse-path or another that is no mailbox, or it would not fit into a
 * local part. now_s is the time in seconds since the epoch.
 */
size_t srs_forward(const struct srs *srs, const char *reverse_path,
	int64_t now_s, char buffer[ADDRESS_TEXT_MAX + 1]);

enum srs_result {
	SRS_OK,
	SRS_NONE,    /* not such an address, or not of our domain */
	SRS_FORGED,  /* malformed, or no key of ours made it */
	SRS_EXPIRED, /* older than SRS_DAYS, or of the future */
};

/* Where mail to such an address goes: on SRS_OK its text form is in buffer. */
enum srs_result srs_reverse(const struct srs *srs, const struct path *address,
	int64_t now_s, char buffer[ADDRESS_TEXT_MAX + 1]);

/* Forgets the keys. */
void srs_forget(struct srs *srs);

#endif
