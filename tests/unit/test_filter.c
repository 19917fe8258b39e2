/* What filters are told of a client, and what their message keeps. */
#include <stdarg.h>
#include <setjmp.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/deadline.h"
#include "queue/filter_environment.h"
#include "queue/filter_intake.h"
#include "queue/local_trace.h"
#include "queue/submit.h"

/* --- the environment --- */

static const char *
find(const struct filter_environment *environment, const char *name)
{
	size_t length = strlen(name);

	for (unsigned i = 0; i < environment->count; i++)
		if (strncmp(environment->list[i], name, length) == 0 &&
			environment->list[i][length] == '=')
			return environment->list[i] + length + 1;
	return NULL;
}

static void
make(struct filter_environment *environment, const struct origin *origin)
{
	const struct home home = {.path = "/home/of/it"};

	filter_environment_make(environment, &home, "/bin/queue-submit",
		"/home/of/it/filter/7", "0123456789abcdefghjk", origin);
	assert_null(environment->list[environment->count]);
}

static void
environment_of_a_client(void **state)
{
	struct filter_environment environment;
	char address[] = "2001:db8::1", name[] = "a.example",
	     hello[] = "x; rm -rf `pwd` $(y) \"'\\", login[] = "ann@b.test",
	     empty[] = "";
	struct origin origin = {.kind = ORIGIN_NETWORK,
		.client_address = address,
		.client_name = name,
		.hello = hello,
		.authenticated = empty};

	(void)state;
	make(&environment, &origin);
	assert_string_equal(find(&environment, "TCPREMOTEIP"), "2001:db8::1");
	assert_string_equal(find(&environment, "TCPREMOTEHOST"), "a.example");
	assert_string_equal(
		find(&environment, "SMTPHELO"), "x??rm?-rf??pwd????y?????");
	assert_string_equal(
		find(&environment, "QMAILQUEUE"), "/bin/queue-submit");
	assert_string_equal(find(&environment, "HOME"), "/home/of/it/filter");
	assert_null(find(&environment, "RELAYCLIENT"));
	assert_null(find(&environment, "TCPREMOTEINFO"));
	origin.authenticated = login;
	make(&environment, &origin);
	assert_string_equal(find(&environment, "RELAYCLIENT"), "");
	assert_string_equal(find(&environment, "TCPREMOTEINFO"), "ann@b.test");
}

static void
environment_of_others(void **state)
{
	struct filter_environment environment;
	char odd[] = "127.0.0.1; id", unknown[] = "unknown", longest[9000];
	struct origin origin = {.kind = ORIGIN_NETWORK,
		.client_address = odd,
		.client_name = unknown,
		.hello = longest};

	(void)state;
	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = 0;
	make(&environment, &origin);
	assert_null(find(&environment, "TCPREMOTEIP"));
	assert_null(find(&environment, "PROTO"));
	assert_null(find(&environment, "TCPREMOTEHOST"));
	assert_null(find(&environment, "SMTPHELO"));
	origin.kind = ORIGIN_LOCAL;
	origin.hello = unknown;
	make(&environment, &origin);
	assert_null(find(&environment, "SMTPHELO"));
	assert_string_equal(find(&environment, "ERROR_FD"), "6");
}

/* --- what a message keeps --- */

static void
parameters_are_kept(void **state)
{
	struct envelope before = ENVELOPE_ZERO, after = ENVELOPE_ZERO;

	(void)state;
	before.body = BODY_8BITMIME;
	before.ret = RET_HDRS;
	before.envid = strdup("id");
	before.origin = (struct origin){.kind = ORIGIN_NETWORK,
		.uid = 7,
		.hello = strdup("hello"),
		.authenticated = strdup("ann")};
	envelope_add_recipient(&before, "b@x", NOTIFY_NEVER, "rfc822;b");
	envelope_add_recipient(&before, "a@x", NOTIFY_DELAY, "");
	envelope_add_recipient(&after, "a@x", 0, "");
	envelope_add_recipient(&after, "new@x", 0, "");
	envelope_add_recipient(&after, "b@x", 0, "");
	assert_int_equal(filter_envelope_inherit(&after, &before), 0);
	assert_int_equal(after.body, BODY_8BITMIME);
	assert_int_equal(after.ret, RET_HDRS);
	assert_string_equal(after.envid, "id");
	assert_int_equal(after.origin.kind, ORIGIN_NETWORK);
	assert_int_equal(after.origin.uid, 7);
	assert_string_equal(after.origin.authenticated, "ann");
	assert_int_equal(after.recipient[0].notify, NOTIFY_DELAY);
	assert_int_equal(after.recipient[1].notify, 0);
	assert_string_equal(after.recipient[1].orcpt, "");
	assert_int_equal(after.recipient[2].notify, NOTIFY_NEVER);
	assert_string_equal(after.recipient[2].orcpt, "rfc822;b");
	envelope_free(&before);
	envelope_free(&after);
}

/* --- the intake --- */

struct pair {
	int client, server, folder;
	char path[64];
	struct intake intake;
};

