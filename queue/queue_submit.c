/*
 * queue-submit is the way into the queue for programs that speak the protocol of
 * qmail-queue: the message on descriptor 0, the envelope on descriptor 1, the
 * result in the exit status.
 *
 * Runs as whoever calls it: nothing is set-uid.
 * Is handed message and envelope, from pipes or files.
 * Promises to end with 0 only after the message is durable in the queue; 11 to 40
 * say that it never will be, anything else that the caller may try again.
 * Never touches the queue itself, and never looks at QMAILQUEUE: a wrapper that
 * this variable named runs us with the variable as it was.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/address.h"
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/home.h"
#include "lib/outcome.h"
#include "lib/settings.h"
#include "lib/verp.h"
#include "queue/submit.h"

/* How long queue-inject may take for one answer, in milliseconds; and the caller
 * for all of it, in seconds, as qmail-queue has it. */
#define ANSWER_MS (5 * 60 * 1000)
#define CALLER_S 86400
/* The longest envelope, in octets. */
#define ENVELOPE_OCTETS_MAX (8 * 1024 * 1024)

struct submit_settings {
	char *me;
};

static const struct setting settings_table[] = {
	{"me", SETTING_HOST, NULL, 0, 0, offsetof(struct submit_settings, me),
		"given to addresses that have no domain"},
};

struct work {
	struct home home;
	struct submit_settings settings;
	struct submission submission;
	struct envelope envelope;
};

/* Says why, and gives the exit status. */
static int
fail(enum submit_code code, const char *what, const char *why)
{
	fprintf(stderr, "queue-submit: %s%s%s\n", what, *why ? ": " : "", why);
	return (int)code;
}

static int
refused(const struct work *work)
{
	return fail(work->submission.code, work->submission.text, "");
}

/* Sends all of descriptor 0. */
static int
send_message(struct work *work)
{
	char buffer[65536];

	for (;;) {
		ssize_t got = read(0, buffer, sizeof buffer);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail(
				SUBMIT_READ, "descriptor 0", strerror(errno));
		if (got == 0)
			return 0;
		work->submission.deadline_ms = deadline_after_ms(ANSWER_MS);
		if (submit_content(&work->submission, buffer, (size_t)got) < 0)
			return refused(work);
	}
}

