/*
 * The first octet says whether forwards alone are allowed, the rest is the file.
 * Each line that is taken must be one that could be followed.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include "local/instructions.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_line(const struct instruction *line, bool forward_only)
{
	size_t length = strlen(line->text);

	assert(strchr(line->text, '\n') == NULL);
	assert(line->number >= 1 && line->number <= INSTRUCTIONS_LINES_MAX);
	if (line->kind != INSTRUCTION_PROGRAM)
		assert(length > 0);
	if (line->kind != INSTRUCTION_FORWARD)
		assert(!forward_only);
	if (line->kind == INSTRUCTION_MAILDIR)
		assert(line->text[length - 1] == '/');
	if (line->kind == INSTRUCTION_MBOX)
		assert(line->text[length - 1] != '/');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct instructions instructions;
	char why[200] = "";

	if (size == 0)
		return 0;
	bool forward_only = data[0] & 1;
	if (instructions_parse((const char *)data + 1, size - 1, forward_only,
		    &instructions, why, sizeof why) < 0)
		assert(why[0] == '4' && instructions.line == NULL);
	for (unsigned i = 0; i < instructions.lines; i++)
		check_line(&instructions.line[i], forward_only);
	instructions_free(&instructions);
	return 0;
}
