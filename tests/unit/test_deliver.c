/*
 * A whole delivery for one account, with a queue that is played by the test.
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
#include "tests/unit/deliver_place.h"

static void
test_default(void **state)
{
	struct place place;
	char text[1000];

	(void)state;
	start(&place);
	expect(&place, OUTCOME_DELIVERED, "2.0.0 delivered to ./Maildir/");
	assert_int_equal(delivered(&place, "Maildir", text, sizeof text), 1);
	assert_string_equal(text, "Return-Path: <bob@x.test>\n"
				  "Delivered-To: ann@host.test\n" CONTENT);
	temporary_write(place.folder, ".qmail", "", 0600);
	place.request.reverse_path[0] = 0;
	expect(&place, OUTCOME_DELIVERED, "2.0.0 delivered to ./Maildir/");
	assert_int_equal(delivered(&place, "Maildir", text, sizeof text), 2);
	assert_int_equal(fchmod(place.folder, 0707), 0);
	expect(&place, OUTCOME_DEFERRED, "4.7.0 ");
	snprintf(place.account.home, sizeof place.account.home, "/nowhere");
	expect(&place, OUTCOME_DEFERRED, "4.3.0 ");
	stop(&place);
}

static void
test_lines(void **state)
{
	struct place place;
	char text[1000];

	(void)state;
	start(&place);
	address(&place, "ann-x@host.test", "x");
	expect(&place, OUTCOME_FAILED, "5.1.1 ");
	assert_int_equal(mkdirat(place.folder, "M", 0700), 0);
	temporary_write(place.folder, ".qmail-x",
		"|cat >seen; echo $EXT $RECIPIENT $DEFAULT >>seen\n./M/\n"
		"|exit 99\n./N/\n",
		0600);
	/* the case of an extension is kept, but chooses no file */
	snprintf(place.request.address, sizeof place.request.address,
		"Ann-X@host.test");
	expect(&place, OUTCOME_DELIVERED, "2.0.0 delivered to 1 folders, 2");
	assert_int_equal(delivered(&place, "M", text, sizeof text), 1);
	assert_string_equal(
		temporary_read(place.folder, "seen", text, sizeof text),
		CONTENT "X Ann-X@host.test\n");
	address(&place, "ann-x@host.test", "x");
	temporary_write(place.folder, ".qmail-x", "./N/\n", 0600);
	expect(&place, OUTCOME_DEFERRED, "4.3.0 ");
	temporary_write(place.folder, ".qmail-x",
		"|echo not this; exit 100\n./M/\n", 0600);
	expect(&place, OUTCOME_FAILED, "not this");
	assert_memory_equal(place.report.text, "5.3.0 ", 6);
	temporary_write(place.folder, ".qmail-x",
		"|echo later; exit 111\n./M/\n", 0600);
	expect(&place, OUTCOME_DEFERRED, "later");
	temporary_write(place.folder, ".qmail-x", "./M/\n./m/\n", 0600);
	expect(&place, OUTCOME_DEFERRED, "4.3.0 ");
	temporary_write(place.folder, ".qmail-x", "./box\n", 0600);
	expect(&place, OUTCOME_DELIVERED, "2.0.0 delivered to ./box");
	(void)temporary_read(place.folder, "box", text, sizeof text);
	assert_memory_equal(text, "From bob@x.test ", 16);
	assert_non_null(
		strstr(text, "\nReturn-Path: <bob@x.test>\n"
			     "Delivered-To: ann-x@host.test\n" CONTENT "\n"));
	temporary_write(place.folder, ".qmail-x", "#\n", 0600);
	expect(&place, OUTCOME_DISCARDED, "2.0.0 ");
	assert_int_equal(delivered(&place, "M", text, sizeof text), 2);
	stop(&place);
}

static void
test_loop(void **state)
{
	struct place place;
	const char *content = "head"
			      "Delivered-To: Ann@host.test\n\n";

	(void)state;
	start(&place);
	temporary_write(place.folder, "message", content, 0600);
	place.request.content_octets = strlen(content) - 4;
	expect(&place, OUTCOME_FAILED, "5.4.6 ");
	address(&place, "other@host.test", "");
	expect(&place, OUTCOME_DELIVERED, "2.0.0 ");
	stop(&place);
}

