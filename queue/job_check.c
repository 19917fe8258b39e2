#include "queue/job_check.h"
#include "queue/message_file.h"

bool
job_is_stale(const struct job *job, int message)
{
	struct message_file file;
	bool is_stale = false;

	if (message_read(message, 0, &file) != MESSAGE_OK)
		return false;
	for (uint32_t i = 0; i < job->recipients; i++) {
		uint32_t number = job->recipient[i].number;

		if (number >= file.envelope.recipients)
			continue;
		const struct message_recipient_state *state =
			&file.state[number];
		if (state->attempts + 1 != job->attempt ||
			(state->outcome != 0 &&
				outcome_is_final(state->outcome)))
			is_stale = true;
	}
	message_free(&file);
	return is_stale;
}

bool
job_file_is_stale(int file, int message)
{
	struct job job;

	if (job_read(file, &job) != JOB_OK)
		return false;
	bool result = job_is_stale(&job, message);
	job_free(&job);
	return result;
}
