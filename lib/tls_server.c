#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/escape.h"
#include "lib/tls_server.h"

/* --- which way --- */

static int
refuse_variable(const char *name, const char *expected, const char *text,
	char *why, size_t size)
{
	snprintf(why, size, "the variable %s: expected %s, found \"%.60s\"",
		name, expected, text);
	return -1;
}

/* The number of an open descriptor in a variable. 0; 1 if it is not set; -1. */
static int
take_descriptor(const char *name, int *fd, char *why, size_t size)
{
	const char *text = getenv(name);
	int value = 0;

	if (text == NULL)
		return 1;
	size_t len = strspn(text, "0123456789");
	for (size_t i = 0; i < len && len <= 6; i++)
		value = value * 10 + (text[i] - '0');
	if (len == 0 || len > 6 || text[len] != 0 || value < 3)
		return refuse_variable(
			name, "the number of a descriptor", text, why, size);
	struct pollfd one = {value, 0, 0};
	if (poll(&one, 1, 0) < 0 || (one.revents & POLLNVAL) != 0)
		return refuse_variable(name, "the number of an open descriptor",
			text, why, size);
	*fd = value;
	return 0;
}

/* 0; 1 if none of the variables is set; or -1. */
static int
find_ucspi(struct tls_server *server, char *why, size_t size)
{
	const char *const name[] = {"SSLCTLFD", "SSLREADFD", "SSLWRITEFD"};
	int *const fd[] = {&server->control, &server->input, &server->output};
	int missing = 0;

	for (int i = 0; i < 3; i++) {
		int result = take_descriptor(name[i], fd[i], why, size);

		if (result < 0)
			return -1;
		missing += result;
	}
	if (missing == 0 || missing == 3)
		return missing == 3;
	snprintf(why, size,
		"the variables SSLCTLFD, SSLREADFD and SSLWRITEFD: expected "
		"all or none of them");
	return -1;
}

int
tls_server_find(struct tls_server *server, const struct home *home, char *why,
	size_t size)
{
	const char *first = getenv("KEEPMAIL_TLS");

	*server = (struct tls_server){
		.control = -1, .input = -1, .output = -1, .fd = -1};
	if (first != NULL && strcmp(first, "first") != 0)
		return refuse_variable(
			"KEEPMAIL_TLS", "\"first\"", first, why, size);
	server->is_first = first != NULL;
	home_path(home, "socket/tls", server->socket_path);
	int result = find_ucspi(server, why, size);
	if (result < 0)
		return -1;
	if (result == 0)
		server->way = TLS_WAY_UCSPI;
	else if (access(server->socket_path, F_OK) == 0)
		server->way = TLS_WAY_SERVICE;
	return 0;
}

/* --- by the service --- */

int
tls_server_ask(struct tls_server *server, enum tls_service service,
	const char *client, char *why, size_t size)
{
	struct tls_request request = {.magic = TLS_MAGIC, .service = service};
	struct tls_facts facts;

	if (server->way == TLS_WAY_UCSPI)
		return 0;
	if (server->way == TLS_WAY_NONE) {
		snprintf(why, size, "%s: not there", server->socket_path);
		return -1;
	}
	escape_line(request.peer, sizeof request.peer, client, strlen(client),
		ESCAPE_MASK);
	server->fd = tls_open(server->socket_path, &request,
		deadline_after_ms(TLS_SERVER_ASK_MS), &facts);
	if (server->fd >= 0)
		return 0;
	snprintf(why, size, "%s: %s", server->socket_path, facts.text);
	return -1;
}

void
tls_server_close(struct tls_server *server)
{
	if (server->fd >= 0)
		close(server->fd);
	server->fd = -1;
}

/* What takes the places of 0 and 1. 0, or -1 with errno. */
static int
take_places(int input, int output)
{
	if (dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0)
		return -1;
	return 0;
}

static int
run_service(struct tls_server *server, int64_t deadline_ms,
	struct tls_facts *facts, char *why, size_t size)
{
	int fd = tls_hand_over(
		server->fd, STDIN_FILENO, STDOUT_FILENO, deadline_ms, facts);

