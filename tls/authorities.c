#include "tls/authorities.h"
#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/log.h"
#include "tls/facts.h"

#define SUFFIX ".pem"
#define PATH_MAX_HERE 512

/* A context with what holds for every session: RFC 9325 section 3.1. */
static SSL_CTX *
make_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (context == NULL ||
		SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
		SSL_CTX_free(context);
		return NULL;
	}
	SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION |
					     SSL_OP_NO_RENEGOTIATION |
					     SSL_OP_NO_TICKET);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	return context;
}

static int
load_authorities(SSL_CTX *context, const char *file, char *why, size_t size)
{
	char reason[160];
	bool is_set = file[0] != 0;

	if (!is_set)
		file = AUTHORITIES_OF_SYSTEM;
	if (is_set && file[0] != '/') {
		snprintf(why, size,
			"control/tlsauthorities: expected a path that begins "
			"with /");
		return -1;
	}
	if (access(file, R_OK) < 0) {
		snprintf(reason, sizeof reason, "%s", strerror(errno));
	} else if (SSL_CTX_load_verify_file(context, file) == 1) {
		ERR_clear_error();
		return 0;
	} else {
		facts_why(reason, sizeof reason);
	}
	if (is_set) {
		snprintf(why, size, "control/tlsauthorities: %.200s: %s", file,
			reason);
		return -1;
	}
	log_line("%s: %s: nobody's certificate can be verified", file, reason);
	return 0;
}

/* --- client certificates --- */

/* Whether the key is the owner's alone. */
static bool
is_key_closed(const char *path, uid_t owner)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		log_line("%s: %s", path, strerror(errno));
		return false;
	}
	if (S_ISREG(st.st_mode) && st.st_uid == owner &&
		(st.st_mode & 077) == 0)
		return true;
	log_line("%s: expected a file of mode 0600 or less, owned by uid %u; "
		 "not used",
		path, (unsigned)owner);
	return false;
}

/* Nobody is asked for a password: what is started from a terminal would wait for it
 * there, and mail with it. */
static int
no_password(char *buffer, int size, int writes, void *unused)
{
	(void)buffer;
	(void)size;
	(void)writes;
	(void)unused;
	return -1;
}

static SSL_CTX *
load_certificate(const struct authorities *authorities, const char *folder,
	const char *name, uid_t owner)
{
	char path[PATH_MAX_HERE], key[PATH_MAX_HERE], reason[160];

	snprintf(path, sizeof path, "%s/%s" SUFFIX, folder, name);
	snprintf(key, sizeof key, "%s/%s.key", folder, name);
	if (!is_key_closed(key, owner))
		return NULL;
	SSL_CTX *context = make_context();
	if (context == NULL)
		return NULL;
	SSL_CTX_set_default_passwd_cb(context, no_password);
	SSL_CTX_set1_cert_store(
		context, SSL_CTX_get_cert_store(authorities->plain));
	if (SSL_CTX_use_certificate_chain_file(context, path) == 1 &&
		SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) ==
			1 &&
		SSL_CTX_check_private_key(context) == 1)
		return context;
	facts_why(reason, sizeof reason);
	log_line("%s and %s: %s; not used", path, key, reason);
	SSL_CTX_free(context);
	return NULL;
}

/* Takes one entry of the folder. */
static void
take_entry(struct authorities *authorities, const char *folder,
	const char *entry, uid_t owner)
{
	struct client_certificate *certificate =
		&authorities->certificate[authorities->certificates];
	size_t len = strlen(entry), suffix = strlen(SUFFIX);

	if (entry[0] == '.' || len <= suffix ||
		strcmp(entry + len - suffix, SUFFIX) != 0)
		return;
	if (authorities->certificates == CERTIFICATES_MAX) {
		log_line("%s/%s: more than %d certificates; not used", folder,
			entry, CERTIFICATES_MAX);
		return;
	}
	if (len - suffix >= sizeof certificate->name) {
		log_line(
			"%s/%s: the name is too long; not used", folder, entry);
		return;
	}
	memcpy(certificate->name, entry, len - suffix);
	certificate->name[len - suffix] = 0;
	certificate->context =
		load_certificate(authorities, folder, certificate->name, owner);
	if (certificate->context != NULL)
		authorities->certificates++;
}

static int
load_certificates(struct authorities *authorities, const char *folder,
	uid_t owner, char *why, size_t size)
{
	DIR *stream = opendir(folder);
	const struct dirent *entry;

	if (stream == NULL) {
		snprintf(why, size, "%s: %s", folder, strerror(errno));
		return errno == ENOENT ? 0 : -1;
	}
	while ((entry = readdir(stream)) != NULL)
		take_entry(authorities, folder, entry->d_name, owner);
	closedir(stream);
	return 0;
}

int
authorities_load(struct authorities *authorities, const char *file,
	const char *folder, uid_t owner, char *why, size_t size)
{
	memset(authorities, 0, sizeof *authorities);
	authorities->plain = make_context();
	if (authorities->plain == NULL) {
		char reason[160];

		facts_why(reason, sizeof reason);
		snprintf(why, size, "OpenSSL: %s", reason);
		return -1;
	}
	if (load_authorities(authorities->plain, file, why, size) == 0 &&
		load_certificates(authorities, folder, owner, why, size) == 0) {
		*why = 0;
		return 0;
	}
	authorities_free(authorities);
	return -1;
}

SSL_CTX *
authorities_find(const struct authorities *authorities, const char *name)
{
	if (name[0] == 0)
		return authorities->plain;
	for (unsigned i = 0; i < authorities->certificates; i++)
		if (strcmp(authorities->certificate[i].name, name) == 0)
			return authorities->certificate[i].context;
	return NULL;
}

void
authorities_free(struct authorities *authorities)
{
	for (unsigned i = 0; i < authorities->certificates; i++)
		SSL_CTX_free(authorities->certificate[i].context);
	SSL_CTX_free(authorities->plain);
	memset(authorities, 0, sizeof *authorities);
}
