#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "tools/auth_limits.h"

#define SLOT_PAUSE_MS 5
/* The octet that stands for the tables; slots are those from 0. */
#define TABLES_LOCK LIMITS_SLOTS_MAX

int
auth_limits_open(
	struct auth_limits *limits, unsigned slots, int64_t free_failures)
{
	limits->slots = slots;
	limits->free_failures = free_failures;
	limits->tables = NULL;
	if (getrandom(limits->secret, sizeof limits->secret, 0) !=
		sizeof limits->secret)
		return -1;
	limits->locks = memfd_create("locks", MFD_CLOEXEC);
	if (limits->locks < 0)
		return -1;
	void *tables = mmap(NULL, sizeof *limits->tables,
		PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tables == MAP_FAILED) {
		int saved = errno;
		close(limits->locks);
		errno = saved;
		return -1;
	}
	limits->tables = tables;
	return 0;
}

void
auth_limits_close(struct auth_limits *limits)
{
	if (limits->tables != NULL) {
		munmap(limits->tables, sizeof *limits->tables);
		close(limits->locks);
	}
	limits->tables = NULL;
}

/* Locks belong to processes and end with them. */
static int
lock(const struct auth_limits *limits, int octet, short type, int command)
{
	struct flock what = {.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = octet,
		.l_len = 1};

	while (fcntl(limits->locks, command, &what) < 0)
		if (errno != EINTR)
			return -1;
	return 0;
}

/* --- the tables --- */

/* What an address counts as: an IPv6 one as its network. */
static size_t
network_of(const char *client, unsigned char into[16])
{
	if (inet_pton(AF_INET6, client, into) == 1)
		return 8;
	if (inet_pton(AF_INET, client, into) == 1)
		return 4;
	memset(into, 0, 16);
	return 16;
}

static uint64_t
make_key(const struct auth_limits *limits, char kind, const char *client,
	const char *name)
{
	unsigned char text[1 + 1 + 16 + 256] = {(unsigned char)kind};
	uint8_t digest[DIGEST_SHA256];
	size_t used = 2;
	uint64_t key;

	if (client != NULL) {
		size_t len = network_of(client, text + used);
		text[1] = (unsigned char)len;
		used += len;
	}
	for (; name != NULL && *name != 0 && used < sizeof text; name++)
		text[used++] = (unsigned char)(*name >= 'A' && *name <= 'Z'
						       ? *name - 'A' + 'a'
						       : *name);
	digest_hmac_sha256(
		digest, limits->secret, sizeof limits->secret, text, used);
	memcpy(&key, digest, sizeof key);
	return key != 0 ? key : 1;
}

static struct auth_limits_entry *
find(struct auth_limits_entry table[LIMITS_SETS][LIMITS_WAYS], uint64_t key)
{
	struct auth_limits_entry *set = table[key % LIMITS_SETS];

	for (size_t i = 0; i < LIMITS_WAYS; i++)
		if (set[i].key == key)
			return &set[i];
	return NULL;
}

/* Finds it or makes it anew, in the place of the one that ends first. */
static struct auth_limits_entry *
obtain(struct auth_limits_entry table[LIMITS_SETS][LIMITS_WAYS], uint64_t key)
{
	struct auth_limits_entry *set = table[key % LIMITS_SETS], *best = set;
	struct auth_limits_entry *found = find(table, key);

	if (found != NULL)
		return found;
	for (size_t i = 1; i < LIMITS_WAYS; i++)
		if (set[i].until_ms < best->until_ms)
			best = &set[i];
	*best = (struct auth_limits_entry){.key = key};
	return best;
}

/* Failures beyond those that are free. */
static int64_t
excess(const struct auth_limits_entry *entry, int64_t free_failures,
	int64_t now_ms)
{
	if (entry == NULL || entry->until_ms <= now_ms)
		return 0;
	int64_t failures = (entry->until_ms - now_ms + LIMITS_FAILURE_MS - 1) /
			   LIMITS_FAILURE_MS;
	return failures > free_failures ? failures - free_failures : 0;
}

/* Doubles with each. */
static int64_t
doubled(int64_t first_ms, int64_t times, int64_t max_ms)
{
	while (--times > 0 && first_ms < max_ms)
		first_ms *= 2;
	return first_ms < max_ms ? first_ms : max_ms;
}

