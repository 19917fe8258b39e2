/*
 * The connection: opening it, commands and replies. client_hello.c greets,
 * client_tls.c encrypts, client_auth.c logs in, client_message.c sends messages.
 */
#include "remote/client.h"
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "remote/client_wire.h"

/* The longest command, NUL included. */
#define COMMAND_SIZE 2048

/* Waits for the end of a connect in progress. Returns 0, or -1 with errno. */
static int
await_connect(int fd, int64_t deadline_ms)
{
	struct pollfd item = {.fd = fd, .events = POLLOUT};
	socklen_t len = sizeof(int);
	int ready, error = 0;

	do
		ready = poll(&item, 1, deadline_left_ms(deadline_ms));
	while ((ready == -1 && errno == EINTR) ||
		(ready == 0 && deadline_left_ms(deadline_ms) != 0));
	if (ready == -1)
		return -1;
	if (ready == 0) {
		errno = ETIMEDOUT;
		return -1;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		return -1;
	errno = error;
	return error == 0 ? 0 : -1;
}

/* A source without a port of its own until the peer is known, so that as many
 * connections as there are ports can leave for each peer. */
static int
bind_source(int fd, const struct sockaddr_storage *source, socklen_t len)
{
	const int on = 1;

	(void)setsockopt(
		fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	return bind(fd, (const struct sockaddr *)source, len);
}

int
client_connect(const struct sockaddr_storage *address,
	const struct sockaddr_storage *source, int64_t timeout_ms)
{
	socklen_t len = address->ss_family == AF_INET6
				? sizeof(struct sockaddr_in6)
				: sizeof(struct sockaddr_in);
	int saved, fd = socket(address->ss_family,
			   SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd == -1)
		return -1;
	if (source != NULL && bind_source(fd, source, len) == -1) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	if (connect(fd, (const struct sockaddr *)address, len) == 0)
		return fd;
	if ((errno == EINPROGRESS || errno == EINTR) &&
		await_connect(fd, deadline_after_ms(timeout_ms)) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

void
client_start(struct client *client, int fd, const char *host,
	const char *address, const struct client_timeouts *timeouts)
{
	client->fd = fd;
	client->timeouts = timeouts != NULL ? *timeouts : CLIENT_TIMEOUTS;
	client->capabilities = client->mechanisms = 0;
	client->size_limit = 0;
	client->rcpt_max = client->mail_max = client->mails = 0;
	client->helo_only = client->no_bdat = client->ehlo_lost = 0;
	client->broken = client->transaction = 0;
	client->is_encrypted = client->is_proven = client->has_v4 = 0;
	client->aside = CLIENT_ASIDE_NONE;
	client->outcome = OUTCOME_DEFERRED;
	client->text[0] = client->trouble[0] = '\0';
	if (strcmp(host, address) == 0)
		snprintf(client->where, sizeof client->where, " (host [%s])",
			address);
	else
		snprintf(client->where, sizeof client->where,
			" (host %.255s [%.64s])", host, address);
	reply_begin(&client->reply);
	line_start(&client->in, fd);
	output_start(&client->out, fd);
}

void
client_break(struct client *client, const char *trouble)
{
	if (!client->broken)
		snprintf(
			client->trouble, sizeof client->trouble, "%s", trouble);
	client->broken = 1;
}

int
client_put(struct client *client, const char *format, ...)
{
	char command[COMMAND_SIZE];
	va_list arguments;
	int len, i;

	va_start(arguments, format);
	len = vsnprintf(command, sizeof command, format, arguments);
	va_end(arguments);
	for (i = 0; len > 0 && i < len && i < COMMAND_SIZE - 2; i++)
		if ((unsigned char)command[i] < ' ' || command[i] == 127)
			len = -1;
	if (len < 0 || len > COMMAND_SIZE - 2) {
		client_break(client, "a command that cannot be sent");
		return -1;
	}
	command[len++] = '\r';
	command[len++] = '\n';
	if (output_put(&client->out, command, (size_t)len,
		    deadline_after_ms(client->timeouts.mail_ms)) == -1) {
		client_break(client, strerror(errno));
		return -1;
	}
	return 0;
}

static const char *
line_trouble(enum line_result result)
{
	switch (result) {
	case LINE_EOF:
		return "closed by the other side";
	case LINE_TIMEOUT:
		return "no reply in time";
	case LINE_TOO_LONG:
		return "a reply with too long a line";
	case LINE_ERROR:
		return strerror(errno);
	case LINE_OK:
	case LINE_BARE:
		break;
	}
	return "a reply that is none";
}

int
client_read_reply(struct client *client, int64_t wait_ms)
{
	int64_t deadline_ms = deadline_after_ms(wait_ms);
	enum reply_result taken = REPLY_MORE;
	enum line_result result;
	const char *line;
	size_t len;

	reply_begin(&client->reply);
	while (taken == REPLY_MORE) {
		result = line_read(&client->in, LINE_COMMAND_MAX, deadline_ms,
			&line, &len);
		taken = REPLY_BAD;
		if (result == LINE_OK || result == LINE_BARE)
			taken = reply_take_line(&client->reply, line, len);
		if (taken == REPLY_BAD) {
			client_break(client, line_trouble(result));
			return -1;
		}
	}
	if (client->reply.code == 421)
		client_break(client, "the server closes (421)");
	return reply_class(&client->reply);
}

int
client_reply(struct client *client, int64_t wait_ms)
{
	if (client->broken)
		return -1;
	if (output_flush(&client->out, deadline_after_ms(wait_ms)) == -1) {
		client_break(client, strerror(errno));
		return -1;
	}
	return client_read_reply(client, wait_ms);
}

void
client_text(const struct client *client, char text[OUTCOME_TEXT_MAX + 1],
	const char *format, ...)
{
	size_t size = OUTCOME_TEXT_MAX + 1 - strlen(client->where), len;
	va_list arguments;

	va_start(arguments, format);
	if (vsnprintf(text, size, format, arguments) < 0)
		text[0] = '\0';
	va_end(arguments);
	len = strlen(text);
	memcpy(text + len, client->where, strlen(client->where) + 1);
}

void
client_reply_text(const struct client *client, char text[OUTCOME_TEXT_MAX + 1])
{
	char summary[OUTCOME_TEXT_MAX + 1];

	reply_summary(&client->reply, summary, sizeof summary);
	client_text(client, text, "%s", summary);
}

enum client_result
client_next_host(struct client *client, int class, const char *when)
{
	client->outcome = class == 5 ? OUTCOME_FAILED : OUTCOME_DEFERRED;
	if (class == -1)
		client_text(client, client->text,
			"4.4.2 connection lost %s: %s", when, client->trouble);
	else
		client_reply_text(client, client->text);
	return CLIENT_NEXT_HOST;
}

enum client_result
client_reset(struct client *client)
{
	int class = -1;

	if (client_put(client, "RSET") == 0)
		class = client_reply(client, client->timeouts.mail_ms);
	if (class == 2) {
		client->transaction = 0;
		return CLIENT_OK;
	}
	/* A server that does not take RSET is not to be used again. */
	client_break(client, "RSET was refused");
	client->outcome = OUTCOME_DEFERRED;
	client_text(client, client->text, "4.4.2 connection lost at RSET: %s",
		client->trouble);
	return CLIENT_NEXT_HOST;
}

void
client_quit(struct client *client)
{
	if (client->broken || client_put(client, "QUIT") == -1)
		return;
	output_flush(&client->out, deadline_after_ms(0));
	client_break(client, "QUIT was sent");
}
