/* POP3 over TLS: RFC 1939, RFC 8314. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/line.h"
#include "lib/output.h"
#include "remote/mx.h"
#include "setup/selftest.h"

/* So many messages, the latest, are looked at. */
#define LOOK_MAX 200
/* Marked messages that are older, in seconds, were left by a test that failed. */
#define OLD_S 3600
#define AGAIN_MS 300
#define LOGIN_MEND "keepmail user-passwd %s, and the same to selftest"

struct pop {
	int fd;
	struct line_reader in;
	struct output out;
	char said[300]; /* the latest reply, or why there is none */
};

/* The next line, without its end; -1 with a sentence. */
static int
get_line(const struct selftest *selftest, struct pop *pop, char *text,
	size_t size)
{
	const char *line;
	size_t len;
	enum line_result got = line_read(&pop->in, LINE_BUFFER_OCTETS,
		selftest->deadline_ms, &line, &len);

	if (got == LINE_TOO_LONG) {
		text[0] = '\0';
		return 0;
	}
	if (got != LINE_OK && got != LINE_BARE) {
		snprintf(pop->said, sizeof pop->said, "%s",
			got == LINE_TIMEOUT ? "no answer in time"
					    : "the connection was closed");
		return -1;
	}
	snprintf(text, size, "%.*s", (int)(len < size ? len : size - 1), line);
	return 0;
}

/* Says a command and reads its reply. 0, or -1 after anything but +OK. */
static int
say(const struct selftest *selftest, struct pop *pop, const char *word,
	const char *value)
{
	char line[600];
	int len = snprintf(line, sizeof line, "%s%s%s\r\n", word,
		value[0] != '\0' ? " " : "", value);
	int sent =
		output_put(&pop->out, line, (size_t)len, selftest->deadline_ms);

	explicit_bzero(line, sizeof line);
	if (sent < 0 || output_flush(&pop->out, selftest->deadline_ms) < 0) {
		snprintf(pop->said, sizeof pop->said, "%s", strerror(errno));
		return -1;
	}
	if (get_line(selftest, pop, pop->said, sizeof pop->said) < 0)
		return -1;
	return strncmp(pop->said, "+OK", 3) == 0 ? 0 : -1;
}

/* Connects and shakes hands. 0, or -1 with a sentence. */
static int
open_pop(const struct selftest *selftest, struct pop *pop,
	struct tls_facts *facts)
{
	struct tls_request request = {.magic = TLS_MAGIC,
		.service = TLS_CONNECT,
		.check = TLS_CHECK_NONE};

	snprintf(request.name, sizeof request.name, "%s", selftest->me);
	mx_address_text(&selftest->pop3s, request.peer, sizeof request.peer);
	int fd = client_connect(&selftest->pop3s, NULL,
		deadline_left_ms(selftest->deadline_ms));
	if (fd < 0) {
		snprintf(pop->said, sizeof pop->said, "no connection: %s",
			strerror(errno));
		return -1;
	}
	int service = tls_open(
		selftest->socket, &request, selftest->deadline_ms, facts);
	pop->fd = service < 0 ? -1
			      : tls_hand_over(service, fd, fd,
					selftest->deadline_ms, facts);
	close(fd);
	if (pop->fd < 0) {
		snprintf(pop->said, sizeof pop->said, "TLS: %s", facts->text);
		return -1;
	}
	line_start(&pop->in, pop->fd);
	output_start(&pop->out, pop->fd);
	return 0;
}

/* Reads the header of a message. True if it is marked; *is_ours: by us now. */
static bool
is_marked(const struct selftest *selftest, struct pop *pop, unsigned number,
	bool *is_ours)
{
	static const char field[] = SELFTEST_FIELD ": ";
	char word[32], line[200];
	bool is_old = false;

	*is_ours = false;
	snprintf(word, sizeof word, "%u 0", number);
	if (say(selftest, pop, "TOP", word) < 0)
		return false;
	while (get_line(selftest, pop, line, sizeof line) == 0 &&
		strcmp(line, ".") != 0) {
		const char *mark = line + sizeof field - 1;

		if (strncasecmp(line, field, sizeof field - 1) != 0)
			continue;
		*is_ours = strcmp(mark, selftest->mark) == 0;
		is_old = strtoll(mark, NULL, 10) < selftest->time_s - OLD_S;
	}
	return *is_ours || is_old;
}

/* Logs in, and deletes our message. 1: done; 0: it is not there yet; -1 with a
 * sentence. */
static int
look(const struct selftest *selftest, struct pop *pop)
{
	unsigned count, number;
	bool is_found = false, is_ours;
	char word[32];

	if (get_line(selftest, pop, pop->said, sizeof pop->said) < 0 ||
		strncmp(pop->said, "+OK", 3) != 0 ||
		say(selftest, pop, "USER", selftest->login.user) < 0 ||
		say(selftest, pop, "PASS", selftest->login.password) < 0 ||
		say(selftest, pop, "STAT", "") < 0)
		return -1;
	count = (unsigned)strtoul(pop->said + 3, NULL, 10);
	number = count;
	for (; number > 0 && count - number < LOOK_MAX; number--) {
		if (!is_marked(selftest, pop, number, &is_ours))
			continue;
		snprintf(word, sizeof word, "%u", number);
		if (say(selftest, pop, "DELE", word) < 0)
			return -1;
		is_found |= is_ours;
	}
	return say(selftest, pop, "QUIT", "") < 0 ? -1 : is_found;
}

bool
selftest_fetch(struct selftest *selftest)
{
	struct pop *pop = calloc(1, sizeof *pop);
	struct tls_facts facts = {0};
	char mend[FINDINGS_TEXT_MAX];
	int found = 0;
	bool is_told = false;

	while (pop != NULL && found == 0) {
		if (open_pop(selftest, pop, &facts) < 0) {
			selftest_step(selftest, FINDING_FAIL, "pop3s",
				"svstat HOME/service/pop3s "
				"HOME/service/tlsd, and their logs",
				"%s", pop->said);
			free(pop);
			return false;
		}
		if (!is_told)
			selftest_tell_tls(selftest, "pop3s", &facts);
		is_told = true;
		found = look(selftest, pop);
		close(pop->fd);
		if (found == 0 && deadline_left_ms(selftest->deadline_ms) == 0)
			break;
		if (found == 0)
			(void)poll(NULL, 0, AGAIN_MS);
	}
	if (found > 0)
		selftest_step(
			selftest, FINDING_OK, "fetched", NULL, "and deleted");
	else
		selftest_step(selftest, FINDING_FAIL, "fetched",
			found < 0
				? findings_mend(mend, LOGIN_MEND,
					  selftest->login.user)
				: "keepmail queue-list, and log/local/current "
				  "in the home",
			"%s",
			pop == NULL ? "out of memory"
			: found < 0 ? pop->said
				    : "it did not arrive in time");
	free(pop);
	return found > 0;
}
