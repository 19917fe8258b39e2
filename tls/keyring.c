#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/log.h"
#include "tls/keyring.h"
#include "tls/keyring_file.h"

#define CLIENTS "clients"

/* --- has it changed? --- */

static uint64_t
mix(uint64_t sum, uint64_t value)
{
	for (int i = 0; i < 8; i++) {
		sum ^= (value >> (8 * i)) & 0xff;
		sum *= 0x100000001b3u; /* FNV-1a */
	}
	return sum;
}

/* The files of an entry as one number: another one if any has changed. */
static uint64_t
look_at(int folder, const char *name)
{
	static const char *const suffix[] = {".pem", ".key", ".ocsp"};
	uint64_t sum = 0xcbf29ce484222325u;

	for (size_t i = 0; i < sizeof suffix / sizeof suffix[0]; i++) {
		char path[SIGN_NAME_MAX + 8];
		struct stat st;

		snprintf(path, sizeof path, "%s%s", name, suffix[i]);
		if (fstatat(folder, path, &st, 0) < 0)
			memset(&st, 0, sizeof st);
		sum = mix(sum, (uint64_t)st.st_ino);
		sum = mix(sum, (uint64_t)st.st_size);
		sum = mix(sum, (uint64_t)st.st_mtim.tv_sec);
		sum = mix(sum, (uint64_t)st.st_mtim.tv_nsec);
		sum = mix(sum, (uint64_t)st.st_ctim.tv_sec);
		sum = mix(sum, (uint64_t)st.st_ctim.tv_nsec);
	}
	return sum;
}

/* --- keys --- */

EVP_PKEY *
keyring_find(const struct keyring *keyring, const uint8_t id[SIGN_KEY_ID])
{
	for (size_t i = 0; i < keyring->keys; i++)
		if (memcmp(keyring->key[i].id, id, SIGN_KEY_ID) == 0)
			return keyring->key[i].key;
	return NULL;
}

static bool
is_needed(const struct keyring *keyring, const uint8_t id[SIGN_KEY_ID])
{
	for (size_t i = 0; i < keyring->entries; i++)
		if (keyring->entry[i]->octets != NULL &&
			memcmp(keyring->entry[i]->key, id, SIGN_KEY_ID) == 0)
			return true;
	return false;
}

/* Takes the key over. False: there are too many. */
static bool
add_key(struct keyring *keyring, const uint8_t id[SIGN_KEY_ID], EVP_PKEY *key)
{
	if (keyring_find(keyring, id) != NULL) {
		EVP_PKEY_free(key);
		return true;
	}
	if (keyring->keys == KEYRING_KEYS_MAX) {
		EVP_PKEY_free(key);
		return false;
	}
	struct keyring_key *place = &keyring->key[keyring->keys++];
	memcpy(place->id, id, SIGN_KEY_ID);
	place->key = key;
	place->retire_deadline_ms = DEADLINE_NEVER;
	return true;
}

void
keyring_retire(struct keyring *keyring)
{
	for (size_t i = keyring->keys; i-- > 0;) {
		struct keyring_key *key = &keyring->key[i];

		if (is_needed(keyring, key->id)) {
			key->retire_deadline_ms = DEADLINE_NEVER;
		} else if (key->retire_deadline_ms == DEADLINE_NEVER) {
			key->retire_deadline_ms =
				deadline_after_ms(KEYRING_RETIRE_MS);
		} else if (deadline_left_ms(key->retire_deadline_ms) == 0) {
			EVP_PKEY_free(key->key);
			*key = keyring->key[--keyring->keys];
		}
	}
}

/* --- entries --- */

size_t
keyring_count(const struct keyring *keyring)
{
	size_t count = 0;

	for (size_t i = 0; i < keyring->entries; i++)
		count += keyring->entry[i]->octets != NULL;
	return count;
}

static void
forget(struct keyring_entry *entry)
{
	free(entry->octets);
	entry->octets = NULL;
	entry->chain = entry->staple = 0;
}

/* Reads an entry that has changed. True if what is good is another now. */
static bool
judge(struct keyring *keyring, struct keyring_entry *entry, bool has_key)
{
	EVP_PKEY *key = NULL;
	char what[400];

	entry->judged = entry->seen;
	if (keyring_read(keyring->folder, entry, has_key ? &key : NULL, what,
		    sizeof what) < 0) {
		log_line("tls/%s%s", what,
			entry->octets != NULL
				? "; what was there before goes on"
				: "");
		return false;
	}
	if (has_key && !add_key(keyring, entry->key, key)) {
		log_line("tls/%s.key: too many keys", entry->name);
		forget(entry);
		return true;
	}
	log_line("tls/%s.pem: %s", entry->name, what);
	return true;
}

