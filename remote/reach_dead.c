#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include "lib/deadline.h"
#include "remote/reach.h"

bool
reach_is_out(const struct reach *way, const struct mx_address *address)
{
	const struct dead *dead = dead_find(way->dead, &address->address);

	return dead != NULL && dead_is_out(dead, deadline_now_ms());
}

unsigned
reach_find_probe(struct reach *way)
{
	const struct mx_list *hosts = &way->hosts;
	unsigned found = hosts->count;
	int64_t now_ms = deadline_now_ms(), first_ms = INT64_MAX;
	char text[64];

	for (unsigned i = 0; i < hosts->count; i++) {
		const struct dead *dead =
			dead_find(way->dead, &hosts->entry[i].address);
		int64_t until_ms = dead == NULL ? 0 : dead->until_ms;

		if ((dead == NULL || dead_may_probe(dead, now_ms)) &&
			until_ms < first_ms) {
			first_ms = until_ms;
			found = i;
		}
	}
	if (found == hosts->count && hosts->count > 0) {
		mx_address_text(&hosts->entry[0].address, text, sizeof text);
		snprintf(way->down_text, sizeof way->down_text,
			"4.4.1 not tried: nobody answered a moment ago (host "
			"%s [%s])",
			hosts->entry[0].host, text);
	}
	return found;
}

/* Takes it down here, and for the workers that the parent starts later. */
static void
tell(struct reach *way, const struct mx_address *address, enum dead_event event,
	int64_t begun_ms)
{
	struct dead_note note;
	uint32_t random = 0;

	(void)getrandom(&random, sizeof random, GRND_NONBLOCK);
	dead_tell(&address->address, event, begun_ms, &note);
	(void)dead_take(way->dead, &note, deadline_now_ms(), random);
	(void)send(
		way->parent, &note, sizeof note, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int
reach_connect(struct reach *way, const struct mx_address *address,
	const struct sockaddr_storage *source)
{
	bool is_known = dead_find(way->dead, &address->address) != NULL;
	int64_t begun_ms = deadline_now_ms();

	if (is_known)
		tell(way, address, DEAD_TRIED, begun_ms);
	int fd = client_connect(
		&address->address, source, way->options->timeouts.connect_ms);
	int error = fd < 0 ? errno : 0;
	if (error == ETIMEDOUT || error == EHOSTUNREACH)
		tell(way, address, DEAD_FAILED, begun_ms);
	else if (is_known &&
		 (error == 0 || error == ECONNREFUSED || error == ECONNRESET))
		tell(way, address, DEAD_ANSWERED, begun_ms);
	errno = error;
	return fd;
}
