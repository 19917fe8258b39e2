#ifndef TESTS_UNIT_DELIVER_PLACE_H
#define TESTS_UNIT_DELIVER_PLACE_H

/*
 * An account's home with a message for it, and what a delivery makes of it.
 */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "lib/deadline.h"
#include "lib/frames.h"
#include "local/deliver.h"
#include "queue/submit.h"
#include "tests/unit/temporary.h"

#define CONTENT "Subject: x\n\ngr\303\274n\n"
#define TEXT(literal) literal, sizeof literal - 1
#define ID "0123456789abcdefghjk"

struct place {
	char path[TEMPORARY_MAX];
	int folder, content;
	struct home home;
	struct deliver_settings settings;
	struct account account;
	struct warden_request request;
	struct warden_report report;
};

static inline void
start(struct place *place)
{
	memset(place, 0, sizeof *place);
	place->folder = temporary_make(place->path);
	temporary_write(place->folder, "message", "head" CONTENT "tail", 0600);
	place->content = openat(place->folder, "message", O_RDWR | O_CLOEXEC);
	assert_true(place->content >= 0);
	snprintf(place->home.path, sizeof place->home.path, "%s", place->path);
	place->settings.home = &place->home;
	place->settings.host = "mx.test";
	place->settings.program_ms = 60000;
	assert_int_equal(
		domains_add(&place->settings.ours, TEXT("host.test")), 0);
	snprintf(place->account.home, sizeof place->account.home, "%s",
		place->path);
	snprintf(place->account.maildir, sizeof place->account.maildir,
		"./Maildir/");
	snprintf(place->account.name, sizeof place->account.name, "ann");
	struct warden_request *request = &place->request;
	request->magic = WARDEN_MAGIC;
	request->kind = WARDEN_DELIVER;
	request->content_offset = 4;
	request->content_octets = strlen(CONTENT);
	snprintf(request->id, sizeof request->id, "%s", ID);
	snprintf(request->address, sizeof request->address, "ann@host.test");
	snprintf(request->reverse_path, sizeof request->reverse_path,
		"bob@x.test");
}

static inline void
stop(struct place *place)
{
	close(place->content);
	domains_free(&place->settings.ours);
	temporary_remove(place->path, place->folder);
}

static inline void
address(struct place *place, const char *text, const char *extension)
{
	snprintf(place->request.address, sizeof place->request.address, "%s",
		text);
	snprintf(place->request.dash, sizeof place->request.dash, "%s",
		*extension != 0 ? "-" : "");
	snprintf(place->request.extension, sizeof place->request.extension,
		"%s", extension);
}

static inline void
expect(struct place *place, enum outcome outcome, const char *text)
{
	memset(&place->report, 0xff, sizeof place->report);
	deliver(&place->settings, &place->account, &place->request,
		place->content, &place->report);
	assert_int_equal(place->report.magic, WARDEN_MAGIC);
	if (place->report.outcome != outcome ||
		strstr(place->report.text, text) == NULL)
		fail_msg("%u, %s", place->report.outcome, place->report.text);
}

/* The number of files in new/ of a Maildir; the last one's text. */
static inline int
delivered(struct place *place, const char *maildir, char *text, size_t size)
{
	char path[1000];
	int files = 0;

	snprintf(path, sizeof path, "%s/%s/new", place->path, maildir);
	DIR *listing = opendir(path);
	if (listing == NULL)
		return 0;
	for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
		if (entry->d_name[0] == '.')
			continue;
		(void)temporary_read(dirfd(listing), entry->d_name, text, size);
		files++;
	}
	closedir(listing);
	return files;
}

#endif
