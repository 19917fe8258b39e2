#ifndef LOCAL_ENVIRONMENT_H
#define LOCAL_ENVIRONMENT_H

/*
 * The environment that a command of a .qmail file finds: qmail-command(8)'s
 * variables and nothing of the caller's.
 *
 *   PATH HOME SHELL USER LOGNAME   KEEPMAIL (the installation's home)
 *   SENDER NEWSENDER RECIPIENT     reverse-path and recipient, as text
 *   LOCAL HOST HOST2 HOST3 HOST4   recipient; HOST without its last, … labels
 *   EXT EXT2 EXT3 EXT4             extension; what follows its first, … dash
 *   DEFAULT                        what "default" stood for; else not set
 *   DTLINE RPLINE UFLINE           Delivered-To, Return-Path, mbox line, each
 *                                  with its line end
 *   DSN_NOTIFY DSN_RET DSN_ENVID DSN_ORCPT
 *                                  what the sender asked of reports, as SMTP has
 *                                  it (RFC 3461 section 4); not set if nothing
 *   REQUIRETLS                     1 if the sender wants that; else not set
 */

#include <stddef.h>
#include <stdint.h>

#define ENVIRONMENT_MAX 32

struct environment_words {
	const char *keepmail; /* path of the installation */
	const char *programs; /* folder of its programs: last in PATH */
	const char *user, *home;
	const char *sender, *recipient; /* "local@domain"; sender "" for null */
	const char *new_sender;		/* that a forward should have */
	const char *local, *host;	/* the recipient's halves, unquoted */
	const char *extension;
	const char *matched;	   /* NULL: DEFAULT is not set */
	const char *envid, *orcpt; /* NULL or "": not set */
	uint8_t notify, ret;	   /* enum envelope_notify, envelope_ret */
	uint8_t requiretls;
};

struct environment {
	char *variable[ENVIRONMENT_MAX + 1]; /* "NAME=VALUE", NULL at the end */
	unsigned variables;
};

/* Makes all of them. 0, or -1 with errno ENOMEM and *environment empty. */
int environment_make(
	struct environment *environment, const struct environment_words *words);

/* Writes the line before a message in an mbox, as UFLINE has it. Returns its
 * length, which is below ENVIRONMENT_LINE_MAX. */
#define ENVIRONMENT_LINE_MAX 1200
size_t
environment_mbox_line(char line[ENVIRONMENT_LINE_MAX], const char *sender);

/* NOTIFY as a variable has it: "NEVER", or words with a comma between two. */
#define ENVIRONMENT_NOTIFY_MAX 32
void
environment_write_notify(char text[ENVIRONMENT_NOTIFY_MAX], uint8_t notify);
/* The same back; 0 for what is none. */
uint8_t environment_read_notify(const char *text);

/* Frees what it owns and makes it empty. Safe twice. */
void environment_free(struct environment *environment);

#endif
