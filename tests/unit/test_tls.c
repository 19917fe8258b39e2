/*
 * The askers' side of TLS (lib/tls.h, lib/tls_server.h), with a service that a
 * child plays, and a program with the variables of UCSPI-TLS.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/service.h"
#include "lib/tls_server.h"
#include "smtpd/tlsclients.h"
#include "tests/unit/children.h"

#define LATE_MS 20000
#define SOON_MS 50

/* --- what is in order --- */

static struct tls_request
request_make(void)
{
	return (struct tls_request){
		.magic = TLS_MAGIC, .service = TLS_SMTP, .peer = "192.0.2.1"};
}

static struct tls_facts
facts_make(enum tls_status status)
{
	struct tls_facts facts = {.magic = TLS_MAGIC, .status = status};

	if (status == TLS_READY) {
		facts.verified = TLS_VERIFIED_CHAIN;
		snprintf(facts.protocol, sizeof facts.protocol, "TLSv1.3");
		snprintf(facts.cipher, sizeof facts.cipher,
			"TLS_AES_128_GCM_SHA256");
		memset(facts.fingerprint, 'a', 64);
		snprintf(facts.channel.identity, sizeof facts.channel.identity,
			"ann@host.test");
		facts.channel.exporter_len = 32;
	} else if (status != TLS_OFFERED) {
		snprintf(facts.text, sizeof facts.text, "no certificate");
	}
	return facts;
}

static void
requests(void **state)
{
	const struct tls_request good = request_make();
	struct tls_request bad;

	(void)state;
	assert_true(tls_request_is_valid(&good, sizeof good));
	assert_false(tls_request_is_valid(&good, sizeof good - 1));
#define BAD(change)          \
	(bad = good, change, \
		assert_false(tls_request_is_valid(&bad, sizeof bad)))
	BAD(bad.magic++);
	BAD(bad.service = 0);
	BAD(bad.service = 5);
	BAD(bad.check = 2);
	BAD(memset(bad.name, 'x', sizeof bad.name));
	BAD(memset(bad.certificate, 'x', sizeof bad.certificate));
	BAD(memset(bad.peer, '1', sizeof bad.peer));
	BAD(bad.name[0] = '\n');
	BAD(bad.name[0] = (char)0xc3);
	BAD(bad.certificate[0] = '.');
	BAD(memcpy(bad.certificate, "a/b", 4));
#undef BAD
}

static void
answers(void **state)
{
	const struct tls_facts good = facts_make(TLS_READY);
	struct tls_facts bad;

	(void)state;
	assert_true(tls_facts_are_valid(&good, sizeof good));
	assert_false(tls_facts_are_valid(&good, sizeof good - 1));
#define BAD(change)          \
	(bad = good, change, \
		assert_false(tls_facts_are_valid(&bad, sizeof bad)))
	BAD(bad.magic = 0);
	BAD(bad.status = 0);
	BAD(bad.status = 5);
	BAD(bad.verified = 3);
	BAD(bad.is_resumed = 2);
	BAD(memset(bad.protocol, 'x', sizeof bad.protocol));
	BAD(bad.cipher[3] = '\r');
	BAD(bad.name[0] = 127);
	BAD(bad.fingerprint[10] = 0);
	BAD(bad.fingerprint[10] = 'g');
	BAD(bad.fingerprint[64] = 'a');
	BAD(bad.text[0] = 1);
	BAD(bad.channel.exporter_len = 33);
	BAD(bad.channel.end_point_len = 65);
	BAD(bad.channel.identity[2] = (char)0x80);
	BAD(memset(bad.channel.identity, 'x', sizeof bad.channel.identity));
#undef BAD
}

/* --- a service --- */

enum act {
	REFUSE,
	GO_AT_ONCE,   /* no answer */
	ANSWER_SHORT, /* a record that is cut */
	ANSWER_READY, /* what does not come yet */
	SAY_NOTHING,
	FAIL,	       /* after the hand-over */
	GO_IN_SHAKING, /* likewise */
	ANSWER_AGAIN,  /* TLS_OFFERED in place of TLS_READY */
	SHAKE_FOR_EVER,
	PASS, /* what is in clear goes to the peer and back, once */
};

