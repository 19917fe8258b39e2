#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "local/local.h"

/* To start a child costs more than all the rest of a delivery: so one waits so
 * long for another message. */
#define IDLE_MS 500

static void
forget(struct local *local, struct stayer *stayer)
{
	*stayer = local->stayer[--local->stayers];
}

int
stayers_ask(struct local *local, const struct warden_request *request,
	int content, int64_t *stay_ms)
{
	/* the latest first, so that those that are too many go */
	for (unsigned i = local->stayers; i-- > 0;) {
		struct stayer *stayer = &local->stayer[i];

		if (strcmp(stayer->account, request->account) != 0)
			continue;
		int report = stayer->report;
		*stay_ms = stayer->stay_ms;
		forget(local, stayer);
		if (deadline_left_ms(*stay_ms) > 0 &&
			warden_ask_child(report, request, content) == 0)
			return report;
		close(report);
	}
	return -1;
}

void
stayers_add(
	struct local *local, const char *account, int report, int64_t stay_ms)
{
	if (local->stayers == STAYERS_MAX || deadline_left_ms(stay_ms) == 0) {
		close(report);
		return;
	}
	struct stayer *new = &local->stayer[local->stayers++];
	*new = (struct stayer){.report = report,
		.stay_ms = stay_ms,
		.idle_ms = deadline_after_ms(IDLE_MS)};
	memcpy(new->account, account, sizeof new->account);
}

void
stayers_let_go(struct local *local)
{
	while (local->stayers > 0)
		close(local->stayer[--local->stayers].report);
}

int64_t
stayers_do_due(struct local *local, int64_t next_ms)
{
	int64_t now_ms = deadline_now_ms();

	for (unsigned i = local->stayers; i-- > 0;) {
		struct stayer *stayer = &local->stayer[i];

		if (stayer->idle_ms <= now_ms) {
			close(stayer->report);
			forget(local, stayer);
		} else if (stayer->idle_ms < next_ms) {
			next_ms = stayer->idle_ms;
		}
	}
	return next_ms;
}
