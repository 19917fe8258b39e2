/*
 * Which domains are ours, by which line; and a database that is replaced while it
 * is kept open.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include "lib/cdbkept.h"
#include "lib/ours.h"
#include "tests/unit/address_place.h"

/* A control file of these lines. */
struct lines {
	char text[8][40];
	char *line[8];
	size_t number[8];
	struct setting_list list;
};

static const struct setting_list *
fill(struct lines *lines, const char *const *line)
{
	size_t count = 0;

	for (; line[count] != NULL; count++) {
		snprintf(lines->text[count], 40, "%s", line[count]);
		lines->line[count] = lines->text[count];
		lines->number[count] = count + 1;
	}
	lines->list = (struct setting_list){.line = lines->line,
		.number = lines->number,
		.count = count,
		.present = true};
	return &lines->list;
}

#define LIST(lines, ...) fill(lines, (const char *const[]){__VA_ARGS__, NULL})

static const struct {
	const char *address;
	enum ours_kind kind;
	const char *file;
	size_t line;
	const char *prepend;
} ROWS[] = {
	{"a@Local.TEST", OURS_LOCAL, "control/locals", 1, ""},
	{"a@x.below.test", OURS_LOCAL, "control/locals", 2, ""},
	{"a@below.test", OURS_NOT, "", 0, ""},
	{"a@both.test", OURS_LOCAL, "control/locals", 3, ""},
	{"joe@virtual.test", OURS_VIRTUALDOMAIN, "control/virtualdomains", 2,
		"joes"},
	{"JOE@VIRTUAL.test", OURS_VIRTUALDOMAIN, "control/virtualdomains", 2,
		"joes"},
	{"a@virtual.test", OURS_VIRTUALDOMAIN, "control/virtualdomains", 1,
		"all"},
	{"a@deep.x.virtual.test", OURS_VIRTUALDOMAIN, "control/virtualdomains",
		4, "deep"},
	{"a@y.virtual.test", OURS_VIRTUALDOMAIN, "control/virtualdomains", 3,
		"low"},
	{"a@out.virtual.test", OURS_NOT, "control/virtualdomains", 5, ""},
	{"a@kept.test", OURS_DATABASE, "users/accounts.cdb", 0, ""},
	{"a@else.test", OURS_NOT, "", 0, ""},
	{"a@[192.0.2.1]", OURS_NOT, "", 0, ""},
	{"no address", OURS_NOT, "", 0, ""},
};

static void
expect_rows(struct ours *ours)
{
	for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
		struct ours_match match = {.file = "", .prepend = ""};
		const char *address = ROWS[i].address;
		const char *at = strchr(address, '@');

		if (ours_find_address(ours, address) != ROWS[i].kind)
			fail_msg("%s", address);
		if (at == NULL)
			continue;
		(void)ours_find(ours, address, (size_t)(at - address), at + 1,
			strlen(at + 1), &match);
		if (strcmp(match.file, ROWS[i].file) != 0 ||
			match.line != ROWS[i].line ||
			strcmp(match.prepend, ROWS[i].prepend) != 0)
			fail_msg("%s: %s line %zu: %s", address, match.file,
				match.line, match.prepend);
	}
}

static void
test_order(void **state)
{
	const struct account domain = {
		.name = "@kept.test", .kind = ACCOUNT_DOMAIN};
	struct address_place place;
	struct lines locals, virtuals;
	struct ours ours;
	char why[300];

	(void)state;
	address_place_make(&place);
	address_place_accounts(&place, &domain, 1);
	assert_int_equal(
		ours_build(&ours, &place.home, "me.test",
			LIST(&locals, "local.test", ".below.test", "both.test"),
			LIST(&virtuals, "virtual.test:all",
				"joe@virtual.test:joes", ".virtual.test:low",
				".x.virtual.test:deep", "out.virtual.test:",
				"both.test:not", "joe@virtual.test:second"),
			why, sizeof why),
		0);
	expect_rows(&ours);
	/* a database that cannot be read is no answer */
	temporary_write(place.folder, "users/accounts.cdb", "x", 0600);
	errno = 0;
	assert_int_equal(ours_find_address(&ours, "a@kept.test"), OURS_TROUBLE);
	assert_int_not_equal(errno, 0);
	assert_int_equal(ours_find_address(&ours, "a@local.test"), OURS_LOCAL);
	ours_free(&ours);
	ours_free(&ours);
	address_place_remove(&place);
}

static void
test_without_files(void **state)
{
	const struct setting_list none = {.count = 0};
	struct lines virtuals;
	struct address_place place;
	struct ours ours;
	char why[300];

	(void)state;
	address_place_make(&place);
	assert_int_equal(ours_build(&ours, &place.home, "me.test", &none, &none,
				 why, sizeof why),
		0);
	assert_int_equal(ours_find_address(&ours, "a@ME.test"), OURS_LOCAL);
	assert_int_equal(ours_find_address(&ours, "a@else.test"), OURS_NOT);
	ours_free(&ours);
	assert_int_equal(ours_build(&ours, &place.home, "me.test", &none,
				 LIST(&virtuals, "ok.test:a", "no colon"), why,
				 sizeof why),
		-1);
	assert_non_null(strstr(why, "control/virtualdomains line 2"));
	assert_int_equal(ours_build(&ours, &place.home, "me.test", &none,
				 LIST(&virtuals, ":all"), why, sizeof why),
		0);
	assert_int_equal(
		ours_find_address(&ours, "a@any.test"), OURS_VIRTUALDOMAIN);
	assert_int_equal(ours_find_address(&ours, "a@me.test"), OURS_LOCAL);
	ours_free(&ours);
	address_place_remove(&place);
}

static void
expect_kept(struct cdbkept *kept, const char *value)
{
	cdb_data data;

	assert_int_equal(cdbkept_fresh(kept), 1);
	assert_int_equal(cdbfile_find(&kept->file, "k", 1, &data), 1);
	assert_int_equal(data.len, strlen(value));
	assert_memory_equal(data.s, value, data.len);
}

static void
test_kept(void **state)
{
	const struct address_record one = {"k", 1, "one", 3};
	const struct address_record other = {"k", 1, "other", 5};
	struct address_place place;
	char path[HOME_NAME_MAX];
	struct cdbkept kept;

	(void)state;
	address_place_make(&place);
	cdbkept_at(&kept, home_path(&place.home, "users/cdb", path));
	assert_int_equal(cdbkept_fresh(&kept), 0);
	address_place_cdb(&place, "users/cdb", &one, 1);
	expect_kept(&kept, "one");
	expect_kept(&kept, "one");
	address_place_cdb(&place, "users/cdb", &other, 1);
	expect_kept(&kept, "other");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(cdbkept_fresh(&kept), 0);
	assert_false(kept.is_open);
	temporary_write(place.folder, "users/cdb", "x", 0600);
	assert_int_equal(cdbkept_fresh(&kept), -1);
	assert_false(kept.is_open);
	address_place_cdb(&place, "users/cdb", &one, 1);
	expect_kept(&kept, "one");
	cdbkept_close(&kept);
	cdbkept_close(&kept);
	address_place_remove(&place);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_without_files),
		cmocka_unit_test(test_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