struct service {
	char folder[TEMPORARY_MAX], path[100];
	int folder_fd, listener;
	enum act act;
	pid_t child;
};

/* Both wait for the end of the asker. */
static int
wait_end(int fd)
{
	char octet;

	while (recv(fd, &octet, 1, 0) > 0)
		;
	return 0;
}

static int
shake_hands(const struct service *service, int fd)
{
	struct tls_facts facts = facts_make(TLS_OFFERED);
	int descriptor[3];
	unsigned descriptors;
	char octet, text[8];

	NEED(send(fd, &facts, sizeof facts, 0) == (ssize_t)sizeof facts);
	NEED(descriptors_receive(fd, &octet, 1, descriptor, 3, &descriptors) ==
		1);
	NEED(octet == TLS_HAND_OVER && descriptors == 3);
	if (service->act == GO_IN_SHAKING)
		return 0;
	if (service->act == SHAKE_FOR_EVER)
		return wait_end(fd);
	facts = facts_make(service->act == FAIL	  ? TLS_FAILED
			   : service->act == PASS ? TLS_READY
						  : TLS_OFFERED);
	NEED(send(fd, &facts, sizeof facts, 0) == (ssize_t)sizeof facts);
	if (service->act != PASS)
		return 0;
	NEED(read(descriptor[2], text, 5) == 5);
	NEED(write(descriptor[1], text, 5) == 5);
	NEED(read(descriptor[0], text, 5) == 5);
	NEED(write(descriptor[2], text, 5) == 5);
	return 0;
}

static int
serve(void *context)
{
	struct service *service = context;
	struct pollfd one = {service->listener, POLLIN, 0};
	struct tls_request request;
	struct tls_facts facts;

	NEED(poll(&one, 1, LATE_MS) == 1);
	int fd = accept(service->listener, NULL, NULL);
	NEED(fd >= 0);
	ssize_t got = recv(fd, &request, sizeof request, 0);
	NEED(got > 0 && tls_request_is_valid(&request, (size_t)got));
	NEED(request.service == TLS_SMTP);
	NEED(strcmp(request.peer, "192.0.2.1") == 0);
	facts = facts_make(service->act == REFUSE ? TLS_REFUSED : TLS_READY);
	switch (service->act) {
	case GO_AT_ONCE:
		return 0;
	case ANSWER_SHORT:
		NEED(send(fd, &facts, 10, 0) == 10);
		return 0;
	case SAY_NOTHING:
		return wait_end(fd);
	case REFUSE:
	case ANSWER_READY:
		NEED(send(fd, &facts, sizeof facts, 0) ==
			(ssize_t)sizeof facts);
		return 0;
	default:
		return shake_hands(service, fd);
	}
}

static void
service_start(struct service *service, enum act act)
{
	service->act = act;
	service->folder_fd = temporary_make(service->folder);
	snprintf(
		service->path, sizeof service->path, "%s/tls", service->folder);
	service->listener = service_listen(
		service->path, SOCK_SEQPACKET, 0600, (gid_t)-1, 5);
	assert_true(service->listener >= 0);
	service->child = child_start(serve, service);
	close(service->listener);
}

static void
service_end(struct service *service)
{
	assert_int_equal(child_end(service->child), 0);
	temporary_remove(service->folder, service->folder_fd);
}

