#!/usr/bin/env python3
"""TLS as another program does it (UCSPI-TLS), played here without any: so every
octet that smtpd and pop3d read and write before the handshake, in it, and after it
is seen. What was said in clear does not survive, wherever the packet is split."""

import base64
import fcntl
import os
import re
import socket
import struct
import subprocess
import sys
import termios

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from instance import BUILD, Instance  # noqa: E402
from tap import Tap, wait_for  # noqa: E402

tap = Tap()
DETAILS = (b"SSL_PROTOCOL=TLSv1.3\0SSL_CIPHER=TLS_AES_256_GCM_SHA384\0"
           b"SSL_CLIENT_S_DN_CN=root\0\0")


class Server:
    """smtpd or pop3d, and what a program with UCSPI-TLS sees of it."""

    def __init__(self, host, program, **more):
        self.clear, clear = socket.socketpair()
        self.control, control = socket.socketpair()
        self.plain, plain = socket.socketpair()
        for one in (self.clear, self.control, self.plain):
            one.settimeout(20)
        arguments = host.as_owner()
        arguments["env"] = dict(
            arguments["env"], TCPREMOTEIP="192.0.2.1",
            SSLCTLFD=str(control.fileno()), SSLREADFD=str(plain.fileno()),
            SSLWRITEFD=str(plain.fileno()), **more)
        self.child = subprocess.Popen(
            [os.path.join(BUILD, program)], stdin=clear, stdout=clear,
            stderr=subprocess.PIPE, cwd="/",
            pass_fds=(control.fileno(), plain.fileno()), **arguments)
        for one in (clear, control, plain):
            one.close()
        self.file = {}

    def line(self, connection):
        """The last line of a reply of SMTP, or a line of POP3."""
        file = self.file.setdefault(connection, connection.makefile("rb"))
        said = file.readline()
        while re.match(rb"\d\d\d-", said):
            said = file.readline()
        return said.decode(errors="replace").rstrip("\r\n")

    def lines(self, connection, end):
        file = self.file.setdefault(connection, connection.makefile("rb"))
        said = [file.readline().decode().rstrip("\r\n")]
        while said[-1] and not re.match(end, said[-1]):
            said.append(file.readline().decode().rstrip("\r\n"))
        return said

    def say(self, connection, text):
        connection.sendall(text.encode() + b"\r\n")
        return self.line(connection)

    def handshake(self, details=DETAILS):
        """What the server asks for, and the answer."""
        asked = self.control.recv(10)
        self.control.sendall(details)
        return asked

    def end(self):
        """All that is left of what it wrote, in clear and after; its log."""
        rest = []
        for one in (self.clear, self.plain):
            try:
                one.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            file = self.file.setdefault(one, one.makefile("rb"))
            try:
                rest.append(file.read())
            except ConnectionError:
                rest.append(b"")
            file.close()
            one.close()
        self.control.close()
        log = self.child.communicate(timeout=30)[1].decode()
        return rest[0], rest[1], log


