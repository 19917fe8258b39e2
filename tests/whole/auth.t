#!/usr/bin/env python3
"""Logging in, by SMTP and POP3, as real clients do it and as strangers try."""

import base64
import hashlib
import hmac
import os
import poplib
import re
import shutil
import signal
import smtplib
import socket
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from instance import Instance  # noqa: E402
from tap import Tap, wait_for  # noqa: E402

tap = Tap()
MESSAGE = b"Subject: by a client\r\n\r\nhello\r\n"


def encode(octets):
    if isinstance(octets, str):
        octets = octets.encode()
    return base64.b64encode(octets).decode()


class Line:
    """A client that says what it is told."""

    def __init__(self, host, port):
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.file = self.socket.makefile("rb")
        self.greeting = self.read()

    def read(self):
        line = self.file.readline().decode().rstrip("\r\n")
        while line[3:4] == "-" and line[:3].isdigit():
            line = self.file.readline().decode().rstrip("\r\n")
        return line

    def say(self, text):
        self.socket.sendall(text.encode() + b"\r\n")
        return self.read()

    def close(self):
        self.file.close()
        self.socket.close()


def smtp_line(host, hello=True):
    line = Line(host.smtp_host, host.submission_port)
    if hello:
        line.say("EHLO client.test")
    return line


def pop3_line(host):
    return Line(host.pop3_host, host.pop3_port)


def plain(host, password=None):
    return encode(f"\0{host.user_name}\0{password or host.password}")


# --- real clients ---

def client(host, name, command, **more):
    """Runs a client; a test passes if it ends with 0."""
    if shutil.which(command[0]) is None:
        tap.skip(name, f"no {command[0]}")
        return None
    environment = dict(os.environ, HOME=host.folder)
    run = subprocess.run(command, timeout=60, env=environment, cwd=host.folder,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         **more)
    tap.ok(run.returncode == 0, name,
           run.stdout.decode(errors="replace") + host.log("authd")[-600:])
    return run.stdout


def smtp_clients(host):
    user, password = host.user_name, host.password
    server = f"{host.smtp_host}:{host.submission_port}"
    sent = 0
    for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
        client(host, f"swaks: {mechanism} by SMTP",
               ["swaks", "--server", server, "--auth", mechanism,
                "--auth-user", user, "--auth-password", password, "--from",
                user, "--to", user, "--ehlo", "c.test", "--silent", "2"],
               stdin=subprocess.DEVNULL)
        sent += shutil.which("swaks") is not None
    message = os.path.join(host.folder, "message")
    with open(message, "wb") as file:
        file.write(MESSAGE)
    for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"):
        if mechanism == "SCRAM-SHA-256" and b"SCRAM-SHA-256" not in \
                subprocess.run(["curl", "-V"], stdout=subprocess.PIPE).stdout:
            continue
        client(host, f"curl: {mechanism} by SMTP",
               ["curl", "-sS", f"smtp://{server}/c.test", "--mail-from", user,
                "--mail-rcpt", user, "-T", message, "-u",
                f"{user}:{password}", "--login-options", f"AUTH={mechanism}"])
        sent += 1
    for mechanism in ("plain", "login", "cram-md5", "scram-sha-256"):
        client(host, f"msmtp: {mechanism} by SMTP",
               ["msmtp", f"--host={host.smtp_host}",
                f"--port={host.submission_port}", f"--auth={mechanism}",
                f"--user={user}", f"--passwordeval=echo {password}",
                "--tls=off", f"--from={user}", "--", user], input=MESSAGE)
        sent += shutil.which("msmtp") is not None
    for method in ("auth_plain", "auth_login", "auth_cram_md5"):
        connection = host.submission()
        connection.ehlo()
        connection.user, connection.password = user, password
        code, _ = connection.auth(method[5:].replace("_", "-").upper(),
                                  getattr(connection, method))
        tap.same(code, 235, f"smtplib: {method}")
        connection.quit()
    mechanisms = ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256")
    for mechanism in mechanisms:
        gsasl(host, "--smtp", host.submission_port, mechanism)
    texts = host.wait_delivered(sent)
    tap.same(len(texts), sent, "every message came")
    tap.ok(all(b" with ESMTPA id " in text for text in texts),
           "its Received field says ESMTPA")


