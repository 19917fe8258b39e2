#ifndef TOOLS_SENDMAIL_SESSION_H
#define TOOLS_SENDMAIL_SESSION_H

/*
 * sendmail -bs: SMTP on descriptors 0 and 1, for a program of this host that can
 * do nothing else. Each message is the caller's own, submitted as sendmail's
 * others are; nothing is set-uid, so nobody can more by it than by sendmail itself.
 *
 * A network connection is turned away: whoever comes from elsewhere is smtpd's,
 * and must not relay by way of here.
 */

#include "tools/sendmail_submit.h"

/* Speaks until QUIT or the end of input. Returns 0 or a status of sysexits.h
 * with a sentence in why. */
int sendmail_session(struct sendmail *work);

#endif
