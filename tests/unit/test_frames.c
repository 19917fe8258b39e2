/*
 * Frames over a real socket pair: in pieces, many at once, too long, cut off,
 * late, and with a peer that is gone.
 */
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/deadline.h"
#include "lib/frames.h"

#define SOON_MS 30
#define LATE_MS 10000

static int
pair_open(void **state)
{
	int *pair = malloc(2 * sizeof *pair);

	*state = pair;
	return socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
}

static int
pair_close(void **state)
{
	int *pair = *state;

	for (int i = 0; i < 2; i++)
		if (pair[i] >= 0)
			close(pair[i]);
	free(pair);
	return 0;
}

static void
close_end(int *end)
{
	close(*end);
	*end = -1;
}

static void
test_round_trip(void **state)
{
	int *pair = *state;
	unsigned char buffer[FRAME_HEAD + 10];
	struct frame_reader reader;
	struct frame frame;
	int64_t deadline_ms = deadline_after_ms(LATE_MS);

	assert_int_equal(
		frame_send(pair[0], 'A', "0123456789", 10, deadline_ms), 0);
	assert_int_equal(frame_send(pair[0], 'B', NULL, 0, deadline_ms), 0);
	assert_int_equal(frame_send(pair[0], 255, "x\0y", 3, deadline_ms), 0);
	close_end(&pair[0]);
	frame_reader_start(&reader, pair[1], buffer, sizeof buffer);
	assert_int_equal(frame_read(&reader, deadline_ms, &frame), FRAME_OK);
	assert_int_equal(frame.type, 'A');
	assert_int_equal(frame.length, 10);
	assert_memory_equal(frame.payload, "0123456789", 10);
	assert_int_equal(frame_read(&reader, deadline_ms, &frame), FRAME_OK);
	assert_int_equal(frame.type, 'B');
	assert_int_equal(frame.length, 0);
	assert_int_equal(frame_read(&reader, deadline_ms, &frame), FRAME_OK);
	assert_int_equal(frame.type, 255);
	assert_memory_equal(frame.payload, "x\0y", 3);
	assert_int_equal(
		frame_read(&reader, deadline_ms, &frame), FRAME_CLOSED);
	assert_int_equal(
		frame_read(&reader, deadline_ms, &frame), FRAME_CLOSED);
}

/* An octet at a time: no frame before its last octet is there. */
static void
test_octet_by_octet(void **state)
{
	static const char wire[] = {'D', 0, 0, 0, 2, 'h', 'i'};
	int *pair = *state;
	unsigned char buffer[FRAME_HEAD + 2];
	struct frame_reader reader;
	struct frame frame;

	frame_reader_start(&reader, pair[1], buffer, sizeof buffer);
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < sizeof wire; i++) {
			assert_int_equal(write(pair[0], wire + i, 1), 1);
			assert_int_equal(frame_read(&reader,
						 deadline_after_ms(0), &frame),
				i + 1 == sizeof wire ? FRAME_OK
						     : FRAME_TIMEOUT);
		}
	assert_memory_equal(frame.payload, "hi", 2);
}

/* What no frame of this reader's can be. */
static void
test_broken(void **state)
{
	static const struct {
		char wire[8];
		size_t length;
		enum frame_result result;
	} row[] = {
		{{'D', 0, 0, 0, 4}, 5, FRAME_BROKEN}, /* one too long */
		{{'D', '\377', '\377', '\377', '\377'}, 5, FRAME_BROKEN},
		{{'D'}, 1, FRAME_BROKEN},	      /* closed in the head */
		{{'D', 0, 0, 0, 3}, 5, FRAME_BROKEN}, /* in the payload */
		{{'D', 0, 0, 0, 3, 'a', 'b'}, 7, FRAME_BROKEN},
		{{'D', 0, 0, 0, 3, 'a', 'b', 'c'}, 8, FRAME_OK},
	};

	(void)state;
	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
		unsigned char buffer[FRAME_HEAD + 3];
		struct frame_reader reader;
		struct frame frame;
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		assert_int_equal(write(pair[0], row[i].wire, row[i].length),
			row[i].length);
		close(pair[0]);
		frame_reader_start(&reader, pair[1], buffer, sizeof buffer);
		assert_int_equal(
			frame_read(&reader, deadline_after_ms(LATE_MS), &frame),
			row[i].result);
		close(pair[1]);
	}
}

static void
test_deadlines(void **state)
{
	int *pair = *state;
	unsigned char buffer[64];
	struct frame_reader reader;
	struct frame frame;
	char *big = calloc(1, 1 << 20);
	int64_t start_ms = deadline_now_ms();

	frame_reader_start(&reader, pair[1], buffer, sizeof buffer);
	assert_int_equal(
		frame_read(&reader, deadline_after_ms(SOON_MS), &frame),
		FRAME_TIMEOUT);
	/* Nobody reads: the socket's buffer fills. */
	errno = 0;
	assert_int_equal(frame_send(pair[0], 'D', big, 1 << 20,
				 deadline_after_ms(SOON_MS)),
		-1);
	assert_int_equal(errno, ETIMEDOUT);
	assert_in_range(deadline_now_ms() - start_ms, 2 * SOON_MS - 2, LATE_MS);
	free(big);
}

static void
test_peer_gone(void **state)
{
	int *pair = *state;

	close_end(&pair[1]);
	errno = 0;
	/* Without SIGPIPE, or we would not come back. */
	assert_int_equal(
		frame_send(pair[0], 'D', "x", 1, deadline_after_ms(LATE_MS)),
		-1);
	assert_int_equal(errno, EPIPE);
}

/* Much more than the socket holds, written by a child in pieces. */
static void
test_large(void **state)
{
	int *pair = *state;
	size_t size = 3 << 20;
	unsigned char *sent = malloc(size), *buffer = malloc(size + FRAME_HEAD);
	struct frame_reader reader;
	struct frame frame;
	int status;

	for (size_t i = 0; i < size; i++)
		sent[i] = (unsigned char)(i * 7 + i / 251);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(frame_send(pair[0], 'L', sent, size,
			      deadline_after_ms(LATE_MS)) < 0);
	close_end(&pair[0]);
	frame_reader_start(&reader, pair[1], buffer, size + FRAME_HEAD);
	assert_int_equal(
		frame_read(&reader, deadline_after_ms(LATE_MS), &frame),
		FRAME_OK);
	assert_int_equal(frame.length, size);
	assert_memory_equal(frame.payload, sent, size);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	free(sent);
	free(buffer);
}

#define WITH_PAIR(test) \
	cmocka_unit_test_setup_teardown(test, pair_open, pair_close)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_PAIR(test_round_trip),
		WITH_PAIR(test_octet_by_octet),
		cmocka_unit_test(test_broken),
		WITH_PAIR(test_deadlines),
		WITH_PAIR(test_peer_gone),
		WITH_PAIR(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
