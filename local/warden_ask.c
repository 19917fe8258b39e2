#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/descriptors.h"
#include "lib/service.h"
#include "local/warden.h"

int
warden_ask(int *fd, const char *socket_path,
	const struct warden_request *request, const int *descriptor,
	unsigned descriptors, int64_t deadline_ms)
{
	int is_old = *fd >= 0;

	for (;;) {
		if (*fd < 0)
			*fd = service_connect(
				socket_path, SOCK_SEQPACKET, deadline_ms);
		if (*fd < 0)
			return -1;
		if (descriptors_send_by(*fd, request, sizeof *request,
			    descriptor, descriptors, deadline_ms) == 0)
			return 0;
		int saved = errno;
		close(*fd);
		*fd = -1;
		errno = saved;
		if (!is_old || saved == ETIMEDOUT)
			return -1;
		is_old = 0;
	}
}

int
warden_ask_child(int report, const struct warden_request *request, int content)
{
	return descriptors_send(report, request, sizeof *request, &content, 1);
}

int
warden_report_read(int fd, struct warden_report *report)
{
	ssize_t got;

	do
		got = read(fd, report, sizeof *report);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? -1 : 0;
	return got == (ssize_t)sizeof *report &&
	       report->magic == WARDEN_MAGIC &&
	       outcome_is_valid(report->outcome) && report->stays <= 1 &&
	       memchr(report->text, 0, sizeof report->text) != NULL;
}
