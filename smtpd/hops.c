#include <string.h>
#include <strings.h>
#include "smtpd/hops.h"

enum {
	LINE_START,
	IN_NAME,
	AFTER_NAME, /* white space between name and colon */
	IN_LINE,    /* the rest of the line does not matter */
	IN_BODY,
};

void
hops_start(struct hops *hops)
{
	*hops = (struct hops){.state = LINE_START, .is_first_line = true};
}

static bool
is_name_octet(char octet)
{
	return octet >= 33 && octet <= 126 && octet != ':';
}

static bool
name_is(const struct hops *hops, const char *name, size_t len)
{
	return hops->name_len == len && memcmp(hops->name, name, len) == 0;
}

static int
after_name_octet(struct hops *hops, char octet)
{
	if (octet == ':') {
		hops->has_field = true;
		if (hops->name_len == strlen("received") &&
			strncasecmp(hops->name, "received", 8) == 0)
			hops->received++;
		return IN_LINE;
	}
	if (octet != ' ' && octet != '\t')
		return IN_BODY;
	/* An mbox separator is passed over. */
	if (hops->state == IN_NAME && hops->is_first_line && octet == ' ' &&
		(name_is(hops, "From", 4) || name_is(hops, ">From", 5)))
		return IN_LINE;
	return AFTER_NAME;
}

static int
step(struct hops *hops, char octet)
{
	switch (hops->state) {
	case LINE_START:
		if (octet == ' ' || octet == '\t')
			return hops->has_field ? IN_LINE : IN_BODY;
		if (!is_name_octet(octet))
			return IN_BODY;
		hops->name[0] = octet;
		hops->name_len = 1;
		return IN_NAME;
	case IN_NAME:
		if (!is_name_octet(octet))
			return after_name_octet(hops, octet);
		if (hops->name_len < sizeof hops->name)
			hops->name[hops->name_len++] = octet;
		return IN_NAME;
	default:
		return after_name_octet(hops, octet);
	}
}

void
hops_scan(struct hops *hops, const char *octets, size_t len)
{
	const char *end = octets + len;

	while (octets < end && hops->state != IN_BODY) {
		if (hops->state != IN_LINE) {
			hops->state = step(hops, *octets++);
			continue;
		}
		const char *line_end =
			memchr(octets, '\n', (size_t)(end - octets));
		if (line_end == NULL)
			return;
		octets = line_end + 1;
		hops->state = LINE_START;
		hops->is_first_line = false;
	}
}
