/* Hosts that are not for the message at hand. */
#include <stdio.h>
#include "remote/reach.h"

bool
reach_is_aside(const struct reach *way, unsigned index)
{
	return way->aside & (uint32_t)1 << index;
}

/* The hosts stay as they are from here to the end of the message. */
void
reach_put_aside(struct reach *way)
{
	way->aside |= (uint32_t)1 << way->at;
	for (unsigned i = 0; i < way->hosts.count; i++)
		if (way->client.aside == CLIENT_ASIDE_POLICY &&
			way->hosts.entry[i].address.ss_family == AF_INET6)
			way->aside |= (uint32_t)1 << i;
	reach_close(way);
	way->at = 0;
	way->is_begun = false;
	snprintf(way->down_text, sizeof way->down_text,
		"4.4.1 no other host may be tried now");
}

bool
reach_all_aside(const struct reach *way)
{
	for (unsigned i = 0; i < way->hosts.count; i++)
		if (!reach_is_aside(way, i))
			return false;
	return true;
}

bool
reach_has_v4(const struct reach *way)
{
	const struct mx_list *hosts = &way->hosts;

	if (hosts->entry[way->at].address.ss_family != AF_INET6)
		return false;
	for (unsigned i = 0; i < hosts->count; i++)
		if (hosts->entry[i].address.ss_family == AF_INET &&
			!reach_is_aside(way, i) &&
			!reach_is_out(way, &hosts->entry[i]))
			return true;
	return false;
}
