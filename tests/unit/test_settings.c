/*
 * Control files: values, lists, defaults, and an error that says where and what
 * for everything else.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/settings.h"

struct values {
	char *me, *text, *host;
	int64_t number, is_on;
	struct setting_list list, locals;
};

#define AT(member) .offset = offsetof(struct values, member)
static const struct setting table[] = {
	{"me", SETTING_HOST, NULL, AT(me), .meaning = "this host's name"},
	{"text", SETTING_TEXT, "a default", AT(text)},
	{"host", SETTING_HOST, "@me", AT(host)},
	{"number", SETTING_NUMBER, "20", -5, 1000, AT(number)},
	{"switch", SETTING_SWITCH, "0", AT(is_on)},
	{"list", SETTING_LIST, NULL, AT(list)},
	{"locals", SETTING_LIST, "@me", AT(locals)},
};
#define COUNT SETTINGS_COUNT(table)

struct place {
	char folder[64];
	char why[300];
	struct values values;
};

static int
place_make(void **state)
{
	struct place *place = calloc(1, sizeof *place);

	snprintf(place->folder, sizeof place->folder, "/tmp/settings.XXXXXX");
	*state = place;
	return mkdtemp(place->folder) == NULL ? -1 : 0;
}

static void
put(const struct place *place, const char *name, const char *octets,
	size_t length)
{
	char path[100];

	snprintf(path, sizeof path, "%s/%s", place->folder, name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(octets, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
}

static void
put_text(const struct place *place, const char *name, const char *text)
{
	put(place, name, text, strlen(text));
}

static void
drop(const struct place *place, const char *name)
{
	char path[100];

	snprintf(path, sizeof path, "%s/%s", place->folder, name);
	remove(path);
}

static int
place_remove(void **state)
{
	struct place *place = *state;

	settings_free(table, COUNT, &place->values);
	for (size_t i = 0; i < COUNT; i++)
		drop(place, table[i].name);
	int result = rmdir(place->folder);
	free(place);
	return result;
}

static int
take(struct place *place)
{
	memset(&place->why, 0, sizeof place->why);
	settings_free(table, COUNT, &place->values);
	return settings_read(table, COUNT, place->folder, &place->values,
		place->why, sizeof place->why);
}

static void
test_defaults(void **state)
{
	struct place *place = *state;
	struct values *values = &place->values;

	put_text(place, "me", "mail.example.org\n");
	assert_int_equal(take(place), 0);
	assert_string_equal(values->me, "mail.example.org");
	assert_string_equal(values->text, "a default");
	assert_string_equal(values->host, "mail.example.org");
	assert_int_equal(values->number, 20);
	assert_int_equal(values->is_on, 0);
	assert_int_equal(values->list.count, 0);
	assert_false(values->list.present);
	assert_false(values->locals.present);
	assert_int_equal(values->locals.count, 1);
	assert_string_equal(values->locals.line[0], "mail.example.org");
}

static void
test_values(void **state)
{
	struct place *place = *state;
	struct values *values = &place->values;

	put_text(place, "me", "a.example \t\r\nsecond line\n");
	put_text(place, "text", "no line end");
	put_text(place, "host", "[127.0.0.1]\n");
	put_text(place, "number", "-5\n");
	put_text(place, "switch", "1");
	put_text(place, "list",
		"# a list\none \n\n \t\ntwo words\r\n#x\n third");
	put_text(place, "locals", "");
	assert_int_equal(take(place), 0);
	assert_string_equal(values->me, "a.example");
	assert_string_equal(values->text, "no line end");
	assert_string_equal(values->host, "[127.0.0.1]");
	assert_int_equal(values->number, -5);
	assert_int_equal(values->is_on, 1);
	assert_true(values->list.present);
	assert_int_equal(values->list.count, 3);
	assert_string_equal(values->list.line[0], "one");
	assert_int_equal(values->list.number[0], 2);
	assert_string_equal(values->list.line[1], "two words");
	assert_int_equal(values->list.number[1], 5);
	assert_string_equal(values->list.line[2], " third");
	assert_int_equal(values->list.number[2], 7);
	/* An empty list is a list: nothing is local then. */
	assert_true(values->locals.present);
	assert_int_equal(values->locals.count, 0);
	settings_free(table, COUNT, values);
	assert_null(values->me);
	assert_null(values->list.line);
	settings_free(table, COUNT, values);
}

