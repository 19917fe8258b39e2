/*
 * Files in a Maildir: name, content, modes, and what is left after trouble.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <signal.h>
#include "local/maildir.h"
#include "tests/unit/temporary.h"

#define TRACE "Return-Path: <>\nDelivered-To: a@b\n"
#define CONTENT "Subject: x\n\nline\n"

#define MANY 100

struct place {
	char path[TEMPORARY_MAX];
	int folder;
	struct maildir_message message;
	char text[OUTCOME_TEXT_MAX + 1];
};

static void
start(struct place *place)
{
	place->folder = temporary_make(place->path);
	temporary_write(place->folder, "message", "head" CONTENT "tail", 0600);
	place->message = (struct maildir_message){
		.fd = openat(place->folder, "message", O_RDONLY),
		.offset = 4,
		.octets = strlen(CONTENT),
		.trace = TRACE,
		.host = "host/a:b,c",
	};
	assert_true(place->message.fd >= 0);
}

static void
stop(struct place *place)
{
	close(place->message.fd);
	temporary_remove(place->path, place->folder);
}

/* How many files a folder has; the name of the last one goes into name. -1: no
 * such folder. */
static int
count(int folder, const char *path, char name[512])
{
	int files = 0;
	int fd = openat(folder, path, O_RDONLY | O_DIRECTORY);
	DIR *listing = fd < 0 ? NULL : fdopendir(fd);

	if (listing == NULL)
		return -1;
	for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, 512, "%s/%s", path, entry->d_name);
		files++;
	}
	closedir(listing);
	return files;
}

static void
test_delivers(void **state)
{
	struct place place;
	char name[512], buffer[512], end[64];
	struct stat st;

	(void)state;
	start(&place);
	assert_int_equal(maildir_deliver(place.folder, "./Maildir/", true,
				 &place.message, 7, place.text),
		OUTCOME_DELIVERED);
	assert_string_equal(place.text, "");
	assert_int_equal(count(place.folder, "Maildir/tmp", name), 0);
	assert_int_equal(count(place.folder, "Maildir/cur", name), 0);
	assert_int_equal(count(place.folder, "Maildir/new", name), 1);
	assert_string_equal(
		temporary_read(place.folder, name, buffer, sizeof buffer),
		TRACE CONTENT);
	size_t size = strlen(TRACE CONTENT);
	snprintf(end, sizeof end, "Q7.host\\057a\\072b\\054c,S=%zu,W=%zu", size,
		size + 5);
	assert_non_null(strstr(name, end));
	assert_int_equal(fstatat(place.folder, name, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fstatat(place.folder, "Maildir/new", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(maildir_deliver(place.folder, "Maildir", false,
				 &place.message, 8, place.text),
		OUTCOME_DELIVERED);
	assert_int_equal(count(place.folder, "Maildir/new", name), 2);
	stop(&place);
}

/* Expects a delivery to be deferred with this in the text. */
/* As many processes as may be at it: each message is there, under its own name. */
static void
test_many_at_once(void **state)
{
	struct place place;
	char name[512];
	int status, gate[2];

	(void)state;
	start(&place);
	assert_int_equal(pipe(gate), 0);
	for (int i = 0; i < MANY; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid > 0)
			continue;
		close(gate[1]);
		(void)!read(gate[0], name, 1); /* until all are there */
		_exit(maildir_deliver(place.folder, "./Maildir/", true,
			      &place.message, 1,
			      place.text) != OUTCOME_DELIVERED);
	}
	close(gate[0]);
	close(gate[1]);
	for (int i = 0; i < MANY; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	assert_int_equal(count(place.folder, "Maildir/new", name), MANY);
	assert_int_equal(count(place.folder, "Maildir/tmp", name), 0);
	stop(&place);
}

static void
deferred(struct place *place, const char *path, bool create, const char *text)
{
	assert_int_equal(maildir_deliver(place->folder, path, create,
				 &place->message, 1, place->text),
		OUTCOME_DEFERRED);
	if (strstr(place->text, text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, place->text);
}

static void
test_refuses(void **state)
{
	struct place place;
	char name[512];

	(void)state;
	start(&place);
	deferred(&place, "./Maildir/", false, "4.3.0 ");
	assert_int_equal(count(place.folder, "Maildir", name), -1);
	deferred(&place, "a/b/", true, "4.3.0 ");
	assert_int_equal(count(place.folder, "a", name), -1);
	assert_int_equal(symlinkat("/tmp", place.folder, "link"), 0);
	deferred(&place, "link/", true, "4.3.0 ");
	deferred(&place, "link/x/", true, "4.3.0 ");
	deferred(&place, "message/", true, "4.3.0 ");
	if (geteuid() != 0)
		deferred(&place, "/", false, "another owner");
	stop(&place);
}

static void
test_links_inside(void **state)
{
	struct place place;

	(void)state;
	start(&place);
	assert_int_equal(mkdirat(place.folder, "M", 0700), 0);
	assert_int_equal(mkdirat(place.folder, "M/tmp", 0700), 0);
	assert_int_equal(symlinkat("tmp", place.folder, "M/new"), 0);
	deferred(&place, "M/", true, "4.3.0 ");
	stop(&place);
}

static void
test_another_owner(void **state)
{
	struct place place;

	(void)state;
	if (geteuid() != 0)
		skip();
	start(&place);
	assert_int_equal(mkdirat(place.folder, "M", 0700), 0);
	assert_int_equal(fchownat(place.folder, "M", 65534, 65534, 0), 0);
	deferred(&place, "M/", true, "another owner");
	stop(&place);
}

/* Nothing is left of a message that cannot be written whole. */
static void
test_trouble(void **state)
{
	struct place place;
	struct rlimit limit, small;
	char name[512];

	(void)state;
	start(&place);
	place.message.octets = 1000; /* more than there is */
	deferred(&place, "M/", true, "4.3.0 ");
	assert_int_equal(count(place.folder, "M/tmp", name), 0);
	assert_int_equal(count(place.folder, "M/new", name), 0);
	place.message.octets = strlen(CONTENT);

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = limit;
	small.rlim_cur = 10;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	enum outcome outcome = maildir_deliver(
		place.folder, "M/", true, &place.message, 1, place.text);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(outcome, OUTCOME_DEFERRED);
	assert_int_equal(count(place.folder, "M/tmp", name), 0);
	assert_int_equal(count(place.folder, "M/new", name), 0);
	stop(&place);
}

static void
test_long_host(void **state)
{
	struct place place;
	char host[2000];

	(void)state;
	start(&place);
	memset(host, ':', sizeof host - 1);
	host[sizeof host - 1] = 0;
	place.message.host = host;
	assert_int_equal(maildir_deliver(place.folder, "M", true,
				 &place.message, 1, place.text),
		OUTCOME_DELIVERED);
	stop(&place);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delivers),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_links_inside),
		cmocka_unit_test(test_another_owner),
		cmocka_unit_test(test_trouble),
		cmocka_unit_test(test_long_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
