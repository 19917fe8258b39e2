/*
 * trace watches the calls by which programs change files.
 *
 *   trace record LOG FOLDER… -- PROGRAM [ARGUMENT …]
 *       Runs PROGRAM and writes every change below the folders to LOG, by
 *       PROGRAM and whatever it starts, in one order: from a call's beginning to
 *       its end no other call that changes files happens. Each line on its own
 *       standard input becomes a mark in LOG, and is repeated on standard output
 *       when it stands there.
 *   trace stop N one|all -- PROGRAM [ARGUMENT …]
 *       Kills (SIGKILL) whoever makes the N-th such call, counted from 1 over
 *       PROGRAM and whatever it starts, just before it happens: that process
 *       alone, or all of them. Writes "stopped CALL" to standard output then,
 *       and "calls COUNT" at the end.
 *   trace fail N COUNT FAULT FOLDER… -- PROGRAM [ARGUMENT …]
 *       Makes COUNT calls, from the N-th on, go wrong in the way of FAULT
 *       (tests/crash/fail.h), of those below the folders, or on no file, with
 *       which that may happen. FAULT@TEXT: of those with TEXT in their path. Writes "failed CALL PATH" for each, "died SIGNAL"
 *       if one of the processes dies of it, and at the end "FAULT COUNT" for
 *       each fault: how many calls there were with which it could have happened.
 *
 * It ends when all are gone; SIGTERM and SIGALRM go on to PROGRAM, and if trace
 * dies, all do. Needs no privilege: nothing else may trace them meanwhile.
 *
 * A record of LOG is a line of eight fields with tabs between them and then so
 * many octets as the last field says, and a newline:
 *
 *   pid, program, call, path, second path, number, number, octets
 *
 * The calls: create (number: flags), write (number: offset), truncate (number:
 * size), rename, link, unlink, rmdir, mkdir, sync (a file or folder), send (to a
 * socket; at most 64 octets), mark, and strange for what is not understood.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/crash/calls.h"
#include "tests/crash/fail.h"
#include "tests/crash/look.h"

#define OCTETS_MAX (4 * 1024 * 1024)
#define SEND_MAX 64
#define PARTS_MAX 16

struct tracer {
	FILE *log;
	pthread_mutex_t lock; /* of log and standard output */
	char **root;	      /* folders, up to NULL */
	char *octets;	      /* OCTETS_MAX, of one call */
	long stop_at;	      /* 0: record */
	bool stop_all;
	long calls;
	int fault;	    /* -1: none is made */
	const char *within; /* its path has this; or NULL */
	long fail_at, fail_count;
	long fitting[FAULTS]; /* calls with which each may happen */
	pid_t first;
};

struct event {
	pid_t pid;
	const struct call *call;
	const unsigned long long *argument;
	char path[PATH_MAX], other[PATH_MAX];
};

static void
die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void
die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("trace: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(111);
}

/* --- the log --- */

static void
record(struct tracer *tracer, pid_t pid, const char *call,
	const struct event *event, long long number, long long second,
	const void *octets, size_t length)
{
	char name[64], program[32] = "-";

	snprintf(name, sizeof name, "/proc/%d/comm", (int)pid);
	FILE *file = pid == 0 ? NULL : fopen(name, "r");
	if (file != NULL) {
		if (fscanf(file, "%31[^\n]", program) != 1)
			program[0] = '-';
		fclose(file);
	}
	pthread_mutex_lock(&tracer->lock);
	fprintf(tracer->log, "%d\t%s\t%s\t%s\t%s\t%lld\t%lld\t%zu\n", (int)pid,
		program, call, event ? event->path : "",
		event ? event->other : "", number, second, length);
	fwrite(octets, 1, length, tracer->log);
	fputc('\n', tracer->log);
	if (fflush(tracer->log) != 0)
		die("the log cannot be written: %s", strerror(errno));
	pthread_mutex_unlock(&tracer->lock);
}

static void *
take_marks(void *context)
{
	struct tracer *tracer = context;
	char *line = NULL;
	size_t room = 0;
	ssize_t length;

	while ((length = getline(&line, &room, stdin)) > 0) {
		record(tracer, 0, "mark", NULL, 0, 0, line, (size_t)length - 1);
		fputs(line, stdout);
		fflush(stdout);
	}
	free(line);
	return NULL;
}

