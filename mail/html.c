#include "mail/html.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What is looked at of a tag's name and of a link; more of it is passed over. */
#define NAME_OCTETS 16
#define LINK_OCTETS 400
/* Where a <meta> is looked for. */
#define HEAD_OCTETS 4096

struct state {
	const char *at, *end;
	stralloc *into;
	size_t first;	       /* where our part of *into starts */
	const char *no_text;   /* inside <script> and the like: its name */
	unsigned preformatted; /* how many <pre> are open */
	bool is_space;	       /* white space is due before the next text */
	bool failed;
	char link[LINK_OCTETS + 1];
	size_t link_from; /* where the text of the link starts */
};

static const struct {
	const char *name, *text;
} ENTITIES[] = {
	{"amp", "&"},
	{"lt", "<"},
	{"gt", ">"},
	{"quot", "\""},
	{"apos", "'"},
	{"nbsp", " "},
	{"copy", "\xc2\xa9"},
	{"reg", "\xc2\xae"},
	{"auml", "\xc3\xa4"},
	{"ouml", "\xc3\xb6"},
	{"uuml", "\xc3\xbc"},
	{"Auml", "\xc3\x84"},
	{"Ouml", "\xc3\x96"},
	{"Uuml", "\xc3\x9c"},
	{"szlig", "\xc3\x9f"},
	{"agrave", "\xc3\xa0"},
	{"ccedil", "\xc3\xa7"},
	{"egrave", "\xc3\xa8"},
	{"eacute", "\xc3\xa9"},
	{"euro", "\xe2\x82\xac"},
	{"ndash", "\xe2\x80\x93"},
	{"mdash", "\xe2\x80\x94"},
	{"lsquo", "\xe2\x80\x98"},
	{"rsquo", "\xe2\x80\x99"},
	{"ldquo", "\xe2\x80\x9c"},
	{"rdquo", "\xe2\x80\x9d"},
	{"laquo", "\xc2\xab"},
	{"raquo", "\xc2\xbb"},
	{"bull", "\xe2\x80\xa2"},
	{"middot", "\xc2\xb7"},
	{"hellip", "\xe2\x80\xa6"},
	{"zwnj", ""},
	{"shy", ""},
};

/* Elements whose start and end each end a line; 2: with an empty line. */
static const struct {
	const char *name;
	int lines;
} BLOCKS[] = {
	{"p", 2},
	{"div", 1},
	{"br", 1},
	{"tr", 1},
	{"li", 1},
	{"ul", 1},
	{"ol", 1},
	{"dl", 1},
	{"dt", 1},
	{"dd", 1},
	{"hr", 2},
	{"h1", 2},
	{"h2", 2},
	{"h3", 2},
	{"h4", 2},
	{"h5", 2},
	{"h6", 2},
	{"pre", 2},
	{"table", 2},
	{"blockquote", 2},
	{"section", 1},
	{"article", 1},
	{"header", 1},
	{"footer", 1},
	{"body", 1},
	{"form", 1},
	{"address", 1},
	{"center", 1},
	{"figure", 1},
};

static const char *const NO_TEXT[] = {
	"script", "style", "title", "template", "noembed", "iframe", "object"};

static void
put(struct state *state, const char *text, size_t len)
{
	if (len > 0 && !stralloc_catb(state->into, text, len))
		state->failed = true;
}

static char
last(const struct state *state)
{
	return state->into->len > state->first
		       ? state->into->s[state->into->len - 1]
		       : '\n';
}

/* Text that is no white space. */
static void
put_text(struct state *state, const char *text, size_t len)
{
	if (state->is_space && last(state) != '\n' && last(state) != ' ')
		put(state, " ", 1);
	state->is_space = false;
	put(state, text, len);
}

/* At least so many line ends before what comes; none at the beginning. */
static void
end_lines(struct state *state, int lines)
{
	size_t len = state->into->len;
	int there = 0;

	state->is_space = false;
	while (len > state->first && state->into->s[len - 1] == ' ')
		len--;
	state->into->len = len;
	if (len == state->first)
		return;
	while (there < 2 && len - (size_t)there > state->first &&
		state->into->s[len - 1 - (size_t)there] == '\n')
		there++;
	for (; there < lines; there++)
		put(state, "\n", 1);
}

static void
put_code_point(struct state *state, unsigned long code)
{
	char octets[4];
	size_t len = 0;

	if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		code = 0xfffd;
	if (code == '\n' || code == '\t' || code == '\r' || code == 0xa0)
		code = ' ';
	if (code == ' ') {
		state->is_space = true;
		return;
	}
	if (code < 0x80) {
		octets[len++] = (char)code;
	} else if (code < 0x800) {
		octets[len++] = (char)(0xc0 | code >> 6);
	} else if (code < 0x10000) {
		octets[len++] = (char)(0xe0 | code >> 12);
		octets[len++] = (char)(0x80 | (code >> 6 & 0x3f));
	} else {
		octets[len++] = (char)(0xf0 | code >> 18);
		octets[len++] = (char)(0x80 | (code >> 12 & 0x3f));
		octets[len++] = (char)(0x80 | (code >> 6 & 0x3f));
	}
	if (code >= 0x80)
		octets[len++] = (char)(0x80 | (code & 0x3f));
	put_text(state, octets, len);
}

