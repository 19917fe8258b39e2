/* Logins: the lines of secrets/smarthosts, and SCRAM from the client's side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "remote/scram_client.h"
#include "remote/smarthosts.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

static void
test_lines(void **state)
{
	static const struct {
		const char *line;
		int result;
		const char *user, *password;
	} row[] = {
		{"a:user:pass", 1, "user", "pass"},
		{"a:user@x.test:p:q r ", 1, "user@x.test", "p:q r "},
		{"a:u: ", 1, "u", " "},
		{"a:\xc3\xa4:\xc3\xb6", 1, "\xc3\xa4", "\xc3\xb6"},
		{"b:user:pass", 0, NULL, NULL},
		{"aa:user:pass", 0, NULL, NULL},
		{"A:user:pass", 0, NULL, NULL},
		{"#a:user:pass", 0, NULL, NULL},
		{"", 0, NULL, NULL},
		{"a", -1, NULL, NULL},
		{"a:user", -1, NULL, NULL},
		{"a::pass", -1, NULL, NULL},
		{"a:user:", -1, NULL, NULL},
		{"a:us\ter:pass", -1, NULL, NULL},
		{"a:user:pass\r", -1, NULL, NULL},
	};
	char line[600];
	struct login login;

	(void)state;
	for (size_t i = 0; i < LENGTH(row); i++) {
		memset(&login, 0, sizeof login);
		if (smarthosts_take_line(row[i].line, strlen(row[i].line), "a",
			    &login) != row[i].result)
			fail_msg("%s", row[i].line);
		if (row[i].result != 1)
			continue;
		assert_string_equal(row[i].user, login.user);
		assert_string_equal(row[i].password, login.password);
		assert_string_equal("a", login.name);
	}
	for (int n = 254; n <= 256; n++) {
		snprintf(line, sizeof line, "a:%0*d:p", n, 7);
		assert_int_equal(n <= 255 ? 1 : -1,
			smarthosts_take_line(line, strlen(line), "a", &login));
		snprintf(line, sizeof line, "a:u:%0*d", n, 7);
		assert_int_equal(n <= 255 ? 1 : -1,
			smarthosts_take_line(line, strlen(line), "a", &login));
	}
}

static void
test_file(void **state)
{
	static const char text[] = "# x\n\na:one:two\nb:three:four";
	static const struct {
		mode_t mode;
		int result;
	} row[] = {{0600, 0}, {0640, 0}, {0400, 0}, {0660, -1}, {0644, -1},
		{0641, -1}, {0650, -1}, {0602, -1}};
	char path[] = "/tmp/keepmail-test.XXXXXX", why[300];
	struct login login;
	int fd = mkstemp(path);

	(void)state;
	assert_true(
		fd >= 0 && write(fd, text, sizeof text - 1) == sizeof text - 1);
	for (size_t i = 0; i < LENGTH(row); i++) {
		assert_int_equal(0, fchmod(fd, row[i].mode));
		if (smarthosts_find(fd, getuid(), getegid(), "b", &login, why,
			    sizeof why) != row[i].result)
			fail_msg("%04o: %s", (unsigned)row[i].mode, why);
		assert_string_equal(
			row[i].result == 0 ? "four" : "", login.password);
	}
	assert_int_equal(0, fchmod(fd, 0640));
	assert_int_equal(-1, smarthosts_find(fd, getuid() + 1, getegid(), "a",
				     &login, why, sizeof why));
	assert_non_null(strstr(why, "is owned by uid"));
	assert_int_equal(-1, smarthosts_find(fd, getuid(), getegid() + 1, "a",
				     &login, why, sizeof why));
	assert_non_null(strstr(why, "can be read by group"));
	assert_int_equal(-1, smarthosts_find(fd, getuid(), getegid(), "c",
				     &login, why, sizeof why));
	assert_string_equal("secrets/smarthosts: has no line for \"c\"", why);
	close(fd);
	unlink(path);
}

/* The example of RFC 7677 section 3, but for the length of its nonce: ours is
 * longer, so the server's part and the proofs are others; these were computed by
 * Python's hashlib. */
static void
test_scram(void **state)
{
	static const char nonce[] = "rOprNGfwEbeRWgbNEkqOabcd";
	static const char server[] =
		"r=rOprNGfwEbeRWgbNEkqOabcd%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
		"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
	static const char *const bad[] = {
		"",
		"r=rOprNGfwEbeRWgbNEkqOabcd,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
		"r=xOprNGfwEbeRWgbNEkqOabcdX,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
		"r=rOprNGfwEbeRWgbNEkqOabcdX,s=W22ZaJ0SNY7soEsUEjb6gQ=,i=4096",
		"r=rOprNGfwEbeRWgbNEkqOabcdX,s=,i=4096",
		"r=rOprNGfwEbeRWgbNEkqOabcdX,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4095",
		"r=rOprNGfwEbeRWgbNEkqOabcdX,s=W22ZaJ0SNY7soEsUEjb6gQ==,"
		"i=2000001",
		"r=rOprNGfwEbeRWgbNEkqOabcdX,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=-1",
		"r=rOprNGfwEbeRWgbNEkqOabcdX,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=",
		"r=rOprNGfwEbeRWgbNEkqOabcdX,s=W22ZaJ0SNY7soEsUEjb6gQ==",
		"m=x,r=rOprNGfwEbeRWgbNEkqOabcdX,s=W22ZaJ0SNY7soEsUEjb6gQ==,"
		"i=4096",
	};
	char message[SCRAM_CLIENT_MESSAGE], long_name[1200];
	struct scram_client scram;

	(void)state;
	assert_true(scram_client_first(&scram, "u,s=r", nonce, message) > 0);
	assert_string_equal(
		"n,,n=u=2Cs=3Dr,r=rOprNGfwEbeRWgbNEkqOabcd", message);
	assert_true(scram_client_first(&scram, "user", nonce, message) > 0);
	for (size_t i = 0; i < LENGTH(bad); i++)
		if (scram_client_final(&scram, "pencil", bad[i], strlen(bad[i]),
			    message) != 0)
			fail_msg("%s", bad[i]);
	assert_true(scram_client_final(&scram, "pencil", server, strlen(server),
			    message) > 0);
	assert_string_equal(
		"c=biws,r=rOprNGfwEbeRWgbNEkqOabcd%hvYDpWUa2RaTCAfux"
		"FIlj)hNlF$k0,p=QI5RFIOX69/H+z7q5cbSCdnOKnDAwZQ4DbiLnmYaNL0=",
		message);
	assert_true(scram_client_check(
		&scram, "v=0VhYDxdzwm4Y15nos9LrM+V25Tw7zelRjW7ijW5bOeo=", 46));
	assert_true(scram_client_check(&scram,
		"v=0VhYDxdzwm4Y15nos9LrM+V25Tw7zelRjW7ijW5bOeo=,x=y", 50));
	assert_false(scram_client_check(
		&scram, "v=0VhYDxdzwm4Y15nos9LrM+V25Tw7zelRjW7ijW5bOeo=", 45));
	assert_false(scram_client_check(&scram, "e=other-error", 13));
	assert_false(scram_client_check(&scram, "", 0));
	memset(long_name, ',', sizeof long_name - 1);
	long_name[sizeof long_name - 1] = 0;
	assert_int_equal(
		0, scram_client_first(&scram, long_name, nonce, message));
	assert_int_equal(0, scram_client_first(&scram, "", nonce, message));
	assert_int_equal(0, scram_client_first(&scram, "u", "short", message));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_scram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