static bool
look_at_entry(struct keyring *keyring, struct keyring_entry *entry,
	bool has_key, bool at_once)
{
	uint64_t now = look_at(keyring->folder, entry->name);
	bool is_settled = at_once || now == entry->seen;

	entry->is_there = true;
	entry->seen = now;
	return now != entry->judged && is_settled &&
	       judge(keyring, entry, has_key);
}

/* The entry of a name; a new one if there is none. NULL: no room. */
static struct keyring_entry *
entry_of(struct keyring *keyring, const char *name, size_t len)
{
	for (size_t i = 0; i < keyring->entries; i++)
		if (strlen(keyring->entry[i]->name) == len &&
			memcmp(keyring->entry[i]->name, name, len) == 0)
			return keyring->entry[i];
	struct keyring_entry *entry = NULL;
	if (keyring->entries < SIGN_CERTIFICATES_MAX)
		entry = calloc(1, sizeof *entry);
	if (entry == NULL) {
		if (!keyring->is_full_said)
			log_line("tls: more than %d certificates",
				SIGN_CERTIFICATES_MAX);
		keyring->is_full_said = true;
		return NULL;
	}
	memcpy(entry->name, name, len);
	keyring->entry[keyring->entries++] = entry;
	return entry;
}

/* A name of the folder: NAME.pem, with nothing in it that a log or a record could
 * not take. Returns the length of NAME, or 0. */
static size_t
pem_name(const char *file)
{
	size_t len = strlen(file);

	if (len < 5 || len - 4 >= SIGN_NAME_MAX || file[0] == '.' ||
		strcmp(file + len - 4, ".pem") != 0)
		return 0;
	for (size_t i = 0; i < len; i++)
		if (file[i] <= ' ' || file[i] > '~')
			return 0;
	return len - 4;
}

static int
by_name(const void *one, const void *other)
{
	const struct keyring_entry *const *a = one, *const *b = other;

	return strcmp((*a)->name, (*b)->name);
}

/* Drops the entries that are not in the folder any more. */
static bool
drop_missing(struct keyring *keyring)
{
	bool has_changed = false;

	for (size_t i = keyring->entries; i-- > 0;) {
		struct keyring_entry *entry = keyring->entry[i];

		if (entry->is_there)
			continue;
		has_changed |= entry->octets != NULL;
		log_line("tls/%s.pem is gone", entry->name);
		forget(entry);
		free(entry);
		keyring->entry[i] = keyring->entry[--keyring->entries];
	}
	return has_changed;
}

static bool
look_at_clients(struct keyring *keyring, bool at_once)
{
	struct keyring_entry *clients = &keyring->clients;
	bool had = clients->octets != NULL;

	if (clients->is_there)
		return look_at_entry(keyring, clients, false, at_once);
	forget(clients);
	clients->seen = clients->judged = 0;
	if (had)
		log_line("tls/clients.pem is gone");
	return had;
}

bool
keyring_look(struct keyring *keyring, bool at_once)
{
	int fd = openat(
		keyring->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *names = fd < 0 ? NULL : fdopendir(fd);
	bool has_changed = false;
	struct dirent *file;

	if (names == NULL) {
		if (!keyring->is_folder_said)
			log_line("tls: %s", strerror(errno));
		keyring->is_folder_said = true;
		if (fd >= 0)
			close(fd);
		return false;
	}
	memcpy(keyring->clients.name, CLIENTS, sizeof CLIENTS);
	keyring->clients.is_there = false;
	for (size_t i = 0; i < keyring->entries; i++)
		keyring->entry[i]->is_there = false;
	while ((file = readdir(names)) != NULL) {
		size_t len = pem_name(file->d_name);

		if (len == 0)
			continue;
		if (strcmp(file->d_name, CLIENTS ".pem") == 0) {
			keyring->clients.is_there = true;
			continue;
		}
		struct keyring_entry *entry =
			entry_of(keyring, file->d_name, len);
		if (entry != NULL)
			has_changed |=
				look_at_entry(keyring, entry, true, at_once);
	}
	closedir(names);
	has_changed |= drop_missing(keyring);
	has_changed |= look_at_clients(keyring, at_once);
	qsort(keyring->entry, keyring->entries, sizeof keyring->entry[0],
		by_name);
	keyring_retire(keyring);
	return has_changed;
}
