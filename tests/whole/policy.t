#!/usr/bin/env python3
"""Who may send what to whom: smtp-why says of each step what smtpd answers, the
rules are those of tcpserver, DNS is asked for senders' domains, a proxy names the
client, and tcp-env sets what tcpserver would."""

import itertools
import json
import os
import socket
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import cdb
from tap import Tap, wait_for
from instance import BUILD, Instance

tap = Tap()


# --- names -------------------------------------------------------------------


class Names:
    """A name server that knows what stands here, and fails for the rest."""
    A, MX, AAAA = 1, 15, 28
    NXDOMAIN, SERVFAIL = 3, 2

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def records(self, name, kind):
        """(code, [data])"""
        host = b"\2mx\4test\0"
        known = {
            ("mx.test", self.MX): struct.pack(">H", 10) + host,
            ("null.test", self.MX): struct.pack(">H", 0) + b"\0",
            ("four.test", self.A): bytes([192, 0, 2, 9]),
            ("spam.test", self.A): bytes([192, 0, 2, 8]),
            ("six.test", self.AAAA): bytes(16),
        }
        if name.startswith("none."):
            return self.NXDOMAIN, []
        if name.startswith("later."):
            return self.SERVFAIL, []
        data = known.get((name, kind))
        return 0, [data] if data else []

    def serve(self):
        while True:
            try:
                query, peer = self.socket.recvfrom(2048)
            except OSError:
                return
            at, labels = 12, []
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            kind, = struct.unpack(">H", query[at + 1:at + 3])
            code, found = self.records(".".join(labels).lower(), kind)
            text = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1,
                                           len(found), 0, 0)
            text += query[12:at + 5]
            for data in found:
                text += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60,
                                                  len(data)) + data
            self.socket.sendto(text, peer)

    def stop(self):
        self.socket.close()


# --- smtp-why ----------------------------------------------------------------


def why(host, *options, **more):
    """(status, the object that it prints)"""
    run = host.run("smtp-why", "--json", *options, **more)
    return run.returncode, json.loads(run.stdout) if run.stdout else None


def talk(host, hello, sender, recipient):
    """What smtpd answers to the same, up to the first refusal."""
    replies = []
    with host.smtp() as client:
        for verb, text in ((b"EHLO", hello), (b"MAIL FROM:", sender),
                           (b"RCPT TO:", recipient)):
            if verb != b"EHLO":
                text = f"<{text}>"
            code, words = client.docmd(verb.decode() + (
                " " if verb == b"EHLO" else "") + text)
            replies.append((code, words.split(b"\n")[0].decode()))
            if code >= 400:
                break
    return replies


LISTS = {
    "badmailfrom": "@spam.test\n!ann@spam.test\n.x@bad.test\nsales@\n",
    "badrcptto": "# traps\ntrap@\n",
    "badhelo": ".dyn.test\nlocalhost\n",
}


def same_answers(host):
    """smtpd and smtp-why over the same sessions."""
    host.control("tcp.smtp", "127.:allow\n:allow\n")
    compile_rules(host)
    hellos = ("c.test", "1.dyn.test", "localhost")
    senders = ("ann@spam.test", "bob@spam.test", "sales@any.test",
               "a@mx.test", "a@none.test", "a@null.test", "a@later.test",
               "a@four.test", "a@six.test", "a@empty.test", "")
    recipients = (host.address, f"nobody@{host.domain}", "x@far.test",
                  f"trap@{host.domain}")
    for hello, sender, recipient in itertools.chain(
            itertools.product(hellos, senders[:1], recipients[:1]),
            itertools.product(hellos[:1], senders, recipients[:1]),
            itertools.product(hellos[:1], senders[:1], recipients)):
        replies = talk(host, hello, sender, recipient)
        status, said = why(host, "--ip", "127.0.0.1", "--helo", hello,
                           "--from", sender or "<>", "--to", recipient)
        told = [(step["code"], " ".join(
            [step["enhanced"], step["text"]]).strip())
            for step in said["steps"][1:]]
        last = replies[-1][0] // 100
        tap.ok(told == replies and status == {2: 0, 5: 1, 4: 2}[last],
               f"{hello} <{sender}> <{recipient}>: {replies[-1][0]}",
               f"smtpd: {replies}\nsmtp-why: {told} {status}")


