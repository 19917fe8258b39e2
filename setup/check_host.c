/* What this host gives: ports, the way out, clock, disk, services. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/line.h"
#include "lib/service.h"
#include "remote/client.h"
#include "remote/mx.h"
#include "setup/setup.h"

#define CONNECT_MS 5000
/* After that no other address is tried. */
#define REACH_MS 9000
/* 2024-01-01: a clock before that is wrong. */
#define TIME_LEAST_S INT64_C(1704067200)
#define ROOM_LEAST (UINT64_C(64) << 20)
#define ROOM_GOOD (UINT64_C(1) << 30)
#define INODES_LEAST 1000
#define INODES_GOOD 20000

/* --- ports --- */

/* The first line that the server at the address says; "" for none. 0, or -1 with
 * errno if there is no connection. */
static int
greeting(const struct sockaddr_storage *address, char *text, size_t size)
{
	int64_t deadline_ms = deadline_after_ms(CONNECT_MS);
	struct line_reader *reader = malloc(sizeof *reader);
	const char *line;
	size_t len;
	int fd = client_connect(address, NULL, CONNECT_MS);

	text[0] = '\0';
	if (fd >= 0 && reader != NULL) {
		line_start(reader, fd);
		if (line_read(reader, LINE_COMMAND_MAX, deadline_ms, &line,
			    &len) == LINE_OK)
			snprintf(text, size, "%.*s", (int)len, line);
		/* nothing is lost if it is not heard */
		(void)!write(fd, "QUIT\r\n", 6);
	}
	int saved = errno;
	free(reader);
	if (fd >= 0)
		close(fd);
	errno = saved;
	return fd < 0 ? -1 : 0;
}

/* The port that smtpd has, or will have. */
static unsigned
smtp_port(const struct setup *setup)
{
	char path[SETUP_PATH_MAX], text[64];

	if (setup_read(setup_path(setup, "port/smtp.bound", path), text,
		    sizeof text) < 0)
		(void)setup_read(setup_path(setup, "port/smtp", path), text,
			sizeof text);
	return (unsigned)strtoul(text, NULL, 10) & 0xffff;
}

static void
check_port(struct setup *setup)
{
	struct findings *findings = &setup->findings;
	struct sockaddr_storage address = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
	unsigned port = smtp_port(setup);
	char subject[32], said[600];

	if (port == 0)
		return; /* any that is free */
	snprintf(subject, sizeof subject, "port %u", port);
	v4->sin_family = AF_INET;
	v4->sin_port = htons((uint16_t)port);
	v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (greeting(&address, said, sizeof said) < 0)
		findings_tell(findings, FINDING_OK, subject, NULL,
			"is free: nothing listens there yet");
	else if (strncmp(said, "220 ", 4) == 0 &&
		 strncmp(said + 4, setup->host, strlen(setup->host)) == 0)
		findings_tell(findings, FINDING_OK, subject, NULL,
			"answers: %s", said);
	else
		findings_tell(findings, FINDING_FAIL, subject,
			"ss -ltnp | grep :25 says who it is; systemctl disable "
			"--now exim4 (or postfix)",
			"something else listens there: %s",
			said[0] != '\0' ? said : "it says nothing");
}

/* Whether mail for all hosts goes another way than by their port 25. */
static bool
has_smarthost(const struct setup *setup)
{
	char path[SETUP_PATH_MAX], text[4096];

	if (setup_read(setup_path(setup, "control/smtproutes", path), text,
		    sizeof text) < 0)
		return false;
	return text[0] == ':' || strstr(text, "\n:") != NULL;
}

/* Tries the addresses in turn until one answers. Returns its place; or -1 with
 * errno of the first. */
static int
first_that_answers(const struct mx_list *list, char *said, size_t size)
{
	int64_t deadline_ms = deadline_after_ms(REACH_MS);
	int saved = 0;

	for (unsigned i = 0; i < list->count; i++) {
		if (greeting(&list->entry[i].address, said, size) == 0)
			return (int)i;
		if (i == 0)
			saved = errno;
		if (deadline_left_ms(deadline_ms) == 0)
			break;
	}
	errno = saved;
	return -1;
}