static void
test_hostile_requests(void **state)
{
	struct place place;
	struct warden_request good;

	(void)state;
	start(&place);
	good = place.request;
	memset(place.request.address, 'a', sizeof place.request.address);
	expect(&place, OUTCOME_DEFERRED, "malformed");
	place.request = good;
	address(&place, "a\nb@host.test", "");
	expect(&place, OUTCOME_DEFERRED, "malformed");
	address(&place, "a@host.test", "x\ny");
	expect(&place, OUTCOME_DEFERRED, "malformed");
	place.request = good;
	snprintf(place.request.dash, sizeof place.request.dash, "/");
	expect(&place, OUTCOME_DEFERRED, "malformed");
	place.request = good;
	snprintf(place.request.id, sizeof place.request.id, "../x");
	expect(&place, OUTCOME_DEFERRED, "malformed");
	place.request = good;
	snprintf(place.request.reverse_path, sizeof place.request.reverse_path,
		"a@b>\nX: y");
	expect(&place, OUTCOME_DEFERRED, "malformed");
	place.request = good;
	place.request.content_offset = UINT64_MAX;
	expect(&place, OUTCOME_DEFERRED, "shorter");
	place.request = good;
	place.request.content_octets = UINT64_MAX;
	expect(&place, OUTCOME_DEFERRED, "shorter");
	stop(&place);
}

/* Plays the queue for one submission: notes what it is given in the files
 * "queued" and "envelope", and answers with this. */
static void
play_queue(int listener, int folder, const char *answer, size_t length)
{
	unsigned char buffer[FRAME_HEAD + SUBMIT_CHUNK];
	struct frame_reader reader;
	struct frame frame;
	int64_t deadline_ms = deadline_after_ms(10000);
	int fd = accept(listener, NULL, NULL);
	const int flags = O_WRONLY | O_CREAT | O_TRUNC;
	int out = openat(folder, "queued", flags, 0600);
	int envelope = openat(folder, "envelope", flags, 0600);

	frame_reader_start(&reader, fd, buffer, sizeof buffer);
	while (frame_read(&reader, deadline_ms, &frame) == FRAME_OK) {
		if (frame.type == 'Q')
			(void)frame_send(fd, 'G', ID, strlen(ID), deadline_ms);
		else if (write(frame.type == 'E' ? envelope : out,
				 frame.payload, frame.length) < 0)
			_exit(1);
		if (frame.type == 'E')
			(void)frame_send(fd, (uint8_t)answer[0], answer + 1,
				length - 1, deadline_ms);
	}
	_exit(0);
}

static void
forward_with(struct place *place, const char *answer, size_t length,
	enum outcome outcome, const char *text)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int status;

	snprintf(name.sun_path, sizeof name.sun_path, "%s/socket/submit",
		place->path);
	(void)mkdirat(place->folder, "socket", 0700);
	(void)unlink(name.sun_path);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (const void *)&name, sizeof name), 0);
	assert_int_equal(listen(listener, 5), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		play_queue(listener, place->folder, answer, length);
	close(listener);
	expect(place, outcome, text);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

#define ANSWER(literal) TEXT(literal)

/* Reads a file that may hold NULs; its length. */
static size_t
temporary_length(int folder, const char *name, char text[2000])
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	ssize_t length = read(fd, text, 2000);

	close(fd);
	assert_true(length > 0);
	return (size_t)length;
}

/* The envelope that the queue was given: "SENDER>ADDRESS:NOTIFY:ORCPT…", then what
 * it has of ENVID, RET and REQUIRETLS. */
static void
expect_queued(struct place *place, const char *wanted)
{
	struct envelope envelope;
	char octets[2000], *text = NULL;
	size_t length = temporary_length(place->folder, "envelope", octets);
	FILE *out = open_memstream(&text, &(size_t){0});

	assert_int_equal(
		envelope_unpack(octets, length, 1, &envelope), ENVELOPE_OK);
	fprintf(out, "%s", envelope.reverse_path);
	for (uint32_t i = 0; i < envelope.recipients; i++)
		fprintf(out, ">%s:%u:%s", envelope.recipient[i].address,
			envelope.recipient[i].notify,
			envelope.recipient[i].orcpt);
	if (*envelope.envid != 0)
		fprintf(out, " %s", envelope.envid);
	fprintf(out, "%s%s", envelope.ret == RET_HDRS ? " HDRS" : "",
		envelope.requiretls ? " TLS" : "");
	fclose(out);
	assert_string_equal(text, wanted);
	free(text);
	envelope_free(&envelope);
}

