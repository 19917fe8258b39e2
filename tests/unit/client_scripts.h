#ifndef TESTS_UNIT_CLIENT_SCRIPTS_H
#define TESTS_UNIT_CLIENT_SCRIPTS_H

/*
 * What servers say to the SMTP client, and what it must say, line by line, for
 * the tests of it; client_scene.h tells what the marks mean.
 */

#include "remote/client.h"

#define PLAIN "<220 hi\n>EHLO me.test\n<250-hi\n<250 HELP\n"
#define PIPE "<220 hi\n>EHLO me.test\n<250-hi\n<250 PIPELINING\n"
#define FULL                                                                 \
	"<220 hi\n>EHLO me.test\n<250-hi\n<250-pipelining\n<250-SIZE 1000\n" \
	"<250-8BITMIME\n<250-DSN\n<250-SMTPUTF8\n<250 ENHANCEDSTATUSCODES\n"
#define MAIL ">MAIL FROM:<s@x.test>\n"
#define TO(n) ">RCPT TO:<r" #n "@y.test>\n"
#define OK "<250 2.0.0 ok\n"
#define GO "<354 go\n"
#define BODY ">Subject: x\n>\n>..dot\n>end\n>.\n"
#define CONTENT "Subject: x\n\n.dot\nend\n"
#define CHUNK \
	"<220 hi\n>EHLO me.test\n<250-hi\n<250-PIPELINING\n<250 CHUNKING\n"
#define CHUNK_BODY ">BDAT 25 LAST\n>Subject: x\n>\n>.dot\n>end\n"
#define SIZED(n) \
	"<220 hi\n>EHLO me.test\n<250-hi\n<250-8BITMIME\n<250 SIZE " n "\n"
#define SIZED_BODY                                                         \
	">MAIL FROM:<s@x.test> SIZE=25\n" OK TO(0) OK ">DATA\n" GO BODY OK \
						      ">QUIT\n"

struct row {
	const char *name, *script;
	enum client_result greet, send;
	const char *results; /* a letter for each recipient: R, D, F, or A */
	const char *text;    /* within the first one's text, or client->text */
	const char *content; /* NULL: CONTENT */
	int smtputf8, requiretls, duplicate;
};

