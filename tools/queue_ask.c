#include "tools/queue_ask.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/durable.h"
#include "lib/home.h"
#include "lib/outcome.h"
#include "queue/wakeup.h"

/* Between two looks for the answer, in milliseconds. */
#define LOOK_MS 20
#define ANSWER_OCTETS_MAX (REQUEST_IDS_MAX * (size_t)(REQUEST_TEXT_MAX + 64))

int
queue_ask_open(struct ask *ask, const char *program, int queue_folder)
{
	struct home home;
	char why[400];

	*ask = (struct ask){
		.program = program,
		.queue_folder = queue_folder,
	};
	if (home_open(&home, why, sizeof why) < 0) {
		fprintf(stderr, "%s: %s\n", program, why);
		return STATUS_TEMPORARY;
	}
	if (home_user_id(&home, "_keep-runner", &ask->runner) < 0) {
		fprintf(stderr, "%s: control/ids has no user _keep-runner\n",
			program);
		return STATUS_TEMPORARY;
	}
	ask->requests_folder = openat(queue_folder, QUEUE_REQUESTS,
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (ask->requests_folder >= 0 && faccessat(queue_folder, QUEUE_REQUESTS,
						 W_OK | X_OK, AT_EACCESS) == 0)
		return 0;
	int saved = errno;
	fprintf(stderr,
		"%s: queue/" QUEUE_REQUESTS ": %s; root and members of its "
		"group may ask the runner\n",
		program, strerror(saved));
	if (ask->requests_folder >= 0)
		close(ask->requests_folder);
	return saved == EACCES || saved == EPERM || saved == EROFS
		       ? STATUS_MISUSE
		       : STATUS_TEMPORARY;
}

/* The file under a name that the runner passes over, until it is whole. */
static int
write_file(const struct ask *ask, const char *new, const stralloc *octets)
{
	int fd = durable_create(ask->requests_folder, new, 0644);

	if (fd < 0)
		return -1;
	int result = fchmod(fd, 0644); /* whatever the umask is */
	if (result == 0)
		result = durable_write_all(fd, octets->s, octets->len);
	if (result == 0)
		result = durable_sync_file(fd);
	int saved = errno;
	close(fd);
	errno = saved;
	return result;
}

int
queue_ask_put(const struct ask *ask, const struct request *request,
	char name[IDENT_LENGTH + 1])
{
	struct wakeup_writer writer = WAKEUP_WRITER(QUEUE_WAKE_RUNNER);
	char new[IDENT_LENGTH + 2], line[LAYOUT_PATH_MAX];
	stralloc octets = STRALLOC_ZERO;
	bool is_made = false;
	int result = -1;

	if (request_pack(request, &octets) == 0 && ident_make(name) == 0) {
		snprintf(new, sizeof new, ".%s", name);
		result = write_file(ask, new, &octets);
		is_made = true;
	}
	if (result == 0)
		result = durable_publish(
			ask->requests_folder, new, ask->requests_folder, name);
	if (result == 0)
		result = durable_sync_folder(ask->requests_folder);
	if (result < 0) {
		fprintf(stderr,
			"%s: cannot write queue/" QUEUE_REQUESTS ": %s\n",
			ask->program, strerror(errno));
		if (is_made)
			(void)unlinkat(ask->requests_folder, new, 0);
	} else {
		snprintf(line, sizeof line, QUEUE_REQUESTS "/%s", name);
		wakeup_ring(&writer, ask->queue_folder, line);
	}
	if (writer.fd >= 0)
		close(writer.fd);
	stralloc_free(&octets);
	return result;
}

bool
queue_ask_is_heard(const struct ask *ask)
{
	int fd = openat(ask->queue_folder, QUEUE_WAKE_RUNNER,
		O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || errno != ENXIO;
}

static void
print(void *context, const struct request_answer *answer)
{
	struct ask *ask = context;
	FILE *to = answer->is_done ? stdout : stderr;

	if (!answer->is_done)
		ask->refused++;
	if (answer->id[0] == 0)
		fprintf(to, "%s: the runner refuses the request: %s\n",
			ask->program, answer->text);
	else
		fprintf(to, "%s: %s\n", answer->id, answer->text);
}

static int
take_answer(struct ask *ask, const void *octets, size_t size)
{
	if (ask->read != NULL && ask->read(ask->context, octets, size) == 0)
		return 0;
	/* a refusal has the other form */
	return request_unpack_answers(octets, size, print, ask);
}

/* Reads and prints the answer. -1 after a message. */
static int
read_answer(struct ask *ask, int fd)
{
	struct stat st;
	int result = -1;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
		st.st_uid == ask->runner && st.st_size > 0 &&
		(uint64_t)st.st_size <= ANSWER_OCTETS_MAX) {
		size_t size = (size_t)st.st_size;
		char *octets = malloc(size);

		if (octets != NULL && pread(fd, octets, size, 0) == st.st_size)
			result = take_answer(ask, octets, size);
		free(octets);
	}
	if (result < 0)
		fprintf(stderr,
			"%s: there is an answer that is none of the "
			"runner's\n",
			ask->program);
	return result;
}

int
queue_ask_fetch(struct ask *ask, const char *name, int64_t deadline_ms)
{
	char path[REQUEST_NAME_MAX];
	int fd;

	snprintf(path, sizeof path, "%.20s" REQUEST_DONE, name);
	while ((fd = openat(ask->requests_folder, path,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)) < 0 &&
		errno == ENOENT && deadline_now_ms() < deadline_ms)
		(void)poll(NULL, 0, LOOK_MS);
	if (fd < 0) {
		if (errno != ENOENT)
			fprintf(stderr, "%s: queue/" QUEUE_REQUESTS "/%s: %s\n",
				ask->program, path, strerror(errno));
		return -1;
	}
	int result = read_answer(ask, fd);
	close(fd);
	(void)unlinkat(ask->requests_folder, path, 0);
	return result;
}
