#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "local/account.h"
#include "local/aliases.h"
#include "local/assign.h"

#define DATABASE "users/accounts.cdb"
#define ALIASES "users/aliases.cdb"
#define ASSIGN "users/cdb"

struct search {
	struct address_book *book;
	const struct account_teller *teller;
	struct candidates *found;
	char local[2 * ADDRESS_LOCAL_MAX + 2]; /* in lower case */
	const char *domain;
	bool has_database;
};

void
account_book_open(struct address_book *book, const struct home *home,
	const char *delimiters, bool has_outside)
{
	char path[HOME_NAME_MAX];

	book->home = home;
	cdbkept_at(&book->assign, home_path(home, ASSIGN, path));
	cdbkept_at(&book->aliases, home_path(home, ALIASES, path));
	snprintf(book->delimiters, sizeof book->delimiters, "%s", delimiters);
	book->has_outside = has_outside;
}

void
account_book_close(struct address_book *book)
{
	ours_free(&book->ours);
	cdbkept_close(&book->assign);
	cdbkept_close(&book->aliases);
}

static void __attribute__((format(printf, 4, 5)))
say(const struct search *search, const char *file, size_t line,
	const char *format, ...)
{
	char text[600];
	va_list arguments;

	if (search->teller == NULL)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	search->teller->say(search->teller->context, file, line, text);
}

/* --- the list --- */

static void
add(struct search *search, const char *kind, const char *key, const char *dash,
	const char *extension, enum candidate_proof proof)
{
	struct candidates *found = search->found;
	struct candidate *new = &found->candidate[found->count++];

	snprintf(new->account, sizeof new->account, "%s:%.*s", kind,
		ACCOUNT_KEY_MAX - 3, key);
	snprintf(new->dash, sizeof new->dash, "%s", dash);
	snprintf(new->extension, sizeof new->extension, "%s", extension);
	new->proof = proof;
	/* what several have, or one elsewhere, is nobody's mailbox */
	new->may_be_full = search->book->counts_all &&proof ==
			   CANDIDATE_CERTAIN &&*kind != 'e';
}

/* Whether the last candidate ends the list. */
static bool
is_decided(const struct search *search)
{
	const struct candidates *found = search->found;

	if (found->count == 0)
		return false;
	enum candidate_proof last = found->candidate[found->count - 1].proof;
	return last == CANDIDATE_CERTAIN || last == CANDIDATE_FINAL;
}

/* --- the user database --- */

/* "local@domain" as the database has it, quoted where it must be; NULL if it is
 * too long for a key. */
static const char *
virtual_address(const struct search *search, const char *local,
	char address[ACCOUNT_KEY_MAX])
{
	struct path path = {.kind = PATH_MAILBOX,
		.local_len = strlen(local),
		.domain_len = strlen(search->domain)};

	if (path.local_len > ADDRESS_LOCAL_MAX)
		return NULL;
	memcpy(path.local, local, path.local_len);
	memcpy(path.domain, search->domain, path.domain_len);
	/* a key has two octets more */
	return address_write(address, ACCOUNT_KEY_MAX, &path) >=
			       ACCOUNT_KEY_MAX - 2
		       ? NULL
		       : address;
}

static enum account_result
find_virtual(
	struct search *search, const char *address, struct account *account)
{
	struct cdbkept *kept = &search->book->ours.accounts;
	int there = address == NULL ? 0 : cdbkept_fresh(kept);

	if (there <= 0)
		return there == 0 ? ACCOUNT_NONE : ACCOUNT_TROUBLE;
	enum account_result result =
		account_find(&kept->file, address, account);
	if (result != ACCOUNT_FOUND || account->kind == ACCOUNT_DOMAIN)
		return result == ACCOUNT_TROUBLE ? result : ACCOUNT_NONE;
	if (account_may_be_used(search->book->home, account))
		return ACCOUNT_FOUND;
	say(search, DATABASE, 0,
		"%s is not used: uid %u is a role's or not "
		"ours",
		address, (unsigned)account->uid);
	return ACCOUNT_NONE;
}

/* The address itself, its catch-all, or what stands before an extension. -1:
 * trouble. */