static void
check_way_out(struct setup *setup)
{
	static const char mend[] =
		"have the provider open port 25 outwards; or send through "
		"another host: echo :HOST:587 auth=NAME >control/smtproutes, "
		"see remote(8)";
	struct findings *findings = &setup->findings;
	struct mx_options options = {.dns = &setup->dns};
	struct route_target target;
	struct mx_list *list = malloc(sizeof *list);
	char said[600] = "", domain[SETUP_NAME_MAX + 10];
	int place;

	snprintf(domain, sizeof domain, "%s", setup->reach);
	if (has_smarthost(setup)) {
		findings_tell(findings, FINDING_OK, "way out", NULL,
			"mail for other hosts goes the way of "
			"control/smtproutes: smtp-probe HOST tries it");
	} else if (list == NULL || route_parse(domain, &target) < 0 ||
		   mx_find(&options, &target, deadline_after_ms(CONNECT_MS),
			   list) != MX_OK ||
		   list->count == 0) {
		findings_tell(findings, FINDING_WARN, "way out", NULL,
			"cannot tell: no mail server of %s is found",
			setup->reach);
	} else if ((place = first_that_answers(list, said, sizeof said)) < 0) {
		findings_tell(findings, setup_internet(setup, FINDING_FAIL),
			"way out", mend, "no connection to port 25 of %s: %s",
			list->entry[0].host, strerror(errno));
	} else {
		bool is_greeted = strncmp(said, "220", 3) == 0;

		findings_tell(findings, is_greeted ? FINDING_OK : FINDING_WARN,
			"way out", NULL, "%s says: %s", list->entry[place].host,
			said[0] != '\0' ? said : "nothing");
	}
	free(list);
}

/* --- clock and disk --- */

static void
check_clock(struct findings *findings)
{
	struct timex timex = {0};
	int state = adjtimex(&timex);

	if ((int64_t)time(NULL) < TIME_LEAST_S)
		findings_tell(findings, FINDING_FAIL, "clock",
			"apt-get install systemd-timesyncd",
			"is years behind: certificates and dates will not "
			"hold");
	else if (state < 0)
		findings_tell(findings, FINDING_WARN, "clock", NULL,
			"cannot tell whether anything keeps it right: %s",
			strerror(errno));
	else if (state == TIME_ERROR || (timex.status & STA_UNSYNC) != 0)
		findings_tell(findings, FINDING_WARN, "clock",
			"apt-get install systemd-timesyncd (or chrony)",
			"nothing keeps it right");
	else
		findings_tell(
			findings, FINDING_OK, "clock", NULL, "is kept right");
}

static void
check_room(struct setup *setup)
{
	struct findings *findings = &setup->findings;
	char path[SETUP_PATH_MAX];
	struct statvfs fs;

	if (statvfs(setup_path(setup, "queue", path), &fs) < 0) {
		findings_tell(findings, FINDING_FAIL, "disk", NULL, "%s: %s",
			path, strerror(errno));
		return;
	}
	uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
	bool has_inodes = fs.f_files > 0;
	enum finding result = FINDING_OK;

	if (room < ROOM_GOOD || (has_inodes && fs.f_favail < INODES_GOOD))
		result = FINDING_WARN;
	if (room < ROOM_LEAST || (has_inodes && fs.f_favail < INODES_LEAST))
		result = FINDING_FAIL;
	findings_tell(findings, result, "disk",
		result == FINDING_OK ? NULL
				     : "make room on it, or put the home on "
				       "another disk",
		"%llu MB and %llu inodes are free for %s",
		(unsigned long long)(room >> 20),
		has_inodes ? (unsigned long long)fs.f_favail : 0ULL, path);
}

