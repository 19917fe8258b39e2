#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/address.h"
#include "lib/deadline.h"
#include "lib/service.h"
#include "remote/lookup.h"

static void
cannot_tell(struct lookup_answer *answer, const char *socket_path,
	const char *trouble)
{
	*answer = (struct lookup_answer){
		.magic = LOOKUP_MAGIC, .meaning = LOOKUP_TEMPORARY};
	snprintf(answer->text, sizeof answer->text, "%.100s: %.100s",
		socket_path, trouble);
}

static int
is_sound(const struct lookup_answer *answer)
{
	return answer->magic == LOOKUP_MAGIC &&
	       answer->meaning >= LOOKUP_EXISTS &&
	       answer->meaning <= LOOKUP_TEMPORARY &&
	       memchr(answer->text, 0, sizeof answer->text) != NULL;
}

/* 0, or -1 with errno. */
static int
converse(int fd, const struct lookup_question *question, int64_t deadline_ms,
	struct lookup_answer *answer)
{
	if (send(fd, question, sizeof *question, MSG_NOSIGNAL) !=
			(ssize_t)sizeof *question ||
		deadline_wait(fd, POLLIN, deadline_ms) < 0)
		return -1;
	ssize_t got =
		recv(fd, answer, sizeof *answer, MSG_TRUNC | MSG_DONTWAIT);
	if (got < 0)
		return -1;
	errno = got == 0 ? ECONNRESET : EPROTO;
	return got == (ssize_t)sizeof *answer && is_sound(answer) ? 0 : -1;
}

static void
ask(enum lookup_kind kind, const char *socket_path, const char *domain,
	int64_t deadline_ms, struct lookup_answer *answer)
{
	struct lookup_question question = {.magic = LOOKUP_MAGIC, .kind = kind};
	size_t len = strlen(domain);

	if (len >= sizeof question.domain) {
		cannot_tell(answer, socket_path, strerror(ENAMETOOLONG));
		return;
	}
	memcpy(question.domain, domain, len);
	int fd = service_connect(socket_path, SOCK_SEQPACKET, deadline_ms);
	if (fd < 0) {
		cannot_tell(answer, socket_path, strerror(errno));
		return;
	}
	if (converse(fd, &question, deadline_ms, answer) < 0)
		cannot_tell(answer, socket_path, strerror(errno));
	close(fd);
}

void
lookup_mail_domain(const char *socket_path, const char *domain,
	int64_t deadline_ms, struct lookup_answer *answer)
{
	ask(LOOKUP_MAIL_DOMAIN, socket_path, domain, deadline_ms, answer);
}

void
lookup_ascii(const char *socket_path, const char *domain, int64_t deadline_ms,
	struct lookup_answer *answer)
{
	ask(LOOKUP_ASCII, socket_path, domain, deadline_ms, answer);
	if (answer->meaning == LOOKUP_EXISTS &&
		!domain_valid(answer->text, strlen(answer->text)))
		cannot_tell(answer, socket_path, strerror(EPROTO));
}
