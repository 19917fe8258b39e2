#!/usr/bin/env python3
"""What one client may have of the server: limits of a session, limits over all
connections that countd counts, and how a session ends at SIGTERM."""

import os
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from instance import Instance
from tap import Tap, wait_for

tap = Tap()
OPEN = []


class Client:
    """A connection that is spoken line by line."""

    def __init__(self, host, source="127.0.0.1"):
        self.socket = socket.create_connection(
            (host.smtp_host, int(host.smtp_port)), 30, (source, 0))
        self.file = self.socket.makefile("rb")
        OPEN.append(self)

    def reply(self):
        """The last line of a reply; "" at the end of the connection."""
        while True:
            try:
                line = self.file.readline().decode().rstrip("\r\n")
            except ConnectionError:
                return ""
            if line[3:4] != "-":
                return line

    def say(self, line):
        self.socket.sendall(line.encode() + b"\r\n")
        return self.reply()

    def begin(self):
        """Greeting and EHLO; itself, or what was answered instead."""
        greeting = self.reply()
        return self if self.say("EHLO c.example")[:3] == "250" else greeting

    def code(self, line):
        return self.say(line)[:7]

    def close(self):
        self.file.close()
        self.socket.close()


def close_all():
    while OPEN:
        OPEN.pop().close()


def servers(host):
    """Process ids of the smtpds."""
    parent, found = host.pid("smtpd"), set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as file:
                line = file.read()
        except OSError:
            continue
        name, rest = line[line.index("(") + 1:].rsplit(")", 1)
        if name == "smtpd" and int(rest.split()[1]) == parent:
            found.add(int(entry))
    return found


def new_client(host):
    """A client, greeted, and the process id of its smtpd."""
    before = servers(host)
    client = Client(host)
    client.begin()
    return client, (servers(host) - before).pop()


def settle(host, **settings):
    """No connection is open, and these settings hold for the next ones."""
    close_all()
    wait_for(lambda: not servers(host))
    for name, value in settings.items():
        host.control(name, f"{value}\n")


def errors(host):
    settle(host, errorsfree=1, errordelay=1, errorsmax=2)
    client = Client(host)
    client.reply()
    began = time.monotonic()
    first = client.code("XYZZY")
    middle = time.monotonic()
    second = client.code("XYZZY")
    end = time.monotonic()
    tap.same([first, second, client.code("XYZZY")],
             ["500 5.5", "500 5.5", "421 4.7"], "bad commands, then the end")
    tap.ok(middle - began < end - middle and end - middle >= 0.9,
           "the first is answered at once, the second is not",
           f"{middle - began} {end - middle}")
    tap.same(client.reply(), "", "and the connection is closed")
    settle(host, errorsfree=0, errordelay=30)
    client, server = new_client(host)
    client.socket.sendall(b"XYZZY\r\n")
    client.close()
    tap.ok(wait_for(lambda: server not in servers(host), 10),
           "a delay ends when the client goes", host.log("smtpd"))
    settle(host, errorsfree=10, errordelay=1, errorsmax=20)


def recipients(host):
    settle(host, recipientsmax=100)
    client = Client(host).begin()
    client.say("MAIL FROM:<sender@client.test>")
    codes = [client.code(f"RCPT TO:<{host.address}>") for _ in range(101)]
    tap.same([codes[98], codes[99], codes[100]],
             ["250 2.1", "250 2.1", "452 4.5"],
             "the 99th and the 100th recipient are taken, the 101st is not")
    tap.same(client.code("DATA")[:3], "354", "the message goes on")
    tap.same(client.say("Subject: many\r\n\r\nx\r\n.")[:3], "250",
             "and is accepted")


def early(host):
    host.control("limitsexempt", "# nobody\n")
    settle(host, greetdelay=30)
    client = Client(host)
    client.socket.sendall(b"EHLO c.example\r\n")
    tap.same(client.reply(), "554 5.5.1 the client speaks first: wait for the "
             "greeting", "who speaks before the greeting is sent away")
    settle(host, greetdelay=0)


