#include "tools/queue_criteria.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include "lib/ident.h"
#include "lib/outcome.h"
#include "tools/plain.h"
#include "tools/queue_walk.h"

/* --- reading --- */

/* A number and a unit, in microseconds. 0: it is none. */
static uint64_t
read_age(const char *text)
{
	static const struct {
		const char *unit;
		uint64_t seconds;
	} UNIT[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return 0;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno != 0 || value > 1000000000)
		return 0;
	for (size_t i = 0; i < sizeof UNIT / sizeof UNIT[0]; i++)
		if (strcmp(end, UNIT[i].unit) == 0)
			return value * UNIT[i].seconds * 1000000;
	return 0;
}

/* "<>", "<a@b>" or "a@b": what stands in the envelope. */
static const char *
read_address(char *text)
{
	size_t length = strlen(text);

	if (length >= 2 && text[0] == '<' && text[length - 1] == '>') {
		text[length - 1] = 0;
		return text + 1;
	}
	return text;
}

static int
read_folder(const char *text, struct criteria *criteria)
{
	for (size_t i = 0; queue_walk_folder[i] != NULL; i++)
		if (strcmp(text, queue_walk_folder[i]) == 0) {
			criteria->folder = queue_walk_folder[i];
			return 0;
		}
	return -1;
}

int
criteria_option(struct criteria *criteria, int letter, char *value)
{
	switch (letter) {
	case 's':
		criteria->sender = read_address(value);
		return 0;
	case 'r':
		criteria->recipient = read_address(value);
		return 0;
	case 'd':
		criteria->domain = value + (value[0] == '@');
		return 0;
	case 'o':
		criteria->older_us = read_age(value);
		return criteria->older_us > 0 ? 0 : -1;
	case 'y':
		criteria->younger_us = read_age(value);
		return criteria->younger_us > 0 ? 0 : -1;
	case 'i':
		return read_folder(value, criteria);
	}
	return 1;
}

int
criteria_ids(struct criteria *criteria, const char *program, char *const *id,
	size_t count)
{
	criteria->id = id;
	criteria->ids = count;
	for (size_t i = 0; i < count; i++)
		if (!ident_valid(id[i], strlen(id[i]))) {
			fprintf(stderr, "%s: ", program);
			plain_text(stderr, id[i]);
			fprintf(stderr, " is not the id of a message\n");
			return -1;
		}
	return 0;
}

/* --- looking --- */

bool
criteria_of_content(const struct criteria *criteria)
{
	return criteria->older_us > 0 || criteria->younger_us > 0 ||
	       criteria->sender != NULL || criteria->recipient != NULL ||
	       criteria->domain != NULL;
}

bool
criteria_any(const struct criteria *criteria)
{
	return criteria->ids > 0 || criteria->folder != NULL ||
	       criteria_of_content(criteria);
}

static bool
is_named(const struct criteria *criteria, const char *id)
{
	for (size_t i = 0; i < criteria->ids; i++)
		if (strcmp(criteria->id[i], id) == 0)
			return true;
	return criteria->ids == 0;
}

bool
criteria_match_place(
	const struct criteria *criteria, const char *id, const char *folder)
{
	return is_named(criteria, id) &&
	       (criteria->folder == NULL ||
		       strcmp(folder, criteria->folder) == 0);
}

static bool
is_of_domain(const char *address, const char *domain)
{
	const char *at = strrchr(address, '@');

	return at != NULL && strcasecmp(at + 1, domain) == 0;
}

/* True if one recipient that has no final outcome is as is asked. */
static bool
has_recipient(const struct criteria *criteria, const struct message_file *file)
{
	for (uint32_t i = 0; i < file->envelope.recipients; i++) {
		const char *address = file->envelope.recipient[i].address;
		enum outcome outcome = file->state[i].outcome;

		if (outcome != 0 && outcome_is_final(outcome))
			continue;
		if ((criteria->recipient == NULL ||
			    strcasecmp(address, criteria->recipient) == 0) &&
			(criteria->domain == NULL ||
				is_of_domain(address, criteria->domain)))
			return true;
	}
	return false;
}

bool
criteria_match_message(const struct criteria *criteria,
	const struct message_file *file, uint64_t now_us)
{
	uint64_t arrival_us = file->header.arrival_us;
	uint64_t age_us = now_us > arrival_us ? now_us - arrival_us : 0;

	if (criteria->older_us > 0 && age_us < criteria->older_us)
		return false;
	if (criteria->younger_us > 0 && age_us >= criteria->younger_us)
		return false;
	if (criteria->sender != NULL &&
		strcasecmp(file->envelope.reverse_path, criteria->sender) != 0)
		return false;
	return (criteria->recipient == NULL && criteria->domain == NULL) ||
	       has_recipient(criteria, file);
}

uint64_t
criteria_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