static int
try_virtual(struct search *search, const char *local, const char *extension)
{
	char text[ACCOUNT_KEY_MAX];
	const char *address = virtual_address(search, local, text);
	struct account account;
	struct candidates *found = search->found;
	bool is_whole = extension == NULL;

	switch (find_virtual(search, address, &account)) {
	case ACCOUNT_TROUBLE:
		return -1;
	case ACCOUNT_NONE:
		say(search, DATABASE, 0, "there is no %.300s@%s", local,
			search->domain);
		return 0;
	case ACCOUNT_FOUND:
		break;
	}
	if (!is_whole && account.kind == ACCOUNT_ALIAS) {
		say(search, DATABASE, 0, "%s is an alias and has no extensions",
			address);
		return 0;
	}
	say(search, DATABASE, 0, "%s is %s%s%s", address,
		account.kind == ACCOUNT_ALIAS ? "an alias of "
					      : "an account, home ",
		account.kind == ACCOUNT_ALIAS ? account.targets : account.home,
		is_whole ? "" : "; it has the extension if it says so");
	add(search, "u", address, is_whole ? "" : "-",
		is_whole ? "" : extension,
		is_whole ? CANDIDATE_CERTAIN : CANDIDATE_LOOKUP);
	/* one with targets may keep nothing */
	found->candidate[found->count - 1].may_be_full =
		is_whole && account.kind == ACCOUNT_MAILBOX &&
		account.targets[0] == 0 &&
		(account.quota_octets > 0 || account.quota_messages > 0 ||
			search->book->counts_all);
	return 0;
}

/* --- the other tables --- */

static int
try_alias(struct search *search)
{
	char targets[ACCOUNT_TARGETS_MAX];
	struct cdbkept *kept = &search->book->aliases;
	int there = strlen(search->local) < ACCOUNT_KEY_MAX - 2
			    ? cdbkept_fresh(kept)
			    : 0;

	if (there < 0)
		return -1;
	enum account_result result =
		there == 0 ? ACCOUNT_NONE
			   : aliases_find(&kept->file, search->local, targets);
	if (result == ACCOUNT_TROUBLE)
		return -1;
	if (result == ACCOUNT_NONE) {
		say(search, ALIASES, 0, "there is no %s", search->local);
		return 0;
	}
	say(search, ALIASES, 0, "%s is an alias of %.400s", search->local,
		targets);
	add(search, "e", search->local, "", "", CANDIDATE_CERTAIN);
	return 0;
}

static int
try_assign(struct search *search)
{
	struct cdbkept *kept = &search->book->assign;
	struct assign assign;
	int there = strlen(search->local) < ACCOUNT_KEY_MAX - 2
			    ? cdbkept_fresh(kept)
			    : 0;

	if (there < 0)
		return -1;
	enum account_result result =
		there == 0 ? ACCOUNT_NONE
			   : assign_find(&kept->file, search->local, &assign);
	if (result == ACCOUNT_TROUBLE)
		return -1;
	if (result == ACCOUNT_NONE) {
		say(search, ASSIGN, 0, "there is no entry for %s",
			search->local);
		return 0;
	}
	say(search, ASSIGN, 0, "%c%.*s: user %s, uid %u, home %s, .qmail%s%s",
		assign.is_wildcard ? '+' : '=', (int)assign.matched,
		search->local, assign.user, (unsigned)assign.uid, assign.home,
		assign.dash, assign.extension);
	add(search, "q", search->local, assign.dash, assign.extension,
		assign.dash[0] == 0 && assign.extension[0] == 0
			? CANDIDATE_CERTAIN
			: CANDIDATE_FINAL);
	return 0;
}

static int
try_system(struct search *search, const char *local, const char *extension)
{
	struct account account;

	switch (account_of_system(search->book->home, local, &account)) {
	case ACCOUNT_TROUBLE:
		return -1;
	case ACCOUNT_NONE:
		say(search, "/etc/passwd", 0,
			"there is no user %s with a home of its own and a uid "
			"that may have mail",
			local);
		return 0;
	case ACCOUNT_FOUND:
		break;
	}
	say(search, "/etc/passwd", 0, "%s is a user, uid %u, home %s%s", local,
		(unsigned)account.uid, account.home,
		extension == NULL ? ""
				  : "; it has the extension if it says so");
	add(search, "s", local, extension == NULL ? "" : "-",
		extension == NULL ? "" : extension,
		extension == NULL ? CANDIDATE_CERTAIN : CANDIDATE_LOOKUP);
	return 0;
}

