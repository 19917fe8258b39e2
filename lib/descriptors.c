#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"

/* Room for more descriptors than anyone may send, so that too many are seen
 * and closed rather than lost. */
#define ROOM 32
/* The kernel counts a user's descriptors that nobody has received yet against
 * the sender's limit of open ones: those of other processes go by. */
#define FLIGHT_TRIES 200
#define FLIGHT_PAUSE_MS 10

int
peer_identity(int fd, struct peer *peer)
{
	struct ucred credentials;
	socklen_t size = sizeof credentials;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
		return -1;
	peer->pid = credentials.pid;
	peer->uid = credentials.uid;
	peer->gid = credentials.gid;
	return 0;
}

int
descriptors_send(int fd, const void *record, size_t length,
	const int *descriptor, unsigned descriptors)
{
	union {
		struct cmsghdr align;
		char octets[CMSG_SPACE(sizeof(int) * DESCRIPTORS_MAX)];
	} control;
	struct iovec part = {(void *)(size_t)record, length};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	unsigned tries = 0;

	if (descriptors > DESCRIPTORS_MAX) {
		errno = EINVAL;
		return -1;
	}
	if (descriptors > 0) {
		memset(&control, 0, sizeof control);
		message.msg_control = control.octets;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptors);
		struct cmsghdr *head = CMSG_FIRSTHDR(&message);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int) * descriptors);
		memcpy(CMSG_DATA(head), descriptor, sizeof(int) * descriptors);
	}
	for (;;) {
		ssize_t put = sendmsg(fd, &message, MSG_NOSIGNAL);

		if (put >= 0)
			return 0;
		if (errno == ETOOMANYREFS && tries++ < FLIGHT_TRIES)
			poll(NULL, 0, FLIGHT_PAUSE_MS);
		else if (errno != EINTR)
			return -1;
	}
}

/* Takes the descriptors out of a received message. Returns how many there were;
 * those beyond max are closed. */
static unsigned
take_descriptors(struct msghdr *message, int *descriptor, unsigned max)
{
	unsigned count = 0;

	for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL;
		head = CMSG_NXTHDR(message, head)) {
		if (head->cmsg_level != SOL_SOCKET ||
			head->cmsg_type != SCM_RIGHTS)
			continue;
		size_t here = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < here; i++) {
			int one;

			memcpy(&one, CMSG_DATA(head) + i * sizeof one,
				sizeof one);
			if (count < max)
				descriptor[count] = one;
			else
				close(one);
			count++;
		}
	}
	return count;
}

ssize_t
descriptors_receive(int fd, void *record, size_t size, int *descriptor,
	unsigned max, unsigned *descriptors)
{
	union {
		struct cmsghdr align;
		char octets[CMSG_SPACE(sizeof(int) * ROOM)];
	} control;
	struct iovec part = {record, size};
	struct msghdr message = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.octets,
		.msg_controllen = sizeof control.octets};
	ssize_t got;

	do
		got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	*descriptors = 0;
	if (got < 0)
		return -1;
	unsigned count = take_descriptors(&message, descriptor, max);
	if (count > max ||
		(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
		for (unsigned i = 0; i < count && i < max; i++)
			close(descriptor[i]);
		errno = EMSGSIZE;
		return -1;
	}
	/* An empty record is taken for the end: nobody would close these. */
	for (unsigned i = 0; got == 0 && i < count; i++)
		close(descriptor[i]);
	*descriptors = got == 0 ? 0 : count;
	return got;
}

int
descriptors_ensure_standard(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			continue;
		if (open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) != fd)
			return -1;
	}
	return 0;
}

int
descriptors_send_by(int fd, const void *record, size_t length,
	const int *descriptor, unsigned descriptors, int64_t deadline_ms)
{
	while (descriptors_send(fd, record, length, descriptor, descriptors) <
		0)
		if (errno != EAGAIN ||
			deadline_wait(fd, POLLOUT, deadline_ms) < 0)
			return -1;
	return 0;
}

ssize_t
descriptors_receive_by(int fd, void *record, size_t size, int64_t deadline_ms)
{
	unsigned descriptors;
	ssize_t got;

	do {
		if (deadline_wait(fd, POLLIN, deadline_ms) < 0)
			return -1;
		got = descriptors_receive(
			fd, record, size, NULL, 0, &descriptors);
	} while (got < 0 && (errno == EAGAIN || errno == EINTR));
	return got;
}
