#include "tests/crash/calls.h"
#include <elf.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct call table[] = {
#ifdef SYS_open
	{SYS_open, CALL_OPEN, "create", "n", 1, 0},
	{SYS_creat, CALL_OTHER, "strange", "n", 0, 0},
	{SYS_rename, CALL_RENAME, "rename", "nn", 0, 0},
	{SYS_link, CALL_OTHER, "link", "nn", 0, 0},
	{SYS_unlink, CALL_UNLINK, "unlink", "n", 0, 0},
	{SYS_rmdir, CALL_OTHER, "rmdir", "n", 0, 0},
	{SYS_mkdir, CALL_OTHER, "mkdir", "n", 0, 0},
	{SYS_symlink, CALL_OTHER, "strange", "nn", 0, 0},
#endif
	{SYS_openat, CALL_OPEN, "create", "a", 2, 0},
	{SYS_write, CALL_WRITE, "write", "f", 0, 0},
	{SYS_pwrite64, CALL_WRITE, "write", "f", 3, 0},
	{SYS_writev, CALL_WRITE, "write", "f", 0, 1},
	{SYS_pwritev, CALL_WRITE, "write", "f", 3, 1},
	{SYS_ftruncate, CALL_TRUNCATE, "truncate", "f", 0, 0},
	{SYS_truncate, CALL_TRUNCATE, "truncate", "n", 0, 0},
	{SYS_renameat, CALL_RENAME, "rename", "aa", 0, 0},
	{SYS_renameat2, CALL_RENAME, "rename", "aa", 4, 0},
	{SYS_linkat, CALL_OTHER, "link", "aa", 0, 0},
	{SYS_unlinkat, CALL_UNLINK, "unlink", "a", 2, 0},
	{SYS_mkdirat, CALL_OTHER, "mkdir", "a", 0, 0},
	{SYS_symlinkat, CALL_OTHER, "strange", "na", 0, 0},
	{SYS_fsync, CALL_OTHER, "sync", "f", 0, 0},
	{SYS_fdatasync, CALL_OTHER, "sync", "f", 0, 0},
	{SYS_fallocate, CALL_OTHER, "strange", "f", 0, 0},
	{SYS_copy_file_range, CALL_OTHER, "strange", "f", 0, 0},
	{SYS_sendfile, CALL_OTHER, "strange", "f", 0, 0},
	{SYS_splice, CALL_OTHER, "strange", "f", 0, 0},
	{SYS_pwritev2, CALL_OTHER, "strange", "f", 0, 1},
	{SYS_flock, CALL_OTHER, "flock", "f", 0, 0},
	{SYS_sendto, CALL_SEND, "send", "f", 0, 0},
	{SYS_sendmsg, CALL_SEND_MESSAGE, "send", "f", 0, 0},
	{SYS_mmap, CALL_MAP, "strange", "f", 0, 0},
	{SYS_prctl, CALL_PRCTL, "prctl", "", 0, 0},
	/* from here on: only if reads are wanted */
	{SYS_read, CALL_READ, "read", "f", 0, 0},
	{SYS_pread64, CALL_READ, "read", "f", 0, 0},
	{SYS_readv, CALL_READ, "read", "f", 0, 0},
	{SYS_fstat, CALL_READ, "stat", "f", 0, 0},
	{SYS_newfstatat, CALL_READ, "stat", "a", 0, 0},
	{SYS_getdents64, CALL_READ, "list", "f", 0, 0},
	{SYS_socket, CALL_SOCKET, "socket", "", 0, 0},
	{SYS_accept4, CALL_SOCKET, "accept", "", 0, 0},
};

const struct call *
calls_find(long number)
{
	for (size_t i = 0; i < COUNT(table); i++)
		if (table[i].number_of_call == number)
			return &table[i];
	return NULL;
}

int
calls_filter(bool with_reads)
{
	struct sock_filter filter[COUNT(table) + 3];
	unsigned calls = COUNT(table), at = 0;

	while (!with_reads && table[calls - 1].kind >= CALL_READ)
		calls--;

	filter[at++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (unsigned i = 0; i < calls; i++)
		filter[at++] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K,
			(unsigned)table[i].number_of_call, calls - i, 0);
	filter[at++] = (struct sock_filter)BPF_STMT(
		BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	filter[at++] = (struct sock_filter)BPF_STMT(
		BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	struct sock_fprog whole = {.len = (unsigned short)at, .filter = filter};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole, 0, 0);
}

void
calls_set_argument(pid_t pid, unsigned argument, unsigned long value)
{
	struct user_regs_struct registers;
	struct iovec area = {&registers, sizeof registers};

	if (ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &area) < 0)
		return;
#if defined(__x86_64__)
	if (argument == 1)
		registers.rsi = value;
	if (argument == 2)
		registers.rdx = value;
#elif defined(__aarch64__)
	registers.regs[argument] = value;
#else
#error "which register is it?"
#endif
	(void)ptrace(PTRACE_SETREGSET, pid, (void *)NT_PRSTATUS, &area);
}

void
calls_fail(pid_t pid, int error)
{
	struct user_regs_struct registers;
	struct iovec area = {&registers, sizeof registers};

	if (ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &area) < 0)
		return;
#if defined(__x86_64__)
	registers.orig_rax = (unsigned long long)-1;
	registers.rax = (unsigned long long)-error;
#elif defined(__aarch64__)
	int none = -1;
	struct iovec number = {&none, sizeof none};

	(void)ptrace(
		PTRACE_SETREGSET, pid, (void *)NT_ARM_SYSTEM_CALL, &number);
	registers.regs[0] = (unsigned long long)-error;
#endif
	(void)ptrace(PTRACE_SETREGSET, pid, (void *)NT_PRSTATUS, &area);
}
