#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "lib/escape.h"
#include "tls/facts.h"

/* RFC 9266 section 4.1 */
#define EXPORTER_LABEL "EXPORTER-Channel-Binding"

void
facts_start(struct tls_facts *facts, enum tls_status status)
{
	memset(facts, 0, sizeof *facts);
	facts->magic = TLS_MAGIC;
	facts->status = status;
}

/* --- errors --- */

struct words {
	int reason;
	const char *text;
};

static const struct words table[] = {
	{SSL_R_UNSUPPORTED_PROTOCOL, "the peer offers no TLS 1.2 or 1.3"},
	{SSL_R_VERSION_TOO_LOW, "the peer offers no TLS 1.2 or 1.3"},
	{SSL_R_WRONG_VERSION_NUMBER, "the peer does not speak TLS"},
	{SSL_R_HTTP_REQUEST, "the peer speaks HTTP"},
	{SSL_R_HTTPS_PROXY_REQUEST, "the peer speaks HTTP"},
	{SSL_R_NO_SHARED_CIPHER, "the peer has no cipher that is offered here"},
	{SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM,
		"the peer takes no signature that the certificates can make"},
	{SSL_R_NO_APPLICATION_PROTOCOL, "the peer wants another protocol"},
	{SSL_R_UNEXPECTED_EOF_WHILE_READING,
		"the peer closed without a close_notify"},
	{SSL_R_CERTIFICATE_VERIFY_FAILED,
		"the peer's certificate does not hold"},
};

static const char *
find_words(int reason)
{
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (table[i].reason == reason)
			return table[i].text;
	return NULL;
}

void
facts_why(char *buffer, size_t size)
{
	unsigned long error = ERR_get_error();
	int reason = ERR_GET_REASON(error);
	char text[200];

	ERR_clear_error();
	if (buffer == NULL)
		return;
	const char *words = NULL;
	if (ERR_GET_LIB(error) == ERR_LIB_SSL)
		words = find_words(reason);
	if (words != NULL)
		snprintf(text, sizeof text, "%s", words);
	else if (ERR_GET_LIB(error) == ERR_LIB_SSL &&
		 reason > SSL_AD_REASON_OFFSET)
		snprintf(text, sizeof text, "the peer refuses: %s",
			SSL_alert_desc_string_long(
				reason - SSL_AD_REASON_OFFSET));
	else if (error != 0 && ERR_reason_error_string(error) != NULL)
		snprintf(text, sizeof text, "%s",
			ERR_reason_error_string(error));
	else
		snprintf(text, sizeof text, "error %lx", error);
	escape_line(buffer, size, text, strlen(text), ESCAPE_MASK);
}

/* --- the peer's certificate --- */

static void
set_fingerprint(struct tls_facts *facts, const X509 *certificate)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned length = 0;

	if (X509_digest(certificate, EVP_sha256(), digest, &length) != 1 ||
		length != 32)
		return;
	for (unsigned i = 0; i < length; i++)
		snprintf(facts->fingerprint + 2 * i, 3, "%02x", digest[i]);
}

/* Takes a text of a certificate, if each octet of it is a printable one other
 * than a blank. */
static bool
take_identity(
	char identity[AUTH_NAME_MAX], const unsigned char *text, int length)
{
	if (text == NULL || length <= 0 || length >= AUTH_NAME_MAX)
		return false;
	for (int i = 0; i < length; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	memcpy(identity, text, (size_t)length);
	identity[length] = 0;
	return true;
}

/* An address of the subjectAltName; or else, where there is none, the common
 * name. */
static void
set_identity(char identity[AUTH_NAME_MAX], X509 *certificate)
{
	GENERAL_NAMES *names =
		X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	bool has_address = false;

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && !has_address; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type != GEN_EMAIL)
			continue;
		has_address = true;
		take_identity(identity,
			ASN1_STRING_get0_data(name->d.rfc822Name),
			ASN1_STRING_length(name->d.rfc822Name));
	}
	GENERAL_NAMES_free(names);
	const X509_NAME *subject = X509_get_subject_name(certificate);
	int place = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (has_address || place < 0)
		return;
	unsigned char *text = NULL;
	int length = ASN1_STRING_to_UTF8(&text,
		X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, place)));
	take_identity(identity, text, length);
	OPENSSL_free(text);
}

/* What the check found. That of a resumed session is from its first handshake, and
 * each resumption gives a new ticket: the certificate's end is looked at again
 * (RFC 8446 section 4.6.1). */