static int
descriptors_open(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void
not_offered(void **state)
{
	static const struct {
		enum act act;
		const char *text;
	} ROWS[] = {
		{REFUSE, "no certificate"},
		{GO_AT_ONCE, "reset by peer"},
		{ANSWER_SHORT, "Bad message"},
		{ANSWER_READY, "refused"},
		{SAY_NOTHING, "timed out"},
	};
	const struct tls_request request = request_make();
	struct tls_facts facts;
	int before = descriptors_open();

	(void)state;
	for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
		struct service service;

		service_start(&service, ROWS[i].act);
		int64_t wait_ms =
			ROWS[i].act == SAY_NOTHING ? SOON_MS : LATE_MS;
		assert_int_equal(tls_open(service.path, &request,
					 deadline_after_ms(wait_ms), &facts),
			-1);
		assert_int_equal(facts.status, TLS_REFUSED);
		if (strstr(facts.text, ROWS[i].text) == NULL)
			fail_msg("row %zu: %s", i, facts.text);
		service_end(&service);
	}
	assert_int_equal(tls_open("/nowhere/tls", &request,
				 deadline_after_ms(LATE_MS), &facts),
		-1);
	assert_int_equal(facts.status, TLS_REFUSED);
	assert_true(facts.text[0] != 0);
	assert_int_equal(descriptors_open(), before);
}

static void
not_ready(void **state)
{
	static const struct {
		enum act act;
		const char *text;
	} ROWS[] = {
		{FAIL, "no certificate"},
		{GO_IN_SHAKING, "reset by peer"},
		{ANSWER_AGAIN, "handshake failed"},
		{SHAKE_FOR_EVER, "timed out"},
	};
	const struct tls_request request = request_make();
	struct tls_facts facts;
	int before = descriptors_open();

	(void)state;
	for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
		struct service service;

		service_start(&service, ROWS[i].act);
		int fd = tls_open(service.path, &request,
			deadline_after_ms(LATE_MS), &facts);
		assert_true(fd >= 0);
		assert_int_equal(facts.status, TLS_OFFERED);
		int64_t wait_ms =
			ROWS[i].act == SHAKE_FOR_EVER ? SOON_MS : LATE_MS;
		assert_int_equal(tls_hand_over(fd, 0, 1,
					 deadline_after_ms(wait_ms), &facts),
			-1);
		assert_int_equal(facts.status, TLS_FAILED);
		if (strstr(facts.text, ROWS[i].text) == NULL)
			fail_msg("row %zu: %s", i, facts.text);
		service_end(&service);
	}
	assert_int_equal(descriptors_open(), before);
}

static void
ready(void **state)
{
	const struct tls_request request = request_make();
	struct tls_facts facts;
	struct service service;
	int pair[2], before = descriptors_open();
	char text[8];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	service_start(&service, PASS);
	int fd = tls_open(
		service.path, &request, deadline_after_ms(LATE_MS), &facts);
	assert_true(fd >= 0);
	int clear = tls_hand_over(
		fd, pair[0], pair[0], deadline_after_ms(LATE_MS), &facts);
	assert_true(clear >= 0);
	assert_int_equal(fcntl(clear, F_GETFD), FD_CLOEXEC);
	close(pair[0]);
	assert_string_equal(facts.cipher, "TLS_AES_128_GCM_SHA256");
	assert_string_equal(facts.channel.identity, "ann@host.test");
	char description[TLS_DESCRIPTION_MAX];
	tls_describe(&facts, description);
	assert_string_equal(description, "TLSv1.3 TLS_AES_128_GCM_SHA256");
	assert_int_equal(write(clear, "hello", 5), 5);
	assert_int_equal(read(pair[1], text, 5), 5);
	assert_int_equal(write(pair[1], "world", 5), 5);
	assert_int_equal(read(clear, text, 5), 5);
	assert_memory_equal(text, "world", 5);
	service_end(&service);
	/* Who has TLS sees the end of the service as the end of the peer. */
	assert_int_equal(read(clear, text, 5), 0);
	assert_int_equal(read(pair[1], text, 5), 0);
	close(clear);
	close(pair[1]);
	assert_int_equal(descriptors_open(), before);
}

/* --- which way --- */

static void
variables(const char *control, const char *input, const char *output)
{
	const char *const name[] = {"SSLCTLFD", "SSLREADFD", "SSLWRITEFD"};
	const char *const value[] = {control, input, output};

	for (int i = 0; i < 3; i++)
		if (value[i] == NULL)
			unsetenv(name[i]);
		else
			setenv(name[i], value[i], 1);
}

