#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <skalibs/stralloc.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/durable.h"
#include "lib/escape.h"
#include "lib/ident.h"
#include "lib/log.h"
#include "queue/filter_run.h"

#define REASON_FD 6
/* How long at most until still_there is called, in milliseconds. */
#define TURN_MS 30000
/* How often a program is looked after where the kernel has no pidfd. */
#define LOOK_AGAIN_MS 50
/* Lines of a program's errors that are put into the log. */
#define LINES_MAX 20
/* Reads in a row before the clock is looked at again. */
#define GATHER_TURNS 64

/* What comes from one of the program's pipes. */
struct output {
	int fd; /* read end, non-blocking; -1 once it has ended */
	size_t length;
	unsigned lines;
	char text[FILTER_REASON_MAX];
};

enum next_state {
	NEXT_NONE,    /* nothing was handed on */
	NEXT_BEGUN,   /* it is coming */
	NEXT_BROKEN,  /* it came to nothing */
	NEXT_WHOLE,   /* it is there */
	NEXT_TOO_MANY /* another one came */
};

struct run {
	const struct filter_call *call;
	pid_t pid;
	int process; /* pidfd, or -1 */
	int status;
	struct output errors, reason;
	enum next_state state;
	int connection; /* of queue-submit; -1: none */
	struct intake intake;
};

/* --- the program --- */

/* F sender NUL, T recipient NUL …, NUL, in a sealed file in memory. */
static int
make_envelope(const struct envelope *envelope)
{
	stralloc octets = STRALLOC_ZERO;
	int fd = -1;
	int ok = stralloc_cats(&octets, "F") &&
		 stralloc_cats(&octets, envelope->reverse_path) &&
		 stralloc_0(&octets);

	for (uint32_t i = 0; ok && i < envelope->recipients; i++)
		ok = stralloc_cats(&octets, "T") &&
		     stralloc_cats(&octets, envelope->recipient[i].address) &&
		     stralloc_0(&octets);
	if (ok && stralloc_0(&octets))
		fd = memfd_create("envelope", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd >= 0 &&
		(durable_write_all(fd, octets.s, octets.len) < 0 ||
			lseek(fd, 0, SEEK_SET) < 0 ||
			fcntl(fd, F_ADD_SEALS,
				F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE |
					F_SEAL_SEAL) < 0)) {
		close(fd);
		fd = -1;
	}
	stralloc_free(&octets);
	return fd;
}

/*
 * In the child: the descriptors 0, 1, 2 and 6, the folder, the signals. What the
 * parent holds must not reach the program.
 */
static _Noreturn void
become_program(
	const struct filter_call *call, int envelope, int errors, int reason)
{
	sigset_t none;

	setsid();
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int message = fcntl(call->message->file, F_DUPFD_CLOEXEC, 10);
	envelope = fcntl(envelope, F_DUPFD_CLOEXEC, 10);
	errors = fcntl(errors, F_DUPFD_CLOEXEC, 10);
	reason = fcntl(reason, F_DUPFD_CLOEXEC, 10);
	if (dup2(errors, 2) < 0 || dup2(message, 0) < 0 ||
		dup2(envelope, 1) < 0 || dup2(reason, REASON_FD) < 0 ||
		fchdir(call->folder) < 0) {
		dprintf(2, "cannot prepare: %s\n", strerror(errno));
		_exit(SUBMIT_INTERNAL);
	}
	(void)close_range(3, REASON_FD - 1, 0);
	if (close_range(REASON_FD + 1, ~0U, 0) < 0)
		for (int fd = REASON_FD + 1; fd < 1024; fd++)
			close(fd);
	umask(077);
	execve(call->words[0], call->words, call->environment);
	dprintf(2, "cannot be run: %s\n", strerror(errno));
	_exit(120);
}

/* A pipe whose end for us does not block. 0, or -1 with errno. */
static int
make_pipe(struct output *output, int *end)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	(void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
	output->fd = ends[0];
	*end = ends[1];
	return 0;
}

/* Starts the program. 0, or -1 with errno. */
static int
start(struct run *run)
{
	const struct filter_call *call = run->call;
	int envelope, errors = -1, reason = -1, result = -1;

	envelope = make_envelope(&call->message->envelope);
	if (envelope < 0 || make_pipe(&run->errors, &errors) < 0 ||
		make_pipe(&run->reason, &reason) < 0 ||
		lseek(call->message->file, 0, SEEK_SET) < 0)
		goto end;
	run->pid = fork();
	if (run->pid == 0)
		become_program(call, envelope, errors, reason);
	if (run->pid > 0) {
		run->process = pidfd_open(run->pid, 0);
		result = 0;
	}
end:
	if (envelope >= 0)
		close(envelope);
	if (errors >= 0)
		close(errors);
	if (reason >= 0)
		close(reason);
	return result;
}

