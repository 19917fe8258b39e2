#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "lib/escape.h"
#include "local/delivery.h"
#include "local/quota.h"
#include "local/way.h"

int
delivery_report(struct warden_report *report, enum outcome outcome,
	const char *format, ...)
{
	va_list arguments;
	char text[OUTCOME_TEXT_MAX + 1];

	report->magic = WARDEN_MAGIC;
	report->outcome = outcome;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	/* folders and programs have their own ideas of a text */
	escape_line(report->text, sizeof text, text, strlen(text), ESCAPE_MASK);
	return -1;
}

bool
delivery_text_is_sound(const char *text, size_t size)
{
	const char *end = memchr(text, 0, size);

	if (end == NULL)
		return false;
	for (; text < end; text++)
		if ((unsigned char)*text < 32 || *text == 127)
			return false;
	return true;
}

bool
delivery_names_are_sound(const struct warden_request *request)
{
	return delivery_text_is_sound(
		       request->account, sizeof request->account) &&
	       delivery_text_is_sound(
		       request->address, sizeof request->address) &&
	       delivery_text_is_sound(request->dash, sizeof request->dash) &&
	       delivery_text_is_sound(
		       request->extension, sizeof request->extension) &&
	       strchr(request->dash, '/') == NULL;
}

int
delivery_open_home(const struct account *account, struct warden_report *report)
{
	int folder = open(account->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (folder < 0)
		(void)delivery_report(report, OUTCOME_DEFERRED,
			"4.3.0 the home folder cannot be opened: %s",
			strerror(errno));
	return folder;
}

bool
delivery_is_own_address(const struct warden_request *request)
{
	return *request->dash == 0 && *request->extension == 0;
}

int
delivery_undo_srs(const struct deliver_settings *settings,
	const struct warden_request *request, char to[ADDRESS_TEXT_MAX + 1],
	struct warden_report *report)
{
	struct path path;

	if (strcmp(request->account, "a:") != 0 ||
		address_mailbox_scan(request->address, strlen(request->address),
			ADDRESS_UTF8, &path) < 0)
		return 0;
	switch (srs_reverse(&settings->srs, &path, time(NULL), to)) {
	case SRS_NONE:
		return 0;
	case SRS_OK:
		return 1;
	case SRS_EXPIRED:
		return delivery_report(report, OUTCOME_FAILED,
			"5.1.1 the rewritten address is no longer good");
	case SRS_FORGED:
		break;
	}
	return delivery_report(report, OUTCOME_FAILED,
		"5.1.1 the rewritten address is none of ours");
}

/* Whether the extension can be the name of a folder, dots parting its levels. */
static bool
can_be_a_folder(const char *extension)
{
	return *extension != 0 && *extension != '.' &&
	       extension[strlen(extension) - 1] != '.' &&
	       strstr(extension, "..") == NULL &&
	       strchr(extension, '/') == NULL;
}

bool
delivery_find_folder(const struct deliver_settings *settings, int home,
	const struct account *account, const struct warden_request *request,
	char path[2 * ACCOUNT_HOME_MAX])
{
	const size_t size = 2 * ACCOUNT_HOME_MAX;
	size_t length = strlen(account->maildir);
	struct stat st;

	if (!settings->has_folders || !can_be_a_folder(request->extension) ||
		length == 0)
		return false;
	const char *slash = account->maildir[length - 1] == '/' ? "" : "/";
	int needed = snprintf(path, size, "%s%s.%s", account->maildir, slash,
		request->extension);
	if (needed < 0 || (size_t)needed + 1 >= size)
		return false;
	for (char *at = path + length; *at != 0; at++)
		*at = (char)tolower((unsigned char)*at);
	/* without a slash, which would follow a link */
	if (fstatat(home, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		!S_ISDIR(st.st_mode))
		return false;
	memcpy(path + needed, "/", 2);
	return true;
}

/* --- quota --- */

static const char *
without_dot(const char *path)
{
	return strncmp(path, "./", 2) == 0 ? path + 2 : path;
}

/* Whether the path is the account's Maildir or something below it. */
static bool
is_counted(const struct account *account, const char *path)
{
	const char *maildir = without_dot(account->maildir);
	size_t length = strlen(maildir);

	while (length > 0 && maildir[length - 1] == '/')
		length--;
	path = without_dot(path);
	return length > 0 && strncmp(path, maildir, length) == 0 &&
	       path[length] == '/';
}

static int
open_counted(int home, const struct account *account)
{
	char last[NAME_MAX + 1];
	int parent = way_open(home, account->maildir, last);
	int fd = parent < 0 ? -1
			    : openat(parent, last,
				      O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
					      O_CLOEXEC);

	way_close(parent);
	return fd;
}

static int
report_full(
	const struct deliver_settings *settings, struct warden_report *report)
{
	return delivery_report(report,
		settings->over_fails ? OUTCOME_FAILED : OUTCOME_DEFERRED,
		"%c.2.2 the mailbox is full", settings->over_fails ? '5' : '4');
}

void
delivery_report_room(const struct deliver_settings *settings, int home,
	const struct account *account, struct warden_report *report)
{
	const struct quota limit = {
		account->quota_octets, account->quota_messages};
	int maildir = open_counted(home, account);

	if (maildir >= 0 && quota_is_full(maildir, &limit))
		(void)report_full(settings, report);
	else
		(void)delivery_report(report, OUTCOME_DELIVERED, "2.1.5 room");
	way_close(maildir);
}

int
delivery_take_room(const struct deliver_settings *settings, int home,
	const struct account *account, const char *path, uint64_t octets,
	int *counted, struct warden_report *report)
{
	const struct quota limit = {
		account->quota_octets, account->quota_messages};

	*counted = is_counted(account, path) ? open_counted(home, account) : -1;
	if (*counted < 0)
		return 0; /* there is none, or its delivery says what is wrong */
	switch (quota_take(*counted, &limit, octets)) {
	case QUOTA_FITS:
		return 0;
	case QUOTA_OVER:
		(void)report_full(settings, report);
		break;
	case QUOTA_TOO_BIG:
		(void)delivery_report(report, OUTCOME_FAILED,
			"5.2.3 the message is larger than the mailbox");
		break;
	case QUOTA_TROUBLE:
		(void)delivery_report(report, OUTCOME_DEFERRED,
			"4.3.0 cannot tell how full the mailbox is: %s",
			strerror(errno));
		break;
	}
	close(*counted);
	*counted = -1;
	return -1;
}
