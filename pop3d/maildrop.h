#ifndef POP3D_MAILDROP_H
#define POP3D_MAILDROP_H

/*
 * A Maildir as POP3 sees it: a list of messages that is made once, at the start
 * of the session, by one reading of each folder, and numbered in the order of
 * delivery. No file is opened or looked at for it.
 *
 * One session has the maildrop at a time (RFC 1939 section 4): a lock on the file
 * keepmail-lock, which the kernel gives up with the process, however that ends.
 * Other programs do not know of it and may rename and remove files meanwhile. A
 * message is therefore known by the part of its file name before ":" (its base)
 * together with its inode, which no rename changes, and is looked for again when
 * its file name is there no more. A file that took the name of another is never
 * mistaken for it.
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
	const char *name; /* in its folder; the maildrop's own */
	ino_t inode;	  /* what no rename changes */
	/* Seconds that the name begins with, UINT32_MAX for more; or 0. */
	uint32_t delivered;
	uint8_t base_length;	/* of name: up to ":" or the end */
	unsigned folder : 1;	/* enum maildrop_folder */
	unsigned shared : 1;	/* another message has this base: see uidl */
	unsigned linked : 1;	/* private: the file may have two names */
	unsigned gone : 1;	/* no name was found when last looked for */
	unsigned deleted : 1;	/* marked by DELE */
	unsigned retrieved : 1; /* sent by RETR: QUIT makes it seen */
};

/* The size of a message whose name does not tell it (pop3d/sizes.c). */
struct maildrop_size {
	uint64_t is_known;
	uint64_t wire_octets, file_octets;
	uint64_t modified_ns;
};

struct maildrop {
	int maildir;   /* -1 if it does not exist */
	int folder[2]; /* by enum maildrop_folder; -1 if it does not exist */
	int lock;      /* -1 where none can be had */
	struct maildrop_message *message; /* message number n is [n - 1] */
	size_t messages;
	size_t room;		      /* private, and so is what follows */
	struct maildrop_names *names; /* what message[].name points into */
	struct maildrop_size *size;   /* size[n - 1], or NULL */
	size_t counted;		      /* sizes that the cache has not */
	unsigned incomplete; /* there may be more messages than listed */
	unsigned changed[2]; /* names went or came: sync */
};

/* What a maildrop is before it is open; this may be closed. */
#define MAILDROP_CLOSED(which)         \
	(*(which) = (struct maildrop){ \
		 .maildir = -1, .folder = {-1, -1}, .lock = -1})

/*
 * Opens the account's Maildir, locks it and lists new/ and cur/. A Maildir, or a
 * half of it, that does not exist is empty. Where no lock can be had because
 * nothing can be written there, or because the file system has none, drop->lock
 * is -1. For a lock that is held wait_ms are waited. Returns 0, or -1 with errno:
 * EBUSY, it is locked; or it cannot be read (ELOOP or ENOTDIR: a part of the path
 * is a link or no folder; EINVAL: the path leads upwards, or the lock is no
 * regular file; ENOMEM), and there is nothing to close.
 */
int maildrop_open(
	struct maildrop *drop, const struct account *account, int wait_ms);

/* The next session may have it: before the answer to QUIT. Safe twice. */
void maildrop_unlock(struct maildrop *drop);

/* Closes it, and leaves the sizes that were counted to later sessions. */
void maildrop_close(struct maildrop *drop);

/*
 * The octets of the message on the wire: every line end as CRLF, without
 * doubled dots and without the final dot. Taken from ",W=" in the file name where
 * it can stand beside ",S="; else from the file keepmail-sizes of the Maildir,
 * which earlier sessions have left; else counted once and remembered. A file that
 * cannot be read now has no octets.
 */
uint64_t
maildrop_octets(struct maildrop *drop, struct maildrop_message *message);

/*
 * Whether a file's status still is what the size was taken from: the same file,
 * size and, where it was counted, time of modification. If not, the size is
 * forgotten where it can be counted anew.
 */
int maildrop_is_unchanged(struct maildrop *drop,
	const struct maildrop_message *message, const struct stat *status);

/* Leaves what was counted to later sessions. A failure is no trouble. */
void maildrop_sizes_save(struct maildrop *drop);

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
 * Lists the folders again and brings name, folder and gone of every message up
 * to date; no message is added. 0, or -1 with errno and nothing changed;
 * EAGAIN: the folders changed too fast, or hold too much, to tell what is gone.
 */
int maildrop_refresh(struct maildrop *drop);

/* What the UPDATE state did. */
struct maildrop_update {
	size_t deleted;	  /* removed now, or found to be removed already */
	size_t remaining; /* marked, but still there */
	size_t moved;	  /* retrieved, and now marked as seen */
	size_t unmoved;	  /* retrieved, but still unseen */
	uint64_t octets;  /* of the files that were removed now */
	int error;	  /* errno of the last trouble, or 0 */
};

/*
 * The UPDATE state (RFC 1939 section 6): removes the marked messages, moves
 * those retrieved from new/ to cur/ and marks them as seen (":2,S"), never over
 * another file, and syncs each folder that changed, once. What was removed is
 * taken off the quota file maildirsize, if there is one (Maildir++). Returns 0 if
 * all marked messages are gone and the folders are synced, else -1; *update tells
 * in both cases. (In pop3d/update.c.)
 */
int maildrop_update(struct maildrop *drop, struct maildrop_update *update);

#endif
