#ifndef TOOLS_SPOOL_H
#define TOOLS_SPOOL_H

/*
 * A whole message, read from a descriptor before anything is done with it:
 * whoever writes it may take hours (cron opens the pipe at the first line of
 * output), and a submission must not be kept open for so long. The first
 * SPOOL_MEMORY_OCTETS are held in memory, with more than that all of it is in
 * a temporary file without a name.
 */

#include <stddef.h>
#include <stdint.h>

#define SPOOL_MEMORY_OCTETS (8 * 1024 * 1024)
/* The longest message taken, in octets. */
#define SPOOL_MAX (1024 * 1024 * 1024)

struct spool {
	char *memory; /* owned: the first octets of the message, `held` many */
	size_t held;
	int fd;		  /* owned: the rest; -1 if there is none */
	uint64_t octets;  /* of the message */
	int eight_bit;	  /* an octet above 127 was there */
	int nul;	  /* a NUL octet was there */
	int at_line, dot; /* private: where the last octet left us */
};

#define SPOOL_EMPTY ((struct spool){.fd = -1, .at_line = 1})

enum spool_result {
	SPOOL_OK,
	SPOOL_TOO_LONG, /* more than SPOOL_MAX octets */
	SPOOL_READ,	/* the input cannot be read: errno */
	SPOOL_WRITE,	/* no memory, or no room for the file: errno */
};

/*
 * Reads fd to its end into *spool, which is SPOOL_EMPTY; or, if dot_ends, to a
 * line that holds a dot alone, which is not part of the message. Afterwards
 * (whatever the result) spool_free is due.
 */
enum spool_result spool_read(int fd, int dot_ends, struct spool *spool);

/*
 * The same in pieces: spool_start once (0, or -1 with errno), then octets in
 * order. SPOOL_OK, SPOOL_TOO_LONG or SPOOL_WRITE.
 */
int spool_start(struct spool *spool);
enum spool_result
spool_put(struct spool *spool, const char *octets, size_t length);

/*
 * Calls each(context, octets, length) for all of the message from this offset
 * on, in order, until it returns other than 0. Returns 0, what each returned,
 * or -1 with errno if the temporary file cannot be read.
 */
int spool_each(const struct spool *spool, uint64_t offset,
	int (*each)(void *context, const char *octets, size_t length),
	void *context);

/* Frees what the spool owns and makes it empty. Safe twice. */
void spool_free(struct spool *spool);

#endif