def slow(host):
    """A message in drops, each well before timeoutsmtpd."""
    settle(host, timeoutsmtpd=2, dataratemin=1000)
    client = Client(host).begin()
    client.say("MAIL FROM:<>")
    client.say(f"RCPT TO:<{host.address}>")
    client.say("DATA")
    began = time.monotonic()
    client.socket.settimeout(0.3)
    reply = None
    while reply is None and time.monotonic() < began + 20:
        try:
            client.socket.sendall(b"drop\r\n")
            reply = client.socket.recv(100)
        except socket.timeout:
            pass
        except ConnectionError:
            reply = b""
    tap.same(reply, b"421 4.4.2 timeout\r\n", "a slow message is given up")
    tap.ok(wait_for(lambda: "rule=dataratemin" in host.log("smtpd")),
           "the log says why", host.log("smtpd"))
    settle(host, timeoutsmtpd=300, dataratemin=100)


def connections(host):
    settle(host, connectionsaddress=2, connectionsnetwork=3)
    first, server = new_client(host)
    Client(host).begin()
    third = Client(host)
    tap.same(third.reply(), "421 4.7.0 too many connections from your address, "
             "try again later", "one connection more than an address may have")
    tap.same(third.reply(), "", "and it is closed")
    Client(host, "127.0.0.2").begin()
    tap.same(Client(host, "127.0.0.3").reply(), "421 4.7.0 too many "
             "connections from your network, try again later",
             "one more than a network may have")
    tap.ok(isinstance(Client(host, "127.0.1.1").begin(), Client),
           "another network is not concerned")
    os.kill(server, signal.SIGKILL)
    first.reply()
    tap.ok(wait_for(lambda: isinstance(Client(host).begin(), Client), 10),
           "a killed smtpd gives its place back", host.log("smtpd"))
    tap.same(Client(host).reply()[:3], "421", "but only one")

    # A new countd is told of the old connections when they next speak.
    settle(host)
    one, two = Client(host).begin(), Client(host).begin()
    host.restart("countd")
    for client in one, two:
        client.say("MAIL FROM:<>")
    tap.same(Client(host).reply()[:3], "421",
             "connections hold their places in a new countd")
    settle(host, connectionsaddress=1)
    os.unlink(os.path.join(host.control_folder, "limitsexempt"))
    Client(host).begin()
    tap.ok(isinstance(Client(host).begin(), Client),
           "loopback is exempt where nothing else is said")
    host.control("limitsexempt", "# nobody\n")
    settle(host, connectionsaddress=50, connectionsnetwork=100)


def messages(host):
    settle(host, messagesaddress=3, messagesnetwork=5, messageswindow=1000)
    first, second = Client(host).begin(), Client(host).begin()
    codes = [first.code("MAIL FROM:<>")]
    for _ in range(2):
        codes.append(second.code("MAIL FROM:<>"))
        second.say("RSET")
    codes.append(second.code("MAIL FROM:<>"))
    tap.same(codes, ["250 2.1"] * 3 + ["450 4.7"],
             "an address has its messages in all its connections")
    other = Client(host, "127.0.0.2").begin()
    codes = []
    for _ in range(3):
        codes.append(other.code("MAIL FROM:<>"))
        other.say("RSET")
    tap.same(codes, ["250 2.1"] * 2 + ["450 4.7"], "so has a network")
    path = os.path.join(host.home, "count", "counters")
    host.restart("countd")
    tap.ok(os.path.exists(path), "countd writes its file when it ends")
    before = os.stat(path).st_mtime_ns
    tap.same(second.code("MAIL FROM:<>"), "450 4.7",
             "and goes on counting from there")
    tap.ok(wait_for(lambda: os.stat(path).st_mtime_ns != before, 20),
           "it writes it now and then")
    started = host.starts("countd")
    os.kill(host.pid("countd"), signal.SIGKILL)
    wait_for(lambda: host.starts("countd") > started)
    tap.same(second.code("MAIL FROM:<>"), "450 4.7", "also when it was killed")
    with open(path, "wb") as file:
        file.write(b"\xff" * 1000)
    started = host.starts("countd")
    os.kill(host.pid("countd"), signal.SIGKILL)
    wait_for(lambda: host.starts("countd") > started)
    tap.ok(second.code("MAIL FROM:<>") == "250 2.1"
           and "not a file of counters" in host.log("countd"),
           "a file that is none is said to be so, and counting begins anew",
           host.log("countd"))


