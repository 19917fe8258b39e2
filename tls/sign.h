#ifndef TLS_SIGN_H
#define TLS_SIGN_H

/*
 * What is said between the parts of tlsd: records of one size each, over socket
 * pairs (SOCK_SEQPACKET).
 *
 * The signing part alone reads the folder tls and has the private keys. It tells
 * the parent which certificates there are: KEEP_BEGIN, then a record and a memory
 * file for each, then KEEP_END; again whenever something has changed. The parent
 * gives it one end of a pair for each session (KEEP_SESSION), whose child has the
 * other end and asks for signatures there.
 */

#include <stdint.h>

#define SIGN_MAGIC 0x6b736731u /* "ksg1" */
#define SIGN_KEY_ID 32	       /* SHA-256 of the public key */
/* A signature of RSA with 4096 bits. */
#define SIGN_OCTETS_MAX 512
/* What one session may have signed: a handshake needs one. */
#define SIGN_SESSION_MAX 2
#define SIGN_NAME_MAX 128
/* A chain with its staple, and the authorities of clients. */
#define SIGN_FILE_MAX (256 * 1024)
#define SIGN_CERTIFICATES_MAX 256

enum sign_kind {
	SIGN_RSA = 1, /* octets: a DigestInfo, to be padded (RFC 8017 9.2) */
	SIGN_RSA_PSS = 2, /* octets: an encoded message (RFC 8017 9.1.1) */
	SIGN_ECDSA = 3,	  /* octets: a digest */
};

struct sign_request {
	uint32_t magic;
	uint32_t kind; /* enum sign_kind */
	uint32_t length;
	uint8_t key[SIGN_KEY_ID];
	uint8_t octets[SIGN_OCTETS_MAX];
};

struct sign_answer {
	uint32_t magic;
	uint32_t length; /* 0: no */
	uint8_t octets[SIGN_OCTETS_MAX];
};

enum keep_kind {
	KEEP_BEGIN = 1,	      /* from the signing part */
	KEEP_CERTIFICATE = 2, /* with a file: the chain in DER, the staple */
	KEEP_CLIENTS = 3,     /* with a file: authorities in DER */
	KEEP_END = 4,
	KEEP_LOOK = 5,	  /* to it: look at the folder now */
	KEEP_SESSION = 6, /* to it, with one end of a pair */
};

struct keep_record {
	uint32_t magic;
	uint32_t kind; /* enum keep_kind */
	/* KEEP_BEGIN: certificates that follow. KEEP_CERTIFICATE, KEEP_CLIENTS:
	 * octets of certificates in the file, and of the staple behind them. */
	uint32_t count, staple;
	uint8_t key[SIGN_KEY_ID];
	char name[SIGN_NAME_MAX]; /* of the files, without a suffix */
};

#endif
