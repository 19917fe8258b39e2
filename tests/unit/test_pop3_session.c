/*
 * Whole sessions over a socket pair: what the client sends and what it gets,
 * and what is left in the Maildir. Each row of the table has a Maildir of its
 * own.
 */
#include "tests/unit/pop3_harness.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

/* How the client's octets are cut. */
enum manner {
	AT_ONCE,
	OCTET_BY_OCTET,
	AHEAD, /* all of it comes through the login part */
	HALF_AHEAD,
	MANNERS,
};

static const struct row {
	const char *name;
	struct file before[FILES_MAX];
	const char *client;
	size_t client_length;
	const char *server;
	const char *after[FILES_MAX]; /* these exist; "!x": x does not */
	int status;
} ROWS[] = {
	{"empty", {{0}}, TEXT("STAT\r\nLIST\r\nUIDL\r\nNOOP\r\nQUIT\r\n"),
		"+OK 0 messages\r\n+OK 0 0\r\n"
		"+OK 0 messages (0 octets)\r\n.\r\n"
		"+OK unique ids follow\r\n.\r\n+OK\r\n+OK bye\r\n",
		{0}, 0},
	{"lists", {{"Maildir/new/2.b", "b\n"}, {"Maildir/cur/1.a:2,S", "a"}},
		TEXT("stat\r\nList\r\nLIST 2\r\nUIDL\r\nUIDL 01\r\nQUIT\r\n"),
		"+OK 2 messages\r\n+OK 2 6\r\n+OK 2 messages (6 octets)\r\n"
		"1 3\r\n2 3\r\n.\r\n+OK 2 3\r\n+OK unique ids follow\r\n"
		"1 1.a\r\n2 2.b\r\n.\r\n+OK 1 1.a\r\n+OK bye\r\n",
		{"Maildir/new/2.b", "Maildir/cur/1.a:2,S"}, 0},
	{"RETR, dots and no last line end",
		{{"Maildir/new/1.a", ".\n..\na\n.b"}},
		TEXT("LIST 1\r\nRETR 1\r\nQUIT\r\n"),
		"+OK 1 messages\r\n+OK 1 14\r\n+OK 14 octets\r\n"
		"..\r\n...\r\na\r\n..b\r\n.\r\n+OK bye\r\n",
		{"!Maildir/new/1.a", "Maildir/cur/1.a:2,S"}, 0},
	{"RETR, bare CR and CRLF", {{"Maildir/cur/1.a", "a\rb\r\n\rc\n"}},
		TEXT("RETR 1\r\nQUIT\r\n"),
		"+OK 1 messages\r\n+OK 9 octets\r\na\rb\r\n\rc\r\n.\r\n"
		"+OK bye\r\n",
		{"Maildir/cur/1.a:2,S"}, 0},
	{"RETR, flags",
		{{"Maildir/cur/1.a:2,FT", "a\n"},
			{"Maildir/cur/2.a:2,S", "a\n"},
			{"Maildir/cur/3.a:1,x", "a\n"},
			{"Maildir/cur/4.a:2,", "a\n"}},
		TEXT("RETR 1\r\nRETR 2\r\nRETR 3\r\nTOP 4 9\r\nQUIT\r\n"),
		"+OK 4 messages\r\n+OK 3 octets\r\na\r\n.\r\n"
		"+OK 3 octets\r\na\r\n.\r\n+OK 3 octets\r\na\r\n.\r\n"
		"+OK top of message follows\r\na\r\n.\r\n+OK bye\r\n",
		{"Maildir/cur/1.a:2,FST", "Maildir/cur/2.a:2,S",
			"Maildir/cur/3.a:1,x", "Maildir/cur/4.a:2,"},
		0},
	{"LAST", {{"Maildir/cur/1.a", "a\n"}, {"Maildir/cur/2.b", "b\n"}},
		TEXT("LAST\r\nRETR 2\r\nRETR 1\r\nLAST\r\nRSET\r\nLAST\r\n"
		     "LAST 1\r\nQUIT\r\n"),
		"+OK 2 messages\r\n+OK 0\r\n+OK 3 octets\r\nb\r\n.\r\n"
		"+OK 3 octets\r\na\r\n.\r\n+OK 2\r\n+OK 2 messages\r\n+OK 0\r\n"
		"-ERR LAST with too many arguments\r\n+OK bye\r\n",
		{0}, 0},
	{"LANG and UTF8", {{0}},
		TEXT("LANG\r\nLANG EN-gb\r\nLANG *\r\nLANG eno\r\nLANG uga\r\n"
		     "LANG i-default\r\nUTF8\r\nQUIT\r\n"),
		"+OK 0 messages\r\n+OK languages follow\r\nen English\r\n.\r\n"
		"+OK en the language is English\r\n"
		"+OK en the language is English\r\n"
		"-ERR no such language here, see LANG\r\n"
		"-ERR no such language here, see LANG\r\n"
		"+OK en the language is English\r\n"
		"-ERR UTF8 comes before the login\r\n+OK bye\r\n",
		{0}, 0},
	{"UTF-8 in the header",
		{{"Maildir/cur/1.a",
			"s: \303\244\342\202\254\nl: \344\n\n\303\244\n"}},
		TEXT("LIST 1\r\nRETR 1\r\nTOP 1 0\r\nQUIT\r\n"),
		"+OK 1 messages\r\n+OK 1 22\r\n+OK 22 octets\r\ns: ?????\r\n"
		"l: \344\r\n\r\n\303\244\r\n.\r\n"
		"+OK top of message follows\r\ns: ?????\r\nl: \344\r\n\r\n.\r\n"
		"+OK bye\r\n",
		{0}, 0},
	{"sizes in names",
		{{"Maildir/cur/1.a,S=4,W=6", "a\nb\n"},
			{"Maildir/cur/2.lie,S=4,W=6", "a\n"}},
		TEXT("STAT\r\nRETR 1\r\nRETR 2\r\nQUIT\r\n"),
		"+OK 2 messages\r\n+OK 2 12\r\n+OK 6 octets\r\na\r\nb\r\n.\r\n"
		"+OK message follows\r\na\r\n.\r\n+OK bye\r\n",
		{0}, 0},
	{"RETR, empty", {{"Maildir/cur/1.a", ""}}, TEXT("RETR 1\r\nQUIT\r\n"),
		"+OK 1 messages\r\n+OK 0 octets\r\n.\r\n+OK bye\r\n", {0}, 0},
	{"TOP", {{"Maildir/new/1.a", "h: 1\ni: 2\n\nb\n.c\n\nd"}},
		TEXT("TOP 1 0\r\nTOP 1 2\r\n"
		     "TOP 1 18446744073709551615\r\nQUIT\r\n"),
		"+OK 1 messages\r\n+OK top of message follows\r\n"
		"h: 1\r\ni: 2\r\n\r\n.\r\n"
		"+OK top of message follows\r\n"
		"h: 1\r\ni: 2\r\n\r\nb\r\n..c\r\n.\r\n"
		"+OK top of message follows\r\n"
		"h: 1\r\ni: 2\r\n\r\nb\r\n..c\r\n\r\nd\r\n.\r\n+OK bye\r\n",
		{"Maildir/new/1.a"}, 0},
	{"TOP, CRLF in the file", {{"Maildir/new/1.a", "h: 1\r\n\r\nb\r\nc"}},
		TEXT("TOP 1 0\r\nTOP 1 1\r\nQUIT\r\n"),
		"+OK 1 messages\r\n+OK top of message follows\r\nh: 1\r\n\r\n"
		".\r\n+OK top of message follows\r\nh: 1\r\n\r\nb\r\n.\r\n"
		"+OK bye\r\n",
		{0}, 0},
	{"TOP, header alone", {{"Maildir/new/1.a", "h: 1"}},
		TEXT("TOP 1 0\r\nQUIT\r\n"),
		"+OK 1 messages\r\n+OK top of message follows\r\nh: 1\r\n"
		".\r\n+OK bye\r\n",
		{0}, 0},
	{"DELE and QUIT",
		{{"Maildir/new/1.a", "a\n"}, {"Maildir/cur/2.b", "b\n"}},
		TEXT("RETR 1\r\nDELE 1\r\nDELE 1\r\nRETR 1\r\nLIST 1\r\n"
		     "UIDL 1\r\nTOP 1 0\r\nSTAT\r\nLIST\r\nQUIT\r\nSTAT\r\n"),
		"+OK 2 messages\r\n+OK 3 octets\r\na\r\n.\r\n"
		"+OK message 1 deleted\r\n-ERR message 1 is deleted\r\n"
		"-ERR message 1 is deleted\r\n-ERR message 1 is deleted\r\n"
		"-ERR message 1 is deleted\r\n-ERR message 1 is deleted\r\n"
		"+OK 1 3\r\n+OK 1 messages (3 octets)\r\n2 3\r\n.\r\n"
		"+OK bye\r\n",
		{"!Maildir/new/1.a", "!Maildir/cur/1.a:2,S", "Maildir/cur/2.b"},
		0},
	{"RSET", {{"Maildir/new/1.a", "a\n"}},
		TEXT("DELE 1\r\nRSET\r\nSTAT\r\nQUIT\r\n"),
		"+OK 1 messages\r\n+OK message 1 deleted\r\n+OK 1 messages\r\n"
		"+OK 1 3\r\n+OK bye\r\n",
		{"Maildir/new/1.a"}, 0},
	{"lost without QUIT", {{"Maildir/new/1.a", "a\n"}},
		TEXT("RETR 1\r\nDELE 1\r\nQUIT"),
		"+OK 1 messages\r\n+OK 3 octets\r\na\r\n.\r\n"
		"+OK message 1 deleted\r\n",
		{"Maildir/new/1.a", "!Maildir/cur/1.a:2,S"}, 0},
	{"numbers", {{"Maildir/new/1.a", "a\n"}},
		TEXT("RETR 0\r\nRETR 2\r\nRETR -1\r\nRETR +1\r\nRETR 1x\r\n"
		     "DELE 18446744073709551617\r\nTOP 1 x\r\nTOP 1 -1\r\n"
		     "TOP 1\r\nRETR\r\nDELE 1 1\r\nSTAT 1\r\nQUIT 1\r\n"
		     "LIST 1 \r\nQUIT\r\n"),
		"+OK 1 messages\r\n-ERR no such message\r\n"
		"-ERR no such message\r\n-ERR not a message number\r\n"
		"-ERR not a message number\r\n-ERR not a message number\r\n"
		"-ERR not a message number\r\n-ERR not a number of lines\r\n"
		"-ERR not a number of lines\r\n-ERR TOP needs an argument\r\n"
		"-ERR RETR needs an argument\r\n"
		"-ERR DELE with too many arguments\r\n"
		"-ERR STAT with too many arguments\r\n"
		"-ERR QUIT with too many arguments\r\n+OK 1 3\r\n+OK bye\r\n",
		{"Maildir/new/1.a"}, 0},
	{"garbage", {{0}},
		TEXT("\r\n \r\nSTA\r\nSTATX\r\nST\0AT\r\n\377\376\r\nST\rAT\r\n"
		     "RETR\t1\r\nUSER ann\r\nPASS a b c d\r\nSTLS\r\n"
		     "NOOP\nQUIT\r\n"),
		"+OK 0 messages\r\n-ERR unknown command\r\n"
		"-ERR unknown command\r\n-ERR unknown command\r\n"
		"-ERR unknown command\r\n-ERR the line has odd octets in it\r\n"
		"-ERR the line has odd octets in it\r\n"
		"-ERR the line has odd octets in it\r\n"
		"-ERR the line has odd octets in it\r\n"
		"-ERR you are logged in already\r\n"
		"-ERR you are logged in already\r\n"
		"-ERR you are logged in already\r\n+OK\r\n+OK bye\r\n",
		{0}, 0},
	{"CAPA", {{0}}, TEXT("CAPA\r\nQUIT\r\n"),
		"+OK 0 messages\r\n+OK capabilities follow\r\nTOP\r\nUIDL\r\n"
		"RESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nUTF8\r\n"
		"LANG\r\nLOGIN-DELAY 0\r\nEXPIRE NEVER\r\n"
		"IMPLEMENTATION keepmail\r\n.\r\n+OK bye\r\n",
		{0}, 0},
	{"no folder", {{"Maildir/new", "a file"}}, TEXT("STAT\r\n"),
		"-ERR [SYS/TEMP] the maildrop cannot be opened now\r\n", {0},
		111},
};