static const struct row ROWS[] = {
	{"one command at a time",
		PLAIN MAIL "-\n" OK TO(0) "-\n" OK TO(
			1) "-\n" OK ">DATA\n-\n" GO BODY OK ">QUIT\n",
		CLIENT_OK, CLIENT_OK, "RR",
		"250 2.0.0 ok (host mx.test [192.0.2.1])", NULL, 0, 0, 0},
	{"pipelining",
		PIPE MAIL TO(0) TO(1) ">DATA\n" OK OK OK GO BODY OK ">QUIT\n",
		CLIENT_OK, CLIENT_OK, "RR", "250 2.0.0 ok", NULL, 0, 0, 0},
	{"HELO",
		"<220 hi\n>EHLO me.test\n<500 what\n>HELO me.test\n<250 "
		"hi\n" MAIL OK TO(0) OK ">DATA\n" GO BODY OK ">QUIT\n",
		CLIENT_OK, CLIENT_OK, "R", "250", NULL, 0, 0, 0},
	{"all extensions",
		FULL ">MAIL FROM:<s@x.test> SIZE=7 BODY=8BITMIME SMTPUTF8 "
		     "RET=HDRS ENVID=e+2B\n>RCPT TO:<r0@y.test> "
		     "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o\n>DATA\n" OK OK GO
		     ">\xc3\xa4\n>b\n>.\n" OK ">QUIT\n",
		CLIENT_OK, CLIENT_OK, "N", "250", "\xc3\xa4\nb", 1, 0, 0},
	{"greeting 5xx", "<554 no\n", CLIENT_NEXT_HOST, 0, "",
		"554 no (host mx.test [192.0.2.1])", NULL, 0, 0, 0},
	{"greeting 421", "<421 4.3.2 busy\n!\n", CLIENT_NEXT_HOST, 0, "",
		"421 4.3.2 busy", NULL, 0, 0, 0},
	{"no greeting", "!\n", CLIENT_NEXT_HOST, 0, "", "4.4.2", NULL, 0, 0, 0},
	{"a greeting of another protocol", "<+OK POP\n", CLIENT_NEXT_HOST, 0,
		"", "4.4.2", NULL, 0, 0, 0},
	{"no word", "$\n", CLIENT_NEXT_HOST, 0, "", "no reply in time", NULL, 0,
		0, 0},
	{"gone after EHLO", "<220 hi\n>EHLO me.test\n!\n", CLIENT_NEXT_HOST, 0,
		"", "4.4.2", NULL, 0, 0, 0},
	{"EHLO and HELO refused",
		"<220 hi\n>EHLO me.test\n<550 a\n>HELO me.test\n<550 b\n",
		CLIENT_NEXT_HOST, 0, "", "550 b", NULL, 0, 0, 0},
	{"mixed replies",
		PIPE MAIL TO(0) TO(1) TO(2)
			TO(3) ">DATA\n" OK "<550-5.1.1 no\n<550 5.1.1 user\n" OK
			      "<451 4.7.1 later\n" OK GO BODY OK ">QUIT\n",
		CLIENT_OK, CLIENT_OK, "FRDR", "550 5.1.1 no user (host", NULL,
		0, 0, 0},
	{"all refused, and DATA too",
		PIPE MAIL TO(0) TO(1) ">DATA\n" OK "<550 a\n<450 b\n"
				      "<554 none\n>QUIT\n",
		CLIENT_OK, CLIENT_OK, "FD", "550 a", NULL, 0, 0, 0},
	{"all refused, but 354",
		PIPE MAIL TO(0) TO(1) ">DATA\n" OK "<550 a\n<450 b\n" GO
				      ">.\n<554 none\n>QUIT\n",
		CLIENT_OK, CLIENT_OK, "FD", "550 a", NULL, 0, 0, 0},
	{"all refused one by one",
		PLAIN MAIL OK TO(0) "<550 a\n" TO(1) "<550 b\n>QUIT\n",
		CLIENT_OK, CLIENT_OK, "FF", "550 a", NULL, 0, 0, 0},
	{"MAIL refused", PLAIN MAIL "<550 bad sender\n>QUIT\n", CLIENT_OK,
		CLIENT_OK, "FF", "550 bad sender", NULL, 0, 0, 0},
	{"MAIL refused in a pipeline",
		PIPE MAIL TO(0) TO(1) ">DATA\n<450 later\n<503 a\n<503 b\n"
				      "<503 c\n>QUIT\n",
		CLIENT_OK, CLIENT_OK, "DD", "450 later", NULL, 0, 0, 0},
	{"MAIL 421", PIPE MAIL TO(0) TO(1) ">DATA\n<421 bye\n!\n", CLIENT_OK,
		CLIENT_NEXT_HOST, "TT", "421 bye", NULL, 0, 0, 0},
	{"gone at MAIL", PLAIN MAIL "!\n", CLIENT_OK, CLIENT_NEXT_HOST, "TT",
		"4.4.2", NULL, 0, 0, 0},
	{"gone at RCPT", PLAIN MAIL OK TO(0) OK TO(1) "!\n", CLIENT_OK,
		CLIENT_CLOSE, "DD", "4.4.2 connection lost after RCPT", NULL, 0,
		0, 0},
	{"421 at RCPT", PLAIN MAIL OK TO(0) "<550 no\n" TO(1) "<421 bye\n!\n",
		CLIENT_OK, CLIENT_CLOSE, "FDD", "550 no", NULL, 0, 0, 0},
	{"3xx at RCPT", PLAIN MAIL OK TO(0) "<354 go\n", CLIENT_OK,
		CLIENT_CLOSE, "DD", "4.4.2", NULL, 0, 0, 0},
	{"gone at DATA", PLAIN MAIL OK TO(0) OK ">DATA\n!\n", CLIENT_OK,
		CLIENT_CLOSE, "D", "4.4.2 connection lost after DATA", NULL, 0,
		0, 0},
	{"DATA refused", PLAIN MAIL OK TO(0) OK ">DATA\n<554 no\n>QUIT\n",
		CLIENT_OK, CLIENT_OK, "F", "554 no", NULL, 0, 0, 0},
	{"DATA 250", PLAIN MAIL OK TO(0) OK ">DATA\n" OK, CLIENT_OK,
		CLIENT_CLOSE, "D", "4.4.2", NULL, 0, 0, 0},
	{"refused at the end",
		PLAIN MAIL OK TO(0) OK TO(1) OK ">DATA\n" GO BODY
						"<552 5.3.4 too big\n>QUIT\n",
		CLIENT_OK, CLIENT_OK, "FF", "552 5.3.4 too big", NULL, 0, 0, 0},
	{"deferred at the end with 421",
		PLAIN MAIL OK TO(0) OK ">DATA\n" GO BODY "<421 bye\n!\n",
		CLIENT_OK, CLIENT_CLOSE, "D", "421 bye", NULL, 0, 0, 0},
	{"gone after the final dot",
		PLAIN MAIL OK TO(0) OK ">DATA\n" GO BODY "!\n", CLIENT_OK,
		CLIENT_CLOSE, "D", "may arrive twice", NULL, 0, 0, 1},
	{"silent after the final dot",
		PLAIN MAIL OK TO(0) OK ">DATA\n" GO BODY "$\n", CLIENT_OK,
		CLIENT_CLOSE, "D", "may arrive twice", NULL, 0, 0, 1},
	{"a chunk", CHUNK MAIL TO(0) TO(1) OK OK OK CHUNK_BODY OK ">QUIT\n",
		CLIENT_OK, CLIENT_OK, "RR", "250 2.0.0 ok", NULL, 0, 0, 0},
	{"a chunk for one of two",
		CHUNK MAIL TO(0) TO(1) OK "<550 a\n" OK CHUNK_BODY OK ">QUIT\n",
		CLIENT_OK, CLIENT_OK, "FR", "550 a", NULL, 0, 0, 0},
	{"no chunk if all are refused", CHUNK MAIL TO(0) OK "<550 a\n>QUIT\n",
		CLIENT_OK, CLIENT_OK, "F", "550 a", NULL, 0, 0, 0},
	{"a chunk without pipelining",
		"<220 hi\n>EHLO me.test\n<250-hi\n<250 chunking\n" MAIL OK TO(
			0) "-\n" OK CHUNK_BODY OK ">QUIT\n",
		CLIENT_OK, CLIENT_OK, "R", "250 2.0.0 ok", NULL, 0, 0, 0},
	{"a chunk refused",
		CHUNK MAIL TO(0) OK OK CHUNK_BODY "<552 5.3.4 big\n>QUIT\n",
		CLIENT_OK, CLIENT_OK, "F", "552 5.3.4 big", NULL, 0, 0, 0},
	{"an empty chunk", CHUNK MAIL TO(0) OK OK ">BDAT 0 LAST\n" OK ">QUIT\n",
		CLIENT_OK, CLIENT_OK, "R", "250 2.0.0 ok", "", 0, 0, 0},
	{"a chunk with CR, a dot line and no last line end",
		CHUNK MAIL TO(0) OK OK ">BDAT 14 LAST\n>a\n>b\n>.\n>..c\n" OK
				       ">QUIT\n",
		CLIENT_OK, CLIENT_OK, "R", "250 2.0.0 ok", "a\rb\n.\n..c", 0, 0,
		0},
	{"gone after the chunk", CHUNK MAIL TO(0) OK OK CHUNK_BODY "!\n",
		CLIENT_OK, CLIENT_CLOSE, "D",
		"lost after the final chunk, before the reply", NULL, 0, 0, 1},
	{"421 after the chunk",
		CHUNK MAIL TO(0) OK OK CHUNK_BODY "<421 bye\n!\n", CLIENT_OK,
		CLIENT_CLOSE, "D", "421 bye", NULL, 0, 0, 0},
	{"too many recipients",
		PIPE MAIL TO(0) TO(1)
			TO(2) ">DATA\n" OK OK
			      "<452 4.5.3 too many\n<552 too many\n" GO BODY OK
			      ">QUIT\n",
		CLIENT_OK, CLIENT_OK, "RAA", "250", NULL, 0, 0, 0},
	{"LIMITS",
		"<220 hi\n>EHLO me.test\n<250-hi\n<250-PIPELINING\n<250 "
		"LIMITS MAILMAX=9 X=? rcptmax=2\n" MAIL TO(0)
			TO(1) ">DATA\n-\n" OK OK OK GO BODY OK ">QUIT\n",
		CLIENT_OK, CLIENT_OK, "RRA", "250", NULL, 0, 0, 0},
	{"LIMITS that are none",
		"<220 hi\n>EHLO me.test\n<250-hi\n<250-PIPELINING\n<250 "
		"LIMITS RCPTMAX=1 MAILMAX=0\n" MAIL TO(0)
			TO(1) ">DATA\n" OK OK OK GO BODY OK ">QUIT\n",
		CLIENT_OK, CLIENT_OK, "RR", "250", NULL, 0, 0, 0},
	{"too many, one by one",
		PLAIN MAIL OK TO(0) OK TO(1) "<552 too many\n>DATA\n" GO BODY OK
					     ">QUIT\n",
		CLIENT_OK, CLIENT_OK, "RAA", "250", NULL, 0, 0, 0},
	{"a full mailbox is not too many",
		PIPE MAIL TO(0) TO(1) TO(2) ">DATA\n" OK OK "<552 5.2.2 full\n"
					    "<452 4.2.2 full\n" GO BODY OK
					    ">QUIT\n",
		CLIENT_OK, CLIENT_OK, "RFD", "250", NULL, 0, 0, 0},
	{"the first is too many",
		PLAIN MAIL OK TO(0) "<452 too many\n" TO(1) "<552 no\n>QUIT\n",
		CLIENT_OK, CLIENT_OK, "DF", "452 too many", NULL, 0, 0, 0},
	{"SMTPUTF8 is not offered", PLAIN ">QUIT\n", CLIENT_OK, CLIENT_OK, "FF",
		"5.6.7", NULL, 1, 0, 0},
	{"TLS is demanded", FULL ">QUIT\n", CLIENT_OK, CLIENT_NEXT_HOST, "T",
		"5.7.30", NULL, 0, 1, 0},
	{"a size that is too small", SIZED("24") ">QUIT\n", CLIENT_OK,
		CLIENT_OK, "FF", "5.3.4", NULL, 0, 0, 0},
	{"a size that just fits", SIZED("25") SIZED_BODY, CLIENT_OK, CLIENT_OK,
		"R", "250", NULL, 0, 0, 0},
	{"no size", SIZED("") SIZED_BODY, CLIENT_OK, CLIENT_OK, "R", "250",
		NULL, 0, 0, 0},
	{"a size of 0", SIZED("0") SIZED_BODY, CLIENT_OK, CLIENT_OK, "R", "250",
		NULL, 0, 0, 0},
	{"a size that is none", SIZED("big") SIZED_BODY, CLIENT_OK, CLIENT_OK,
		"R", "250", NULL, 0, 0, 0},
	{"all refused, and gone at DATA",
		PIPE MAIL TO(0) TO(1) ">DATA\n" OK "<550 a\n<450 b\n!\n",
		CLIENT_OK, CLIENT_CLOSE, "FD", "550 a", NULL, 0, 0, 0},
	{"a reply without its last line",
		"<220 hi\n>EHLO me.test\n<250-hi\n!\n", CLIENT_NEXT_HOST, 0, "",
		"4.4.2", NULL, 0, 0, 0},
	{"8bit without 8BITMIME",
		PLAIN MAIL OK TO(0) OK ">DATA\n" GO ">\xe4\n>.\n" OK ">QUIT\n",
		CLIENT_OK, CLIENT_OK, "R", "250", "\xe4\n", 0, 0, 0},
	{"an empty message",
		PLAIN MAIL OK TO(0) OK ">DATA\n" GO ">.\n" OK ">QUIT\n",
		CLIENT_OK, CLIENT_OK, "R", "250", "", 0, 0, 0},
	{"a dot alone, without an end",
		PLAIN MAIL OK TO(0) OK ">DATA\n" GO ">..\n>.\n" OK ">QUIT\n",
		CLIENT_OK, CLIENT_OK, "R", "250", ".", 0, 0, 0},
};

#endif
