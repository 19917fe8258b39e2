#ifndef SMTPD_SUBMISSION_H
#define SMTPD_SUBMISSION_H

/*
 * smtpd as the server of our own users' mail programs (RFC 6409): what the
 * settings submission, hideclient, senderlogin and submitsocket mean. One service
 * among several has them by variables of the same names in capital letters, which
 * stand above the files: tools/service/submission/run sets SUBMISSION.
 */

#include <stdbool.h>
#include <stddef.h>
#include "smtpd/judge.h"
#include "smtpd/session.h"

/* Takes the variables, and checks values. 0, or -1 with a sentence in why. */
int submission_configure(struct session *session, char *why, size_t size);

#endif
