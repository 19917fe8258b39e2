/*
 * smtpsink: an SMTP server that throws mail away and counts it.
 *
 *   smtpsink PORT [MILLISECONDS [OCTET]]
 *
 * Listens at all IPv4 addresses. The answer to the end of a message is held back for so
 * many milliseconds; with OCTET only at addresses whose second octet it is. Says
 * "ready"; for each line on its standard input a line of what came since the line
 * before:
 *
 *   messages quick recipients connections peak first last last-quick
 *
 * quick ones were not held back; peak is the most connections at one time; the
 * times are CLOCK_MONOTONIC in seconds, 0 if there was none. Ends with its input.
 */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { INPUT_MAX = 65536, LINE_MAX_OCTETS = 1024 };

/* What of "CRLF . CRLF" has come. */
enum place { TEXT, LINE_START, DOT, DOT_CR };

struct client {
	int fd;
	bool is_slow, in_message, is_held;
	enum place place;
	long recipients;
	double due;
	struct client *next; /* in the queue of held ones */
	size_t line_octets, start, end;
	char line[LINE_MAX_OCTETS];
	char input[INPUT_MAX];
};

struct counts {
	long messages, quick, recipients, connections, peak;
	double first, last, last_quick;
};

struct sink {
	int poll, listener;
	double delay_s;
	int octet; /* -1: all are slow */
	long open;
	struct client *held, **held_end;
	struct counts counts;
};

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void
say(struct client *c, const char *text)
{
	/* a client that does not read is none of ours */
	(void)send(c->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
watch(struct sink *sink, int how, struct client *c)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

	if (epoll_ctl(sink->poll, how, c != NULL ? c->fd : sink->listener,
		    &event) < 0) {
		perror("smtpsink: epoll_ctl");
		exit(111);
	}
}

static void
take(struct sink *sink, struct client *c)
{
	struct counts *counts = &sink->counts;

	say(c, "250 2.0.0 taken\r\n");
	counts->last = now_s();
	if (counts->messages++ == 0)
		counts->first = counts->last;
	counts->recipients += c->recipients;
	if (!c->is_slow) {
		counts->quick++;
		counts->last_quick = counts->last;
	}
	c->recipients = 0;
}

static void
message_ended(struct sink *sink, struct client *c)
{
	c->in_message = false;
	if (!c->is_slow) {
		take(sink, c);
		return;
	}
	/* what follows waits with it */
	watch(sink, EPOLL_CTL_DEL, c);
	c->is_held = true;
	c->due = now_s() + sink->delay_s;
	c->next = NULL;
	*sink->held_end = c;
	sink->held_end = &c->next;
}

/* Returns whether the session goes on. */
static bool
command(struct client *c)
{
	const char *line = c->line;

	if (strncasecmp(line, "EHLO", 4) == 0)
		say(c, "250-sink.test\r\n250-PIPELINING\r\n250-SIZE\r\n"
		       "250 8BITMIME\r\n");
	else if (strncasecmp(line, "RCPT", 4) == 0) {
		c->recipients++;
		say(c, "250 2.1.5 ok\r\n");
	} else if (strncasecmp(line, "DATA", 4) == 0) {
		c->in_message = c->recipients > 0;
		c->place = LINE_START;
		say(c, c->in_message ? "354 go on\r\n"
				     : "503 5.5.1 no recipient\r\n");
	} else if (strncasecmp(line, "QUIT", 4) == 0) {
		say(c, "221 2.0.0 bye\r\n");
		return false;
	} else {
		if (strncasecmp(line, "NOOP", 4) != 0)
			c->recipients = 0;
		say(c, "250 2.0.0 ok\r\n");
	}
	return true;
}

/* Goes through message text until its end or that of the input. */
static void
read_message(struct sink *sink, struct client *c)
{
	while (c->start < c->end && c->in_message) {
		char *at = c->input + c->start;

		if (c->place == TEXT) {
			char *feed = memchr(at, '\n', c->end - c->start);

			c->start = feed != NULL ? (size_t)(feed + 1 - c->input)
						: c->end;
			c->place = feed != NULL ? LINE_START : TEXT;
			continue;
		}
		c->start++;
		if (c->place == LINE_START && *at == '.')
			c->place = DOT;
		else if (c->place == DOT && *at == '\r')
			c->place = DOT_CR;
		else if (c->place == DOT_CR && *at == '\n')
			message_ended(sink, c);
		else
			c->place = *at == '\n' ? LINE_START : TEXT;
	}
}

/* Goes through the input. Returns whether the session goes on. */
static bool
work(struct sink *sink, struct client *c)
{
	while (c->start < c->end && !c->is_held) {
		if (c->in_message) {
			read_message(sink, c);
			continue;
		}
		char octet = c->input[c->start++];
		if (octet != '\n') {
			if (c->line_octets < LINE_MAX_OCTETS - 1)
				c->line[c->line_octets++] = octet;
			continue;
		}
		c->line[c->line_octets] = '\0';
		c->line_octets = 0;
		if (!command(c))
			return false;
	}
	return true;
}

static void
end(struct sink *sink, struct client *c)
{
	close(c->fd);
	free(c);
	sink->open--;
}

static void
hear(struct sink *sink, struct client *c)
{
	ssize_t got = read(c->fd, c->input, sizeof c->input);

	c->start = 0;
	c->end = got > 0 ? (size_t)got : 0;
	if (got <= 0 || !work(sink, c))
		end(sink, c);
}

static void
release_due(struct sink *sink)
{
	while (sink->held != NULL && sink->held->due <= now_s()) {
		struct client *c = sink->held;

		sink->held = c->next;
		if (sink->held == NULL)
			sink->held_end = &sink->held;
		c->is_held = false;
		take(sink, c);
		watch(sink, EPOLL_CTL_ADD, c);
		if (!work(sink, c))
			end(sink, c);
	}
}

static void
greet(struct sink *sink)
{
	struct sockaddr_in own;
	socklen_t length = sizeof own;
	int one = 1;
	int fd = accept4(sink->listener, NULL, NULL, SOCK_CLOEXEC);
	struct client *c = fd < 0 ? NULL : calloc(1, sizeof *c);

	if (c == NULL ||
		getsockname(fd, (struct sockaddr *)&own, &length) < 0) {
		perror("smtpsink: a connection");
		free(c);
		if (fd >= 0)
			close(fd);
		return;
	}
	c->fd = fd;
	c->is_slow = sink->delay_s > 0 &&
		     (sink->octet < 0 || (ntohl(own.sin_addr.s_addr) >> 16 &
						 255) == (unsigned)sink->octet);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	watch(sink, EPOLL_CTL_ADD, c);
	sink->counts.connections++;
	if (++sink->open > sink->counts.peak)
		sink->counts.peak = sink->open;
	say(c, "220 sink.test\r\n");
}

/* Answers a line on standard input. Returns whether there was one. */
static bool
report(struct sink *sink)
{
	char line[100];
	const struct counts *n = &sink->counts;

	if (read(STDIN_FILENO, line, sizeof line) <= 0)
		return false;
	printf("%ld %ld %ld %ld %ld %.6f %.6f %.6f\n", n->messages, n->quick,
		n->recipients, n->connections, n->peak, n->first, n->last,
		n->last_quick);
	if (line[0] == 'r') {
		memset(&sink->counts, 0, sizeof sink->counts);
		sink->counts.peak = sink->open;
	}
	return true;
}

static void
serve(struct sink *sink)
{
	struct epoll_event events[256];
	struct epoll_event input = {.events = EPOLLIN, .data.ptr = sink};

	sink->poll = epoll_create1(EPOLL_CLOEXEC);
	watch(sink, EPOLL_CTL_ADD, NULL);
	if (epoll_ctl(sink->poll, EPOLL_CTL_ADD, STDIN_FILENO, &input) < 0)
		return;
	printf("ready\n");
	for (;;) {
		double wait_s =
			sink->held != NULL ? sink->held->due - now_s() : 1;

		fflush(stdout);
		int count = epoll_wait(sink->poll, events, 256,
			wait_s < 0 ? 0 : (int)(wait_s * 1e3) + 1);
		for (int n = 0; n < count; n++) {
			void *from = events[n].data.ptr;

			if (from == NULL)
				greet(sink);
			else if (from != sink)
				hear(sink, from);
			else if (!report(sink))
				return;
		}
		release_due(sink);
	}
}

int
main(int argc, char **argv)
{
	struct sink sink = {.octet = argc > 3 ? atoi(argv[3]) : -1,
		.delay_s = argc > 2 ? atof(argv[2]) / 1e3 : 0};
	struct sockaddr_in place = {.sin_family = AF_INET};
	struct rlimit files;
	int one = 1;

	if (argc < 2 || argc > 4) {
		fprintf(stderr,
			"usage: smtpsink PORT [MILLISECONDS [OCTET]]\n");
		return 100;
	}
	sink.held_end = &sink.held;
	place.sin_port = htons((uint16_t)atoi(argv[1]));
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	sink.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sink.listener < 0 ||
		setsockopt(sink.listener, SOL_SOCKET, SO_REUSEADDR, &one,
			sizeof one) < 0 ||
		bind(sink.listener, (struct sockaddr *)&place, sizeof place) <
			0 ||
		listen(sink.listener, 4096) < 0) {
		fprintf(stderr, "smtpsink: port %s: %s\n", argv[1],
			strerror(errno));
		return 111;
	}
	serve(&sink);
	return 0;
}