/* What mail is put on must keep it. */
static void
check_durable(struct setup *setup)
{
	struct findings *findings = &setup->findings;
	char queue[SETUP_PATH_MAX], path[SETUP_PATH_MAX];
	struct statfs fs;
	int64_t before_ms = deadline_now_ms();

	if (statfs(setup_path(setup, "queue", queue), &fs) == 0 &&
		(fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)) {
		findings_tell(findings, FINDING_WARN, "queue",
			"put the home on a disk",
			"lies in memory: what is in it is gone after a "
			"restart");
		return;
	}
	setup_path(setup, "service/.setup-check", path);
	int fd = open(path,
		O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	bool is_synced = fd >= 0 && write(fd, "x", 1) == 1 && fsync(fd) == 0;
	int saved = errno;
	if (fd >= 0) {
		close(fd);
		unlink(path);
	}
	findings->took_ms = deadline_now_ms() - before_ms;
	if (is_synced)
		findings_tell(findings, FINDING_OK, "queue", NULL,
			"a file is synced to its disk");
	else
		findings_tell(findings, FINDING_FAIL, "queue",
			"put the home on a disk with ext4, xfs or btrfs",
			"no file can be synced (fsync): %s", strerror(saved));
}

/* --- services --- */

/* The sockets of those that mail needs. */
static const char *const sockets[] = {
	"submit", "resolve", "warden", "auth", "lookup", "count", "tls-client"};
#define SOCKETS (sizeof sockets / sizeof sockets[0])

static bool
socket_answers(const struct setup *setup, const char *name)
{
	char relative[64], path[SETUP_PATH_MAX];
	int64_t deadline_ms = deadline_after_ms(CONNECT_MS);

	snprintf(relative, sizeof relative, "socket/%s", name);
	setup_path(setup, relative, path);
	int fd = service_connect(path, SOCK_SEQPACKET, deadline_ms);
	if (fd < 0 && errno == EPROTOTYPE)
		fd = service_connect(path, SOCK_STREAM, deadline_ms);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Counts the service folders; returns how many of them supervise (of daemontools
 * or of runit) looks after. */
static unsigned
count_services(const char *folder, unsigned *count)
{
	char path[SETUP_PATH_MAX + 300];
	unsigned running = 0;
	struct dirent *entry;
	struct stat st;

	*count = 0;
	DIR *listing = opendir(folder);
	while (listing != NULL && (entry = readdir(listing)) != NULL) {
		snprintf(path, sizeof path, "%s/%s/run", folder, entry->d_name);
		if (entry->d_name[0] == '.' || stat(path, &st) < 0)
			continue;
		(*count)++;
		/* supervise alone opens it for reading: supervise(8) */
		snprintf(path, sizeof path, "%s/%s/supervise/ok", folder,
			entry->d_name);
		int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0) {
			running++;
			close(fd);
		}
	}
	if (listing != NULL)
		closedir(listing);
	return running;
}

static void
check_services(struct setup *setup)
{
	struct findings *findings = &setup->findings;
	char folder[SETUP_PATH_MAX], mend[FINDINGS_TEXT_MAX];
	unsigned count, answering = 0;
	unsigned running =
		count_services(setup_path(setup, "service", folder), &count);

	for (size_t i = 0; i < SOCKETS; i++)
		answering += socket_answers(setup, sockets[i]);
	findings_mend(mend,
		"apt-get install daemontools-run && for service in %s/*/; do "
		"ln -sfn ${service%%/} /etc/service/; done",
		folder);
	if (answering == SOCKETS)
		findings_tell(
			findings, FINDING_OK, "services", NULL, "all answer");
	else if (running == count && count > 0)
		findings_tell(findings, FINDING_WARN, "services",
			"read log/*/current in the home",
			"all %u are supervised, but %u of %u do not answer",
			count, (unsigned)SOCKETS - answering,
			(unsigned)SOCKETS);
	else
		findings_tell(findings, FINDING_WARN, "services", mend,
			"%u of %u are supervised: start the others", running,
			count);
}

void
setup_check_host(struct setup *setup)
{
	check_port(setup);
	check_way_out(setup);
	check_clock(&setup->findings);
	check_room(setup);
	check_durable(setup);
	check_services(setup);
}
