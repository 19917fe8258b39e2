#ifndef QUEUE_WAKEUP_H
#define QUEUE_WAKEUP_H

/*
 * Wake-up FIFOs (doc/queue.md, "Wake-ups"): lines that say where to look. Losing
 * one costs latency, never mail, so nothing here reports a lost line as an error.
 */

#include <stddef.h>

#define WAKEUP_LINE_MAX 300

/*
 * The reader's side: opens the FIFO for reading and writing, non-blocking, makes
 * it with this mode if it is missing or not a FIFO, and asks for a large buffer.
 * Returns the descriptor, or -1 with errno.
 */
int wakeup_open_reader(int queue_folder, const char *name, unsigned mode);

/*
 * Reads all complete lines that wait and calls `each` for every one that is at
 * most WAKEUP_LINE_MAX octets of [a-z0-9./_-]; others are dropped. Never blocks, and
 * ends although lines keep coming: call it again when the FIFO is ready.
 * Returns the number of lines given.
 */
size_t wakeup_read(
	int fd, void (*each)(void *context, const char *line), void *context);

/* The writer's side. A writer starts as WAKEUP_WRITER(name). */
struct wakeup_writer {
	const char *name; /* QUEUE_WAKE_… */
	int fd;		  /* -1: open it when it is needed */
};
#define WAKEUP_WRITER(n)              \
	{                             \
		.name = (n), .fd = -1 \
	}

/* Writes one line (without LF) without blocking; reopens a replaced FIFO. */
void
wakeup_ring(struct wakeup_writer *writer, int queue_folder, const char *line);

/*
 * The two halves of it, for a process that may open nothing: its parent prepares
 * the descriptor, and it writes.
 */
void wakeup_prepare(struct wakeup_writer *writer, int queue_folder);
void wakeup_write(struct wakeup_writer *writer, const char *line);

#endif
