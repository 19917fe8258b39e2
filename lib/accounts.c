#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include "lib/accounts.h"
#include "lib/cdbfile.h"
#include "lib/pack.h"

#define VERSION_PLAIN 1
#define VERSION_MORE 2

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
place_is_valid(uid_t uid, gid_t gid, const char *home, size_t home_length,
	const char *maildir, size_t maildir_length)
{
	return uid != 0 && gid != 0 && uid != (uid_t)-1 && gid != (gid_t)-1 &&
	       home_length > 0 && home_length < ACCOUNT_HOME_MAX &&
	       home[0] == '/' && path_is_clean(home, home_length) &&
	       maildir_length > 0 && maildir_length < ACCOUNT_HOME_MAX &&
	       maildir[0] != '/' && path_is_clean(maildir, maildir_length);
}

/* Lines, each of some printable octets, and no line feed behind the last. */
static bool
targets_are_valid(const char *targets, size_t length)
{
	bool is_start = true;

	if (length >= ACCOUNT_TARGETS_MAX)
		return false;
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)targets[i];

		if (c == '\n' ? is_start : c < 32 || c == 127)
			return false;
		is_start = c == '\n';
	}
	return length == 0 || !is_start;
}

static bool
is_plain(const struct account *account)
{
	return account->kind == ACCOUNT_MAILBOX && account->flags == 0 &&
	       account->quota_octets == 0 && account->quota_messages == 0 &&
	       account->targets[0] == 0;
}

static bool
more_is_valid(const struct account *account, size_t targets)
{
	return !is_plain(account) && account->kind <= ACCOUNT_DOMAIN &&
	       (account->flags & ~(unsigned)ACCOUNT_FLAGS) == 0 &&
	       account->quota_octets <= ACCOUNT_QUOTA_MAX &&
	       (account->kind != ACCOUNT_ALIAS || targets > 0) &&
	       (account->kind != ACCOUNT_DOMAIN || targets == 0) &&
	       targets_are_valid(account->targets, targets);
}

static int
pack_more(stralloc *into, const struct account *account)
{
	size_t targets = strnlen(account->targets, sizeof account->targets);

	if (!more_is_valid(account, targets)) {
		errno = EINVAL;
		return -1;
	}
	return pack_u8(into, (uint8_t)account->kind) < 0 ||
			       pack_u8(into, (uint8_t)account->flags) < 0 ||
			       pack_u64(into, account->quota_octets) < 0 ||
			       pack_u32(into, account->quota_messages) < 0 ||
			       pack_text(into, account->targets, targets) < 0
		       ? -1
		       : 0;
}

int
account_pack(const struct account *account, unsigned char *into, size_t size,
	size_t *length)
{
	stralloc packed = STRALLOC_ZERO;
	size_t home = strnlen(account->home, sizeof account->home);
	size_t maildir = strnlen(account->maildir, sizeof account->maildir);
	bool plain = is_plain(account);
	int result = -1;

	if (!place_is_valid(account->uid, account->gid, account->home, home,
		    account->maildir, maildir)) {
		errno = EINVAL;
		return -1;
	}
	if (pack_u8(&packed, plain ? VERSION_PLAIN : VERSION_MORE) < 0 ||
		pack_u32(&packed, account->uid) < 0 ||
		pack_u32(&packed, account->gid) < 0 ||
		pack_text(&packed, account->home, home) < 0 ||
		pack_text(&packed, account->maildir, maildir) < 0 ||
		(!plain && pack_more(&packed, account) < 0))
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

/* What a record of version 2 has besides. 0 or -1. */
static int
unpack_more(struct unpack *cursor, struct account *account)
{
	size_t length;

	account->kind = (enum account_kind)unpack_u8(cursor);
	account->flags = unpack_u8(cursor);
	account->quota_octets = unpack_u64(cursor);
	account->quota_messages = unpack_u32(cursor);
	const char *targets = unpack_text(cursor, &length);
	if (cursor->failed || length >= sizeof account->targets)
		return -1;
	memcpy(account->targets, targets, length);
	account->targets[length] = 0;
	/* A NUL within is no line's octet, and refused with it. */
	if (strlen(account->targets) != length ||
		!more_is_valid(account, length))
		return -1;
	return 0;
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

	memset(account, 0, sizeof *account);
	if (cursor.failed || version < VERSION_PLAIN ||
		version > VERSION_MORE ||
		!place_is_valid(
			uid, gid, home, home_length, maildir, maildir_length) ||
		(version == VERSION_MORE &&
			unpack_more(&cursor, account) < 0) ||
		!unpack_ended(&cursor)) {
		errno = EBADMSG;
		return -1;
	}
	account->uid = uid;
	account->gid = gid;
	memcpy(account->home, home, home_length);
	memcpy(account->maildir, maildir, maildir_length);
	return 0;
}

enum account_result
account_find(const struct cdbfile *file, const char *address,
	struct account *account)
{
	char key[sizeof account->name];
	cdb_data data;
	size_t length = strlen(address);

	if (length == 0 || length >= sizeof key)
		return ACCOUNT_NONE;
	for (size_t i = 0; i <= length; i++) {
		char c = address[i];

		key[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
	}
	int found = cdbfile_find(file, key, length, &data);
	if (found == 0)
		return ACCOUNT_NONE;
	if (found < 0 || account_unpack(data.s, data.len, account) < 0)
		return ACCOUNT_TROUBLE;
	memcpy(account->name, key, length + 1);
	return ACCOUNT_FOUND;
}

enum account_result
account_virtual(
	const char *database, const char *address, struct account *account)
{
	struct cdbfile file;

	/* An account's local part is not empty: that is a domain's key. */
	if (address[0] == '@')
		return ACCOUNT_NONE;
	if (cdbfile_open(&file, database) < 0)
		return errno == ENOENT ? ACCOUNT_NONE : ACCOUNT_TROUBLE;
	enum account_result result = account_find(&file, address, account);
	int saved = errno;
	cdbfile_close(&file);
	errno = saved;
	return result;
}