def smtp(host):
    server = Server(host, "smtpd")
    tap.ok(server.line(server.clear).startswith("220 "), "the greeting")
    server.clear.sendall(b"EHLO c.test\r\n")
    said = server.lines(server.clear, r"250 ")
    tap.ok("250-STARTTLS" in said and not any("AUTH" in s for s in said) and
           "250-REQUIRETLS" not in said, "EHLO offers STARTTLS, and no AUTH",
           said)
    said = server.say(server.clear, "AUTH PLAIN AGEAYg==")
    tap.ok(said.startswith("538 5.7.11"), "AUTH in clear: 538", said)
    said = server.say(server.clear, "STARTTLS x")
    tap.ok(said.startswith("501"), "STARTTLS with an argument: 501", said)
    said = server.say(server.clear, "STARTTLS")
    tap.ok(said.startswith("220 "), "STARTTLS: 220", said)
    tap.same(server.handshake(), b"Y", "a handshake is asked for")
    said = server.say(server.plain, "MAIL FROM:<a@c.test>")
    tap.ok(said.startswith("503"), "after it EHLO is needed again", said)
    server.plain.sendall(b"EHLO c.test\r\n")
    said = server.lines(server.plain, r"250 ")
    tap.ok("250-STARTTLS" not in said and "250-REQUIRETLS" in said and
           any("AUTH SCRAM-SHA-256 PLAIN LOGIN" in s for s in said),
           "EHLO offers AUTH, REQUIRETLS, and no STARTTLS", said)
    said = server.say(server.plain, "STARTTLS")
    tap.ok(said.startswith("503"), "STARTTLS again: 503", said)
    word = base64.b64encode(f"\0{host.user_name}\0{host.password}".encode())
    said = server.say(server.plain, "AUTH PLAIN " + word.decode())
    tap.ok(said.startswith("235"), "a login", said)
    said = server.say(server.plain, "STARTTLS")
    tap.ok(said.startswith("503"), "STARTTLS after it: 503", said)
    before = len(host.delivered())
    for command in ("MAIL FROM:<a@c.test>", f"RCPT TO:<{host.address}>",
                    "DATA", "Subject: s\r\n\r\nt\r\n."):
        said = server.say(server.plain, command)
    tap.ok(said.startswith("250 2.0.0 Ok: queued"), "a message", said)
    server.say(server.plain, "QUIT")
    clear, plain, log = server.end()
    tap.ok(clear == b"" == plain, "nothing else is written", (clear, plain))
    tap.ok("client=192.0.2.1 tls=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 "
           in log, "the log says what was negotiated", log)
    texts = host.wait_delivered(before + 1)
    tap.ok(b" with ESMTPSA id " in texts[-1] and
           b"\n\ttls TLS_AES_256_GCM_SHA384;" in texts[-1] and
           b"login" not in texts[-1].lower(),
           "so does the Received field", texts[-1])


def received_login(host):
    host.control("receivedlogin", "1\n")
    server = Server(host, "smtpd", SMTPLOGIN="ann@x.test")
    server.line(server.clear)
    before = len(host.delivered())
    said = server.say(server.clear, "STARTTLS")
    tap.ok(said.startswith("220"), "STARTTLS without EHLO", said)
    server.handshake()
    server.say(server.plain, "EHLO c.test")
    for command in ("MAIL FROM:<a@c.test>", f"RCPT TO:<{host.address}>",
                    "DATA", "Subject: s\r\n\r\nt\r\n.", "QUIT"):
        said = server.say(server.plain, command)
    server.end()
    texts = host.wait_delivered(before + 1)
    tap.ok(b" with ESMTPSA (login ann@x.test) id " in texts[-1],
           "control/receivedlogin: the login, which a rule gave", texts[-1])
    os.unlink(os.path.join(host.home, "control", "receivedlogin"))


def clear_after_login(host):
    host.control("authclear", "1\n")
    server = Server(host, "smtpd")
    server.line(server.clear)
    server.say(server.clear, "EHLO c.test")
    word = base64.b64encode(f"\0{host.user_name}\0{host.password}".encode())
    said = [server.say(server.clear, "AUTH PLAIN " + word.decode()),
            server.say(server.clear, "STARTTLS")]
    tap.ok(said[0].startswith("235") and said[1].startswith("503"),
           "STARTTLS after AUTH in clear: 503", said)
    server.clear.sendall(b"EHLO c.test\r\n")
    said = server.lines(server.clear, r"250 ")
    tap.ok("250-STARTTLS" not in said, "and EHLO does not offer it", said)
    server.end()
    host.control("authclear", "0\n")


def failures(host):
    for name, details in (("nothing", b""), ("a part", DETAILS[:30]),
                          ("no end", DETAILS[:-1]),
                          ("too much", b"x" * 100000)):
        for program, command in (("smtpd", "STARTTLS"), ("pop3d", "STLS")):
            server = Server(host, program)
            server.line(server.clear)
            server.say(server.clear, command)
            server.control.recv(1)
            try:
                server.control.sendall(details)
            except ConnectionError:
                pass
            server.control.shutdown(socket.SHUT_WR)
            clear, plain, log = server.end()
            tap.ok(clear == b"" == plain and "TLS failed: SSLCTLFD" in log,
                   f"{program}, details that are {name}: the connection "
                   "ends without a word", (clear, plain, log))


