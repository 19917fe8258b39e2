/* The certificate for TLS: the one that is there, one of certbot's, or one that
 * vouches for itself. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "setup/setup.h"

#define OPENSSL_MS 60000
#define WORD_SIZE (4 * SETUP_PATH_MAX + 3)
/* Two weeks, in seconds, as a text. */
#define SOON_S "1209600"

static bool
has_ending(const char *name, const char *ending)
{
	size_t len = strlen(name), tail = strlen(ending);

	return len > tail && strcmp(name + len - tail, ending) == 0;
}

/* Runs openssl with up to seven arguments, NULL ends them. As run_program. */
static int
openssl(struct setup *setup, const char *const argument[])
{
	char name[] = "openssl", *argv[24] = {name};
	int count = 1;

	/* execvp changes none of them */
	for (; *argument != NULL && count < 23; argument++)
		argv[count++] = (char *)*argument;
	argv[count] = NULL;
	return run_program(
		&setup->run, argv, "", deadline_after_ms(OPENSSL_MS));
}

/* --- a certificate that is there --- */

static const char renewal[] =
	"certbot renew, then copy the new files as tlsd(8) says";

/* Whether openssl's output names one and the same subject and issuer. */
static bool
is_own(const char *output)
{
	const char *subject = strstr(output, "subject="),
		   *issuer = strstr(output, "issuer=");

	if (subject == NULL || issuer == NULL)
		return false;
	subject += strlen("subject=");
	issuer += strlen("issuer=");
	size_t len = strcspn(subject, "\n");
	return strcspn(issuer, "\n") == len &&
	       memcmp(subject, issuer, len) == 0;
}

/* What gets another certificate in the place of our own, which stands at path. */
static const char *
own_mend(const struct setup *setup, const char *path,
	char mend[FINDINGS_TEXT_MAX])
{
	char key[SETUP_PATH_MAX + 300], word[2][WORD_SIZE + 4 * 300];

	snprintf(key, sizeof key, "%.*s.key",
		(int)(strlen(path) - strlen(".pem")), path);
	return findings_mend(mend,
		"certbot certonly --standalone -d %s && rm %s %s && keepmail "
		"setup %s",
		setup->host, findings_word(path, word[0], sizeof word[0]),
		findings_word(key, word[1], sizeof word[1]), setup->domain);
}

static void
check_one(struct setup *setup, const char *path)
{
	struct findings *findings = &setup->findings;
	char mend[FINDINGS_TEXT_MAX];

	if (openssl(setup, (const char *const[]){
				   "x509", "-in", path, "-noout", NULL}) < 0)
		findings_tell(findings, FINDING_FAIL, path,
			"copy a certificate there as tlsd(8) says",
			"is not a certificate that openssl reads: %s",
			setup->run.said);
	else if (openssl(setup, (const char *const[]){"x509", "-in", path,
					"-noout", "-checkend", "0", NULL}) < 0)
		findings_tell(
			findings, FINDING_FAIL, path, renewal, "has expired");
	else if (openssl(setup, (const char *const[]){"x509", "-in", path,
					"-noout", "-checkend", SOON_S, NULL}) <
		 0)
		findings_tell(findings, FINDING_WARN, path, renewal,
			"expires within two weeks");
	else if (openssl(setup, (const char *const[]){"x509", "-in", path,
					"-noout", "-subject", "-issuer",
					"-checkhost", setup->host, NULL}) < 0 ||
		 strstr(setup->run.output, "does match") == NULL)
		findings_tell(findings, FINDING_WARN, path,
			findings_mend(mend,
				"certbot certonly --standalone -d %s",
				setup->host),
			"is not for the name %s", setup->host);
	else if (is_own(setup->run.output))
		findings_tell(findings,
			setup->is_loopback ? FINDING_OK : FINDING_WARN, path,
			own_mend(setup, path, mend),
			"vouches for itself: mail programs will warn of it");
	else
		findings_tell(findings, FINDING_OK, path, NULL,
			"is for %s and holds for two weeks at least",
			setup->host);
}

/* Looks at each pair in tls/. Returns how many there are. */
static unsigned
check_pairs(struct setup *setup)
{
	char folder[SETUP_PATH_MAX], path[SETUP_PATH_MAX + 300];
	unsigned found = 0;
	struct dirent *entry;

	DIR *listing = opendir(setup_path(setup, "tls", folder));
	while (listing != NULL && (entry = readdir(listing)) != NULL) {
		const char *name = entry->d_name;

		if (!has_ending(name, ".pem") ||
			strcmp(name, "clients.pem") == 0)
			continue;
		int len = (int)(strlen(name) - strlen(".pem"));
		snprintf(path, sizeof path, "%s/%.*s.key", folder, len, name);
		if (access(path, F_OK) < 0)
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, name);
		found++;
		check_one(setup, path);
	}
	if (listing != NULL)
		closedir(listing);
	return found;
}

/* --- one that is put there --- */

/* Gives a file its group and mode. 0, or -1 with errno. */
static int
give(const char *path, gid_t gid, mode_t mode)
{
	return (gid != (gid_t)-1 && lchown(path, (uid_t)-1, gid) < 0) ||
			       chmod(path, mode) < 0
		       ? -1
		       : 0;
}

/* The group that may read keys; -1 in a private home. 0, or -1. */
static int
tls_group(const struct setup *setup, gid_t *gid)
{
	struct home home;
	char why[300];

	*gid = (gid_t)-1;
	if (setup->is_private)
		return 0;
	return home_open(&home, why, sizeof why) < 0
		       ? -1
		       : home_group_id(&home, "_keep-tls", gid);
}

