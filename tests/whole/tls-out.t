#!/usr/bin/env python3
"""TLS to other hosts: what each policy of a route makes of each server, and that
nothing that was to be encrypted passes in clear."""

import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from certificates import Authority, self_signed
from instance import BUILD
from routed import Routed
from smtpserver import Server
from tap import Tap, skip_all, wait_for

if not shutil.which("openssl"):
    skip_all("openssl is not installed")

tap = Tap()


def went(name, server, domain, tls, said):
    """The message came, so, over as many connections."""
    message = server.wait_message()
    if not tap.ok(message is not None, f"{name}: it arrives", host.logs()):
        return
    tap.same(message.tls is not None, tls,
             f"{name}: {'under TLS' if tls else 'in clear'}")
    line = host.result(domain)
    tap.ok(said in line, f"{name}: the log says so", line)


def waits(name, server, domain, said):
    line = host.result(domain, "deferral")
    tap.ok(said in line, f"{name}: it waits, and the log says why",
           line or host.logs())
    tap.same(server.messages, [], f"{name}: and is not sent")
    tap.ok(not any(b"MAIL" in session.verbs()
                   for session in server.sessions),
           f"{name}: nor its envelope")


def policies():
    """Certificate × policy."""
    good = authority.issue("mx.test")
    address = authority.issue("127.0.0.1")
    table = [
        # certificate, words, sent?, what the log says
        (good, "name=mx.test", True, "verified)"),
        (good, "tls=verify name=mx.test", True, " verified)"),
        (address, "tls=verify", True, " verified)"),
        (good, "tls=must", True, "verified for another name)"),
        (good, "tls=verify name=other.test", False, "hostname mismatch"),
        (good, "tls=verify", False, "mismatch"),
        (authority.issue("mx.test", days=-1), "tls=verify name=mx.test", False,
         "expired"),
        (authority.issue("mx.test", days=-1), "name=mx.test", True,
         " unverified)"),
        (authority.issue("mx.test", days=-1), "tls=must", True,
         " unverified)"),
        (self_signed(folder, "mx.test"), "tls=verify name=mx.test", False,
         "self-signed"),
        (self_signed(folder, "mx.test"), "tls=must", True, " unverified)"),
        (self_signed(folder, "mx.test"), "", True, " unverified)"),
        (authority.issue("x.test", common="mx.test", names=False),
         "tls=verify name=mx.test", False, "hostname mismatch"),
        (authority.issue("*.mx.test"), "tls=verify name=a.mx.test", True,
         " verified)"),
        (authority.issue("*.mx.test"), "tls=verify name=a.b.mx.test", False,
         "hostname mismatch"),
        (authority.issue("a*.mx.test"), "tls=verify name=ab.mx.test", False,
         "hostname mismatch"),
    ]
    rows = []
    for pair, words, sent, said in table:
        server = Server(tls=pair)
        rows.append((server, words, sent, said, host.route(server, words)))
    host.load()
    for _, _, _, _, domain in rows:
        host.inject(domain)
    for number, (server, words, sent, said, domain) in enumerate(rows):
        name = f"certificate {number}, {words or 'no words'}"
        if sent:
            went(name, server, domain, True, said)
            tap.same(len(server.sessions), 1, f"{name}: one connection")
        else:
            waits(name, server, domain, said)
        for session in server.sessions:
            if session.tls and "name=" in words:
                tap.same(session.name, words.split("name=")[1],
                         f"{name}: SNI")
        server.close()


