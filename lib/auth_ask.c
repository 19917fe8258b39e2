#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/auth.h"
#include "lib/descriptors.h"
#include "lib/service.h"

int
auth_open(const char *socket_path, const struct auth_begin *begin,
	int64_t deadline_ms)
{
	int fd = service_connect(socket_path, SOCK_SEQPACKET, deadline_ms);

	if (fd < 0)
		return -1;
	if (descriptors_send_by(fd, begin, AUTH_BEGIN_SIZE(begin->length), NULL,
		    0, deadline_ms) == 0)
		return fd;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static bool
is_sound(const struct auth_message *message, size_t got)
{
	if (got < AUTH_MESSAGE_SIZE(0) || message->magic != AUTH_MAGIC ||
		message->length > AUTH_OCTETS_MAX ||
		got != AUTH_MESSAGE_SIZE(message->length))
		return false;
	if (message->kind == AUTH_CHALLENGE)
		return message->verdict == 0;
	if (message->kind != AUTH_VERDICT || message->verdict < AUTH_YES ||
		message->verdict > AUTH_MALFORMED)
		return false;
	/* The name: of an account, so no control character in it. */
	for (size_t i = 0; i < message->length; i++)
		if (message->octets[i] < 32 || message->octets[i] == 127)
			return false;
	return message->length < AUTH_NAME_MAX &&
	       (message->verdict != AUTH_YES) == (message->length == 0);
}

int
auth_receive(int fd, struct auth_message *message, int64_t deadline_ms)
{
	ssize_t got = descriptors_receive_by(
		fd, message, sizeof *message, deadline_ms);

	if (got < 0)
		return -1;
	if (got > 0 && is_sound(message, (size_t)got))
		return 0;
	errno = got == 0 ? ECONNRESET : EBADMSG;
	return -1;
}

int
auth_respond(int fd, const void *octets, size_t length, int64_t deadline_ms)
{
	struct auth_message message = {
		.magic = AUTH_MAGIC, .kind = AUTH_RESPONSE};

	if (length > AUTH_OCTETS_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if (length > 0)
		memcpy(message.octets, octets, length);
	message.length = (uint32_t)length;
	int result = descriptors_send_by(
		fd, &message, AUTH_MESSAGE_SIZE(length), NULL, 0, deadline_ms);
	int saved = errno;
	explicit_bzero(message.octets, length);
	errno = saved;
	return result;
}

int
auth_start(int fd, const int descriptor[3], int64_t deadline_ms,
	struct auth_message *message, bool *is_sent)
{
	const struct auth_message start = {
		.magic = AUTH_MAGIC, .kind = AUTH_START};

	*is_sent = false;
	if (descriptors_send_by(fd, &start, AUTH_MESSAGE_SIZE(0), descriptor, 3,
		    deadline_ms) < 0)
		return -1;
	*is_sent = true;
	if (auth_receive(fd, message, deadline_ms) < 0)
		return -1;
	if (message->kind == AUTH_VERDICT)
		return 0;
	errno = EBADMSG;
	return -1;
}
