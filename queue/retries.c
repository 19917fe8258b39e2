#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "lib/address.h"
#include "lib/deadline.h"
#include "lib/log.h"
#include "queue/runner.h"

/*
 * Mail of a domain that a client of smtpd asks for by ETRN (RFC 1985): its
 * destination is tried whatever it did, and a walk through deferred/ makes its
 * messages due. Anybody who may relay can ask, as often as he likes: so a domain
 * is served once in EVERY_MS, one walk serves all that was asked for until it
 * began, goes on in slices, and is followed by a pause as long as it was. What is
 * asked beyond that is forgotten: such mail is tried when its time comes.
 */

#define EVERY_MS (60 * 1000)
#define PAUSE_MIN_MS 1000
/* So many messages are looked into before the runner sees to other things. */
#define SLICE 32

/* --- asking --- */

static bool
is_recent(const struct retry *retry, int64_t now_ms)
{
	return retry->domain[0] != 0 && now_ms < retry->asked_ms + EVERY_MS;
}

/* The place for it; NULL: it was asked for already, or too much was. */
static struct retry *
place_for(struct retries *retries, const char *domain, int64_t now_ms)
{
	struct retry *place = NULL;

	for (unsigned i = 0; i < RETRIES_MAX; i++) {
		struct retry *retry = &retries->retry[i];

		if (is_recent(retry, now_ms) || retry->state != RETRY_OVER) {
			if (strcmp(retry->domain, domain) == 0)
				return NULL;
			continue;
		}
		if (place == NULL || strcmp(retry->domain, domain) == 0)
			place = retry;
	}
	return place;
}

/* The destination of the domain itself needs no search. */
static void
retry_destination(struct runner *runner, const char *domain)
{
	char text[ROUTE_TEXT_SIZE], key[LAYOUT_DEST_LENGTH + 1];

	domain += domain[0] == '.';
	if (route_destination(&runner->routes, domain, strlen(domain), text,
		    sizeof text) < 0)
		return;
	layout_dest(text, key);
	struct flow *flow = flows_find(&runner->flows, key);
	if (flow != NULL)
		flow_retry_now(flow, deadline_now_ms());
}

void
retries_take(struct runner *runner, const char *domain)
{
	size_t dot = domain[0] == '.', length = strlen(domain);
	int64_t now_ms = deadline_now_ms();

	if (length > ROUTE_NAME_MAX ||
		!domain_valid(domain + dot, length - dot))
		return;
	struct retry *place = place_for(&runner->retries, domain, now_ms);
	if (place == NULL)
		return;
	memcpy(place->domain, domain, length + 1);
	place->state = RETRY_WANTED;
	place->asked_ms = now_ms;
	runner->retries.is_busy = true;
	log_line("retry: mail for %s%s is tried now", domain + dot,
		dot ? " and what is below it" : "");
	retry_destination(runner, domain);
}

/* --- looking for it --- */

/* True if the domain is name, or below it where name begins with a dot. */
static bool
is_within(const char *domain, const char *name)
{
	size_t length = strlen(domain), name_length = strlen(name);

	if (name[0] != '.')
		return strcasecmp(domain, name) == 0;
	if (strcasecmp(domain, name + 1) == 0)
		return true;
	return length > name_length &&
	       strcasecmp(domain + length - name_length, name) == 0;
}

/* True if a walk that is on its way looks for this recipient's domain. */
static bool
is_sought(const struct retries *retries, const char *address)
{
	const char *at = strrchr(address, '@');

	for (unsigned i = 0; at != NULL && i < RETRIES_MAX; i++)
		if (retries->retry[i].state == RETRY_SOUGHT &&
			is_within(at + 1, retries->retry[i].domain))
			return true;
	return false;
}

/* Lets the destinations that are sought, and not the others, be tried. True if
 * the message has any. */
