#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include "tls/contexts.h"
#include "tls/facts.h"

/* Of TLS 1.2 those with a key exchange of its own for each session and an AEAD
 * (RFC 9325 section 4.2); all of TLS 1.3 are such. */
#define CIPHERS_12 "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"
#define GROUPS "X25519:P-256:P-384"

/* --- callbacks of a handshake --- */

/* Keeps the name that was asked for, whatever it is. */
static int
take_name(SSL *ssl, int *alert, void *unused)
{
	(void)ssl;
	(void)alert;
	(void)unused;
	return SSL_TLSEXT_ERR_OK;
}

static int
choose_certificate(SSL *ssl, void *argument)
{
	const struct contexts *contexts = argument;
	const struct certificate *found[2] = {NULL, NULL};
	unsigned count = certificates_find(contexts->certificates,
		SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name), found);

	for (unsigned i = 0; i < count; i++)
		if (SSL_use_cert_and_key(ssl, found[i]->leaf, found[i]->key,
			    found[i]->chain, 1) != 1)
			return 0;
	return count > 0;
}

static int
staple(SSL *ssl, void *argument)
{
	const struct contexts *contexts = argument;
	const struct certificates *all = contexts->certificates;
	const X509 *shown = SSL_get_certificate(ssl);

	for (size_t i = 0; shown != NULL && i < all->count; i++) {
		const struct certificate *one = all->list[i];

		if (one->staple == NULL || X509_cmp(one->leaf, shown) != 0)
			continue;
		unsigned char *copy =
			OPENSSL_memdup(one->staple, one->staple_len);
		if (copy == NULL)
			break;
		SSL_set_tlsext_status_ocsp_resp(
			ssl, copy, (long)one->staple_len);
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_NOACK;
}

/*
 * RFC 7301 section 3.2, against clients of other protocols that are led here: who
 * offers only others is refused. "smtp" is not registered; a client that offers it
 * is served, and not told so.
 */
static int
choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *length,
	const unsigned char *offered, unsigned offered_len, void *argument)
{
	const char *own = argument;
	size_t own_len = strlen(own);

	(void)ssl;
	for (unsigned i = 0; i < offered_len; i += 1u + offered[i]) {
		unsigned len = offered[i];

		if (len + 1 > offered_len - i || len != own_len ||
			memcmp(offered + i + 1, own, len) != 0)
			continue;
		if (strcmp(own, "smtp") == 0)
			return SSL_TLSEXT_ERR_NOACK;
		*chosen = offered + i + 1;
		*length = (unsigned char)len;
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* A client's certificate that does not hold is as good as none, and said so in the
 * facts. */
static int
go_on(int is_good, X509_STORE_CTX *store)
{
	(void)is_good;
	(void)store;
	return 1;
}

/* --- contexts --- */

static uint64_t
options_of(enum tls_service service)
{
	uint64_t options = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
			   SSL_OP_CIPHER_SERVER_PREFERENCE |
			   SSL_OP_PRIORITIZE_CHACHA;

	/* Some that send mail fail when they are given tickets. */
	if (service == TLS_SMTP)
		options |= SSL_OP_NO_TICKET;
	return options;
}

static SSL_CTX *
make_context(struct contexts *contexts, enum tls_service service)
{
	/* no ticket of one is valid in another */
	const unsigned char own[] = {'k', 'm', (unsigned char)service};
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	if (context == NULL ||
		SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
		SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_cipher_list(context, CIPHERS_12) != 1 ||
		SSL_CTX_set1_groups_list(context, GROUPS) != 1 ||
		SSL_CTX_set_session_id_context(context, own, sizeof own) != 1 ||
		SSL_CTX_set_num_tickets(context, service != TLS_SMTP) != 1) {
		SSL_CTX_free(context);
		return NULL;
	}
	SSL_CTX_set_options(context, options_of(service));
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_tlsext_servername_callback(context, take_name);
	SSL_CTX_set_tlsext_servername_arg(context, NULL);
	SSL_CTX_set_cert_cb(context, choose_certificate, contexts);
	SSL_CTX_set_tlsext_status_cb(context, staple);
	SSL_CTX_set_tlsext_status_arg(context, contexts);
	SSL_CTX_set_alpn_select_cb(context, choose_protocol,
		(void *)(size_t)(service == TLS_POP3 ? "pop3" : "smtp"));
	if (service != TLS_SMTP) {
		SSL_CTX_set_session_ticket_cb(
			context, facts_remember, NULL, NULL);
		tickets_use(&contexts->tickets[service], context);
	}
	return context;
}

int
contexts_make(struct contexts *contexts, char *why, size_t size)
{
	memset(contexts, 0, sizeof *contexts);
	contexts->certificates = certificates_new();
	for (int service = 1; service <= CONTEXTS_MAX; service++) {
		contexts->context[service] =
			make_context(contexts, (enum tls_service)service);
		if (contexts->certificates == NULL ||
			contexts->context[service] == NULL ||
			tickets_make(&contexts->tickets[service]) < 0) {
			char words[120];

			facts_why(words, sizeof words);
			snprintf(why, size, "OpenSSL: %s", words);
			return -1;
		}
	}
	return 0;
}

/* Asks for certificates of clients where somebody vouches for them. */
static void
ask_clients(const struct contexts *contexts, enum tls_service service)
{
	const struct certificates *certificates = contexts->certificates;
	SSL_CTX *context = contexts->context[service];

	if (certificates->clients == NULL) {
		SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
		return;
	}
	SSL_CTX_set1_cert_store(context, certificates->clients);
	SSL_CTX_set_client_CA_list(
		context, SSL_dup_CA_list(certificates->client_names));
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, go_on);
}

int
contexts_show(struct contexts *contexts, struct certificates *certificates)
{
	struct certificates *old = contexts->certificates;
	bool are_others =
		memcmp(old->clients_digest, certificates->clients_digest,
			sizeof old->clients_digest) != 0;

	contexts->certificates = certificates;
	for (int service = TLS_SUBMISSION; service <= CONTEXTS_MAX; service++) {
		ask_clients(contexts, (enum tls_service)service);
		if (are_others && tickets_make(&contexts->tickets[service]) < 0)
			return -1;
	}
	certificates_free(old);
	ERR_clear_error();
	return 0;
}
