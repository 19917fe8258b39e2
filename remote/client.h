#ifndef REMOTE_CLIENT_H
#define REMOTE_CLIENT_H

/*
 * The client's side of SMTP: RFC 5321, with PIPELINING (RFC 2920), SIZE (RFC
 * 1870), 8BITMIME (RFC 6152), DSN (RFC 3461) and SMTPUTF8 (RFC 6531) as far as
 * the server offers them, its LIMITS (RFC 9422) and BDAT (RFC 3030), with
 * STARTTLS (RFC 3207), AUTH (RFC 4954) and REQUIRETLS (RFC 8689). One connection, any number of messages
 * one after the other. Every wait has a deadline.
 *
 * A message with octets from 0x80 on goes to a server without 8BITMIME as it is:
 * recoding would break signatures, refusing would break mail that arrives today.
 *
 * The order of calls: client_connect, client_start, client_greet; perhaps
 * client_start_tls and client_log_in; then client_send_message as often as its
 * result is CLIENT_OK; client_quit. client->fd stays the caller's to close.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include "lib/line.h"
#include "lib/outcome.h"
#include "lib/output.h"
#include "lib/reply.h"
#include "lib/tls.h"
#include "remote/smarthosts.h"

/* RCPT commands that are sent before their replies are read. */
#define CLIENT_BATCH 50
/* And their octets, unless one alone is longer: less than the system buffers, so
 * that no server can make both sides wait for each other (RFC 2920 section 3.1). */
#define CLIENT_BATCH_OCTETS 8192

enum client_capability {
	CLIENT_ESMTP = 1, /* EHLO was taken */
	CLIENT_PIPELINING = 2,
	CLIENT_SIZE = 4,
	CLIENT_8BITMIME = 8,
	CLIENT_ENHANCED = 16,
	CLIENT_DSN = 32,
	CLIENT_SMTPUTF8 = 64,
	CLIENT_STARTTLS = 128,
	CLIENT_REQUIRETLS = 256,
	CLIENT_AUTH = 512, /* client->mechanisms says which */
	CLIENT_LIMITS = 1024,
	CLIENT_CHUNKING = 2048,
};

/* In the order in which they are preferred. */
enum client_mechanism {
	CLIENT_SCRAM_SHA_256 = 1,
	CLIENT_CRAM_MD5 = 2,
	CLIENT_PLAIN = 4,
	CLIENT_LOGIN = 8,
};

/* How long each phase may wait, in milliseconds (RFC 5321 section 4.5.3.2). A
 * deadline covers one reply, or one block of content. */
struct client_timeouts {
	int64_t connect_ms, greeting_ms, mail_ms, rcpt_ms, data_ms, block_ms,
		final_ms;
};

#define CLIENT_TIMEOUTS            \
	((struct client_timeouts){ \
		60000, 300000, 300000, 300000, 120000, 180000, 600000})

enum client_result {
	CLIENT_OK = 1,	  /* go on with this connection */
	CLIENT_NEXT_HOST, /* nothing was decided and no result told: close, and
			     try another address or connection; text and outcome
			     tell what to say if there is none */
	CLIENT_CLOSE, /* all results were told, but this connection is at its
			 end: close it, after client_quit if you like */
};

/* Why CLIENT_NEXT_HOST of client_send_message: what is wrong with this host. */
enum client_aside {
	CLIENT_ASIDE_NONE,   /* it speaks to nobody now */
	CLIENT_ASIDE_TLS,    /* it has not what REQUIRETLS wants */
	CLIENT_ASIDE_POLICY, /* it does not like our address of IPv6 */
};

struct client {
	int fd;
	struct client_timeouts timeouts;
	unsigned capabilities; /* enum client_capability, ored */
	unsigned mechanisms;   /* enum client_mechanism, ored: those offered */
	uint64_t size_limit;   /* the server's, 0 for none */
	/* LIMITS (RFC 9422), 0 for none: recipients in a transaction, and
	 * transactions over a connection, which the caller keeps. */
	unsigned rcpt_max, mail_max;
	unsigned mails; /* transactions so far */
	int helo_only; /* the caller's, after client_start: not a word of EHLO */
	int has_v4;    /* the caller's, too: this connection is of IPv6, and the
		       message may go to an address of IPv4 */
	int no_bdat;   /* the caller's, too: DATA even if BDAT is offered */
	int ehlo_lost;	  /* the connection ended at EHLO: HELO over another may
			  do (RFC 5321 section 3.2) */
	int broken;	  /* the connection is out of step or lost */
	int transaction;  /* MAIL was sent, and no end has come */
	int is_encrypted; /* TLS: nothing passes in clear any more */
	/* The server is the one that was meant, beyond doubt (RFC 8689 section
	 * 4.2.1): the caller sets it, for messages with requiretls. */
	int is_proven;
	enum client_aside aside; /* after CLIENT_NEXT_HOST */
	enum outcome outcome; /* after CLIENT_NEXT_HOST: deferred or failed */
	char text[OUTCOME_TEXT_MAX + 1]; /* after CLIENT_NEXT_HOST */
	/* " (host NAME [ADDRESS])", and with TLS " (host NAME [ADDRESS] PROTOCOL
	 * CIPHER verified)" */
	char where[450];
	char trouble[128];  /* what broke the connection */
	struct reply reply; /* the latest */
	struct line_reader in;
	struct output out;
};

/*
 * Says STARTTLS, has the service at socket_path do the handshake, and says EHLO
 * again; what was known of the server is forgotten. What the server sent behind
 * its 220 in clear is thrown away. After CLIENT_OK client->fd is another one, and
 * the old one is closed; *facts tells what was agreed.
 */
