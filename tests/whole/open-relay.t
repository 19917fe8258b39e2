#!/usr/bin/env python3
"""No open relay: every trick that has ever made a server send strangers' mail to
strangers. A recipient that is refused is refused at RCPT; whatever is taken ends
in a mailbox here. All other domains are routed to a receiver, which gets nothing."""

import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance
from sink import Listener

tap = Tap()

# {u} is an address here, {l} its local part, {d} its domain. "refused" or "here".
TRICKS = [
    # plainly
    ("<victim@far.test>", "refused"),
    ("<victim@FAR.TEST>", "refused"),
    ("victim@far.test", "refused"),
    ("< victim@far.test>", "refused"),
    # domains that look like ours, or are next to it
    ("<victim@{d}.far.test>", "refused"),
    ("<victim@far{d}>", "refused"),
    ("<victim@sub.{d}>", "refused"),
    ("<victim@{d}.>", "refused"),
    ("<victim@.{d}>", "refused"),
    ("<victim@far.test.>", "refused"),
    ("<victim@{d}\u3002far.test>", "refused"),
    ("<victim@f\u00e4r.test>", "refused"),
    # the percent hack
    ("<victim%far.test@{d}>", "refused"),
    ("<{l}%far.test@{d}>", "refused"),
    ("<victim%far.test>", "refused"),
    ("<victim%far.test%{d}@{d}>", "refused"),
    ("<\"victim%far.test\"@{d}>", "refused"),
    ("<victim%far.test@[127.0.0.1]>", "refused"),
    # bang paths
    ("<far.test!victim@{d}>", "refused"),
    ("<far.test!victim>", "refused"),
    ("<{d}!far.test!victim>", "refused"),
    ("<{d}!far.test!victim@{d}>", "refused"),
    ("<\"far.test!victim\"@{d}>", "refused"),
    # source routes: the route does not count, in either direction
    ("<@{d}:victim@far.test>", "refused"),
    ("<@{d},@{d}:victim@far.test>", "refused"),
    ("<@far.test:{u}>", "here"),
    ("<@far.test,@{d}:victim@far.test>", "refused"),
    ("<@{d}:victim%far.test@{d}>", "refused"),
    ("<@{d}:@far.test:{u}>", "refused"),
    ("<@{d}>", "refused"),
    # quoting
    ("<\"victim@far.test\"@{d}>", "refused"),
    ("<\"victim@far.test\">", "refused"),
    ("<\"victim\"@far.test>", "refused"),
    ("<victim\\@far.test@{d}>", "refused"),
    ("<\"victim\\@far.test\"@{d}>", "refused"),
    ("<\"{l}\"@{d}>", "here"),
    ("<\"\"@far.test>", "refused"),
    ("<\"\\\"victim@far.test\\\"\"@{d}>", "refused"),
    # more than one address, or one that goes on
    ("<victim@far.test@{d}>", "refused"),
    ("<{u}@far.test>", "refused"),
    ("<{u},victim@far.test>", "refused"),
    ("<victim@far.test,{u}>", "refused"),
    ("<{u}> <victim@far.test>", "refused"),
    ("<{u}>,<victim@far.test>", "refused"),
    ("<victim@far.test> <{u}>", "refused"),
    ("<<victim@far.test>>", "refused"),
    ("<{u}:victim@far.test>", "refused"),
    ("<{u};victim@far.test>", "refused"),
    ("<victim@far.test\\{u}>", "refused"),
    ("<victim@far.test ({u})>", "refused"),
    ("(<{u}>) <victim@far.test>", "refused"),
    # without a domain, and with strange ones
    ("<victim>", "refused"),
    ("<victim@>", "refused"),
    ("<@>", "refused"),
    ("<>", "refused"),
    ("<postmaster@far.test>", "refused"),
    ("<@far.test:postmaster>", "refused"),
    ("<victim@localhost>", "refused"),
    ("<victim@[127.0.0.1]>", "refused"),
    ("<victim@127.0.0.1>", "refused"),
    ("<victim@[192.0.2.1]>", "refused"),
    ("<victim@[IPv6:::1]>", "refused"),
    ("<victim@[IPv6:2001:db8::1]>", "refused"),
    ("<victim@[far.test]>", "refused"),
    ("<victim@[x:far.test]>", "refused"),
    ("<victim@#3221225985>", "refused"),
    ("<victim@3221225985>", "refused"),
    # to programs and files
    ("<|/bin/sh@{d}>", "refused"),
    ("</etc/passwd@{d}>", "refused"),
    ("<../../{l}@{d}>", "refused"),
    (":include:/etc/passwd", "refused"),
    # other ways to write what is ours
    ("<{U}>", "here"),
    ("<{u}> ", "here"),
    # parameters do not help
    ("<victim@far.test> NOTIFY=NEVER ORCPT=rfc822;{u}", "refused"),
    ("<victim@far.test> AUTH=<>", "refused"),
]
SENDERS = ["<ann@client.test>", "<>", "<{u}>", "<postmaster@{d}>",
           "<@{d}:ann@client.test>", "<ann%{d}@client.test>",
           "<\"{u}\"@far.test>", "<ann@localhost>", "<ann@[127.0.0.1]>"]


