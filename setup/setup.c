/*
 * setup makes a mail server of a host: users, home, settings, the first account, a
 * certificate; and tells what is missing around it.
 *
 * Runs as root; with --private as who will own the home.
 * Is handed a domain and options, and the first account's password on standard
 * input.
 * Promises that it may be run again, that what the administrator has written stays,
 * and that each step is taken, whatever came of those before it.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/address.h"
#include "lib/descriptors.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "setup/setup.h"

struct options {
	const char *domain, *user, *host;
	bool is_json, without_checks, is_loopback;
};

static int
usage(const char *why)
{
	log_line("%s", why);
	log_line("usage: setup [--user address] [--host name] [--no-checks] "
		 "[--loopback] [--private] [--json] [--certificates folder] "
		 "[--signed domain] [--reach domain] [--programs folder] "
		 "domain");
	return STATUS_MISUSE;
}

/* Takes an option with a value. 0, or -1 if there is none of that name. */
static int
take_value(struct setup *setup, struct options *options, const char *name,
	const char *value)
{
	struct {
		const char *name, **into;
	} known[] = {
		{"--user", &options->user},
		{"--host", &options->host},
		{"--certificates", &setup->certbot},
		{"--signed", &setup->signed_name},
		{"--reach", &setup->reach},
		{"--programs", &setup->programs},
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (strcmp(name, known[i].name) == 0 && value != NULL) {
			*known[i].into = value;
			return 0;
		}
	return -1;
}

/* 0, or -1. */
static int
read_options(
	struct setup *setup, struct options *options, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			options->is_json = true;
		else if (strcmp(argv[i], "--no-checks") == 0)
			options->without_checks = true;
		else if (strcmp(argv[i], "--loopback") == 0)
			options->is_loopback = true;
		else if (strcmp(argv[i], "--private") == 0)
			setup->is_private = true;
		else if (take_value(setup, options, argv[i], argv[i + 1]) == 0)
			i++;
		else if (argv[i][0] == '-' || options->domain != NULL)
			return -1;
		else
			options->domain = argv[i];
	}
	return options->domain == NULL ? -1 : 0;
}

static bool
is_full_name(const char *name)
{
	size_t len = strlen(name);

	return len <= SETUP_NAME_MAX && name[0] != '[' &&
	       domain_valid(name, len) && strchr(name, '.') != NULL;
}

/* NULL, or what is wrong. */
static const char *
judge(struct setup *setup, const struct options *options, char *why,
	size_t size)
{
	char address[SETUP_NAME_MAX + 12];

	if (!is_full_name(options->domain))
		return "expected a domain with a dot, such as example.org";
	if (options->host != NULL && !is_full_name(options->host))
		return "--host: expected a full name, such as "
		       "mail.example.org";
	if (!is_full_name(setup->signed_name) || !is_full_name(setup->reach))
		return "--signed and --reach: expected a domain";
	for (size_t i = 0; i <= strlen(options->domain); i++) {
		char octet = options->domain[i];

		setup->domain[i] = octet >= 'A' && octet <= 'Z'
					   ? (char)(octet + 32)
					   : octet;
	}
	snprintf(address, sizeof address, "postmaster@%s", setup->domain);
	setup->has_user = options->user != NULL;
	if (users_read_name(setup->has_user ? options->user : address,
		    &setup->user, why, size) < 0)
		return why;
	if (setup->home[0] != '/' || strlen(setup->home) > HOME_PATH_MAX)
		return "KEEPMAIL must begin with / and have at most 80 octets";
	if (setup->programs[0] != '/' || strlen(setup->programs) > 400)
		return "--programs must begin with /";
	return NULL;
}

/* A home that is private stays it. NULL, or what is wrong. */
static const char *
judge_caller(struct setup *setup)
{
	char path[SETUP_PATH_MAX];
	struct stat st;

	if (lstat(setup_path(setup, "control/private", path), &st) == 0)
		setup->is_private = true;
	else if (setup->is_private &&
		 access(setup_path(setup, "control/ids", path), F_OK) == 0)
		return "--private: this home is not private";
	if (setup->is_private && geteuid() == 0)
		return "a private home is not root's: run it as its owner";
	if (!setup->is_private && geteuid() != 0)
		return "only root can set up a home that is not --private";
	return NULL;
}

static int
take_steps(struct setup *setup, const struct options *options)
{
	umask(022);
	findings_start(&setup->findings, options->is_json);
	setup_users(setup);
	setup_home(setup);
	setup_host(setup, options->host);
	setup_control(setup);
	setup_account(setup);
	setup_certificates(setup);
	if (!options->without_checks) {
		setup_check_names(setup);
		setup_check_host(setup);
	}
	return findings_end(&setup->findings);
}

int
main(int argc, char **argv)
{
	struct setup *setup = calloc(1, sizeof *setup);
	struct options options = {0};
	char why[300];

	log_start("setup");
	if (descriptors_ensure_standard() < 0)
		return STATUS_TEMPORARY;
	signal(SIGPIPE, SIG_IGN);
	if (setup != NULL)
		setup->file = malloc(SETUP_FILE_SIZE);
	if (setup == NULL || setup->file == NULL) {
		log_line("out of memory");
		return STATUS_TEMPORARY;
	}
	setup->home = getenv("KEEPMAIL");
	if (setup->home == NULL || setup->home[0] == '\0')
		setup->home = KEEPMAIL_HOME;
	setup->programs = KEEPMAIL_LIBEXEC;
	setup->certbot = "/etc/letsencrypt/live";
	setup->signed_name = "ietf.org";
	setup->reach = "gmail.com";
	if (read_options(setup, &options, argc, argv) < 0)
		return usage("wrong call");
	const char *wrong = judge(setup, &options, why, sizeof why);
	if (wrong == NULL)
		wrong = judge_caller(setup);
	if (wrong != NULL)
		return usage(wrong);
	setup->is_loopback = options.is_loopback || setup_has_no_network();
	return take_steps(setup, &options);
}