static bool
is_watched(const struct tracer *tracer, const char *path)
{
	for (char **root = tracer->root; *root != NULL; root++) {
		size_t length = strlen(*root);

		if (strncmp(path, *root, length) == 0 &&
			(path[length] == '/' || path[length] == 0))
			return true;
	}
	return false;
}

/* --- recording a call --- */

/* Which files a call is about. False if none that is watched. */
static bool
find_paths(const struct tracer *tracer, struct event *event)
{
	const unsigned long long *argument = event->argument;
	const struct call *call = event->call;
	char *path[] = {event->path, event->other};
	unsigned at = 0;

	event->path[0] = event->other[0] = 0;
	for (unsigned i = 0; i < 2 && call->where[i] != 0; i++)
		switch (call->where[i]) {
		case 'f':
			if (call->kind == CALL_MAP)
				at = 4;
			look_descriptor(
				event->pid, (int)argument[at++], path[i]);
			break;
		case 'n':
			look_name(
				event->pid, AT_FDCWD, argument[at++], path[i]);
			break;
		default:
			look_name(event->pid, (int)argument[at],
				argument[at + 1], path[i]);
			at += 2;
		}
	return is_watched(tracer, event->path) ||
	       is_watched(tracer, event->other);
}

/* Reads what a call has written, so many octets, into the buffer. */
static void
fetch(struct tracer *tracer, const struct event *event, size_t length)
{
	struct iovec part[PARTS_MAX];
	size_t have = 0, parts = 1;

	if (length > OCTETS_MAX)
		die("a write of %zu octets", length);
	part[0].iov_base = (void *)(uintptr_t)event->argument[1];
	part[0].iov_len = length;
	if (event->call->parts) {
		parts = (size_t)event->argument[2];
		if (parts > PARTS_MAX ||
			look_octets(event->pid, event->argument[1], part,
				parts * sizeof *part) != parts * sizeof *part)
			die("a write of %zu parts", parts);
	}
	for (size_t i = 0; i < parts && have < length; i++) {
		size_t piece = part[i].iov_len < length - have ? part[i].iov_len
							       : length - have;
		have += look_octets(event->pid, (uintptr_t)part[i].iov_base,
			tracer->octets + have, piece);
	}
	if (have != length)
		die("what was written cannot be read");
}

/* What is sent to another process, before it is. */
static void
record_send(struct tracer *tracer, struct event *event)
{
	struct iovec part[PARTS_MAX];
	struct msghdr message;
	size_t have = 0, parts = 1;

	if (strncmp(event->path, "socket:", 7) != 0)
		return;
	part[0].iov_base = (void *)(uintptr_t)event->argument[1];
	part[0].iov_len = (size_t)event->argument[2];
	if (event->call->kind == CALL_SEND_MESSAGE) {
		if (look_octets(event->pid, event->argument[1], &message,
			    sizeof message) != sizeof message)
			return;
		parts = message.msg_iovlen < PARTS_MAX ? message.msg_iovlen
						       : PARTS_MAX;
		look_octets(event->pid, (uintptr_t)message.msg_iov, part,
			parts * sizeof *part);
	} else if (event->call->parts) {
		parts = event->argument[2] < PARTS_MAX
				? (size_t)event->argument[2]
				: PARTS_MAX;
		look_octets(event->pid, event->argument[1], part,
			parts * sizeof *part);
	}
	for (size_t i = 0; i < parts && have < SEND_MAX; i++) {
		size_t piece = part[i].iov_len < SEND_MAX - have
				       ? part[i].iov_len
				       : SEND_MAX - have;
		have += look_octets(event->pid, (uintptr_t)part[i].iov_base,
			tracer->octets + have, piece);
	}
	record(tracer, event->pid, "send", event, 0, 0, tracer->octets, have);
}