/* --- what it says --- */

/* Puts whole lines of errors into the log, so many as a program may have. */
static void
log_errors(struct run *run, bool at_end)
{
	struct output *errors = &run->errors;

	while (errors->length > 0) {
		char *newline = memchr(errors->text, '\n', errors->length);
		size_t length = newline != NULL
					? (size_t)(newline - errors->text)
					: errors->length;

		if (newline == NULL && !at_end &&
			errors->length < sizeof errors->text)
			return;
		if (errors->lines < LINES_MAX && length > 0)
			log_line("%s %s: %.*s", run->call->id,
				run->call->words[0], (int)length, errors->text);
		errors->lines++;
		length += newline != NULL;
		errors->length -= length;
		memmove(errors->text, errors->text + length, errors->length);
	}
}

/* Takes what is there; drops what does not fit; closes at the end. */
static void
gather(struct run *run, struct output *output)
{
	char buffer[4096];

	for (int turn = 0; turn < GATHER_TURNS && output->fd >= 0; turn++) {
		bool is_errors = output == &run->errors;
		size_t room = sizeof output->text - output->length;
		size_t want = is_errors ? room : sizeof buffer;
		ssize_t got = read(output->fd, buffer, want);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0) {
			close(output->fd);
			output->fd = -1;
			return;
		}
		size_t take = (size_t)got < room ? (size_t)got : room;
		memcpy(output->text + output->length, buffer, take);
		output->length += take;
		if (is_errors)
			log_errors(run, false);
	}
}

/* --- what it hands on --- */

static void
answer(const struct run *run, uint8_t type)
{
	(void)frame_send(run->connection, type, run->call->id, IDENT_LENGTH,
		run->call->deadline_ms);
}

static void
refuse(int connection, enum submit_code code, const char *text)
{
	(void)submit_refuse(connection, code, text, deadline_after_ms(1000));
}

static void
end_next(struct run *run, enum next_state state)
{
	close(run->connection);
	run->connection = -1;
	run->state = state;
}

/* Takes more of the message that is coming. */
static void
take_next(struct run *run)
{
	switch (intake_step(&run->intake, deadline_now_ms())) {
	case INTAKE_WAIT:
		break;
	case INTAKE_ASKED:
		answer(run, 'G');
		break;
	case INTAKE_WHOLE:
		/* Taken back, no more: queue-submit may end with 0, and then
		 * the program may. */
		answer(run, 'A');
		end_next(run, NEXT_WHOLE);
		break;
	case INTAKE_GONE:
		end_next(run, NEXT_BROKEN);
		break;
	case INTAKE_BAD:
		log_line("%s %s: hands on what cannot be taken: %s",
			run->call->id, run->call->words[0], run->intake.why);
		refuse(run->connection, SUBMIT_WRITE, run->intake.why);
		end_next(run, NEXT_BROKEN);
		break;
	}
}

static void
begin_next(struct run *run, int connection)
{
	const struct filter_call *call = run->call;
	struct peer peer;
	char name[32];

	if (peer_identity(connection, &peer) < 0 ||
		(peer.uid != geteuid() && peer.uid != 0)) {
		log_line("%s: uid %u hands on what is not its own", call->id,
			(unsigned)peer.uid);
		close(connection);
		return;
	}
	if (run->state != NEXT_NONE) {
		refuse(connection, SUBMIT_INTERNAL,
			"this filter has handed its message on already; "
			"others are sent with sendmail");
		close(connection);
		run->state = NEXT_TOO_MANY;
		return;
	}
	snprintf(name, sizeof name, "%s.next", call->number);
	run->connection = connection;
	run->state = NEXT_BEGUN;
	if (intake_start(&run->intake, connection, call->folder, name,
		    call->message->octets + FILTER_GROWTH_MAX) < 0) {
		log_line("%s: cannot make filter/%s: %s", call->id, name,
			strerror(errno));
		refuse(connection, SUBMIT_WRITE, "no room for the message");
		end_next(run, NEXT_BROKEN);
	}
}