def rule_named(host):
    _, said = why(host, "--ip", "127.0.0.1", "--from", "bob@spam.test",
                  "--to", host.address)
    step = said["steps"][-1]
    tap.same((step["file"], step["line"], said["result"]),
             ("control/badmailfrom", 1, "refused"),
             "the file and the line are named")
    talk(host, "c.test", "bob@spam.test", host.address)
    tap.ok(wait_for(lambda: "why=badmailfrom, control/badmailfrom line 1"
                    in host.log("smtpd"), 10), "in smtpd's log as well",
           host.log("smtpd")[-2000:])
    _, said = why(host, "--ip", "127.0.0.1", "--from", "ann@spam.test",
                  "--to", "x@far.test")
    tap.same([(step["rule"], step["line"]) for step in said["steps"][1:]],
             [("exception", 2), ("rcpthosts", None)],
             "and so is an exception's")
    run = host.run("smtp-why", "--ip", "127.0.0.1", "--to", host.address)
    tap.ok(run.returncode == 0 and b"control/rcpthosts line 1" in run.stdout
           and run.stdout.endswith(b"accept\n"), "without --json, for people",
           run)
    tap.same(os.listdir(os.path.join(host.queue, "incoming")), [],
             "and nothing was submitted")


def more_domains(host):
    """control/morercpthosts.cdb, as qmail-newmrh makes it."""
    path = os.path.join(host.home, "control", "morercpthosts.cdb")
    names = [f"d{number}.test" for number in range(300)]
    cdb.make(path, [(name.encode(), b"") for name in names + [".below.test"]])

    def code(domain):
        replies = talk(host, "c.test", "ann@four.test", f"x@{domain}")
        return replies[-1][0]
    tap.same([code(name) for name in ("d0.test", "D299.test", "a.b.below.test")],
             [250, 250, 250], "domains of morercpthosts.cdb are taken")
    tap.same([code(name) for name in ("d300.test", "x.d1.test", "below.test",
                                      "test")], [550] * 4, "others are not")
    _, said = why(host, "--ip", "127.0.0.1", "--to", "x@d7.test")
    tap.same(said["steps"][-1]["rule"], "morercpthosts", "smtp-why names it")
    with open(path, "wb") as file:
        file.write(b"this is none")
    refused = host.run("smtp-why", "--ip", "127.0.0.1", "--to", "x@d7.test")
    tap.ok(b"morercpthosts.cdb: is no cdb" in refused.stdout + refused.stderr,
           "one that is none is said to be so", refused)
    os.unlink(path)


def wrong_calls(host):
    for options in ((), ("--ip",), ("--ip", "::1", "x"), ("--what",),
                    ("--ip", "::1", "--size", "x"),
                    ("--ip", "::1", "--size", "-1")):
        run = host.run("smtp-why", *options)
        tap.ok(run.returncode == 100 and b"usage" in run.stderr,
               f"{options} is a wrong call", run)
    run = host.run("smtp-why", "--ip", "127.0.0.256")
    tap.ended(run, 111, "--ip: expected an IP address", "no address")
    host.control("badrcptto", "# remark\ntrap@\ntrap\n")
    run = host.run("smtp-why", "--ip", "127.0.0.1")
    tap.ended(run, 111, "control/badrcptto line 3", "a malformed list")
    host.control("badrcptto", LISTS["badrcptto"])


# --- rules -------------------------------------------------------------------

RULES = """192.0.2.1:deny
192.0.2.:allow,RELAYCLIENT="",DATABYTES="77"
192.0.3.4-9:allow,RELAYCLIENT="@gate.test"
=mail.good.test:allow,RELAYCLIENT=""
=.good.test:deny
198.51.100.7:allow
2001:db8:::allow,RELAYCLIENT=""
2001:db8:5::deny
=:allow,DATABYTES="5"
:allow,OTHER="RELAYCLIENT"
"""


