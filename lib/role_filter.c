#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include "lib/role.h"
#include "lib/sanitized.h"

/*
 * The list of system calls, as a BPF program made by hand that searches the
 * ranges of allowed numbers by halves. A call that is not listed kills the
 * process, except that numbers newer than we know answer ENOSYS, which C libraries
 * of the future take as "not there". socket() is allowed for unix sockets alone
 * unless the role reaches the network; otherwise it answers EAFNOSUPPORT.
 */

/* The highest number in any table that we have read (process_mrelease …). */
#define NEWEST_CALL 450

#if defined(__x86_64__)
#define THIS_ARCHITECTURE AUDIT_ARCH_X86_64
#define X32_BIT 0x40000000u
#elif defined(__aarch64__)
#define THIS_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the list of system calls is made for x86-64 and aarch64"
#endif

#define CALLS_MAX 200
/* A jump goes over half of the edges, two lines each, and has eight bits. */
#define EDGES_MAX 250

/* Each row: the class, then the calls; 1 is "always". */
#define ALWAYS 0x8000u

struct row {
	unsigned class;
	int number;
};

static const struct row table[] = {
	{ALWAYS, __NR_read},
	{ALWAYS, __NR_write},
	{ALWAYS, __NR_ppoll},
	{ALWAYS, __NR_sendto},
	{ALWAYS, __NR_recvfrom},
	{ALWAYS, __NR_pread64},
	{ALWAYS, __NR_pwrite64},
	{ALWAYS, __NR_close},
	{ALWAYS, __NR_clock_gettime},
	{ALWAYS, __NR_sendmsg},
	{ALWAYS, __NR_recvmsg},
	{ALWAYS, __NR_readv},
	{ALWAYS, __NR_writev},
	{ALWAYS, __NR_lseek},
	{ALWAYS, __NR_fstat},
	{ALWAYS, __NR_newfstatat},
	{ALWAYS, __NR_statx},
	{ALWAYS, __NR_fstatfs},
	{ALWAYS, __NR_mmap},
	{ALWAYS, __NR_munmap},
	{ALWAYS, __NR_mremap},
	{ALWAYS, __NR_mprotect},
	{ALWAYS, __NR_madvise},
	{ALWAYS, __NR_brk},
	{ALWAYS, __NR_rt_sigaction},
	{ALWAYS, __NR_rt_sigprocmask},
	{ALWAYS, __NR_rt_sigreturn},
	{ALWAYS, __NR_rt_sigsuspend},
	{ALWAYS, __NR_rt_sigtimedwait},
	{ALWAYS, __NR_sigaltstack},
	{ALWAYS, __NR_signalfd4},
	{ALWAYS, __NR_fcntl},
	{ALWAYS, __NR_flock},
	{ALWAYS, __NR_fsync},
	{ALWAYS, __NR_fdatasync},
	{ALWAYS, __NR_ftruncate},
	{ALWAYS, __NR_fallocate},
	{ALWAYS, __NR_fadvise64},
	{ALWAYS, __NR_copy_file_range},
	{ALWAYS, __NR_sendfile},
	{ALWAYS, __NR_memfd_create},
	{ALWAYS, __NR_dup},
	{ALWAYS, __NR_dup3},
	{ALWAYS, __NR_pipe2},
	{ALWAYS, __NR_socketpair},
	{ALWAYS, __NR_shutdown},
	{ALWAYS, __NR_getsockopt},
	{ALWAYS, __NR_setsockopt},
	{ALWAYS, __NR_getpeername},
	{ALWAYS, __NR_getsockname},
	{ALWAYS, __NR_ioctl},
	{ALWAYS, __NR_pselect6},
	{ALWAYS, __NR_clock_nanosleep},
	{ALWAYS, __NR_nanosleep},
	{ALWAYS, __NR_clock_getres},
	{ALWAYS, __NR_gettimeofday},
	{ALWAYS, __NR_setitimer},
	{ALWAYS, __NR_timer_create},
	{ALWAYS, __NR_timer_settime},
	{ALWAYS, __NR_timerfd_create},
	{ALWAYS, __NR_timerfd_settime},
	{ALWAYS, __NR_eventfd2},
	{ALWAYS, __NR_epoll_create1},
	{ALWAYS, __NR_epoll_ctl},
	{ALWAYS, __NR_epoll_pwait},
	{ALWAYS, __NR_getrandom},
	{ALWAYS, __NR_futex},
	{ALWAYS, __NR_getpid},
	{ALWAYS, __NR_gettid},
	{ALWAYS, __NR_getppid},
	{ALWAYS, __NR_getuid},
	{ALWAYS, __NR_geteuid},
	{ALWAYS, __NR_getgid},
	{ALWAYS, __NR_getegid},
	{ALWAYS, __NR_getgroups},
	{ALWAYS, __NR_getresuid},
	{ALWAYS, __NR_getresgid},
	{ALWAYS, __NR_getrlimit},
	{ALWAYS, __NR_prlimit64},
	{ALWAYS, __NR_sysinfo},
	{ALWAYS, __NR_uname},
	{ALWAYS, __NR_umask},
	{ALWAYS, __NR_prctl},
	{ALWAYS, __NR_tgkill},
	{ALWAYS, __NR_sched_yield},
	{ALWAYS, __NR_sched_getaffinity},
	{ALWAYS, __NR_restart_syscall},
	{ALWAYS, __NR_set_robust_list},
	{ALWAYS, __NR_rseq},
	{ALWAYS, __NR_exit},
	{ALWAYS, __NR_exit_group},
	/* a child narrows itself further */
	{ALWAYS, __NR_seccomp},
	{ALWAYS, __NR_landlock_create_ruleset},
	{ALWAYS, __NR_landlock_add_rule},
	{ALWAYS, __NR_landlock_restrict_self},
#if defined(__x86_64__)
	{ALWAYS, __NR_poll},
	{ALWAYS, __NR_select},
	{ALWAYS, __NR_time},
	{ALWAYS, __NR_alarm},
	{ALWAYS, __NR_pipe},
	{ALWAYS, __NR_dup2},
	{ALWAYS, __NR_epoll_wait},
	{ALWAYS, __NR_arch_prctl},
#endif
	{CALLS_READ | CALLS_WRITE, __NR_openat},
	{CALLS_READ | CALLS_WRITE, __NR_getdents64},
	{CALLS_READ | CALLS_WRITE, __NR_faccessat},
	{CALLS_READ | CALLS_WRITE, __NR_faccessat2},
	{CALLS_READ | CALLS_WRITE, __NR_readlinkat},
	{CALLS_READ | CALLS_WRITE, __NR_getcwd},
	{CALLS_READ | CALLS_WRITE, __NR_chdir},
	{CALLS_READ | CALLS_WRITE, __NR_fchdir},
	{CALLS_READ | CALLS_WRITE, __NR_statfs},
#if defined(__x86_64__)
	{CALLS_READ | CALLS_WRITE, __NR_open},
	{CALLS_READ | CALLS_WRITE, __NR_stat},
	{CALLS_READ | CALLS_WRITE, __NR_lstat},
	{CALLS_READ | CALLS_WRITE, __NR_access},
	{CALLS_READ | CALLS_WRITE, __NR_readlink},
#endif
	{CALLS_WRITE, __NR_renameat},
	{CALLS_WRITE, __NR_renameat2},
	{CALLS_WRITE, __NR_unlinkat},
	{CALLS_WRITE, __NR_linkat},
	{CALLS_WRITE, __NR_mkdirat},
	{CALLS_WRITE, __NR_mknodat},
	{CALLS_WRITE, __NR_fchmod},
	{CALLS_WRITE, __NR_fchmodat},
	{CALLS_WRITE, __NR_fchown},
	{CALLS_WRITE, __NR_utimensat},
#if defined(__x86_64__)
	{CALLS_WRITE, __NR_rename},
	{CALLS_WRITE, __NR_unlink},
	{CALLS_WRITE, __NR_link},
	{CALLS_WRITE, __NR_mkdir},
	{CALLS_WRITE, __NR_rmdir},
	{CALLS_WRITE, __NR_chmod},
#endif
	{CALLS_CONNECT | CALLS_NETWORK, __NR_connect},
	{CALLS_NETWORK, __NR_bind},
	{CALLS_NETWORK, __NR_socket},
	{CALLS_SERVE, __NR_accept4},
	{CALLS_SERVE, __NR_accept},
	{CALLS_SERVE, __NR_listen},
	{CALLS_FORK | CALLS_EXEC, __NR_clone},
	{CALLS_FORK | CALLS_EXEC, __NR_clone3},
	{CALLS_FORK | CALLS_EXEC, __NR_wait4},
	{CALLS_FORK | CALLS_EXEC, __NR_waitid},
	{CALLS_FORK | CALLS_EXEC, __NR_kill},
	{CALLS_FORK | CALLS_EXEC, __NR_setpgid},
	{CALLS_FORK | CALLS_EXEC, __NR_setsid},
	{CALLS_FORK | CALLS_EXEC, __NR_set_tid_address},
#if defined(__x86_64__)
	{CALLS_FORK | CALLS_EXEC, __NR_fork},
	{CALLS_FORK | CALLS_EXEC, __NR_vfork},
#endif
	{CALLS_EXEC, __NR_execve},
	{CALLS_EXEC, __NR_getpgid},
	{CALLS_EXEC, __NR_getpriority},
#if defined(__x86_64__)
	{CALLS_EXEC, __NR_getpgrp},
#endif
};

