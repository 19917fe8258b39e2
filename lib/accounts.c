#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include "lib/accounts.h"
#include "lib/cdbfile.h"
#include "lib/pack.h"

#define RECORD_VERSION 1

/* True for a path of printable octets with no ".." in it. Octets from 0x80 on are
 * taken: names of files are octets. */
static bool
path_is_clean(const char *path, size_t length)
{
	size_t start = 0;

	for (size_t i = 0; i <= length; i++) {
		unsigned char c = i < length ? (unsigned char)path[i] : '/';

		if (c < 32 || c == 127)
			return false;
		if (c != '/')
			continue;
		if (i - start == 2 && path[start] == '.' &&
			path[start + 1] == '.')
			return false;
		start = i + 1;
	}
	return true;
}

static bool
account_is_valid(uid_t uid, gid_t gid, const char *home, size_t home_length,
	const char *maildir, size_t maildir_length)
{
	return uid != 0 && gid != 0 && uid != (uid_t)-1 && gid != (gid_t)-1 &&
	       home_length > 0 && home_length < ACCOUNT_HOME_MAX &&
	       home[0] == '/' && path_is_clean(home, home_length) &&
	       maildir_length > 0 && maildir_length < ACCOUNT_HOME_MAX &&
	       maildir[0] != '/' && path_is_clean(maildir, maildir_length);
}

int
account_pack(const struct account *account, unsigned char *into, size_t size,
	size_t *length)
{
	stralloc packed = STRALLOC_ZERO;
	size_t home = strnlen(account->home, sizeof account->home);
	size_t maildir = strnlen(account->maildir, sizeof account->maildir);
	int result = -1;

	if (!account_is_valid(account->uid, account->gid, account->home, home,
		    account->maildir, maildir)) {
		errno = EINVAL;
		return -1;
	}
	if (pack_u8(&packed, RECORD_VERSION) < 0 ||
		pack_u32(&packed, account->uid) < 0 ||
		pack_u32(&packed, account->gid) < 0 ||
		pack_text(&packed, account->home, home) < 0 ||
		pack_text(&packed, account->maildir, maildir) < 0)
		goto end;
	errno = EMSGSIZE;
	if (packed.len > size)
		goto end;
	memcpy(into, packed.s, packed.len);
	*length = packed.len;
	result = 0;
end:;
	int saved = errno;
	stralloc_free(&packed);
	errno = saved;
	return result;
}

int
account_unpack(const void *octets, size_t length, struct account *account)
{
	struct unpack cursor;
	size_t home_length, maildir_length;

	unpack_start(&cursor, octets, length);
	unsigned version = unpack_u8(&cursor);
	uid_t uid = unpack_u32(&cursor);
	gid_t gid = unpack_u32(&cursor);
	const char *home = unpack_text(&cursor, &home_length);
	const char *maildir = unpack_text(&cursor, &maildir_length);
	if (!unpack_ended(&cursor) || version != RECORD_VERSION ||
		!account_is_valid(
			uid, gid, home, home_length, maildir, maildir_length)) {
		errno = EBADMSG;
		return -1;
	}
	memset(account, 0, sizeof *account);
	account->uid = uid;
	account->gid = gid;
	memcpy(account->home, home, home_length);
	memcpy(account->maildir, maildir, maildir_length);
	return 0;
}

enum account_result
account_virtual(
	const char *database, const char *address, struct account *account)
{
	char key[sizeof account->name];
	struct cdbfile file;
	cdb_data data;
	size_t length = strlen(address);
	enum account_result result = ACCOUNT_TROUBLE;

	if (length == 0 || length >= sizeof key)
		return ACCOUNT_NONE;
	for (size_t i = 0; i <= length; i++) {
		char c = address[i];

		key[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
	}
	if (cdbfile_open(&file, database) < 0)
		return errno == ENOENT ? ACCOUNT_NONE : ACCOUNT_TROUBLE;
	int found = cdbfile_find(&file, key, length, &data);
	if (found == 0) {
		result = ACCOUNT_NONE;
	} else if (found > 0 &&
		   account_unpack(data.s, data.len, account) == 0) {
		memcpy(account->name, key, length + 1);
		result = ACCOUNT_FOUND;
	}
	int saved = errno;
	cdbfile_close(&file);
	errno = saved;
	return result;
}