def compile_rules(host):
    run = subprocess.run(["tcprules", "tcp.smtp.cdb", "tcp.smtp.tmp"],
                         cwd=os.path.join(host.home, "control"), check=True,
                         stdin=open(os.path.join(host.home,
                                                 "control/tcp.smtp")))
    host.give(os.path.join(host.home, "control/tcp.smtp.cdb"))
    return run


def by_tcprulescheck(host, address, name):
    environment = {"PATH": os.environ["PATH"], "TCPREMOTEIP": address}
    if name:
        environment["TCPREMOTEHOST"] = name
    said = subprocess.run(
        ["tcprulescheck", os.path.join(host.home, "control/tcp.smtp.cdb")],
        env=environment, stdout=subprocess.PIPE, check=True,
        text=True).stdout
    return "deny" in said, "RELAYCLIENT=" in said, "DATABYTES=5\n" in said


def rules(host):
    """What smtpd itself finds in the rules is what tcpserver finds."""
    host.control("tcp.smtp", RULES)
    compile_rules(host)
    addresses = ("192.0.2.1", "192.0.2.2", "192.0.3.5", "192.0.3.10",
                 "198.51.100.7", "203.0.113.1", "2001:db8::1",
                 "2001:db8:5::1", "2001:db9::1", "::1")
    names = ("", "mail.good.test", "x.good.test", "good.test", "other.test")
    for address, name in itertools.product(addresses, names):
        denied, relays, small = by_tcprulescheck(host, address, name)
        options = ["--ip", address] + (["--name", name] if name else [])
        status, said = why(host, *options, "--from", "", "--to", "x@far.test")
        got = (said["steps"][0]["code"] == 554,
               said["result"] == "accept")
        _, said = why(host, *options, "--from", "", "--size", "6")
        got_small = said["steps"][-1]["code"] == 552
        tap.ok(got == (denied, relays and not denied)
               and got_small == (small and not denied),
               f"{address} {name}: the rules of tcpserver",
               (got, got_small, denied, relays, small))
    host.control("tcp.smtp", "127.:allow\n:allow\n")
    compile_rules(host)


# --- the client is another ---------------------------------------------------


def lines_of(connection):
    file = connection.makefile("rb")

    def ask(line, wanted):
        if line:
            connection.sendall(line + b"\r\n")
        text = file.readline()
        while text[3:4] == b"-":
            text = file.readline()
        if not text.startswith(wanted):
            raise AssertionError(f"{line}: {text}")
        return text
    return ask


def proxied(host):
    host.control("tcp.smtp", '127.:allow,RELAYCLIENT=""\n'
                 '198.51.100.:allow,RELAYCLIENT=""\n:allow\n')
    compile_rules(host)
    host.control("proxies", "127.0.0.0/8\n")
    host.control("xclients", "198.51.100.7\n")
    before = len(host.delivered())
    for address, relays, header in (
            ("203.0.113.5", b"550", b"PROXY TCP4 203.0.113.5 192.0.2.1 9 25"),
            ("198.51.100.7", b"250", b"PROXY TCP4 198.51.100.7 192.0.2.1 9 25"),
            ("unknown", b"550", b"PROXY UNKNOWN")):
        with socket.create_connection(("127.0.0.1", int(host.smtp_port)),
                                      20) as connection:
            ask = lines_of(connection)
            ask(header, b"220")
            if address == "198.51.100.7":
                ask(b"XCLIENT NAME=spike.test LOGIN=ann", b"220")
            ask(b"EHLO c.test", b"250")
            ask(b"MAIL FROM:<>", b"250")
            ask(b"RCPT TO:<" + host.address.encode() + b">", b"250")
            ask(b"RCPT TO:<x@far.test>", relays)
            ask(b"RSET", b"250")
            ask(b"MAIL FROM:<>", b"250")
            ask(b"RCPT TO:<" + host.address.encode() + b">", b"250")
            ask(b"DATA", b"354")
            ask(b"Subject: x\r\n\r\nx\r\n.", b"250")
            ask(b"QUIT", b"221")
        name = "spike.test" if address == "198.51.100.7" else "unknown"
        before += 1
        texts = host.wait_delivered(before)
        tap.ok(any(f"({name} [{address}])".encode() in text
                   for text in texts),
               f"by {header.decode()}: the client is {address}, and relays "
               f"only if its own rule says so", texts[-1:])
    with socket.create_connection(("127.0.0.1", int(host.smtp_port)),
                                  20) as connection:
        connection.sendall(b"EHLO c.test\r\n")
        tap.same(connection.recv(100), b"",
                 "without a header a proxy gets no word")
    for name in ("proxies", "xclients"):
        os.unlink(os.path.join(host.home, "control", name))
    host.control("tcp.smtp", "127.:allow\n:allow\n")
    compile_rules(host)


