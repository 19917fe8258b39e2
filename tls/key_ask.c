/* The methods of a key are the older interface of OpenSSL 3; what takes their place
 * would be a provider with all that a key can do. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include "lib/deadline.h"
#include "tls/key_ask.h"

/* The place of an application's own data in a key. */
#define OWN_DATA 0

/* Asks for one signature. Returns its length, or 0. */
static size_t
ask_for(const struct key_ask *ask, enum sign_kind kind,
	const unsigned char *octets, size_t length,
	unsigned char signature[SIGN_OCTETS_MAX])
{
	struct sign_request request = {.magic = SIGN_MAGIC, .kind = kind};
	int64_t deadline_ms = deadline_after_ms(KEY_ASK_MS);
	struct sign_answer answer;
	ssize_t got;

	if (ask == NULL || *ask->signer < 0 || length > sizeof request.octets)
		return 0;
	memcpy(request.key, ask->id, sizeof request.key);
	memcpy(request.octets, octets, length);
	request.length = (uint32_t)length;
	if (send(*ask->signer, &request, sizeof request, MSG_NOSIGNAL) < 0)
		return 0;
	do {
		struct pollfd wait = {*ask->signer, POLLIN, 0};

		if (poll(&wait, 1, deadline_left_ms(deadline_ms)) == 0)
			return 0;
		got = recv(*ask->signer, &answer, sizeof answer,
			MSG_DONTWAIT | MSG_TRUNC);
	} while (got < 0 && (errno == EAGAIN || errno == EINTR));
	if (got != (ssize_t)sizeof answer || answer.magic != SIGN_MAGIC ||
		answer.length > SIGN_OCTETS_MAX)
		return 0;
	memcpy(signature, answer.octets, answer.length);
	return answer.length;
}

static int
sign_rsa(int length, const unsigned char *from, unsigned char *to, RSA *rsa,
	int padding)
{
	unsigned char signature[SIGN_OCTETS_MAX];
	size_t size = (size_t)RSA_size(rsa);
	size_t got = 0;

	if (length > 0 &&
		(padding == RSA_PKCS1_PADDING || padding == RSA_NO_PADDING))
		got = ask_for(RSA_get_ex_data(rsa, OWN_DATA),
			padding == RSA_PKCS1_PADDING ? SIGN_RSA : SIGN_RSA_PSS,
			from, (size_t)length, signature);
	if (got == 0 || got != size) {
		ERR_raise_data(ERR_LIB_USER, ERR_R_OPERATION_FAIL,
			"the signing part gives no signature");
		return -1;
	}
	memcpy(to, signature, got);
	return (int)got;
}

static int
sign_ecdsa(int type, const unsigned char *digest, int length, unsigned char *to,
	unsigned *size, const BIGNUM *unused_k, const BIGNUM *unused_r,
	EC_KEY *key)
{
	unsigned char signature[SIGN_OCTETS_MAX];
	size_t got = 0;

	(void)type;
	(void)unused_k;
	(void)unused_r;
	if (length > 0)
		got = ask_for(EC_KEY_get_ex_data(key, OWN_DATA), SIGN_ECDSA,
			digest, (size_t)length, signature);
	if (got == 0 || got > (size_t)ECDSA_size(key)) {
		ERR_raise_data(ERR_LIB_USER, ERR_R_OPERATION_FAIL,
			"the signing part gives no signature");
		return 0;
	}
	memcpy(to, signature, got);
	*size = (unsigned)got;
	return 1;
}

/* There is nothing to decrypt: no cipher that is offered needs it. */
static int
refuse_decryption(int length, const unsigned char *from, unsigned char *to,
	RSA *rsa, int padding)
{
	(void)length;
	(void)from;
	(void)to;
	(void)rsa;
	(void)padding;
	return -1;
}

int
key_methods_make(struct key_methods *methods)
{
	int (*setup)(EC_KEY *, BN_CTX *, BIGNUM **, BIGNUM **) = NULL;

	methods->rsa = RSA_meth_dup(RSA_PKCS1_OpenSSL());
	methods->ec = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
	if (methods->rsa == NULL || methods->ec == NULL)
		return -1;
	EC_KEY_METHOD_get_sign(methods->ec, NULL, &setup, NULL);
	EC_KEY_METHOD_set_sign(methods->ec, sign_ecdsa, setup, NULL);
	return RSA_meth_set_priv_enc(methods->rsa, sign_rsa) == 1 &&
			       RSA_meth_set_priv_dec(
				       methods->rsa, refuse_decryption) == 1
		       ? 0
		       : -1;
}

static EVP_PKEY *
make_rsa(const struct key_methods *methods, const RSA *known,
	struct key_ask *ask)
{
	RSA *rsa = RSA_new();
	EVP_PKEY *key = EVP_PKEY_new();
	BIGNUM *n = BN_dup(RSA_get0_n(known)), *e = BN_dup(RSA_get0_e(known));

	if (rsa != NULL && n != NULL && e != NULL &&
		RSA_set0_key(rsa, n, e, NULL) == 1) {
		n = e = NULL;
		if (key != NULL && RSA_set_method(rsa, methods->rsa) == 1 &&
			RSA_set_ex_data(rsa, OWN_DATA, ask) == 1 &&
			EVP_PKEY_set1_RSA(key, rsa) == 1) {
			RSA_free(rsa);
			return key;
		}
	}
	BN_free(n);
	BN_free(e);
	RSA_free(rsa);
	EVP_PKEY_free(key);
	return NULL;
}

static EVP_PKEY *
make_ec(const struct key_methods *methods, const EC_KEY *known,
	struct key_ask *ask)
{
	EC_KEY *ec = EC_KEY_new();
	EVP_PKEY *key = EVP_PKEY_new();

	if (ec != NULL && key != NULL &&
		EC_KEY_set_group(ec, EC_KEY_get0_group(known)) == 1 &&
		EC_KEY_set_public_key(ec, EC_KEY_get0_public_key(known)) == 1 &&
		EC_KEY_set_method(ec, methods->ec) == 1 &&
		EC_KEY_set_ex_data(ec, OWN_DATA, ask) == 1 &&
		EVP_PKEY_set1_EC_KEY(key, ec) == 1) {
		EC_KEY_free(ec);
		return key;
	}
	EC_KEY_free(ec);
	EVP_PKEY_free(key);
	return NULL;
}

EVP_PKEY *
key_ask_make(const struct key_methods *methods, X509 *certificate,
	struct key_ask *ask)
{
	EVP_PKEY *known = X509_get0_pubkey(certificate);
	EVP_PKEY *key = NULL;

	if (known == NULL)
		return NULL;
	if (EVP_PKEY_is_a(known, "RSA") && EVP_PKEY_get0_RSA(known) != NULL)
		key = make_rsa(methods, EVP_PKEY_get0_RSA(known), ask);
	else if (EVP_PKEY_is_a(known, "EC") &&
		 EVP_PKEY_get0_EC_KEY(known) != NULL)
		key = make_ec(methods, EVP_PKEY_get0_EC_KEY(known), ask);
	ERR_clear_error();
	return key;
}
