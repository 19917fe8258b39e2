#!/usr/bin/env python3
"""POP3 beyond one session: clients behind a proxy, how many connections one
address may have, and the session part behind another login."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from instance import BUILD, Instance
from tap import Tap, wait_for

tap = Tap()
GREETING = "+OK keepmail POP3 server"
TOO_MANY = "-ERR [SYS/TEMP] too many connections"
HEADER = "PROXY TCP4 {} 192.0.2.1 4000 110\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n"


class Client:
    """A connection that is spoken line by line."""

    def __init__(self, host, *pieces):
        self.socket = socket.create_connection(
            (host.pop3_host, int(host.pop3_port)), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        for piece in pieces:
            self.socket.sendall(piece if isinstance(piece, bytes)
                                else piece.encode())

    def line(self):
        """A line; "" at the end of the connection."""
        try:
            return self.file.readline().decode().rstrip("\r\n")
        except ConnectionError:
            return ""

    def say(self, line):
        self.socket.sendall(line.encode() + b"\r\n")
        return self.line()

    def close(self):
        self.file.close()
        self.socket.close()


def first_line(host, *pieces):
    client = Client(host, *pieces)
    try:
        return client.line()
    finally:
        client.close()


def proxies(host):
    host.control("proxies", "127.0.0.0/8\n")
    header = HEADER.format("198.51.100.7")
    client = Client(host, *header)
    tap.same(client.line(), GREETING, "a header, octet by octet")
    client.say("USER " + host.user_name)
    tap.ok(client.say("PASS x").startswith("-ERR [AUTH]"), "a wrong password")
    client.close()
    tap.ok(wait_for(lambda: "client=198.51.100.7 mechanism=PLAIN"
                    in host.log("authd")),
           "the client is who the proxy names", host.log("authd"))
    client = Client(host, header + "CAPA\r\nNOOP\r\n")
    tap.same((client.line(), client.line()),
             (GREETING, "+OK capabilities follow"),
             "what comes in one piece with the header is kept")
    client.close()
    addresses = socket.inet_pton(socket.AF_INET6, "2001:db8::7") * 2
    body = addresses + b"\x0f\xa0\0\x6e" + b"\x04\0\0"
    whole = V2 + b"\x21\x21" + len(body).to_bytes(2, "big") + body
    client = Client(host, whole[:20], whole[20:])
    tap.same(client.line(), GREETING, "version 2")
    client.close()
    tap.ok(wait_for(lambda: "client=2001:db8::7 by PROXY" in
                    host.log("pop3d")), "and its address", host.log("pop3d"))
    tap.same(first_line(host, V2 + b"\x20\0\0\0"), GREETING,
             "a check of the proxy's own")
    for name, text in (("malformed", "PROXY TCP4 x y 1 2\r\n"),
                       ("missing", "CAPA\r\n"),
                       ("too long", "PROXY " + "x" * 200)):
        tap.same(first_line(host, text), "", f"a header that is {name}")
    client = Client(host, "PROXY TC")
    client.socket.shutdown(socket.SHUT_WR)
    tap.same(client.line(), "", "a header that is cut off")
    client.close()
    host.control("proxies", "127.0.0.0/8 optional\n")
    tap.same(first_line(host, header), GREETING, "optional, and there")
    client = Client(host, "CAPA\r\n")
    tap.same((client.line(), client.line()),
             (GREETING, "+OK capabilities follow"), "optional, and not there")
    client.close()
    client = Client(host)
    client.socket.sendall(b"P")
    client.socket.sendall(b"XTND\r\n")
    tap.same((client.line(), client.line()),
             (GREETING, "-ERR log in first"), "no header after all")
    client.close()
    host.control("proxies", "192.0.2.0/24\n")
    tap.same(first_line(host), GREETING, "others need none")
    client = Client(host)
    client.line()
    tap.same(client.say(header.rstrip()), "-ERR log in first",
             "and may send none")
    client.close()
    host.control("proxies", "192.0.2.7/24\n")
    tap.same(first_line(host), "-ERR [SYS/TEMP] no service now",
             "a list with a mistake")
    host.control("proxies", "127.0.0.0/8\n")


def connections(host):
    host.control("connectionspop3", "2\n")
    one, other = (HEADER.format(address)
                  for address in ("198.51.100.7", "198.51.100.8"))
    clients = [Client(host, one) for _ in range(2)]
    tap.same([client.line() for client in clients], [GREETING] * 2,
             "two connections of an address")
    tap.same(first_line(host, one), TOO_MANY, "the third is refused")
    tap.same(first_line(host, other), GREETING, "another address is not")
    tap.same(first_line(host, "PROXY UNKNOWN\r\n"), GREETING,
             "nor is one that is not known")
    # The place is held as long as the session: past the login.
    clients[0].say("USER " + host.user_name)
    tap.ok(clients[0].say("PASS " + host.password).startswith("+OK"),
           "a login")
    tap.same(first_line(host, one), TOO_MANY, "holds its place")
    clients[0].say("QUIT")
    clients[0].close()
    tap.ok(wait_for(lambda: first_line(host, one) == GREETING),
           "until it ends", host.log("pop3d"))
    host.control("limitsexempt", "198.51.100.7\n")
    tap.same([first_line(host, one) for _ in range(3)], [GREETING] * 3,
             "an address may be exempt")
    clients[1].close()
    host.control("proxies", "")
    host.control("limitsexempt", "192.0.2.1\n")
    host.control("connectionspop3", "1\n")
    client = Client(host)
    tap.same(client.line(), GREETING, "the peer itself")
    tap.same(first_line(host), TOO_MANY, "is counted, too")
    client.close()
    host.control("connectionspop3", "0\n")


def session_alone(host):
    """As behind checkpassword: as the user, in the home folder."""
    folder = tempfile.mkdtemp(prefix="keepmail-pop3.")
    user = 65534 if os.geteuid() == 0 else None
    try:
        os.chmod(folder, 0o755)
        program = shutil.copy(os.path.join(BUILD, "pop3d-session"), folder)
        home = os.path.join(folder, "home")
        for name in ("", "Maildir", "Maildir/new", "Maildir/cur",
                     "Maildir/tmp", "other", "other/new"):
            os.mkdir(os.path.join(home, name))
        for name in ("Maildir/new/1.a", "other/new/2.b", "other/new/3.c"):
            with open(os.path.join(home, name), "w",
                      encoding="ascii") as file:
                file.write("Subject: x\n")
        if user:
            for path, _, files in os.walk(home):
                for name in [path] + [os.path.join(path, f) for f in files]:
                    os.chown(name, user, user)

        def run(*arguments, who=user, **more):
            return subprocess.run(
                [program, *arguments], input=b"RETR 1\r\nDELE 1\r\nQUIT\r\n",
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=home,
                timeout=60, user=who, group=who,
                extra_groups=[] if who else None,
                env={"USER": "ann", "TCPREMOTEIP": "192.0.2.7",
                     "ASAN_OPTIONS": "detect_leaks=0", **more})

        done = run()
        tap.same((done.returncode, done.stdout),
                 (0, b"+OK 1 messages\r\n+OK 12 octets\r\nSubject: x\r\n.\r\n"
                  b"+OK message 1 deleted\r\n+OK bye\r\n"),
                 "pop3d-session serves ./Maildir")
        tap.ok(b"session account=ann client=192.0.2.7 tls=no messages=1 "
               in done.stderr, "and logs on descriptor 2", done.stderr)
        tap.same(os.listdir(os.path.join(home, "Maildir/new")), [],
                 "what was deleted is gone")
        done = run(USER="ann client=10.0.0.1\n", TCPREMOTEIP="1 2")
        tap.ok(b"session account=unknown client=unknown tls=no" in done.stderr,
               "and believes no variable that would forge fields",
               done.stderr)
        done = run("other")
        tap.ok(done.stdout.startswith(b"+OK 2 messages\r\n"),
               "or another Maildir", done)
        done = run(os.path.join(home, "other"))
        tap.ok(done.stdout.startswith(b"+OK 1 messages\r\n"),
               "or one by its whole path", done)
        tap.same(run("a", "b").returncode, 100, "a wrong call")
        tap.same(run("../home/other").stdout,
                 b"-ERR [SYS/TEMP] the maildrop cannot be opened now\r\n",
                 "no way upwards")
        if user:
            done = run(who=0)
            tap.same((done.returncode, done.stdout),
                     (111, b"-ERR [SYS/TEMP] no service now\r\n"),
                     "never as root")
        else:
            tap.skip("never as root", "this is not root")
    finally:
        shutil.rmtree(folder)


def headers(host):
    """control/pop3utf8: to all clients as they are stored."""
    text = "Subject: \u00e4\n\nx\n".encode()
    owner = os.stat(host.maildir)
    path = os.path.join(host.maildir, "new", "1.a")
    for setting, wanted in (("0", b"Subject: ??"),
                            ("1", "Subject: \u00e4".encode())):
        with open(path, "wb") as file:
            file.write(text)
        if os.geteuid() == 0:
            os.chown(path, owner.st_uid, owner.st_gid)
        host.control("pop3utf8", setting + "\n")
        pop = host.pop3()
        tap.same(pop.retr(1)[1][0], wanted, f"with pop3utf8 {setting}")
        pop.dele(1)
        pop.quit()


with Instance() as host:
    for step in (proxies, connections, headers, session_alone):
        tap.case(step, host)
tap.done()
