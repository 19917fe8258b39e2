/*
 * Which accounts an address may mean, in which order; and what a key means to who
 * asks for it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "local/account.h"
#include "tests/unit/address_place.h"

static const struct account ACCOUNTS[] = {
	{.name = "@kept.test", .kind = ACCOUNT_DOMAIN},
	{.name = "ann@kept.test", .quota_octets = 1000},
	{.name = "both@kept.test",
		.kind = ACCOUNT_ALIAS,
		.targets = "ann@kept.test"},
	{.name = "on@kept.test", .targets = "x@y.test", .quota_octets = 1000},
	{.name = "*@kept.test", .kind = ACCOUNT_ALIAS, .targets = "a@b.test"},
	{.name = "ann@here.test"},
	{.name = "role@kept.test", .uid = 77, .gid = 77},
};

static const char ENTRY[] = "owner\0"
			    "1001\0"
			    "1002\0"
			    "/home/owner\0"
			    "-\0"
			    "list";

static const struct address_record ASSIGNED[] = {
	{"!list", 6, ENTRY, sizeof ENTRY},
	{"!bad", 5, "owner\0x", 8},
};
static const struct address_record ALIASED[] = {
	{"root", 4, "\001ann@here.test", 14},
	{"torn", 4, "x", 1},
};

struct book {
	struct address_place place;
	struct address_book book;
};

static void
start(struct book *book)
{
	static const char name[] = "_keep-local";
	const struct setting_list none = {.count = 0};
	char why[300];

	address_place_make(&book->place);
	struct home *home = &book->place.home;
	/* two roles, and the owner of mail */
	home->identities = 5;
	snprintf(home->identity[0].name, sizeof name, "%s", name);
	home->identity[0].id = 77;
	for (unsigned i = 1; i < 5; i++) {
		home->identity[i].is_group = i % 2 == 0;
		home->identity[i].id = 500 + (i - 1) / 2;
		snprintf(home->identity[i].name, sizeof home->identity[i].name,
			"%s", i < 3 ? "_keep-vmail" : "_keep-alias");
	}
	address_place_accounts(
		&book->place, ACCOUNTS, sizeof ACCOUNTS / sizeof ACCOUNTS[0]);
	address_place_cdb(&book->place, "users/cdb", ASSIGNED, 2);
	address_place_cdb(&book->place, "users/aliases.cdb", ALIASED, 2);
	book->book = (struct address_book){.home = NULL};
	assert_int_equal(ours_build(&book->book.ours, home, "here.test", &none,
				 &none, why, sizeof why),
		0);
	account_book_open(&book->book, home, "-+", false);
}

static void
stop(struct book *book)
{
	account_book_close(&book->book);
	address_place_remove(&book->place);
}

/* The candidates as text: KEY, DASH and EXTENSION, and a letter for the proof, "q"
 * besides if it may be full. */
static const char *
ask(struct book *book, const char *address, char text[2000])
{
	static const char *const proofs[] = {"c", "l", "f", "o"};
	struct candidates found;
	struct path path;
	size_t at = 0;

	assert_int_equal(address_mailbox_scan(
				 address, strlen(address), ADDRESS_UTF8, &path),
		0);
	text[0] = 0;
	if (account_candidates(&book->book, &path, NULL, &found) < 0)
		return "trouble";
	for (unsigned i = 0; i < (unsigned)found.count; i++) {
		const struct candidate *one = &found.candidate[i];

		at += (size_t)snprintf(text + at, 2000 - at, "%s%s%s%s %s%s",
			i > 0 ? ", " : "", one->account, one->dash,
			one->extension, proofs[one->proof],
			one->may_be_full ? "q" : "");
	}
	return text;
}

static const struct {
	const char *address, *candidates;
} ROWS[] = {
	/* the user database's domain */
	{"Ann@KEPT.test", "u:ann@kept.test cq"},
	{"both@kept.test", "u:both@kept.test c"},
	{"on@kept.test", "u:on@kept.test c"},
	{"ann-x@kept.test", "u:ann@kept.test-x l, u:*@kept.test c"},
	{"ann-x+y@kept.test", "u:ann@kept.test-x+y l, u:*@kept.test c"},
	{"both-x@kept.test", "u:*@kept.test c"}, /* aliases have none */
	{"role@kept.test", "u:*@kept.test c"},	 /* a role gets no mail */
	{"nobody@kept.test", "u:*@kept.test c"},
	/* this host */
	{"ann@here.test", "u:ann@here.test c"},
	{"ROOT@here.test", "e:root c"},
	{"list@here.test", "q:list-list f"},
	{"no-such-user-x@here.test", "a:-no-such-user-x l"},
	{"ann-x@here.test", "u:ann@here.test-x l, a:-ann-x l"},
	/* what is damaged is no answer */
	{"bad@here.test", "trouble"},
	{"torn@here.test", "trouble"},
	/* elsewhere */
	{"ann@else.test", ""},
};

