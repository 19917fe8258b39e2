#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "lib/log.h"
#include "tls/facts.h"
#include "tls/keyring_file.h"

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX (SIGN_OCTETS_MAX * 8)
#define CHAIN_MAX 16

static int fail(char *why, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int
fail(char *why, size_t size, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, size, format, arguments);
	va_end(arguments);
	return -1;
}

/* --- files --- */

struct contents {
	unsigned char *octets; /* owned; NULL for none */
	size_t length;
};

static void
drop(struct contents *contents)
{
	if (contents->octets != NULL)
		OPENSSL_cleanse(contents->octets, contents->length);
	free(contents->octets);
	contents->octets = NULL;
	contents->length = 0;
}

/* Reads up to SIGN_FILE_MAX octets. 0, or -1 with errno. */
static int
read_all(int fd, struct contents *contents)
{
	contents->length = 0;
	contents->octets = malloc(SIGN_FILE_MAX + 1);
	while (contents->octets != NULL && contents->length <= SIGN_FILE_MAX) {
		ssize_t got = read(fd, contents->octets + contents->length,
			SIGN_FILE_MAX + 1 - contents->length);

		if (got == 0)
			return 0;
		if (got > 0)
			contents->length += (size_t)got;
		else if (errno != EINTR)
			break;
	}
	int saved = contents->length > SIGN_FILE_MAX ? EFBIG : errno;
	drop(contents);
	errno = saved;
	return -1;
}

/* 0; 1: it is not there; -1. Both with a sentence. */
static int
read_file(int folder, const char *name, const char *suffix,
	struct contents *contents, char *why, size_t size)
{
	char path[SIGN_NAME_MAX + 8];
	struct stat st;

	snprintf(path, sizeof path, "%s%s", name, suffix);
	int fd = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		bool is_missing = errno == ENOENT;

		fail(why, size, "%s: %s%s", path, strerror(errno),
			errno == EACCES ? ": _keep-tls must be able to read it"
					: "");
		return is_missing ? 1 : -1;
	}
	int result = fstat(fd, &st);
	if (result == 0 && !S_ISREG(st.st_mode)) {
		errno = EINVAL;
		result = -1;
	}
	if (result == 0)
		result = read_all(fd, contents);
	if (result < 0)
		fail(why, size, "%s: %s", path, strerror(errno));
	else if (strcmp(suffix, ".key") == 0 && (st.st_mode & 07) != 0)
		log_line("tls/%s may be read by others: chmod o= it", path);
	close(fd);
	return result;
}

/* --- certificates --- */

/* Adds a certificate in DER to the octets. 0, or -1. */
static int
add_der(struct contents *all, const X509 *certificate)
{
	int length = i2d_X509(certificate, NULL);

	if (length <= 0 || all->length + (size_t)length > SIGN_FILE_MAX)
		return -1;
	unsigned char *place = all->octets + all->length;
	if (i2d_X509(certificate, &place) != length)
		return -1;
	all->length += (size_t)length;
	return 0;
}

/* Takes all certificates of a PEM text. Returns the first, with all in *all; or
 * NULL with a sentence. */
static X509 *
take_chain(const struct contents *file, unsigned max, struct contents *all,
	char *why, size_t size)
{
	BIO *bio = BIO_new_mem_buf(file->octets, (int)file->length);
	X509 *first = NULL, *next;
	unsigned count = 0;
	int result = 0;

	all->length = 0;
	all->octets = malloc(2 * SIGN_FILE_MAX);
	if (bio == NULL || all->octets == NULL)
		result = fail(why, size, "out of memory");
	while (result == 0 &&
		(next = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		if (++count > max || add_der(all, next) < 0)
			result = fail(why, size, "there is too much in it");
		if (first == NULL)
			first = next;
		else
			X509_free(next);
	}
	/* The end of the text is an error too, of its own kind. */
	if (result == 0 &&
		(first == NULL || ERR_GET_REASON(ERR_peek_last_error()) !=
					  PEM_R_NO_START_LINE)) {
		char words[120];

		facts_why(words, sizeof words);
		result = fail(why, size, "no certificate in PEM: %s", words);
	}
	ERR_clear_error();
	BIO_free(bio);
	if (result == 0)
		return first;
	X509_free(first);
	drop(all);
	return NULL;
}

/* --- keys --- */

static int
no_password(char *buffer, int size, int writes, void *unused)
{
	(void)buffer;
	(void)size;
	(void)writes;
	(void)unused;
	return -1;
}

static bool
is_curve(EVP_PKEY *key)
{
	char name[40] = "";

	if (EVP_PKEY_get_group_name(key, name, sizeof name, NULL) != 1)
		return false;
	int curve = OBJ_txt2nid(name);
	return curve == NID_X9_62_prime256v1 || curve == NID_secp384r1;
}

static EVP_PKEY *
take_key(const struct contents *file, char *why, size_t size)
{
	BIO *bio = BIO_new_mem_buf(file->octets, (int)file->length);
	EVP_PKEY *key = NULL;
	char words[120];

	if (bio != NULL)
		key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	BIO_free(bio);
	if (key == NULL) {
		facts_why(words, sizeof words);
		fail(why, size, "no key in PEM without a password: %s", words);
		return NULL;
	}
	ERR_clear_error();
	int bits = EVP_PKEY_get_bits(key);
	if (EVP_PKEY_is_a(key, "RSA")
			? bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX
			: EVP_PKEY_is_a(key, "EC") && is_curve(key))
		return key;
	fail(why, size,
		"a key of RSA with 2048 to 4096 bits, or of ECDSA on P-256 or "
		"P-384, is needed");
	EVP_PKEY_free(key);
	return NULL;
}

int
keyring_id(EVP_PKEY *key, uint8_t id[SIGN_KEY_ID])
{
	unsigned char *octets = NULL;
	int length = i2d_PUBKEY(key, &octets);
	int result = length > 0 && EVP_Digest(octets, (size_t)length, id, NULL,
					   EVP_sha256(), NULL) == 1
			     ? 0
			     : -1;

	OPENSSL_free(octets);
	return result;
}

/* --- one entry --- */

/* What the log says of a certificate. */
static void
describe(X509 *leaf, const EVP_PKEY *key, char *what, size_t size)
{
	time_t now = time(NULL);
	struct tm until;
	char day[24] = "an unknown day";
	char name[128] = "";

	if (ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &until) == 1)
		strftime(day, sizeof day, "%Y-%m-%d", &until);
	X509_NAME_get_text_by_NID(
		X509_get_subject_name(leaf), NID_commonName, name, sizeof name);
	const char *warning = "";
	if (X509_cmp_time(X509_get0_notAfter(leaf), &now) <= 0)
		warning = "; IT HAS EXPIRED";
	else if (X509_cmp_time(X509_get0_notBefore(leaf), &now) > 0)
		warning = "; IT IS NOT VALID YET";
	snprintf(what, size, "%s, of %s, until %s%s",
		key == NULL		    ? "authorities"
		: EVP_PKEY_is_a(key, "RSA") ? "RSA"
					    : "ECDSA",
		name, day, warning);
}

