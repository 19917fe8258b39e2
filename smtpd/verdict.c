#include <stdio.h>
#include "smtpd/verdict.h"

struct verdict
verdict_by_line(
	const char *rule, const char *file, size_t line, struct reply reply)
{
	struct verdict verdict = {.reply = reply, .rule = rule, .line = line};

	if (file == NULL)
		snprintf(verdict.why, sizeof verdict.why, "%s", rule);
	else
		snprintf(verdict.file, sizeof verdict.file, "control/%s", file);
	if (file != NULL && line > 0)
		snprintf(verdict.why, sizeof verdict.why,
			"%s, control/%s line %zu", rule, file, line);
	else if (file != NULL)
		snprintf(verdict.why, sizeof verdict.why, "%s, control/%s",
			rule, file);
	return verdict;
}

struct verdict
verdict_by_rule(const char *rule, struct reply reply)
{
	return verdict_by_line(rule, NULL, 0, reply);
}

struct verdict
verdict_with_reason(struct verdict verdict, const char *why)
{
	snprintf(verdict.why, sizeof verdict.why, "%s", why);
	return verdict;
}
