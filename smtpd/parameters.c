#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "lib/address.h"
#include "lib/envelope.h"
#include "lib/utf8.h"
#include "lib/xtext.h"
#include "smtpd/parameters.h"

/* One parameter, in the text of the command. */
struct piece {
	const char *keyword, *value;
	size_t keyword_len, value_len;
	bool has_value;
};

static bool
is_letter_or_digit(char octet)
{
	return (octet >= 'a' && octet <= 'z') ||
	       (octet >= 'A' && octet <= 'Z') || (octet >= '0' && octet <= '9');
}

/* Takes one parameter from text[0..len), which has no space. */
static bool
split(const char *text, size_t len, struct piece *piece)
{
	const char *equals = memchr(text, '=', len);

	*piece = (struct piece){.keyword = text, .keyword_len = len};
	if (equals != NULL) {
		piece->has_value = true;
		piece->keyword_len = (size_t)(equals - text);
		piece->value = equals + 1;
		piece->value_len = len - piece->keyword_len - 1;
		if (piece->value_len == 0)
			return false;
	}
	if (piece->keyword_len == 0 || !is_letter_or_digit(text[0]))
		return false;
	for (size_t i = 0; i < piece->keyword_len; i++)
		if (!is_letter_or_digit(text[i]) && text[i] != '-')
			return false;
	for (size_t i = 0; i < piece->value_len; i++)
		if ((unsigned char)piece->value[i] < 33 ||
			piece->value[i] == 127 || piece->value[i] == '=')
			return false;
	return true;
}

static bool
keyword_is(const struct piece *piece, const char *name)
{
	return piece->keyword_len == strlen(name) &&
	       strncasecmp(piece->keyword, name, piece->keyword_len) == 0;
}

static bool
value_is(const struct piece *piece, const char *name)
{
	return piece->has_value && piece->value_len == strlen(name) &&
	       strncasecmp(piece->value, name, piece->value_len) == 0;
}

static enum parameters_result
take_size(struct parameters *parameters, const struct piece *piece)
{
	uint64_t size = 0;

	if (parameters->has_size)
		return PARAMETERS_DUPLICATE;
	if (!piece->has_value || piece->value_len > PARAMETERS_SIZE_DIGITS)
		return PARAMETERS_SYNTAX;
	for (size_t i = 0; i < piece->value_len; i++) {
		if (piece->value[i] < '0' || piece->value[i] > '9')
			return PARAMETERS_SYNTAX;
		unsigned digit = (unsigned)(piece->value[i] - '0');
		if (size > (UINT64_MAX - digit) / 10)
			size = UINT64_MAX;
		else
			size = size * 10 + digit;
	}
	parameters->has_size = true;
	parameters->size = size;
	return PARAMETERS_OK;
}

static enum parameters_result
take_body(struct parameters *parameters, const struct piece *piece)
{
	if (parameters->has_body)
		return PARAMETERS_DUPLICATE;
	if (value_is(piece, "7BIT"))
		parameters->body = BODY_7BIT;
	else if (value_is(piece, "8BITMIME"))
		parameters->body = BODY_8BITMIME;
	else
		return PARAMETERS_SYNTAX;
	parameters->has_body = true;
	return PARAMETERS_OK;
}

static enum parameters_result
take_ret(struct parameters *parameters, const struct piece *piece)
{
	if (parameters->has_ret)
		return PARAMETERS_DUPLICATE;
	if (value_is(piece, "FULL"))
		parameters->ret = RET_FULL;
	else if (value_is(piece, "HDRS"))
		parameters->ret = RET_HDRS;
	else
		return PARAMETERS_SYNTAX;
	parameters->has_ret = true;
	return PARAMETERS_OK;
}

static enum parameters_result
take_envid(struct parameters *parameters, const struct piece *piece)
{
	if (parameters->envid != NULL)
		return PARAMETERS_DUPLICATE;
	if (piece->value_len > ENVELOPE_ENVID_MAX ||
		!xtext_is_envid(piece->value, piece->value_len))
		return PARAMETERS_SYNTAX;
	parameters->envid = piece->value;
	parameters->envid_len = piece->value_len;
	return PARAMETERS_OK;
}

size_t
parameters_write_orcpt(
	char into[ENVELOPE_ORCPT_MAX + 1], const char *text, size_t len)
{
	size_t at = 0, octets;
	bool is_utf8 = len > 6 && strncasecmp(text, "utf-8;", 6) == 0;

	for (; len > 0; text += octets, len -= octets) {
		unsigned char first = (unsigned char)*text;
		char one[sizeof "\\x{10FFFF}"] = {*text};

		octets = utf8_scan(text, len);
		if (octets > 1) {
			uint32_t point = first & (0x7fU >> octets);

			for (size_t i = 1; i < octets; i++)
				point = point << 6 |
					((unsigned char)text[i] & 0x3fU);
			snprintf(one, sizeof one, "\\x{%X}", (unsigned)point);
		}
		size_t length = strlen(one);
		if (octets == 0 || length == 0 || (octets > 1 && !is_utf8) ||
			at + length > ENVELOPE_ORCPT_MAX)
			return 0;
		memcpy(into + at, one, length);
		at += length;
	}
	into[at] = 0;
	return xtext_orcpt_type(into, at) > 0 ? at : 0;
}

