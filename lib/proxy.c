#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include "lib/proxy.h"

#define HEAD 16
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define SIGNATURE_LEN 12

/* The family octets of version 2 that have TCP's addresses. */
#define OVER_TCP4 0x11
#define OVER_TCP6 0x21

/* --- version 1 --- */

/* The next word of line[*at..len), after one space. Its length, 0 for none. */
static size_t
next_word(const char *line, size_t len, size_t *at, const char **word)
{
	size_t start = *at;

	if (start >= len || line[start] != ' ')
		return 0;
	start++;
	const char *space = memchr(line + start, ' ', len - start);
	size_t end = space != NULL ? (size_t)(space - line) : len;
	*word = line + start;
	*at = end;
	return end - start;
}

static int
scan_port(const char *text, size_t len, uint16_t *port)
{
	unsigned value = 0;

	if (len == 0 || len > 5 || (text[0] == '0' && len > 1))
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		value = value * 10 + (unsigned)(text[i] - '0');
	}
	if (value > UINT16_MAX)
		return -1;
	*port = (uint16_t)value;
	return 0;
}

/* The family's name must be that of the addresses as they are written. */
static int
scan_address(const char *text, size_t len, bool is_ipv6,
	struct network_address *address)
{
	if ((memchr(text, ':', len) != NULL) != is_ipv6)
		return -1;
	return network_address_scan(text, len, address);
}

/* The line without its CRLF. */
static enum proxy_result
scan_line(const char *line, size_t len, struct proxy_header *header)
{
	const char *word = line, *source, *destination, *from, *to;
	size_t at = strlen("PROXY");
	size_t word_len = next_word(line, len, &at, &word);

	if (word_len == 7 && memcmp(word, "UNKNOWN", 7) == 0)
		return PROXY_UNKNOWN;
	if (word_len != 4 || memcmp(word, "TCP", 3) != 0 ||
		(word[3] != '4' && word[3] != '6'))
		return PROXY_BAD;
	bool is_ipv6 = word[3] == '6';
	size_t source_len = next_word(line, len, &at, &source);
	if (source_len == 0 ||
		scan_address(source, source_len, is_ipv6, &header->source) < 0)
		return PROXY_BAD;
	size_t destination_len = next_word(line, len, &at, &destination);
	if (destination_len == 0 || scan_address(destination, destination_len,
					    is_ipv6, &header->destination) < 0)
		return PROXY_BAD;
	size_t from_len = next_word(line, len, &at, &from);
	if (from_len == 0 ||
		scan_port(from, from_len, &header->source_port) < 0)
		return PROXY_BAD;
	size_t to_len = next_word(line, len, &at, &to);
	if (to_len == 0 || scan_port(to, to_len, &header->destination_port) < 0)
		return PROXY_BAD;
	return at == len ? PROXY_CLIENT : PROXY_BAD;
}

static enum proxy_result
scan_version_1(const char *octets, size_t len, struct proxy_header *header)
{
	size_t most = len < PROXY_LINE_MAX ? len : PROXY_LINE_MAX;
	const char *end = memchr(octets, '\n', most);

	if (end == NULL)
		return len < PROXY_LINE_MAX ? PROXY_MORE : PROXY_BAD;
	size_t line_len = (size_t)(end - octets);
	header->octets = line_len + 1;
	if (octets[line_len - 1] != '\r')
		return PROXY_BAD;
	return scan_line(octets, line_len - 1, header);
}

/* --- version 2 --- */

static uint16_t
take_u16(const unsigned char *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void
take_address(struct network_address *address, int family,
	const unsigned char *octets, size_t count)
{
	char text[NETWORK_TEXT_MAX];

	memset(address, 0, sizeof *address);
	address->family = family;
	memcpy(address->octet, octets, count);
	/* By its text, so that a mapped address is IPv4 here as well. */
	network_address_write(address, text);
	(void)network_address_scan(text, strlen(text), address);
}

static enum proxy_result
scan_version_2(const char *octets, size_t len, struct proxy_header *header)
{
	const unsigned char *head = (const unsigned char *)octets;
	const unsigned char *body = head + HEAD;

	if (len < HEAD)
		return PROXY_MORE;
	size_t body_len = take_u16(head + 14);
	unsigned command = head[12] & 15u;
	if (head[12] >> 4 != 2 || command > 1 ||
		HEAD + body_len > PROXY_HEADER_MAX)
		return PROXY_BAD;
	if (len < HEAD + body_len)
		return PROXY_MORE;
	header->octets = HEAD + body_len;
	if (command == 0 || (head[13] != OVER_TCP4 && head[13] != OVER_TCP6))
		return PROXY_UNKNOWN;
	size_t count = head[13] == OVER_TCP4 ? 4 : 16;
	int family = head[13] == OVER_TCP4 ? AF_INET : AF_INET6;
	if (body_len < 2 * count + 4)
		return PROXY_BAD;
	take_address(&header->source, family, body, count);
	take_address(&header->destination, family, body + count, count);
	header->source_port = take_u16(body + 2 * count);
	header->destination_port = take_u16(body + 2 * count + 2);
	return PROXY_CLIENT;
}

/* --- either --- */

static bool
begins(const char *octets, size_t len, const char *start, size_t start_len)
{
	return memcmp(octets, start, len < start_len ? len : start_len) == 0;
}

enum proxy_result
proxy_scan(const char *octets, size_t len, struct proxy_header *header)
{
	memset(header, 0, sizeof *header);
	if (len == 0)
		return PROXY_MORE;
	if (begins(octets, len, SIGNATURE, SIGNATURE_LEN))
		return scan_version_2(octets, len, header);
	if (begins(octets, len, "PROXY ", 6))
		return len < 6 ? PROXY_MORE
			       : scan_version_1(octets, len, header);
	return PROXY_NONE;
}