static long
result_of(SSL *ssl, const X509 *certificate)
{
	long result = SSL_get_verify_result(ssl);

	if (result == X509_V_OK && SSL_session_reused(ssl) &&
		X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0)
		return X509_V_ERR_CERT_HAS_EXPIRED;
	return result;
}

static void
set_peer(struct tls_facts *facts, SSL *ssl)
{
	X509 *certificate = SSL_get1_peer_certificate(ssl);

	if (certificate == NULL)
		return;
	long result = result_of(ssl, certificate);
	set_fingerprint(facts, certificate);
	if (result != X509_V_OK) {
		const char *words = X509_verify_cert_error_string(result);

		escape_line(facts->text, sizeof facts->text, words,
			strlen(words), ESCAPE_MASK);
	} else {
		facts->verified = SSL_get0_peername(ssl) != NULL
					  ? TLS_VERIFIED_NAME
					  : TLS_VERIFIED_CHAIN;
		if (SSL_is_server(ssl))
			set_identity(facts->channel.identity, certificate);
	}
	X509_free(certificate);
}

/* --- bindings --- */

size_t
facts_end_point(const X509 *certificate, uint8_t binding[64])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned length = 0;
	int hash = NID_undef;

	if (certificate == NULL ||
		X509_get_signature_info((X509 *)(size_t)certificate, &hash,
			NULL, NULL, NULL) != 1)
		return 0;
	if (hash == NID_md5 || hash == NID_sha1)
		hash = NID_sha256;
	const EVP_MD *kind = EVP_get_digestbynid(hash);
	if (kind == NULL ||
		X509_digest(certificate, kind, digest, &length) != 1 ||
		length > 64)
		return 0;
	memcpy(binding, digest, length);
	return length;
}

int
facts_remember(SSL *ssl, void *unused)
{
	uint8_t binding[64];
	size_t length = 0;

	(void)unused;
	/* A ticket of a resumed session has what its ticket had. */
	if (SSL_session_reused(ssl))
		return 1;
	length = facts_end_point(SSL_get_certificate(ssl), binding);
	if (length > 0)
		(void)SSL_SESSION_set1_ticket_appdata(
			SSL_get_session(ssl), binding, length);
	return 1;
}

static void
set_end_point(struct auth_channel *channel, SSL *ssl)
{
	void *kept = NULL;
	size_t length = 0;

	if (!SSL_is_server(ssl)) {
		X509 *certificate = SSL_get1_peer_certificate(ssl);

		channel->end_point_len = (uint32_t)facts_end_point(
			certificate, channel->end_point);
		X509_free(certificate);
	} else if (!SSL_session_reused(ssl)) {
		channel->end_point_len = (uint32_t)facts_end_point(
			SSL_get_certificate(ssl), channel->end_point);
	} else if (SSL_SESSION_get0_ticket_appdata(
			   SSL_get_session(ssl), &kept, &length) == 1 &&
		   kept != NULL && length <= sizeof channel->end_point) {
		memcpy(channel->end_point, kept, length);
		channel->end_point_len = (uint32_t)length;
	}
}

/* RFC 9266 section 4.2: before TLS 1.3 only with an extended master secret. */
static void
set_exporter(struct auth_channel *channel, SSL *ssl)
{
	static const unsigned char nothing[1] = {0};

	if (SSL_version(ssl) < TLS1_3_VERSION &&
		SSL_get_extms_support(ssl) != 1)
		return;
	if (SSL_export_keying_material(ssl, channel->exporter,
		    sizeof channel->exporter, EXPORTER_LABEL,
		    strlen(EXPORTER_LABEL), nothing, 0, 1) == 1)
		channel->exporter_len = sizeof channel->exporter;
	else
		memset(channel->exporter, 0, sizeof channel->exporter);
}

/* --- all of it --- */

void
facts_fill(SSL *ssl, struct tls_facts *facts)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	facts_start(facts, TLS_READY);
	snprintf(facts->protocol, sizeof facts->protocol, "%s",
		SSL_get_version(ssl));
	snprintf(facts->cipher, sizeof facts->cipher, "%s",
		SSL_get_cipher_name(ssl));
	facts->bits = (uint32_t)SSL_get_cipher_bits(ssl, NULL);
	facts->is_resumed = SSL_session_reused(ssl) == 1;
	if (name != NULL)
		escape_line(facts->name, sizeof facts->name, name, strlen(name),
			ESCAPE_MASK);
	set_peer(facts, ssl);
	set_end_point(&facts->channel, ssl);
	set_exporter(&facts->channel, ssl);
	ERR_clear_error();
}
