#ifndef MAIL_HARM_H
#define MAIL_HARM_H

/*
 * What the MIME library reads by recursion without a bound: groups of addresses
 * within groups. A message that has them by the thousand was made to harm whoever
 * reads it, and never reaches the library.
 */

#include <stddef.h>

/* So many colons in one field that holds addresses are no mail. */
#define HARM_COLONS 1000

/*
 * Whether anything in octets[0..len) that looks like such a field, of the message
 * or of one within it, has more than HARM_COLONS colons. Linear.
 */
int harm_in_message(const char *octets, size_t len);

/* Whether a field has this name that the library reads as addresses. */
int harm_is_address_field(const char *name, size_t len);

/* Whether a body has more than HARM_COLONS colons. */
int harm_in_body(const char *body, size_t len);

#endif