static void
pair_open(struct pair *pair, uint64_t octets_max)
{
	int ends[2];
	char folder[] = "/tmp/intake.XXXXXX";

	assert_non_null(mkdtemp(folder));
	memcpy(pair->path, folder, sizeof folder);
	pair->folder = open(folder, O_RDONLY | O_DIRECTORY);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	pair->client = ends[0];
	pair->server = ends[1];
	assert_int_equal(intake_start(&pair->intake, pair->server, pair->folder,
				 "x", octets_max),
		0);
}

static void
pair_close(struct pair *pair)
{
	intake_end(&pair->intake);
	intake_end(&pair->intake);
	close(pair->client);
	close(pair->server);
	close(pair->folder);
	/* nothing has a name */
	assert_int_equal(rmdir(pair->path), 0);
}

static void
put(const struct pair *pair, uint8_t type, const void *octets, size_t length)
{
	assert_int_equal(frame_send(pair->client, type, octets, length,
				 deadline_after_ms(1000)),
		0);
}

static void
intake_takes(void **state)
{
	static const char question[9] = {0, 0, 0, 0, 0, 0, 1, 2, 3};
	struct envelope envelope = ENVELOPE_ZERO;
	stralloc records = STRALLOC_ZERO;
	struct pair pair;
	char octets[16] = "";

	(void)state;
	pair_open(&pair, 10);
	assert_int_equal(intake_step(&pair.intake, 0), INTAKE_WAIT);
	put(&pair, 'Q', question, sizeof question);
	assert_int_equal(intake_step(&pair.intake, 0), INTAKE_ASKED);
	assert_int_equal(pair.intake.size, 258);
	assert_int_equal(pair.intake.flags, 3);
	put(&pair, 'D', "12345", 5);
	put(&pair, 'D', "", 0);
	assert_int_equal(intake_step(&pair.intake, 0), INTAKE_WAIT);
	envelope.reverse_path = strdup("a@x");
	envelope_add_recipient(&envelope, "b@x", 0, "");
	assert_int_equal(envelope_pack(&envelope, &records), 0);
	put(&pair, 'D', "67890", 5);
	put(&pair, 'E', records.s, records.len);
	assert_int_equal(intake_step(&pair.intake, 0), INTAKE_WHOLE);
	assert_int_equal(pair.intake.message.octets, 10);
	assert_int_equal(
		pread(pair.intake.message.file, octets, sizeof octets, 0), 10);
	assert_string_equal(octets, "1234567890");
	/* a filter cannot alter it */
	assert_int_equal(write(pair.intake.message.file, "x", 1), -1);
	assert_string_equal(
		pair.intake.message.envelope.recipient[0].address, "b@x");
	envelope_free(&envelope);
	stralloc_free(&records);
	pair_close(&pair);
}

static void
intake_refuses(void **state)
{
	static const struct {
		const char *frame;
		size_t length;
		enum submit_code code;
	} cases[] = {
		{"D\0\0\0\1x", 6, SUBMIT_FORMAT},
		{"Q\0\0\0\1x", 6, SUBMIT_FORMAT},
		{"Q\377\377\377\377", 5, SUBMIT_FORMAT},
		{"Q\0\0\0\11.........E\0\0\0\0", 19, SUBMIT_FORMAT},
		{"Q\0\0\0\11.........X\0\0\0\0", 19, SUBMIT_FORMAT},
		{"Q\0\0\0\11.........D\0\0\0\6"
		 "123456",
			25, SUBMIT_WRITE},
		{"Q\0\0\0\11.........D\0\1\0\1", 19, SUBMIT_FORMAT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct pair pair;
		enum intake_result result;

		pair_open(&pair, 5);
		assert_int_equal(
			write(pair.client, cases[i].frame, cases[i].length),
			cases[i].length);
		shutdown(pair.client, SHUT_WR);
		do
			result = intake_step(&pair.intake, 0);
		while (result == INTAKE_ASKED);
		assert_int_equal(result, INTAKE_BAD);
		assert_int_equal(pair.intake.code, cases[i].code);
		pair_close(&pair);
	}
}

static void
intake_taken_back(void **state)
{
	struct pair pair;

	(void)state;
	pair_open(&pair, 5);
	shutdown(pair.client, SHUT_WR);
	assert_int_equal(intake_step(&pair.intake, 0), INTAKE_GONE);
	pair_close(&pair);
}

static void
trace_of_a_local_message(void **state)
{
	char field[LOCAL_TRACE_MAX];

	(void)state;
	size_t length = local_trace_write(
		field, 1000, "host.test", "0123456789abcdefghjk", 1700000000);
	assert_int_equal(length, strlen(field));
	assert_string_equal(field,
		"Received: (from uid 1000)\n\tby host.test with local id "
		"0123456789abcdefghjk;\n\tTue, 14 Nov 2023 22:13:20 +0000\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(environment_of_a_client),
		cmocka_unit_test(environment_of_others),
		cmocka_unit_test(parameters_are_kept),
		cmocka_unit_test(intake_takes),
		cmocka_unit_test(intake_refuses),
		cmocka_unit_test(intake_taken_back),
		cmocka_unit_test(trace_of_a_local_message),
	};

	return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
