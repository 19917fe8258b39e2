#include <crypt.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "lib/cdbfile.h"
#include "lib/pack.h"
#include "tools/secrets.h"

/* A setting of the same cost as those of secrets_hash: what a password is
 * compared to when there is no hash. */
#define NOBODY "$y$j9T$......................"

/* Copies a text of a record. 0, or -1 if it does not fit or holds a NUL. */
static int
copy_text(char *into, size_t size, const char *text, size_t len)
{
	if (text == NULL || len >= size || memchr(text, 0, len) != NULL)
		return -1;
	memcpy(into, text, len);
	into[len] = 0;
	return 0;
}

static int
unpack_verifier(struct unpack *cursor, struct scram_verifier *verifier)
{
	verifier->iterations = unpack_u32(cursor);
	const void *salt = unpack_octets(cursor, SCRAM_SALT);
	const void *stored_key = unpack_octets(cursor, DIGEST_SHA256);
	const void *server_key = unpack_octets(cursor, DIGEST_SHA256);

	if (cursor->failed || verifier->iterations < SCRAM_ITERATIONS_MIN ||
		verifier->iterations > SCRAM_ITERATIONS_MAX)
		return -1;
	memcpy(verifier->salt, salt, SCRAM_SALT);
	memcpy(verifier->stored_key, stored_key, DIGEST_SHA256);
	memcpy(verifier->server_key, server_key, DIGEST_SHA256);
	return 0;
}

static int
unpack_second(struct unpack *cursor, struct secret *secret)
{
	size_t len;
	const char *text = unpack_text(cursor, &len);

	if (copy_text(secret->hash, sizeof secret->hash, text, len) < 0 ||
		len == 0)
		return -1;
	uint8_t has_verifier = unpack_u8(cursor);
	secret->has_verifier = has_verifier == 1;
	if (has_verifier > 1 ||
		(has_verifier == 1 &&
			unpack_verifier(cursor, &secret->verifier) < 0))
		return -1;
	text = unpack_text(cursor, &len);
	if (copy_text(secret->password, sizeof secret->password, text, len) < 0)
		return -1;
	return unpack_ended(cursor) ? 0 : -1;
}

int
secrets_unpack(const void *octets, size_t len, struct secret *secret)
{
	struct unpack cursor;
	int result = -1;

	memset(secret, 0, sizeof *secret);
	unpack_start(&cursor, octets, len);
	switch (unpack_u8(&cursor)) {
	case 1:
		if (len > 1)
			result = copy_text(secret->hash, sizeof secret->hash,
				(const char *)octets + 1, len - 1);
		break;
	case 2:
		result = unpack_second(&cursor, secret);
		break;
	default:
		break;
	}
	if (result < 0) {
		explicit_bzero(secret, sizeof *secret);
		errno = EBADMSG;
	}
	return result;
}

int
secrets_pack(const struct secret *secret, stralloc *into)
{
	const struct scram_verifier *verifier = &secret->verifier;

	if (pack_u8(into, 2) < 0 ||
		pack_text(into, secret->hash, strlen(secret->hash)) < 0 ||
		pack_u8(into, secret->has_verifier) < 0)
		return -1;
	if (secret->has_verifier &&
		(pack_u32(into, verifier->iterations) < 0 ||
			!stralloc_catb(into, (const char *)verifier->salt,
				SCRAM_SALT) ||
			!stralloc_catb(into, (const char *)verifier->stored_key,
				DIGEST_SHA256) ||
			!stralloc_catb(into, (const char *)verifier->server_key,
				DIGEST_SHA256)))
		return -1;
	return pack_text(into, secret->password, strlen(secret->password));
}

/* Looks a key up. The data lives until the file is closed. */
static int
find(struct cdbfile *file, const char *database, const char *key,
	cdb_data *data)
{
	if (cdbfile_open(file, database) < 0)
		return errno == ENOENT ? 0 : -1;
	int found = cdbfile_find(file, key, strlen(key), data);
	if (found > 0)
		return 1;
	int saved = errno;
	cdbfile_close(file);
	errno = saved;
	return found;
}

int
secrets_find(const char *database, const char *address, struct secret *secret)
{
	struct cdbfile file;
	cdb_data data;

	memset(secret, 0, sizeof *secret);
	/* The one key that is no address. */
	if (strchr(address, '@') == NULL)
		return 0;
	int found = find(&file, database, address, &data);
	if (found <= 0)
		return found;
	found = secrets_unpack(data.s, data.len, secret) == 0 ? 1 : -1;
	cdbfile_close(&file);
	if (found < 0)
		errno = EBADMSG;
	return found;
}

int
secrets_seed(const char *database, uint8_t seed[DIGEST_SHA256])
{
	struct cdbfile file;
	cdb_data data;
	int found = find(&file, database, SECRETS_SEED, &data);

	if (found <= 0)
		return found;
	if (data.len == DIGEST_SHA256)
		memcpy(seed, data.s, DIGEST_SHA256);
	else
		found = -1;
	cdbfile_close(&file);
	if (found < 0)
		errno = EBADMSG;
	return found;
}

int
secrets_make(const char *password, bool keeps_password, struct secret *secret)
{
	uint8_t salt[SCRAM_SALT];

	memset(secret, 0, sizeof *secret);
	if (strlen(password) >= sizeof secret->password) {
		errno = EMSGSIZE;
		return -1;
	}
	if (getrandom(salt, sizeof salt, 0) != sizeof salt ||
		secrets_hash(password, secret->hash) < 0)
		return -1;
	scram_derive(&secret->verifier, password, salt, SCRAM_ITERATIONS);
	secret->has_verifier = true;
	if (keeps_password)
		snprintf(secret->password, sizeof secret->password, "%s",
			password);
	return 0;
}

int
secrets_hash(const char *password, char hash[SECRETS_HASH_MAX])
{
	char salt[CRYPT_GENSALT_OUTPUT_SIZE];
	int result = -1;

	if (crypt_gensalt_rn("$y$", 0, NULL, 0, salt, sizeof salt) == NULL)
		return -1;
	struct crypt_data *data = calloc(1, sizeof *data);
	if (data == NULL)
		return -1;
	const char *made = crypt_r(password, salt, data);
	if (made != NULL && *made != '*' && strlen(made) < SECRETS_HASH_MAX) {
		memcpy(hash, made, strlen(made) + 1);
		result = 0;
	}
	int saved = made == NULL || *made == '*' ? errno : EOVERFLOW;
	explicit_bzero(data, sizeof *data);
	free(data);
	errno = saved;
	return result;
}

/* Compares without telling by its time where two texts differ. */
static bool
is_same(const char *one, const char *other)
{
	size_t length = strlen(one);
	unsigned char difference = 0;

	if (strlen(other) != length)
		return false;
	for (size_t i = 0; i < length; i++)
		difference |= (unsigned char)(one[i] ^ other[i]);
	return difference == 0;
}

bool
secrets_match(const char *hash, const char *password)
{
	bool is_usable = hash != NULL && *hash != 0 && *hash != '!' &&
			 *hash != '*' && *password != 0;
	bool is_right = false;

	struct crypt_data *data = calloc(1, sizeof *data);
	if (data == NULL)
		return false;
	const char *made = crypt_r(password, is_usable ? hash : NOBODY, data);
	/* crypt(3) gives a text that begins with "*" on failure. */
	if (made != NULL && *made != '*' && is_usable)
		is_right = is_same(made, hash);
	explicit_bzero(data, sizeof *data);
	free(data);
	return is_right;
}
