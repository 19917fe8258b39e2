/*
 * Records with descriptors: they arrive open, close-on-exec and in order, and
 * none is left over when too many come.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/descriptors.h"

static void
pair_open(int pair[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
}

static void
pair_close(const int pair[2])
{
	close(pair[0]);
	close(pair[1]);
}

/* How many of the first descriptors are open. */
static unsigned
open_count(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void
test_peer(void **state)
{
	struct peer peer = {-1, 0, 0};
	int pair[2];

	(void)state;
	pair_open(pair);
	assert_int_equal(peer_identity(pair[0], &peer), 0);
	assert_int_equal(peer.pid, getpid());
	assert_int_equal(peer.uid, geteuid());
	assert_int_equal(peer.gid, getegid());
	pair_close(pair);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(peer_identity(null, &peer), -1);
	assert_int_equal(errno, ENOTSOCK);
	close(null);
}

static void
test_round_trip(void **state)
{
	unsigned before = open_count();

	(void)state;
	for (unsigned count = 0; count <= DESCRIPTORS_MAX; count++) {
		int pair[2], pipes[DESCRIPTORS_MAX][2], sent[DESCRIPTORS_MAX];
		int got[DESCRIPTORS_MAX];
		unsigned came = 99;
		char record[8];

		pair_open(pair);
		for (unsigned i = 0; i < count; i++) {
			assert_int_equal(pipe2(pipes[i], O_CLOEXEC), 0);
			sent[i] = pipes[i][1];
		}
		assert_int_equal(
			descriptors_send(pair[0], "record", 6, sent, count), 0);
		assert_int_equal(
			descriptors_receive(pair[1], record, sizeof record, got,
				DESCRIPTORS_MAX, &came),
			6);
		assert_memory_equal(record, "record", 6);
		assert_int_equal(came, count);
		for (unsigned i = 0; i < count; i++) {
			char octet = 0;

			assert_int_equal(fcntl(got[i], F_GETFD) & FD_CLOEXEC,
				FD_CLOEXEC);
			/* The same pipe, in its place. */
			assert_int_equal(write(got[i], "x", 1), 1);
			assert_int_equal(read(pipes[i][0], &octet, 1), 1);
			close(got[i]);
			close(pipes[i][0]);
			close(pipes[i][1]);
		}
		pair_close(pair);
	}
	assert_int_equal(open_count(), before);
}

/* Sends one record with so many descriptors, more than descriptors_send does. */
static void
send_many(int fd, unsigned count)
{
	union {
		struct cmsghdr align;
		char octets[CMSG_SPACE(sizeof(int) * 253)];
	} control;
	char octet = 'x';
	struct iovec part = {&octet, 1};
	struct msghdr message = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.octets,
		.msg_controllen = CMSG_SPACE(sizeof(int) * count)};

	memset(&control, 0, sizeof control);
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int) * count);
	for (unsigned i = 0; i < count; i++)
		memcpy(CMSG_DATA(head) + i * sizeof fd, &fd, sizeof fd);
	assert_int_equal(sendmsg(fd, &message, 0), 1);
}

static void
test_too_many(void **state)
{
	static const unsigned count[] = {1, 2, 5, 31, 32, 33, 34, 100, 253};
	unsigned before = open_count();

	(void)state;
	for (unsigned max = 0; max <= 2; max++)
		for (size_t i = 0; i < sizeof count / sizeof count[0]; i++) {
			int pair[2], got[2];
			unsigned came = 99;
			char record[8];

			pair_open(pair);
			send_many(pair[0], count[i]);
			ssize_t length = descriptors_receive(pair[1], record,
				sizeof record, got, max, &came);
			if (count[i] <= max) {
				assert_int_equal(length, 1);
				assert_int_equal(came, count[i]);
				for (unsigned k = 0; k < came; k++)
					close(got[k]);
			} else {
				assert_int_equal(length, -1);
				assert_int_equal(errno, EMSGSIZE);
				assert_int_equal(came, 0);
			}
			pair_close(pair);
			assert_int_equal(open_count(), before);
		}
}

static void
test_too_long(void **state)
{
	unsigned before = open_count(), came = 99;
	int pair[2], got[1], null;
	char record[4];

	(void)state;
	pair_open(pair);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(descriptors_send(pair[0], "12345", 5, &null, 1), 0);
	assert_int_equal(descriptors_receive(
				 pair[1], record, sizeof record, got, 1, &came),
		-1);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(came, 0);
	assert_int_equal(
		descriptors_send(pair[0], "1", 1, got, DESCRIPTORS_MAX + 1),
		-1);
	assert_int_equal(errno, EINVAL);
	close(null);
	pair_close(pair);
	assert_int_equal(open_count(), before);
}

static void
test_closed(void **state)
{
	int pair[2], got[1];
	unsigned came = 99;
	char record[4];

	(void)state;
	pair_open(pair);
	close(pair[0]);
	assert_int_equal(descriptors_receive(
				 pair[1], record, sizeof record, got, 1, &came),
		0);
	assert_int_equal(came, 0);
	assert_int_equal(descriptors_send(pair[1], "1", 1, NULL, 0), -1);
	assert_int_equal(errno, EPIPE);
	close(pair[1]);
}

/* An empty record looks like the end; what came beside it must not stay open. */
static void
test_empty_record(void **state)
{
	unsigned before = open_count(), came = 99;
	int pair[2], got[2], ends[2];
	char record[4], octet;

	(void)state;
	pair_open(pair);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	const int sent[] = {ends[1], ends[1]};
	assert_int_equal(descriptors_send(pair[0], "", 0, sent, 2), 0);
	close(ends[1]);
	assert_int_equal(descriptors_receive(
				 pair[1], record, sizeof record, got, 2, &came),
		0);
	assert_int_equal(came, 0);
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(read(ends[0], &octet, 1), 0);
	close(ends[0]);
	pair_close(pair);
	assert_int_equal(open_count(), before);
}

/* In a child, with each set of 0, 1 and 2 closed. */
static void
test_standard(void **state)
{
	(void)state;
	for (int set = 0; set < 8; set++) {
		int status;
		pid_t child = fork();

		assert_true(child >= 0);
		if (child == 0) {
			struct stat st;

			for (int fd = 0; fd <= 2; fd++)
				if (set >> fd & 1)
					close(fd);
			if (descriptors_ensure_standard() < 0)
				_exit(1);
			for (int fd = 0; fd <= 2; fd++)
				if (fstat(fd, &st) < 0 ||
					((set >> fd & 1) &&
						!S_ISCHR(st.st_mode)))
					_exit(2);
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peer),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_closed),
		cmocka_unit_test(test_empty_record),
		cmocka_unit_test(test_standard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
