/* What workers tell of the DNS: what is taken, for how long, and how much. */
#include "remote/kept.h"
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void
add(struct mx_list *list, int family, const char *ip, const char *host)
{
	struct mx_address *entry = &list->entry[list->count++];
	struct sockaddr_in *v4 = (struct sockaddr_in *)&entry->address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&entry->address;

	entry->address.ss_family = (sa_family_t)family;
	assert_int_equal(1, inet_pton(family, ip,
				    family == AF_INET6 ? (void *)&v6->sin6_addr
						       : &v4->sin_addr));
	snprintf(entry->host, sizeof entry->host, "%s", host);
	entry->preference = 10;
}

static struct mx_list
make_list(uint32_t ttl_s)
{
	struct mx_list list = {.ttl_s = ttl_s};

	add(&list, AF_INET6, "2001:db8::1", "mx.one.test");
	add(&list, AF_INET, "192.0.2.1", "mx.one.test");
	return list;
}

static void
test_there_and_back(void **state)
{
	struct mx_list list = make_list(60), read;
	struct kept_note note;

	(void)state;
	((struct sockaddr_in *)&list.entry[1].address)->sin_port = 7;
	list.is_authentic = 1;
	kept_tell(&list, &note);
	assert_int_equal(0, kept_read(&note, sizeof note, &read));
	((struct sockaddr_in *)&list.entry[1].address)->sin_port = 0;
	list.is_authentic = 0;
	assert_memory_equal(&list, &read, sizeof list);
	list.ttl_s = 0;
	kept_tell(&list, &note);
	assert_int_equal(0, kept_read(&note, sizeof note, &read));
	assert_int_equal(0, read.count);
}

/* One thing wrong in each. */
static void
test_refused(void **state)
{
	struct mx_list list = make_list(60), read, none = {0};
	struct kept_note good, note;

	(void)state;
	kept_tell(&list, &good);
	assert_int_equal(-1, kept_read(&good, sizeof good - 1, &read));
	assert_int_equal(-1, kept_read(&good, 0, &read));
	for (unsigned row = 0; row < 11; row++) {
		char *host = note.entry[1].host;

		note = good;
		switch (row) {
		case 0:
			note.magic++;
			break;
		case 1:
			note.ttl_s = MX_TTL_MAX_S + 1;
			break;
		case 2:
			note.ttl_s = 0;
			break;
		case 3:
			note.count = 0;
			break;
		case 4:
			note.count = MX_ADDRESSES_MAX + 1;
			break;
		case 5:
			note.count = 3; /* an empty entry */
			break;
		case 6:
			note.entry[1].address.ss_family = AF_UNIX;
			break;
		case 7:
			memset(host, 'a', sizeof note.entry[1].host);
			break;
		case 8:
			host[0] = '\n';
			break;
		case 9:
			host[0] = 'M';
			break;
		case 10:
			host[0] = 0;
			break;
		}
		if (kept_read(&note, sizeof note, &read) != -1)
			fail_msg("row %u is taken", row);
		assert_memory_equal(&none, &read, sizeof none);
	}
	assert_int_equal(0, kept_read(&good, sizeof good, &read));
}

static void
test_time(void **state)
{
	struct mx_list list = make_list(60), other = make_list(10),
		       none = make_list(0);
	struct kept_table table = {0};

	(void)state;
	kept_put(&table, "aa", &list, 1000);
	kept_put(&table, "bb", &other, 1000);
	assert_int_equal(61000, kept_find(&table, "aa", 60999)->until_ms);
	assert_null(kept_find(&table, "aa", 61000));
	assert_non_null(kept_find(&table, "bb", 10999));
	assert_null(kept_find(&table, "bb", 11000));
	assert_null(kept_find(&table, "cc", 1000));
	kept_put(&table, "aa", &other, 2000);
	assert_int_equal(12000, kept_find(&table, "aa", 2000)->until_ms);
	assert_int_equal(2, table.count);
	kept_put(&table, "aa", &none, 2000);
	assert_null(kept_find(&table, "aa", 2000));
	assert_int_equal(1, table.count);
	kept_put(&table, "dd", &list, 11000); /* bb is over */
	assert_int_equal(1, table.count);
	kept_end(&table);
	assert_null(table.first);
}

