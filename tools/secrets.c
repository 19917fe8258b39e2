#include <crypt.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/cdbfile.h"
#include "tools/secrets.h"

/* A setting of the same cost as those of secrets_hash: what a password is
 * compared to when there is no hash. */
#define NOBODY "$y$j9T$......................"

int
secrets_find(
	const char *database, const char *address, char hash[SECRETS_HASH_MAX])
{
	struct cdbfile file;
	cdb_data data;

	if (cdbfile_open(&file, database) < 0)
		return errno == ENOENT ? 0 : -1;
	int found = cdbfile_find(&file, address, strlen(address), &data);
	if (found > 0) {
		if (data.len < 2 || data.len > SECRETS_HASH_MAX ||
			data.s[0] != SECRETS_VERSION ||
			memchr(data.s, 0, data.len) != NULL) {
			errno = EBADMSG;
			found = -1;
		} else {
			memcpy(hash, data.s + 1, data.len - 1);
			hash[data.len - 1] = 0;
		}
	}
	int saved = errno;
	cdbfile_close(&file);
	errno = saved;
	return found;
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
