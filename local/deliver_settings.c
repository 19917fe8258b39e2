#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/accounts.h"
#include "lib/address.h"
#include "lib/cdbfile.h"
#include "local/deliver.h"

#define KEYS_FILE "secrets/srs"
#define KEYS_OCTETS_MAX 4096

/* Reads the file into text. Its length; or -1 with what is wrong in why. */
static ssize_t
read_keys(const char *path, char text[KEYS_OCTETS_MAX], char *why, size_t size)
{
	struct stat st;
	ssize_t length = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);

	if (fd < 0 || fstat(fd, &st) < 0)
		snprintf(why, size, "%s", strerror(errno));
	else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
		 (st.st_mode & 077) != 0)
		snprintf(why, size, "must be a file that only uid %u may read",
			(unsigned)geteuid());
	else if ((length = read(fd, text, KEYS_OCTETS_MAX)) < 0)
		snprintf(why, size, "%s", strerror(errno));
	if (fd >= 0)
		close(fd);
	if (length < KEYS_OCTETS_MAX)
		return length;
	snprintf(why, size, "is too long");
	return -1;
}

static int
make_srs(struct deliver_settings *settings, const char *domain, char *why,
	size_t size)
{
	char path[HOME_NAME_MAX], text[KEYS_OCTETS_MAX], wrong[200];

	if (*domain == 0)
		return 0;
	if (!domain_valid(domain, strlen(domain))) {
		snprintf(why, size, "control/srsdomain: expected a domain");
		return -1;
	}
	home_path(settings->home, KEYS_FILE, path);
	ssize_t length = read_keys(path, text, wrong, sizeof wrong);
	int result = length < 0 ? -1
				: srs_read_keys(&settings->srs, text,
					  (size_t)length, wrong, sizeof wrong);
	explicit_bzero(text, sizeof text);
	if (result < 0)
		snprintf(why, size, "%s, for control/srsdomain: %s", path,
			wrong);
	else
		snprintf(settings->srs.domain, sizeof settings->srs.domain,
			"%s", domain);
	return result;
}

/* The folder from which this program was started. */
static void
find_programs(char *folder, size_t size)
{
	ssize_t length = readlink("/proc/self/exe", folder, size - 1);
	char *slash = length > 0 ? memrchr(folder, '/', (size_t)length) : NULL;

	if (slash != NULL)
		*slash = 0;
	else
		snprintf(folder, size, "%s", KEEPMAIL_LIBEXEC);
}

/* Adds the domains of the list. Of virtualdomains they are what stands before the
 * ":", if something stands behind it and it is no single address. */
static int
add_domains(struct domains *ours, const struct setting_list *list,
	const char *file, char *why, size_t size)
{
	for (size_t i = 0; i < list->count; i++) {
		const char *line = list->line[i], *colon = strchr(line, ':');

		if (line[0] == '[') /* a literal may hold a ":" */
			colon = strrchr(line, ']') != NULL
					? strchr(strrchr(line, ']'), ':')
					: NULL;
		size_t length =
			colon != NULL ? (size_t)(colon - line) : strlen(line);
		if (colon != NULL && (colon[1] == 0 || length == 0 ||
					     memchr(line, '@', length) != NULL))
			continue;
		if (domains_add(ours, line, length) == 0)
			continue;
		snprintf(why, size, "control/%s line %zu: %s", file,
			list->number[i],
			errno == EINVAL ? "expected a domain"
					: strerror(errno));
		return -1;
	}
	return 0;
}

int
deliver_settings_make(struct deliver_settings *settings,
	const struct home *home, const struct deliver_control *control,
	char *why, size_t size)
{
	*settings = (struct deliver_settings){.home = home,
		.host = control->me,
		.ours = DOMAINS_ZERO,
		.has_folders = control->has_folders != 0,
		.over_fails = control->over_fails != 0,
		.program_ms = control->program_s * 1000,
		.program_memory = control->program_memory,
		.program_processes = control->program_processes};
	find_programs(settings->programs, sizeof settings->programs);
	if (add_domains(&settings->ours, &control->locals, "locals", why,
		    size) < 0 ||
		add_domains(&settings->ours, &control->virtualdomains,
			"virtualdomains", why, size) < 0)
		return -1;
	return make_srs(settings, control->srsdomain, why, size);
}

/* at[0..length) is a target, perhaps an address. */
static void
add_domain_of(struct deliver_settings *settings, const struct cdbfile *file,
	const char *at, size_t length)
{
	const char *sign = memrchr(at, '@', length);
	char key[ADDRESS_DOMAIN_MAX + 2];
	struct account domain;

	if (sign == NULL)
		return;
	length -= (size_t)(sign - at);
	if (length >= sizeof key)
		return;
	memcpy(key, sign, length);
	key[length] = 0;
	/* without memory it is rewritten, as mail that leaves: no harm */
	if (account_find(file, key, &domain) == ACCOUNT_FOUND)
		(void)domains_add(&settings->ours, key + 1, length - 1);
}

void
deliver_settings_add_own(
	struct deliver_settings *settings, const struct account *account)
{
	const char *at = account->targets;
	char path[HOME_NAME_MAX];
	struct cdbfile file;

	if (settings->srs.domain[0] == 0 || *at == 0 ||
		cdbfile_open(&file, home_path(settings->home,
					    "users/accounts.cdb", path)) < 0)
		return;
	while (*at != 0) {
		size_t length = strcspn(at, "\n");

		add_domain_of(settings, &file, at, length);
		at += length + (at[length] == '\n');
	}
	cdbfile_close(&file);
}