struct filter {
	/* A comparison and an answer for each edge, and the rest. */
	struct sock_filter line[2 * EDGES_MAX + 20];
	unsigned short lines;
	/* Where the answer changes: from an even place on the numbers are
	 * allowed, from an odd one on they are not. */
	unsigned edge[2 * CALLS_MAX];
	unsigned edges;
};

static void
add(struct filter *filter, struct sock_filter line)
{
	filter->line[filter->lines++] = line;
}

static struct sock_filter
load(size_t offset)
{
	return (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, (unsigned)offset);
}

static struct sock_filter
answer(unsigned what)
{
	return (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, what);
}

/* If the loaded number is (not) so, go on with the line after the next. */
static struct sock_filter
skip_unless(unsigned comparison, unsigned number)
{
	return (struct sock_filter)BPF_JUMP(
		BPF_JMP | BPF_K | comparison, number, 0, 1);
}

/* Finds the ranges of numbers that are allowed. */
static void
find_edges(struct filter *filter, unsigned calls)
{
	bool is_allowed[NEWEST_CALL + 2] = {false};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].class & (calls | ALWAYS))
			is_allowed[table[i].number] = true;
	for (unsigned n = 0; n < NEWEST_CALL + 2; n++)
		if (is_allowed[n] != (filter->edges % 2 == 1))
			filter->edge[filter->edges++] = n;
}

