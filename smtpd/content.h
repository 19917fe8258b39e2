#ifndef SMTPD_CONTENT_H
#define SMTPD_CONTENT_H

/*
 * The content of a message on its way from the client to the queue, block by
 * block, decoded once: the one path for DATA and for BDAT, so that both have the
 * same law of line ends and the same limits. Whatever is wrong with it, the
 * client's octets are taken to their real end, and only then is it answered.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/dots.h"
#include "lib/line.h"
#include "lib/reply.h"
#include "smtpd/hops.h"

struct session;

struct content {
	const char *at; /* the command, for the log: DATA or BDAT */
	struct dots_decoder decoder;
	struct dots_counter counter; /* wire octets, for databytes */
	struct hops hops;
	int64_t start_ms;
	uint64_t octets;	  /* as stored */
	const char *rule_of_time; /* where the last deadline came from */
	struct reply failure;	  /* code 0: none so far */
	const char *rule;	  /* of the failure; NULL: it is in the log */
};

/*
 * Begins the content of the transaction, with its trace field. mode is DOTS_DATA
 * or DOTS_CHUNK, at the command. Code 0; or the refusal: the transaction has
 * ended then.
 */
struct reply
content_begin(struct session *session, enum dots_mode mode, const char *at);

/*
 * Takes wire octets[0..len); *consumed is less than len only at the end of DATA.
 * Returns whether that end has come. What is wrong shows in content->failure;
 * from then on nothing more goes to the queue.
 */
bool content_take(struct session *session, const char *octets, size_t len,
	size_t *consumed);

/* Nothing more goes to the queue; reply is what the client will be told. rule is
 * for the log; NULL: it is there already. */
void
content_fail(struct session *session, const char *rule, struct reply reply);

/* The deadline of the next wait for the client. */
int64_t content_deadline_ms(struct session *session);

/* The content has failed: the reply. Ends the transaction. */
struct reply content_refuse(struct session *session);

/* The content has ended: accepts it, or says what was wrong. Ends the
 * transaction. */
struct reply content_finish(struct session *session);

/*
 * The connection broke within the content, or nothing came: result is
 * LINE_TIMEOUT, LINE_EOF or LINE_ERROR with errno. Nothing was promised. Ends the
 * transaction.
 */
struct reply content_lost(struct session *session, enum line_result result);

#endif