# --- lookup ------------------------------------------------------------------


def hostile_questions(host):
    """Records that are no question get no answer, and harm nobody."""
    path = os.path.join(host.home, "socket/lookup")
    magic = 0x6b6c7531

    def ask(record):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.settimeout(20)
            client.connect(path)
            if record is not None:
                client.send(record)
            return client.recv(4096)

    good = struct.pack("=II256s", magic, 1, b"mx.test")
    for name, record in (
            ("too short", good[:-1]), ("too long", good + b"x"),
            ("another magic", struct.pack("=II256s", 1, 1, b"mx.test")),
            ("no kind", struct.pack("=II256s", magic, 0, b"mx.test")),
            ("another kind", struct.pack("=II256s", magic, 3, b"mx.test")),
            ("no end of a name", struct.pack("=II256s", magic, 2, b"x" * 256)),
            ("no end", struct.pack("=II256s", magic, 1, b"x" * 256))):
        tap.same(ask(record), b"", f"lookup: {name}")
    for domain, meaning in ((b"mx.test", 1), (b"", 2), (b"a b", 2),
                            (b"x" * 64 + b".test", 2), (b"\xff.test", 2),
                            (b"null.test", 3), (b"later.test", 4)):
        answer = ask(struct.pack("=II256s", magic, 1, domain))
        tap.same(struct.unpack("=II", answer[:8]), (magic, meaning),
                 f"lookup: {domain[:20]} is {meaning}")
    for domain, wanted in (("bücher.test".encode(), b"xn--bcher-kva.test"),
                           (b"mx.test", b"mx.test"), (b"", None),
                           (b"\xff.test", None), (b"a b", None),
                           ("ü".encode() * 127, None),
                           ("a\u2028.test".encode(), None)):
        answer = ask(struct.pack("=II256s", magic, 2, domain))
        got = struct.unpack("=II256s", answer)
        tap.same((got[1], got[2].split(b"\0")[0] if wanted else None),
                 (1 if wanted else 2, wanted),
                 f"lookup: the form in ASCII of {domain[:20]}")
    silent = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
              for _ in range(50)]
    for client in silent:
        client.connect(path)
    tap.same(struct.unpack("=II", ask(good)[:8]), (magic, 1),
             "lookup: 50 that say nothing stand in nobody's way")
    for client in silent:
        client.close()


# --- tcp-env -----------------------------------------------------------------

TCP_ENV = os.path.join(BUILD, "tcp-env")
SHOW = ["sh", "-c", "env | grep -E '^(TCP|PROTO)' | sort"]
STALE = {"PATH": os.environ["PATH"], "TCPREMOTEHOST": "trusted.test",
         "TCPREMOTEINFO": "root", "TCP6REMOTEIP": "::9", "TCPLOCALHOST": "x",
         "TCPREMOTEIP": "127.0.0.1"}


def under_tcp_env(listening, connecting, address, *options):
    with socket.socket(listening) as listener:
        if listening == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::" if listening == socket.AF_INET6 else "127.0.0.1",
                       0))
        listener.listen(1)
        with socket.socket(connecting) as client:
            client.connect((address, listener.getsockname()[1]))
            server, _ = listener.accept()
            with server:
                run = subprocess.run(
                    [TCP_ENV, *options, *SHOW], stdin=server, env=STALE,
                    stdout=subprocess.PIPE, timeout=60, check=True, text=True)
            return (dict(line.split("=", 1)
                         for line in run.stdout.splitlines()),
                    client.getsockname()[1], listener.getsockname()[1])


