#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/descriptors.h"
#include "lib/service.h"
#include "lib/tls.h"

/* --- what is in order --- */

/* Whether a text ends within its field and is printable ASCII. */
static bool
is_text(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	if (len == size)
		return false;
	for (size_t i = 0; i < len; i++)
		if (text[i] < 32 || text[i] > 126)
			return false;
	return true;
}

#define IS_TEXT(field) is_text(field, sizeof(field))

/* The name of a file in a folder that is not hidden. */
static bool
is_file_name(const char *text)
{
	return *text != '.' && strchr(text, '/') == NULL;
}

bool
tls_request_is_valid(const struct tls_request *request, size_t len)
{
	return len == sizeof *request && request->magic == TLS_MAGIC &&
	       request->service >= TLS_SMTP &&
	       request->service <= TLS_CONNECT &&
	       request->check <= TLS_CHECK_NAME && IS_TEXT(request->name) &&
	       IS_TEXT(request->certificate) &&
	       is_file_name(request->certificate) && IS_TEXT(request->peer);
}

static bool
is_fingerprint(const char *text)
{
	size_t len = strspn(text, "0123456789abcdefABCDEF");

	return text[len] == 0 && (len == 0 || len == 64);
}

bool
tls_facts_are_valid(const struct tls_facts *facts, size_t len)
{
	const struct auth_channel *channel = &facts->channel;

	return len == sizeof *facts && facts->magic == TLS_MAGIC &&
	       facts->status >= TLS_OFFERED && facts->status <= TLS_FAILED &&
	       facts->verified <= TLS_VERIFIED_NAME && facts->is_resumed <= 1 &&
	       IS_TEXT(facts->protocol) && IS_TEXT(facts->cipher) &&
	       IS_TEXT(facts->name) && IS_TEXT(facts->fingerprint) &&
	       is_fingerprint(facts->fingerprint) && IS_TEXT(facts->text) &&
	       channel->exporter_len <= sizeof channel->exporter &&
	       channel->end_point_len <= sizeof channel->end_point &&
	       IS_TEXT(channel->identity);
}

/* --- records --- */

/* An answer that is in order; or -1 with errno. */
static int
receive_facts(int fd, struct tls_facts *facts, int64_t deadline_ms)
{
	ssize_t got =
		descriptors_receive_by(fd, facts, sizeof *facts, deadline_ms);

	if (got < 0)
		return -1;
	if (got > 0 && tls_facts_are_valid(facts, (size_t)got))
		return 0;
	errno = got == 0 ? ECONNRESET : EBADMSG;
	return -1;
}

/* What the asker gets in place of facts. */
static int
no_facts(struct tls_facts *facts, enum tls_status status, const char *text)
{
	char copy[TLS_TEXT_MAX];

	snprintf(copy, sizeof copy, "%s", text);
	memset(facts, 0, sizeof *facts);
	facts->magic = TLS_MAGIC;
	facts->status = status;
	memcpy(facts->text, copy, sizeof copy);
	return -1;
}

/* --- the two steps --- */

int
tls_open(const char *socket_path, const struct tls_request *request,
	int64_t deadline_ms, struct tls_facts *facts)
{
	int fd = service_connect(socket_path, SOCK_SEQPACKET, deadline_ms);

	if (fd < 0)
		return no_facts(facts, TLS_REFUSED, strerror(errno));
	if (descriptors_send_by(
		    fd, request, sizeof *request, NULL, 0, deadline_ms) < 0 ||
		receive_facts(fd, facts, deadline_ms) < 0)
		no_facts(facts, TLS_REFUSED, strerror(errno));
	else if (facts->status == TLS_OFFERED)
		return fd;
	else
		no_facts(facts, TLS_REFUSED,
			facts->status == TLS_REFUSED && facts->text[0] != 0
				? facts->text
				: "refused");
	close(fd);
	return -1;
}

int
tls_hand_over(int fd, int input, int output, int64_t deadline_ms,
	struct tls_facts *facts)
{
	static const char octet = TLS_HAND_OVER;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		no_facts(facts, TLS_FAILED, strerror(errno));
		close(fd);
		return -1;
	}
	const int descriptor[3] = {input, output, pair[1]};
	int result =
		descriptors_send_by(fd, &octet, 1, descriptor, 3, deadline_ms);
	int saved = errno;
	close(pair[1]);
	errno = saved;
	if (result < 0 || receive_facts(fd, facts, deadline_ms) < 0)
		result = no_facts(facts, TLS_FAILED, strerror(errno));
	close(fd);
	if (result == 0 && facts->status == TLS_READY)
		return pair[0];
	if (result == 0)
		no_facts(facts, TLS_FAILED,
			facts->text[0] != 0 ? facts->text
					    : "the handshake failed");
	close(pair[0]);
	return -1;
}