/* A call that has been done, with this result. */
static void
record_done(struct tracer *tracer, struct event *event, long long result)
{
	const unsigned long long *argument = event->argument;
	long long number = 0, second = 0;
	const char *name = event->call->record;
	size_t length = 0;

	switch (event->call->kind) {
	case CALL_OPEN:
		number = (long long)argument[event->call->number];
		if (!(number & (O_CREAT | O_TRUNC)) ||
			(number & O_TMPFILE) == O_TMPFILE)
			return;
		break;
	case CALL_WRITE:
		length = (size_t)result;
		fetch(tracer, event, length);
		number = event->call->number
				 ? (long long)argument[event->call->number]
				 : look_position(event->pid, (int)argument[0]) -
					   result;
		break;
	case CALL_UNLINK:
		if (event->call->number &&
			(argument[event->call->number] & AT_REMOVEDIR))
			name = "rmdir";
		break;
	case CALL_TRUNCATE:
		number = (long long)argument[1];
		break;
	case CALL_RENAME:
		if (event->call->number)
			second = (long long)argument[event->call->number];
		if (second & 2) /* RENAME_EXCHANGE */
			name = "strange";
		break;
	case CALL_MAP:
		if (!(argument[2] & PROT_WRITE) || !(argument[3] & MAP_SHARED))
			return;
		break;
	default:
		break;
	}
	record(tracer, event->pid, name, event, number, second, tracer->octets,
		length);
}

/* Lets the call happen and waits for its end. False: the process is gone. */
static bool
finish_call(pid_t pid, long long *result)
{
	struct __ptrace_syscall_info info;
	int status;

	for (;;) {
		if (ptrace(PTRACE_SYSCALL, pid, 0, 0) < 0 ||
			waitpid(pid, &status, __WALL) < 0 ||
			!WIFSTOPPED(status))
			return false;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			break;
	}
	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0)
		return false;
	*result = info.exit.is_error ? -1 : info.exit.rval;
	return true;
}

static void
record_call(struct tracer *tracer, struct event *event)
{
	bool is_ours = find_paths(tracer, event);
	long long result;

	if (event->call->kind == CALL_SEND ||
		event->call->kind == CALL_SEND_MESSAGE ||
		(event->call->kind == CALL_WRITE && !is_ours)) {
		record_send(tracer, event);
		return;
	}
	if (is_ours && finish_call(event->pid, &result) && result >= 0)
		record_done(tracer, event, result);
}

/* --- stopping at a call --- */

static bool
is_counted(const struct event *event)
{
	const unsigned long long *argument = event->argument;

	switch (event->call->kind) {
	case CALL_OPEN:
		return argument[event->call->number] &
		       (O_CREAT | O_TRUNC | O_ACCMODE);
	case CALL_WRITE:
		return argument[0] > 2; /* not the log of the program */
	case CALL_MAP:
		return false;
	default:
		return true;
	}
}

static void
count_call(struct tracer *tracer, const struct event *event)
{
	if (!is_counted(event) || ++tracer->calls != tracer->stop_at)
		return;
	printf("stopped %s\n", event->call->record);
	fflush(stdout);
	if (tracer->stop_all)
		kill(-tracer->first, SIGKILL);
	kill(event->pid, SIGKILL);
}

/* --- failing at a call --- */

static void
fail_at_call(struct tracer *tracer, struct event *event)
{
	const struct call *call = event->call;

	if (call->kind == CALL_SOCKET)
		snprintf(event->path, sizeof event->path, "socket:");
	else if (!find_paths(tracer, event))
		return;
	if (tracer->within != NULL && !strstr(event->path, tracer->within))
		return;
	for (int fault = 0; fault < FAULTS; fault++)
		if (fail_fits(fault, call, event->argument))
			tracer->fitting[fault]++;
	long count = tracer->fitting[tracer->fault];
	if (!fail_fits(tracer->fault, call, event->argument) ||
		count < tracer->fail_at ||
		count >= tracer->fail_at + tracer->fail_count)
		return;
	printf("failed %s %s\n", call->record, event->path);
	fflush(stdout);
	fail_call(tracer->fault, event->pid, call, event->argument);
}

/* --- the loop --- */

/* The programs take themselves out of reach of their like, and of us. */
static void
stay_in_reach(pid_t pid, const unsigned long long *argument)
{
	if (argument[0] == PR_SET_DUMPABLE && argument[1] == 0)
		calls_set_argument(pid, 1, 1);
}

static void
on_call(struct tracer *tracer, pid_t pid)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0)
		return;
	unsigned long long argument[6];
	for (unsigned i = 0; i < 6; i++)
		argument[i] = info.seccomp.args[i];
	struct event event = {
		.pid = pid,
		.call = calls_find((long)info.seccomp.nr),
		.argument = argument,
	};
	if (event.call == NULL)
		return;
	if (event.call->kind == CALL_PRCTL)
		stay_in_reach(pid, argument);
	else if (tracer->fault >= 0)
		fail_at_call(tracer, &event);
	else if (tracer->stop_at > 0)
		count_call(tracer, &event);
	else
		record_call(tracer, &event);
}

