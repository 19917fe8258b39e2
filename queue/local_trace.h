#ifndef QUEUE_LOCAL_TRACE_H
#define QUEUE_LOCAL_TRACE_H

/*
 * The trace field of a message that did not come by SMTP (RFC 5321 section 4.4):
 * which uid submitted it, as the kernel says.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LOCAL_TRACE_MAX 600

/* Writes the field, with LF line ends. Returns its length without the NUL. */
size_t local_trace_write(char field[LOCAL_TRACE_MAX], uid_t uid,
	const char *host, const char *id, int64_t time_s);

#endif
