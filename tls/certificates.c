#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tls/certificates.h"

static int
fail(char *why, size_t size, const char *name, const char *what)
{
	ERR_clear_error();
	snprintf(why, size, "tls/%s: %s", name, what);
	return -1;
}

struct certificates *
certificates_new(void)
{
	return calloc(1, sizeof(struct certificates));
}

static void
free_one(struct certificate *one)
{
	if (one == NULL)
		return;
	X509_free(one->leaf);
	sk_X509_pop_free(one->chain, X509_free);
	EVP_PKEY_free(one->key);
	free(one->staple);
	free(one);
}

void
certificates_free(struct certificates *certificates)
{
	if (certificates == NULL)
		return;
	for (size_t i = 0; i < certificates->count; i++)
		free_one(certificates->list[i]);
	X509_STORE_free(certificates->clients);
	sk_X509_NAME_pop_free(certificates->client_names, X509_NAME_free);
	free(certificates);
}

/* --- what the signing part says --- */

static unsigned char *
read_file(int file, size_t length)
{
	unsigned char *octets = malloc(length + 1);
	size_t done = 0;

	while (octets != NULL && done < length) {
		ssize_t got =
			pread(file, octets + done, length - done, (off_t)done);

		if (got > 0) {
			done += (size_t)got;
		} else if (got == 0 || errno != EINTR) {
			free(octets);
			return NULL;
		}
	}
	return octets;
}

static int
add_certificate(struct certificates *certificates,
	const struct key_methods *methods, const int *signer,
	const struct keep_record *record, const unsigned char *octets,
	char *why, size_t size)
{
	const unsigned char *at = octets, *end = octets + record->count;
	struct certificate *one = calloc(1, sizeof *one);
	const char *wrong = "out of memory";

	if (one == NULL || (one->chain = sk_X509_new_null()) == NULL)
		goto wrong;
	memcpy(one->name, record->name, sizeof one->name);
	wrong = "it is no certificate";
	while (at < end) {
		X509 *next = d2i_X509(NULL, &at, end - at);

		if (next == NULL)
			goto wrong;
		if (one->leaf == NULL)
			one->leaf = next;
		else if (sk_X509_push(one->chain, next) <= 0)
			X509_free(next);
	}
	if (one->leaf == NULL)
		goto wrong;
	memcpy(one->ask.id, record->key, sizeof one->ask.id);
	one->ask.signer = signer;
	wrong = "its key is of no kind that is served";
	one->key = key_ask_make(methods, one->leaf, &one->ask);
	if (one->key == NULL)
		goto wrong;
	wrong = "out of memory";
	if (record->staple > 0) {
		one->staple = malloc(record->staple);
		if (one->staple == NULL)
			goto wrong;
		memcpy(one->staple, end, record->staple);
		one->staple_len = record->staple;
	}
	certificates->list[certificates->count++] = one;
	return 0;
wrong:
	free_one(one);
	return fail(why, size, record->name, wrong);
}

static int
add_clients(struct certificates *certificates, const struct keep_record *record,
	const unsigned char *octets, char *why, size_t size)
{
	const unsigned char *at = octets, *end = octets + record->count;

	certificates->clients = X509_STORE_new();
	certificates->client_names = sk_X509_NAME_new_null();
	if (certificates->clients == NULL || certificates->client_names == NULL)
		return fail(why, size, record->name, "out of memory");
	while (at < end) {
		X509 *next = d2i_X509(NULL, &at, end - at);

		if (next == NULL)
			return fail(why, size, record->name,
				"it is no certificate");
		(void)X509_STORE_add_cert(certificates->clients, next);
		X509_NAME *name = X509_NAME_dup(X509_get_subject_name(next));
		if (name == NULL ||
			sk_X509_NAME_push(certificates->client_names, name) <=
				0)
			X509_NAME_free(name);
		X509_free(next);
	}
	if (EVP_Digest(octets, record->count, certificates->clients_digest,
		    NULL, EVP_sha256(), NULL) != 1)
		return fail(why, size, record->name, "no digest");
	return 0;
}

int
certificates_add(struct certificates *certificates,
	const struct key_methods *methods, const int *signer,
	const struct keep_record *record, int file, char *why, size_t size)
{
	if (memchr(record->name, 0, sizeof record->name) == NULL ||
		record->count == 0 || record->count > 2 * SIGN_FILE_MAX ||
		record->staple > SIGN_FILE_MAX ||
		certificates->count == SIGN_CERTIFICATES_MAX)
		return fail(why, size, "?", "a record that is out of order");
	unsigned char *octets =
		read_file(file, (size_t)record->count + record->staple);
	if (octets == NULL)
		return fail(why, size, record->name, "out of memory");
	int result =
		record->kind == KEEP_CLIENTS
			? add_clients(certificates, record, octets, why, size)
			: add_certificate(certificates, methods, signer, record,
				  octets, why, size);
	free(octets);
	ERR_clear_error();
	return result;
}

/* --- which one --- */

static enum certificate_rank
rank_of(const struct certificate *one, const char *name)
{
	if (name != NULL && *name != 0) {
		if (X509_check_host(one->leaf, name, 0,
			    X509_CHECK_FLAG_NO_WILDCARDS, NULL) == 1)
			return CERTIFICATE_EXACT;
		if (X509_check_host(one->leaf, name, 0,
			    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1)
			return CERTIFICATE_WILDCARD;
	}
	return strcmp(one->name, "default") == 0 ||
			       strncmp(one->name, "default.", 8) == 0
		       ? CERTIFICATE_DEFAULT
		       : CERTIFICATE_ANY;
}

unsigned
certificates_find(const struct certificates *certificates, const char *name,
	const struct certificate *found[2])
{
	enum certificate_rank best = CERTIFICATE_ANY;
	unsigned count = 0;

	for (size_t i = 0; i < certificates->count; i++) {
		const struct certificate *one = certificates->list[i];
		enum certificate_rank rank = rank_of(one, name);

		if (rank > best) {
			best = rank;
			count = 0;
		}
		/* Of those that suit nothing the first alone: what is beside it
		 * has perhaps another name. */
		if (rank < best || count == 2 ||
			(count == 1 && (best == CERTIFICATE_ANY ||
					       EVP_PKEY_get_base_id(one->key) ==
						       EVP_PKEY_get_base_id(
							       found[0]->key))))
			continue;
		found[count++] = one;
	}
	ERR_clear_error();
	return count;
}