static void
look_for_next(struct run *run)
{
	int connection = accept4(
		run->call->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (connection >= 0)
		begin_next(run, connection);
	if (run->connection >= 0)
		take_next(run);
}

/* --- to its end --- */

/* Looks, and leaves it unreaped: its number stays its group's. */
static bool
has_ended(const struct run *run)
{
	siginfo_t info = {.si_pid = 0};

	return waitid(P_PID, (id_t)run->pid, &info,
		       WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == run->pid;
}

/* Waits for the program. True, or false if the deadline came first. */
static bool
wait_for_end(struct run *run)
{
	const struct filter_call *call = run->call;

	for (;;) {
		struct pollfd wait[] = {
			{.fd = run->errors.fd, .events = POLLIN},
			{.fd = run->reason.fd, .events = POLLIN},
			{.fd = run->process, .events = POLLIN},
			{.fd = call->listener, .events = POLLIN},
			{.fd = run->connection, .events = POLLIN},
		};
		int most = run->process < 0 ? LOOK_AGAIN_MS : TURN_MS;
		int left = deadline_left_ms(call->deadline_ms);

		(void)poll(wait, sizeof wait / sizeof wait[0],
			left < 0 || left > most ? most : left);
		gather(run, &run->errors);
		gather(run, &run->reason);
		look_for_next(run);
		call->still_there(call->context);
		if (has_ended(run)) {
			look_for_next(run);
			return true;
		}
		if (deadline_left_ms(call->deadline_ms) == 0)
			return false;
	}
}

static void
decide(struct filter_result *result, enum submit_code code, const char *text,
	const char *why)
{
	result->code = code;
	snprintf(result->text, sizeof result->text, "%s", text);
	snprintf(result->why, sizeof result->why, "%s", why);
}

static void
defer(struct filter_result *result, const char *why)
{
	decide(result, SUBMIT_DEFERRED,
		"the message cannot be checked now, try again later", why);
}

/* The line of reason: its first letter says how long, the rest is the text. */
static void
judge_reason(struct run *run, struct filter_result *result)
{
	struct output *reason = &run->reason;
	char *newline = memchr(reason->text, '\n', reason->length);
	char text[FILTER_REASON_MAX + 1];

	if (newline != NULL)
		reason->length = (size_t)(newline - reason->text);
	if (reason->length < 2 ||
		(reason->text[0] != 'D' && reason->text[0] != 'Z')) {
		defer(result, "says that it gives a reason, and gives none");
		return;
	}
	escape_line(text, sizeof text, reason->text + 1, reason->length - 1,
		ESCAPE_MASK);
	decide(result, reason->text[0] == 'D' ? SUBMIT_POLICY : SUBMIT_DEFERRED,
		text, text);
}

static void
judge_status(struct run *run, struct filter_result *result)
{
	int code = WIFEXITED(run->status) ? WEXITSTATUS(run->status) : -1;
	char why[80];

	snprintf(why, sizeof why, "ended with status %d", code);
	if (code < 0) {
		snprintf(why, sizeof why, "died of signal %d",
			WTERMSIG(run->status));
		defer(result, why);
	} else if (code == 82 || code == 88) {
		judge_reason(run, result);
	} else if (code >= 11 && code <= 40) {
		decide(result, SUBMIT_POLICY, "the message is refused", why);
	} else if (code != 0) {
		defer(result, why);
	} else if (run->state == NEXT_BEGUN || run->state == NEXT_BROKEN) {
		defer(result, "ended with 0 before its message was handed on");
	} else if (run->state == NEXT_TOO_MANY) {
		defer(result, "handed on more than one message");
	} else if (run->state == NEXT_WHOLE) {
		result->next = run->intake.message;
		run->intake.message = FILTER_MESSAGE_EMPTY;
		result->has_next = true;
	}
}

static void
close_all(struct run *run)
{
	const int descriptor[] = {
		run->errors.fd, run->reason.fd, run->process, run->connection};

	for (size_t i = 0; i < sizeof descriptor / sizeof descriptor[0]; i++)
		if (descriptor[i] >= 0)
			close(descriptor[i]);
	intake_end(&run->intake);
}

void
filter_run(const struct filter_call *call, struct filter_result *result)
{
	struct run run = {
		.call = call,
		.process = -1,
		.errors = {.fd = -1},
		.reason = {.fd = -1},
		.connection = -1,
		.intake = INTAKE_EMPTY,
	};
	bool is_done;

	*result = (struct filter_result){.next = FILTER_MESSAGE_EMPTY};
	if (start(&run) < 0) {
		defer(result, strerror(errno));
		close_all(&run);
		return;
	}
	is_done = wait_for_end(&run);
	/* Whatever it has left behind ends with it. */
	(void)kill(-run.pid, SIGKILL);
	(void)kill(run.pid, SIGKILL);
	while (waitpid(run.pid, &run.status, 0) < 0 && errno == EINTR)
		;
	gather(&run, &run.errors);
	gather(&run, &run.reason);
	log_errors(&run, true);
	if (is_done)
		judge_status(&run, result);
	else
		defer(result, "was not done in time: killed");
	close_all(&run);
}
