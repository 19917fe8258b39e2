#include "pop3d/session.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "pop3d/commands.h"

/* The login part has nothing left to do but to hand over. */
#define LOGIN_WAIT_MS 5000
/* The session before this one may just be ending. */
#define LOCK_WAIT_MS 3000
/* No session is longer. */
#define SESSION_MS (12 * 3600 * 1000)

/* Reads the record that the login part begins with. 0, or -1 with errno. */
static int
take_record(struct pop3_handover *handover, int login, int64_t deadline_ms)
{
	size_t have = 0;

	while (have < sizeof *handover) {
		struct pollfd waiting = {.fd = login, .events = POLLIN};
		int ready = poll(&waiting, 1, deadline_left_ms(deadline_ms));

		if (ready < 0 && errno != EINTR)
			return -1;
		if (ready == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		ssize_t count = ready < 0 ? -1
					  : read(login, (char *)handover + have,
						    sizeof *handover - have);
		if (count > 0) {
			have += (size_t)count;
		} else if (count == 0) {
			errno = EPROTO;
			return -1;
		} else if (errno != EINTR && errno != EAGAIN) {
			return -1;
		}
	}
	errno = EPROTO;
	if (handover->magic != POP3_HANDOVER_MAGIC || handover->takes_utf8 > 1)
		return -1;
	size_t length = strnlen(handover->tls, sizeof handover->tls);
	if (length == sizeof handover->tls)
		return -1;
	for (size_t at = 0; at < length; at++)
		if (handover->tls[at] <= 32 || handover->tls[at] > 126)
			handover->tls[at] = '_';
	return 0;
}

/*
 * Takes what the login part says and what it read ahead, the latter into the
 * reader's buffer, and sets the reader on the client. The login part reads into a
 * buffer of the same size, so more than fits is nonsense. Without a login part
 * there is nothing to take. 0, or -1 with errno.
 */
static int
take_over(struct pop3_state *state, int login, int in)
{
	int64_t deadline_ms = deadline_after_ms(LOGIN_WAIT_MS);
	struct line_reader *reader = &state->reader;
	enum line_result result;

	line_start(reader, in);
	if (login < 0)
		return 0;
	if (take_record(&state->handover, login, deadline_ms) < 0)
		return -1;
	reader->fd = login;
	do {
		result = line_fill(reader, deadline_ms);
	} while (result == LINE_OK);
	reader->fd = in;
	if (result == LINE_EOF)
		return 0;
	if (result == LINE_TOO_LONG)
		errno = EMSGSIZE;
	else if (result == LINE_TIMEOUT)
		errno = ETIMEDOUT;
	return -1;
}

/* Whether a line is there to be answered without waiting for the client. */
static int
has_line(const struct line_reader *reader)
{
	size_t length;
	const char *text = line_buffered(reader, &length);

	return length > 0 && memchr(text, '\n', length) != NULL;
}

static int
flush(struct pop3_state *state)
{
	return output_flush(&state->output, deadline_after_ms(POP3_IDLE_MS));
}

/*
 * Reads and answers one command. A line that ended in a bare LF is one too:
 * here no other server reads the same octets otherwise. *why is set when the
 * session ends.
 */
static enum pop3_next
serve_command(struct pop3_state *state, const char **why)
{
	const char *line;
	size_t length;

	int64_t deadline_ms = deadline_after_ms(POP3_IDLE_MS);

	if (deadline_ms > state->end_ms)
		deadline_ms = state->end_ms;
	switch (line_read(&state->reader, POP3_COMMAND_MAX, deadline_ms, &line,
		&length)) {
	case LINE_OK:
	case LINE_BARE:
		return pop3_command(state, line, length);
	case LINE_TOO_LONG:
		return pop3_error(state, "-ERR the line is too long");
	case LINE_TIMEOUT:
		*why = deadline_ms == state->end_ms ? "too long a session"
						    : "idle for too long";
		return POP3_LOST;
	case LINE_EOF:
		*why = "the client hung up";
		return POP3_LOST;
	case LINE_ERROR:
		*why = strerror(errno);
		break;
	}
	return POP3_LOST;
}

/* The commands, up to the end. Returns an exit status; *why for the log. */
static int
serve_commands(struct pop3_state *state, const char **why)
{
	for (;;) {
		if (!has_line(&state->reader) && flush(state) < 0) {
			*why = strerror(errno);
			return STATUS_DONE;
		}
		*why = NULL;
		switch (serve_command(state, why)) {
		case POP3_GO_ON:
			break;
		case POP3_QUIT:
			*why = flush(state) < 0 ? strerror(errno) : "quit";
			return STATUS_DONE;
		case POP3_ENOUGH:
			(void)flush(state);
			*why = "too many errors";
			return STATUS_DONE;
		case POP3_TROUBLE:
			/* What came before is due; the final dot is not. */
			(void)flush(state);
			*why = "a message could not be read";
			return STATUS_TEMPORARY;
		case POP3_LOST:
			if (*why == NULL)
				*why = strerror(errno);
			return STATUS_DONE;
		}
	}
}

/* Answers PASS with an error. */
static void
refuse(struct pop3_state *state, const char *text)
{
	if (pop3_answer(state, "-ERR %s", text) == POP3_GO_ON)
		(void)flush(state);
}

/*
 * Opens the maildrop. -1, or the exit status after the client has the reason, and
 * *why is for the log.
 */
static int
open_maildrop(struct pop3_state *state, const struct account *account, int in,
	int login, const char **why)
{
	if (take_over(state, login, in) < 0) {
		*why = strerror(errno);
		refuse(state, "[SYS/TEMP] the login could not be completed");
		return STATUS_TEMPORARY;
	}
	if (maildrop_open(&state->drop, account, LOCK_WAIT_MS) == 0)
		return -1;
	*why = strerror(errno);
	if (errno == EBUSY) {
		*why = "in use";
		refuse(state, "[IN-USE] another session has this maildrop");
		return STATUS_DONE;
	}
	log_line("maildrop %s/%s: %s", account->home, account->maildir, *why);
	refuse(state, "[SYS/TEMP] the maildrop cannot be opened now");
	return STATUS_TEMPORARY;
}

static int
serve(struct pop3_state *state, const struct account *account,
	const char *client, int in, int login)
{
	const char *why = NULL;
	int64_t start_ms = deadline_now_ms();

	state->end_ms = start_ms + SESSION_MS;
	int status = open_maildrop(state, account, in, login, &why);
	if (status < 0) {
		status = STATUS_DONE;
		if (pop3_answer(state, "+OK %zu messages",
			    state->drop.messages) == POP3_GO_ON)
			status = serve_commands(state, &why);
	}
	log_line("session account=%s client=%s tls=%s messages=%zu%s "
		 "retrieved=%zu octets=%llu deleted=%zu octets=%llu "
		 "seconds=%lld: %s",
		account->name, client,
		state->handover.tls[0] != '\0' ? state->handover.tls : "no",
		state->drop.messages, state->drop.incomplete ? "+" : "",
		state->retrieved, (unsigned long long)state->retrieved_octets,
		state->deleted, (unsigned long long)state->deleted_octets,
		(long long)(deadline_now_ms() - start_ms) / 1000,
		why != NULL ? why : "lost");
	maildrop_close(&state->drop);
	return status;
}

int
pop3_session(const struct account *account,
	const struct warden_request *request, int in, int out, int login)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	char client[sizeof request->client + 1] = "";
	struct pop3_state state;

	/* All but the buffers: of these an idle session has only what was
	 * used. */
	memset(&state.handover, 0,
		sizeof state - offsetof(struct pop3_state, handover));
	MAILDROP_CLOSED(&state.drop);
	sigaction(SIGPIPE, &ignore, NULL);
	/* The request came over a socket: its text may have no end. */
	memcpy(client, request->client,
		strnlen(request->client, sizeof request->client));
	output_start(&state.output, out);
	return serve(&state, account, client, in, login);
}
