#include <stdio.h>
#include <string.h>
#include "local/instructions.h"
#include "local/newsender.h"

/* LOCAL followed by end, and then the domain and the mark of an address that is
 * to be expanded. False: it does not fit. */
static bool
make_owner(const struct path *recipient, const char *end, const char *mark,
	char text[ENVELOPE_ADDRESS_MAX + 1])
{
	struct path owner = *recipient;
	size_t length = owner.local_len + strlen(end);

	if (length > ADDRESS_LOCAL_MAX)
		return false;
	memcpy(owner.local + owner.local_len, end, strlen(end) + 1);
	owner.local_len = length;
	length = address_write(text, ENVELOPE_ADDRESS_MAX + 1, &owner);
	snprintf(text + length, ENVELOPE_ADDRESS_MAX + 1 - length, "%s", mark);
	return true;
}

/* 1 with the owner's address in near; 0: there is none; -1 with why. */
static int
find_owner(struct newsender *newsender, int home,
	const struct warden_request *request, const struct path *recipient,
	char *why, size_t size)
{
	int found = instructions_exist(
		home, request->dash, request->extension, "-owner", why, size);

	if (found <= 0)
		return found;
	found = instructions_exist(home, request->dash, request->extension,
		"-owner-default", why, size);
	if (found < 0)
		return -1;
	return found ? make_owner(recipient, "-owner-", "-@[]", newsender->near)
		     : make_owner(recipient, "-owner", "", newsender->near);
}

static bool
is_ours(const struct domains *ours, const char *address)
{
	const char *at = strrchr(address, '@');

	return at != NULL && domains_has(ours, at + 1, strlen(at + 1));
}

int
newsender_find(struct newsender *newsender, int home,
	const struct warden_request *request, const struct path *recipient,
	const struct srs *srs, const struct domains *ours, int64_t now_s,
	char *why, size_t size)
{
	const char *sender = request->reverse_path;
	int found = 0;

	if (*sender != 0 && strcmp(sender, ENVELOPE_DOUBLE_BOUNCE) != 0)
		found = find_owner(
			newsender, home, request, recipient, why, size);
	if (found < 0)
		return -1;
	newsender->is_list = found > 0;
	if (found == 0)
		snprintf(newsender->near, sizeof newsender->near, "%.*s",
			ENVELOPE_ADDRESS_MAX, sender);
	memcpy(newsender->far, newsender->near, sizeof newsender->far);
	if (found == 0 && !is_ours(ours, sender))
		(void)srs_forward(srs, sender, now_s, newsender->far);
	return 0;
}