struct pair {
	char key[SETUP_PATH_MAX], pem[SETUP_PATH_MAX];
	char new_key[SETUP_PATH_MAX], new_pem[SETUP_PATH_MAX];
};

static void
name_pair(const struct setup *setup, struct pair *pair)
{
	char relative[SETUP_NAME_MAX + 20];

	snprintf(relative, sizeof relative, "tls/%s.key", setup->host);
	setup_path(setup, relative, pair->key);
	snprintf(relative, sizeof relative, "tls/%s.pem", setup->host);
	setup_path(setup, relative, pair->pem);
	snprintf(relative, sizeof relative, "tls/%s.key.new", setup->host);
	setup_path(setup, relative, pair->new_key);
	snprintf(relative, sizeof relative, "tls/%s.pem.new", setup->host);
	setup_path(setup, relative, pair->new_pem);
}

/* Puts the new files in place, the key first. 0, or -1 with errno. */
static int
publish(const struct setup *setup, const struct pair *pair)
{
	gid_t gid;

	if (tls_group(setup, &gid) < 0) {
		errno = ENOENT;
		return -1;
	}
	return give(pair->new_key, gid, 0640) < 0 ||
			       give(pair->new_pem, (gid_t)-1, 0644) < 0 ||
			       rename(pair->new_key, pair->key) < 0 ||
			       rename(pair->new_pem, pair->pem) < 0
		       ? -1
		       : 0;
}

static int
copy(struct setup *setup, const char *from, const char *to)
{
	/* execvp changes none of them */
	char *argv[] = {(char *)"install", (char *)"-m", (char *)"0600",
		(char *)from, (char *)to, NULL};

	return run_program(
		&setup->run, argv, "", deadline_after_ms(OPENSSL_MS));
}

/* Takes what certbot made for a name. True if there was something. */
static bool
take_from(struct setup *setup, const struct pair *pair, const char *name)
{
	char key[SETUP_PATH_MAX], pem[SETUP_PATH_MAX];

	snprintf(
		key, sizeof key, "%.300s/%s/privkey.pem", setup->certbot, name);
	snprintf(pem, sizeof pem, "%.300s/%s/fullchain.pem", setup->certbot,
		name);
	if (access(key, R_OK) < 0 || access(pem, R_OK) < 0)
		return false;
	setup->run.said[0] = '\0';
	if (copy(setup, key, pair->new_key) < 0 ||
		copy(setup, pem, pair->new_pem) < 0 || publish(setup, pair) < 0)
		findings_tell(&setup->findings, FINDING_FAIL, "certificate",
			"copy it as tlsd(8) says", "%s: %s", pem,
			setup->run.said[0] != '\0' ? setup->run.said
						   : strerror(errno));
	else
		findings_tell(&setup->findings, FINDING_CHANGED, "certificate",
			"copy it again after each renewal: a hook in "
			"/etc/letsencrypt/renewal-hooks/deploy, see tlsd(8)",
			"copied from %s", pem);
	return true;
}

static void
make_own(struct setup *setup, const struct pair *pair)
{
	char subject[SETUP_NAME_MAX + 5], names[2 * SETUP_NAME_MAX + 60],
		mend[FINDINGS_TEXT_MAX];
	mode_t before = umask(077);

	/* a common name has at most 64 octets: RFC 5280 appendix A.1 */
	snprintf(subject, sizeof subject, "/CN=%s",
		strlen(setup->host) <= 64 ? setup->host : "localhost");
	snprintf(names, sizeof names,
		"subjectAltName=DNS:%s,DNS:%s,DNS:localhost", setup->host,
		setup->domain);
	int made = openssl(setup,
		(const char *const[]){"req", "-x509", "-newkey", "ec",
			"-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
			"-days", "365", "-subj", subject, "-addext", names,
			"-keyout", pair->new_key, "-out", pair->new_pem, NULL});
	umask(before);
	if (made < 0 || publish(setup, pair) < 0) {
		findings_tell(&setup->findings, FINDING_FAIL, "certificate",
			"apt-get install openssl", "none is made: %s",
			made < 0 ? setup->run.said : strerror(errno));
		return;
	}
	own_mend(setup, pair->pem, mend);
	findings_tell(&setup->findings,
		setup->is_loopback ? FINDING_CHANGED : FINDING_WARN,
		"certificate", mend,
		"made one for %s that vouches for itself, for a year: mail "
		"programs will warn of it",
		setup->host);
}

/* Whether there is a key that waits for its certificate, or the other way: both are
 * the administrator's. Tells it. */
static bool
is_half(struct setup *setup, const struct pair *pair)
{
	struct stat st;
	const char *half = lstat(pair->key, &st) == 0	? pair->key
			   : lstat(pair->pem, &st) == 0 ? pair->pem
							: NULL;

	if (half == NULL)
		return false;
	findings_tell(&setup->findings, FINDING_FAIL, half,
		"copy the other one there as tlsd(8) says, or move this one "
		"away and run setup again",
		"is there without its %s, and left as it is",
		half == pair->key ? "certificate" : "key");
	return true;
}

void
setup_certificates(struct setup *setup)
{
	struct pair pair;

	if (check_pairs(setup) > 0)
		return;
	name_pair(setup, &pair);
	if (is_half(setup, &pair))
		return;
	unlink(pair.new_key);
	unlink(pair.new_pem);
	if (take_from(setup, &pair, setup->host) ||
		take_from(setup, &pair, setup->domain))
		return;
	make_own(setup, &pair);
}
