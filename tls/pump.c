#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "tls/facts.h"
#include "tls/pump.h"

/* How long and for how many octets a peer is listened to that has had our last
 * word. */
#define LINGER_MS 1000
#define LINGER_READS 64

/* What was read on one side and is to be written on the other. */
struct way {
	unsigned char octets[PUMP_BUFFER];
	size_t start, end; /* what is in it */
	bool is_ended;	   /* nothing more will come into it */
	bool is_done;	   /* and its end was told, or cannot be */
};

struct pump {
	SSL *ssl;
	int input, output, clear;
	struct way in, out; /* from the peer, to the peer */
	/* Whether an operation may go further, as far as is known: set by poll,
	 * cleared by an operation that would have had to wait. */
	bool may_read, may_write; /* of the session */
	bool may_take, may_give;  /* of the clear side */
	/* What the session's read and write wait for, if they may not. */
	short read_waits, write_waits;
	bool is_broken; /* the session cannot be used any more */
	bool is_alone;	/* the clear side is closed */
	int64_t flush_deadline_ms, flush_all_deadline_ms;
	struct pump_sums *sums;
};

int
pump_unblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static size_t
way_length(const struct way *way)
{
	return way->end - way->start;
}

static size_t
way_room(const struct way *way)
{
	return sizeof way->octets - way->end;
}

static void
way_take(struct way *way, size_t count)
{
	way->start += count;
	if (way->start == way->end) {
		way->start = way->end = 0;
	} else if (way_room(way) < sizeof way->octets / 4) {
		memmove(way->octets, way->octets + way->start, way_length(way));
		way->end -= way->start;
		way->start = 0;
	}
}

/* What was to go this way is dropped. */
static void
way_stop(struct way *way)
{
	way->start = way->end = 0;
	way->is_ended = way->is_done = true;
}

static void
say(struct pump *pump, const char *why)
{
	if (pump->sums->why[0] == 0)
		snprintf(pump->sums->why, sizeof pump->sums->why, "%s", why);
}

/* The session has failed: nothing more goes to the peer, and what came from it
 * still goes on. */
static void
break_session(struct pump *pump, int error)
{
	int saved = errno;

	if (error == SSL_ERROR_SYSCALL && ERR_peek_error() == 0)
		say(pump, saved != 0 ? strerror(saved) : "the peer closed");
	else
		facts_why(pump->sums->why[0] == 0 ? pump->sums->why : NULL,
			sizeof pump->sums->why);
	ERR_clear_error();
	pump->is_broken = true;
	pump->in.is_ended = true;
	way_stop(&pump->out);
}

/* What an operation of the session has to wait for; or the session breaks. */
static short
what_to_wait_for(struct pump *pump, int result)
{
	int error = SSL_get_error(pump->ssl, result);

	switch (error) {
	case SSL_ERROR_WANT_READ:
		return POLLIN;
	case SSL_ERROR_WANT_WRITE:
		return POLLOUT;
	default:
		break_session(pump, error);
		return 0;
	}
}

/* --- the four operations; each is true if it got further --- */

static bool
read_session(struct pump *pump)
{
	struct way *in = &pump->in;

	if (in->is_ended || pump->is_broken || way_room(in) == 0 ||
		!pump->may_read)
		return false;
	ERR_clear_error();
	errno = 0;
	int got = SSL_read(pump->ssl, in->octets + in->end, (int)way_room(in));
	if (got > 0) {
		in->end += (size_t)got;
		pump->sums->from_peer += (uint64_t)got;
		return true;
	}
	if (SSL_get_error(pump->ssl, got) == SSL_ERROR_ZERO_RETURN) {
		in->is_ended = true;
		return true;
	}
	pump->may_read = false;
	pump->read_waits = what_to_wait_for(pump, got);
	return pump->is_broken;
}

