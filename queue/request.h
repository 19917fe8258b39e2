#ifndef QUEUE_REQUEST_H
#define QUEUE_REQUEST_H

/*
 * What an administrator asks of the runner, and its answer: the octets of the
 * files requests/NAME and requests/NAME.done (doc/queue.md). Both are records
 * (lib/records.h); this module packs and unpacks them, and believes nothing.
 *
 * NAME is an id of its own (lib/ident.h), so requests sort by time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <skalibs/stralloc.h>
#include "lib/ident.h"
#include "queue/layout.h"

/* Messages that one request may name. */
#define REQUEST_IDS_MAX 1000
/* Octets of the words of a bounce. */
#define REQUEST_TEXT_MAX 400
/* Octets of the largest request file that is read. */
#define REQUEST_OCTETS_MAX (256 * 1024)
#define REQUEST_DONE ".done"
#define REQUEST_NAME_MAX (IDENT_LENGTH + sizeof REQUEST_DONE)

/* The numbers stand in files and never change. */
enum request_operation {
	REQUEST_HOLD = 1,     /* to held/, until released */
	REQUEST_RELEASE,      /* from held/ back to work */
	REQUEST_DELETE,	      /* discarded: nobody is told */
	REQUEST_BOUNCE,	      /* failed: the sender is told */
	REQUEST_RETRY,	      /* due now */
	REQUEST_ROUTE,	      /* to another host: text; "": as control/ says */
	REQUEST_DESTINATIONS, /* lists them: names no message, and its answer
			       * is another (queue/destination.h) */
};

struct request_id {
	char id[IDENT_LENGTH + 1];
	/* Where the asker saw it, relative to the queue folder, or "": a hint,
	 * that layout_place_is_valid holds for. */
	char place[LAYOUT_PATH_MAX];
};

struct request {
	enum request_operation operation;
	char text[REQUEST_TEXT_MAX + 1]; /* bounce: words; route: destination */
	struct request_id *id;		 /* owned array */
	unsigned ids;
};

#define REQUEST_ZERO ((struct request){0})

/* "hold", "release", …; NULL for a number that is none. */
const char *request_name(enum request_operation operation);

/* The operation of that name, of those on messages. 0, or -1. */
int request_operation(const char *name, enum request_operation *operation);

/* Adds a message, place may be "". 0, or -1 with ENOMEM, E2BIG (there are
 * REQUEST_IDS_MAX) or EINVAL. */
int request_add(struct request *request, const char *id, const char *place);

/* Appends the octets of a request to *into. 0, or -1 with ENOMEM. */
int request_pack(const struct request *request, stralloc *into);

enum request_result { REQUEST_OK, REQUEST_BAD, REQUEST_NO_MEMORY };

/*
 * Reads all of octets[0..length) as a request. REQUEST_OK: *request owns memory
 * for request_free; else it is empty. The text of a route is any printable text
 * here: whoever follows it checks it (remote/route.h).
 */
enum request_result
request_unpack(const void *octets, size_t length, struct request *request);

void request_free(struct request *request);

/* --- the answer --- */

/* What became of one message. */
struct request_answer {
	char id[IDENT_LENGTH + 1]; /* "": of the request as a whole */
	bool is_done;
	char text[REQUEST_TEXT_MAX + 1];
};

/* Appends one. 0, or -1 with ENOMEM. */
int request_pack_answer(stralloc *into, const struct request_answer *answer);

/*
 * Calls each(context, answer) for the answers in octets[0..length). Returns 0,
 * or -1 if they are not whole and sound; each may have been called for some.
 */
int request_unpack_answers(const void *octets, size_t length,
	void (*each)(void *context, const struct request_answer *answer),
	void *context);

#endif
