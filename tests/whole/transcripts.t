#!/usr/bin/env python3
"""Whole sessions in the manner of big senders (tests/dialogue/transcripts): as
one piece, in a sender's batches, line by line and octet by octet: the same
replies, the same files, and by POP3 exactly the message that was sent, with our
three trace fields on top."""

import base64
import glob
import os
import random
import re
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance, TOP

tap = Tap()
MODES = ("whole", "batch", "line", "byte")
WAIT_S = 20
ID = rb"\b[0-9a-z]{20}\b"
DATE = rb"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [-+]\d{4}"


def content_of(lines):
    """What lines after DATA stand for, each dot that was put there undone."""
    return b"".join(line[line.startswith(b"."):] + b"\r\n" for line in lines)


class Transcript:
    """The client side of a session: its lines, and what must become of them.

    steps: (octets, whether the server answers it), a line each
    messages: what was accepted, (reverse-path, recipients, content)
    """

    def __init__(self, path, host, second):
        self.name = os.path.basename(path)[:-len(".txt")]
        self.accounts = {b"address": host.address.encode(),
                         b"second": second.encode(), b"size": b"0"}
        self.codes, self.protocol, self.pieces = [], b"ESMTP", False
        with open(path, "rb") as file:
            self.source = file.read().splitlines()
        lines = self.lines()
        self.read(lines)
        if self.messages and any(b"{size}" in line for line in self.source):
            self.accounts[b"size"] = b"%d" % len(self.messages[0][2])
            self.read(self.lines())

    def replace(self, found):
        word = found.group(1)
        if word in self.accounts:
            return self.accounts[word]
        if word.startswith(b"0x"):
            return bytes([int(word, 16)])
        text, number = word.rsplit(b"*", 1)
        return text * int(number)

    def lines(self):
        made = []
        for line in self.source:
            word, _, rest = line.partition(b" ")
            if not line.startswith(b"@"):
                made.append(re.sub(rb"\{([^{} ]+)\}", self.replace, line))
            elif word == b"@codes":
                self.codes = rest.decode().split()
            elif word == b"@protocol":
                self.protocol = rest
            elif word == b"@base64":
                number, seed = map(int, rest.split())
                octets = random.Random(seed).randbytes(57)
                for _ in range(number):
                    made.append(base64.b64encode(octets))
                    octets = octets[1:] + octets[:1]
            elif word == b"@pieces":
                self.pieces = True
            elif word != b"@#":
                raise ValueError(f"{self.name}: {line!r}?")
        return made

    def read(self, lines):
        self.steps, self.messages, self.hello = [], [], b""
        content = path = None
        for line in lines:
            verb = line.upper()
            ends = content is not None and line == b"."
            self.steps.append((line + b"\r\n", content is None or ends))
            if ends:
                self.messages.append((path, recipients, content_of(content)))
                content = None
            elif content is not None:
                content.append(line)
            elif verb.startswith((b"EHLO ", b"HELO ")):
                self.hello = line[5:]
            elif verb.startswith(b"MAIL FROM:<"):
                path, recipients = line[11:line.index(b">")], []
            elif verb.startswith(b"RCPT TO:<"):
                recipients.append(line[9:line.index(b">")].decode())
            elif verb == b"DATA":
                content = []

    def sends(self, mode):
        """(octets, how many replies to wait for after them)"""
        if mode == "whole":
            return [(b"".join(octets for octets, _ in self.steps), 0)]
        if mode in ("line", "byte"):
            return [(octets, int(answer)) for octets, answer in self.steps]
        batches, batch, answers = [], b"", 0
        for octets, answer in self.steps:
            batch += octets
            answers += answer
            if answer and octets[:5].upper() in (b"DATA\r", b"EHLO ", b".\r\n"):
                batches.append((batch, answers))
                batch, answers = b"", 0
        return batches + [(batch, answers)]


