#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "smtpd/submission.h"

/* --- settings --- */

/* A variable that stands above a switch. 0, or -1 with why. */
static int
take_switch(const char *name, int64_t *value, char *why, size_t size)
{
	const char *text = getenv(name);

	if (text == NULL)
		return 0;
	if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0) {
		snprintf(why, size,
			"the variable %s: expected 0 or 1, found \"%.60s\"",
			name, text);
		return -1;
	}
	*value = *text == '1';
	return 0;
}

/* The socket's name, as a path below the home. 0, or -1 with why. */
static int
take_socket(struct session *session, char *why, size_t size)
{
	const char *text = getenv("SUBMITSOCKET");
	const char *from = "the variable SUBMITSOCKET";

	if (text == NULL) {
		text = session->settings.submit_socket;
		from = "control/submitsocket";
	}
	if (strcmp(text, "submit") == 0) {
		session->submit_socket = "socket/submit";
		return 0;
	}
	if (strcmp(text, "filter") == 0) {
		session->submit_socket = "socket/filter";
		return 0;
	}
	snprintf(why, size, "%s: expected submit or filter, found \"%.60s\"",
		from, text);
	return -1;
}

int
submission_configure(struct session *session, char *why, size_t size)
{
	struct smtpd_settings *settings = &session->settings;

	if (take_switch("SUBMISSION", &settings->submission, why, size) < 0 ||
		take_switch("HIDECLIENT", &settings->hide_client, why, size) <
			0 ||
		take_switch("SENDERLOGIN", &settings->sender_login, why, size) <
			0)
		return -1;
	return take_socket(session, why, size);
}
