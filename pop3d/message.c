#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <skalibs/blake2s.h>
#include "lib/dots.h"
#include "pop3d/maildrop.h"
#include "pop3d/number.h"

#define BLOCK_OCTETS 32768
#define HASH_OCTETS 32

int
maildrop_is_unchanged(
	const struct maildrop_message *message, const struct stat *status)
{
	return status->st_ino == message->inode &&
	       status->st_size == message->file_octets &&
	       status->st_mtim.tv_sec == message->modified.tv_sec &&
	       status->st_mtim.tv_nsec == message->modified.tv_nsec;
}

/* The number after key in the base of a name, ended by "," or the end. */
static int
number_in_name(const struct maildrop_message *message, const char *key,
	uint64_t *number)
{
	const char *end = message->name + message->base_length;
	const char *at =
		memmem(message->name, message->base_length, key, strlen(key));

	if (at == NULL)
		return 0;
	at += strlen(key);
	const char *comma = memchr(at, ',', (size_t)(end - at));
	return pop3_number(
		at, (size_t)((comma != NULL ? comma : end) - at), number);
}

/* The size that the name tells, if it can be believed. */
static int
octets_in_name(const struct maildrop_message *message, uint64_t *octets)
{
	uint64_t stored, size = (uint64_t)message->file_octets;

	return number_in_name(message, ",S=", &stored) && stored == size &&
	       number_in_name(message, ",W=", octets) && *octets >= size &&
	       *octets - size <= size + 2;
}

/* Counts a file from its beginning. 0, or -1 with errno. */
static int
count_file(int fd, uint64_t *octets)
{
	struct dots_counter counter;
	char block[BLOCK_OCTETS];

	dots_count_start(&counter, DOTS_POP3);
	for (;;) {
		ssize_t count = read(fd, block, sizeof block);

		if (count == 0)
			break;
		if (count > 0)
			dots_count(&counter, block, (size_t)count);
		else if (errno != EINTR)
			return -1;
	}
	*octets = dots_count_finish(&counter);
	return 0;
}

uint64_t
maildrop_octets(struct maildrop *drop, struct maildrop_message *message)
{
	struct stat status;

	if (message->sized)
		return message->wire_octets;
	if (octets_in_name(message, &message->wire_octets)) {
		message->sized = 1;
		return message->wire_octets;
	}
	int fd = maildrop_message_open(drop, message, &status);
	if (fd >= 0) {
		message->sized = count_file(fd, &message->wire_octets) == 0;
		close(fd);
	}
	return message->sized ? message->wire_octets
			      : (uint64_t)message->file_octets;
}

void
maildrop_uidl(const struct maildrop_message *message,
	char uidl[static MAILDROP_UIDL_SIZE])
{
	static const char HEX[] = "0123456789abcdef";
	blake2s_ctx context = BLAKE2S_INIT(HASH_OCTETS);
	char hash[HASH_OCTETS];
	size_t length = message->base_length, odd = 0;
	uint64_t inode = (uint64_t)message->inode;

	for (size_t at = 0; at < length; at++)
		odd += message->name[at] < 33 || message->name[at] > 126;
	if (!message->shared && odd == 0 && length > 0 &&
		length < MAILDROP_UIDL_SIZE && message->name[0] != '#') {
		memcpy(uidl, message->name, length);
		uidl[length] = '\0';
		return;
	}
	/* The NUL cannot be in a name: base and inode are told apart. */
	blake2s_update(&context, message->name, length);
	if (message->shared) {
		blake2s_update(&context, "", 1);
		blake2s_update(&context, (const char *)&inode, sizeof inode);
	}
	blake2s_final(&context, hash);
	*uidl++ = '#';
	for (size_t at = 0; at < HASH_OCTETS; at++) {
		*uidl++ = HEX[(unsigned char)hash[at] >> 4];
		*uidl++ = HEX[(unsigned char)hash[at] & 15];
	}
	*uidl = '\0';
}