def injections(host):
    """A packet with commands behind STARTTLS, cut in two anywhere."""
    before = (b"EHLO evil.test\r\nMAIL FROM:<evil@evil.test>\r\nRSET\r\n"
              b"STARTTLS\r\n")
    after = f"EHLO evil.test\r\nMAIL FROM:<evil@evil.test>\r\n" \
        f"RCPT TO:<{host.address}>\r\n".encode()
    faults = []
    for cut in range(len(before) - 12, len(before + after)):
        packet = before + after
        server = Server(host, "smtpd")
        server.line(server.clear)
        server.clear.sendall(packet[:cut])
        if cut < len(before):   # else the rest may come too late
            wait_for(lambda: is_read(server.clear), 5)
        server.clear.sendall(packet[cut:])
        answers = [server.line(server.clear)[:3] for _ in range(4)]
        asked = server.handshake()
        # Half a command would show as a part of this one.
        said = [server.say(server.plain, "RCPT TO:<user@keepmail.test>"),
                server.say(server.plain, "NOOP"),
                server.say(server.plain, "QUIT")]
        clear, plain, _ = server.end()
        if asked != b"Y" or answers != ["250", "250", "250", "220"] or \
                clear != b"" or plain != b"" or [s[:3] for s in said] != ["503", "250", "221"]:
            faults.append((cut, clear, plain, said))
    tap.same(faults[:3], [], "SMTP: nothing of it survives, at any split")


def is_read(connection):
    """Whether the other end has read all that was sent."""
    return struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ,
                                          bytes(4)))[0] == 0


def pop3_injections(host):
    before = f"USER {host.user_name}\r\nSTLS\r\n".encode()
    after = f"USER {host.user_name}\r\nPASS {host.password}\r\nSTAT\r\n" \
        .encode()
    faults = []
    host.control("authclearpop3", "1\n")
    for cut in range(len(before) - 8, len(before + after), 2):
        packet = before + after
        server = Server(host, "pop3d")
        server.line(server.clear)
        server.clear.sendall(packet[:cut])
        if cut < len(before):   # else the rest may come too late
            wait_for(lambda: is_read(server.clear), 5)
        server.clear.sendall(packet[cut:])
        answers = [server.line(server.clear)[:3] for _ in range(2)]
        asked = server.handshake()
        said = [server.say(server.plain, "PASS " + host.password),
                server.say(server.plain, "QUIT")]
        clear, plain, _ = server.end()
        if asked != b"Y" or answers != ["+OK", "+OK"] or \
                clear != b"" or plain != b"" or \
                said != ["-ERR USER first", "+OK bye"]:
            faults.append((cut, clear, plain, said))
    tap.same(faults[:3], [], "POP3: nothing of it survives, nor USER before")
    host.control("authclearpop3", "0\n")


def pop3(host):
    server = Server(host, "pop3d")
    server.line(server.clear)
    server.clear.sendall(b"CAPA\r\n")
    said = server.lines(server.clear, r"\.$")
    tap.ok("STLS" in said and "USER" not in said and
           "SASL SCRAM-SHA-256" in said, "CAPA offers STLS, and no USER",
           said)
    for command in (f"USER {host.user_name}", "PASS x", "AUTH PLAIN",
                    "AUTH LOGIN"):
        said = server.say(server.clear, command)
        tap.ok(said.startswith("-ERR passwords need TLS"),
               f"{command.split()[0]} in clear is refused", said)
    server.clear.sendall(b"AUTH\r\n")
    tap.same(server.lines(server.clear, r"\.$"), ["+OK", "SCRAM-SHA-256", "."],
             "AUTH lists what works")
    said = server.say(server.clear, "STLS now")
    tap.ok(said.startswith("-ERR"), "STLS with an argument", said)
    said = server.say(server.clear, "STLS")
    tap.ok(said.startswith("+OK"), "STLS", said)
    tap.same(server.handshake(), b"Y", "a handshake is asked for")
    server.plain.sendall(b"CAPA\r\n")
    said = server.lines(server.plain, r"\.$")
    tap.ok("STLS" not in said and "USER" in said and
           "SASL SCRAM-SHA-256 PLAIN LOGIN" in said,
           "CAPA offers USER, and no STLS", said)
    said = server.say(server.plain, "STLS")
    tap.ok(said.startswith("-ERR TLS is on"), "STLS again", said)
    said = [server.say(server.plain, "USER " + host.user_name),
            server.say(server.plain, "PASS " + host.password)]
    tap.ok(said[1].startswith("+OK"), "a login", said)
    said = server.say(server.plain, "STLS")
    tap.ok(said.startswith("-ERR"), "no STLS after it", said)
    server.plain.sendall(b"CAPA\r\n")
    said = server.lines(server.plain, r"\.$")
    tap.ok("STLS" not in said, "nor in its CAPA", said)
    tap.ok(server.say(server.plain, "QUIT").startswith("+OK"), "QUIT")
    clear, plain, log = server.end()
    tap.ok(clear == b"" == plain and "tls=TLSv1.3" in log,
           "nothing else is written; the log has a line", (clear, plain, log))


