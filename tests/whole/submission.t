#!/usr/bin/env python3
"""Mail of our own users: who may submit, what is made whole and what hidden, whose
name may stand where, and how much of it there may be."""

import os
import re
import smtplib
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance

tap = Tap()
BODY = (b"\r\n..dots \xc3\xbc\r\n\r\nFrom: not@a.header\r\n \r\nlast\r\n")


class Users:
    def __init__(self, host):
        self.host = host

    def rules(self, line):
        """Everybody's variables at the submission port."""
        control = os.path.join(self.host.home, "control")
        self.host.control("tcp.submission", line + "\n")
        with open(os.path.join(control, "tcp.submission")) as file:
            subprocess.run(["tcprules", "tcp.submission.cdb",
                            "tcp.submission.tmp"], cwd=control, stdin=file,
                           check=True)
        self.host.give(os.path.join(control, "tcp.submission.cdb"))

    def login(self, name, more=""):
        self.rules(f':allow,SMTPLOGIN="{name}"{more}')

    def session(self, port=None):
        client = self.host.smtp(port or self.host.submission_port)
        client.ehlo("my.private.host.test")
        return client

    def send(self, header, sender=None, to=None, body=BODY, client=None):
        """The reply that ends it: to MAIL, RCPT or the content."""
        own = client or self.session()
        for code, text in self.steps(own, header, sender, to, body):
            if code >= 400:
                break
        if not client:
            own.close()
        return code, text.decode()

    def steps(self, client, header, sender, to, body):
        yield client.mail(sender if sender is not None else self.host.address,
                          ["BODY=8BITMIME"])
        for address in to or [self.host.address]:
            yield client.rcpt(address)
        try:
            yield client.data(header.replace("\n", "\r\n").encode() + body)
        except smtplib.SMTPDataError as error:
            yield error.smtp_code, error.smtp_error

    def one(self):
        texts = self.host.wait_delivered(1)
        self.host.wait_empty()
        for path in self.host.delivered():
            os.unlink(path)
        return texts[0] if texts else b""


def added(text):
    """What stands between our Received field and the message."""
    return re.search(rb"\nReceived: .*?;\n\t[^\n]*\n(.*?)(?=X-First)", text,
                     re.S).group(1)


def whole(users):
    host = users.host
    header = f"X-First: 1\nSubject:\n folded\nFrom: {host.address}\n"
    tap.same(users.send(header)[0], 250, "a message without Date")
    text = users.one()
    tap.ok(re.fullmatch(rb"Date: [^\n]+ \+0000\nMessage-ID: <[0-9a-z]{20}@"
                        + host.domain.encode() + rb">\n", added(text)),
           "Date and Message-ID are added", text)
    tap.same(text[text.index(b"X-First"):],
             (header.encode() + BODY.replace(b"\r\n", b"\n")),
             "the rest is byte for byte as it came")
    for missing, present in (("Message-ID", "daTe : x"),
                             ("Date", "MESSAGE-ID:\n <a@b>")):
        users.send(f"X-First: 1\n{present}\nFrom: {host.address}\n")
        text = added(users.one())
        tap.ok(re.fullmatch(missing.encode() + rb": [^\n]+\n", text),
               f"of the two, only {missing} is missing", text)
    users.send(f"X-First: 1\nDate: x\nMessage-Id: <y@z>\nFrom: {host.address}\n")
    tap.same(added(users.one()), b"", "or nothing")
    users.send("X-First: 1", body=b"\r\n")
    tap.ok(b"Message-ID" in added(users.one()), "a header without a body")
    big = "X-First: 1\n" + "".join(f"X-{n}: {'x' * 900}\n" for n in range(250))
    body = BODY + b"0123456789abcde\r\n" * 200000
    tap.same(users.send(big, body=body)[0], 250, "a header of 226 KB")
    text = users.one()
    tap.ok(text.endswith(big.encode() + body.replace(b"\r\n", b"\n"))
           and b"Date: " in added(text), "…is whole, and so is a long body")
    code, text = users.send(big + big, body=body)
    tap.ok(code == 554 and "header is too long" in text,
           "one of 452 KB is refused", (code, text))
    with users.session(host.smtp_port) as client:
        users.send("X-First: 1\n", client=client)
    tap.same(added(users.one()), b"", "at port 25 nothing is added")


