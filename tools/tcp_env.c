/*
 * tcp-env sets the variables that tcpserver would set, for a program that inetd
 * or a supervisor's socket started: tcp-env [-rR] [-t seconds] program [arg …].
 *
 * Runs as whoever started it, and becomes the program.
 * Is handed the connection on descriptor 0.
 * Promises that no variable of these names is left from outside: what is not
 * known is not set.
 * Never asks the client for its user's name (RFC 1413): -r is taken and does
 * nothing.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <poll.h>
#include <signal.h>
#include "lib/address.h"
#include "lib/deadline.h"
#include "lib/log.h"
#include "lib/outcome.h"

/* How long looking up the client's name may take, without -t. */
#define NAME_S 26
#define NAME_S_MAX 3600

struct end {
	int family; /* AF_INET also for an IPv4 address within an IPv6 one */
	char address[INET6_ADDRSTRLEN];
	unsigned port;
};

static int
usage(void)
{
	log_line(
		"usage: tcp-env [-r | -R] [-t seconds] program [argument ...]");
	return STATUS_MISUSE;
}

/* --- the ends of the connection --- */

static int
read_end(const struct sockaddr_storage *socket_address, struct end *end)
{
	const struct sockaddr_in *in =
		(const struct sockaddr_in *)socket_address;
	const struct sockaddr_in6 *in6 =
		(const struct sockaddr_in6 *)socket_address;
	const void *address = &in->sin_addr;

	end->family = socket_address->ss_family;
	end->port = ntohs(in->sin_port);
	if (end->family == AF_INET6) {
		address = &in6->sin6_addr;
		end->port = ntohs(in6->sin6_port);
		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
			end->family = AF_INET;
			address = &in6->sin6_addr.s6_addr[12];
		}
	}
	if (end->family != AF_INET && end->family != AF_INET6)
		return -1;
	return inet_ntop(end->family, address, end->address,
		       sizeof end->address) != NULL
		       ? 0
		       : -1;
}

/* --- the client's name --- */

/* Whether the name leads back to the address. */
static bool
leads_to(const char *name, const struct end *end)
{
	struct addrinfo hints = {
		.ai_family = end->family, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list;
	char text[INET6_ADDRSTRLEN];
	bool found = false;

	if (getaddrinfo(name, NULL, &hints, &list) != 0)
		return false;
	for (const struct addrinfo *at = list; at != NULL; at = at->ai_next)
		if (getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof text,
			    NULL, 0, NI_NUMERICHOST) == 0 &&
			strcmp(text, end->address) == 0)
			found = true;
	freeaddrinfo(list);
	return found;
}

/* The address's name, if it is a domain and leads back. 0, or -1. */
static int
find_name(const struct end *end, char *name, size_t size)
{
	struct addrinfo hints = {.ai_family = end->family,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST};
	struct addrinfo *list;

	if (getaddrinfo(end->address, NULL, &hints, &list) != 0)
		return -1;
	int result = getnameinfo(list->ai_addr, list->ai_addrlen, name,
		(socklen_t)size, NULL, 0, NI_NAMEREQD);
	freeaddrinfo(list);
	if (result != 0)
		return -1;
	size_t len = strlen(name);
	if (len > 0 && name[len - 1] == '.')
		name[--len] = 0;
	if (!domain_valid(name, len) || !leads_to(name, end))
		return -1;
	for (char *at = name; *at != 0; at++)
		if (*at >= 'A' && *at <= 'Z')
			*at = (char)(*at - 'A' + 'a');
	return 0;
}

/* Reads what the child found, to its end. Its octets, 0 for nothing in time. */
static size_t
read_name(int fd, char *name, size_t size, int64_t deadline_ms)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	size_t have = 0;

	while (have < size &&
		poll(&wait, 1, deadline_left_ms(deadline_ms)) > 0) {
		ssize_t got = read(fd, name + have, size - have);

		if (got <= 0)
			return got == 0 ? have : 0;
		have += (size_t)got;
	}
	return 0;
}

/*
 * The resolver's library has no deadline of ours: a child looks, and is ended
 * when its time is over. 0 with the name; -1: not known.
 */
