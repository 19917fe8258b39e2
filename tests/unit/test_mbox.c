/*
 * Delivery into an mbox: the form, the locks, and what is left of one that fails.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include "local/mbox.h"
#include "tests/unit/temporary.h"

#define LINE "From a@x.test Sat Nov 21 04:05:06 2026\n"
#define TRACE "Return-Path: <a@x.test>\n"

struct place {
	char path[TEMPORARY_MAX];
	int folder;
	struct maildir_message message;
	char text[OUTCOME_TEXT_MAX + 1];
};

static void
start(struct place *place)
{
	*place = (struct place){.message = {.fd = -1, .trace = TRACE}};
	place->folder = temporary_make(place->path);
}

static void
stop(struct place *place)
{
	close(place->message.fd);
	temporary_remove(place->path, place->folder);
}

static enum outcome
deliver(struct place *place, const char *name, const char *content, size_t size)
{
	if (place->message.fd >= 0)
		close(place->message.fd);
	temporary_write(place->folder, "message", "", 0600);
	place->message.fd =
		openat(place->folder, "message", O_RDWR | O_CLOEXEC);
	assert_int_equal(
		write(place->message.fd, content, size), (ssize_t)size);
	place->message.octets = size;
	return mbox_deliver(
		place->folder, name, LINE, &place->message, 100, place->text);
}

static void
expect(struct place *place, const char *content, const char *written)
{
	char text[4000], wanted[4000];

	(void)unlinkat(place->folder, "box", 0);
	assert_int_equal(deliver(place, "./box", content, strlen(content)),
		OUTCOME_DELIVERED);
	assert_string_equal(place->text, "");
	snprintf(wanted, sizeof wanted, LINE TRACE "%s\n", written);
	assert_string_equal(
		temporary_read(place->folder, "box", text, sizeof text),
		wanted);
}

static void
test_form(void **state)
{
	struct place place;
	char text[4000];

	(void)state;
	start(&place);
	expect(&place, "Subject: x\n\ny\n", "Subject: x\n\ny\n");
	expect(&place, "\nFrom x\n", "\n>From x\n");
	expect(&place, "From x\n", ">From x\n");
	expect(&place, "\n>From x\n>>From \n", "\n>>From x\n>>>From \n");
	expect(&place, "\nFrom\nFromage\n From x\nfrom x\n>x\n",
		"\nFrom\nFromage\n From x\nfrom x\n>x\n");
	expect(&place, "\nFFrom x\n>F>From x\nFrFrom \n",
		"\nFFrom x\n>F>From x\nFrFrom \n");
	expect(&place, "\nFro", "\nFro\n");
	expect(&place, "\nFrom ", "\n>From \n");
	expect(&place, "", "");
	struct stat st;
	assert_int_equal(fstatat(place.folder, "box", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* a second one comes after the first */
	temporary_write(place.folder, "box", "before\n\n", 0644);
	assert_int_equal(deliver(&place, "box", "x\n", 2), OUTCOME_DELIVERED);
	assert_string_equal(
		temporary_read(place.folder, "box", text, sizeof text),
		"before\n\n" LINE TRACE "x\n\n");
	stop(&place);
}

static void
expect_after(struct place *place, const char *before, const char *between)
{
	char text[1000], wanted[1000];

	temporary_write(place->folder, "box", before, 0600);
	assert_int_equal(deliver(place, "box", "x\n", 2), OUTCOME_DELIVERED);
	snprintf(wanted, sizeof wanted, "%s%s" LINE TRACE "x\n\n", before,
		between);
	assert_string_equal(
		temporary_read(place->folder, "box", text, sizeof text),
		wanted);
}

/* What a machine that stopped amid a delivery left does not take in the next. */
static void
test_after_a_part(void **state)
{
	struct place place;

	(void)state;
	start(&place);
	expect_after(&place, "", "");
	expect_after(&place, "From a\nSubj", "\n\n");
	expect_after(&place, "F", "\n\n");
	expect_after(&place, "From a\nx\n", "\n");
	expect_after(&place, "From a\nx\n\n", "");
	stop(&place);
}

