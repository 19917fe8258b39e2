#ifndef POP3D_MAILDROP_H
#define POP3D_MAILDROP_H

/*
 * A Maildir as POP3 sees it: a list of messages that is made once, at the start
 * of the session, and numbered in the order of delivery. Nothing is locked:
 * other programs may rename and remove files meanwhile. A message is therefore
 * known by the part of its file name before ":" (its base) together with its
 * inode, which no rename changes, and is looked for again when its file name is
 * there no more. A file that took the name of another is never mistaken for it.
 *
 * Names with a leading dot, links and whatever is not a regular file are passed
 * over. No symbolic link is followed below the account's home.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include "lib/accounts.h"

/*
 * So many messages are listed at most; those beyond have their turn when some
 * of these are gone. Bounds the memory of a session.
 */
#define MAILDROP_MESSAGES_MAX 1000000
/* The longest unique id, with its NUL (RFC 1939 section 7). */
#define MAILDROP_UIDL_SIZE 71

enum maildrop_folder {
	MAILDROP_NEW,
	MAILDROP_CUR,
};

struct maildrop_message {
	char *name;		  /* in its folder; owned */
	size_t base_length;	  /* of name: up to ":" or the end */
	uint64_t delivered;	  /* seconds that the name begins with, or 0 */
	ino_t inode;		  /* what no rename changes */
	off_t file_octets;	  /* as scanned */
	struct timespec modified; /* as scanned */
	uint64_t wire_octets;	  /* private: if sized */
	unsigned folder : 1;	  /* enum maildrop_folder */
	unsigned sized : 1;	  /* private */
	unsigned shared : 1;	  /* another message has this base: see uidl */
	unsigned linked : 1;	  /* private: the file may have two names */
	unsigned gone : 1;	  /* no name was found when last looked for */
	unsigned deleted : 1;	  /* marked by DELE */
	unsigned retrieved : 1;	  /* sent by RETR: QUIT moves it to cur/ */
};

struct maildrop {
	int folder[2]; /* by enum maildrop_folder; -1 if it does not exist */
	struct maildrop_message *message; /* message number n is [n - 1] */
	size_t messages;
	size_t room;	     /* private */
	unsigned incomplete; /* there may be more messages than listed */
	unsigned changed[2]; /* private: names went or came: sync */
};

/*
 * Opens the account's Maildir and lists new/ and cur/. A Maildir, or a half of
 * it, that does not exist is empty. Returns 0, or -1 with errno: it cannot be
 * read (ELOOP or ENOTDIR: a part of the path is a link or no folder; EINVAL:
 * the path leads upwards; ENOMEM), and there is nothing to close.
 */
int maildrop_open(struct maildrop *drop, const struct account *account);

void maildrop_close(struct maildrop *drop);

/*
 * The octets of the message on the wire: every line end as CRLF, without
 * doubled dots and without the final dot. Taken from ",W=" in the file name if
 * ",S=" beside it is the file's size, else counted once and remembered. A file
 * that cannot be read now has its size in the file system.
 */
uint64_t
maildrop_octets(struct maildrop *drop, struct maildrop_message *message);

/*
 * Writes the message's unique id: the base of its name; "#" and a hash of the
 * base where that is no unique id (longer than 70 octets, octets outside 33 to
 * 126, or a leading "#"); "#" and a hash of base and inode where two messages
 * have the same base. So the id of one message never becomes another's.
 */
void maildrop_uidl(const struct maildrop_message *message,
	char uidl[static MAILDROP_UIDL_SIZE]);

/*
 * Opens a message's file for reading, under whatever name it has now, and tells
 * its status. Returns the descriptor, or -1 with errno, ENOENT if it is gone.
 */
int maildrop_message_open(struct maildrop *drop,
	struct maildrop_message *message, struct stat *status);

/*
 * Whether a file's status still is that of the message when it was listed: the
 * same file, size and time of modification.
 */
int maildrop_is_unchanged(
	const struct maildrop_message *message, const struct stat *status);

/*
 * Lists the folders again and brings name, folder and gone of every message up
 * to date; no message is added. 0, or -1 with errno and nothing changed;
 * EAGAIN: the folders changed too fast, or hold too much, to tell what is gone.
 */
int maildrop_refresh(struct maildrop *drop);

/* What the UPDATE state did. */
struct maildrop_update {
	size_t deleted;	  /* removed now, or found to be removed already */
	size_t remaining; /* marked, but still there */
	size_t moved;	  /* retrieved, from new/ to cur/ */
	size_t unmoved;	  /* retrieved, but still in new/ */
	int error;	  /* errno of the last trouble, or 0 */
};

/*
 * The UPDATE state (RFC 1939 section 6): removes the marked messages, moves
 * those retrieved from new/ to cur/ as seen (":2,S"), never over another file,
 * and syncs each folder that changed, once. Returns 0 if all marked messages
 * are gone and the folders are synced, else -1; *update tells in both cases.
 * (In pop3d/update.c.)
 */
int maildrop_update(struct maildrop *drop, struct maildrop_update *update);

#endif
