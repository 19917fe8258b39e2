#include "pop3d/session.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include "lib/deadline.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "pop3d/commands.h"

/* The login part has nothing left to do but to hand over. */
#define LOGIN_WAIT_MS 5000

/*
 * Takes what the login part read ahead into the reader's buffer, and sets the
 * reader on the client. The login part reads into a buffer of the same size, so
 * more than fits is nonsense. 0, or -1 with errno.
 */
static int
take_over(struct line_reader *reader, int login, int in)
{
	int64_t deadline_ms = deadline_after_ms(LOGIN_WAIT_MS);
	enum line_result result;

	line_start(reader, login);
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

	switch (line_read(&state->reader, POP3_COMMAND_MAX,
		deadline_after_ms(POP3_IDLE_MS), &line, &length)) {
	case LINE_OK:
	case LINE_BARE:
		return pop3_command(state, line, length);
	case LINE_TOO_LONG:
		return pop3_answer(state, "-ERR the line is too long");
	case LINE_TIMEOUT:
		*why = "idle for too long";
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
static int
refuse(struct pop3_state *state, const char *text)
{
	if (pop3_answer(state, "-ERR [SYS/TEMP] %s", text) == POP3_GO_ON)
		(void)flush(state);
	return STATUS_TEMPORARY;
}

static int
serve(struct pop3_state *state, const struct account *account,
	const char *client, int in, int login)
{
	const char *why = NULL;

	if (take_over(&state->reader, login, in) < 0) {
		log_line("session %s from %s: login part: %s", account->name,
			client, strerror(errno));
		return refuse(state, "the login could not be completed");
	}
	if (maildrop_open(&state->drop, account) < 0) {
		log_line("session %s from %s: maildrop %s/%s: %s",
			account->name, client, account->home, account->maildir,
			strerror(errno));
		return refuse(state, "the maildrop cannot be opened now");
	}
	log_line("session start account=%s client=%s messages=%zu%s",
		account->name, client, state->drop.messages,
		state->drop.incomplete ? " (not all)" : "");
	int status = STATUS_DONE;
	if (pop3_answer(state, "+OK %zu messages", state->drop.messages) ==
		POP3_GO_ON)
		status = serve_commands(state, &why);
	log_line("session end account=%s client=%s messages=%zu retrieved=%zu "
		 "deleted=%zu octets=%llu: %s",
		account->name, client, state->drop.messages, state->retrieved,
		state->deleted, (unsigned long long)state->output.written,
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
	struct pop3_state state = {.drop.folder = {-1, -1}};

	sigaction(SIGPIPE, &ignore, NULL);
	/* The request came over a socket: its text may have no end. */
	memcpy(client, request->client,
		strnlen(request->client, sizeof request->client));
	output_start(&state.output, out);
	return serve(&state, account, client, in, login);
}