def hidden(users):
    host = users.host
    users.send("X-First: 1\n")
    text = users.one()
    tap.ok(b"127.0.0.1" not in text and b"my.private" not in text
           and re.search(rb"\nReceived: by " + host.domain.encode()
                         + rb" with ESMTP id ", text),
           "nothing of the client stands in the message", text)
    users.rules(':allow,RELAYCLIENT="",HIDECLIENT="0"')
    users.send("X-First: 1\n")
    tap.ok(b"Received: from my.private.host.test (unknown [127.0.0.1])"
           in users.one(), "hideclient 0 shows it")
    users.rules(':allow,RELAYCLIENT=""')
    with users.session(host.smtp_port) as client:
        users.send("X-First: 1\n", client=client)
    tap.ok(b"from my.private.host.test" in users.one(), "port 25 shows it")


def who_may(users):
    host = users.host
    users.rules(":allow")
    code, text = users.send("X-First: 1\n")
    tap.ok(code == 530 and text.startswith("5.7.0"),
           "without login and RELAYCLIENT: 530 5.7.0", (code, text))
    tap.ok(re.search(r"at=MAIL .*rule=submission code=530",
                     host.log("submission")), "…and a line in the log",
           host.log("submission")[-500:])
    users.login(host.address)
    tap.same(users.send(f"X-First: 1\nFrom: {host.address}\n")[0], 250,
             "with a login it goes")
    users.one()
    with users.session() as client:
        client.mail(host.address)
        tap.same(client.rcpt("somebody@elsewhere.test")[0], 250,
                 "…to any domain")
    with users.session(host.smtp_port) as client:
        client.mail(host.address)
        tap.same(client.rcpt("somebody@elsewhere.test")[0], 550,
                 "but at port 25 not")


def senders(users):
    host = users.host
    own, domain = host.address, host.domain
    users.login(own)
    tap.same(users.send("X-First: 1\n", sender=own.upper())[0], 250,
             "the login itself, in any case")
    tap.same(users.send("X-First: 1\n", sender="")[0], 250, "and no sender")
    host.wait_delivered(2)
    users.one()
    for sender in (f"other@{domain}", f"user-list@{domain}", "user@other.test",
                   f'"user "@{domain}'):
        code, text = users.send("X-First: 1\n", sender=sender)
        tap.ok(code == 553 and text.startswith("5.7.1"),
               f"MAIL FROM:<{sender}> is another's", (code, text))
    good = (f"From: {own}\n", f'From: "Boss <boss@{domain}>" <{own.upper()}>\n',
            f"From: (boss@{domain}) {own}\n", f"from :\n {own}\n",
            "Subject: no From at all\n")
    got = {line: users.send("X-First: 1\n" + line)[0] for line in good}
    tap.same([line for line in got if got[line] != 250], [],
             "a From field with the own address, in any form, or none")
    host.wait_delivered(len(good))
    users.one()
    bad = (f"From: boss@{domain}\n", f"From: {own}, boss@{domain}\n",
           f"From: {own}\nFrom: boss@{domain}\n",
           f"from\t:\n\tBoss\n <boss@{domain}>\n", "From: \n",
           "From: user\n", f"From: {own} <boss@{domain}>\n", "From: group:;\n",
           f"From: <boss@{domain}\n", f"From: {own} boss@{domain}\n",
           f"a line that is none\nFrom: boss@{domain}\n",
           f"From: {own}\nnone\nFrom: boss@{domain}\n")
    got = {line: users.send("X-First: 1\n" + line)[0] for line in bad}
    tap.same([line for line in got if got[line] != 554], [],
             "any other From field, and a header with a line that is none")
    tap.ok(host.wait_empty() and not host.delivered(),
           "nothing of that was accepted")
    host.control("senderlogins", "# who else may be whom\n"
                 f"{own.upper()} sales@{domain} @lists.test\nother boss@\n")
    for sender, code in ((f"sales@{domain}", 250), ("any@lists.test", 250),
                         (f"boss@{domain}", 553), ("x@sub.lists.test", 553)):
        tap.same(users.send(f"X-First: 1\nFrom: {sender}\n",
                            sender=sender)[0], code,
                 f"control/senderlogins: {sender}")
    host.wait_delivered(2)
    users.one()
    users.login("user")
    for sender, code in ((own, 250), (f"other@{domain}", 553),
                         ("user@other.test", 553)):
        tap.same(users.send("X-First: 1\n", sender=sender)[0], code,
                 f"a login without a domain: {sender}")
    users.one()
    users.login(own, ',SENDERLOGIN="0"')
    tap.same(users.send("X-First: 1\nFrom: boss@x.test\n",
                        sender="any@x.test")[0], 250,
             "senderlogin 0: any sender")
    users.one()
    users.rules(':allow,RELAYCLIENT=""')
    tap.same(users.send("X-First: 1\nFrom: boss@x.test\n",
                        sender="any@x.test")[0], 250,
             "without a login there is nothing to compare")
    users.one()
    for text in (own, f"{own} !a@b", f"{own} a b"):
        host.control("senderlogins", f"\n{text}\n")
        try:
            users.session().close()
            tap.ok(False, f"senderlogins with {text!r} is not gone by")
        except smtplib.SMTPConnectError as error:
            tap.ok(error.smtp_code == 421 and wait_for(
                lambda: "senderlogins line 2" in host.log("submission")),
                f"senderlogins with {text!r} is named", host.log("submission"))
    os.unlink(f"{host.home}/control/senderlogins")


