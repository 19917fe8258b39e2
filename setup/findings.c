#include "setup/findings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "lib/log.h"
#include "lib/outcome.h"
#include "tools/json.h"
#include "tools/plain.h"

static const char *const shown[] = {"ok", "changed", "warn", "FAIL"};
static const char *const named[] = {"ok", "changed", "warn", "fail"};

void
findings_start(struct findings *findings, bool is_json)
{
	*findings = (struct findings){.is_json = is_json, .took_ms = -1};
	if (is_json)
		printf("{\"findings\":[");
}

static void
tell_json(const struct findings *findings, enum finding result,
	const char *subject, const char *mend, const char *text)
{
	unsigned told = 0;

	for (unsigned i = 0; i <= FINDING_FAIL; i++)
		told += findings->count[i];
	printf("%s{\"result\":\"%s\",\"subject\":", told > 0 ? "," : "",
		named[result]);
	json_text(subject);
	printf(",\"text\":");
	json_text(text);
	if (findings->took_ms >= 0)
		printf(",\"took_ms\":%" PRId64, findings->took_ms);
	if (mend[0] != '\0') {
		printf(",\"mend\":");
		json_text(mend);
	}
	putchar('}');
}

static void
tell_text(const struct findings *findings, enum finding result,
	const char *subject, const char *mend, const char *text)
{
	if (findings->is_short && result <= FINDING_CHANGED)
		return;
	printf("%-8s", shown[result]);
	plain_text(stdout, subject);
	printf(": ");
	plain_text(stdout, text);
	if (findings->took_ms >= 0)
		printf(" (%" PRId64 " ms)", findings->took_ms);
	putchar('\n');
	if (mend[0] != '\0') {
		printf("        mend: ");
		plain_text(stdout, mend);
		putchar('\n');
	}
	/* each step is seen when it is done */
	(void)fflush(stdout);
}

void
findings_tell(struct findings *findings, enum finding result,
	const char *subject, const char *mend, const char *format, ...)
{
	char text[FINDINGS_TEXT_MAX];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	if (mend == NULL)
		mend = "";
	if (findings->is_silent)
		;
	else if (findings->is_json)
		tell_json(findings, result, subject, mend, text);
	else
		tell_text(findings, result, subject, mend, text);
	findings->count[result]++;
	if (result > findings->worst)
		findings->worst = result;
	findings->took_ms = -1;
}

const char *
findings_word(const char *text, char *word, size_t size)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_.,:@%+=/-";
	size_t used = 0;

	word[0] = '\0';
	if (text[0] != '\0' && text[strspn(text, plain)] == '\0') {
		if (strlen(text) < size)
			memcpy(word, text, strlen(text) + 1);
		return word;
	}
	/* each octet takes at most four, and quotes and NUL three */
	if (size < 4 * strlen(text) + 3)
		return word;
	word[used++] = '\'';
	for (; *text != '\0'; text++) {
		if (*text == '\'') {
			memcpy(word + used, "'\\''", 4);
			used += 4;
		} else {
			word[used++] = *text;
		}
	}
	word[used++] = '\'';
	word[used] = '\0';
	return word;
}

const char *
findings_mend(char mend[FINDINGS_TEXT_MAX], const char *format, ...)
{
	va_list list;

	va_start(list, format);
	int len = vsnprintf(mend, FINDINGS_TEXT_MAX, format, list);
	va_end(list);
	if (len < 0 || len >= FINDINGS_TEXT_MAX)
		mend[0] = '\0';
	return mend;
}

int
findings_end(struct findings *findings)
{
	if (findings->is_json) {
		printf("],\"result\":\"%s\"}\n", named[findings->worst]);
	} else {
		printf("%u ok, ", findings->count[FINDING_OK]);
		if (findings->count[FINDING_CHANGED] > 0)
			printf("%u changed, ",
				findings->count[FINDING_CHANGED]);
		printf("%u warn, %u FAIL\n", findings->count[FINDING_WARN],
			findings->count[FINDING_FAIL]);
	}
	if (fflush(stdout) != 0 || ferror(stdout)) {
		log_line("standard output: %s", strerror(errno));
		return STATUS_TEMPORARY;
	}
	return findings->worst == FINDING_FAIL ? STATUS_FOUND : STATUS_DONE;
}