class Unread:
    """How many octets the other process of a connection on loopback has not
    read: from the kernel's socket monitor (sock_diag(7)), or, if there is none,
    from /proc/net/tcp, which is slow."""

    def __init__(self, connection):
        (ours, ours_port), (theirs, theirs_port) = (connection.getsockname(),
                                                    connection.getpeername())
        octets = [socket.inet_aton(theirs), socket.inet_aton(ours)]
        numbers = [int.from_bytes(each, sys.byteorder) for each in octets]
        self.entry = (f" {numbers[0]:08X}:{theirs_port:04X}"
                      f" {numbers[1]:08X}:{ours_port:04X} ")
        # struct nlmsghdr, struct inet_diag_req_v2: one TCP socket, no cookie.
        self.request = struct.pack(
            "=IHHII BBBBI", 72, 20, 1, 1, 0,
            socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xffffffff)
        self.request += struct.pack(">HH16s16s", theirs_port, ours_port,
                                    *octets)
        self.request += struct.pack("=III", 0, 0xffffffff, 0xffffffff)
        self.monitor = None
        try:
            self.monitor = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)
            self.monitor.settimeout(WAIT_S)
            self.octets()
        except OSError as error:
            tap.note(f"no socket monitor: {error}")
            self.monitor = None

    def octets(self):
        if self.monitor is None:
            with open("/proc/net/tcp") as file:
                for line in file:
                    if self.entry in line:
                        return int(line.split()[4].split(":")[1], 16)
            raise OSError("the connection is not in /proc/net/tcp")
        self.monitor.send(self.request)
        answer = self.monitor.recv(4096)
        if struct.unpack("=H", answer[4:6])[0] != 20:
            raise OSError("sock_diag knows no such connection")
        return struct.unpack("=I", answer[72:76])[0]


