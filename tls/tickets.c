#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <string.h>
#include "lib/deadline.h"
#include "tls/tickets.h"

static int
make_key(struct ticket_key *key)
{
	return RAND_bytes(key->name, sizeof key->name) == 1 &&
			       RAND_priv_bytes(
				       key->cipher, sizeof key->cipher) == 1 &&
			       RAND_priv_bytes(key->mac, sizeof key->mac) == 1
		       ? 0
		       : -1;
}

int
tickets_make(struct tickets *tickets)
{
	OPENSSL_cleanse(tickets, sizeof *tickets);
	tickets->turn_deadline_ms = deadline_after_ms(TICKETS_TURN_MS);
	return make_key(&tickets->current);
}

int
tickets_turn(struct tickets *tickets)
{
	if (deadline_left_ms(tickets->turn_deadline_ms) > 0)
		return 0;
	tickets->previous = tickets->current;
	tickets->has_previous = true;
	tickets->turn_deadline_ms = deadline_after_ms(TICKETS_TURN_MS);
	return make_key(&tickets->current);
}

static int
set_key(const struct ticket_key *key, EVP_MAC_CTX *mac)
{
	char digest[] = "sha256";
	unsigned char copy[sizeof key->mac];
	OSSL_PARAM parameter[3];

	memcpy(copy, key->mac, sizeof copy);
	parameter[0] = OSSL_PARAM_construct_octet_string(
		OSSL_MAC_PARAM_KEY, copy, sizeof copy);
	parameter[1] = OSSL_PARAM_construct_utf8_string(
		OSSL_MAC_PARAM_DIGEST, digest, 0);
	parameter[2] = OSSL_PARAM_construct_end();
	int result = EVP_MAC_CTX_set_params(mac, parameter);
	OPENSSL_cleanse(copy, sizeof copy);
	return result == 1 ? 0 : -1;
}

/* Called by OpenSSL for each ticket. 1: go on; 2: and make a new one; 0: no key
 * for it; -1: trouble. */
static int
prepare(SSL *ssl, unsigned char name[16], unsigned char *iv,
	EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_made)
{
	const struct tickets *tickets =
		SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const EVP_CIPHER *kind = EVP_aes_256_cbc();

	if (is_made) {
		memcpy(name, tickets->current.name, 16);
		if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(kind)) != 1 ||
			set_key(&tickets->current, mac) < 0 ||
			EVP_EncryptInit_ex(cipher, kind, NULL,
				tickets->current.cipher, iv) != 1)
			return -1;
		return 1;
	}
	const struct ticket_key *key = NULL;
	if (memcmp(name, tickets->current.name, 16) == 0)
		key = &tickets->current;
	else if (tickets->has_previous &&
		 memcmp(name, tickets->previous.name, 16) == 0)
		key = &tickets->previous;
	if (key == NULL)
		return 0;
	if (set_key(key, mac) < 0 ||
		EVP_DecryptInit_ex(cipher, kind, NULL, key->cipher, iv) != 1)
		return -1;
	return key == &tickets->current ? 1 : 2;
}

void
tickets_use(struct tickets *tickets, SSL_CTX *context)
{
	SSL_CTX_set_app_data(context, tickets);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(context, prepare);
	SSL_CTX_set_timeout(context, TICKETS_LIFE_S);
}
