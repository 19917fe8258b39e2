#include "tools/queue_domains.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "lib/escape.h"
#include "lib/outcome.h"
#include "queue/message_file.h"
#include "tools/json.h"
#include "tools/queue_walk.h"

/* Ages end at 5, 10, … minutes; the last has no end. */
#define AGES 10
#define FIRST_AGE_MINUTES 5

struct row {
	char *domain; /* owned, lower case; "": none */
	unsigned long all, age[AGES];
};

struct table {
	const char *program;
	int queue_folder;
	uint64_t now_us;
	void *tree;	  /* of struct row, by domain (tsearch) */
	struct row **row; /* owned */
	size_t rows;
	struct row total;
	bool has_failed; /* no memory */
};

static int
compare_domains(const void *left, const void *right)
{
	const struct row *a = left, *b = right;

	return strcmp(a->domain, b->domain);
}

/* Most first. */
static int
compare_rows(const void *left, const void *right)
{
	const struct row *const *a = left, *const *b = right;

	if ((*a)->all != (*b)->all)
		return (*a)->all > (*b)->all ? -1 : 1;
	return strcmp((*a)->domain, (*b)->domain);
}

/* Puts a new row into the list and the tree. NULL without memory. */
static struct row *
add_row(struct table *table, const char *domain)
{
	if ((table->rows & (table->rows - 1)) == 0) {
		size_t room = table->rows == 0 ? 1 : table->rows * 2;
		struct row **more =
			reallocarray(table->row, room, sizeof(struct row *));

		if (more == NULL)
			return NULL;
		table->row = more;
	}
	struct row *row = calloc(1, sizeof *row);
	if (row == NULL)
		return NULL;
	row->domain = strdup(domain);
	if (row->domain == NULL ||
		tsearch(row, &table->tree, compare_domains) == NULL) {
		free(row->domain);
		free(row);
		return NULL;
	}
	table->row[table->rows++] = row;
	return row;
}

static void
count(struct table *table, const char *address, unsigned age)
{
	const char *at = strrchr(address, '@');
	char domain[ENVELOPE_ADDRESS_MAX + 1];
	struct row wanted = {.domain = domain};

	snprintf(domain, sizeof domain, "%s", at == NULL ? "" : at + 1);
	for (char *p = domain; *p != 0; p++)
		*p = (char)tolower((unsigned char)*p);
	struct row **found = tfind(&wanted, &table->tree, compare_domains);
	struct row *row = found != NULL ? *found : add_row(table, domain);
	if (row == NULL) {
		table->has_failed = true;
		return;
	}
	row->all++;
	row->age[age]++;
	table->total.all++;
	table->total.age[age]++;
}

static unsigned
age_of(const struct table *table, uint64_t arrival_us)
{
	uint64_t minutes = table->now_us > arrival_us
				   ? (table->now_us - arrival_us) / 60000000
				   : 0;
	unsigned age = 0;

	while (age < AGES - 1 && minutes >= (uint64_t)FIRST_AGE_MINUTES << age)
		age++;
	return age;
}

static void
look(void *context, const struct queue_entry *entry)
{
	struct table *table = context;
	struct message_file file;
	int fd = openat(table->queue_folder, entry->path,
		O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	enum message_result result = message_read(fd, 0, &file);
	close(fd);
	if (result != MESSAGE_OK)
		return; /* being written, gone, or queue-list shows it */
	unsigned age = age_of(table, file.header.arrival_us);
	for (uint32_t i = 0; i < file.envelope.recipients; i++) {
		enum outcome outcome = file.state[i].outcome;

		if (file.header.marked &&
			(outcome == 0 || !outcome_is_final(outcome)))
			count(table, file.envelope.recipient[i].address, age);
	}
	message_free(&file);
}

/* --- printing --- */

static void
print_row(const char *name, const struct row *row)
{
	char line[ENVELOPE_ADDRESS_MAX * 4 + 1];

	escape_line(line, sizeof line, name, strlen(name), ESCAPE_HEX);
	printf("%-30s %7lu", line, row->all);
	for (unsigned i = 0; i < AGES; i++)
		printf(" %6lu", row->age[i]);
	putchar('\n');
}

static void
print_text(const struct table *table)
{
	printf("%-30s %7s", "", "T");
	for (unsigned i = 0; i < AGES - 1; i++)
		printf(" %6d", FIRST_AGE_MINUTES << i);
	printf(" %5d+\n", FIRST_AGE_MINUTES << (AGES - 2));
	print_row("TOTAL", &table->total);
	for (size_t i = 0; i < table->rows; i++)
		print_row(table->row[i]->domain, table->row[i]);
}

static void
print_json(const struct table *table)
{
	fputs("{\"minutes\":[", stdout);
	for (unsigned i = 0; i < AGES - 1; i++)
		printf("%s%d", i > 0 ? "," : "", FIRST_AGE_MINUTES << i);
	printf("],\"recipients\":%lu,\"domains\":[", table->total.all);
	for (size_t i = 0; i < table->rows; i++) {
		const struct row *row = table->row[i];

		fputs(i > 0 ? ",{\"domain\":" : "{\"domain\":", stdout);
		json_text(row->domain);
		printf(",\"recipients\":%lu,\"ages\":[", row->all);
		for (unsigned age = 0; age < AGES; age++)
			printf("%s%lu", age > 0 ? "," : "", row->age[age]);
		fputs("]}", stdout);
	}
	puts("]}");
}

int
queue_domains_show(const char *program, int queue_folder, bool is_json)
{
	struct table table = {.program = program, .queue_folder = queue_folder};
	char bad[LAYOUT_PATH_MAX];
	struct timespec now;
	int status = STATUS_DONE;

	clock_gettime(CLOCK_REALTIME, &now);
	table.now_us =
		(uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	if (queue_walk(queue_folder, look, &table, bad) < 0) {
		fprintf(stderr, "%s: queue/%s: %s\n", program, bad,
			strerror(errno));
		status = STATUS_TEMPORARY;
	} else if (table.has_failed) {
		fprintf(stderr, "%s: no memory\n", program);
		status = STATUS_TEMPORARY;
	} else {
		if (table.rows > 0)
			qsort(table.row, table.rows, sizeof(struct row *),
				compare_rows);
		if (is_json)
			print_json(&table);
		else
			print_text(&table);
	}
	for (size_t i = 0; i < table.rows; i++) {
		(void)tdelete(table.row[i], &table.tree, compare_domains);
		free(table.row[i]->domain);
		free(table.row[i]);
	}
	free(table.row);
	return status;
}