static void
check_row(const struct row *row, enum manner manner)
{
	struct running running;
	char home[64];
	char *answer = malloc(ANSWER_ROOM);
	int at;
	size_t ahead = 0;

	assert_non_null(answer);
	make_home(home, &at, row->before);
	start_session(&running, home);
	if (manner == AHEAD)
		ahead = row->client_length;
	else if (manner == HALF_AHEAD)
		ahead = row->client_length / 2;
	send_octets(running.login, row->client, ahead, 7);
	close(running.login);
	send_octets(running.client, row->client + ahead,
		row->client_length - ahead,
		manner == OCTET_BY_OCTET ? 1 : row->client_length);
	shutdown(running.client, SHUT_WR);
	size_t length = read_until(running.client, answer, 0, NULL);
	answer[length] = '\0';
	if (strcmp(answer, row->server) != 0)
		print_error("row \"%s\", manner %d\n", row->name, manner);
	assert_string_equal(answer, row->server);
	assert_int_equal(end_session(&running), row->status);
	for (size_t file = 0; file < FILES_MAX && row->after[file] != NULL;
		file++) {
		const char *path = row->after[file];
		int absent = path[0] == '!';

		assert_int_equal(
			faccessat(at, path + absent, F_OK, 0) != 0, absent);
	}
	remove_home(home, at);
	free(answer);
}

static void
test_transcripts(void **state)
{
	(void)state;
	for (size_t row = 0; row < LENGTH(ROWS); row++)
		for (int manner = AT_ONCE; manner < MANNERS; manner++)
			check_row(&ROWS[row], (enum manner)manner);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transcripts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
