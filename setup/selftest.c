/*
 * selftest sends a marked message from an account to itself, by submission with
 * TLS and a login, follows it through the queue, fetches it by POP3 with TLS, and
 * deletes it; for monitoring.
 *
 * Runs as root, to whom tls-client answers; of a private home as its owner.
 * Is handed the account by options and standard input, or by secrets/selftest.
 * Promises to delete nothing but what it sent.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "lib/role.h"
#include "lib/settings.h"
#include "setup/selftest.h"
#include "tools/queue_walk.h"
#include "tools/users.h"

#define ACCOUNT_FILE "secrets/selftest"
#define TIMEOUT_S 60
#define TIMEOUT_MAX_S 600
#define WHY_MAX 400

struct selftest_settings {
	char *me;
};

static const struct setting settings_table[] = {
	{"me", SETTING_HOST, NULL, 0, 0, offsetof(struct selftest_settings, me),
		"this host's name"},
};

struct options {
	const char *account, *password_file, *host, *timeout;
	bool is_json;
};

void
selftest_step(struct selftest *selftest, enum finding result,
	const char *subject, const char *mend, const char *format, ...)
{
	char text[FINDINGS_TEXT_MAX];
	int64_t now_ms = deadline_now_ms();
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	selftest->findings.took_ms = now_ms - selftest->step_ms;
	selftest->step_ms = now_ms;
	findings_tell(&selftest->findings, result, subject, mend, "%s", text);
}

/* --- what it is handed --- */

/* 0, or -1. */
static int
read_options(struct options *options, int argc, char **argv)
{
	struct {
		const char *name, **into;
	} known[] = {
		{"--account", &options->account},
		{"--password-file", &options->password_file},
		{"--host", &options->host},
		{"--timeout", &options->timeout},
	};

	for (int i = 1; i < argc; i++) {
		bool is_known = strcmp(argv[i], "--json") == 0;

		options->is_json |= is_known;
		for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
			if (!is_known && strcmp(argv[i], known[k].name) == 0 &&
				i + 1 < argc) {
				*known[k].into = argv[++i];
				is_known = true;
			}
		if (!is_known)
			return -1;
	}
	return options->password_file != NULL && options->account == NULL ? -1
									  : 0;
}

/* The first line of secrets/selftest: ADDRESS:PASSWORD. 0, or -1. */
static int
read_account_file(struct selftest *selftest, char why[WHY_MAX])
{
	char path[HOME_NAME_MAX], line[sizeof selftest->login + 2];
	uid_t owner = selftest->home.is_private ? geteuid() : 0;
	struct stat st;
	int result = -1;

	home_path(&selftest->home, ACCOUNT_FILE, path);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0) {
		snprintf(why, WHY_MAX,
			"%s: %s: expected a line ADDRESS:PASSWORD there, or "
			"--account",
			path, strerror(errno));
		return -1;
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != owner ||
		(st.st_mode & 077) != 0) {
		snprintf(why, WHY_MAX,
			"%s: others could read or change it: chown root and "
			"chmod 0600",
			path);
		close(fd);
		return -1;
	}
	ssize_t count = read(fd, line, sizeof line - 1);
	close(fd);
	line[count < 0 ? 0 : count] = '\0';
	line[strcspn(line, "\n")] = '\0';
	char *colon = strchr(line, ':');
	if (colon == NULL || colon - line > SMARTHOSTS_TEXT_MAX ||
		colon[1] == '\0' || strlen(colon + 1) > SMARTHOSTS_TEXT_MAX) {
		snprintf(why, WHY_MAX,
			"%s line 1: expected ADDRESS:PASSWORD, each of at "
			"most %d octets",
			path, SMARTHOSTS_TEXT_MAX);
	} else {
		*colon = '\0';
		memcpy(selftest->login.user, line, strlen(line) + 1);
		memcpy(selftest->login.password, colon + 1,
			strlen(colon + 1) + 1);
		result = 0;
	}
	explicit_bzero(line, sizeof line);
	return result;
}

/* The account that the options name, its password from a file or stdin. */
static int
read_account(struct selftest *selftest, const struct options *options,
	char why[WHY_MAX])
{
	char password[USERS_PASSWORD_MAX + 1];
	int fd = STDIN_FILENO;

	if (strlen(options->account) > SMARTHOSTS_TEXT_MAX) {
		snprintf(why, WHY_MAX, "--account: the address is too long");
		return -1;
	}
	memcpy(selftest->login.user, options->account,
		strlen(options->account) + 1);
	if (options->password_file != NULL)
		fd = open(options->password_file,
			O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		snprintf(why, WHY_MAX, "%s: %s", options->password_file,
			strerror(errno));
		return -1;
	}
	int result = users_read_password(fd, password, why, WHY_MAX);
	if (fd != STDIN_FILENO)
		close(fd);
	if (result == 0 && strlen(password) > SMARTHOSTS_TEXT_MAX) {
		snprintf(why, WHY_MAX,
			"the password is longer than %d octets: "
			"use another account",
			SMARTHOSTS_TEXT_MAX);
		result = -1;
	}
	if (result == 0)
		memcpy(selftest->login.password, password,
			strlen(password) + 1);
	explicit_bzero(password, sizeof password);
	return result;
}

/* --- where it goes --- */

/* The first line of a file, or of its line that begins with key. 0 or -1. */
static int
read_line_of(const struct selftest *selftest, const char *relative,
	const char *key, char *value, size_t size)
{
	char path[HOME_NAME_MAX], line[512];
	int result = -1;
	FILE *file = fopen(home_path(&selftest->home, relative, path), "re");

	if (file == NULL)
		return -1;
	while (result < 0 && fgets(line, sizeof line, file) != NULL) {
		line[strcspn(line, "\r\n")] = '\0';
		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		snprintf(value, size, "%s", line + strlen(key));
		result = 0;
	}
	fclose(file);
	return result;
}