def limits(users):
    host = users.host
    domain = host.domain
    for name in ("hour", "day", "away"):
        host.run("user-add", f"{name}@{domain}", input=b"secret\n")
    host.control("accounthourly", "3\n")
    users.login(f"hour@{domain}")

    def send(name, number=1):
        return users.send("X-First: 1\n", sender=f"{name}@{domain}",
                          to=[host.address] * number)
    tap.same([send("hour")[0], send("hour", 2)[0], send("hour")[0]],
             [250, 250, 450], "accounthourly counts recipients")
    users.login(f"HOUR@{domain}")
    tap.same(send("hour")[0], 450, "…in whatever case the login came")
    users.login(f"day@{domain}")
    host.control("accountdaily", "2\n")
    tap.same([send("day", 3)[0], send("day", 2)[0], send("day")[0]],
             [450, 250, 450], "accountdaily: what is refused is not counted")
    tap.ok(re.search(r"at=DATA .*rule=accountdaily code=450 .*control/"
                     "accountdaily is 2", host.log("submission")),
           "…and the log names it", host.log("submission")[-500:])
    service = f"{host.home}/service/countd"
    subprocess.run(["svc", "-d", service], check=True)
    wait_for(lambda: host.pid("countd") == 0)
    users.login(f"away@{domain}")
    tap.same(send("away")[0], 451, "who cannot be counted comes later")
    users.rules(':allow,RELAYCLIENT=""')
    tap.same(send("away")[0], 250, "without a login nothing is counted")
    subprocess.run(["svc", "-u", service], check=True)
    wait_for(lambda: host.pid("countd"))
    users.login(f"away@{domain}")
    tap.same(wait_for(lambda: send("away")[0] == 250), True,
             "when countd is back it goes")
    host.wait_empty()


def many_ways(users):
    """Several in a session, and cut everywhere."""
    host = users.host
    users.login(host.address)
    for name in ("accounthourly", "accountdaily"):
        os.unlink(f"{host.home}/control/{name}")
    for path in host.delivered():
        os.unlink(path)
    with users.session() as client:
        codes = [users.send(f"X-First: {n}\nFrom: {address}\n", client=client)[0]
                 for n, address in enumerate((host.address, "x@y.test",
                                              host.address))]
        tap.same(codes, [250, 554, 250], "a refused one harms no other")
        host.wait_delivered(2)
        users.one()
        client.mail(host.address)
        client.rcpt(host.address)
        client.docmd("DATA")
        for octet in b"X-First: 1\r\nFrom: " + host.address.encode() \
                + b"\r\n\r\nbody\r\n.\r\n":
            client.sock.sendall(bytes([octet]))
        tap.same(client.getreply()[0], 250, "octet by octet")
    text = users.one()
    tap.ok(b"Date: " in added(text) and text.endswith(b"\n\nbody\n"),
           "…is the same", text)
    for sender, code in ((host.address, 250), ("x@y.test", 554)):
        with users.session() as client:
            client.mail(host.address)
            client.rcpt(host.address)
            octets = f"X-First: 1\r\nFrom: {sender}\r\n\r\nbody\r\n".encode()
            client.send(b"BDAT 14\r\n" + octets[:14])
            tap.same(client.getreply()[0], 250, "a chunk that ends in a field")
            rest = octets[14:]
            client.send(b"BDAT %d LAST\r\n" % len(rest) + rest)
            tap.same(client.getreply()[0], code, f"…and one with {sender}")
    text = users.one()
    tap.ok(b"Date: " in added(text) and text.endswith(b"\n\nbody\n"),
           "…of which the first arrives", text)
    with users.session() as client:
        client.mail(host.address)
        client.rcpt(host.address)
        client.docmd("DATA")
        client.send(b"X-First: 1\r\nhalf a hea")
        client.close()
    tap.ok(host.wait_empty(5) and not host.delivered(),
           "half a header is nothing")


with Instance() as host:
    users = Users(host)
    users.rules(':allow,RELAYCLIENT=""')
    for step in (whole, hidden, who_may, senders, limits, many_ways):
        tap.case(step, users)
    if tap.failed:
        tap.note(host.logs())
tap.done()