static bool
retry_sought(const struct runner *runner, const struct message *message)
{
	const struct envelope *envelope = &message->file.envelope;
	bool is_found = false;

	for (uint32_t i = 0; i < envelope->recipients; i++) {
		const char *address = envelope->recipient[i].address;
		enum outcome outcome = message->file.state[i].outcome;

		if ((outcome != 0 && outcome_is_final(outcome)) ||
			!is_sought(&runner->retries, address))
			continue;
		is_found = true;
		struct flow *flow = pick_flow(runner, message, address);
		if (flow != NULL)
			flow_retry_now(flow, deadline_now_ms());
	}
	return is_found;
}

static void
look_into(struct runner *runner, const char *folder, const char *id,
	bool is_waiting)
{
	struct message *message = message_find(runner, id);
	char path[LAYOUT_PATH_MAX];

	if (message != NULL)
		return;
	snprintf(path, sizeof path, "%.80s/%.20s", folder, id);
	int fd = openat(runner->queue, path,
		O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return; /* it has gone where it is not deferred */
	message = message_load(runner, id, path, fd, false);
	if (message == NULL)
		return;
	if (!retry_sought(runner, message) || is_waiting) {
		message_forget(runner, message);
		return;
	}
	message->due_before_ms = runner_now_ms();
	admit(runner, message, false);
}

/* Those in memory that were put off for a moment. */
static void
look_into_memory(struct runner *runner)
{
	for (unsigned i = 0; i < TABLE_SLOTS; i++)
		for (struct message *message = runner->table[i]; message;
			message = message->next)
			if (retry_sought(runner, message)) {
				message->due_before_ms = runner_now_ms();
				message_list(runner, message);
			}
}

/* --- the walk --- */

/* True if a walk has begun. */
static bool
begin(struct runner *runner)
{
	struct retries *retries = &runner->retries;
	int64_t now_ms = deadline_now_ms();

	if (!retries->is_busy || now_ms < retries->next_ms)
		return false;
	for (unsigned i = 0; i < RETRIES_MAX; i++)
		if (retries->retry[i].state == RETRY_WANTED) {
			retries->retry[i].state = RETRY_SOUGHT;
			retries->is_walking = true;
		}
	retries->is_busy = retries->is_walking;
	if (!retries->is_walking)
		return false;
	retries->began_ms = now_ms;
	search_begin(runner, &retries->search);
	look_into_memory(runner);
	return true;
}

static void
end(struct retries *retries)
{
	int64_t now_ms = deadline_now_ms();
	int64_t pause_ms = now_ms - retries->began_ms;

	if (pause_ms < PAUSE_MIN_MS)
		pause_ms = PAUSE_MIN_MS;
	retries->next_ms = now_ms + pause_ms;
	retries->is_walking = retries->is_busy = false;
	for (unsigned i = 0; i < RETRIES_MAX; i++) {
		struct retry *retry = &retries->retry[i];

		if (retry->state == RETRY_SOUGHT)
			retry->state = RETRY_OVER;
		retries->is_busy |= retry->state == RETRY_WANTED;
	}
}

/* What waits together goes to one destination: the first of a folder shows which,
 * and there is no need to open the others. */
static void
look_on(struct runner *runner, struct walk *walk)
{
	const char *id = scan_walk_next(walk);
	bool is_waiting = strncmp(walk->path, QUEUE_WAITING "/",
				  strlen(QUEUE_WAITING "/")) == 0;

	if (id == NULL)
		return;
	look_into(runner, walk->path, id, is_waiting);
	if (is_waiting) {
		closedir(walk->folder);
		walk->folder = NULL;
	}
}

bool
retries_step(struct runner *runner)
{
	struct retries *retries = &runner->retries;
	char folder[LAYOUT_PATH_MAX];

	if (!retries->is_walking && !begin(runner))
		return false;
	for (unsigned i = 0; i < SLICE; i++) {
		if (!admit_has_room(runner))
			return false;
		if (retries->walk.folder != NULL) {
			look_on(runner, &retries->walk);
			continue;
		}
		if (!search_next(runner, &retries->search, folder)) {
			end(retries);
			return false;
		}
		if (folder[0] != 0)
			scan_walk_open(runner, &retries->walk, folder);
	}
	return true;
}