class Receiver(Listener):
    """Counts who connects."""

    def talk(self, client):
        client.sendall(b"554 no mail here\r\n")


class Client:
    def __init__(self, host):
        self.socket = socket.create_connection((host.smtp_host,
                                                int(host.smtp_port)), 30)
        self.file = self.socket.makefile("rb")
        self.read()
        self.ask("EHLO client.test")

    def read(self):
        while True:
            line = self.file.readline().decode("latin-1")
            if line[3:4] != "-":
                return line.rstrip()

    def ask(self, text):
        self.socket.sendall(text.encode() + b"\r\n")
        return self.read()

    def close(self):
        self.ask("QUIT")
        self.file.close()
        self.socket.close()


def fill(text, host):
    local, domain = host.address.split("@")
    return (text.replace("{u}", host.address).replace("{l}", local)
            .replace("{d}", domain).replace("{U}", host.address.upper()))


def recipients(host):
    """Each trick with and without SMTPUTF8; what is taken has to arrive."""
    sent = 0
    for trick, expected in TRICKS:
        for utf8 in ("", " SMTPUTF8"):
            client = Client(host)
            client.ask("MAIL FROM:<ann@client.test>" + utf8)
            reply = client.ask("RCPT TO:" + fill(trick, host))
            if expected == "refused":
                tap.ok(reply[:3] in ("500", "501", "550", "553", "555"),
                       f"{trick}{utf8} is refused for good", reply)
            else:
                tap.same(reply[:3], "250", f"{trick}{utf8} is taken")
            if reply[:1] == "2":
                sent += 1
                client.ask("DATA")
                client.ask(f"Subject: {sent}\r\n\r\nx\r\n.")
            client.close()
    tap.same(len(host.wait_delivered(sent)), sent,
             "what was taken is in the mailbox here")


def senders(host):
    """Who the sender is makes no difference."""
    for sender in SENDERS:
        client = Client(host)
        reply = client.ask("MAIL FROM:" + fill(sender, host))
        tap.ok(reply[:1] in ("2", "5"), f"from {sender}: {reply}")
        if reply[:1] == "2":
            reply = client.ask("RCPT TO:<victim@far.test>")
            tap.same(reply[:3], "550", f"from {sender}: to others is refused")
            reply = client.ask("DATA")
            tap.same(reply[:3], "554", "…and so is DATA")
            reply = client.ask("BDAT 6 LAST\r\nNOOP\r")
            tap.same(reply[:3], "554", "…and BDAT")
        client.close()


def session_tricks(host):
    """What one transaction may not leave to the next; names that mean nothing."""
    address = host.address
    client = Client(host)
    client.ask("MAIL FROM:<ann@client.test>")
    client.ask(f"RCPT TO:<{address}>")
    tap.same(client.ask("RCPT TO:<victim@far.test>")[:3], "550",
             "behind a recipient that is ours")
    client.ask("RSET")
    for hello in ("localhost", "127.0.0.1", "[127.0.0.1]",
                  address.split("@")[1], "[IPv6:::1]"):
        for verb in ("EHLO", "HELO"):
            client.ask(f"{verb} {hello}")
            client.ask(f"MAIL FROM:<{address}>")
            tap.same(client.ask("RCPT TO:<victim@far.test>")[:3], "550",
                     f"{verb} {hello} allows nothing")
    client.ask("EHLO client.test")
    tap.ok(client.ask("XCLIENT ADDR=127.0.0.1 LOGIN=" + address)[:1] == "5",
           "XCLIENT is not for everybody")
    client.ask(f"MAIL FROM:<{address}> AUTH={address}")
    tap.ok(client.ask("RCPT TO:<victim@far.test>")[:1] == "5",
           "AUTH= at MAIL allows nothing")
    client.close()


def run():
    receiver = Receiver()
    try:
        with Instance() as host:
            host.control("smtproutes", f":127.0.0.1:{receiver.port}\n")
            host.restart("remote", "queue-runner")
            for step in (recipients, senders, session_tricks):
                tap.case(step, host)
            tap.ok(wait_for(lambda: not host.queued()), "the queue is empty",
                   host.queued())
            tap.same(receiver.connections, 0, "nothing went to another host")
            # The receiver would have seen it.
            client = host.submission()
            client.sendmail("ann@client.test", ["victim@far.test"],
                            "Subject: relayed\r\n\r\nx\r\n")
            client.quit()
            tap.ok(wait_for(lambda: receiver.connections),
                   "who may relay reaches the receiver", host.logs())
            if tap.failed:
                tap.note(host.log("smtpd"))
    finally:
        receiver.close()


tap.case(run)
tap.done()
