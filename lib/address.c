#include "lib/address.h"
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>
#include "lib/utf8.h"

static const char POSTMASTER[] = "postmaster";
static const char IPV6_TAG[] = "[IPv6:";
#define IPV6_TAG_LEN (sizeof IPV6_TAG - 1)

static int
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9');
}

/* RFC 5322 section 3.2.3, atext. */
static int
is_atext(char c)
{
	return is_alnum(c) ||
	       (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static char
to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/*
 * The octets of the character beyond ASCII at text, if the flags take it; else
 * 0. U+0080 to U+009F are control characters and never taken.
 */
static size_t
scan_beyond_ascii(const char *text, size_t len, unsigned flags)
{
	size_t octets;

	if (!(flags & ADDRESS_UTF8) || len == 0)
		return 0;
	if ((unsigned char)text[0] < 0x80)
		return 0;
	octets = utf8_scan(text, len);
	if (octets == 2 && (unsigned char)text[0] == 0xc2 &&
		(unsigned char)text[1] < 0xa0)
		return 0;
	return octets;
}

/* Appends to the local part. Returns 0 if it gets too long. */
static int
local_append(struct path *path, const char *octets, size_t count)
{
	if (count > ADDRESS_LOCAL_MAX - path->local_len)
		return 0;
	memcpy(path->local + path->local_len, octets, count);
	path->local_len += count;
	return 1;
}

/* Dot-string = Atom *("." Atom). Returns the octets consumed, or 0. */
static size_t
scan_dot_string(const char *text, size_t len, unsigned flags, struct path *path)
{
	size_t at = 0;
	int after_dot = 1;

	while (at < len) {
		size_t octets =
			is_atext(text[at])
				? 1
				: scan_beyond_ascii(text + at, len - at, flags);

		if (octets > 0) {
			after_dot = 0;
		} else if (text[at] == '.') {
			if (after_dot)
				return 0;
			after_dot = 1;
			octets = 1;
		} else {
			break;
		}
		if (!local_append(path, text + at, octets))
			return 0;
		at += octets;
	}
	return after_dot ? 0 : at;
}

/* Quoted-string with its quotes. Returns the octets consumed, or 0. */
static size_t
scan_quoted_string(
	const char *text, size_t len, unsigned flags, struct path *path)
{
	size_t at = 1;

	while (at < len && text[at] != '"') {
		size_t octets = 1;

		if (text[at] == '\\') {
			/* quoted-pairSMTP: ASCII only */
			if (++at == len || text[at] < 32 || text[at] > 126)
				return 0;
		} else if (text[at] < 32 || text[at] > 126) {
			octets = scan_beyond_ascii(text + at, len - at, flags);
			if (octets == 0)
				return 0;
		}
		if (!local_append(path, text + at, octets))
			return 0;
		at += octets;
	}
	return at < len ? at + 1 : 0;
}

static size_t
scan_local_part(const char *text, size_t len, unsigned flags, struct path *path)
{
	path->local_len = 0;
	if (len > 0 && text[0] == '"')
		return scan_quoted_string(text, len, flags, path);
	return scan_dot_string(text, len, flags, path);
}

/*
 * sub-domain *("." sub-domain). Returns the octets up to the first that can be
 * no part of a name, or 0 if what stands there is not a name.
 */
static size_t
scan_name(const char *text, size_t len, unsigned flags)
{
	size_t at = 0, label = 0;

	while (at < len) {
		size_t octets =
			is_alnum(text[at]) || text[at] == '_'
				? 1
				: scan_beyond_ascii(text + at, len - at, flags);

		if (octets == 0 && text[at] == '-' && label > 0)
			octets = 1;
		if (octets > 0) {
			label += octets;
		} else if (text[at] == '.' && label > 0 &&
			   text[at - 1] != '-') {
			label = 0;
			octets = 1;
		} else {
			break;
		}
		at += octets;
		if (label > ADDRESS_LABEL_MAX || at > ADDRESS_DOMAIN_MAX)
			return 0;
	}
	return label > 0 && text[at - 1] != '-' ? at : 0;
}

/*
 * address-literal with its brackets, its canonical form to be written into
 * canonical. Returns the octets consumed, or 0.
 */
static size_t
scan_literal(
	const char *text, size_t len, char canonical[ADDRESS_DOMAIN_MAX + 1])
{
	const char *close = memchr(text, ']', len);
	char copy[INET6_ADDRSTRLEN];
	unsigned char binary[16];
	size_t tag = 1, size;
	int family = AF_INET;

	if (close == NULL)
		return 0;
	size = (size_t)(close - text);
	if (size > IPV6_TAG_LEN &&
		strncasecmp(text, IPV6_TAG, IPV6_TAG_LEN) == 0) {
		family = AF_INET6;
		tag = IPV6_TAG_LEN;
	}
	size -= tag;
	if (size >= sizeof copy || memchr(text, '\0', tag + size) != NULL)
		return 0;
	memcpy(copy, text + tag, size);
	copy[size] = '\0';
	if (inet_pton(family, copy, binary) != 1)
		return 0;
	memcpy(canonical, IPV6_TAG, tag);
	inet_ntop(family, binary, canonical + tag, INET6_ADDRSTRLEN);
	size = strlen(canonical);
	canonical[size] = ']';
	canonical[size + 1] = '\0';
	return (size_t)(close - text) + 1;
}

/* Domain or address-literal. Returns the octets consumed, or 0. */
static size_t
scan_domain(const char *text, size_t len, unsigned flags, struct path *path)
{
	size_t octets, i;

	if (len > 0 && text[0] == '[') {
		octets = scan_literal(text, len, path->domain);
		if (octets > 0)
			path->domain_len = strlen(path->domain);
		return octets;
	}
	octets = scan_name(text, len, flags);
	for (i = 0; i < octets; i++)
		path->domain[i] = to_lower(text[i]);
	path->domain[octets] = '\0';
	path->domain_len = octets;
	return octets;
}

/* Whether the local part alone is a path, and of which kind. */
static int
accept_without_domain(unsigned flags, struct path *path)
{
	int is_postmaster =
		path->local_len == sizeof POSTMASTER - 1 &&
		strncasecmp(path->local, POSTMASTER, path->local_len) == 0;

	if (is_postmaster && (flags & ADDRESS_POSTMASTER)) {
		path->kind = PATH_POSTMASTER;
		return 1;
	}
	if ((flags & ADDRESS_NO_DOMAIN) && path->local_len > 0) {
		path->kind = PATH_LOCAL;
		return 1;
	}
	return 0;
}

/* Mailbox, or a local part alone. Returns the octets consumed, or 0. */
static size_t
scan_mailbox(const char *text, size_t len, unsigned flags, struct path *path)
{
	size_t at = scan_local_part(text, len, flags, path), octets;

	if (at == 0)
		return 0;
	path->local[path->local_len] = '\0';
	if (at == len || text[at] != '@') {
		path->domain_len = 0;
		path->domain[0] = '\0';
		return accept_without_domain(flags, path) ? at : 0;
	}
	at++;
	octets = scan_domain(text + at, len - at, flags, path);
	if (octets == 0)
		return 0;
	path->kind = PATH_MAILBOX;
	return at + octets;
}

/*
 * A-d-l ":" = "@" Domain *( "," "@" Domain ) ":". Returns the octets consumed;
 * 0 if no route stands there, which is for the caller to find out.
 */
static size_t
scan_route(const char *text, size_t len, unsigned flags)
{
	struct path hop;
	size_t at = 0;

	while (at < len && text[at] == '@') {
		size_t octets =
			scan_domain(text + at + 1, len - at - 1, flags, &hop);

		at += 1 + octets;
		if (octets == 0 || at == len)
			return 0;
		if (text[at] == ':')
			return at + 1;
		if (text[at++] != ',')
			return 0;
	}
	return 0;
}

size_t
address_path_scan(
	const char *text, size_t len, unsigned flags, struct path *path)
{
	struct path found;
	size_t at = 1, octets;

	if (len < 2 || text[0] != '<')
		return 0;
	if (text[1] == '>') {
		if (!(flags & ADDRESS_NULL))
			return 0;
		*path = (struct path){.kind = PATH_NULL};
		return 2;
	}
	octets = scan_route(text + at, len - at, flags);
	if (octets > 0) {
		at += octets;
		/* A route leads to a mailbox, never to a local part alone. */
		flags &= ~(unsigned)(ADDRESS_POSTMASTER | ADDRESS_NO_DOMAIN);
	}
	octets = scan_mailbox(text + at, len - at, flags, &found);
	if (octets == 0)
		return 0;
	at += octets;
	if (at == len || text[at] != '>')
		return 0;
	*path = found;
	return at + 1;
}

int
address_mailbox_scan(
	const char *text, size_t len, unsigned flags, struct path *path)
{
	struct path found;

	if (len == 0) {
		if (!(flags & ADDRESS_NULL))
			return -1;
		*path = (struct path){.kind = PATH_NULL};
		return 0;
	}
	if (scan_mailbox(text, len, flags, &found) != len)
		return -1;
	*path = found;
	return 0;
}

/* Whether the local part can stand without quotes. */
static int
is_dot_string(const struct path *path)
{
	size_t i;

	if (path->local_len == 0 || path->local[path->local_len - 1] == '.')
		return 0;
	for (i = 0; i < path->local_len; i++) {
		char c = path->local[i];

		if (c == '.' && (i == 0 || path->local[i - 1] == '.'))
			return 0;
		if (c != '.' && !is_atext(c) && (unsigned char)c < 0x80)
			return 0;
	}
	return 1;
}

/* Writes the local part in quotes. Returns the octets written. */
static size_t
write_quoted(char *buffer, const struct path *path)
{
	size_t i, at = 0;

	buffer[at++] = '"';
	for (i = 0; i < path->local_len; i++) {
		if (path->local[i] == '"' || path->local[i] == '\\')
			buffer[at++] = '\\';
		buffer[at++] = path->local[i];
	}
	buffer[at++] = '"';
	return at;
}

size_t
address_write(char *buffer, size_t size, const struct path *path)
{
	char text[ADDRESS_TEXT_MAX + 1];
	size_t at = 0;

	if (path->kind != PATH_NULL) {
		if (is_dot_string(path)) {
			memcpy(text, path->local, path->local_len);
			at = path->local_len;
		} else {
			at = write_quoted(text, path);
		}
	}
	if (path->kind == PATH_MAILBOX) {
		text[at++] = '@';
		memcpy(text + at, path->domain, path->domain_len);
		at += path->domain_len;
	}
	if (size > at) {
		memcpy(buffer, text, at);
		buffer[at] = '\0';
	}
	return at;
}

int
address_set_domain(struct path *path, const char *domain, size_t len)
{
	struct path found;

	if (path->kind != PATH_POSTMASTER && path->kind != PATH_LOCAL)
		return -1;
	if (scan_domain(domain, len, 0, &found) != len || len == 0)
		return -1;
	memcpy(path->domain, found.domain, found.domain_len + 1);
	path->domain_len = found.domain_len;
	path->kind = PATH_MAILBOX;
	return 0;
}

int
domain_valid(const char *text, size_t len)
{
	return len > 0 && scan_name(text, len, 0) == len;
}

int
domain_is_literal(const char *text, size_t len)
{
	char canonical[ADDRESS_DOMAIN_MAX + 1];

	return len > 0 && text[0] == '[' &&
	       scan_literal(text, len, canonical) == len;
}
