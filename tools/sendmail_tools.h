#ifndef TOOLS_SENDMAIL_TOOLS_H
#define TOOLS_SENDMAIL_TOOLS_H

/*
 * What sendmail lets other tools of ours do: sendmail -q and -bv. They stand where
 * KEEPMAIL_PROGRAMS says, or where they were installed, and run as the caller.
 *
 * Each returns 0 or a status of sysexits.h with a sentence in why.
 */

#include "tools/sendmail_submit.h"

/* Asks the runner to try all that waits now, or what options->flush says. */
int sendmail_flush(struct sendmail *work);

/* Says what becomes of each recipient's address. EX_NOUSER if one has nobody. */
int sendmail_verify(struct sendmail *work);

#endif