static void
ways(void **state)
{
	static const char *const ROWS[][3] = {
		{"3x", "4", "5"},
		{"", "4", "5"},
		{"-1", "4", "5"},
		{"2", "4", "5"},
		{"250", "250", "251"},
		{"99999999999", "4", "5"},
		{NULL, "0", NULL},
	};
	struct tls_server server;
	struct home home = {.path = "/nowhere"};
	char why[300], number[12];
	int fd = dup(0);

	(void)state;
	assert_true(fd > 2);
	snprintf(number, sizeof number, "%d", fd);
	unsetenv("KEEPMAIL_TLS");
	variables(NULL, NULL, NULL);
	assert_int_equal(tls_server_find(&server, &home, why, sizeof why), 0);
	assert_int_equal(server.way, TLS_WAY_NONE);
	assert_false(server.is_first);
	assert_int_equal(
		tls_server_ask(&server, TLS_SMTP, "192.0.2.1", why, sizeof why),
		-1);
	assert_non_null(strstr(why, "/nowhere/socket/tls"));
	variables(number, number, number);
	assert_int_equal(tls_server_find(&server, &home, why, sizeof why), 0);
	assert_int_equal(server.way, TLS_WAY_UCSPI);
	variables(number, number, NULL);
	assert_int_equal(tls_server_find(&server, &home, why, sizeof why), -1);
	for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
		variables(ROWS[i][0], ROWS[i][1], ROWS[i][2]);
		*why = 0;
		assert_int_equal(
			tls_server_find(&server, &home, why, sizeof why), -1);
		assert_non_null(strstr(why, "SSL"));
	}
	variables(NULL, NULL, NULL);
	setenv("KEEPMAIL_TLS", "first", 1);
	assert_int_equal(tls_server_find(&server, &home, why, sizeof why), 0);
	assert_true(server.is_first);
	setenv("KEEPMAIL_TLS", "second", 1);
	assert_int_equal(tls_server_find(&server, &home, why, sizeof why), -1);
	unsetenv("KEEPMAIL_TLS");
	close(fd);
}

/* --- UCSPI-TLS --- */

struct ucspi {
	const char *details;
	size_t len, piece;
	int result;
	const char *protocol, *cipher;
	int control[2], plain[2];
};

/* The server: 0 and 1 are its client. */
static int
ucspi_server(void *context)
{
	struct ucspi *row = context;
	struct tls_server server;
	struct tls_facts facts;
	struct home home = {.path = "/nowhere"};
	char control[12], plain[12], why[300];

	close(row->control[1]);
	close(row->plain[1]);
	snprintf(control, sizeof control, "%d", row->control[0]);
	snprintf(plain, sizeof plain, "%d", row->plain[0]);
	variables(control, plain, plain);
	NEED(tls_server_find(&server, &home, why, sizeof why) == 0);
	NEED(tls_server_ask(&server, TLS_SMTP, "", why, sizeof why) == 0);
	NEED(tls_server_run(&server, &facts, why, sizeof why) == row->result);
	NEED(server.way == TLS_WAY_NONE);
	if (row->result < 0) {
		NEED(strncmp(why, "SSLCTLFD: ", 10) == 0);
		return 0;
	}
	NEED(strcmp(facts.protocol, row->protocol) == 0);
	NEED(strcmp(facts.cipher, row->cipher) == 0);
	NEED(facts.channel.identity[0] == 0);
	NEED(write(1, "hello", 5) == 5);
	return 0;
}