def gsasl(host, protocol, port, mechanism):
    name = f"gsasl: {mechanism} by {protocol[2:]}"
    if shutil.which("gsasl") is None:
        tap.skip(name, "no gsasl")
        return
    run = subprocess.run(
        ["gsasl", protocol, "--client", "--connect", f"127.0.0.1:{port}",
         "--no-starttls", "-m", mechanism, "-a", host.user_name, "-p",
         host.password], input=b"QUIT\r\n", timeout=60,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    # Its status depends on how the connection ends.
    tap.ok(b"235 2.7.0" in run.stdout and b"server trusted" in run.stdout,
           name, run.stdout.decode(errors="replace"))


def pop3_clients(host):
    user, password = host.user_name, host.password
    url = f"pop3://{host.pop3_host}:{host.pop3_port}/"
    for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5", "+APOP"):
        client(host, f"curl: {mechanism} by POP3",
               ["curl", "-sS", url, "-u", f"{user}:{password}",
                "--login-options", f"AUTH={mechanism}"])
    for mechanism in ("user", "apop", "plain", "login", "cram-md5",
                      "scram-sha-256"):
        client(host, f"mpop: {mechanism} by POP3",
               ["mpop", f"--host={host.pop3_host}", f"--port={host.pop3_port}",
                f"--auth={mechanism}", f"--user={user}",
                f"--passwordeval=echo {password}", "--tls=off", "--keep=on",
                "--deliver=mbox,mbox", "--uidls-file=uidls-" + mechanism])
    netrc = os.path.join(host.folder, ".netrc")
    with open(netrc, "w") as file:
        file.write(f"machine 127.0.0.1 login {user} password {password}\n")
    os.chmod(netrc, 0o600)
    for protocol in ("pop3", "apop"):
        client(host, f"fetchmail: {protocol} by POP3",
               ["fetchmail", "--nosslcertck", "--sslproto", "", "-f",
                "/dev/null", "--pidfile", os.path.join(host.folder, "pid"),
                "-p", protocol, "--service", str(host.pop3_port), "-u", user,
                "--check", "127.0.0.1"])
    connection = poplib.POP3(host.pop3_host, int(host.pop3_port), timeout=30)
    tap.ok(connection.apop(user, password).startswith(b"+OK"), "poplib: apop")
    connection.quit()
    line = pop3_line(host)
    tap.ok(line.say("AUTH PLAIN " + plain(host)).startswith("+OK"),
           "POP3: AUTH PLAIN with an initial response")
    tap.ok(line.say("STAT").startswith("+OK"), "and the session is there")
    line.close()


# --- dialogues ---

def capabilities(host):
    connection = host.submission()
    connection.ehlo()
    tap.same(connection.esmtp_features.get("auth", "").split(),
             ["SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN"],
             "EHLO shows what works, the best first")
    connection.login(host.user_name, host.password)
    connection.ehlo()
    tap.ok("auth" not in connection.esmtp_features, "and nothing after login")
    connection.quit()
    pop = poplib.POP3(host.pop3_host, int(host.pop3_port), timeout=30)
    tap.same(pop.capa().get("SASL"),
             ["SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN"], "CAPA too")
    pop.quit()
    line = pop3_line(host)
    tap.ok(re.search(r"^\+OK .* <\S+@\S+>$", line.greeting),
           "the greeting has APOP's timestamp", line.greeting)
    said = [line.say("AUTH")]
    while said[-1] != ".":
        said.append(line.read())
    tap.same(said[1:-1], ["SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN"],
             "POP3's AUTH without an argument lists them")
    line.say("AUTH LOGIN")
    tap.same([line.say("*\r\nCAPA").split()[0], line.read().split()[0]],
             ["-ERR", "+OK"], "what is behind a cancelled AUTH is heard")
    line.close()


def smtp_dialogues(host):
    good = plain(host)
    rows = [
        ("the right password", ["AUTH PLAIN " + good], "235 2.7.0"),
        ("small letters, two spaces", ["auth  plain  " + good], "235 2.7.0"),
        ("without an initial response", ["AUTH PLAIN", good], "235 2.7.0"),
        ("a wrong password", ["AUTH PLAIN " + plain(host, "x")], "535 5.7.8"),
        ("an empty initial response", ["AUTH PLAIN ="], "501 5.5.2"),
        ("LOGIN with the name", ["AUTH LOGIN " + encode(host.user_name),
                                 encode(host.password)], "235 2.7.0"),
        ("LOGIN, empty password", ["AUTH LOGIN " + encode(host.user_name),
                                   ""], "535 5.7.8"),
        ("cancelled", ["AUTH LOGIN", "*"], "501 5.7.0"),
        ("cancelled later", ["AUTH LOGIN", encode("a"), "*"], "501 5.7.0"),
        ("\"=\" where it has no meaning", ["AUTH LOGIN", "="], "501 5.5.2"),
        ("no mechanism", ["AUTH"], "501 5.5.4"),
        ("an unknown mechanism", ["AUTH GSSAPI"], "504 5.5.4"),
        ("one that needs TLS", ["AUTH SCRAM-SHA-256-PLUS"], "504 5.5.4"),
        ("one that needs a certificate", ["AUTH EXTERNAL ="], "504 5.5.4"),
        ("CRAM-MD5 with an initial response", ["AUTH CRAM-MD5 " + good],
         "501 5.5.2"),
        ("not printable", ["AUTH PLAIN \x01"], "500 5.5.2"),
        ("12288 octets", ["AUTH PLAIN", "A" * 12284], "501 5.5.2"),
        ("more", ["AUTH PLAIN", "A" * 12288], "500 5.5.6"),
        ("as an initial response", ["AUTH PLAIN " + "A" * 12272],
         "501 5.5.2"),
        ("that is longer", ["AUTH PLAIN " + "A" * 12284], "500 5.5.2"),
        ("another command that long", ["NOOP " + "A" * 5000], "500 5.5.2"),
    ]
    for bad in ("A", "AA", "AA=", "AB==", "AAB=", "A===", "AA==AA==", "!AAA",
                " " + good, good + "=", good.rstrip("=") + "\t", "-_-_"):
        if bad != good.rstrip("="):
            rows.append((f"base64 {bad[:9]!r}", ["AUTH PLAIN", bad],
                         "501 5.5.2"))
    for name, commands, expected in rows:
        line = smtp_line(host)
        said = [line.say(command) for command in commands]
        tap.ok(said[-1].startswith(expected) and
               all(s.startswith("334 ") for s in said[:-1]),
               f"AUTH: {name}: {expected}", said)
        if not expected.startswith("235"):
            said = line.say("AUTH PLAIN " + good)
            if not said.startswith("235"):
                tap.ok(False, f"AUTH: {name}: another try", said)
        line.close()


def smtp_order(host):
    line = smtp_line(host, hello=False)
    tap.ok(line.say("AUTH PLAIN " + plain(host)).startswith("503"),
           "AUTH before EHLO: 503")
    line.say("HELO client.test")
    tap.ok(line.say("AUTH PLAIN " + plain(host)).startswith("503"),
           "after HELO: 503")
    line.say("EHLO client.test")
    line.say(f"MAIL FROM:<{host.address}>")
    tap.ok(line.say("AUTH PLAIN " + plain(host)).startswith("503"),
           "in a transaction: 503")
    line.say("RSET")
    tap.ok(line.say("AUTH PLAIN " + plain(host)).startswith("235"),
           "after RSET: 235")
    tap.ok(line.say("AUTH PLAIN " + plain(host)).startswith("503"),
           "again: 503")
    line.say("EHLO client.test")
    tap.ok(line.say("AUTH PLAIN " + plain(host)).startswith("503"),
           "and after EHLO: 503")
    for parameter, code in (("AUTH=<>", "250"), ("AUTH=e+3Dmc2@a.test", "250"),
                            ("AUTH=<", "501"), ("AUTH=", "501"),
                            ("AUTH=<> AUTH=<>", "501")):
        said = line.say(f"MAIL FROM:<{host.address}> {parameter}")
        tap.ok(said.startswith(code), f"MAIL with {parameter}: {code}", said)
        line.say("RSET")
    line.close()
    line = smtp_line(host)
    said = [line.say("AUTH PLAIN " + plain(host, "x")) for _ in range(5)]
    tap.ok(said[4].startswith("421") and said[3].startswith("535") and
           line.file.read() == b"", "the fifth failure ends the session", said)
    line.close()
    line = Line(host.smtp_host, host.smtp_port)
    line.say("EHLO client.test")
    line.say(f"MAIL FROM:<{host.address}>")
    tap.ok(line.say("RCPT TO:<x@elsewhere.test>").startswith("5"),
           "nobody relays before a login")
    line.say("RSET")
    line.say("AUTH PLAIN " + plain(host))
    line.say(f"MAIL FROM:<{host.address}>")
    said = line.say("RCPT TO:<x@elsewhere.test>")
    tap.ok(said.startswith("250"), "but after it", said)
    line.close()


def pop3_dialogues(host):
    line = pop3_line(host)
    for name, commands in (
            ("a wrong password", ["AUTH PLAIN " + plain(host, "x")]),
            ("cancelled", ["AUTH LOGIN", "*"]),
            ("bad base64", ["AUTH PLAIN", "AA="]),
            ("an unknown mechanism", ["AUTH GSSAPI"]),
            ("too long", ["AUTH PLAIN", "A" * 12288]),
            ("APOP with a wrong digest",
             [f"APOP {host.user_name} {'0' * 32}"]),
            ("APOP without one", [f"APOP {host.user_name}"])):
        said = [line.say(command) for command in commands]
        tap.ok(said[-1].startswith("-ERR") and
               all(s.startswith("+ ") for s in said[:-1]),
               f"POP3, {name}: -ERR", said)
    line.say("USER " + host.user_name)
    tap.ok(line.say("AUTH PLAIN " + plain(host, "x")).startswith("-ERR [AUTH]")
           and line.say("PASS " + host.password) == "-ERR USER first",
           "a failure goes back to the beginning")
    line.say("USER " + host.user_name)
    tap.ok(line.say("PASS " + host.password).startswith("+OK"),
           "and a right password passes after all")
    line.close()


# --- authd, spoken to directly ---

MAGIC = 0x6b617532
MECHANISM = {"PLAIN": 1, "SCRAM-SHA-256": 4, "SCRAM-SHA-256-PLUS": 5,
             "EXTERNAL": 6}
VERDICT = {1: "yes", 2: "no", 3: "temporary", 4: "malformed"}


class Exchange:
    def __init__(self, host, mechanism, initial=None, exporter=b"",
                 end_point=b"", identity="", address="192.0.2.1"):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(30)
        self.socket.connect(os.path.join(host.home, "socket", "auth"))
        self.send_begin(struct.pack(
            "=4I2I32s64s256s64s128sI", MAGIC, 3, MECHANISM[mechanism],
            initial is not None, len(exporter), len(end_point), exporter,
            end_point, identity.encode(), address.encode(), b"",
            len(initial or b"")) + (initial or b""))

    def send_begin(self, octets):
        self.answer(octets)

    def answer(self, octets):
        try:
            self.socket.send(octets)
            got = self.socket.recv(16384)
        except (ConnectionError, BrokenPipeError):
            got = b""
        if not got:
            self.verdict, self.octets = "gone", b""
            return
        _, kind, verdict, length = struct.unpack("=4I", got[:16])
        self.octets = got[16:16 + length]
        self.verdict = VERDICT[verdict] if kind == 4 else None

    def respond(self, octets):
        self.answer(struct.pack("=4I", MAGIC, 1, 0, len(octets)) + octets)
        return self.verdict

    def close(self):
        self.socket.close()


def scram(host, name, password, header=b"n,,", bound=b"", plus=False, **more):
    """A whole exchange; gives the verdict and the server's first message."""
    bare = b"n=" + name.encode() + b",r=0123456789"
    one = Exchange(host, "SCRAM-SHA-256-PLUS" if plus else "SCRAM-SHA-256",
                   header + bare, **more)
    if one.verdict is not None:
        one.close()
        return one.verdict, b""
    first = one.octets
    parts = dict(p.split(b"=", 1) for p in first.split(b","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(),
                                 base64.b64decode(parts[b"s"]),
                                 int(parts[b"i"]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    final = b"c=" + base64.b64encode(header + bound) + b",r=" + parts[b"r"]
    proof = hmac.digest(hashlib.sha256(key).digest(),
                        bare + b"," + first + b"," + final, "sha256")
    proof = bytes(a ^ b for a, b in zip(proof, key))
    server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"),
                         bare + b"," + first + b"," + final, "sha256")
    verdict = one.respond(final + b",p=" + base64.b64encode(proof))
    if verdict is None:
        if one.octets != b"v=" + base64.b64encode(server):
            verdict = "a wrong signature"
        else:
            verdict = one.respond(b"")
    one.close()
    return verdict, first


def bindings(host):
    user, password = host.user_name, host.password
    exporter, end_point = b"e" * 32, b"p" * 48
    both = {"exporter": exporter, "end_point": end_point}
    one, two = b"p=tls-exporter,,", b"p=tls-server-end-point,,"
    rows = [
        ("SCRAM", {}, "yes"),
        ("SCRAM in capitals", {"name": user.upper()}, "yes"),
        ("SCRAM, wrong password", {"password": "x"}, "no"),
        ("SCRAM, unknown name", {"name": "nobody@" + host.domain}, "no"),
        ("SCRAM with TLS, a client that cannot bind", both, "yes"),
        ("a downgrade seen by the client", {"header": b"y,,", **both}, "no"),
        ("the same without TLS", {"header": b"y,,"}, "yes"),
        ("tls-exporter", {"header": one, "bound": exporter, "plus": True,
                          **both}, "yes"),
        ("tls-exporter of another connection",
         {"header": one, "bound": b"x" * 32, "plus": True, **both}, "no"),
        ("tls-server-end-point", {"header": two, "bound": end_point,
                                  "plus": True, **both}, "yes"),
        ("the data of the one for the other",
         {"header": two, "bound": exporter, "plus": True, **both}, "no"),
        ("tls-unique", {"header": b"p=tls-unique,,", "bound": exporter,
                        "plus": True, **both}, "no"),
        ("PLUS without binding", {"plus": True, **both}, "no"),
        ("PLUS without TLS", {"header": one, "plus": True}, "no"),
        ("binding without PLUS", {"header": one, "bound": exporter, **both},
         "no"),
    ]
    for name, more, expected in rows:
        more = {"name": user, "password": password, **more}
        tap.same(scram(host, **more)[0], expected, f"{name}: {expected}")
    salts = [scram(host, "nobody@" + host.domain, "x")[1].split(b",")[1:]
             for _ in range(2)]
    real = scram(host, user, "x")[1].split(b",")[1:]
    host.restart("authd")
    salts.append(scram(host, "Nobody@" + host.domain, "x")[1].split(b",")[1:])
    other = scram(host, "no-one@" + host.domain, "x")[1].split(b",")[1:]
    tap.ok(salts[0] == salts[1] == salts[2] and salts[0][0] != other[0] and
           real[1] == other[1] == salts[0][1] and
           len(real[0]) == len(other[0]),
           "an unknown name has a salt of its own, always the same one",
           (salts, real, other))
    for identity, initial, expected in ((user, b"", "yes"),
                                        (user, user.encode(), "yes"),
                                        (user, b"else@x.test", "no"),
                                        ("else@x.test", b"", "no"),
                                        ("", b"", "malformed")):
        one = Exchange(host, "EXTERNAL", initial, identity=identity)
        tap.same(one.verdict, expected,
                 f"EXTERNAL, {identity!r} as {initial!r}: {expected}")
        one.close()


def hostile_records(host):
    """Whatever comes over the socket, authd goes on."""
    before = host.pid("authd")
    for octets in (b"", b"x", b"\0" * 600, b"\xff" * 9000,
                   struct.pack("=4I", MAGIC, 3, 99, 0) + b"\0" * 560,
                   struct.pack("=4I", MAGIC, 3, 1, 0) + b"\xff" * 548,
                   struct.pack("=4I", MAGIC, 3, 1, 1) + b"\0" * 544 +
                   struct.pack("=I", 9217)):
        one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        one.settimeout(30)
        one.connect(os.path.join(host.home, "socket", "auth"))
        if octets:
            one.send(octets)
            try:
                got = one.recv(100)
            except ConnectionError:
                got = b""
            tap.same(got, b"", f"{len(octets)} octets that are no question "
                     "have no answer")
        one.close()
    tap.ok(scram(host, host.user_name, host.password)[0] == "yes" and
           host.pid("authd") == before, "authd serves on")


# --- guessing ---

def log_of_failures(host):
    documented = re.compile(
        r"authd: login failed: service=\S+ client=(\S+) mechanism=")
    line = smtp_line(host)
    evil = "x client=192.0.2.99 mechanism=PLAIN\nauthd: login failed: " \
        "service=smtp client=192.0.2.99 mechanism=PLAIN name=y"
    before = len(documented.findall(host.log("authd")))
    line.say("AUTH PLAIN " + encode("\0" + evil + "\0x"))
    wait_for(lambda: len(documented.findall(host.log("authd"))) > before)
    found = documented.findall(host.log("authd"))[before:]
    tap.same(found, ["127.0.0.1"],
             "one line for a failure, whose client nobody can forge")
    tap.ok(host.password not in host.log("authd") + host.log("submission"),
           "no password is in the log")
    line.close()


def tries(host, address, name, password, number):
    """Verdicts of so many tries at the same time, and how long all took."""
    def attempt(_):
        one = Exchange(host, "PLAIN", f"\0{name}\0{password}".encode(),
                       address=address)
        one.close()
        return one.verdict
    start = time.monotonic()
    with ThreadPoolExecutor(number) as pool:
        verdicts = list(pool.map(attempt, range(number)))
    return verdicts, time.monotonic() - start


def guessing(host):
    host.control("authfailures", "4\n")
    host.restart("authd")
    user, password = host.user_name, host.password
    verdicts, _ = tries(host, "203.0.113.1", user, password, 1)
    tap.same(verdicts, ["yes"], "the owner has logged in from an address")
    strangers = (("192.0.2.66", "192.0.2.66", user),
                 ("2001:db8::1", "2001:db8::ffff:2", "else@x.test"))
    for first, _, name in strangers:
        verdicts, _ = tries(host, first, name, "guess", 14)
        tap.same(set(verdicts), {"no"}, f"a stranger guesses from {first}")
    with ThreadPoolExecutor(2) as pool:
        for verdicts, seconds in pool.map(
                lambda s: tries(host, s[1], "more@x.test", "guess", 8),
                strangers):
            tap.ok(verdicts.count("no") <= 3 and
                   verdicts.count("temporary") >= 5 and seconds > 3,
                   "the next guesses wait, and most are not looked at",
                   (verdicts, seconds))
    verdicts, seconds = tries(host, "203.0.113.1", user, password, 1)
    tap.ok(verdicts == ["yes"] and seconds < 2,
           "the owner does not wait where he was before", seconds)
    verdicts, seconds = tries(host, "203.0.113.2", user, password, 1)
    tap.ok(verdicts == ["yes"] and seconds < 5,
           "and comes in from a new address", (verdicts, seconds))
    host.control("authfailures", "1000\n")


def flood(host):
    host.control("concurrencyauth", "1\n")
    host.control("authqueue", "8\n")
    host.restart("authd")
    held = [Exchange(host, "SCRAM-SHA-256", b"n,,n=a@x.test,r=x")
            for _ in range(8)]
    tap.same([one.verdict for one in held], [None] * 8,
             "as many may be logging in as authqueue says")
    more = Exchange(host, "PLAIN", b"\0a@x.test\0x")
    tap.ok(more.verdict in ("temporary", "gone"), "the next is turned away",
           more.verdict)
    more.close()
    line = smtp_line(host)
    said = line.say("AUTH PLAIN " + plain(host))
    tap.ok(said.startswith("454 4.7.0"), "SMTP: 454", said)
    said = line.say("NOOP")
    tap.ok(said.startswith("250"), "the session goes on", said)
    pop = pop3_line(host)
    said = pop.say("AUTH PLAIN " + plain(host))
    tap.ok(said.startswith("-ERR [SYS/TEMP]"), "POP3: SYS/TEMP", said)
    for one in held:
        one.close()
    tap.ok(wait_for(lambda: line.say("AUTH PLAIN " + plain(host))[:3] in
                    ("235", "421"), 10),
           "and comes in when they have gone")
    line.close()
    pop.close()
    verdicts, _ = tries(host, "192.0.2.7", "a@x.test", "x", 8)
    tap.ok(set(verdicts) <= {"no"}, "one after the other is looked at",
           verdicts)
    for name in ("concurrencyauth", "authqueue"):
        os.unlink(os.path.join(host.home, "control", name))
    host.restart("authd")


def killed(host):
    """authd dies in the middle: nobody is let in, nobody is refused for good."""
    def children():
        pid = host.pid("authd")
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]

    def kill_all():
        for pid in children() + [host.pid("authd")]:
            os.kill(pid, signal.SIGKILL)

    line, pop = smtp_line(host), pop3_line(host)
    line.say("AUTH LOGIN " + encode(host.user_name))
    pop.say("AUTH LOGIN " + encode(host.user_name))
    before = host.starts("authd")
    wait_for(lambda: len(children()) >= 2)
    kill_all()
    said = line.say(encode(host.password))
    tap.ok(said.startswith("454"), "SMTP defers", said)
    said = pop.say(encode(host.password))
    tap.ok(said.startswith("-ERR [SYS/TEMP]"), "POP3 defers", said)
    wait_for(lambda: host.starts("authd") > before)
    said = line.say("AUTH PLAIN " + plain(host))
    tap.ok(said.startswith("235"), "and works again", said)
    said = pop.say("AUTH PLAIN " + plain(host))
    tap.ok(said.startswith("+OK"), "POP3 too", said)
    line.close()
    pop.close()


def programs(host):
    """A program that speaks checkpassword's protocol."""
    path = os.path.join(host.home, "control", "checker")
    with open(path, "w") as file:
        file.write("#!/bin/sh\nw=$(tr '\\0' ' ' <&3)\ncase $w in\n"
                   f"'other@{host.domain} sesame '*) exec \"$@\" ;;\n"
                   "*trouble*) exit 111 ;;\nesac\nexit 1\n")
    os.chmod(path, 0o755)
    host.give(path)
    # An account without a password here: the program's.
    host.run("user-add", "other@" + host.domain, input=b"unused\n")
    secrets = os.path.join(host.home, "users", "secrets.cdb")
    os.rename(secrets, secrets + ".away")
    host.control("checkpassword", path + "\n")
    host.restart("authd")
    other = "other@" + host.domain
    for password, code, answer in (("sesame", "235", "+OK"),
                                   ("wrong", "535", "-ERR [AUTH]"),
                                   ("trouble", "454", "-ERR [SYS/TEMP]")):
        line, pop = smtp_line(host), pop3_line(host)
        said = [line.say("AUTH LOGIN"), line.say(encode(other)),
                line.say(encode(password))]
        tap.ok(said[2].startswith(code),
               f"a program says of {password}: {code}", said)
        said = [pop.say("USER " + other), pop.say("PASS " + password)]
        tap.ok(said[1].startswith(answer), f"by POP3: {answer}", said)
        line.close()
        pop.close()
    # The other order of fields: the method comes last, after an empty one.
    with open(path, "w") as file:
        file.write("#!/bin/sh\nw=$(tr '\\0\\2' ' M' <&3)\ncase $w in\n"
                   f"'other@{host.domain} sesame  M '*) exec \"$@\" ;;\nesac\n"
                   "exit 1\n")
    for method, answer in (("0", "-ERR"), ("1", "+OK")):
        host.control("checkpasswordmethod", method + "\n")
        host.restart("authd")
        pop = pop3_line(host)
        said = [pop.say("USER " + other), pop.say("PASS sesame")]
        tap.ok(said[1].startswith(answer),
               f"a program that wants a method, with method {method}", said)
        pop.close()
    os.rename(secrets + ".away", secrets)
    for name in ("checkpassword", "checkpasswordmethod"):
        os.unlink(os.path.join(host.home, "control", name))
    host.restart("authd")


def not_offered(host):
    host.control("authclear", "0\n")
    line = smtp_line(host)
    said = line.say("AUTH PLAIN " + plain(host))
    tap.ok(said.startswith("538 5.7.11"), "in the clear, not allowed: 538",
           said)
    said = line.say(f"MAIL FROM:<{host.address}> AUTH=<>")
    tap.ok(said.startswith("555"), "and MAIL's AUTH is unknown: 555", said)
    line.close()
    connection = host.submission()
    connection.ehlo()
    tap.ok("auth" not in connection.esmtp_features, "EHLO does not show it")
    connection.quit()
    host.control("authclear", "1\n")
    host.control("saslmechanisms", "PLAIN NONSENSE\n")
    line = Line(host.smtp_host, host.submission_port)
    tap.ok(line.greeting.startswith("421") and
           wait_for(lambda: "NONSENSE" in host.log("submission")),
           "a mechanism that is none is an error", line.greeting)
    line.close()


with Instance() as host:
    changed = host.run("user-passwd", "--cram", host.user_name,
                       input=host.password.encode() + b"\n")
    tap.ended(changed, 0, "", "user-passwd --cram")
    host.control("saslmechanisms",
                 "SCRAM-SHA-256-PLUS SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN "
                 "EXTERNAL APOP\n")
    for step in (capabilities, smtp_clients, pop3_clients, smtp_dialogues,
                 smtp_order, pop3_dialogues, bindings, hostile_records,
                 log_of_failures, guessing, flood, killed, programs,
                 not_offered):
        tap.case(step, host)
tap.done()