/* Where a server listens, by its name in port/ and in service/settings. */
static int
find_server(const struct selftest *selftest, const char *host, const char *name,
	const char *setting, struct sockaddr_storage *address,
	char why[WHY_MAX])
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
	char relative[64], text[32] = "", ip[64] = "";
	char *end;

	snprintf(relative, sizeof relative, "port/%s.bound", name);
	(void)read_line_of(selftest, relative, "", text, sizeof text);
	unsigned long port = strtoul(text, &end, 10);
	if (port == 0 || port > 65535 || *end != '\0') {
		snprintf(why, WHY_MAX,
			"%s holds no port: the service %s does not run",
			relative, name);
		return -1;
	}
	memset(address, 0, sizeof *address);
	if (host == NULL) {
		(void)read_line_of(
			selftest, "service/settings", setting, ip, sizeof ip);
		host = strcmp(ip, "0") == 0 || ip[0] == '\0' ? "127.0.0.1" : ip;
	}
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
	} else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
	} else {
		snprintf(why, WHY_MAX, "%s is not an IP address: give --host",
			host);
		return -1;
	}
	return 0;
}

/* --- the message --- */

static int
make_message(struct selftest *selftest, char why[WHY_MAX])
{
	uint64_t number;

	selftest->time_s = (int64_t)time(NULL);
	selftest->content_fd = memfd_create("selftest", MFD_CLOEXEC);
	if (getrandom(&number, sizeof number, 0) != sizeof number ||
		selftest->content_fd < 0) {
		snprintf(why, WHY_MAX, "%s", strerror(errno));
		return -1;
	}
	snprintf(selftest->mark, sizeof selftest->mark,
		"%" PRId64 "-%016" PRIx64, selftest->time_s, number);
	int octets = dprintf(selftest->content_fd,
		"From: <%s>\nTo: <%s>\nSubject: selftest\n"
		"Auto-Submitted: auto-generated\n" SELFTEST_FIELD ": %s\n\n"
		"selftest sent this, and deletes it when it has arrived.\n",
		selftest->login.user, selftest->login.user, selftest->mark);
	selftest->octets = octets < 0 ? 0 : (uint64_t)octets;
	return octets < 0 ? -1 : 0;
}

/* All that is opened before strangers' words are read. 0, or -1. */
static int
prepare(struct selftest *selftest, const struct options *options,
	char why[WHY_MAX])
{
	static const struct role_path paths[] = {
		{"queue", ROLE_READ}, {NULL, 0}};
	struct selftest_settings settings = {0};
	char path[HOME_NAME_MAX];

	if (home_open(&selftest->home, why, WHY_MAX) < 0 ||
		settings_read(settings_table, SETTINGS_COUNT(settings_table),
			home_path(&selftest->home, "control", path), &settings,
			why, WHY_MAX) < 0)
		return -1;
	snprintf(selftest->me, sizeof selftest->me, "%s", settings.me);
	settings_free(
		settings_table, SETTINGS_COUNT(settings_table), &settings);
	home_path(&selftest->home, "socket/tls-client", selftest->socket);
	snprintf(selftest->login.name, sizeof selftest->login.name, "selftest");
	if ((options->account == NULL
			    ? read_account_file(selftest, why)
			    : read_account(selftest, options, why)) < 0 ||
		find_server(selftest, options->host, "submission",
			"SUBMISSION_LISTEN=", &selftest->submission, why) < 0 ||
		find_server(selftest, options->host, "pop3s",
			"POP3S_LISTEN=", &selftest->pop3s, why) < 0 ||
		make_message(selftest, why) < 0)
		return -1;
	selftest->queue = open(home_path(&selftest->home, "queue", path),
		O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (selftest->queue < 0) {
		snprintf(why, WHY_MAX, "%s: %s", path, strerror(errno));
		return -1;
	}
	return role_confine(paths, true, CALLS_READ | CALLS_CONNECT,
		&selftest->home, why, WHY_MAX);
}

int
main(int argc, char **argv)
{
	struct selftest *selftest = calloc(1, sizeof *selftest);
	struct options options = {0};
	char why[WHY_MAX] = "";
	long timeout_s = TIMEOUT_S;
	char *end = NULL;

	log_start("selftest");
	if (descriptors_ensure_standard() < 0)
		return STATUS_TEMPORARY;
	signal(SIGPIPE, SIG_IGN);
	bool is_wrong = read_options(&options, argc, argv) < 0;
	if (options.timeout != NULL)
		timeout_s = strtol(options.timeout, &end, 10);
	if (is_wrong || (end != NULL && *end != '\0') || timeout_s < 1 ||
		timeout_s > TIMEOUT_MAX_S) {
		log_line("usage: selftest [--json] [--account address "
			 "[--password-file file]] [--host ip] [--timeout "
			 "seconds]");
		return STATUS_MISUSE;
	}
	if (selftest == NULL || prepare(selftest, &options, why) < 0) {
		log_line("%s", selftest == NULL ? "out of memory" : why);
		return STATUS_TEMPORARY;
	}
	selftest->client.fd = -1;
	findings_start(&selftest->findings, options.is_json);
	selftest->step_ms = deadline_now_ms();
	selftest->deadline_ms = deadline_after_ms(timeout_s * 1000);
	if (selftest_submit(selftest) && selftest_follow(selftest))
		(void)selftest_fetch(selftest);
	explicit_bzero(
		selftest->login.password, sizeof selftest->login.password);
	return findings_end(&selftest->findings);
}
