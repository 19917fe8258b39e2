/*
 * What a worker tells the parent of its hosts. The octets are laid over a note that
 * has magic and size right, for no fuzzer finds those. What is taken is bounded,
 * and told again it is the same.
 */
#include <assert.h>
#include <string.h>
#include "lib/address.h"
#include "remote/kept.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kept_note note = {.magic = KEPT_MAGIC};
	struct mx_list list, again;
	size_t room = sizeof note - sizeof note.magic;

	(void)kept_read(data, size, &list);
	if (size > 0)
		memcpy((char *)&note + sizeof note.magic, data,
			size < room ? size : room);
	if (kept_read(&note, sizeof note, &list) < 0)
		return 0;
	assert(list.count <= MX_ADDRESSES_MAX && list.ttl_s <= MX_TTL_MAX_S);
	for (unsigned i = 0; i < list.count; i++)
		assert(domain_valid(
			list.entry[i].host, strlen(list.entry[i].host)));
	kept_tell(&list, &note);
	assert(kept_read(&note, sizeof note, &again) == 0);
	assert(memcmp(&list, &again, sizeof list) == 0);
	return 0;
}
