#ifndef LIB_DOMAINS_H
#define LIB_DOMAINS_H

/*
 * A table of domains with qmail's meaning, as in control/locals, rcpthosts,
 * virtualdomains and smtproutes: an entry "example.org" stands for that name
 * alone, ".example.org" for every name below it but not for itself, a literal
 * "[1.2.3.4]" for itself, and "" (domains_put only) for every name. Case does
 * not matter. Each entry may carry a value. Built once, then looked up with
 * one probe a label.
 */

#include <stddef.h>
#include <stdint.h>

struct domains {
	char *text; /* owned: key NUL value NUL, again and again */
	size_t used, room;
	uint32_t *slot; /* owned: offset + 1 of an entry in text; 0: free */
	size_t slots;	/* a power of two, or 0 */
	size_t entries;
};

/* The empty table; freeing it is harmless. */
#define DOMAINS_ZERO ((struct domains){0})

/*
 * Adds the entry on one line of a control file. White space at both ends is
 * not part of it; an empty line and one that begins with "#" add nothing. A
 * second equal entry changes nothing. Returns 0, or -1 with errno EINVAL (not
 * a domain: the table is as it was, report the line) or ENOMEM.
 */
int domains_add(struct domains *domains, const char *line, size_t len);

/*
 * Adds an entry with a value (without NUL octets, EINVAL else). Key and value
 * are taken as they are, nothing is stripped. The first of two equal keys
 * holds. Returns as domains_add.
 */
int domains_put(struct domains *domains, const char *key, size_t key_len,
	const char *value, size_t value_len);

/*
 * The value for the domain: that of its own name or literal, else of the
 * longest ".suffix" above it, else of "". NULL if there is none; "" for an
 * entry without a value. It lives as long as nothing is added or freed.
 */
const char *
domains_find(const struct domains *domains, const char *domain, size_t len);

/* Whether the domain is in the table. The empty table has none. */
int domains_has(const struct domains *domains, const char *domain, size_t len);

/* Frees what the table owns and makes it empty. Safe twice. */
void domains_free(struct domains *domains);

#endif