def tcp_env():
    found, theirs, ours = under_tcp_env(socket.AF_INET, socket.AF_INET,
                                        "127.0.0.1", "-t0")
    wanted = {"PROTO": "TCP", "TCPLOCALIP": "127.0.0.1",
              "TCPLOCALPORT": str(ours), "TCPREMOTEIP": "127.0.0.1",
              "TCPREMOTEPORT": str(theirs)}
    tap.same(found, wanted, "tcp-env: IPv4, and nothing from before is left")
    found, _, _ = under_tcp_env(socket.AF_INET, socket.AF_INET, "127.0.0.1",
                                "-R", "-t", "20")
    name = found.get("TCPREMOTEHOST", "")
    try:
        known = socket.gethostbyaddr("127.0.0.1")[0].lower()
        confirmed = "127.0.0.1" in socket.gethostbyname_ex(known)[2]
    except OSError:
        known, confirmed = "", False
    tap.same(name, known if confirmed else "",
             "tcp-env: the name that leads back, or none")
    try:
        found, theirs, ours = under_tcp_env(socket.AF_INET6, socket.AF_INET6,
                                            "::1", "-t0")
        wanted = {"PROTO": "TCP6"}
        for prefix in ("TCP", "TCP6"):
            wanted.update({f"{prefix}LOCALIP": "::1",
                           f"{prefix}LOCALPORT": str(ours),
                           f"{prefix}REMOTEIP": "::1",
                           f"{prefix}REMOTEPORT": str(theirs)})
        tap.same(found, wanted, "tcp-env: IPv6")
        found, _, _ = under_tcp_env(socket.AF_INET6, socket.AF_INET,
                                    "127.0.0.1", "-r", "-t0")
        tap.same((found["PROTO"], found["TCPREMOTEIP"], found["TCPLOCALIP"],
                  "TCP6REMOTEIP" in found),
                 ("TCP", "127.0.0.1", "127.0.0.1", False),
                 "tcp-env: IPv4 within IPv6 is IPv4")
    except OSError as error:
        tap.skip("tcp-env: IPv6", f"there is no IPv6 here: {error}")
    for options, status in (((), 100), (("-x", "true"), 100),
                            (("-t", "x", "true"), 100),
                            (("-t", "-1", "true"), 100), (("true",), 111)):
        run = subprocess.run([TCP_ENV, *options], stdin=subprocess.DEVNULL,
                             stderr=subprocess.PIPE)
        tap.ended(run, status, "tcp-env:", f"tcp-env {options}")


def served_by_tcp_env(host):
    """smtpd itself under tcp-env, as inetd would start it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        with socket.create_connection(listener.getsockname(), 20) as client:
            server, _ = listener.accept()
            arguments = host.as_owner()
            arguments["env"] = dict(STALE, KEEPMAIL=host.home)
            with server:
                process = subprocess.Popen(
                    [TCP_ENV, "-t0", os.path.join(BUILD, "smtpd")],
                    stdin=server, stdout=server, stderr=subprocess.PIPE,
                    cwd="/", **arguments)
            ask = lines_of(client)
            ask(b"", b"220")
            ask(b"EHLO c.test", b"250")
            ask(b"MAIL FROM:<>", b"250")
            ask(b"RCPT TO:<x@far.test>", b"550")
            ask(b"QUIT", b"221")
            log = process.communicate(timeout=20)[1].decode()
    tap.ok(process.returncode == 0 and "client=127.0.0.1" in log,
           "smtpd works under tcp-env", log)


tap.case(tcp_env)
names = Names()
try:
    with Instance("--nameserver", f"127.0.0.1:{names.port}") as host:
        for name, text in LISTS.items():
            host.control(name, text)
        host.control("badmailfrom", LISTS["badmailfrom"])
        host.control("mailfromcheck", "1\n")
        tap.case(same_answers, host)
        tap.case(rule_named, host)
        tap.case(more_domains, host)
        tap.case(wrong_calls, host)
        os.unlink(os.path.join(host.home, "control/mailfromcheck"))
        tap.case(rules, host)
        tap.case(proxied, host)
        tap.case(hostile_questions, host)
        tap.case(served_by_tcp_env, host)
        tap.ok("died" not in host.log("lookup"), "no child of lookup died",
               host.log("lookup"))
finally:
    names.stop()
tap.done()
