#ifndef LOCAL_QUOTA_H
#define LOCAL_QUOTA_H

/*
 * How much a Maildir holds and may hold, by the file maildirsize in it, as
 * Maildir++ has it:
 *
 *   10000000S,1000C       octets and messages that are allowed
 *   OCTETS MESSAGES       what came, or (negative) went; the sum is what is there
 *
 * Each delivery adds a line. The file is made anew by counting: if it is missing,
 * has grown beyond QUOTA_FILE_MAX, names another quota, or says that there is no
 * room and is more than QUOTA_FRESH_S old. What lies in tmp and in the folder .Trash
 * does not count. The file is the user's, and a wrong one at worst harms that user.
 */

#include <stdbool.h>
#include <stdint.h>

#define QUOTA_FILE_MAX 5120
#define QUOTA_FRESH_S (15 * 60)
/* No message with its fields and trace lines is much smaller. */
#define QUOTA_SMALLEST 512

struct quota {
	uint64_t octets;   /* 0: as many as they are */
	uint64_t messages; /* 0: the same */
};

enum quota_result {
	QUOTA_FITS,
	QUOTA_OVER,    /* there is no room now */
	QUOTA_TOO_BIG, /* nor would there be if nothing else were there */
	QUOTA_TROUBLE, /* errno */
};

/*
 * Whether one more message of so many octets may go into the Maildir, an open
 * folder; if so, its line is there when this returns. Without a limit of its own
 * (both 0) that of the file holds, and without a file everything fits.
 *
 * Deliveries that run side by side do this one after the other (flock of the folder,
 * waited for 5 s at most), so that they do not share what room one of them needs.
 * The folder must have been opened by the caller, not handed down: the lock is the
 * descriptor's.
 */
enum quota_result
quota_take(int maildir, const struct quota *limit, uint64_t octets);

/* Notes that what was taken did not come after all. That its line, or this one, is
 * lost or stays in a crash does no harm: the file is counted anew from time to
 * time. */
void quota_give_back(int maildir, uint64_t octets);

/*
 * Whether the file, made for this limit (or, if both are 0, whatever limit it says)
 * and fresh enough to be believed, leaves
 * less room than QUOTA_SMALLEST octets. Reads that file and nothing else: what is
 * not known is not full.
 */
bool quota_is_full(int maildir, const struct quota *limit);

#endif
