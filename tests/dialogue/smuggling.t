#!/usr/bin/env python3
"""What could pass for the end of a message, by DATA and by BDAT, cut into reads at
every octet, and with every octet of it at the end of the server's buffer. Each
message is followed by a command in the same packet: were one octet taken for
another, the replies would be out of step."""

import array
import fcntl
import os
import re
import socket
import subprocess
import sys
import tempfile
import termios

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
from tap import Tap, skip_all
import player

BUFFER = 32768          # lib/line.h, LINE_BUFFER_OCTETS
END = b"\r\n.\r\n"
TRAP = b"MAIL FROM:<evil@client.example>\r\n"
# (name, octets without the end, is it taken by DATA, and by BDAT)
ROWS = [
    ("nothing", b"", True, True),
    ("doubled dot first", b"..a", True, True),
    ("dot first", b".a", True, True),
    ("CRLF . LF", b"a\r\n.\n" + TRAP, False, False),
    ("LF . LF", b"a\n.\n" + TRAP, False, False),
    ("LF . CRLF", b"a\n.\r\n" + TRAP, False, False),
    ("LF LF . LF", b"a\n\n.\n" + TRAP, False, False),
    ("CR . CR", b"a\r.\r" + TRAP, False, False),
    ("CR . CRLF", b"a\r.\r\n" + TRAP, False, False),
    ("CR . LF", b"a\r.\n" + TRAP, False, False),
    ("CRLF . CR", b"a\r\n.\r" + TRAP, False, False),
    ("CRLF . CR CRLF", b"a\r\n.\r\r\n" + TRAP, False, False),
    ("CR CRLF . CRLF", b"a\r\r\n.b\r\n" + TRAP, False, False),
    ("CRLF . NUL CRLF", b"a\r\n.\0\r\n" + TRAP, False, False),
    ("CRLF NUL . CRLF", b"a\r\n\0.\r\n" + TRAP, False, False),
    ("LF CR . CRLF", b"a\n\r.\r\n" + TRAP, False, False),
    ("CRLF . blank CRLF", b"a\r\n. \r\n" + TRAP, True, True),
    ("CRLF .. CRLF", b"a\r\n..\r\n" + TRAP, True, True),
    ("bare CR", b"a\rb", False, False),
    ("bare LF", b"a\nb", False, False),
    ("NUL", b"a\0b", False, False),
    ("lines", b"a\r\n\r\nb\r\n", True, True),
]


def by_data(wire):
    """The content that DATA makes of octets that are sound."""
    lines = (wire + b"\r\n").split(b"\r\n")[:-1] if wire else []
    return b"".join((line[1:] if line[:1] == b"." else line) + b"\n"
                    for line in lines)


def by_bdat(wire):
    return wire.replace(b"\r\n", b"\n")


