/*
 * A table from the lines before the first empty one, then look-ups of the rest.
 * Each line that was taken must be found again.
 */
#include "lib/domains.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *
next_line(const char *at, const char *end, size_t *len)
{
	const char *lf = memchr(at, '\n', (size_t)(end - at));

	*len = (size_t)((lf != NULL ? lf : end) - at);
	return lf != NULL ? lf + 1 : end;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct domains domains = DOMAINS_ZERO;
	const char *at = (const char *)data, *end = at + size;
	size_t len = 1;

	while (at < end && len > 0) {
		const char *line = at;

		at = next_line(line, end, &len);
		if (domains_put(&domains, line, len, line, len) == 0) {
			const char *value = domains_find(&domains, line, len);

			assert(len > 0 && line[0] == '.' ? value == NULL
							 : value != NULL);
		}
		(void)domains_add(&domains, line, len);
	}
	while (at < end) {
		const char *line = at;

		at = next_line(line, end, &len);
		(void)domains_has(&domains, line, len);
	}
	domains_free(&domains);
	return 0;
}