/* Reads all of descriptor 1. */
static int
read_envelope(char **octets, size_t *length)
{
	size_t room = 65536;

	*length = 0;
	*octets = malloc(room);
	while (*octets != NULL) {
		ssize_t got = read(1, *octets + *length, room - *length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail(
				SUBMIT_READ, "descriptor 1", strerror(errno));
		if (got == 0)
			return 0;
		*length += (size_t)got;
		if (*length < room)
			continue;
		room *= 2;
		if (room > ENVELOPE_OCTETS_MAX)
			return fail(
				SUBMIT_ADDRESS, "the envelope is too long", "");
		char *more = realloc(*octets, room);
		if (more == NULL)
			free(*octets);
		*octets = more;
	}
	return fail(SUBMIT_MEMORY, "out of memory", "");
}

/* Reads an address into text; one without a domain gets ours. */
static int
take_address(const struct work *work, const char *octets, size_t length,
	unsigned flags, char text[ADDRESS_TEXT_MAX + 1])
{
	struct path path;

	if (address_mailbox_scan(octets, length,
		    flags | ADDRESS_NO_DOMAIN | ADDRESS_UTF8, &path) < 0 ||
		(path.kind == PATH_LOCAL &&
			address_set_domain(&path, work->settings.me,
				strlen(work->settings.me)) < 0))
		return -1;
	address_write(text, ADDRESS_TEXT_MAX + 1, &path);
	return 0;
}

/* True for a sender that is no address but means something: of a double bounce,
 * or one to be expanded for each recipient. It goes into text. */
static bool
take_special_sender(
	const char *octets, size_t length, char text[ENVELOPE_ADDRESS_MAX + 1])
{
	bool is_double = length == strlen(ENVELOPE_DOUBLE_BOUNCE) &&
			 memcmp(octets, ENVELOPE_DOUBLE_BOUNCE, length) == 0;

	if (length > ENVELOPE_ADDRESS_MAX ||
		(!is_double && verp_base(octets, length) == 0))
		return false;
	memcpy(text, octets, length);
	text[length] = 0;
	return true;
}

static int
take_item(struct work *work, char kind, const char *octets, size_t length)
{
	char text[ENVELOPE_ADDRESS_MAX + 1];

	if ((kind != 'F' || !take_special_sender(octets, length, text)) &&
		take_address(work, octets, length,
			kind == 'F' ? ADDRESS_NULL : 0, text) < 0)
		return fail(SUBMIT_ADDRESS,
			kind == 'F' ? "the sender is not an address"
				    : "a recipient is not an address",
			"");
	if (kind == 'F') {
		work->envelope.reverse_path = strdup(text);
		return work->envelope.reverse_path
			       ? 0
			       : fail(SUBMIT_MEMORY, "out of memory", "");
	}
	if (envelope_add_recipient(&work->envelope, text, 0, "") == 0)
		return 0;
	return errno == E2BIG ? fail(SUBMIT_ADDRESS, "too many recipients", "")
			      : fail(SUBMIT_MEMORY, "out of memory", "");
}

/* F sender NUL, then T recipient NUL again and again, then NUL. */
static int
take_envelope(struct work *work, const char *octets, size_t length)
{
	const char *at = octets, *end = octets + length;
	char wanted = 'F';

	while (at < end && *at == wanted) {
		const char *nul = memchr(at, 0, (size_t)(end - at));

		if (nul == NULL)
			break;
		int status =
			take_item(work, wanted, at + 1, (size_t)(nul - at) - 1);
		if (status != 0)
			return status;
		at = nul + 1;
		wanted = 'T';
	}
	if (wanted != 'T' || at + 1 != end || *at != 0)
		return fail(
			SUBMIT_FORMAT, "descriptor 1 is not an envelope", "");
	return 0;
}

/*
 * Message and envelope must be there, lest files of ours take their numbers;
 * where stderr is missing, nothing is said.
 */
static int
check_descriptors(void)
{
	for (int fd = 0; fd <= 1; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			return fail(SUBMIT_READ,
				fd == 0 ? "descriptor 0" : "descriptor 1",
				strerror(errno));
	if (descriptors_ensure_standard() < 0)
		return fail(SUBMIT_CONFIG, "/dev/null", strerror(errno));
	return 0;
}

static void
too_slow(int number)
{
	(void)number;
	_exit(SUBMIT_TIMEOUT);
}

static int
run(struct work *work)
{
	char submit[HOME_NAME_MAX];
	const char *path = getenv("KEEPMAIL_NEXT");
	char *octets = NULL;
	size_t length;

	/* Within queue-filter's programs the message goes back to it. */
	if (path == NULL || path[0] != '/')
		path = home_path(&work->home, "socket/submit", submit);
	if (submit_open(&work->submission, path, 0,
		    deadline_after_ms(ANSWER_MS)) < 0)
		return refused(work);
	int status = send_message(work);
	if (status == 0)
		status = read_envelope(&octets, &length);
	if (status == 0)
		status = take_envelope(work, octets, length);
	free(octets);
	/* No recipient: there is nothing to keep, as with qmail-queue. */
	if (status != 0 || work->envelope.recipients == 0) {
		submit_abandon(&work->submission);
		return status;
	}
	work->submission.deadline_ms = deadline_after_ms(ANSWER_MS);
	if (submit_finish(&work->submission, &work->envelope) < 0)
		return refused(work);
	return SUBMIT_ACCEPTED;
}

int
main(int argc, char **argv)
{
	char why[300], control[HOME_NAME_MAX];
	struct work *work;

	(void)argv;
	if (argc > 1) {
		fputs("usage: queue-submit <message 1<envelope\n", stderr);
		return STATUS_MISUSE;
	}
	int status = check_descriptors();
	if (status != 0)
		return status;
	work = calloc(1, sizeof *work);
	if (work == NULL)
		return fail(SUBMIT_MEMORY, "out of memory", "");
	SUBMISSION_CLOSED(&work->submission);
	signal(SIGPIPE, SIG_IGN);
	if (home_open(&work->home, why, sizeof why) < 0 ||
		settings_read(settings_table, SETTINGS_COUNT(settings_table),
			home_path(&work->home, "control", control),
			&work->settings, why, sizeof why) < 0)
		return fail(SUBMIT_CONFIG, why, "");
	signal(SIGALRM, too_slow);
	alarm(CALLER_S);
	status = run(work);
	envelope_free(&work->envelope);
	settings_free(settings_table, SETTINGS_COUNT(settings_table),
		&work->settings);
	free(work);
	return status;
}
