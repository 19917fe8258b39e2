/*
 * An answer of a name server. The first octet chooses the type asked, the rest
 * stands behind the header and question, which match, so that the input gets
 * as far as it can: flags and counts come first, then the records.
 */
#include "remote/dns.h"
#include <arpa/nameser.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "lib/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_records(const struct dns_answer *answer, int type)
{
	unsigned i;

	assert(answer->count <= DNS_RECORDS_MAX);
	for (i = 0; i < answer->count; i++) {
		const struct dns_record *record = &answer->record[i];

		if (type == ns_t_mx)
			assert(strcmp(record->name, ".") == 0 ||
				domain_valid(
					record->name, strlen(record->name)));
		else
			assert(record->address.ss_family ==
				(type == ns_t_a ? AF_INET : AF_INET6));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int types[3] = {ns_t_mx, ns_t_a, ns_t_aaaa};
	unsigned char query[DNS_QUERY_MAX], *message;
	struct dns_answer answer;
	enum dns_result result;
	enum dns_parse parse;
	size_t query_len, len;
	int type;

	if (size < 8)
		return 0;
	type = types[data[0] % 3];
	query_len =
		dns_make_query(query, sizeof query, 1, "example.test", type);
	assert(query_len > 0);
	len = query_len + size - 8;
	message = malloc(len);
	assert(message != NULL);
	memcpy(message, query, query_len);
	message[2] = 0x80 | (data[1] & 7);
	message[3] = data[1] >> 4;
	memcpy(message + 6, data + 2, 6);
	memcpy(message + query_len, data + 8, size - 8);
	parse = dns_parse_answer(
		message, len, query, query_len, type, &result, &answer);
	free(message);
	assert(parse != DNS_FOREIGN);
	check_records(&answer, type);
	if (parse == DNS_PARSED)
		assert((result == DNS_OK) == (answer.count > 0));
	if (parse == DNS_CHAINED)
		assert(domain_valid(answer.name, strlen(answer.name)));
	return 0;
}
