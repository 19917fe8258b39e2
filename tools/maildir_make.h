#ifndef TOOLS_MAILDIR_MAKE_H
#define TOOLS_MAILDIR_MAKE_H

/*
 * Making Maildirs and the folders around them, by name below an open folder. No
 * symbolic link is followed: what stands in a folder's place must be a folder.
 */

#include <sys/types.h>

/*
 * Opens the folder name in parent, and makes it first (mode) if it is missing.
 * A folder that is made gets the owner, unless uid is -1; one that stands must
 * already be of that owner, or root's (EPERM otherwise). Returns the descriptor,
 * or -1 with errno.
 */
int maildir_make_folder(
	int parent, const char *name, mode_t mode, uid_t uid, gid_t gid);

/*
 * Makes tmp, new and cur (0700) in a folder, as maildir_make_folder does each,
 * and syncs it. 0, or -1 with errno.
 */
int maildir_make_inner(int folder, uid_t uid, gid_t gid);

#endif