/* At "&": a reference, or the character itself. */
static void
take_entity(struct state *state)
{
	const char *start = state->at + 1, *at = start;
	char name[NAME_OCTETS + 1];
	size_t len, i;

	while (at < state->end && at - start < NAME_OCTETS && *at != ';' &&
		*at > ' ' && *at != '<' && *at != '&')
		at++;
	len = (size_t)(at - start);
	memcpy(name, start, len);
	name[len] = 0;
	state->at = at < state->end && *at == ';' ? at + 1 : at;
	if (len > 1 && name[0] == '#') {
		bool is_hex = (name[1] | 0x20) == 'x';
		char *rest;
		unsigned long code =
			strtoul(name + 1 + is_hex, &rest, is_hex ? 16 : 10);

		if (*rest == 0 && name[1 + is_hex] != '-') {
			put_code_point(state, code);
			return;
		}
	}
	for (i = 0; i < sizeof(ENTITIES) / sizeof(ENTITIES[0]); i++) {
		if (strcmp(ENTITIES[i].name, name) != 0)
			continue;
		if (strcmp(ENTITIES[i].text, " ") == 0)
			state->is_space = true;
		else
			put_text(state, ENTITIES[i].text,
				strlen(ENTITIES[i].text));
		return;
	}
	state->at = start;
	put_text(state, "&", 1);
}

static void
start_link(struct state *state, const char *value, size_t len)
{
	if (len > LINK_OCTETS ||
		(strncasecmp(value, "http", len < 4 ? len : 4) != 0 &&
			strncasecmp(value, "mailto:", len < 7 ? len : 7) != 0))
		return;
	memcpy(state->link, value, len);
	state->link[len] = 0;
	state->link_from = state->into->len;
}

static void
end_link(struct state *state)
{
	const char *link = state->link;
	size_t len = strlen(link), from = state->link_from;

	if (len == 0)
		return;
	if (strncasecmp(link, "mailto:", 7) == 0) {
		link += 7;
		len -= 7;
	}
	while (from < state->into->len && strchr(" \n", state->into->s[from]))
		from++;
	if (from > state->into->len || state->into->len - from != len ||
		memcmp(state->into->s + from, link, len) != 0) {
		state->is_space = true;
		put_text(state, "<", 1);
		put(state, link, len);
		put(state, ">", 1);
	}
	state->link[0] = 0;
}

/* Goes over the attributes to behind the ">"; takes href of <a>. */
static void
take_attributes(struct state *state, bool is_link)
{
	const char *at = state->at, *end = state->end, *name, *value;
	size_t name_len, value_len;

	while (at < end && *at != '>') {
		name = at;
		while (at < end && *at != '>' && *at != '=' &&
			strchr(" \t\r\n/", *at) == NULL)
			at++;
		name_len = (size_t)(at - name);
		if (name_len == 0 && *at != '=') {
			at++;
			continue;
		}
		while (at < end && *at != 0 && strchr(" \t\r\n", *at) != NULL)
			at++;
		if (at == end || *at != '=')
			continue;
		at++;
		while (at < end && *at != 0 && strchr(" \t\r\n", *at) != NULL)
			at++;
		value = at;
		if (at < end && (*at == '"' || *at == '\'')) {
			value = at + 1;
			at = memchr(value, *at, (size_t)(end - value));
			if (at == NULL)
				at = end;
			value_len = (size_t)(at - value);
			at += at < end;
		} else {
			while (at < end && *at != '>' &&
				strchr(" \t\r\n", *at) == NULL)
				at++;
			value_len = (size_t)(at - value);
		}
		if (is_link && name_len == 4 &&
			strncasecmp(name, "href", 4) == 0)
			start_link(state, value, value_len);
	}
	state->at = at < end ? at + 1 : end;
}

/* Passes over a comment, a declaration or a processing instruction. */
static void
take_declaration(struct state *state)
{
	const char *at = state->at;
	size_t left = (size_t)(state->end - at);

	if (left >= 4 && memcmp(at, "<!--", 4) == 0) {
		at = memmem(at + 4, left - 4, "-->", 3);
		state->at = at == NULL ? state->end : at + 3;
		return;
	}
	at = memchr(at, '>', left);
	state->at = at == NULL ? state->end : at + 1;
}