class Client:
    def __init__(self, host, port):
        self.socket = socket.create_connection((host, int(port)), WAIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = self.socket.makefile("rb")
        self.replies = []

    def reply(self):
        lines = []
        while True:
            lines.append(self.input.readline())
            if lines[-1][3:4] != b"-":
                self.replies.append(b"".join(lines))
                return

    def send_byte_by_byte(self, octets, unread, answers):
        """Each octet is read by the server before the next is sent. Of one that
        is answered, the answer tells that."""
        for at in range(len(octets)):
            self.socket.sendall(octets[at:at + 1])
            if answers and at == len(octets) - 1:
                return
            end = time.monotonic() + WAIT_S
            while unread.octets() > 0:
                os.sched_yield()
                if time.monotonic() > end:
                    raise TimeoutError("the server does not read")

    def send_pieces(self, octets, chance):
        at = 0
        while at < len(octets):
            piece = chance.choice((1, 2, 3, 997, chance.randint(1, 4000)))
            self.socket.sendall(octets[at:at + piece])
            at += piece


def play(transcript, mode, host):
    """Plays a transcript. Gives all replies, the greeting first."""
    client = Client(host.smtp_host, host.smtp_port)
    chance = random.Random(1)
    with client.socket:
        if mode != "whole":
            client.reply()
        unread = Unread(client.socket) if mode == "byte" else None
        held = b""
        for octets, answers in transcript.sends(mode):
            if mode != "byte":
                client.socket.sendall(octets)
            elif not transcript.pieces:
                client.send_byte_by_byte(octets, unread, answers)
            else: # pieces are not cut at the ends of lines
                held += octets
                if answers:
                    client.send_pieces(held, chance)
                    held = b""
            for _ in range(answers):
                client.reply()
        while client.replies[-1:] != [b""]: # the server closes after QUIT
            client.reply()
    return client.replies[:-1]


def trace_pattern(transcript, message, recipient, ident, host):
    """Our trace fields and no other, as they stand in the Maildir."""
    path, recipients, _ = message
    single = b"\n\tfor <%s>" % re.escape(recipients[0].encode())
    return (rb"Return-Path: <%s>\nDelivered-To: %s\n"
            rb"Received: from %s \(\S+ \[127\.0\.0\.1\]\)\n"
            rb"\tby %s with %s id %s%s;\n\t%s\n" % (
                re.escape(path), re.escape(recipient.encode()),
                re.escape(transcript.hello), re.escape(host.domain.encode()),
                transcript.protocol, ident,
                single if len(recipients) == 1 else b"", DATE))


def masked(trace):
    return re.sub(DATE, b"DATE", re.sub(ID, b"ID", trace))


def replies_are_the_same(transcript, host):
    """Plays it in all ways. Gives the ids of the messages, by mode."""
    replies = {mode: play(transcript, mode, host) for mode in MODES}
    tap.same([reply[:3].decode() for reply in replies["line"]],
             transcript.codes, f"{transcript.name}: the replies' codes")
    expected = [re.sub(ID, b"ID", reply) for reply in replies["line"]]
    for mode in MODES:
        if mode != "line":
            tap.same([re.sub(ID, b"ID", reply) for reply in replies[mode]],
                     expected, f"{transcript.name}: {mode}: the same replies")
    return {mode: [found.group(0) for found in
                   (re.search(ID, reply) for reply in replies[mode]
                    if b"queued" in reply) if found] for mode in MODES}


class Maildrop:
    """All that POP3 says of a maildrop, octets as they come."""

    def __init__(self, host, user):
        self.client = Client(host.pop3_host, host.pop3_port)
        self.ask("")
        self.ask(f"USER {user}")
        self.ask(f"PASS {host.password}")
        self.stat = [int(n) for n in self.ask("STAT").split()[1:]]
        self.list = self.table("LIST")
        self.uidl = self.table("UIDL")

    def ask(self, command):
        if command:
            self.client.socket.sendall(command.encode() + b"\r\n")
        line = self.client.input.readline()
        if not line.startswith(b"+OK") or not line.endswith(b"\r\n"):
            raise RuntimeError(f"{command}: {line!r}")
        return line

    def lines(self, command):
        answer = self.ask(command)
        lines = []
        while lines[-1:] != [b".\r\n"]:
            lines.append(self.client.input.readline())
            if not lines[-1].endswith(b"\r\n") or lines[-1][:-2].count(b"\r"):
                raise RuntimeError(f"{command}: {lines[-1]!r}")
        return answer, content_of(line[:-2] for line in lines[:-1])

    def table(self, command):
        rows = self.lines(command)[1].split(b"\r\n")[:-1]
        return {int(row.split()[0]): row.split(b" ", 1)[1] for row in rows}

    def quit(self):
        self.ask("QUIT")
        self.client.socket.close()


def top_0(message):
    """What TOP 0 must give: the header and the empty line, if there is one."""
    header, empty, _ = message.partition(b"\r\n\r\n")
    return header + empty


def fetch(host, user, maildir):
    """Fetches all; checks the sizes. Gives id → (message, the file's text)."""
    drop = Maildrop(host, user)
    files = {os.path.basename(path).split(":")[0].encode(): path
             for path in host.delivered(maildir)}
    found, wrong = {}, []
    for number, size in drop.list.items():
        answer, message = drop.lines(f"RETR {number}")
        name = drop.uidl.get(number, b"")
        with open(files[name], "rb") as file:
            stored = file.read()
        for true, what in (
                (answer == b"+OK %s octets\r\n" % size, "RETR's number"),
                (len(message) == int(size), "the octets of RETR"),
                (drop.lines(f"TOP {number} 0")[1] == top_0(message), "TOP 0"),
                (b",S=%d" % len(stored) in name, "S= in the name"),
                (b",W=" + size in name, "W= in the name"),
                (re.fullmatch(rb"[!-~]{1,70}", name), "UIDL"),
                (stored.replace(b"\n", b"\r\n") == message, "the file")):
            if not true:
                wrong.append((what, number, size, len(message), name))
        ident = re.search(rb" id (%s)" % ID, message)
        found[ident.group(1)] = (message, stored)
    tap.ok(not wrong, f"{user}: LIST, RETR, TOP, UIDL and the file agree",
           wrong)
    tap.same(drop.stat, [len(files), sum(map(int, drop.list.values()))],
             f"{user}: STAT is the sum of LIST")
    tap.same(sorted(drop.uidl.values()), sorted(files),
             f"{user}: a UIDL for each message, no two the same")
    drop.quit()
    again = Maildrop(host, user)
    tap.same((again.list, again.uidl), (drop.list, drop.uidl),
             f"{user}: a second session lists the same")
    again.quit()
    return found


def message_is_as_sent(transcript, at, idents, found, host):
    """One message of a transcript, in all modes, for each recipient."""
    message = transcript.messages[at]
    name = f"{transcript.name}, message {at + 1}"
    for recipient in message[1]:
        stored = {}
        for mode in MODES:
            ident = idents[mode][at]
            if ident not in found[recipient]:
                tap.ok(False, f"{name}: {mode}: arrives for {recipient}")
                return
            fetched, text = found[recipient][ident]
            trace = re.match(trace_pattern(transcript, message, recipient,
                                           ident, host), text)
            if not tap.ok(trace, f"{name}: {mode}: exactly our trace fields",
                          text[:1000]):
                return
            stored[mode] = masked(trace.group(0)) + text[trace.end():]
            top = trace.group(0).replace(b"\n", b"\r\n")
            tap.ok(fetched == top + message[2],
                   f"{name}: {mode}: POP3 gives octet by octet what was sent",
                   (len(fetched), len(top), len(message[2]), fetched[:2000]))
        tap.ok(all(text == stored["line"] for text in stored.values()),
               f"{name}: the same file for {recipient}, however it was sent",
               {mode: len(text) for mode, text in stored.items()})


def all_transcripts(host, second):
    paths = sorted(glob.glob(os.path.join(TOP, "tests", "dialogue",
                                          "transcripts", "*.txt")))
    transcripts = [Transcript(path, host, second) for path in paths]
    tap.ok(len(transcripts) >= 8, "the transcripts are there", paths)
    long = [text for each in transcripts for _, _, text in each.messages
            if len(text) > 200000]
    tap.ok(long and max(map(len, long[0].split(b"\r\n"))) == 998,
           "one is over 200000 octets, with lines of 998")
    played = []
    for transcript in transcripts:
        idents = tap.case(replies_are_the_same, transcript, host)
        complete = idents and all(len(each) == len(transcript.messages)
                                  for each in idents.values())
        if tap.ok(complete, f"{transcript.name}: every 250 names an id",
                  idents):
            played.append((transcript, idents))

    tap.ok(host.wait_empty(), "the queue is empty", host.queued())
    maildirs = {host.address: host.maildir,
                second: os.path.join(host.maildir, "..", "..", "second",
                                     "Maildir")}
    found = {}
    for user, maildir in maildirs.items():
        number = len(MODES) * sum(
            user in recipients for transcript, _ in played
            for _, recipients, _ in transcript.messages)
        tap.same(len(host.wait_delivered(number, maildir=maildir)), number,
                 f"{user}: everything arrives, and nothing else")
        found[user] = fetch(host, user, maildir)
    for transcript, idents in played:
        for at in range(len(transcript.messages)):
            tap.case(message_is_as_sent, transcript, at, idents, found, host)


ENDS = {
    "header alone, no end of line": b"Subject: x",
    "header alone": b"Subject: x\n",
    "no body": b"Subject: x\n\n",
    "body, no end of line": b"Subject: x\n\nline\n.",
    "an empty line at the end": b"Subject: x\n\nline\n\n",
    "dots at the end": b"Subject: x\n\n.\n..\n",
    "one line end": b"\n",
    "one octet": b"x",
    "a dot": b".",
    "nothing": b"",
}


def ends(host):
    """Messages that another program put into the Maildir: whatever the end is
    like, RETR gives as many octets as LIST says."""
    for path in host.delivered():
        os.unlink(path)
    for at, text in enumerate(ENDS.values()):
        path = os.path.join(host.maildir, "new", f"1700000000.M{at}P1.test")
        with open(path, "wb") as file:
            file.write(text)
        host.give(path)
    drop = Maildrop(host, host.address)
    numbers = {name: number for number, name in drop.uidl.items()}
    for at, (name, text) in enumerate(ENDS.items()):
        number = numbers[f"1700000000.M{at}P1.test".encode()]
        answer, message = drop.lines(f"RETR {number}")
        expected = text.replace(b"\n", b"\r\n")
        if text and not text.endswith(b"\n"):
            expected += b"\r\n"
        tap.same((message, answer, int(drop.list[number])),
                 (expected, b"+OK %d octets\r\n" % len(expected),
                  len(expected)), f"{name}: RETR, and LIST's size")
        header = b"\r\n" if text == b"\n" else top_0(expected)
        tap.same(drop.lines(f"TOP {number} 0")[1], header, f"{name}: TOP 0")
    drop.quit()


with Instance("--user", "user") as host:
    second = "second@" + host.domain
    run = host.run("user-add", second, input=host.password.encode() + b"\n")
    if tap.same(run.returncode, 0, "a second account"):
        tap.case(all_transcripts, host, second)
        tap.case(ends, host)
    if tap.failed:
        tap.note(host.logs())
tap.done()
