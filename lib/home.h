#ifndef LIB_HOME_H
#define LIB_HOME_H

/*
 * Where an installation lives and who its roles are. The environment variable
 * KEEPMAIL names the home folder; below it lie control/, queue/, socket/, users/,
 * mail/ and alias/.
 *
 * Private mode holds where control/private is a regular file owned by the
 * running uid, which must not be root; it is never inferred otherwise. In
 * installed mode control/ids, owned by root and writable by nobody else, gives
 * the numbers of the roles' users and groups (static programs have no NSS):
 * lines "user NAME UID" and "group NAME GID", "#" begins a comment.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Octets of a home's path: sockets below it must fit into sun_path. */
#define HOME_PATH_MAX 80
/* Octets of any path made by home_path, with its NUL. */
#define HOME_NAME_MAX 256
#define HOME_IDENTITIES_MAX 64

struct home_identity {
	char name[32];
	unsigned id;
	bool is_group;
};

struct home {
	char path[HOME_PATH_MAX + 1]; /* absolute, no trailing slash */
	bool is_private;
	struct home_identity identity[HOME_IDENTITIES_MAX];
	unsigned identities;
};

/*
 * Finds the home, its mode and its identities. Returns 0, or -1 with a sentence
 * in why that names what is wrong and what to do.
 */
int home_open(struct home *home, char *why, size_t size);

/* Makes the path of something below the home, e.g. "control/me". Returns path. */
const char *home_path(const struct home *home, const char *relative,
	char path[HOME_NAME_MAX]);

/*
 * The number of a role's user or group. In private mode always the running one.
 * 0, or -1 if control/ids does not name it.
 */
int home_user_id(const struct home *home, const char *name, uid_t *uid);
int home_group_id(const struct home *home, const char *name, gid_t *gid);

/*
 * True for uids that are roles (users named _keep-… other than _keep-vmail and
 * _keep-alias, who own mail). Never in private mode.
 */
bool home_is_role_uid(const struct home *home, uid_t uid);

/* True if uid is that of the named role (private mode: the running uid). */
bool home_is_user(const struct home *home, const char *name, uid_t uid);

#endif
