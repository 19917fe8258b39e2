#ifndef LIB_ADDRESS_H
#define LIB_ADDRESS_H

/*
 * Mailboxes and paths, RFC 5321 section 4.1.2: the one place that reads them
 * and the one that writes them.
 *
 *   Path       = "<" [ A-d-l ":" ] Mailbox ">"       (the route is dropped)
 *   Mailbox    = Local-part "@" ( Domain / address-literal )
 *   Local-part = Dot-string / Quoted-string
 *   Domain     = sub-domain *("." sub-domain)
 *   address-literal = "[" IPv4 "]" / "[IPv6:" IPv6 "]"
 *
 * A mailbox has two forms. In struct path the local part is unquoted and the
 * domain canonical, for comparing and deciding. As text, "local@domain"
 * without brackets, the local part quoted only where it must be, it travels in
 * envelopes; "" is the null path. For every path p that a scan gave,
 * scan(write(p)) gives p again.
 *
 * Refused everywhere: control characters, NUL, CR, LF, DEL, and octets from
 * 0x80 on unless ADDRESS_UTF8 is given. "%" and "!" are plain letters of a
 * local part. A general tagged literal ("[tag:...]") is refused, as is a
 * domain with an empty label, a trailing dot, or a label that begins or ends
 * in "-"; an underscore is tolerated because names in use have it.
 *
 * Lengths: RFC 5321 section 4.5.3.1 demands at least 64 octets of local part,
 * 255 of domain and 256 of path, and asks for no limit beyond where possible.
 * Mailing lists and forwarders (VERP, SRS) put whole addresses into a local
 * part, so 256 octets are taken there. A label has at most 63 octets.
 *
 * Nothing here allocates, blocks, or sets errno.
 */

#include <stddef.h>

#define ADDRESS_LOCAL_MAX 256
#define ADDRESS_DOMAIN_MAX 255
#define ADDRESS_LABEL_MAX 63
/* The longest text form: every octet quoted, two quotes, "@", the domain. */
#define ADDRESS_TEXT_MAX (2 * ADDRESS_LOCAL_MAX + 2 + 1 + ADDRESS_DOMAIN_MAX)

/* What else a scan may accept. Give 0 for full mailboxes alone. */
enum address_flag {
	ADDRESS_NULL = 1, /* the null path (MAIL): "<>", or "" as text */
	ADDRESS_POSTMASTER =
		2, /* postmaster without a domain (RCPT), any case */
	ADDRESS_NO_DOMAIN = 4, /* any local part alone (sendmail's arguments) */
	ADDRESS_UTF8 = 8,      /* RFC 6531: UTF-8 in local part and domain */
};

enum path_kind {
	PATH_NULL,	 /* "<>": local and domain are empty */
	PATH_MAILBOX,	 /* local@domain; local may be empty: ""@domain */
	PATH_POSTMASTER, /* "postmaster", no domain */
	PATH_LOCAL,	 /* a local part that came without a domain */
};

/* Both texts have a NUL after them. */
struct path {
	enum path_kind kind;
	size_t local_len;		   /* octets */
	size_t domain_len;		   /* octets; 0 without a domain */
	char local[ADDRESS_LOCAL_MAX + 1]; /* unquoted, case kept */
	/* ASCII in lower case; "[1.2.3.4]"; "[IPv6:...]" written shortest. */
	char domain[ADDRESS_DOMAIN_MAX + 1];
};

/*
 * Reads one Path from the start of text[0..len), which must begin with "<".
 * Returns the octets consumed, the ">" included (>= 2), and fills *path; or
 * returns 0 and leaves *path as it was. What follows the ">" is not looked at.
 */
size_t address_path_scan(
	const char *text, size_t len, unsigned flags, struct path *path);

/*
 * Reads the text form, which must be all of text[0..len): what stands in
 * envelopes and in arguments of sendmail. A route is refused. Returns 0 and
 * fills *path, or returns -1 and leaves *path as it was.
 */
int address_mailbox_scan(
	const char *text, size_t len, unsigned flags, struct path *path);

/*
 * Writes the text form of the path with a NUL after it, if size is greater
 * than its length; otherwise writes nothing. Returns the length without the
 * NUL, at most ADDRESS_TEXT_MAX, so that a buffer of ADDRESS_TEXT_MAX + 1 is
 * always enough. A path without a domain gives the local part alone.
 */
size_t address_write(char *buffer, size_t size, const struct path *path);

/*
 * Gives a PATH_POSTMASTER or PATH_LOCAL a domain (a name or a literal) and so
 * makes it a PATH_MAILBOX. Returns 0, or -1 if the domain is not valid or the
 * path is of another kind; then *path is as it was.
 */
int address_set_domain(struct path *path, const char *domain, size_t len);

/*
 * Whether text[0..len) is a domain name as above, of ASCII, in either case; or
 * an address literal with its brackets. Neither is true of the other.
 */
int domain_valid(const char *text, size_t len);
int domain_is_literal(const char *text, size_t len);

#endif