static void
test_candidates(void **state)
{
	char text[2000];
	struct book book;

	(void)state;
	start(&book);
	for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
		const char *got = ask(&book, ROWS[i].address, text);

		if (strcmp(got, ROWS[i].candidates) != 0)
			fail_msg("%s: %s", ROWS[i].address, got);
	}
	book.book.counts_all = true;
	assert_string_equal(
		ask(&book, "ann@here.test", text), "u:ann@here.test cq");
	assert_string_equal(
		ask(&book, "on@kept.test", text), "u:on@kept.test c");
	assert_string_equal(ask(&book, "root@here.test", text), "e:root c");
	book.book.has_outside = true;
	assert_string_equal(ask(&book, "nobody@kept.test", text),
		"x:nobody@kept.test o, u:*@kept.test c");
	/* what is put in its place holds at once */
	address_place_accounts(&book.place, ACCOUNTS, 1);
	assert_string_equal(
		ask(&book, "ann@kept.test", text), "x:ann@kept.test o");
	stop(&book);
}

/* However many delimiters a name has, the list has an end. */
static void
test_many_dashes(void **state)
{
	char address[80] = "", text[2000];
	struct book book;

	(void)state;
	start(&book);
	book.book.has_outside = true;
	for (int i = 0; i < 20; i++)
		strncat(address, "a-", 3);
	strncat(address, "a@here.test", 20);
	const char *got = ask(&book, address, text);
	assert_non_null(strstr(got, "a:-a-a-"));
	stop(&book);
}

static void
test_keys(void **state)
{
	static const struct {
		const char *key;
		enum account_result result;
		uid_t uid;
	} rows[] = {
		{"u:ann@kept.test", ACCOUNT_FOUND, 1000},
		{"u:none@kept.test", ACCOUNT_NONE, 0},
		{"u:@kept.test", ACCOUNT_NONE, 0},
		{"u:role@kept.test", ACCOUNT_NONE, 0},
		{"e:root", ACCOUNT_FOUND, 501},
		{"e:none", ACCOUNT_NONE, 0},
		{"e:torn", ACCOUNT_TROUBLE, 0},
		{"q:list", ACCOUNT_FOUND, 1001},
		{"q:none", ACCOUNT_NONE, 0},
		{"q:bad", ACCOUNT_TROUBLE, 0},
		{"s:root", ACCOUNT_NONE, 0},
		{"s:", ACCOUNT_NONE, 0},
		{"x:any@kept.test", ACCOUNT_FOUND, 500},
		{"a:", ACCOUNT_FOUND, 501},
		{"a:more", ACCOUNT_NONE, 0},
		{"", ACCOUNT_NONE, 0},
		{"z:ann", ACCOUNT_NONE, 0},
		{"ann@kept.test", ACCOUNT_NONE, 0},
	};
	struct account account;
	struct book book;

	(void)state;
	start(&book);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		enum account_result result =
			account_by_key(&book.place.home, rows[i].key, &account);

		if (result != rows[i].result)
			fail_msg("%s: %d", rows[i].key, (int)result);
		if (result == ACCOUNT_FOUND)
			assert_int_equal(account.uid, rows[i].uid);
	}
	/* roles that nobody has named have no accounts */
	book.place.home.identities = 0;
	assert_int_equal(
		account_by_key(&book.place.home, "a:", &account), ACCOUNT_NONE);
	assert_int_equal(
		account_by_key(&book.place.home, "x:any@kept.test", &account),
		ACCOUNT_NONE);
	stop(&book);
}

/* The home of a mailbox below mail/ is made, and nothing else. */
static void
test_prepare(void **state)
{
	struct account account = {.kind = ACCOUNT_MAILBOX};
	struct book book;
	struct stat st;
	char why[300];

	(void)state;
	start(&book);
	const struct home *home = &book.place.home;
	int folder = book.place.folder;
	assert_int_equal(mkdirat(folder, "mail", 0755), 0);
	snprintf(account.home, sizeof account.home, "%s/mail/kept.test/ann",
		home->path);
	/* only an account of the database has one made */
	assert_int_equal(
		account_prepare(home, "q:ann", &account, why, sizeof why),
		ACCOUNT_FOUND);
	assert_int_equal(fstatat(folder, "mail/kept.test", &st, 0), -1);
	assert_int_equal(account_prepare(home, "u:ann@kept.test", &account, why,
				 sizeof why),
		ACCOUNT_FOUND);
	assert_int_equal(
		fstatat(folder, "mail/kept.test/ann/Maildir/new", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	/* no deeper, and not through a link */
	snprintf(
		account.home, sizeof account.home, "%s/mail/a/b/c", home->path);
	assert_int_equal(account_prepare(home, "u:ann@kept.test", &account, why,
				 sizeof why),
		ACCOUNT_FOUND);
	assert_int_equal(fstatat(folder, "mail/a", &st, 0), -1);
	assert_int_equal(symlinkat("kept.test", folder, "mail/link"), 0);
	snprintf(account.home, sizeof account.home, "%s/mail/link/bob",
		home->path);
	assert_int_equal(account_prepare(home, "u:bob@kept.test", &account, why,
				 sizeof why),
		ACCOUNT_TROUBLE);
	assert_int_equal(strncmp(why, "4.3.0 ", 6), 0);
	assert_int_equal(fstatat(folder, "mail/kept.test/bob", &st, 0), -1);
	stop(&book);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_candidates),
		cmocka_unit_test(test_many_dashes),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_prepare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