static void
on_stop(struct tracer *tracer, pid_t pid, int status)
{
	int event = status >> 16, number = WSTOPSIG(status);

	if (event == PTRACE_EVENT_SECCOMP)
		on_call(tracer, pid);
	if (event == PTRACE_EVENT_STOP && number != SIGTRAP) {
		ptrace(PTRACE_LISTEN, pid, 0, 0);
		return;
	}
	if (event != 0 || number == (SIGTRAP | 0x80))
		number = 0;
	ptrace(PTRACE_CONT, pid, 0, number);
}

static pid_t program; /* for the signal handler alone */

static void
pass_on(int number)
{
	kill(program, number);
}

static pid_t
start(char **command, bool with_reads)
{
	int gate[2];
	char octet;

	if (pipe2(gate, O_CLOEXEC) < 0)
		die("pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		close(gate[1]);
		if (read(gate[0], &octet, 1) != 1)
			_exit(111);
		int null = open("/dev/null", O_RDWR);
		dup2(null, 0);
		dup2(2, 1);
		close(null);
		if (calls_filter(with_reads) == 0)
			execvp(command[0], command);
		fprintf(stderr, "trace: %s: %s\n", command[0], strerror(errno));
		_exit(111);
	}
	close(gate[0]);
	if (pid < 0 ||
		ptrace(PTRACE_SEIZE, pid, 0,
			PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK |
				PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
				PTRACE_O_TRACEEXEC | PTRACE_O_TRACESECCOMP |
				PTRACE_O_EXITKILL) < 0)
		die("cannot trace: %s", strerror(errno));
	program = pid;
	signal(SIGTERM, pass_on);
	signal(SIGALRM, pass_on);
	if (write(gate[1], "", 1) != 1)
		die("pipe: %s", strerror(errno));
	close(gate[1]);
	return pid;
}

static void
run(struct tracer *tracer)
{
	int status;

	for (;;) {
		pid_t pid = waitpid(-1, &status, __WALL);

		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			return;
		if (WIFSTOPPED(status))
			on_stop(tracer, pid, status);
		else if (WIFSIGNALED(status) && tracer->fault >= 0)
			printf("died %s\n", strsignal(WTERMSIG(status)));
	}
}

static void
read_arguments(struct tracer *tracer, int argc, char **argv)
{
	int at = 4;

	if (argc < 6)
		die("see the head of its source for how to call it");
	if (strcmp(argv[1], "stop") == 0) {
		tracer->stop_at = atol(argv[2]);
		tracer->stop_all = strcmp(argv[3], "all") == 0;
	} else if (strcmp(argv[1], "fail") == 0) {
		tracer->fail_at = atol(argv[2]);
		tracer->fail_count = atol(argv[3]);
		char *within = strchr(argv[4], '@');
		if (within != NULL)
			*within++ = 0;
		tracer->within = within;
		tracer->fault = fail_find(argv[4]);
		tracer->root = argv + 5;
	} else {
		tracer->log = fopen(argv[2], "we");
		tracer->root = argv + 3;
	}
	while (tracer->root != NULL && at < argc && strcmp(argv[at], "--") != 0)
		at++;
	if (at + 1 >= argc || strcmp(argv[at], "--") != 0 ||
		(tracer->stop_at < 1 && tracer->fault < 0 &&
			tracer->log == NULL))
		die("wrong call, or the log cannot be opened");
	argv[at] = NULL;
	tracer->first = start(argv + at + 1, tracer->fault >= 0);
}

int
main(int argc, char **argv)
{
	struct tracer tracer = {
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.octets = malloc(OCTETS_MAX),
		.fault = -1,
	};
	pthread_t marks;

	if (tracer.octets == NULL)
		die("out of memory");
	read_arguments(&tracer, argc, argv);
	if (tracer.log != NULL &&
		pthread_create(&marks, NULL, take_marks, &tracer) != 0)
		die("no thread");
	run(&tracer);
	if (tracer.stop_at > 0)
		printf("calls %ld\n", tracer.calls);
	for (int fault = 0; fault < FAULTS && tracer.fault >= 0; fault++)
		printf("%s %ld\n", fail_name[fault], tracer.fitting[fault]);
	return 0;
}
