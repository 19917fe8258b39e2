#ifndef LIB_FRAMES_H
#define LIB_FRAMES_H

/*
 * Framed records on a stream socket between two programs of the suite: u8 type,
 * u32 length, payload; big-endian. Every wait has a deadline
 * (lib/deadline.h), every length a maximum that the reader names.
 */

#include <stddef.h>
#include <stdint.h>

#define FRAME_HEAD 5

/*
 * Sends one frame whole. 0, or -1 with errno (ETIMEDOUT at the deadline, EPIPE if
 * the peer is gone; no SIGPIPE). After a failure the connection is of no use.
 */
int frame_send(int fd, uint8_t type, const void *payload, size_t length,
	int64_t deadline_ms);

enum frame_result {
	FRAME_OK,
	FRAME_CLOSED, /* the peer closed between two frames */
	FRAME_BROKEN, /* it closed within one, or the frame is too long */
	FRAME_TIMEOUT,
	FRAME_ERROR, /* errno */
};

/* Reads through a buffer that the caller owns; a frame is at most size long. */
struct frame_reader {
	int fd; /* not owned */
	unsigned char *buffer;
	size_t size;
	size_t start, end; /* unread octets */
};

struct frame {
	uint8_t type;
	const unsigned char *payload; /* valid until the next read */
	size_t length;
};

void frame_reader_start(
	struct frame_reader *reader, int fd, void *buffer, size_t size);

/* Reads the next frame, FRAME_HEAD and payload at most reader->size together. */
enum frame_result frame_read(
	struct frame_reader *reader, int64_t deadline_ms, struct frame *frame);

#endif