/* Each refused, with the file and what was expected in the sentence. */
static void
test_refused(void **state)
{
	static const struct {
		const char *name, *text, *why;
	} row[] = {
		{"number", "1001\n", "number line 1: expected a number"},
		{"number", "-6\n", "number line 1"},
		{"number", "\n", "number line 1"},
		{"number", "", "number line 1"},
		{"number", "7x\n", "found \"7x\""},
		{"number", "0x10\n", "number line 1"},
		{"number", "+7\n", "number line 1"},
		{"number", " 7\n", "number line 1"},
		{"number", "99999999999999999999\n", "number line 1"},
		{"switch", "2\n", "switch line 1"},
		{"switch", "yes\n", "from 0 to 1"},
		{"host", "a b\n", "host line 1: expected a host name"},
		{"host", "\n", "host line 1"},
		{"host", "-a.example\n", "host line 1"},
		{"host", "a..example\n", "host line 1"},
		{"text", "a\tb\n", "text line 1"},
		{"text", "a\033[2J\n", "text line 1"},
	};
	struct place *place = *state;

	put_text(place, "me", "a.example\n");
	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
		put_text(place, row[i].name, row[i].text);
		if (take(place) == 0 || strstr(place->why, row[i].why) == NULL)
			fail_msg("row %zu: %s", i, place->why);
		for (const char *at = place->why; *at != 0; at++)
			if ((unsigned char)*at < 32 || *at == 127)
				fail_msg("row %zu: unprintable", i);
		assert_null(place->values.me);
		drop(place, row[i].name);
	}
}

static void
test_missing(void **state)
{
	struct place *place = *state;

	assert_int_equal(take(place), -1);
	assert_non_null(
		strstr(place->why, "/me is missing: it must hold this"));
}

static void
test_odd_files(void **state)
{
	struct place *place = *state;
	char path[100];

	put_text(place, "me", "a.example\n");
	snprintf(path, sizeof path, "%s/list", place->folder);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(take(place), -1);
	assert_non_null(strstr(place->why, "list: not a regular file"));
	assert_int_equal(rmdir(path), 0);
	/* A FIFO without a writer does not stop us. */
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(take(place), -1);
	assert_non_null(strstr(place->why, "list: not a regular file"));
	assert_int_equal(unlink(path), 0);
	put(place, "list", "one\n\0two\n", 9);
	assert_int_equal(take(place), -1);
	assert_non_null(strstr(place->why, "list: holds a NUL octet"));
	assert_int_equal(truncate(path, SETTINGS_FILE_MAX + 1), 0);
	assert_int_equal(take(place), -1);
	assert_non_null(strstr(place->why, "larger than"));
	drop(place, "list");
	assert_int_equal(take(place), 0);
}

/* A sentence that does not fit is cut, and nothing is written beyond. */
static void
test_small_why(void **state)
{
	struct place *place = *state;
	char why[12];

	memset(why, 'x', sizeof why);
	assert_int_equal(settings_read(table, COUNT, place->folder,
				 &place->values, why, 10),
		-1);
	assert_int_equal(strlen(why), 9);
	assert_int_equal(why[10], 'x');
}

static void
test_long_list(void **state)
{
	struct place *place = *state;
	size_t size = 0;
	char *text = malloc(100000 * 8);

	put_text(place, "me", "a.example\n");
	for (int i = 0; i < 100000; i++)
		size += (size_t)snprintf(text + size, 8, "%d\n", i);
	put(place, "list", text, size);
	free(text);
	assert_int_equal(take(place), 0);
	assert_int_equal(place->values.list.count, 100000);
	assert_string_equal(place->values.list.line[99999], "99999");
	assert_int_equal(place->values.list.number[99999], 100000);
}

#define IN_PLACE(test) \
	cmocka_unit_test_setup_teardown(test, place_make, place_remove)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(test_defaults),
		IN_PLACE(test_values),
		IN_PLACE(test_refused),
		IN_PLACE(test_missing),
		IN_PLACE(test_odd_files),
		IN_PLACE(test_small_why),
		IN_PLACE(test_long_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