/*
 * Adds the search of the loaded number among the edges from first to before end,
 * by halves. The kernel walks the whole program for every number there is when it
 * is installed, which is once a connection and once a message: with one
 * comparison a call that cost more than the process's fork.
 */
static void
add_search(struct filter *filter, unsigned first, unsigned end)
{
	if (first == end) {
		add(filter, answer(first % 2 == 1 ? SECCOMP_RET_ALLOW
						  : SECCOMP_RET_KILL_PROCESS));
		return;
	}
	unsigned middle = first + (end - first) / 2;
	/* what is below the middle follows and is jumped over */
	unsigned below = 2 * (middle - first) + 1;
	add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_K | BPF_JGE,
			    filter->edge[middle], (uint8_t)below, 0));
	add_search(filter, first, middle);
	add_search(filter, middle + 1, end);
}

static void
make_filter(struct filter *filter, unsigned calls)
{
	add(filter, load(offsetof(struct seccomp_data, arch)));
	add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_K | BPF_JEQ,
			    THIS_ARCHITECTURE, 1, 0));
	add(filter, answer(SECCOMP_RET_KILL_PROCESS));
	add(filter, load(offsetof(struct seccomp_data, nr)));
#if defined(X32_BIT)
	add(filter, skip_unless(BPF_JGE, X32_BIT));
	add(filter, answer(SECCOMP_RET_KILL_PROCESS));
#endif
	add(filter, skip_unless(BPF_JGT, NEWEST_CALL));
	add(filter, answer(SECCOMP_RET_ERRNO | ENOSYS));
	if ((calls & CALLS_CONNECT) && !(calls & CALLS_NETWORK)) {
		/* socket() by its family, the low half of the first argument */
		add(filter,
			(struct sock_filter)BPF_JUMP(
				BPF_JMP | BPF_K | BPF_JEQ, __NR_socket, 0, 4));
		add(filter, load(offsetof(struct seccomp_data, args[0])));
		add(filter, skip_unless(BPF_JEQ, AF_UNIX));
		add(filter, answer(SECCOMP_RET_ALLOW));
		add(filter, answer(SECCOMP_RET_ERRNO | EAFNOSUPPORT));
	}
	add_search(filter, 0, filter->edges);
}

int
role_filter_install(unsigned calls)
{
	struct filter filter = {.lines = 0};

	if (SANITIZED)
		return 0;
	find_edges(&filter, calls);
	if (filter.edges > EDGES_MAX) {
		errno = E2BIG;
		return -1;
	}
	make_filter(&filter, calls);
	struct sock_fprog program = {filter.lines, filter.line};
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}
