#ifndef SMTPD_IDN_H
#define SMTPD_IDN_H

#include "lib/address.h"
#include "smtpd/session.h"
#include "smtpd/verdict.h"

/*
 * A domain of UTF-8 becomes one of A-labels (RFC 5891 section 4, RFC 6531 section
 * 3.7.1): from there on names are compared, looked up and written in that form
 * alone. The service lookup is asked for it. A verdict without a rule: the path is
 * fine. Else it is as it was, and the reply 451, or 553 with this enhanced code.
 */
struct verdict idn_make_ascii(
	const struct session *session, struct path *path, const char *enhanced);

#endif