/* What stands before each delimiter, with the rest as extension. */
static int
try_extensions(struct search *search)
{
	char before[sizeof search->local];
	size_t length = strlen(search->local);
	bool is_database = search->found->domain == OURS_DATABASE;

	for (int dashes = 0; length > 0 && dashes < ACCOUNT_DASHES_MAX;) {
		if (strchr(search->book->delimiters, search->local[--length]) ==
				NULL ||
			length == 0)
			continue;
		dashes++;
		memcpy(before, search->local, length);
		before[length] = 0;
		const char *extension = search->local + length + 1;
		if ((search->has_database &&
			    try_virtual(search, before, extension) < 0) ||
			(!is_database &&
				try_system(search, before, extension) < 0))
			return -1;
	}
	return 0;
}

/* --- the order --- */

/* Everything of this host: domains of locals, and of virtualdomains. */
static int
search_host(struct search *search)
{
	if (search->has_database &&
		try_virtual(search, search->local, NULL) < 0)
		return -1;
	if (search->has_database && !is_decided(search) &&
		try_alias(search) < 0)
		return -1;
	if (!is_decided(search) && try_assign(search) < 0)
		return -1;
	if (!is_decided(search) && try_system(search, search->local, NULL) < 0)
		return -1;
	if (is_decided(search))
		return 0;
	if (try_extensions(search) < 0)
		return -1;
	if (strlen(search->local) <= ADDRESS_LOCAL_MAX)
		add(search, "a", "", "-", search->local, CANDIDATE_LOOKUP);
	return 0;
}

static int
search_database(struct search *search)
{
	if (try_virtual(search, search->local, NULL) < 0)
		return -1;
	return is_decided(search) ? 0 : try_extensions(search);
}

/* The look-up program, then the catch-all. */
static int
search_rest(struct search *search)
{
	char text[ACCOUNT_KEY_MAX];

	if (!search->has_database || is_decided(search))
		return 0;
	const char *address = virtual_address(search, search->local, text);
	if (search->book->has_outside && address != NULL)
		add(search, "x", address, "", "", CANDIDATE_OUTSIDE);
	return try_virtual(search, "*", NULL);
}

static void
say_domain(const struct search *search, const struct ours_match *match)
{
	switch (search->found->domain) {
	case OURS_LOCAL:
		say(search, match->file, match->line, "%s is local",
			search->domain);
		break;
	case OURS_VIRTUALDOMAIN:
		say(search, match->file, match->line, "it stands for %s here",
			search->local);
		break;
	case OURS_DATABASE:
		say(search, match->file, 0,
			"%s is a domain of the user database", search->domain);
		break;
	default:
		say(search, match->file, match->line, "%s is not ours",
			search->domain);
		break;
	}
}

static void
copy_lower(char *to, const char *from, size_t length)
{
	for (size_t i = 0; i < length; i++)
		to[i] = (char)tolower((unsigned char)from[i]);
	to[length] = 0;
}

/* Which files the answer is from. */
static uint64_t
version_of(const struct cdbkept *kept)
{
	return kept->is_open
		       ? (uint64_t)kept->inode * 1000000007u +
				 (uint64_t)kept->changed.tv_sec * 1000000000u +
				 (uint64_t)kept->changed.tv_nsec
		       : 0;
}

int
account_candidates(struct address_book *book, const struct path *path,
	const struct account_teller *teller, struct candidates *found)
{
	struct ours_match match = {.file = "", .prepend = ""};
	struct search search = {.book = book,
		.teller = teller,
		.found = found,
		.domain = path->domain};

	found->count = 0;
	found->version = 0;
	found->domain = ours_find(&book->ours, path->local, path->local_len,
		path->domain, path->domain_len, &match);
	if (found->domain == OURS_TROUBLE)
		return -1;
	size_t start = 0;
	if (found->domain == OURS_VIRTUALDOMAIN) {
		start = (size_t)snprintf(search.local, sizeof search.local,
			"%s-", match.prepend);
		copy_lower(search.local, search.local, start);
	}
	copy_lower(search.local + start, path->local, path->local_len);
	search.has_database =
		found->domain == OURS_LOCAL || found->domain == OURS_DATABASE;
	say_domain(&search, &match);
	if (found->domain == OURS_NOT || path->kind != PATH_MAILBOX ||
		path->local_len == 0 ||
		memchr(path->local, 0, path->local_len) != NULL)
		return 0;
	/* one name is not an address: it is the catch-all's */
	if (strcmp(search.local, "*") == 0 && search.has_database)
		return 0;
	int result = found->domain == OURS_DATABASE ? search_database(&search)
						    : search_host(&search);
	if (result == 0)
		result = search_rest(&search);
	found->version = version_of(&book->ours.accounts) * 31 +
			 version_of(&book->assign);
	return result;
}
