#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/durable.h"
#include "lib/log.h"
#include "local/account.h"
#include "local/deliver.h"
#include "local/expand.h"
#include "local/warden_child.h"

/* So long a child takes further requests: it knows the account as it was at the
 * start. Who asks closes its end long before. */
#define STAY_MS (60 * 1000)

bool
warden_key_is_sound(const char *key)
{
	size_t length = strnlen(key, ACCOUNT_KEY_MAX);

	if (length < 2 || length == ACCOUNT_KEY_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)key[i] < 32 || key[i] == 127)
			return false;
	return true;
}

static void
report(int fd, enum outcome outcome, const char *text)
{
	struct warden_report report = {
		.magic = WARDEN_MAGIC, .outcome = outcome};

	snprintf(report.text, sizeof report.text, "%s", text);
	(void)durable_write_all(fd, &report, sizeof report);
}

static bool
is_outside(const struct warden_request *request)
{
	return strncmp(request->account, "x:", 2) == 0;
}

/* Delivers and reports. 1: it may do another, 0: it has ended, -1: nobody heard
 * the report. */
static int
deliver_message(struct deliver_settings *settings,
	const struct account *account, const struct warden_request *request,
	int content, int to)
{
	struct warden_report result = {.magic = WARDEN_MAGIC};
	struct stat st;

	if (fstat(content, &st) < 0 || !S_ISREG(st.st_mode)) {
		report(to, OUTCOME_DEFERRED,
			"4.3.0 what came as the message is not a file");
		return -1;
	}
	if (account->targets[0] != 0)
		expand(settings, account, request, content, &result);
	else
		result.stays =
			deliver(settings, account, request, content, &result);
	/* what the look-up program says holds for one message */
	if (is_outside(request))
		result.stays = 0;
	if (durable_write_all(to, &result, sizeof result) < 0)
		return -1;
	return (int)result.stays;
}

/* Waits for another request, for the same account. The message file, or -1. */
static int
next_request(int from, int64_t end_ms, const char *account,
	struct warden_request *request)
{
	struct pollfd wait = {.fd = from, .events = POLLIN};
	int content = -1;
	unsigned descriptors = 0;

	if (deadline_left_ms(end_ms) == 0 ||
		poll(&wait, 1, deadline_left_ms(end_ms)) <= 0)
		return -1;
	ssize_t got = descriptors_receive(
		from, request, sizeof *request, &content, 1, &descriptors);
	if (got == (ssize_t)sizeof *request && descriptors == 1 &&
		request->magic == WARDEN_MAGIC &&
		request->kind == WARDEN_DELIVER &&
		warden_key_is_sound(request->account) &&
		strcmp(request->account, account) == 0)
		return content;
	if (got > 0)
		log_line("refused: no request for %s", account);
	return -1;
}

int
warden_deliver(struct deliver_settings *settings, const struct account *account,
	const struct warden_request *first, int content, int to)
{
	struct warden_request request = *first;
	int64_t end_ms = deadline_after_ms(STAY_MS);
	int more;

	do {
		alarm(WARDEN_DELIVERY_S);
		more = deliver_message(
			settings, account, &request, content, to);
		close(content);
	} while (more > 0 && (content = next_request(to, end_ms, first->account,
				      &request)) >= 0);
	return more < 0 ? STATUS_TEMPORARY : STATUS_DONE;
}

int
warden_prepare(const struct home *home, const struct warden_request *request,
	int to, struct account *account)
{
	char why[OUTCOME_TEXT_MAX + 1];

	switch (account_prepare(
		home, request->account, account, why, sizeof why)) {
	case ACCOUNT_FOUND:
		return 0;
	case ACCOUNT_NONE:
		if (request->kind == WARDEN_DELIVER)
			report(to, OUTCOME_FAILED,
				"5.1.1 there is no mailbox of that name");
		break;
	case ACCOUNT_TROUBLE:
		log_line("%s: %s", request->account, why);
		if (request->kind == WARDEN_DELIVER)
			report(to, OUTCOME_DEFERRED, why);
		break;
	}
	return -1;
}
