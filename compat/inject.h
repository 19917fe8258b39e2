#ifndef COMPAT_INJECT_H
#define COMPAT_INJECT_H

/* What the parts of qmail-inject share. */

#include <stdbool.h>
#include <time.h>
#include "compat/inject_header.h"
#include "lib/date.h"
#include "tools/sendmail_submit.h"

#define LISTS_MAX 65536

struct values {
	char *defaulthost, *defaultdomain, *plusdomain, *idhost;
};

struct inject {
	struct sendmail *work;
	struct values values;
	struct inject_header header;
	char **argument;
	const char *sender;   /* -f; NULL if not given */
	char recipients_from; /* a, h, A, H */
	bool prints;
	/* letters of QMAILINJECT */
	bool comment_name, drops_path, verp_message, verp_recipient;
	time_t now;
	stralloc from, reverse_path;
	char date[DATE_OCTETS + 1], message_id[400], lists[LISTS_MAX + 1];
};

/* Says on stderr what is wrong, about escaped; returns the status. */
int inject_fail(int status, const char *what, const char *about);

/*
 * The envelope's sender and the From field, from the options, the variables and a
 * Return-Path field in the first length octets of the message. 0, or the exit
 * status after a message.
 */
int inject_set_sender(struct inject *inject, size_t length);

#endif
