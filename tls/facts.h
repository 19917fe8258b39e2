#ifndef TLS_FACTS_H
#define TLS_FACTS_H

/*
 * What a session of TLS says of itself (struct tls_facts of lib/tls.h), for both
 * programs that have OpenSSL; and OpenSSL's errors in words.
 */

#include <openssl/ssl.h>
#include <stddef.h>
#include "lib/tls.h"

/* Zeroes facts but for magic and status. */
void facts_start(struct tls_facts *facts, enum tls_status status);

/*
 * Fills facts from a session whose handshake is done, with TLS_READY: protocol,
 * cipher, name, whether it was resumed, the peer's certificate and how far it was
 * verified, and the channel's bindings. What cannot be had is left empty.
 *
 * verified is TLS_VERIFIED_CHAIN if OpenSSL's verification found nothing wrong, and
 * TLS_VERIFIED_NAME if it also compared a name (SSL_set1_host); else text says what
 * did not hold. identity is filled on the server's side alone, and only if the
 * certificate was verified.
 *
 * The end point's binding is of the server's certificate; in a session that a server
 * resumed it is what facts_remember kept in the ticket.
 */
void facts_fill(SSL *ssl, struct tls_facts *facts);

/* Keeps the binding in the session of which a ticket is made (a callback for
 * SSL_CTX_set_session_ticket_cb). Always 1. */
int facts_remember(SSL *ssl, void *unused);

/*
 * The binding "tls-server-end-point" of a server's certificate (RFC 5929 section
 * 4.1). Returns its length, or 0 if none is defined for it.
 */
size_t facts_end_point(const X509 *certificate, uint8_t binding[64]);

/*
 * Takes the oldest error from OpenSSL's queue, in words, and empties the queue.
 * buffer NULL only empties it. Printable.
 */
void facts_why(char *buffer, size_t size);

#endif