/* "From " at every place of the blocks in which a message is read and written. */
static void
test_blocks(void **state)
{
	struct place place;
	size_t size = 65536 + 100;
	char *content = malloc(size), *text = malloc(size + 1000);

	(void)state;
	start(&place);
	for (size_t at = 65536 - 70; at < 65536 + 10; at++) {
		memset(content, 'x', size);
		content[size - 1] = '\n';
		memcpy(content + at, "\n>From y", 8);
		(void)unlinkat(place.folder, "box", 0);
		assert_int_equal(deliver(&place, "box", content, size),
			OUTCOME_DELIVERED);
		int fd = openat(place.folder, "box", O_RDONLY | O_CLOEXEC);
		ssize_t got = read(fd, text, size + 1000);
		close(fd);
		size_t head = strlen(LINE TRACE);
		assert_int_equal(got, head + size + 2);
		assert_memory_equal(text + head, content, at);
		assert_memory_equal(text + head + at, "\n>>From y", 9);
		assert_memory_equal(
			text + head + at + 9, content + at + 8, size - at - 8);
	}
	free(content);
	free(text);
	stop(&place);
}

static void
expect_refused(struct place *place, const char *name, const char *why)
{
	assert_int_equal(deliver(place, name, "x\n", 2), OUTCOME_DEFERRED);
	if (strstr(place->text, why) == NULL)
		fail_msg("%s", place->text);
}

static void
test_what_is_no_mbox(void **state)
{
	struct place place;

	(void)state;
	start(&place);
	assert_int_equal(mkdirat(place.folder, "folder", 0700), 0);
	assert_int_equal(symlinkat("message", place.folder, "link"), 0);
	assert_int_equal(symlinkat("folder", place.folder, "way"), 0);
	assert_int_equal(mkfifoat(place.folder, "fifo", 0600), 0);
	expect_refused(&place, "folder", "4.3.0 ");
	expect_refused(&place, "link", "4.3.0 ");
	expect_refused(&place, "way/box", "4.3.0 ");
	expect_refused(&place, "fifo", "no file of its owner");
	expect_refused(&place, "none/box", "4.3.0 ");
	expect_refused(&place, "./", "4.3.0 ");
	expect_refused(&place, "/dev/null", "4.3.0 ");
	assert_int_equal(faccessat(place.folder, "folder/box", F_OK, 0), -1);
	stop(&place);
}

static void
test_locks(void **state)
{
	struct place place;
	char text[1000];
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	(void)state;
	start(&place);
	temporary_write(place.folder, "box", "before\n", 0600);
	int fd = openat(place.folder, "box", O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	expect_refused(&place, "box", "4.2.0 ");
	assert_int_equal(flock(fd, LOCK_UN), 0);
	/* of the open file, since a process does not lock itself out */
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &all), 0);
	expect_refused(&place, "box", "4.2.0 ");
	close(fd);
	assert_string_equal(
		temporary_read(place.folder, "box", text, sizeof text),
		"before\n");
	assert_int_equal(deliver(&place, "box", "x\n", 2), OUTCOME_DELIVERED);
	stop(&place);
}

static void
test_failure_leaves_nothing(void **state)
{
	struct place place;
	struct rlimit limit, before;
	struct stat st;
	char *content = calloc(1, 200000);

	(void)state;
	start(&place);
	signal(SIGXFSZ, SIG_IGN);
	temporary_write(place.folder, "box", "before\n", 0600);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	memset(content, 'x', 200000);
	assert_int_equal(
		deliver(&place, "box", content, 10), OUTCOME_DELIVERED);
	assert_int_equal(fstatat(place.folder, "box", &st, 0), 0);
	off_t length = st.st_size;
	temporary_write(place.folder, "message", "", 0600);
	int fd = openat(place.folder, "message", O_RDWR | O_CLOEXEC);
	assert_int_equal(write(fd, content, 200000), 200000);
	limit = before;
	limit.rlim_cur = 150000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	close(place.message.fd);
	place.message.fd = fd;
	place.message.octets = 200000;
	assert_int_equal(mbox_deliver(place.folder, "box", LINE, &place.message,
				 100, place.text),
		OUTCOME_DEFERRED);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(fstatat(place.folder, "box", &st, 0), 0);
	assert_int_equal(st.st_size, length);
	/* a message that is shorter than it should be */
	place.message.octets = 300000;
	assert_int_equal(mbox_deliver(place.folder, "box", LINE, &place.message,
				 100, place.text),
		OUTCOME_DEFERRED);
	assert_int_equal(fstatat(place.folder, "box", &st, 0), 0);
	assert_int_equal(st.st_size, length);
	free(content);
	stop(&place);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_after_a_part),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_what_is_no_mbox),
		cmocka_unit_test(test_locks),
		cmocka_unit_test(test_failure_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
