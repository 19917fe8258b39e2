/* Header fields: they follow each other without a gap, up to the body. */
#include "lib/fields.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fields fields;
	struct field field;
	const char *block = (const char *)data, *next;
	char body[40];

	fields_start(&fields, block, size);
	next = block + fields.at;
	while (fields_next(&fields, &field)) {
		assert(field.start == next && field.len >= 2);
		next += field.len;
		assert(field.name_len > 0 &&
			field.name + field.name_len < field.body);
		assert(field.body + field.body_len <= next);
		assert(field_is(&field, "To") ==
			(field.name_len == 2 && (field.name[0] | 32) == 't' &&
				(field.name[1] | 32) == 'o'));
		assert(field_unfold(&field, body, sizeof body) < sizeof body);
		assert(memchr(body, '\n', strlen(body)) == NULL);
	}
	assert(block + fields.body_at >= next && fields.body_at <= size);
	assert(fields.blank || block + fields.body_at == next);
	(void)fields_count(block, size, "Received");
	return 0;
}
