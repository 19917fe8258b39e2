#include <stdio.h>
#include <string.h>
#include "lib/date.h"
#include "queue/local_trace.h"

size_t
local_trace_write(char field[LOCAL_TRACE_MAX], uid_t uid, const char *host,
	const char *id, int64_t time_s)
{
	char date[DATE_OCTETS + 1];

	date_write(date, time_s);
	snprintf(field, LOCAL_TRACE_MAX,
		"Received: (from uid %u)\n\tby %s with local id %s;\n\t%s\n",
		(unsigned)uid, host, id, date);
	return strlen(field);
}