enum client_tls_result {
	CLIENT_TLS_ON,
	CLIENT_TLS_NOT_HERE, /* the service does not work: nothing was said, the
				connection is as it was; client->text */
	CLIENT_TLS_REFUSED, /* the server takes the command back: the connection
				is as it was; client->text */
	CLIENT_TLS_FAILED,  /* the handshake failed: close; client->text */
	CLIENT_TLS_LOST,    /* as CLIENT_NEXT_HOST */
};

enum client_tls_result client_start_tls(struct client *client,
	const char *socket_path, const struct tls_request *request,
	const char *name, struct tls_facts *facts);

/*
 * AUTH (RFC 4954), by the best mechanism that the server offers; PLAIN and LOGIN
 * only if the connection is encrypted or allow_clear is set. Returns CLIENT_OK;
 * CLIENT_NEXT_HOST if this host cannot say for now; CLIENT_CLOSE if the login was
 * rejected or there is no way to log in, which another host of the same route
 * will hardly see otherwise. client->text says why; the password is not in it,
 * whatever the server answers. The outcome is deferred.
 */
enum client_result client_log_in(
	struct client *client, const struct login *login, int allow_clear);

enum client_state {
	CLIENT_UNSENT,	 /* to be sent: what the caller sets */
	CLIENT_AGAIN,	 /* the server wants no more recipients in one
			    transaction: call client_send_message once more */
	CLIENT_DECIDED,	 /* its result was told */
	CLIENT_ACCEPTED, /* only within client_send_message */
};

struct client_recipient {
	const char *address; /* forward-path as text */
	uint8_t notify;	     /* as in doc/queue.md; sent if DSN is offered */
	const char *orcpt;   /* as it came in; NULL or "" for none */
	enum client_state state;
};

struct client_message {
	const char *reverse_path; /* as text, "" for the null path */
	struct client_recipient *recipient;
	size_t recipients;
	int content_fd;	 /* read with pread: the position does not move */
	off_t offset;	 /* of the content, which has LF line ends */
	uint64_t octets; /* of the content */
	int body_8bit;	 /* declared so; the content is looked at, too */
	int smtputf8;
	int requiretls;	   /* without it here: CLIENT_ASIDE_TLS, 5.7.30 */
	uint8_t ret;	   /* 0 none, 1 full, 2 hdrs */
	const char *envid; /* NULL or "" for none */
	/*
	 * Told once for each recipient: its index, what became of it (relayed,
	 * deferred, failed; relayed with DSN if NOTIFY was passed on), and a
	 * text, printable and at most OUTCOME_TEXT_MAX octets, that lives until the return.
	 */
	void (*result)(void *context, size_t index, enum outcome outcome,
		const char *text);
	void *context;
	/* Set by client_send_message. */
	int is_welcome; /* some host has accepted a recipient: start it 0 */
	int possible_duplicate; /* the connection was lost after all was sent:
				   the server may have it */
	size_t again;		/* recipients in state CLIENT_AGAIN */
};

/*
 * Connects to the address (with its port), from the source address unless that
 * is NULL (port 0, the same family). Returns a non-blocking, close-on-exec
 * descriptor, the caller's; or -1 with errno (ETIMEDOUT after timeout_ms;
 * EADDRNOTAVAIL if the source is not this host's).
 */
int client_connect(const struct sockaddr_storage *address,
	const struct sockaddr_storage *source, int64_t timeout_ms);

/* Prepares a client for a connected stream socket. host and address are the
 * names for texts; timeouts NULL means CLIENT_TIMEOUTS. */
void client_start(struct client *client, int fd, const char *host,
	const char *address, const struct client_timeouts *timeouts);

/*
 * Waits for the greeting and says EHLO with our name, HELO if that is refused.
 * Returns CLIENT_OK; or CLIENT_NEXT_HOST with client->text and ->outcome
 * (failed after a 5xx, deferred else).
 */
enum client_result client_greet(struct client *client, const char *name);

/*
 * Sends the message to all recipients that are CLIENT_UNSENT or CLIENT_AGAIN,
 * in one transaction, and tells results. With CLIENT_OK and message->again not 0,
 * call again for the rest (it gets fewer each time). CLIENT_NEXT_HOST happens
 * before a reply to MAIL (or with 421 to MAIL), so that a connection that
 * the server closed between two messages costs nothing; or where client->aside says
 * that another host may do for this message alone. Every recipient whose
 * result was not told is still to be sent. After CLIENT_CLOSE nobody is in state
 * CLIENT_UNSENT; those in CLIENT_AGAIN have no result yet and want another
 * connection.
 *
 * With has_v4, 550 or 554 with 5.7.x (RFC 3463 section 3.8) to MAIL or to all RCPT
 * that were not refused otherwise, and 5.7.23 to 5.7.26 (RFC 7372) after the
 * content, is CLIENT_ASIDE_POLICY: many check the name of an address, and what
 * it may send, that have never been written down for IPv6.
 *
 * A message that this server cannot be given (too large, SMTPUTF8 not offered) fails
 * without a word to it, and one with REQUIRETLS, if that is not offered or the server
 * not proven, is CLIENT_ASIDE_TLS. If the content cannot be read, the
 * recipients are deferred; once DATA has begun, the connection ends before the
 * final dot, so that nothing of it counts.
 */
enum client_result
client_send_message(struct client *client, struct client_message *message);

/* RSET. CLIENT_OK or CLIENT_NEXT_HOST. client_send_message does it by itself
 * when needed; before leaving a connection idle it shows whether it lives. */
enum client_result client_reset(struct client *client);

/* Sends QUIT unless the connection is broken; waits for nothing. */
void client_quit(struct client *client);

#endif