static bool
write_session(struct pump *pump)
{
	struct way *out = &pump->out;

	if (way_length(out) == 0 || pump->is_broken || !pump->may_write)
		return false;
	ERR_clear_error();
	errno = 0;
	int put = SSL_write(
		pump->ssl, out->octets + out->start, (int)way_length(out));
	if (put > 0) {
		way_take(out, (size_t)put);
		pump->sums->to_peer += (uint64_t)put;
		pump->flush_deadline_ms = deadline_after_ms(PUMP_FLUSH_MS);
		return true;
	}
	pump->may_write = false;
	pump->write_waits = what_to_wait_for(pump, put);
	return pump->is_broken;
}

static bool
read_clear(struct pump *pump)
{
	struct way *out = &pump->out;

	if (out->is_ended || way_room(out) == 0 || !pump->may_take)
		return false;
	ssize_t got = read(pump->clear, out->octets + out->end, way_room(out));
	if (got > 0) {
		out->end += (size_t)got;
		return true;
	}
	if (got < 0 && errno == EINTR)
		return true;
	if (got < 0 && errno == EAGAIN) {
		pump->may_take = false;
		return false;
	}
	out->is_ended = true;
	return true;
}

static bool
write_clear(struct pump *pump)
{
	struct way *in = &pump->in;

	if (way_length(in) == 0 || !pump->may_give)
		return false;
	ssize_t put = send(pump->clear, in->octets + in->start, way_length(in),
		MSG_NOSIGNAL | MSG_DONTWAIT);
	if (put > 0) {
		way_take(in, (size_t)put);
		return true;
	}
	if (put < 0 && errno == EINTR)
		return true;
	if (put < 0 && errno == EAGAIN) {
		pump->may_give = false;
		return false;
	}
	way_stop(in);
	return true;
}

/* --- ends --- */

/* The end of what the peer says goes on to the clear side. */
static bool
end_in(struct pump *pump)
{
	struct way *in = &pump->in;

	if (in->is_done || !in->is_ended || way_length(in) > 0)
		return false;
	(void)shutdown(pump->clear, SHUT_WR);
	in->is_done = true;
	return true;
}

/* The end of what the clear side says goes on to the peer. */
static bool
end_out(struct pump *pump)
{
	struct way *out = &pump->out;

	if (out->is_done || !out->is_ended || way_length(out) > 0 ||
		!pump->may_write)
		return false;
	ERR_clear_error();
	errno = 0;
	int result = SSL_shutdown(pump->ssl);
	if (result < 0) {
		int error = SSL_get_error(pump->ssl, result);

		if (error == SSL_ERROR_WANT_WRITE) {
			pump->may_write = false;
			pump->write_waits = POLLOUT;
			return false;
		}
		/* It is said; that the peer's own has not come is no matter. */
		if (error != SSL_ERROR_WANT_READ)
			break_session(pump, error);
	}
	out->is_done = true;
	return true;
}

/* The clear side is closed: it hears nothing more, and what it said has a time
 * within which it must be gone. */
static void
leave_alone(struct pump *pump)
{
	pump->is_alone = true;
	pump->may_take = true;
	way_stop(&pump->in);
	pump->flush_deadline_ms = deadline_after_ms(PUMP_FLUSH_MS);
	pump->flush_all_deadline_ms = deadline_after_ms(PUMP_FLUSH_ALL_MS);
}

/* --- waiting --- */

static void
ask_for(struct pollfd wait[3], short events)
{
	if (events & POLLIN)
		wait[0].events |= POLLIN;
	if (events & POLLOUT)
		wait[1].events |= POLLOUT;
}

static void
prepare_wait(const struct pump *pump, struct pollfd wait[3])
{
	const struct way *in = &pump->in, *out = &pump->out;

	for (int i = 0; i < 3; i++)
		wait[i] = (struct pollfd){.fd = -1};
	if (!pump->is_broken) {
		if (!in->is_ended && way_room(in) > 0)
			ask_for(wait, pump->read_waits);
		if (way_length(out) > 0 || (out->is_ended && !out->is_done))
			ask_for(wait, pump->write_waits);
	}
	/* A descriptor of which nothing is wanted is not asked after at all: its
	 * end would wake us without end. */
	if (wait[0].events != 0)
		wait[0].fd = pump->input;
	if (wait[1].events != 0)
		wait[1].fd = pump->output;
	if (pump->is_alone)
		return;
	wait[2].fd = pump->clear;
	if (!out->is_ended && way_room(out) > 0)
		wait[2].events |= POLLIN;
	if (way_length(in) > 0)
		wait[2].events |= POLLOUT;
}

