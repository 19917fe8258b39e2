#ifndef LOCAL_NEWSENDER_H
#define LOCAL_NEWSENDER_H

/*
 * With which reverse-path a message goes on from an account: the sender's, or a
 * list's, whose owner gets the reports, or the sender's rewritten.
 */

#include <stdbool.h>
#include <stdint.h>
#include "lib/address.h"
#include "lib/domains.h"
#include "lib/envelope.h"
#include "local/srs.h"
#include "local/warden.h"

struct newsender {
	/* For hosts of ours and for others. */
	char near[ENVELOPE_ADDRESS_MAX + 1];
	char far[ENVELOPE_ADDRESS_MAX + 1];
	bool is_list; /* both are the list's owner */
};

/*
 * Where the file for the request's dash and extension followed by "-owner" exists,
 * it is LOCAL-owner@DOMAIN of the recipient; with "-owner-default" besides,
 * LOCAL-owner-@DOMAIN-@[], which is expanded for each recipient (lib/verp.h). Not
 * so for a report (null or double-bounce reverse-path), nor where it would not fit
 * into an address. Else the sender's, for others rewritten (local/srs.h) if its
 * domain is not one of ours.
 *
 * home is the open home folder. 0, or -1 with a reply text in why.
 */
int newsender_find(struct newsender *newsender, int home,
	const struct warden_request *request, const struct path *recipient,
	const struct srs *srs, const struct domains *ours, int64_t now_s,
	char *why, size_t size);

#endif
