#include <string.h>
#include <strings.h>
#include "lib/xtext.h"
#include "smtpd/xclient.h"

/* An attribute in hand: its value, decoded; "" where it is not available. */
struct value {
	char text[SESSION_NAME_MAX + 1];
	size_t len;
};

static bool
is_word(const char *text, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(text, word, len) == 0;
}

static int
decode(struct value *value, const char *text, size_t len)
{
	value->len = 0;
	value->text[0] = 0;
	if (is_word(text, len, "[UNAVAILABLE]") ||
		is_word(text, len, "[TEMPUNAVAIL]"))
		return 0;
	long got = xtext_decode(value->text, sizeof value->text, text, len);
	if (got <= 0)
		return -1;
	value->len = (size_t)got;
	return 0;
}

static int
take_address(struct xclient *xclient, const struct value *value)
{
	const char *text = value->text;
	struct network_address address;

	xclient->address[0] = 0;
	if (value->len == 0)
		return 0;
	bool is_ipv6 = strncasecmp(text, "IPV6:", 5) == 0;
	if (is_ipv6)
		text += 5;
	if ((strchr(text, ':') != NULL) != is_ipv6 ||
		network_address_scan(text, strlen(text), &address) < 0)
		return -1;
	network_address_write(&address, xclient->address);
	return 0;
}

static int
take_protocol(struct xclient *xclient, const struct value *value)
{
	xclient->is_extended = is_word(value->text, value->len, "ESMTP");
	return xclient->is_extended || is_word(value->text, value->len, "SMTP")
		       ? 0
		       : -1;
}

/* Nothing here depends on the client's port. */
static int
check_port(const struct value *value)
{
	return value->len <= 5 &&
			       strspn(value->text, "0123456789") == value->len
		       ? 0
		       : -1;
}

/* The place that says whether the attribute was there; NULL: no such name. */
static bool *
find_mark(struct xclient *xclient, const char *name, size_t len)
{
	if (is_word(name, len, "NAME"))
		return &xclient->has_name;
	if (is_word(name, len, "ADDR"))
		return &xclient->has_address;
	if (is_word(name, len, "PORT"))
		return &xclient->has_port;
	if (is_word(name, len, "PROTO"))
		return &xclient->has_protocol;
	if (is_word(name, len, "HELO"))
		return &xclient->has_hello;
	if (is_word(name, len, "LOGIN"))
		return &xclient->has_login;
	return NULL;
}

static int
keep(struct xclient *xclient, const bool *mark, const struct value *value)
{
	if (mark == &xclient->has_address)
		return take_address(xclient, value);
	if (mark == &xclient->has_protocol)
		return take_protocol(xclient, value);
	if (mark == &xclient->has_port)
		return check_port(value);
	char *into = mark == &xclient->has_name	   ? xclient->name
		     : mark == &xclient->has_hello ? xclient->hello
						   : xclient->login;
	memcpy(into, value->text, value->len + 1);
	return 0;
}

static int
take_attribute(
	struct xclient *xclient, const char *text, size_t len, const char **why)
{
	const char *equals = memchr(text, '=', len);
	struct value value;

	*why = "expected NAME=value";
	if (equals == NULL)
		return -1;
	size_t name_len = (size_t)(equals - text);
	bool *mark = find_mark(xclient, text, name_len);
	*why = "an attribute that is not offered";
	if (mark == NULL)
		return -1;
	*why = "an attribute is given twice";
	if (*mark)
		return -1;
	*mark = true;
	*why = "a malformed value";
	if (decode(&value, equals + 1, len - name_len - 1) < 0)
		return -1;
	return keep(xclient, mark, &value);
}

int
xclient_scan(
	struct xclient *xclient, const char *text, size_t len, const char **why)
{
	size_t at = 0;

	*xclient = (struct xclient){0};
	*why = "expected NAME=value";
	while (at < len) {
		const char *space = memchr(text + at, ' ', len - at);
		size_t end = space != NULL ? (size_t)(space - text) : len;

		if (end > at &&
			take_attribute(xclient, text + at, end - at, why) < 0)
			return -1;
		at = end + 1;
	}
	return xclient->has_name || xclient->has_address || xclient->has_port ||
			       xclient->has_protocol || xclient->has_hello ||
			       xclient->has_login
		       ? 0
		       : -1;
}
