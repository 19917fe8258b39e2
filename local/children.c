#include "local/children.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/deadline.h"

/* One account has at most one of so many parts. */
#define SHARES 4

int
children_start(struct children *children, unsigned max)
{
	*children = (struct children){.max = max, .share = max / SHARES};
	if (children->share == 0)
		children->share = 1;
	children->child = calloc(max, sizeof *children->child);
	return children->child != NULL ? 0 : -1;
}

bool
children_has_room(const struct children *children, const char *account)
{
	unsigned same = 0;

	if (children->count >= children->max)
		return false;
	if (strcmp(account, "a:") == 0)
		return true;
	for (unsigned i = 0; i < children->count; i++)
		same += strcmp(children->child[i].account, account) == 0;
	return same < children->share;
}

void
children_add(struct children *children, pid_t pid, const char *account,
	int64_t end_ms)
{
	struct child *child = &children->child[children->count++];

	*child = (struct child){.pid = pid, .end_ms = end_ms};
	snprintf(child->account, sizeof child->account, "%s", account);
}

void
children_remove(struct children *children, pid_t pid)
{
	for (unsigned i = 0; i < children->count; i++)
		if (children->child[i].pid == pid) {
			children->child[i] = children->child[--children->count];
			return;
		}
}

unsigned
children_kill_overdue(struct children *children)
{
	unsigned killed = 0;

	for (unsigned i = 0; i < children->count; i++) {
		struct child *child = &children->child[i];

		if (deadline_left_ms(child->end_ms) != 0)
			continue;
		(void)kill(child->pid, SIGKILL);
		child->end_ms = DEADLINE_NEVER;
		killed++;
	}
	return killed;
}

int64_t
children_next_ms(const struct children *children)
{
	int64_t next_ms = DEADLINE_NEVER;

	for (unsigned i = 0; i < children->count; i++)
		if (children->child[i].end_ms < next_ms)
			next_ms = children->child[i].end_ms;
	return next_ms;
}

void
children_free(struct children *children)
{
	free(children->child);
	*children = (struct children){0};
}