def first(host):
    """The handshake before the greeting."""
    for program, greeting in (("smtpd", "220 "), ("pop3d", "+OK ")):
        server = Server(host, program, KEEPMAIL_TLS="first")
        tap.same(server.handshake(), b"Y",
                 f"{program}: the handshake comes first")
        said = server.line(server.plain)
        tap.ok(said.startswith(greeting), "then the greeting", said)
        tap.ok(server.say(server.plain, "QUIT")[:3] in ("221", "+OK"), "QUIT")
        clear, plain, _ = server.end()
        tap.ok(clear == b"" == plain, "nothing else", (clear, plain))


def after_header(host, program, greeting, header, pieces):
    server = Server(host, program, KEEPMAIL_TLS="first")
    hello = b"\x16\x03\x01 the client's hello"
    if pieces == 1:
        server.clear.sendall(header + hello)
    else:
        for i in range(len(header)):
            server.clear.sendall(header[i:i + 1])
        server.clear.sendall(hello)
    asked = server.handshake()
    said = server.line(server.plain)
    server.say(server.plain, "QUIT")
    _, _, log = server.end()
    tap.ok(asked == b"Y" and said.startswith(greeting) and
           "client=198.51.100.7 tls=" in log,
           f"{program}: PROXY header before TLS, in {pieces} pieces",
           (said, log))


def behind_a_proxy(host):
    host.control("proxies", "192.0.2.1\n")
    for header in (b"PROXY TCP4 198.51.100.7 192.0.2.2 4000 465\r\n",
                   b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"
                   b"\xc6\x33\x64\x07\xc0\0\2\2\x0f\xa0\1\xd1"):
        for pieces in (1, len(header)):
            for program, greeting in (("smtpd", "220"), ("pop3d", "+OK")):
                after_header(host, program, greeting, header, pieces)
    for name, octets in (("no header", b"\x16\x03\x01 hello"),
                         ("another word", b"PROXI TCP4 1 2 3 4\r\n")):
        server = Server(host, "smtpd", KEEPMAIL_TLS="first")
        server.clear.sendall(octets)
        clear, plain, log = server.end()
        tap.ok(clear == b"" == plain and "rule=proxies" in log,
               f"{name}: no handshake", (clear, plain, log))
    os.unlink(os.path.join(host.home, "control", "proxies"))


def by_xclient(host):
    host.control("xclients", "192.0.2.1\n")
    server = Server(host, "smtpd")
    server.line(server.clear)
    server.say(server.clear, "EHLO c.test")
    server.say(server.clear, "XCLIENT ADDR=198.51.100.9 NAME=x.test")
    said = server.say(server.clear, "STARTTLS")
    tap.ok(said.startswith("503"), "STARTTLS after XCLIENT: 503", said)
    server.end()
    server = Server(host, "smtpd")
    server.line(server.clear)
    server.say(server.clear, "STARTTLS")
    server.handshake()
    server.say(server.plain, "EHLO c.test")
    said = server.say(server.plain, "XCLIENT ADDR=198.51.100.9 NAME=x.test")
    tap.ok(said.startswith("220"), "XCLIENT in TLS", said)
    server.end()
    os.unlink(os.path.join(host.home, "control", "xclients"))


with Instance() as host:
    host.control("authclear", "0\n")
    host.control("authclearpop3", "0\n")
    for step in (smtp, received_login, clear_after_login, failures, injections,
                 pop3, pop3_injections, first, behind_a_proxy, by_xclient):
        tap.case(step, host)
tap.done()
