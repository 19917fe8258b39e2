/*
 * Each line is one of control/smtproutes. What it makes of a domain is read back,
 * and says the same when it is written again; an unusable line is never a way.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "remote/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
look_up(const struct routes *routes, const char *domain, bool is_sound)
{
	char text[ROUTE_TEXT_SIZE], words[ROUTE_WORDS_SIZE];
	struct route_target target;

	if (route_destination(
		    routes, domain, strlen(domain), text, sizeof text) < 0)
		return;
	assert(route_parse(text, &target) == 0);
	assert(!is_sound || target.words.unusable == 0);
	route_words_write(&target.words, words);
	/* the words are those at the end of the text */
	assert(strlen(words) <= strlen(text) &&
		strcmp(text + strlen(text) - strlen(words), words) == 0);
	assert(strchr(text, ' ') == NULL ||
		strlen(strchr(text, ' ')) == strlen(words));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1), *line = copy, why[300];
	struct routes routes;
	struct route_target target;
	size_t number = 7;

	assert(copy != NULL);
	memcpy(copy, data, size);
	copy[size] = 0;
	while (line != NULL) {
		char *next = strchr(line, '\n');
		struct setting_list list = {&line, &number, 1, true};

		if (next != NULL)
			*next++ = 0;
		if (routes_build(&routes, &list, why, sizeof why) == 0) {
			look_up(&routes, "example.org", why[0] == 0);
			look_up(&routes, "a.example.org", why[0] == 0);
			look_up(&routes, "[192.0.2.1]", why[0] == 0);
			routes_free(&routes);
		} else {
			assert(why[0] != 0);
		}
		(void)route_parse(line, &target);
		line = next;
	}
	free(copy);
	return 0;
}