static enum parameters_result
take_orcpt(struct parameters *parameters, const struct piece *piece)
{
	char orcpt[ENVELOPE_ORCPT_MAX + 1];

	if (parameters->orcpt != NULL)
		return PARAMETERS_DUPLICATE;
	if (parameters_write_orcpt(orcpt, piece->value, piece->value_len) == 0)
		return PARAMETERS_SYNTAX;
	parameters->orcpt = piece->value;
	parameters->orcpt_len = piece->value_len;
	return PARAMETERS_OK;
}

/* NEVER alone, or any of the others, divided by commas, each once. */
static enum parameters_result
take_notify(struct parameters *parameters, const struct piece *piece)
{
	static const struct {
		const char *name;
		uint8_t bit;
	} WORDS[] = {{"NEVER", NOTIFY_NEVER}, {"SUCCESS", NOTIFY_SUCCESS},
		{"FAILURE", NOTIFY_FAILURE}, {"DELAY", NOTIFY_DELAY}};
	uint8_t notify = 0;
	struct piece word = *piece;

	if (parameters->has_notify)
		return PARAMETERS_DUPLICATE;
	for (size_t left = piece->value_len;;
		word.value += word.value_len + 1) {
		const char *comma =
			left > 0 ? memchr(word.value, ',', left) : NULL;
		size_t i = 0;

		word.value_len =
			comma == NULL ? left : (size_t)(comma - word.value);
		while (i < 4 && !value_is(&word, WORDS[i].name))
			i++;
		if (i == 4 || (notify & WORDS[i].bit))
			return PARAMETERS_SYNTAX;
		notify |= WORDS[i].bit;
		if (comma == NULL)
			break;
		left -= word.value_len + 1;
	}
	if ((notify & NOTIFY_NEVER) && notify != NOTIFY_NEVER)
		return PARAMETERS_SYNTAX;
	parameters->has_notify = true;
	parameters->notify = notify;
	return PARAMETERS_OK;
}

/* An address or "<>", in xtext. */
static enum parameters_result
take_auth(struct parameters *parameters, const struct piece *piece)
{
	char text[ADDRESS_TEXT_MAX + 1];
	struct path path;

	if (parameters->has_auth)
		return PARAMETERS_DUPLICATE;
	if (!piece->has_value || piece->value_len > ENVELOPE_ORCPT_MAX)
		return PARAMETERS_SYNTAX;
	ssize_t len =
		xtext_decode(text, sizeof text, piece->value, piece->value_len);
	if (len < 0 ||
		(!(len == 2 && memcmp(text, "<>", 2) == 0) &&
			address_mailbox_scan(text, (size_t)len, 0, &path) < 0))
		return PARAMETERS_SYNTAX;
	parameters->has_auth = true;
	return PARAMETERS_OK;
}

/* SMTPUTF8 and REQUIRETLS: a keyword alone. */
static enum parameters_result
take_flag(bool *flag, const struct piece *piece)
{
	if (*flag)
		return PARAMETERS_DUPLICATE;
	if (piece->has_value)
		return PARAMETERS_SYNTAX;
	*flag = true;
	return PARAMETERS_OK;
}

static enum parameters_result
take_of_mail(enum parameters_command command, struct parameters *parameters,
	const struct piece *piece)
{
	if (keyword_is(piece, "SIZE"))
		return take_size(parameters, piece);
	if (keyword_is(piece, "BODY"))
		return take_body(parameters, piece);
	if (keyword_is(piece, "RET"))
		return take_ret(parameters, piece);
	if (keyword_is(piece, "ENVID"))
		return take_envid(parameters, piece);
	if (keyword_is(piece, "AUTH"))
		return take_auth(parameters, piece);
	if (keyword_is(piece, "SMTPUTF8"))
		return take_flag(&parameters->smtputf8, piece);
	if (command == PARAMETERS_MAIL_TLS && keyword_is(piece, "REQUIRETLS"))
		return take_flag(&parameters->requiretls, piece);
	return PARAMETERS_UNKNOWN;
}

static enum parameters_result
take(enum parameters_command command, struct parameters *parameters,
	const struct piece *piece)
{
	if (command != PARAMETERS_RCPT)
		return take_of_mail(command, parameters, piece);
	if (keyword_is(piece, "NOTIFY"))
		return take_notify(parameters, piece);
	if (keyword_is(piece, "ORCPT"))
		return take_orcpt(parameters, piece);
	return PARAMETERS_UNKNOWN;
}

enum parameters_result
parameters_scan(enum parameters_command command, const char *text, size_t len,
	struct parameters *parameters)
{
	const char *end = text + len;
	struct piece piece;

	*parameters = (struct parameters){.body = BODY_7BIT};
	while (text < end) {
		enum parameters_result result = PARAMETERS_SYNTAX;
		const char *start = text;

		/* Each is preceded by a space, the first too. */
		while (text < end && *text == ' ')
			text++;
		if (text == end)
			break;
		const char *stop = memchr(text, ' ', (size_t)(end - text));
		if (stop == NULL)
			stop = end;
		parameters->bad = text;
		parameters->bad_len = (size_t)(stop - text);
		if (text > start && split(text, parameters->bad_len, &piece))
			result = take(command, parameters, &piece);
		if (result != PARAMETERS_OK)
			return result;
		text = stop;
	}
	parameters->bad = NULL;
	parameters->bad_len = 0;
	return PARAMETERS_OK;
}
