#ifndef TESTS_UNIT_ADDRESS_PLACE_H
#define TESTS_UNIT_ADDRESS_PLACE_H

/*
 * A home with the databases that addresses are looked for in, each replaced as the
 * tools replace them.
 */

#include <stdint.h>
#include <skalibs/cdbmake.h>
#include "lib/accounts.h"
#include "lib/home.h"
#include "tests/unit/temporary.h"

struct address_place {
	struct home home;
	char path[TEMPORARY_MAX];
	int folder;
};

static inline void
address_place_make(struct address_place *place)
{
	place->home = (struct home){.is_private = false};
	place->folder = temporary_make(place->path);
	snprintf(place->home.path, sizeof place->home.path, "%s", place->path);
	temporary_need(mkdirat(place->folder, "users", 0755) == 0, "users");
}

static inline void
address_place_remove(struct address_place *place)
{
	temporary_remove(place->path, place->folder);
}

struct address_record {
	const char *key;
	size_t key_octets;
	const void *value;
	size_t octets;
};

/* Puts a database in the place of one that is there. */
static inline void
address_place_cdb(struct address_place *place, const char *name,
	const struct address_record *record, size_t records)
{
	cdbmaker maker = CDBMAKER_ZERO;
	int fd = openat(place->folder, "new",
		O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	temporary_need(fd >= 0 && cdbmake_start(&maker, fd), "cdb");
	for (size_t i = 0; i < records; i++)
		temporary_need(
			cdbmake_add(&maker, record[i].key,
				(uint32_t)record[i].key_octets, record[i].value,
				(uint32_t)record[i].octets),
			"cdb");
	temporary_need(cdbmake_finish(&maker), "cdb");
	close(fd);
	temporary_need(
		renameat(place->folder, "new", place->folder, name) == 0, name);
}

/* users/accounts.cdb with these, of uid and gid 1000. */
static inline void
address_place_accounts(
	struct address_place *place, const struct account *wanted, size_t count)
{
	unsigned char packed[8][ACCOUNT_RECORD_MAX];
	struct address_record record[8];

	temporary_need(count <= 8, "too many");
	for (size_t i = 0; i < count; i++) {
		struct account account = wanted[i];

		if (account.uid == 0)
			account.uid = account.gid = 1000;
		snprintf(account.home, sizeof account.home, "/mail");
		snprintf(account.maildir, sizeof account.maildir, "./Maildir/");
		record[i] = (struct address_record){.key = wanted[i].name,
			.key_octets = strlen(wanted[i].name),
			.value = packed[i]};
		temporary_need(
			account_pack(&account, packed[i], sizeof packed[i],
				&record[i].octets) == 0,
			wanted[i].name);
	}
	address_place_cdb(place, "users/accounts.cdb", record, count);
}

#endif