class Session:
    """One session for all of it."""

    def __init__(self):
        empty = os.path.join(tempfile.mkdtemp(prefix="keepmail-smuggling."),
                             "none.txt")
        with open(empty, "w"):
            pass
        transcript = player.Transcript(empty)
        os.unlink(empty)
        os.rmdir(os.path.dirname(empty))
        transcript.control["messagesmax"] = b"0"
        self.home = player.Home(transcript)
        self.log = tempfile.TemporaryFile()
        self.socket, theirs = socket.socketpair()
        environment = {"PATH": os.environ.get("PATH", "/bin:/usr/bin"),
                       "KEEPMAIL": self.home.folder, "PROTO": "TCP",
                       "TCPREMOTEIP": "192.0.2.1",
                       "TCPREMOTEHOST": "client.example",
                       "ASAN_OPTIONS": "detect_leaks=0"}
        extra = {"user": self.home.user, "group": "nogroup",
                 "extra_groups": []} if self.home.user else {}
        self.process = subprocess.Popen(
            [player.PROGRAM], stdin=theirs, stdout=theirs, stderr=self.log,
            env=environment, cwd="/", **extra)
        theirs.close()
        self.socket.settimeout(player.WAIT_S)
        self.replies = self.socket.makefile("rb")
        self.expect("220")
        self.socket.sendall(b"HELO c.example\r\n")
        self.expect("250")

    def expect(self, *codes):
        """Reads a reply; returns its code."""
        line = self.replies.readline()
        while line[3:4] == b"-":
            line = self.replies.readline()
        code = line[:3].decode("latin-1")
        if code not in codes:
            raise AssertionError(f"expected {codes}, got {line!r}")
        return code

    def wait_read(self):
        left = array.array("i", [0])
        for _ in range(1000000):
            fcntl.ioctl(self.socket, termios.TIOCOUTQ, left)
            if left[0] == 0:
                return
            os.sched_yield()
        raise AssertionError("the server does not read")

    def send(self, octets, cut):
        """In two pieces; the second only when the first has been read."""
        if cut:
            self.socket.sendall(octets[:cut])
            self.wait_read()
        self.socket.sendall(octets[cut:])

    def begin(self):
        self.socket.sendall(b"MAIL FROM:<ann@client.example>\r\n"
                            b"RCPT TO:<user@host.test>\r\n")
        self.expect("250")
        self.expect("250")

    def taken(self, code):
        """The content that reached the queue, or None."""
        self.expect("252")      # of VRFY, behind the message
        messages, self.home.queue.messages = self.home.queue.messages, []
        if code != "250":
            assert not messages, "refused, and queued"
            return None
        assert len(messages) == 1, f"{len(messages)} messages for one"
        return messages[0][1]

    def data(self, octets, cut):
        self.begin()
        self.socket.sendall(b"DATA\r\n")
        self.expect("354")
        self.send(octets + b"VRFY x\r\n", cut)
        return self.taken(self.expect("250", "554"))

    def bdat(self, octets, cut):
        """One chunk, cut into reads."""
        self.begin()
        head = b"BDAT %d LAST\r\n" % len(octets)
        self.send(head + octets + b"VRFY x\r\n", len(head) + cut)
        return self.taken(self.expect("250", "554"))

    def chunks(self, octets, cut):
        """Two chunks."""
        self.begin()
        self.socket.sendall(
            b"BDAT %d\r\n" % cut + octets[:cut]
            + b"BDAT %d LAST\r\n" % (len(octets) - cut) + octets[cut:]
            + b"VRFY x\r\n")
        first, last = self.expect("250", "554"), self.expect("250", "554")
        assert first == "250" or last == "554", "a chunk after a refused one"
        return self.taken(last)

    def end(self):
        self.socket.sendall(b"QUIT\r\n")
        try:
            self.expect("221")
        finally:
            self.replies.close()
            self.socket.close()
            try:
                status = self.process.wait(player.WAIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                status = f"none ({self.process.wait()})"
            self.home.end()
        assert not self.home.queue.faults, self.home.queue.faults
        assert status == 0, f"exit status {status}"


def at_buffer_end(octets):
    """Octets with lines before them, so that each octet in turn is the first of
    the server's next buffer, and then the ends of octets as well."""
    for offset in range(len(octets) + 2):
        before = BUFFER - offset
        yield b"x" * 70 + b"\r\n" + b"y" * (before - 74) + b"\r\n"


def trials(row):
    """(what, method, octets, cut, expected)"""
    name, octets, is_data, is_bdat = row
    wire = octets + END if octets else b".\r\n"
    if name == "lines":
        wire = octets + b".\r\n"
        data = by_data(octets[:-2])
    else:
        data = by_data(octets)
    data = data if is_data else None
    bdat = by_bdat(octets) if is_bdat else None
    for cut in range(len(wire) + 1):
        yield f"DATA cut at {cut}", Session.data, wire, cut, data
    for cut in range(len(octets) + 1):
        yield f"BDAT cut at {cut}", Session.bdat, octets, cut, bdat
        yield f"chunks cut at {cut}", Session.chunks, octets, cut, bdat
    for before in at_buffer_end(octets[:14] + END):
        all_wire = before + wire
        lines = before.replace(b"\r\n", b"\n")
        yield (f"DATA, {len(before)} octets before", Session.data, all_wire, 0,
               None if data is None else lines + data)
        yield (f"BDAT, {len(before)} octets before", Session.bdat,
               before + octets, 0,
               None if bdat is None else lines + bdat)


def play(tap, row):
    session = Session()
    count = 0
    try:
        for what, method, octets, cut, expected in trials(row):
            try:
                got = method(session, octets, cut)
            except (AssertionError, OSError) as error:
                session.log.seek(0)
                tap.ok(False, f"{row[0]}: {what}",
                       f"{error!r}\n{session.log.read()[-2000:]!r}")
                return
            if got != expected:
                tap.ok(False, f"{row[0]}: {what}",
                       f"expected {expected!r}\ngot      {got!r}"[:3000])
                return
            count += 1
    finally:
        session.end()
    tap.ok(count > 10, f"{row[0]}: {count} messages")


if not os.access(player.PROGRAM, os.X_OK):
    skip_all("smtpd is not built: make")
tap = Tap()
with open(os.path.join(player.TOP, "lib/line.h")) as file:
    found = re.search(r"LINE_BUFFER_OCTETS (\d+)", file.read())
tap.same(int(found.group(1)), BUFFER, "the buffer is as large as we think")
for row in ROWS:
    tap.case(play, tap, row)
tap.done()
