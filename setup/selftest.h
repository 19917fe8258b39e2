#ifndef SETUP_SELFTEST_H
#define SETUP_SELFTEST_H

/*
 * The two halves of selftest: a message goes in by submission, and comes out by
 * POP3. Each step is told with the time that it took; the first that fails is the
 * last.
 */

#include <stdbool.h>
#include <stdint.h>
#include "lib/home.h"
#include "lib/tls.h"
#include "remote/client.h"
#include "remote/smarthosts.h"
#include "setup/findings.h"

/* The header field that marks the message; behind it: seconds since 1970, "-", 16
 * hexadecimal digits. */
#define SELFTEST_FIELD "X-Keepmail-Selftest"
#define SELFTEST_MARK_SIZE 40

struct selftest {
	struct findings findings;
	struct home home;
	char me[256];	    /* this host's name */
	struct login login; /* its user is the address, too */
	char mark[SELFTEST_MARK_SIZE];
	int64_t time_s;	     /* now, of the wall clock */
	int64_t deadline_ms; /* of all of it */
	int64_t step_ms;     /* when the step at hand began */
	struct sockaddr_storage submission, pop3s;
	char socket[HOME_NAME_MAX]; /* of tls-client */
	int content_fd;		    /* the message */
	uint64_t octets;	    /* of it */
	int queue;		    /* its folder */
	char id[32];		    /* in the queue; "" if it was not told */
	struct client client;
};

/* Tells the step at hand with its time, and begins the next one. */
void selftest_step(struct selftest *selftest, enum finding result,
	const char *subject, const char *mend, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* Tells how a session of TLS came about. */
void selftest_tell_tls(struct selftest *selftest, const char *subject,
	const struct tls_facts *facts);

/* Each returns true if all of its steps went well. */
bool selftest_submit(struct selftest *selftest);
bool selftest_follow(struct selftest *selftest);
bool selftest_fetch(struct selftest *selftest);

#endif