	server->fd = -1;
	if (fd < 0) {
		snprintf(why, size, "%s", facts->text);
		return -1;
	}
	int result = take_places(fd, fd);
	if (result < 0)
		snprintf(why, size, "dup2: %s", strerror(errno));
	close(fd);
	return result;
}

/* --- by UCSPI-TLS --- */

/* One NAME=VALUE text. */
static void
take_detail(const char *text, struct tls_facts *facts)
{
	static const char protocol[] = "SSL_PROTOCOL=",
			  cipher[] = "SSL_CIPHER=";

	if (strncmp(text, protocol, sizeof protocol - 1) == 0) {
		text += sizeof protocol - 1;
		escape_line(facts->protocol, sizeof facts->protocol, text,
			strlen(text), ESCAPE_COMMENT);
	} else if (strncmp(text, cipher, sizeof cipher - 1) == 0) {
		text += sizeof cipher - 1;
		escape_line(facts->cipher, sizeof facts->cipher, text,
			strlen(text), ESCAPE_COMMENT);
	}
}

/* Texts as they come, each up to its NUL; what is longer than any that means
 * something is cut. */
struct details {
	char text[256];
	size_t len;  /* of the text so far, cut or not */
	size_t read; /* of all */
};

/* True at the empty text, which is the last. */
static bool
take_octet(struct details *details, char octet, struct tls_facts *facts)
{
	if (octet != 0) {
		if (details->len < sizeof details->text - 1)
			details->text[details->len] = octet;
		details->len++;
		return false;
	}
	if (details->len == 0)
		return true;
	if (details->len < sizeof details->text) {
		details->text[details->len] = 0;
		take_detail(details->text, facts);
	}
	details->len = 0;
	return false;
}

/* 0, or -1 with errno: EPROTO for an end too early, or none in sight. */
static int
read_details(int fd, int64_t deadline_ms, struct tls_facts *facts)
{
	struct details details = {.len = 0};
	char octets[512];

	for (;;) {
		if (deadline_wait(fd, POLLIN, deadline_ms) < 0)
			return -1;
		ssize_t got = read(fd, octets, sizeof octets);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got < 0)
			return -1;
		for (ssize_t i = 0; i < got; i++)
			if (take_octet(&details, octets[i], facts))
				return 0;
		details.read += (size_t)got;
		if (got == 0 || details.read > TLS_SERVER_DETAILS_MAX) {
			errno = EPROTO;
			return -1;
		}
	}
}

static int
run_ucspi(struct tls_server *server, int64_t deadline_ms,
	struct tls_facts *facts, char *why, size_t size)
{
	*facts = (struct tls_facts){.magic = TLS_MAGIC, .status = TLS_READY};
	int result = -1;
	if (deadline_wait(server->control, POLLOUT, deadline_ms) == 0 &&
		write(server->control, "Y", 1) == 1 &&
		read_details(server->control, deadline_ms, facts) == 0)
		result = take_places(server->input, server->output);
	if (result < 0)
		snprintf(why, size, "SSLCTLFD: %s", strerror(errno));
	close(server->control);
	close(server->input);
	if (server->output != server->input)
		close(server->output);
	return result;
}

/* --- both --- */

int
tls_server_run(struct tls_server *server, struct tls_facts *facts, char *why,
	size_t size)
{
	int64_t deadline_ms = deadline_after_ms(TLS_SERVER_HANDSHAKE_MS);
	enum tls_way way = server->way;

	server->way = TLS_WAY_NONE;
	return way == TLS_WAY_UCSPI
		       ? run_ucspi(server, deadline_ms, facts, why, size)
		       : run_service(server, deadline_ms, facts, why, size);
}

void
tls_describe(const struct tls_facts *facts, char text[TLS_DESCRIPTION_MAX])
{
	snprintf(text, TLS_DESCRIPTION_MAX, "%s %s",
		facts->protocol[0] != 0 ? facts->protocol : "unknown",
		facts->cipher[0] != 0 ? facts->cipher : "unknown");
}
