#!/usr/bin/env python3
"""One message in, one message out: octets that some host takes for the end of a
message go in by smtpd (DATA and BDAT) and sendmail, and leave by remote to a
strict receiver and to one that ends a message at anything that looks like a dot
alone on a line. Each counts what it gets."""

import os
import re
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance
from sink import Listener

tap = Tap()

SMUGGLED = (b"MAIL FROM:<evil@client.test>\r\nRCPT TO:<victim@{}.test>\r\n"
            b"DATA\r\nSubject: smuggled\r\n\r\nevil\r\n")
# What some hosts, at some time, took for the end of a message.
ENDS = {
    "LF . LF": b"\n.\n", "LF . CRLF": b"\n.\r\n", "CRLF . LF": b"\r\n.\n",
    "CR . CR": b"\r.\r", "CR . CRLF": b"\r.\r\n", "CRLF . CR": b"\r\n.\r",
    "CR . LF": b"\r.\n", "LF . CR": b"\n.\r", "LF LF . LF": b"\n\n.\n",
    "CRLF . CR CRLF": b"\r\n.\r\r\n", "CR CRLF . CRLF": b"\r\r\n.\r\n",
    "CRLF . NUL CRLF": b"\r\n.\0\r\n", "CRLF NUL . CRLF": b"\r\n\0.\r\n",
    "CRLF . blank CRLF": b"\r\n. \r\n", "CRLF . CRLF": b"\r\n.\r\n",
    "VT": b"\x0b.\x0b", "FF": b"\x0c.\x0c", "NEL": b"\xc2\x85.\xc2\x85",
    "LS": b"\xe2\x80\xa8.\xe2\x80\xa8",
}
LAX = re.compile(rb"(?:\A|\r\n|\n|\r)\.[\0 ]?(?:\r\r\n|\r\n|\n|\r)")
STRICT = re.compile(rb"(?:\A|\r\n)\.\r\n")


class Receiver(Listener):
    """An SMTP server that ends a message where the pattern says."""

    def __init__(self, end):
        self.end = end
        self.messages, self.faults = [], []
        super().__init__()

    def talk(self, client):
        client.settimeout(60)
        client.sendall(b"220 receiver.test\r\n")
        held = b""
        while True:
            while b"\n" not in held:
                more = client.recv(65536)
                if not more:
                    return
                held += more
            line, held = held.split(b"\n", 1)
            verb = line[:4].upper()
            if verb == b"EHLO":
                client.sendall(b"250-receiver.test\r\n250-PIPELINING\r\n"
                               b"250-SMTPUTF8\r\n250 8BITMIME\r\n")
            elif verb == b"DATA":
                client.sendall(b"354 go\r\n")
                while True:
                    found = self.end.search(held)
                    if found:
                        break
                    more = client.recv(65536)
                    if not more:
                        return
                    held += more
                self.take(held[:found.start()])
                held = held[found.end():]
                client.sendall(b"250 taken\r\n")
            elif verb == b"QUIT":
                client.sendall(b"221 bye\r\n")
                return
            elif verb in (b"MAIL", b"RCPT", b"RSET", b"HELO", b"NOOP"):
                client.sendall(b"250 ok\r\n")
            else:
                self.faults.append(line)
                client.sendall(b"500 what?\r\n")

    def take(self, content):
        self.messages.append(content)
        if re.search(rb"(?<!\r)\n|\r(?!\n)", content):
            self.faults.append("a bare CR or LF: %r" % content[-100:])


