#include "tools/queue_choose.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/outcome.h"
#include "queue/message_file.h"
#include "tools/queue_walk.h"

struct choice {
	const char *program;
	int queue_folder;
	const struct criteria *criteria;
	struct chosen *chosen;
	uint64_t now_us;
	bool has_failed; /* no memory */
};

static int
add(struct choice *choice, const char *id, const char *place)
{
	struct chosen *chosen = choice->chosen;

	if ((chosen->count & (chosen->count - 1)) == 0) {
		size_t room = chosen->count == 0 ? 1 : chosen->count * 2;
		struct request_id *more =
			reallocarray(chosen->message, room, sizeof *more);

		if (more == NULL) {
			choice->has_failed = true;
			return -1;
		}
		chosen->message = more;
	}
	struct request_id *one = &chosen->message[chosen->count++];
	snprintf(one->id, sizeof one->id, "%s", id);
	snprintf(one->place, sizeof one->place, "%s", place);
	return 0;
}

/* Looks into the file. One that is gone, being written or not sound is none. */
static bool
look_into(const struct choice *choice, const char *path)
{
	struct message_file file;
	int fd = openat(choice->queue_folder, path,
		O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return false;
	enum message_result result = message_read(fd, 0, &file);
	int saved = errno;
	close(fd);
	if (result == MESSAGE_ERROR)
		fprintf(stderr, "%s: queue/%s cannot be read: %s\n",
			choice->program, path, strerror(saved));
	if (result != MESSAGE_OK)
		return false;
	bool wanted =
		file.header.marked &&
		criteria_match_message(choice->criteria, &file, choice->now_us);
	message_free(&file);
	return wanted;
}

static void
look(void *context, const struct queue_entry *entry)
{
	struct choice *choice = context;
	const struct criteria *criteria = choice->criteria;

	if (choice->has_failed ||
		!criteria_match_place(criteria, entry->id, entry->folder) ||
		(criteria_of_content(criteria) &&
			!look_into(choice, entry->path)))
		return;
	(void)add(choice, entry->id, entry->path);
}

/* --- each once --- */

/* One that was seen in two places: the later look counts. */
static int
compare(const void *left, const void *right)
{
	const struct request_id *a = left, *b = right;

	return strcmp(a->id, b->id);
}

static void
make_unique(struct chosen *chosen)
{
	size_t kept = 0;

	if (chosen->count > 0)
		qsort(chosen->message, chosen->count, sizeof *chosen->message,
			compare);
	for (size_t i = 0; i < chosen->count; i++) {
		const struct request_id *one = &chosen->message[i];

		if (kept > 0 &&
			strcmp(chosen->message[kept - 1].id, one->id) == 0) {
			/* a place is worth more than none */
			if (one->place[0] != 0)
				chosen->message[kept - 1] = *one;
		} else {
			chosen->message[kept++] = *one;
		}
	}
	chosen->count = kept;
}

int
queue_choose(const char *program, int queue_folder,
	const struct criteria *criteria, struct chosen *chosen)
{
	struct choice choice = {
		program, queue_folder, criteria, chosen, 0, false};
	char bad[LAYOUT_PATH_MAX];

	choice.now_us = criteria_now_us();
	*chosen = (struct chosen){0};
	if (queue_walk(queue_folder, look, &choice, bad) < 0) {
		fprintf(stderr, "%s: queue/%s: %s\n", program, bad,
			strerror(errno));
		goto fail;
	}
	if (!criteria_of_content(criteria) && criteria->folder == NULL)
		for (size_t i = 0; i < criteria->ids; i++)
			(void)add(&choice, criteria->id[i], "");
	if (choice.has_failed) {
		fprintf(stderr, "%s: no memory\n", program);
		goto fail;
	}
	make_unique(chosen);
	return 0;
fail:
	queue_chosen_free(chosen);
	return -1;
}

void
queue_chosen_free(struct chosen *chosen)
{
	free(chosen->message);
	*chosen = (struct chosen){0};
}