static void
test_forwards(void **state)
{
	struct place place;
	char text[2000];

	(void)state;
	start(&place);
	address(&place, "ann-away@host.test", "away");
	temporary_write(place.folder, ".qmail-away",
		"&carl@y.test\n|true\ndora\n&carl@Y.TEST\n|exit 99\n"
		"&late@y.test\n",
		0600);
	expect(&place, OUTCOME_DEFERRED, "4.3.0 cannot forward");
	forward_with(&place, ANSWER("A" ID), OUTCOME_DELIVERED,
		"2 programs, forwarded as " ID);
	(void)temporary_read(place.folder, "queued", text, sizeof text);
	const char *begin = "Delivered-To: ann-away@host.test\n" CONTENT;
	assert_memory_equal(text, begin, strlen(begin));
	expect_queued(&place, "bob@x.test>carl@y.test:0:>dora@mx.test:0:");
	temporary_write(place.folder, ".qmail-away", "&carl@y.test\n", 0600);
	forward_with(&place, ANSWER("A" ID), OUTCOME_RELAYED_DSN,
		"2.0.0 forwarded as " ID);
	forward_with(&place, ANSWER("N\x1fnot wanted"), OUTCOME_FAILED,
		"not wanted");
	forward_with(&place,
		ANSWER("N\x35"
		       "full"),
		OUTCOME_DEFERRED, "full");
	stop(&place);
}

static void
test_parameters(void **state)
{
	struct place place;
	struct warden_request *request = &place.request;

	(void)state;
	start(&place);
	address(&place, "ann-x@host.test", "x");
	snprintf(request->orcpt, sizeof request->orcpt, "rfc822;o@x.test");
	snprintf(request->envid, sizeof request->envid, "e1");
	request->ret = RET_HDRS;
	request->requiretls = 1;
	/* RFC 3461 section 5.2.7.2: one address alone takes all of it over */
	request->notify = NOTIFY_SUCCESS | NOTIFY_DELAY;
	temporary_write(place.folder, ".qmail-x", "&c@y.test\n", 0600);
	forward_with(&place, ANSWER("A" ID), OUTCOME_RELAYED_DSN, "forwarded");
	expect_queued(
		&place, "bob@x.test>c@y.test:10:rfc822;o@x.test e1 HDRS TLS");
	/* 5.2.7.3 (c): several, or a copy is kept */
	temporary_write(place.folder, ".qmail-x", "&c@y.test\nd\n", 0600);
	forward_with(&place, ANSWER("A" ID), OUTCOME_EXPANDED, "forwarded");
	expect_queued(&place, "bob@x.test>c@y.test:8:rfc822;o@x.test"
			      ">d@mx.test:8:rfc822;o@x.test e1 HDRS TLS");
	request->notify = NOTIFY_SUCCESS;
	temporary_write(place.folder, ".qmail-x", "&c@y.test\n|true\n", 0600);
	forward_with(&place, ANSWER("A" ID), OUTCOME_DELIVERED, "forwarded");
	expect_queued(
		&place, "bob@x.test>c@y.test:1:rfc822;o@x.test e1 HDRS TLS");
	/* 5.2.7.1: a list answers for itself */
	temporary_write(place.folder, ".qmail-x", "&c@y.test\n", 0600);
	temporary_write(place.folder, ".qmail-x-owner", "#\n", 0600);
	forward_with(&place, ANSWER("A" ID), OUTCOME_DELIVERED, "forwarded");
	expect_queued(&place, "ann-x-owner@host.test>c@y.test:0: TLS");
	temporary_write(place.folder, ".qmail-x-owner-default", "#\n", 0600);
	forward_with(&place, ANSWER("A" ID), OUTCOME_DELIVERED, "forwarded");
	expect_queued(&place, "ann-x-owner-@host.test-@[]>c@y.test:0: TLS");
	/* a report keeps its null reverse-path */
	request->reverse_path[0] = 0;
	request->notify = 0;
	forward_with(&place, ANSWER("A" ID), OUTCOME_RELAYED_DSN, "forwarded");
	expect_queued(&place, ">c@y.test:0:rfc822;o@x.test e1 HDRS TLS");
	request->notify = 16;
	expect(&place, OUTCOME_DEFERRED, "malformed");
	stop(&place);
}

static void
use_srs(struct place *place)
{
	struct srs *srs = &place->settings.srs;
	char why[100];

	assert_int_equal(
		srs_read_keys(srs, TEXT("0123456789abcdef"), why, sizeof why),
		0);
	snprintf(srs->domain, sizeof srs->domain, "host.test");
}

