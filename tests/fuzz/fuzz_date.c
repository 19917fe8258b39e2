/* Date-times: what is read, and any number, is written and read again. */
#include "lib/date.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[DATE_OCTETS + 1], again[DATE_OCTETS + 1];
	int64_t time_s = 0, back;

	if (date_parse((const char *)data, size, &time_s) == -1)
		memcpy(&time_s, data, size < sizeof time_s ? size : 8);
	date_write(text, time_s);
	assert(strlen(text) == DATE_OCTETS);
	assert(date_parse(text, DATE_OCTETS, &back) == 0);
	date_write(again, back);
	assert(strcmp(text, again) == 0);
	return 0;
}
