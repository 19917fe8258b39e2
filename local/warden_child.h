#ifndef LOCAL_WARDEN_CHILD_H
#define LOCAL_WARDEN_CHILD_H

/*
 * What a child of the warden does for a delivery, after it has become the owner
 * of the account.
 */

#include <stdbool.h>
#include "lib/accounts.h"
#include "lib/home.h"
#include "local/deliver.h"
#include "local/warden.h"

/* A child that delivers ends itself after so many seconds. */
#define WARDEN_DELIVERY_S (2 * 3600)

/* Whether a key is ended and printable: the warden itself reads it. */
bool warden_key_is_sound(const char *key);

/*
 * Makes sure that mail can be kept or read (account_prepare). to is the report of
 * a delivery. Returns 0; or -1, and a delivery has its report.
 */
int warden_prepare(const struct home *home,
	const struct warden_request *request, int to, struct account *account);

/*
 * Delivers what is asked, and further messages to the same account for as long as
 * such requests come. content, the message file, is
 * closed. Returns the exit status.
 */
int
warden_deliver(struct deliver_settings *settings, const struct account *account,
	const struct warden_request *first, int content, int to);

#endif