static void
apply(struct state *state, const char *name, bool is_end)
{
	size_t i;

	for (i = 0; i < sizeof(NO_TEXT) / sizeof(NO_TEXT[0]) && !is_end; i++) {
		if (strcmp(name, NO_TEXT[i]) == 0)
			state->no_text = NO_TEXT[i];
	}
	for (i = 0; i < sizeof(BLOCKS) / sizeof(BLOCKS[0]); i++) {
		if (strcmp(name, BLOCKS[i].name) != 0)
			continue;
		if (strcmp(name, "br") == 0) {
			state->is_space = false;
			put(state, "\n",
				last(state) != '\n' ||
					state->into->len > state->first);
		} else {
			end_lines(state, BLOCKS[i].lines);
		}
	}
	if (strcmp(name, "li") == 0 && !is_end)
		put(state, "- ", 2);
	if (strcmp(name, "td") == 0 || strcmp(name, "th") == 0)
		state->is_space = true;
	if (strcmp(name, "pre") == 0 && !is_end)
		state->preformatted++;
	if (strcmp(name, "pre") == 0 && is_end && state->preformatted > 0)
		state->preformatted--;
}

/* At "<": a tag, or the character itself. */
static void
take_tag(struct state *state)
{
	char name[NAME_OCTETS + 1];
	const char *start = state->at;
	bool is_end = state->end - start > 1 && start[1] == '/';
	const char *at = start + 1 + is_end;
	size_t len = 0;

	if (at < state->end && (*at == '!' || *at == '?')) {
		take_declaration(state);
		return;
	}
	while (at < state->end &&
		((*at | 0x20) >= 'a' ? (*at | 0x20) <= 'z'
				     : len > 0 && *at >= '0' && *at <= '9')) {
		if (len < NAME_OCTETS)
			name[len++] = *at >= 'A' && *at <= 'Z'
					      ? (char)(*at | 0x20)
					      : *at;
		at++;
	}
	name[len] = 0;
	if (len == 0) {
		state->at = start + 1;
		put_text(state, "<", 1);
		return;
	}
	state->at = at;
	if (strcmp(name, "a") == 0)
		end_link(state);
	take_attributes(state, strcmp(name, "a") == 0 && !is_end);
	apply(state, name, is_end);
}

/* Within <script> and the like: on to its end tag. */
static void
skip_no_text(struct state *state)
{
	size_t len = strlen(state->no_text);

	while (state->at < state->end) {
		const char *at = memchr(
			state->at, '<', (size_t)(state->end - state->at));

		if (at == NULL)
			break;
		state->at = at + 1;
		if ((size_t)(state->end - at) >= len + 2 && at[1] == '/' &&
			strncasecmp(at + 2, state->no_text, len) == 0) {
			state->at = at;
			state->no_text = NULL;
			return;
		}
	}
	state->at = state->end;
}

static void
take_characters(struct state *state)
{
	const char *at = state->at;

	if (strchr(" \t\r\n\f", *at) != NULL) {
		if (state->preformatted > 0 && *at != '\r') {
			put(state, *at == 0 ? " " : at, 1);
			state->is_space = false;
		} else {
			state->is_space = true;
		}
		state->at++;
		return;
	}
	while (at < state->end && strchr(" \t\r\n\f<&", *at) == NULL)
		at++;
	put_text(state, state->at, (size_t)(at - state->at));
	state->at = at;
}

int
html_to_text(const char *html, size_t len, stralloc *into)
{
	if (len == 0)
		return 0;
	struct state state = {.at = html,
		.end = html + len,
		.into = into,
		.first = into->len};

	while (state.at < state.end && !state.failed) {
		if (state.no_text != NULL)
			skip_no_text(&state);
		else if (*state.at == '<')
			take_tag(&state);
		else if (*state.at == '&')
			take_entity(&state);
		else
			take_characters(&state);
	}
	end_link(&state);
	end_lines(&state, 1);
	return state.failed ? -1 : 0;
}

void
html_charset(const char *html, size_t len, char label[HTML_CHARSET_MAX + 1])
{
	static const char WANTED[] = "charset=";
	const size_t wanted = sizeof(WANTED) - 1;
	size_t i, used = 0;
	bool is_meta = false;

	label[0] = 0;
	len = len > HEAD_OCTETS ? HEAD_OCTETS : len;
	for (i = 0; i + wanted < len; i++) {
		if (html[i] == '<')
			is_meta = strncasecmp(html + i, "<meta", 5) == 0;
		if (is_meta && strncasecmp(html + i, WANTED, wanted) == 0)
			break;
	}
	if (i + wanted >= len)
		return;
	for (i += wanted; i < len && strchr("\"' ", html[i]) != NULL; i++)
		;
	for (; i < len && used < HTML_CHARSET_MAX; i++) {
		char letter = html[i];

		if (letter >= 'A' && letter <= 'Z')
			letter = (char)(letter | 0x20);
		if ((letter < 'a' || letter > 'z') &&
			(letter < '0' || letter > '9') &&
			(letter == 0 || strchr("-_.:", letter) == NULL))
			break;
		label[used++] = letter;
	}
	label[used] = 0;
	if (strncmp(label, "utf-16", 6) == 0)
		label[0] = 0;
}