def servers():
    """Servers that have no TLS, or a broken one × policy."""
    pair = authority.issue("mx.test")
    verify = "tls=verify name=mx.test"
    table = [
        # what the server is, words, TLS (None: waits), the log, connections
        ({}, "", False, "taken (host [127.0.0.1])", 1),
        ({}, "tls=none", False, "taken (host", 1),
        ({}, "tls=must", None, "offers no TLS", 1),
        ({}, verify, None, "offers no TLS", 1),
        ({"tls": pair}, "tls=none", False, "taken (host [127.0.0.1])", 1),
        ({"tls": pair}, "", True, "TLSv1.3 TLS AES", 1),
        ({"tls": pair, "starttls": b"454 4.7.0 not now\r\n"}, "", False,
         "taken (host", 1),
        ({"tls": pair, "starttls": b"454 4.7.0 not now\r\n"}, "tls=must", None,
         "454", 1),
        ({"tls": pair, "handshake": "close"}, "", False, "taken (host", 2),
        ({"tls": pair, "handshake": "close"}, "tls=must", None,
         "handshake failed", 1),
        ({"tls": pair, "handshake": "close"}, verify, None,
         "handshake failed", 1),
        ({"tls": pair, "handshake": "garbage"}, "", False, "taken (host", 2),
        ({"tls": pair, "handshake": "garbage"}, "tls=must", None,
         "handshake failed", 1),
        ({"tls": pair, "old": True}, "", False, "taken (host", 2),
        ({"tls": pair, "old": True}, "tls=must", None, "handshake failed", 1),
        # Octets behind the 220 are not taken for a reply of the server's: here
        # they break the handshake, since they are no TLS.
        ({"tls": pair, "injected": b"250-evil.test\r\n250 AUTH PLAIN\r\n"},
         "tls=must", True, "TLSv1.3", 1),
    ]
    rows = []
    for what, words, tls, said, connections in table:
        server = Server(**what)
        rows.append((server, what, words, tls, said, connections,
                     host.route(server, words)))
    host.load()
    for row in rows:
        host.inject(row[-1])
    for server, what, words, tls, said, connections, domain in rows:
        shown = {key: value for key, value in what.items() if key != "tls"}
        name = f"{'TLS' if 'tls' in what else 'no TLS'} {shown or ''}, " \
               f"{words or 'no words'}"
        if tls is None:
            waits(name, server, domain, said)
        else:
            went(name, server, domain, tls, said)
        tap.same(len(server.sessions), connections,
                 f"{name}: connections")
        server.close()


def forgets():
    """What was offered before TLS does not hold after it; injected replies are
    thrown away."""
    pair = authority.issue("mx.test")
    evil = b"250-evil.test\r\n250-XEVIL\r\n250 SIZE 1\r\n"
    with Server(tls=pair, extensions=["SIZE 1"], after_tls=["8BITMIME"],
                injected=evil) as server:
        domain = host.route(server, "tls=must")
        host.load()
        host.inject(domain)
        message = server.wait_message()
        tap.ok(message is not None and b"SIZE" not in message.sender,
               "extensions from before TLS, and injected ones, are forgotten",
               (message and message.sender, host.logs()))
        tap.same([b"EHLO", b"STARTTLS", b"EHLO"],
                 server.sessions[0].verbs()[:3], "EHLO is said again")
        tap.same(len(server.sessions), 1, "over the same connection")


def asks_no_password(place):
    """A key with a password is left out, even where somebody could be asked."""
    path = os.path.join(place, "locked")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-passout",
         "pass:secret", "-keyout", path + ".key", "-out", path + ".pem",
         "-subj", "/CN=locked", "-days", "2"], check=True,
        stderr=subprocess.DEVNULL)
    for suffix in (".key", ".pem"):
        os.chmod(path + suffix, 0o600)
        host.give(path + suffix)
    terminal, end = pty.openpty()
    said, asked = b"", []
    with subprocess.Popen(
            ["setsid", "-c", os.path.join(BUILD, "tls-client")], stdin=end,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/",
            **host.as_owner()) as process:
        while not asked and b"answers" not in said:
            ready = select.select([terminal, process.stderr], [], [], 20)[0]
            some = process.stderr in ready and os.read(
                process.stderr.fileno(), 4096)
            asked = [x for x in ready if x == terminal]
            said += some or b""
            if not some:
                break
        process.kill()
    os.close(end)
    os.close(terminal)
    tap.ok(not asked and b"locked.key" in said and b"not used" in said,
           "a key with a password is not used, and nobody is asked for it",
           said)


def client_certificate():
    pair = authority.issue("ann", email="ann@keepmail.test")
    place = os.path.join(host.home, "tls-client")
    for source, name in zip(pair, ("ann.pem", "ann.key")):
        path = os.path.join(place, name)
        shutil.copy(source, path)
        os.chmod(path, 0o600)
        host.give(path)
    for name in ("open.pem", "open.key"):
        path = os.path.join(place, name)
        shutil.copy(pair[name == "open.key"], path)
        os.chmod(path, 0o644)
        host.give(path)
    asks_no_password(place)
    host.restart("tls-client")
    tap.ok(wait_for(lambda: "open.key: expected a file of mode 0600" in
                    host.log("tls-client")),
           "a key that others may read is not used", host.log("tls-client"))
    with Server(tls=authority.issue("mx.test"),
                clients=authority.file) as server:
        known = host.route(server, "tls=must certificate=ann")
        unknown = host.route(server, "tls=must certificate=open")
        host.load()
        host.inject(known)
        message = server.wait_message()
        tap.ok(message and message.session.certificate and
               "ann@keepmail.test" in str(message.session.certificate),
               "the route's client certificate is shown",
               message and message.session.certificate)
        host.inject(unknown)
        line = host.result(unknown, "deferral")
        tap.ok("certificate that the route names" in line,
               "one that is not there defers", line)