/* The place in the row of tries from one address. */
static int64_t
wait_in_row(
	const struct auth_limits *limits, const char *client, int64_t now_ms)
{
	struct auth_limits_entry *entry = find(
		limits->tables->tries, make_key(limits, 'a', client, NULL));
	int64_t beyond = excess(entry, limits->free_failures, now_ms);

	if (beyond == 0)
		return 0;
	int64_t begin_ms = entry->next_ms > now_ms ? entry->next_ms : now_ms;
	if (begin_ms - now_ms > LIMITS_WAIT_MAX_MS)
		return -1;
	entry->next_ms = begin_ms + doubled(LIMITS_SPACE_FIRST_MS, beyond,
					    LIMITS_SPACE_MAX_MS);
	return begin_ms - now_ms;
}

int
auth_limits_delay(const struct auth_limits *limits, const char *client,
	const char *name, int64_t now_ms)
{
	if (lock(limits, TABLES_LOCK, F_WRLCK, F_SETLKW) < 0)
		return 0;
	struct auth_limits_entry *known = find(
		limits->tables->known, make_key(limits, 'k', client, name));
	int64_t wait_ms = 0;
	if (known == NULL || known->until_ms <= now_ms) {
		int64_t beyond =
			excess(find(limits->tables->tries,
				       make_key(limits, 'n', NULL, name)),
				2 * limits->free_failures, now_ms);
		int64_t by_name = beyond == 0
					  ? 0
					  : doubled(LIMITS_NAME_FIRST_MS,
						    beyond, LIMITS_NAME_MAX_MS);
		wait_ms = wait_in_row(limits, client, now_ms);
		if (wait_ms >= 0 && wait_ms < by_name)
			wait_ms = by_name;
	}
	lock(limits, TABLES_LOCK, F_UNLCK, F_SETLK);
	return (int)wait_ms;
}

static void
count_failure(const struct auth_limits *limits, uint64_t key, int64_t now_ms)
{
	struct auth_limits_entry *entry = obtain(limits->tables->tries, key);
	const int64_t most_ms =
		now_ms + (int64_t)LIMITS_FAILURES_MAX * LIMITS_FAILURE_MS;

	if (entry->until_ms < now_ms)
		entry->until_ms = now_ms;
	entry->until_ms += LIMITS_FAILURE_MS;
	if (entry->until_ms > most_ms)
		entry->until_ms = most_ms;
}

void
auth_limits_note(const struct auth_limits *limits, const char *client,
	const char *name, bool is_right, int64_t now_ms)
{
	uint64_t pair = make_key(limits, 'k', client, name);

	if (lock(limits, TABLES_LOCK, F_WRLCK, F_SETLKW) < 0)
		return;
	if (is_right) {
		struct auth_limits_entry *known =
			obtain(limits->tables->known, pair);
		known->until_ms = now_ms + LIMITS_KNOWN_MS;
		known->failures = 0;
	} else {
		struct auth_limits_entry *known =
			find(limits->tables->known, pair);
		if (known != NULL && ++known->failures > LIMITS_KNOWN_FAILURES)
			*known = (struct auth_limits_entry){0};
		count_failure(
			limits, make_key(limits, 'a', client, NULL), now_ms);
		count_failure(
			limits, make_key(limits, 'n', NULL, name), now_ms);
	}
	lock(limits, TABLES_LOCK, F_UNLCK, F_SETLK);
}

/* --- slots --- */

int
auth_limits_take_slot(const struct auth_limits *limits, int64_t deadline_ms)
{
	for (;;) {
		for (unsigned slot = 0; slot < limits->slots; slot++) {
			if (lock(limits, (int)slot, F_WRLCK, F_SETLK) == 0)
				return (int)slot;
			if (errno != EAGAIN && errno != EACCES)
				return -1;
		}
		if (deadline_left_ms(deadline_ms) == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		poll(NULL, 0, SLOT_PAUSE_MS);
	}
}

void
auth_limits_give_slot(const struct auth_limits *limits, int slot)
{
	lock(limits, slot, F_UNLCK, F_SETLK);
}
