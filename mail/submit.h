#ifndef MAIL_SUBMIT_H
#define MAIL_SUBMIT_H

/*
 * Hands a message to a sendmail command, as an array of arguments and without a
 * shell: PROGRAM -i [-f SENDER] -- RECIPIENT ...
 */

#include "mail/compose.h"

/*
 * Runs the program and waits for its end. Returns its exit status; 75 if a signal
 * ended it; or -1 with errno: it could not be run. One that ended with 0 without
 * reading the message to its end counts as 75.
 */
int submit(const char *program, const struct composed *composed);

#endif