def countd_away(host):
    settle(host, messagesaddress=1, connectionsaddress=1)
    subprocess.run(["svc", "-d", os.path.join(host.home, "service/countd")],
                   check=True)
    wait_for(lambda: not host.pid("countd"))
    told = host.log("smtpd").count("goes on without limits")
    client, other = Client(host).begin(), Client(host).begin()
    tap.same([client.code(line) for line in ("MAIL FROM:<>", "RSET",
                                             "MAIL FROM:<>")],
             ["250 2.1", "250 2.0", "250 2.1"],
             "without countd mail goes on")
    other.say("QUIT")
    client.say("QUIT")
    tap.ok(wait_for(lambda: host.log("smtpd").count("goes on without limits")
                    == told + 2),
           "and each session says so once", host.log("smtpd"))
    subprocess.run(["svc", "-u", os.path.join(host.home, "service/countd")],
                   check=True)
    settle(host, messagesaddress=0, messagesnetwork=0, connectionsaddress=50)


def nonsense(host):
    """What countd does with records that are no questions."""
    wait_for(lambda: host.pid("countd"))
    path = os.path.join(host.home, "socket", "count")
    ended = []
    for record in (b"x", b"\0" * 112, os.urandom(112), b"\xff" * 5000):
        asker = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        asker.settimeout(10)
        if not wait_for(lambda: asker.connect_ex(path) == 0):
            break
        asker.send(record)
        try:
            ended.append(asker.recv(100))
        except ConnectionError:
            ended.append(b"")
        asker.close()
    tap.same(ended, [b""] * 4, "countd closes who asks nonsense")


def terminated(host):
    settle(host)
    idle, server = new_client(host)
    os.kill(server, signal.SIGTERM)
    tap.same(idle.reply(), "421 4.3.2 the server is going down, try again "
             "later", "SIGTERM ends a session that waits")
    tap.same(idle.reply(), "", "and closes it")
    busy, server = new_client(host)
    busy.say("MAIL FROM:<>")
    busy.say(f"RCPT TO:<{host.address}>")
    busy.say("DATA")
    os.kill(server, signal.SIGTERM)
    tap.same(busy.say("Subject: last\r\n\r\nx\r\n.")[:3], "250",
             "a message in hand is taken")
    tap.same(busy.reply()[:9], "421 4.3.2", "and then the session ends")


def transcript(host):
    settle(host, transcript="127.0.0.1")
    client = Client(host).begin()
    client.say("AUTH PLAIN AHVzZXIAc2VjcmV0")
    client.say("QUIT")
    tap.ok(wait_for(lambda: "> QUIT" in host.log("smtpd")),
           "a session has its transcript", host.log("smtpd"))
    log = host.log("smtpd")
    tap.ok("client=127.0.0.1 > EHLO c.example" in log
           and "client=127.0.0.1 < 250" in log and "c2VjcmV0" not in log,
           "both sides, and no password", log)
    settle(host, transcript="192.0.2.1")


with Instance() as host:
    host.control_folder = os.path.join(host.home, "control")
    for case in (errors, recipients, early, slow, connections, messages,
                 countd_away, nonsense, terminated, transcript):
        tap.case(case, host)
    close_all()
tap.done()
