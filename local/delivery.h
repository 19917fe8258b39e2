#ifndef LOCAL_DELIVERY_H
#define LOCAL_DELIVERY_H

/*
 * What a delivery (deliver.c) and a look-up (lookup.c) share; both run as the
 * account's owner, for one request.
 */

#include <stdbool.h>
#include "lib/address.h"
#include "local/deliver.h"
#include "local/newsender.h"

/* Sets the report. Returns -1, so that "return delivery_report(…)" ends the work.
 */
int __attribute__((format(printf, 3, 4)))
delivery_report(struct warden_report *report, enum outcome outcome,
	const char *format, ...);

/* Whether the text has an end within size, and no control character before it. */
bool delivery_text_is_sound(const char *text, size_t size);

/* Whether the parts of a request that choose the instructions are sound, the
 * address among them if it is not empty. */
bool delivery_names_are_sound(const struct warden_request *request);

/* Opens the account's home. The descriptor, or -1 after a report. */
int
delivery_open_home(const struct account *account, struct warden_report *report);

/* True for an address that the account has without any instructions. */
bool delivery_is_own_address(const struct warden_request *request);

/*
 * Whether the request is for an address that a forward of ours has rewritten
 * (local/srs.h): they are the alias account's. 1 with what it stands for in to; 0
 * if it is no such address; -1 after a report that nobody has it.
 */
int delivery_undo_srs(const struct deliver_settings *settings,
	const struct warden_request *request, char to[ADDRESS_TEXT_MAX + 1],
	struct warden_report *report);

/*
 * Finds the folder of the account's Maildir that has the extension's name, where
 * the settings allow it: for ann-lists.c the folder ".lists.c". True with its path
 * relative to the home in path.
 */
bool delivery_find_folder(const struct deliver_settings *settings, int home,
	const struct account *account, const struct warden_request *request,
	char path[2 * ACCOUNT_HOME_MAX]);

/*
 * Takes room for a message of so many octets in the Maildir at path: one that is
 * the account's, or a folder of it, has the account's quota. *counted is the
 * account's Maildir, the caller's to close, or -1: for quota_give_back. 0, or -1
 * after a report.
 */
int delivery_take_room(const struct deliver_settings *settings, int home,
	const struct account *account, const char *path, uint64_t octets,
	int *counted, struct warden_report *report);

/* Reports OUTCOME_DELIVERED, or that the account's Maildir is known to be full
 * (quota_is_full). */
void delivery_report_room(const struct deliver_settings *settings, int home,
	const struct account *account, struct warden_report *report);

#endif
