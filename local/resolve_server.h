#ifndef LOCAL_RESOLVE_SERVER_H
#define LOCAL_RESOLVE_SERVER_H

/*
 * Inside of resolve: the questions in hand, and how the candidates of one are
 * gone through until there is an answer.
 */

#include "local/account.h"
#include "local/outside.h"

#define RESOLVE_CLIENTS_MAX 1000

/* A question in hand: its candidates, of which one is being looked up. */
struct resolve_client {
	int fd;
	int report; /* of the look-up; -1: none is under way */
	int64_t deadline_ms;
	bool may_trace, is_traced;
	bool asks_room; /* the quota matters, too */
	bool is_room;	/* the look-up under way is for that */
	enum resolve_room room;
	bool is_outside; /* report is the look-up program's connection */
	struct outside outside;
	char address[RESOLVE_TEXT_MAX];
	struct candidates found;
	int at;
};

struct resolve_server {
	struct home home;
	struct address_book book;
	char warden_path[HOME_NAME_MAX], outside_path[HOME_NAME_MAX];
	int listener, warden, signals;
	struct resolve_client client[RESOLVE_CLIENTS_MAX];
	unsigned clients;
};

/* The answer: with the current candidate, if an account takes it. */
void resolve_say(const struct resolve_client *client,
	enum resolve_meaning meaning, const char *text);
/* RESOLVE_TEMPORARY, logged. */
void resolve_cannot_tell(const struct resolve_client *client, const char *text);

/* Tells one step of the decision (context: the client), if it wants to know. */
void resolve_tell_step(
	void *context, const char *file, size_t line, const char *text);

/* Goes on with the current candidate, until there is an answer or a look-up. */
void
resolve_go_on(struct resolve_server *server, struct resolve_client *client);

/* The warden's look-up, or the look-up program's answer, may be ready, or its
 * time over: goes on if it is. */
void resolve_end_lookup(
	struct resolve_server *server, struct resolve_client *client);
void resolve_end_outside(
	struct resolve_server *server, struct resolve_client *client);

#endif