static int
find_name_in_time(const struct end *end, char *name, size_t size, int seconds)
{
	int ends[2];

	if (pipe(ends) < 0)
		return -1;
	pid_t child = fork();
	if (child == 0) {
		close(ends[0]);
		if (find_name(end, name, size) == 0 &&
			write(ends[1], name, strlen(name)) < 0)
			_exit(1);
		_exit(0);
	}
	close(ends[1]);
	size_t len = 0;
	if (child > 0) {
		len = read_name(ends[0], name, size - 1,
			deadline_after_ms(seconds * INT64_C(1000)));
		kill(child, SIGKILL);
		while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
			continue;
	}
	close(ends[0]);
	name[len] = 0;
	return domain_valid(name, len) ? 0 : -1;
}

/* --- the variables --- */

static int
clear(void)
{
	static const char *const names[] = {"PROTO", "TCPLOCALIP",
		"TCPLOCALPORT", "TCPLOCALHOST", "TCPREMOTEIP", "TCPREMOTEPORT",
		"TCPREMOTEHOST", "TCPREMOTEINFO", "TCP6LOCALIP",
		"TCP6LOCALPORT", "TCP6LOCALHOST", "TCP6REMOTEIP",
		"TCP6REMOTEPORT", "TCP6REMOTEHOST", "TCP6INTERFACE"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (unsetenv(names[i]) < 0)
			return -1;
	return 0;
}

/* Sets TCP…, and TCP6… as well for an IPv6 connection. 0, or -1. */
static int
set(bool is_ipv6, const char *name, const char *value)
{
	char variable[40];

	snprintf(variable, sizeof variable, "TCP%s", name);
	if (setenv(variable, value, 1) < 0)
		return -1;
	if (!is_ipv6)
		return 0;
	snprintf(variable, sizeof variable, "TCP6%s", name);
	return setenv(variable, value, 1);
}

static int
set_end(bool is_ipv6, const char *side, const struct end *end)
{
	char name[20], port[12];

	snprintf(name, sizeof name, "%sIP", side);
	if (set(is_ipv6, name, end->address) < 0)
		return -1;
	snprintf(name, sizeof name, "%sPORT", side);
	snprintf(port, sizeof port, "%u", end->port);
	return set(is_ipv6, name, port);
}

/* 0; or -1 after a line in the log. */
static int
set_variables(int seconds)
{
	struct sockaddr_storage ours = {0}, theirs = {0};
	socklen_t ours_len = sizeof ours, theirs_len = sizeof theirs;
	struct end local, remote;
	char name[NI_MAXHOST];

	if (getsockname(STDIN_FILENO, (struct sockaddr *)&ours, &ours_len) <
			0 ||
		getpeername(STDIN_FILENO, (struct sockaddr *)&theirs,
			&theirs_len) < 0 ||
		read_end(&ours, &local) < 0 || read_end(&theirs, &remote) < 0) {
		log_line("descriptor 0 is no TCP connection");
		return -1;
	}
	bool is_ipv6 = remote.family == AF_INET6;
	if (clear() < 0 || setenv("PROTO", is_ipv6 ? "TCP6" : "TCP", 1) < 0 ||
		set_end(is_ipv6, "LOCAL", &local) < 0 ||
		set_end(is_ipv6, "REMOTE", &remote) < 0 ||
		(seconds > 0 &&
			find_name_in_time(
				&remote, name, sizeof name, seconds) == 0 &&
			set(is_ipv6, "REMOTEHOST", name) < 0)) {
		log_line("out of memory");
		return -1;
	}
	return 0;
}

/* A number of seconds; -1 for anything else. */
static int
scan_seconds(const char *text)
{
	char *end;
	long value = strtol(text, &end, 10);

	return *text >= '0' && *text <= '9' && *end == 0 && value <= NAME_S_MAX
		       ? (int)value
		       : -1;
}

int
main(int argc, char **argv)
{
	int option, seconds = NAME_S;

	log_start("tcp-env");
	while ((option = getopt(argc, argv, "+rRt:")) != -1) {
		if (option == '?')
			return usage();
		if (option == 't')
			seconds = scan_seconds(optarg);
		if (seconds < 0)
			return usage();
	}
	if (optind >= argc)
		return usage();
	if (set_variables(seconds) < 0)
		return STATUS_TEMPORARY;
	execvp(argv[optind], argv + optind);
	log_line("%s: %s", argv[optind], strerror(errno));
	return STATUS_TEMPORARY;
}
