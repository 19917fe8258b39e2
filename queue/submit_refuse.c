#include <stdio.h>
#include <string.h>
#include "lib/frames.h"
#include "queue/submit.h"

int
submit_refuse(int connection, enum submit_code code, const char *text,
	int64_t deadline_ms)
{
	char payload[1 + SUBMIT_TEXT_MAX] = {(char)code};

	snprintf(payload + 1, sizeof payload - 1, "%s", text);
	(void)frame_send(
		connection, 'N', payload, strlen(payload), deadline_ms);
	return -1;
}
