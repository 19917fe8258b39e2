#include <string.h>
#include <skalibs/blake2s.h>
#include "pop3d/maildrop.h"

#define HASH_OCTETS 32

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