class Client:
    def __init__(self, host, port):
        self.socket = socket.create_connection((host, int(port)), 30)
        self.file = self.socket.makefile("rb")
        self.reply()
        self.ask(b"EHLO client.test\r\n")

    def reply(self):
        line = self.file.readline()
        while line[3:4] == b"-":
            line = self.file.readline()
        return line[:3].decode()

    def ask(self, octets):
        self.socket.sendall(octets)
        return self.reply()

    def begin(self, domain):
        return (self.ask(b"MAIL FROM:<ann@client.test> BODY=8BITMIME\r\n"),
                self.ask(b"RCPT TO:<bob@%s.test>\r\n" % domain))

    def data(self, domain, content):
        self.begin(domain)
        self.ask(b"DATA\r\n")
        return self.ask(content + b"\r\n.\r\n")

    def bdat(self, domain, content):
        self.begin(domain)
        return self.ask(b"BDAT %d LAST\r\n" % len(content) + content)

    def close(self):
        self.ask(b"QUIT\r\n")
        self.file.close()
        self.socket.close()


def content_of(number, end, domain):
    return (b"Subject: outer %d;\r\n\r\nharmless" % number + end
            + SMUGGLED.replace(b"{}", domain) + b"tail %d;" % number)


def by_smtp(host, taken):
    """Each end by DATA and by BDAT, to each receiver. A client that means the
    true end by CRLF.CRLF doubles its dot in DATA."""
    client = Client(host.smtp_host, host.submission_port)
    for name, end in ENDS.items():
        for method in (Client.data, Client.bdat):
            for domain in taken:
                number = len(taken[domain]) + 1
                octets = end
                if method is Client.data:
                    octets = end.replace(b"\r\n.\r\n", b"\r\n..\r\n")
                code = method(client, domain.encode(),
                              content_of(number, octets, domain.encode()))
                bare = re.search(rb"(?<!\r)\n|\r(?!\n)|\0", end)
                tap.same(code, "554" if bare else "250",
                         f"{name} by {method.__name__} to {domain}")
                if code == "250":
                    taken[domain].append(number)
    # Still in step.
    tap.same(client.ask(b"NOOP\r\n"), "250", "the session is in step")
    client.close()


def by_sendmail(host, taken):
    """Programs here have line ends of their own; what arrives has one kind."""
    for name, end in ENDS.items():
        for domain in taken:
            number = len(taken[domain]) + 1
            run = host.run("sendmail", "-i", "-f", "ann@client.test",
                           f"bob@{domain}.test",
                           input=content_of(number, end, domain.encode()))
            if run.returncode == 0:
                taken[domain].append(number)
            # A NUL, at which a receiver may cut, is no way into the queue.
            tap.same(run.returncode, 65 if b"\0" in end else 0,
                     f"{name} by sendmail to {domain}") \
                or tap.note(run.stderr.decode(errors="replace"))


def check(name, receiver, taken):
    wait_for(lambda: len(receiver.messages) >= len(taken), 60)
    tap.same(len(receiver.messages), len(taken),
             f"the {name} receiver has one message for each that was taken")
    numbers = []
    for message in receiver.messages:
        found = re.findall(rb"Subject: outer (\d+);", message)
        if len(found) != 1 or b"tail %s;" % found[0] not in message:
            tap.ok(False, f"the {name} receiver: a message is not whole",
                   message[-500:])
            continue
        numbers.append(int(found[0]))
    tap.same(sorted(numbers), taken, "…each of them, and each once")
    tap.same(receiver.faults, [], "…with no bare CR or LF, no other command")


def run():
    strict, lax = Receiver(STRICT), Receiver(LAX)
    taken = {"strict": [], "lax": []}
    try:
        with Instance() as host:
            host.control("smtproutes",
                         f"strict.test:127.0.0.1:{strict.port}\n"
                         f"lax.test:127.0.0.1:{lax.port}\n")
            host.restart("queue-runner")
            by_smtp(host, taken)
            by_sendmail(host, taken)
            check("strict", strict, taken["strict"])
            check("lax", lax, taken["lax"])
            tap.ok(host.wait_empty(), "the queue is empty", host.queued())
            tap.same(len(host.delivered()), 0, "nothing bounced")
            if tap.failed:
                tap.note(host.logs())
    finally:
        strict.close()
        lax.close()


tap.case(run)
tap.done()