static void
ucspi(void **state)
{
	static char many[TLS_SERVER_DETAILS_MAX + 1000];
	static const char good[] = "SSL_PROTOCOL=TLSv1.3\0"
				   "SSL_CLIENT_S_DN_CN=root@host.test\0"
				   "SSL_CIPHER=TLS_AES_256_GCM_SHA384\0";
	struct ucspi row[] = {
		{good, sizeof good, 1, 0, "TLSv1.3", "TLS_AES_256_GCM_SHA384",
			{0}, {0}},
		{good, sizeof good, 1000, 0, "TLSv1.3",
			"TLS_AES_256_GCM_SHA384", {0}, {0}},
		{"", 1, 1, 0, "", "", {0}, {0}},
		{"SSL_CIPHER=a b\n(\0", 18, 5, 0, "", "a b??", {0}, {0}},
		/* An end too early, and none. */
		{good, sizeof good - 1, 7, -1, "", "", {0}, {0}},
		{good, 0, 1, -1, "", "", {0}, {0}},
		{good, 10, 1, -1, "", "", {0}, {0}},
		{many, sizeof many, 4096, -1, "", "", {0}, {0}},
	};

	(void)state;
	memset(many, 'x', sizeof many);
	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
		char text[8] = "";

		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM, 0, row[i].control), 0);
		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM, 0, row[i].plain), 0);
		pid_t child = child_start(ucspi_server, &row[i]);
		close(row[i].control[0]);
		close(row[i].plain[0]);
		assert_int_equal(recv(row[i].control[1], text, 8, 0), 1);
		assert_int_equal(text[0], 'Y');
		for (size_t at = 0; at < row[i].len;) {
			size_t left = row[i].len - at;
			size_t piece =
				left < row[i].piece ? left : row[i].piece;

			if (send(row[i].control[1], row[i].details + at, piece,
				    MSG_NOSIGNAL) < 0)
				break;
			at += piece;
		}
		shutdown(row[i].control[1], SHUT_WR);
		assert_int_equal(read(row[i].plain[1], text, 5),
			row[i].result == 0 ? 5 : 0);
		if (child_end(child) != 0)
			fail_msg("row %zu", i);
		close(row[i].control[1]);
		close(row[i].plain[1]);
	}
}

/* --- control/tlsclients --- */

#define DIGITS \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void
clients(void **state)
{
	char digits[] = DIGITS, name[] = "relay.host.test",
	     address[] = "Ann@host.test";
	char colons[] = "FF:FF:FF:FF:FF:FF:FF:FF:FF:FF:FF:FF:FF:FF:FF:FF:"
			"FF:FF:FF:FF:FF:FF:FF:FF:FF:FF:FF:FF:FF:FF:FF:FF";
	char many_f[65];
	char *lines[] = {digits, name, address, colons};
	size_t number[] = {1, 2, 4, 5};
	const struct setting_list list = {lines, number, 4, true};
	char why[300];

	(void)state;
	memset(many_f, 'f', 64);
	many_f[64] = 0;
	assert_int_equal(tlsclients_check(&list, why, sizeof why), 0);
	assert_int_equal(tlsclients_find(&list, DIGITS, ""), 1);
	assert_int_equal(tlsclients_find(&list, "", "RELAY.host.test"), 2);
	assert_int_equal(tlsclients_find(&list, "", "ann@host.test"), 4);
	assert_int_equal(tlsclients_find(&list, many_f, "x@y"), 5);
	assert_int_equal(tlsclients_find(&list, "", ""), 0);
	assert_int_equal(tlsclients_find(&list, "", "host.test"), 0);
	/* Neither passes for the other. */
	assert_int_equal(tlsclients_find(&list, "", DIGITS), 0);
	assert_int_equal(tlsclients_find(&list, "ann@host.test", ""), 0);
	static const char *const BAD[] = {DIGITS "0", "0123abcd", "host",
		"a b@c", ":", "a\xc3\xa4@host.test", "FF:FF"};
	for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
		char text[100];
		char *one[] = {text};
		const struct setting_list single = {one, number + 2, 1, true};

		snprintf(text, sizeof text, "%s", BAD[i]);
		assert_int_equal(
			tlsclients_check(&single, why, sizeof why), -1);
		assert_non_null(strstr(why, "control/tlsclients line 4: "));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
		cmocka_unit_test(answers),
		cmocka_unit_test(not_offered),
		cmocka_unit_test(not_ready),
		cmocka_unit_test(ready),
		cmocka_unit_test(ways),
		cmocka_unit_test(ucspi),
		cmocka_unit_test(clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