def requiretls():
    """RFC 8689 on the way out."""
    good = authority.issue("mx.test")
    verify = "tls=verify name=mx.test"
    table = [
        # server, words, arrives?
        ({"tls": good, "after_tls": ["REQUIRETLS"]}, verify, True),
        ({"tls": good, "after_tls": ["REQUIRETLS"]}, "name=mx.test", True),
        ({"tls": good, "after_tls": ["REQUIRETLS"]}, "name=other.test", False),
        ({"tls": good}, verify, False),
        ({"extensions": ["REQUIRETLS"]}, "", False),
    ]
    rows = []
    for what, words, arrives in table:
        server = Server(**what)
        rows.append((server, words, arrives, host.route(server, words)))
    broken = Server(tls=good, handshake="close")
    later = host.route(broken)
    host.load()
    for _, _, _, domain in rows:
        host.inject_requiretls(domain)
    host.inject_requiretls(later)
    for server, words, arrives, domain in rows:
        name = f"REQUIRETLS, {words or 'no words'}, {bool(server.tls)}"
        line = host.result(domain, "success|failure")
        if arrives:
            message = server.wait_message()
            tap.ok(message is not None and
                   b" REQUIRETLS" in message.sender,
                   f"{name}: it arrives and is handed on with it", line)
        else:
            tap.ok("5.7.30" in line, f"{name}: fails with 5.7.30", line)
            tap.same(server.messages, [], f"{name}: and is not sent")
        server.close()
    line = host.result(later, "deferral")
    tap.ok("handshake failed" in line,
           "REQUIRETLS, a handshake that fails: waits", line or host.logs())
    tap.same(len(broken.sessions), 1, "and is not tried in clear")
    broken.close()


def probed():
    """smtp-probe shows TLS."""
    with Server(tls=authority.issue("127.0.0.1")) as server:
        run = host.run("smtp-probe", f"127.0.0.1:{server.port}")
        text = run.stdout.decode("latin-1")
        tap.ok("TLSv1.3" in text and "verified for that name" in text,
               "smtp-probe tells protocol and certificate", text)


def requiretls_in_clear():
    """What could be had another day, but not now, defers."""
    good = authority.issue("mx.test")
    unready = Server(tls=good, starttls=b"454 4.7.0 not now\r\n",
                     extensions=["REQUIRETLS"])
    not_now = host.route(unready)
    broken = Server(tls=good, handshake="close", extensions=["REQUIRETLS"])
    both = host.route(broken)
    host.load()
    host.inject_requiretls(not_now)
    line = host.result(not_now)
    tap.ok("deferral: 454" in line,
           "REQUIRETLS, STARTTLS refused for now: waits", line or host.logs())
    host.inject(both)
    went("REQUIRETLS, another message before", broken, both, False, "taken")
    host.inject_requiretls(both)
    line = host.result(both, number=2)
    tap.ok("deferral: 4." in line and "handshake failed" in line,
           "REQUIRETLS, a connection in clear stands: waits", line)
    tap.same(len(broken.messages), 1, "and is not sent over it")
    unready.close()
    broken.close()


def without_service():
    """Where tls-client does not run, may means clear, and must waits."""
    host.turn("tls-client", False)
    pair = authority.issue("mx.test")
    with Server(tls=pair) as one, Server(tls=pair) as two:
        may, must = host.route(one, ""), host.route(two, "tls=must")
        host.load()
        host.inject(may)
        host.inject(must)
        went("no tls-client, no words", one, may, False, "taken (host")
        waits("no tls-client, tls=must", two, must, "no TLS to be had here")
    with Server(tls=pair, after_tls=["REQUIRETLS"]) as three:
        verify = host.route(three, "name=mx.test")
        host.load()
        host.inject_requiretls(verify)
        waits("no tls-client, REQUIRETLS", three, verify,
              "no TLS to be had here")
    host.turn("tls-client", True)


folder = tempfile.mkdtemp(prefix="keepmail-test.")
os.chmod(folder, 0o755)
try:
    authority = Authority(folder)
    with Routed() as host:
        os.chmod(authority.file, 0o644)
        host.control("tlsauthorities", authority.file + "\n")
        host.restart("tls-client")
        for case in (policies, servers, forgets, client_certificate,
                     requiretls, requiretls_in_clear, probed,
                     without_service):
            tap.case(case)
finally:
    shutil.rmtree(folder, ignore_errors=True)
tap.done()
