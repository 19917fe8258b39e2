#include "tests/crash/fail.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { SHORT = FAULTS - 1 };

const char *const fail_name[FAULTS] = {
	"EIO", "EROFS", "ENOMEM", "ENOSPC", "EDQUOT", "EMFILE", "short"};
static const int number[FAULTS] = {
	EIO, EROFS, ENOMEM, ENOSPC, EDQUOT, EMFILE, 0};

int
fail_find(const char *name)
{
	for (int fault = 0; fault < FAULTS; fault++)
		if (strcmp(fail_name[fault], name) == 0)
			return fault;
	return -1;
}

/* True if the call makes a file, or a name, or adds to one. */
static bool
takes_room(const struct call *call, const unsigned long long *argument)
{
	switch (call->kind) {
	case CALL_OPEN:
		return argument[call->number] & O_CREAT;
	case CALL_WRITE:
	case CALL_RENAME:
		return true;
	case CALL_OTHER:
		return strcmp(call->record, "link") == 0 ||
		       strcmp(call->record, "mkdir") == 0 ||
		       strcmp(call->record, "sync") == 0;
	default:
		return false;
	}
}

bool
fail_fits(
	int fault, const struct call *call, const unsigned long long *argument)
{
	bool is_write = call->kind == CALL_WRITE;
	bool is_lock = strcmp(call->record, "flock") == 0;

	if (call->kind == CALL_SEND || call->kind == CALL_SEND_MESSAGE ||
		call->kind == CALL_MAP || call->kind == CALL_PRCTL ||
		(is_write && argument[0] <= 2)) /* the log of the program */
		return false;
	switch (number[fault]) {
	case EIO:
		return call->kind != CALL_SOCKET && !is_lock;
	case EROFS:
		return call->kind != CALL_SOCKET && call->kind != CALL_READ &&
		       !is_lock &&
		       (call->kind != CALL_OPEN ||
			       (argument[call->number] &
				       (O_CREAT | O_ACCMODE)));
	case ENOMEM:
		return !is_write && strcmp(call->record, "sync") != 0;
	case EMFILE:
		return call->kind == CALL_OPEN || call->kind == CALL_SOCKET;
	case 0:
		return is_write && argument[2] > 1;
	default:
		return takes_room(call, argument);
	}
}

void
fail_call(int fault, pid_t pid, const struct call *call,
	const unsigned long long *argument)
{
	(void)call;
	if (fault == SHORT)
		calls_set_argument(pid, 2, argument[2] / 2);
	else
		calls_fail(pid, number[fault]);
}