static void
test_bound(void **state)
{
	struct mx_list list = make_list(60), brief = make_list(5);
	struct kept_table table = {0};
	char dest[20];

	(void)state;
	kept_put(&table, "brief", &brief, 0);
	for (unsigned i = 0; i < KEPT_MAX; i++) {
		snprintf(dest, sizeof dest, "d%u", i);
		kept_put(&table, dest, &list, i);
	}
	assert_int_equal(KEPT_MAX, table.count);
	assert_null(kept_find(&table, "brief", 0));
	assert_non_null(kept_find(&table, "d0", 0));
	kept_put(&table, "more", &list, KEPT_MAX);
	assert_int_equal(KEPT_MAX, table.count);
	assert_null(kept_find(&table, "d0", 0));
	assert_non_null(kept_find(&table, "d1", 0));
	kept_end(&table);
}

/* What was kept leads nowhere that the DNS may not lead. */
static void
test_recall(void **state)
{
	static const struct {
		bool routed, allow_local, ok;
		enum route_kind kind;
		const char *name, *ip;
	} ROWS[] = {
		{false, false, true, ROUTE_MX, "one.test", "192.0.2.9"},
		{false, false, false, ROUTE_MX, "one.test", "127.0.0.1"},
		{false, true, true, ROUTE_MX, "one.test", "127.0.0.1"},
		{true, false, true, ROUTE_HOST, "mx.one.test", "127.0.0.1"},
		{true, false, false, ROUTE_HOST, "mx.two.test", "192.0.2.9"},
		{true, false, false, ROUTE_ADDRESS, "192.0.2.9", "192.0.2.9"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
		struct mx_options options = {
			.allow_local = ROWS[i].allow_local, .port = 25};
		struct route_target target = {.kind = ROWS[i].kind,
			.routed = ROWS[i].routed,
			.port = 26};
		struct mx_list list = {.ttl_s = 60, .is_authentic = 1};

		snprintf(target.name, sizeof target.name, "%s", ROWS[i].name);
		add(&list, AF_INET, ROWS[i].ip, "mx.one.test");
		if (mx_recall(&options, &target, &list) != ROWS[i].ok)
			fail_msg("row %zu", i);
		assert_int_equal(0, list.is_authentic);
		assert_int_equal(0, list.ttl_s);
		if (ROWS[i].ok)
			assert_int_equal(htons(ROWS[i].routed ? 26 : 25),
				((struct sockaddr_in *)&list.entry[0].address)
					->sin_port);
	}
}

/* Equal hosts share the load although the list is the same; a worse one stays
 * behind, and a host's addresses together. */
static void
test_recall_is_random(void **state)
{
	struct mx_options options = {.port = 25};
	struct route_target target = {.kind = ROUTE_MX, .name = "one.test"};
	unsigned first[2] = {0, 0};

	(void)state;
	for (unsigned i = 0; i < 80; i++) {
		struct mx_list list = make_list(60);

		add(&list, AF_INET, "192.0.2.2", "mx.two.test");
		add(&list, AF_INET, "192.0.2.3", "mx.far.test");
		list.entry[3].preference = 20;
		assert_true(mx_recall(&options, &target, &list));
		assert_string_equal("mx.far.test", list.entry[3].host);
		assert_string_equal("mx.one.test", list.entry[1].host);
		bool is_two = strcmp(list.entry[0].host, "mx.two.test") == 0;
		first[is_two]++;
		assert_int_equal(
			AF_INET6, list.entry[is_two ? 1 : 0].address.ss_family);
	}
	assert_true(first[0] > 0 && first[1] > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_recall),
		cmocka_unit_test(test_recall_is_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