static void
test_rewritten_senders(void **state)
{
	struct place place;
	char text[2000];

	(void)state;
	start(&place);
	address(&place, "ann-x@host.test", "x");
	temporary_write(place.folder, ".qmail-x", "&c@y.test\n", 0600);
	use_srs(&place);
	forward_with(&place, ANSWER("A" ID), OUTCOME_RELAYED_DSN, "forwarded");
	size_t length = temporary_length(place.folder, "envelope", text);
	const char *at = memmem(text, length, "SRS0=", 5);
	assert_non_null(at);
	const char *end = memmem(
		at, length - (size_t)(at - text), TEXT("x.test=bob@host.test"));
	assert_non_null(end);
	assert_int_equal(place.settings.srs.keys, 1);
	char rewritten[200];
	snprintf(rewritten, sizeof rewritten, "%.*s",
		(int)(end + strlen("x.test=bob@host.test") - at), at);

	/* nobody's need for it: our own sender, or a host of ours */
	snprintf(place.request.reverse_path, sizeof place.request.reverse_path,
		"bob@host.test");
	use_srs(&place);
	forward_with(&place, ANSWER("A" ID), OUTCOME_RELAYED_DSN, "forwarded");
	expect_queued(&place, "bob@host.test>c@y.test:0:");
	snprintf(place.request.reverse_path, sizeof place.request.reverse_path,
		"bob@x.test");
	temporary_write(place.folder, ".qmail-x", "&c@host.test\n", 0600);
	use_srs(&place);
	forward_with(&place, ANSWER("A" ID), OUTCOME_RELAYED_DSN, "forwarded");
	expect_queued(&place, "bob@x.test>c@host.test:0:");

	/* a command finds the keys nowhere */
	temporary_write(place.folder, ".qmail-x", "|true\n", 0600);
	expect(&place, OUTCOME_DELIVERED, "1 programs");
	assert_int_equal(place.settings.srs.keys, 0);

	/* back: the alias account sends it on, and nobody else's does */
	place.request.reverse_path[0] = 0;
	address(&place, rewritten, rewritten);
	use_srs(&place);
	expect(&place, OUTCOME_FAILED, "5.1.1 there is no mailbox");
	snprintf(place.request.account, sizeof place.request.account, "a:");
	use_srs(&place);
	forward_with(&place, ANSWER("A" ID), OUTCOME_RELAYED_DSN, "forwarded");
	expect_queued(&place, ">bob@x.test:0:");
	use_srs(&place);
	assert_int_equal(deliver_lookup(&place.settings, &place.account,
				 &place.request, &place.report),
		OUTCOME_DELIVERED);
	temporary_write(place.folder, ".qmail-default", "./M/\n", 0600);
	place.request.address[6] ^= 1;
	use_srs(&place);
	expect(&place, OUTCOME_FAILED, "5.1.1 the rewritten address is none");
	use_srs(&place);
	assert_int_equal(deliver_lookup(&place.settings, &place.account,
				 &place.request, &place.report),
		OUTCOME_FAILED);
	stop(&place);
}

static void
expect_lookup(struct place *place, const char *dash, const char *extension,
	enum outcome outcome)
{
	snprintf(place->request.dash, sizeof place->request.dash, "%s", dash);
	snprintf(place->request.extension, sizeof place->request.extension,
		"%s", extension);
	assert_int_equal(deliver_lookup(&place->settings, &place->account,
				 &place->request, &place->report),
		outcome);
	assert_int_equal(place->report.outcome, outcome);
	assert_int_equal(place->report.magic, WARDEN_MAGIC);
}

static void
test_lookup(void **state)
{
	struct place place;

	(void)state;
	start(&place);
	temporary_write(place.folder, ".qmail-x", "#\n", 0600);
	temporary_write(place.folder, ".qmail-empty", "", 0600);
	temporary_write(place.folder, ".qmail-open", "#\n", 0666);
	expect_lookup(&place, "", "", OUTCOME_DELIVERED);
	expect_lookup(&place, "-", "x", OUTCOME_DELIVERED);
	expect_lookup(&place, "-", "empty", OUTCOME_DELIVERED);
	expect_lookup(&place, "-", "y", OUTCOME_FAILED);
	expect_lookup(&place, "-", "open", OUTCOME_DEFERRED);
	expect_lookup(&place, "-", "x\n", OUTCOME_DEFERRED);
	snprintf(place.account.home, sizeof place.account.home, "/nowhere");
	expect_lookup(&place, "", "", OUTCOME_DEFERRED);
	stop(&place);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_hostile_requests),
		cmocka_unit_test(test_forwards),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_rewritten_senders),
		cmocka_unit_test(test_lookup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
