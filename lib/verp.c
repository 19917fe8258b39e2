#include <stdio.h>
#include <string.h>
#include "lib/address.h"
#include "lib/verp.h"

#define MARK "-@[]"

size_t
verp_base(const char *text, size_t length)
{
	struct path path;
	size_t mark = strlen(MARK);

	if (length <= mark || memcmp(text + length - mark, MARK, mark) != 0)
		return 0;
	length -= mark;
	return address_mailbox_scan(text, length, ADDRESS_UTF8, &path) == 0
		       ? length
		       : 0;
}

/* Puts the recipient behind the local part. False: it does not fit. */
static int
insert(struct path *path, const struct path *recipient)
{
	size_t length = path->local_len;

	if (length + recipient->local_len + 1 + recipient->domain_len >
		ADDRESS_LOCAL_MAX)
		return 0;
	memcpy(path->local + length, recipient->local, recipient->local_len);
	length += recipient->local_len;
	path->local[length++] = '=';
	memcpy(path->local + length, recipient->domain, recipient->domain_len);
	length += recipient->domain_len;
	path->local[length] = 0;
	path->local_len = length;
	return 1;
}

size_t
verp_expand(const char *reverse_path, const char *recipient, char *buffer,
	size_t size)
{
	size_t length = strlen(reverse_path);
	size_t base = verp_base(reverse_path, length);
	struct path path, to;

	if (base > 0 &&
		address_mailbox_scan(reverse_path, base, ADDRESS_UTF8, &path) ==
			0 &&
		address_mailbox_scan(
			recipient, strlen(recipient), ADDRESS_UTF8, &to) == 0 &&
		insert(&path, &to))
		return address_write(buffer, size, &path);
	int written = snprintf(buffer, size, "%.*s",
		(int)(base > 0 ? base : length), reverse_path);
	return written < 0 ? 0 : (size_t)written;
}
