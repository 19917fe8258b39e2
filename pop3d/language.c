#include "pop3d/language.h"
#include <string.h>
#include <strings.h>

/* Whether a tag is that of a language, or of a part of it (RFC 4647, 3.4). */
static int
is_in(const char *tag, size_t length, const char *language)
{
	size_t octets = strlen(language);

	return length >= octets && strncasecmp(tag, language, octets) == 0 &&
	       (length == octets || tag[octets] == '-');
}

const char *
pop3_language(const char *argument, size_t length)
{
	if (length == 0)
		return "+OK languages follow\r\nen English\r\n.";
	if (is_in(argument, length, "en") ||
		is_in(argument, length, "i-default"))
		return "+OK en the language is English";
	if (length == 1 && *argument == '*')
		return "+OK en the language is English";
	return "-ERR no such language here, see LANG";
}
