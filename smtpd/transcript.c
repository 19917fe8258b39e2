#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "lib/escape.h"
#include "lib/log.h"
#include "lib/networks.h"
#include "smtpd/session.h"
#include "smtpd/transcript.h"

/* Octets of a line that are shown, escapes included. */
#define SHOWN_MAX 900

static const struct setting SETTINGS[] = {
	{"transcript", SETTING_LIST, NULL, 0, 0,
		offsetof(struct transcript, clients),
		"clients whose sessions are written into the log"},
};

int
transcript_read(struct session *session, char *why, size_t size)
{
	struct transcript *transcript = &session->transcript;
	char folder[HOME_NAME_MAX];

	if (settings_read(SETTINGS, SETTINGS_COUNT(SETTINGS),
		    home_path(&session->home, "control", folder), transcript,
		    why, size) < 0)
		return -1;
	return networks_check(
		&transcript->clients, "transcript", NULL, why, size);
}

void
transcript_free(struct session *session)
{
	settings_free(SETTINGS, SETTINGS_COUNT(SETTINGS), &session->transcript);
}

void
transcript_client(struct session *session)
{
	struct transcript *transcript = &session->transcript;
	const char *variable = getenv("SMTPTRACE"), *word;

	transcript->is_on = (variable != NULL && *variable != 0) ||
			    networks_find(&transcript->clients,
				    session->peer.address, &word) != 0;
}

size_t
transcript_visible(
	bool *is_secret, const char *line, size_t len, bool is_command)
{
	const char *space = memchr(line, ' ', len);
	size_t word_len = space != NULL ? (size_t)(space - line) : len;
	size_t at = word_len;

	if (word_len != 4 || strncasecmp(line, "AUTH", 4) != 0) {
		*is_secret = *is_secret && !is_command;
		return *is_secret ? 0 : len;
	}
	*is_secret = true;
	while (at < len && line[at] == ' ')
		at++;
	while (at < len && line[at] != ' ')
		at++;
	return at;
}

/* One line of the dialogue; what is hidden of it, shown as that. */
static void
tell(const struct session *session, char direction, const char *text,
	size_t len, size_t hidden)
{
	char shown[SHOWN_MAX + 1];

	escape_line(shown, sizeof shown, text, len, ESCAPE_HEX);
	if (hidden > 0)
		log_line("transcript client=%s %c %s(%zu octets hidden)",
			session->peer.address, direction, shown, hidden);
	else
		log_line("transcript client=%s %c %s", session->peer.address,
			direction, shown);
}

void
transcript_line(
	struct session *session, const char *line, size_t len, bool is_command)
{
	struct transcript *transcript = &session->transcript;

	if (!transcript->is_on)
		return;
	size_t visible = transcript_visible(
		&transcript->is_secret, line, len, is_command);
	tell(session, '>', line, visible, len - visible);
}

void
transcript_reply(const struct session *session, const char *wire, size_t len)
{
	if (!session->transcript.is_on)
		return;
	while (len > 0) {
		const char *end = memchr(wire, '\n', len);
		size_t whole = end != NULL ? (size_t)(end - wire) + 1 : len;
		size_t shown = whole;

		while (shown > 0 &&
			(wire[shown - 1] == '\n' || wire[shown - 1] == '\r'))
			shown--;
		tell(session, '<', wire, shown, 0);
		wire += whole;
		len -= whole;
	}
}

void
transcript_content(const struct session *session, uint64_t octets)
{
	if (session->transcript.is_on)
		log_line("transcript client=%s > (content, %" PRIu64 " octets)",
			session->peer.address, octets);
}