/* Reads the key that belongs to the leaf. */
static EVP_PKEY *
read_key(int folder, const char *name, X509 *leaf, char *why, size_t size)
{
	struct contents file = {NULL, 0};
	char part[200];
	int result = read_file(folder, name, ".key", &file, why, size);

	if (result != 0) {
		if (result > 0)
			fail(why, size, "%s.key is missing", name);
		return NULL;
	}
	EVP_PKEY *key = take_key(&file, part, sizeof part);
	drop(&file);
	if (key == NULL) {
		fail(why, size, "%s.key: %s", name, part);
		return NULL;
	}
	if (X509_check_private_key(leaf, key) != 1) {
		ERR_clear_error();
		fail(why, size, "%s.key is not the key of %s.pem", name, name);
		EVP_PKEY_free(key);
		return NULL;
	}
	return key;
}

/* Adds the staple, if there is one. One that is wrong is left out, aloud. */
static size_t
add_staple(int folder, const char *name, struct contents *all)
{
	struct contents file = {NULL, 0};
	char why[300];
	size_t length = 0;
	int result = read_file(folder, name, ".ocsp", &file, why, sizeof why);

	if (result < 0) {
		log_line("tls/%s", why);
	} else if (result == 0) {
		/* a SEQUENCE in DER; what it says is the client's to judge */
		if (file.length < 10 || file.octets[0] != 0x30 ||
			all->length + file.length > SIGN_FILE_MAX) {
			log_line(
				"tls/%s.ocsp is no OCSP response in DER", name);
		} else {
			memcpy(all->octets + all->length, file.octets,
				file.length);
			length = file.length;
		}
	}
	drop(&file);
	return length;
}

int
keyring_read(int folder, struct keyring_entry *entry, EVP_PKEY **key,
	char *what, size_t size)
{
	struct contents file = {NULL, 0}, all = {NULL, 0};
	EVP_PKEY *new_key = NULL;
	uint8_t id[SIGN_KEY_ID] = {0};
	char part[200];

	if (read_file(folder, entry->name, ".pem", &file, what, size) != 0)
		return -1;
	X509 *leaf = take_chain(&file, key != NULL ? CHAIN_MAX : UINT32_MAX,
		&all, part, sizeof part);
	drop(&file);
	if (leaf == NULL)
		return fail(what, size, "%s.pem: %s", entry->name, part);
	if (key != NULL) {
		new_key = read_key(folder, entry->name, leaf, what, size);
		if (new_key != NULL && keyring_id(new_key, id) < 0) {
			fail(what, size, "%s.key: no digest", entry->name);
			EVP_PKEY_free(new_key);
			new_key = NULL;
		}
		if (new_key == NULL) {
			X509_free(leaf);
			drop(&all);
			return -1;
		}
		*key = new_key;
	}
	describe(leaf, new_key, what, size);
	X509_free(leaf);
	free(entry->octets);
	entry->octets = all.octets;
	entry->chain = all.length;
	entry->staple = key != NULL ? add_staple(folder, entry->name, &all) : 0;
	memcpy(entry->key, id, sizeof id);
	return 0;
}
