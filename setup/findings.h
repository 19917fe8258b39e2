#ifndef SETUP_FINDINGS_H
#define SETUP_FINDINGS_H

/*
 * What a tool that looks at an installation has found, told on standard output
 * one by one, for people or for programs. A finding is a result, a subject (one
 * word or path), a sentence that says what is so, and, where something is to be
 * done, the exact command that mends it. For people:
 *
 *   FAIL  control/me: it is missing
 *         mend: echo mail.example.org >/var/lib/keepmail/control/me
 *
 * and with json one object on one line, whole only after findings_end:
 *
 *   {"findings":[{"result":"fail","subject":"control/me","text":"it is missing",
 *   "mend":"echo …"},…],"result":"fail"}
 *
 * "mend" stands where there is one, "took_ms" where the step was timed. Texts
 * that others chose may be handed in as they are: nothing commands a terminal.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum finding {
	FINDING_OK,
	FINDING_CHANGED, /* it was not so, and now it is */
	FINDING_WARN,	 /* it works, but not as well as it should */
	FINDING_FAIL,	 /* it does not work */
};

struct findings {
	bool is_json;
	bool is_short;	    /* text: what is ok or changed is counted alone */
	bool is_silent;	    /* nothing is told, only counted */
	enum finding worst; /* so far */
	unsigned count[FINDING_FAIL + 1];
	int64_t took_ms; /* of the next finding, which sets it to -1 */
};

/* Octets of the longest sentence and of the longest mend, NUL included; longer
 * ones are cut. */
#define FINDINGS_TEXT_MAX 1024

/* Exit status of a tool that found a FAIL. */
enum { STATUS_FOUND = 1 };

void findings_start(struct findings *findings, bool is_json);

/* Tells one. mend is NULL or "" for none. */
void findings_tell(struct findings *findings, enum finding result,
	const char *subject, const char *mend, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/*
 * Writes a text as one word of a shell, in quotes if it needs them, and returns
 * word; "" if there is no room.
 */
const char *findings_word(const char *text, char *word, size_t size);

/* Writes a command; where there is no room for all of it, "". Returns mend. */
const char *findings_mend(char mend[FINDINGS_TEXT_MAX], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Tells the end: a line with the numbers, or the end of the JSON. Returns the exit
 * status: STATUS_DONE if nothing was a FAIL, else STATUS_FOUND; STATUS_TEMPORARY
 * if standard output could not be written, which it logs.
 */
int findings_end(struct findings *findings);

#endif