static int
wait_ms(const struct pump *pump)
{
	if (!pump->is_alone)
		return -1;
	int one = deadline_left_ms(pump->flush_deadline_ms);
	int all = deadline_left_ms(pump->flush_all_deadline_ms);
	return one < all ? one : all;
}

static void
note(struct pump *pump, const struct pollfd wait[3])
{
	bool is_readable = wait[0].revents != 0;
	bool is_writable = wait[1].revents != 0;

	if (pump->read_waits == POLLOUT ? is_writable : is_readable)
		pump->may_read = true;
	if (pump->write_waits == POLLIN ? is_readable : is_writable)
		pump->may_write = true;
	if (wait[2].revents & (POLLIN | POLLHUP | POLLERR))
		pump->may_take = true;
	if (wait[2].revents & (POLLOUT | POLLHUP | POLLERR))
		pump->may_give = true;
	if (wait[2].revents & (POLLHUP | POLLERR))
		leave_alone(pump);
}

/* 0; or -1: the peer did not take what was left. */
static int
wait_for_some(struct pump *pump)
{
	struct pollfd wait[3];

	prepare_wait(pump, wait);
	int left = wait_ms(pump);
	int ready = poll(wait, 3, left);
	if (ready > 0)
		note(pump, wait);
	else if (ready == 0 && wait_ms(pump) == 0) {
		say(pump, "the peer did not take the last that was said");
		return -1;
	} else if (ready < 0 && errno != EINTR) {
		say(pump, strerror(errno));
		return -1;
	}
	return 0;
}

static void
carry(struct pump *pump)
{
	while (!pump->in.is_done || !pump->out.is_done) {
		bool got_further = read_session(pump);

		got_further |= write_clear(pump);
		got_further |= read_clear(pump);
		got_further |= write_session(pump);
		got_further |= end_in(pump);
		got_further |= end_out(pump);
		if (!got_further && (!pump->in.is_done || !pump->out.is_done) &&
			wait_for_some(pump) < 0)
			return;
	}
}

int
pump_run(SSL *ssl, int clear, struct pump_sums *sums)
{
	struct pump pump = {
		.ssl = ssl,
		.input = SSL_get_rfd(ssl),
		.output = SSL_get_wfd(ssl),
		.clear = clear,
		.may_read = true,
		.may_write = true,
		.may_take = true,
		.may_give = true,
		.read_waits = POLLIN,
		.write_waits = POLLOUT,
		.sums = sums,
	};

	memset(sums, 0, sizeof *sums);
	if (pump_unblock(pump.input) < 0 || pump_unblock(pump.output) < 0 ||
		pump_unblock(clear) < 0) {
		say(&pump, strerror(errno));
		return -1;
	}
	SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
				  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				  SSL_MODE_RELEASE_BUFFERS);
	carry(&pump);
	if (!pump.is_broken)
		pump_linger(pump.input, pump.output);
	return sums->why[0] == 0 ? 0 : -1;
}

void
pump_linger(int input, int output)
{
	int64_t deadline_ms = deadline_after_ms(LINGER_MS);
	unsigned char octets[PUMP_BUFFER];

	(void)shutdown(output, SHUT_WR);
	for (int reads = 0; reads < LINGER_READS; reads++) {
		struct pollfd wait = {.fd = input, .events = POLLIN};

		if (poll(&wait, 1, deadline_left_ms(deadline_ms)) <= 0)
			return;
		ssize_t got = read(input, octets, sizeof octets);
		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
			return;
	}
}
