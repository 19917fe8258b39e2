#!/usr/bin/env python3
"""tlsd alone: this test is its asker, and the client on the other side. Versions,
certificates by name and their reload, tickets, ALPN, client certificates, bindings,
octets both ways, ends, hostile records, limits, and what is left when parts of it
are killed."""

import errno
import os
import re
import select
import signal
import smtplib
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance
from tlsasker import (FAILED, MAGIC, OFFERED, POP3, READY, REFUSED, SMTP,
                      SUBMISSION, Asker, Facts, Maker, Tlsd, openssl, request,
                      tcp_pair, trusting)

tap = Tap()
made = Maker()
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def echoes(session):
    """Whether octets pass both ways."""
    session.client.sendall(b"from the client")
    there = session.clear.recv(100)
    session.clear.sendall(b"to the client")
    return (there, session.client.recv(100)) == (b"from the client",
                                                 b"to the client")


# --- certificates ------------------------------------------------------------

def no_certificate():
    with Tlsd() as tlsd:
        tlsd.start(listens=False)
        tap.ok(not os.path.exists(tlsd.path), "no certificate: no socket")
        tlsd.put("first", *made.make("first.test", "DNS:first.test"))
        tap.ok(wait_for(lambda: tlsd.process.poll() is not None)
               and "there is a certificate: starts anew" in tlsd.log(),
               "with the first one it ends, to be started anew", tlsd.log())
        tlsd.note()
        tlsd.start()
        with tlsd.session() as session:
            tap.ok(echoes(session), "and then it listens")
        tlsd.note()
        os.unlink(os.path.join(tlsd.home, "tls/first.pem"))
        tap.ok(wait_for(lambda: tlsd.process.poll() is not None)
               and "no certificate is left" in tlsd.news(),
               "without the last one it ends again", tlsd.log())
        tlsd.note()
        tlsd.start(listens=False)
        tap.ok(not os.path.exists(tlsd.path), "and the old socket is removed")


def names(tlsd):
    shown = {}
    for name, cipher in (("one.test", None), ("ONE.test", None),
                         ("x.wild.test", None), ("exact.wild.test", None),
                         ("a.b.wild.test", None), ("other.test", None),
                         (None, None), ("one.test", "ECDHE+aRSA"),
                         ("one.test", "ECDHE+aECDSA")):
        context = trusting()
        if cipher:
            context.maximum_version = TLS12
            context.set_ciphers(cipher)
        with tlsd.session(context=context, name=name) as session:
            shown[name, cipher] = session.certificate() \
                if session.client else session.error
            if name == "one.test":
                tap.same(session.facts.name, name, "facts: the name")
    tap.same(shown, {
        ("one.test", None): ("one.test", "EC"),
        ("ONE.test", None): ("one.test", "EC"),
        ("x.wild.test", None): ("wild", "EC"),
        ("exact.wild.test", None): ("exact.wild.test", "RSA"),
        ("a.b.wild.test", None): ("fallback", "EC"),
        ("other.test", None): ("fallback", "EC"),
        (None, None): ("fallback", "EC"),
        ("one.test", "ECDHE+aRSA"): ("one-rsa", "RSA"),
        ("one.test", "ECDHE+aECDSA"): ("one.test", "EC")},
        "certificates by name and by what the client can use")


def reload(tlsd):
    with tlsd.session(name="one.test") as old:
        tap.ok(old.client is not None, "a session before the reload", old.error)
        before = made.make("one.test", "DNS:one.test")
        good = made.make("one-new", "DNS:one.test")
        tlsd.note()
        tlsd.put("one", *good)
        tap.ok(tlsd.says("tls/one.pem: ECDSA, of one-new"),
               "new files are found without a signal", tlsd.log())
        tlsd.says("certificates: ")
        with tlsd.session(name="one.test") as session:
            tap.same(session.certificate(), ("one-new", "EC"),
                     "and shown to the next client")
        tap.ok(echoes(old), "the session before goes on")
    for what, files, said in (
            ("a key of another certificate", {"key": before[1]},
             r"one\.key is not the key of one\.pem; what was there"),
            ("a broken certificate", {"pem": b"-----BEGIN CERTIFICATE-----\n!\n"
                                      b"-----END CERTIFICATE-----\n"},
             r"one\.pem: no certificate in PEM: .*; what was there"),
            ("an empty certificate", {"pem": b""},
             r"one\.pem: no certificate in PEM"),
            ("a certificate of 300 KB", {"pem": b"x" * 300000},
             r"one\.pem: File too large"),
            ("half a key", {"key": before[1][:60]},
             r"one\.key: no key in PEM without a password"),
            ("a key of Ed25519", dict(zip(("pem", "key"), made.make(
                "ed", kind="ed"))), r"one\.key: a key of RSA with 2048"),
            ("a key of RSA with 1024 bits", dict(zip(("pem", "key"), made.make(
                "weak", kind="weak"))), r"one\.key: a key of RSA with 2048")):
        for suffix, octets in {"pem": good[0], "key": good[1], **files}.items():
            tlsd.write(f"tls/one.{suffix}", octets)
        tlsd.hup()
        tap.ok(wait_for(lambda: re.search(said, tlsd.news())),
               f"{what} is refused, and the log says why", tlsd.news())
        with tlsd.session(name="one.test") as session:
            tap.ok(session.client and session.certificate()[0] == "one-new"
                   and echoes(session), "…and what was there goes on",
                   session.error)
    dangling = os.path.join(tlsd.home, "tls/dangling.pem")
    os.symlink("/nonexistent/keepmail", dangling)
    tlsd.hup()
    tap.ok(tlsd.says("tls/dangling.pem: No such file"),
           "a link to nothing is told", tlsd.news())
    os.unlink(dangling)
    expired = made.make("expired", "DNS:one.test", days=-1)
    tlsd.put("one", *expired)
    tlsd.hup()
    tap.ok(tlsd.says("IT HAS EXPIRED"), "one that has expired: a warning")
    tlsd.says("certificates: ")
    with tlsd.session(name="one.test") as session:
        tap.same(session.certificate()[0], "expired", "…and it is shown")
    tlsd.write("tls/one.key", expired[1], mode=0o644)
    tlsd.hup()
    tap.ok(tlsd.says("tls/one.key may be read by others"),
           "a key that others may read is told")


def stapled(tlsd):
    """What is stapled is shown as it is."""
    with open(made.path("index"), "w"):
        pass
    tlsd.put("staple", *made.make("staple.test", "DNS:staple.test"))
    pem, key = made.path("staple.test.pem"), made.path("staple.test.key")
    openssl("ocsp", "-index", made.path("index"), "-CA", pem, "-rsigner", pem,
            "-rkey", key, "-issuer", pem, "-cert", pem, "-ndays", "2",
            "-respout", made.path("staple"))
    tlsd.write("tls/staple.ocsp", made.read(made.path("staple")))
    tlsd.hup()
    tlsd.says("certificates: ")
    said = s_client(tlsd, SMTP, "-status", "-servername", "staple.test")
    tap.ok("OCSP Response Status: successful" in said, "an OCSP response is "
           "shown to who asks for it", said)
    os.unlink(os.path.join(tlsd.home, "tls/staple.pem"))
    tlsd.hup()
    tap.ok(tlsd.says("tls/staple.pem is gone"), "a file that is gone is told")


def s_client(tlsd, service, *arguments):
    """What openssl s_client says of a session; facts of it are in s_client.facts."""
    asker = Asker(tlsd.path)
    asker.ask(service)
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = subprocess.Popen(
            ["openssl", "s_client", "-connect",
             f"127.0.0.1:{server.getsockname()[1]}", "-ign_eof", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        asker.hand_over(server.accept()[0])
    s_client.facts = asker.receive()
    asker.close()
    said = client.communicate(timeout=30)[0].decode(errors="replace")
    return said


# --- what is spoken ----------------------------------------------------------

def versions(tlsd):
    for version, name in ((TLS12, "TLSv1.2"), (TLS13, "TLSv1.3")):
        with tlsd.session(context=trusting(maximum_version=version)) as session:
            facts = session.facts
            tap.same((facts.status, facts.protocol, facts.cipher, facts.bits),
                     (READY, name, session.client.cipher()[0],
                      session.client.cipher()[2]), f"facts of {name}")
            tap.ok(echoes(session), f"{name} carries octets")
            tap.same((facts.fingerprint, facts.identity, facts.verified),
                     ("", "", 0), "nothing of a client without a certificate")
            shown = session.client.getpeercert(binary_form=True)
            tap.same(facts.end_point, digest(shown), "tls-server-end-point")
    for version in ("-tls1", "-tls1_1"):
        said = s_client(tlsd, SMTP, version, "-cipher", "ALL:@SECLEVEL=0")
        tap.ok(s_client.facts.status == FAILED and "Cipher    : 0000" in said
               and s_client.facts.text.endswith("no TLS 1.2 or 1.3"),
               f"{version} is refused", (said, s_client.facts.text))
    for cipher in ("AES256-GCM-SHA384", "DHE-RSA-AES256-GCM-SHA384",
                   "ECDHE-RSA-AES256-SHA384", "ECDHE-RSA-AES256-SHA"):
        context = trusting(maximum_version=TLS12)
        try:
            context.set_ciphers(f"{cipher}:@SECLEVEL=0")
        except ssl.SSLError as error:
            tap.skip(f"{cipher} is refused", error)
            continue
        with tlsd.session(context=context) as session:
            tap.ok(session.error and session.facts.status == FAILED,
                   f"{cipher} is refused", session.facts.text)
    said = s_client(tlsd, SMTP, "-tls1_3", "-keymatexport",
                    "EXPORTER-Channel-Binding", "-keymatexportlen", "32")
    tap.ok(f"Keying material: {s_client.facts.exporter.hex().upper()}" in said,
           "tls-exporter is what the client has", said)
    with tlsd.session(context=trusting(maximum_version=TLS12)) as session:
        tap.same(len(session.facts.exporter), 32,
                 "TLS 1.2 has it with an extended master secret")


def digest(octets):
    import hashlib
    return hashlib.sha256(octets).digest()


def protocols(tlsd):
    for service, offered, wanted in (
            (SMTP, ["h2", "http/1.1"], None), (POP3, ["http/1.1"], None),
            (SMTP, ["pop3"], None), (POP3, ["smtp"], None),
            (SMTP, ["http/1.1", "smtp"], ""), (SUBMISSION, ["smtp"], ""),
            (POP3, ["imap", "pop3"], "pop3"), (POP3, [], "")):
        context = trusting()
        if offered:
            context.set_alpn_protocols(offered)
        with tlsd.session(service, context) as session:
            if wanted is None:
                tap.ok("NO_APPLICATION_PROTOCOL" in str(session.error).upper()
                       .replace(" ", "_") and session.facts.text
                       == "the peer wants another protocol",
                       f"{service}: {offered} is refused", session.error)
            else:
                tap.ok(session.client and echoes(session) and
                       (session.client.selected_alpn_protocol() or "")
                       == wanted, f"{service}: {offered} is served",
                       session.error)


def resumed(tlsd, version, first, then, name=None):
    """Whether a session of one service is resumed with another; None if there was
    nothing to resume with."""
    context = trusting(maximum_version=version)
    with tlsd.session(first, context, name=name) as session:
        if not echoes(session):
            raise RuntimeError("no echo")
        ticket = session.client.session
        binding = session.facts.end_point
        if not (ticket and ticket.has_ticket):
            return None
    with tlsd.session(then, context, name=name, session=ticket) as session:
        if session.error:
            return session.error
        if session.client.session_reused != bool(session.facts.is_resumed):
            raise RuntimeError("the two sides do not agree")
        if not echoes(session) or session.facts.end_point != binding:
            raise RuntimeError("another binding")
        return session.client.session_reused


def tickets(tlsd):
    for version in (TLS12, TLS13):
        for first, then, wanted in (
                (SMTP, SMTP, None), (SUBMISSION, SUBMISSION, True),
                (POP3, POP3, True), (SUBMISSION, POP3, False),
                (POP3, SUBMISSION, False), (POP3, SMTP, False)):
            tap.same(resumed(tlsd, version, first, then), wanted,
                     f"{version.name}: a ticket of {first} with {then}")
    context = trusting()
    with tlsd.session(POP3, context) as session:
        echoes(session)
        ticket = session.client.session
    tlsd.stop()
    tlsd.note()
    tlsd.start()
    with tlsd.session(POP3, context, session=ticket) as session:
        tap.ok(session.client and not session.client.session_reused,
               "a ticket is worth nothing after a new start")


def short_lived(tlsd, made):
    """A client's certificate that ends while there is a ticket."""
    with open(made.path("ca.conf"), "w") as file:
        file.write(f"""[ca]
default_ca = one
[one]
database = {made.path("ca.index")}
new_certs_dir = {made.path("")}
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
""")
    open(made.path("ca.index"), "w").close()
    openssl("req", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
            "/CN=brief", "-keyout", made.path("brief.key"), "-out",
            made.path("brief.csr"))
    end = int(time.time()) + 4
    openssl("ca", "-batch", "-notext", "-config", made.path("ca.conf"),
            "-cert", made.path("authority.pem"), "-keyfile",
            made.path("authority.key"), "-in", made.path("brief.csr"),
            "-out", made.path("brief.pem"), "-enddate",
            time.strftime("%Y%m%d%H%M%SZ", time.gmtime(end)))
    context = trusting()
    context.load_cert_chain(made.path("brief.pem"), made.path("brief.key"))
    with tlsd.session(POP3, context) as session:
        echoes(session)
        tap.same((session.facts.verified, session.facts.identity),
                 (1, "brief"), "a certificate that holds for seconds")
        ticket = session.client.session
    wait_for(lambda: time.time() > end + 1, 20)
    with tlsd.session(POP3, context, session=ticket) as session:
        tap.same((session.facts.is_resumed, session.facts.verified,
                  session.facts.identity), (1, 0, ""),
            "its ticket does not outlive it")


def client_certificates(tlsd):
    made.make("authority", more=("-addext", "basicConstraints=critical,CA:TRUE"))
    for name, san in (("ann", "email:ann@example.org"), ("bob", None),
                      ("evil", "email:evil\\ x@example.org")):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-keyout", made.path(f"{name}.key"), "-subj",
                f"/CN={name}", "-out", made.path(f"{name}.csr"))
        with open(made.path("extensions"), "w") as file:
            file.write(f"subjectAltName={san}\n" if san else
                       "keyUsage=digitalSignature\n")
        openssl("x509", "-req", "-in", made.path(f"{name}.csr"), "-CA",
                made.path("authority.pem"), "-CAkey", made.path("authority.key"),
                "-CAcreateserial", "-out", made.path(f"{name}.pem"), "-days",
                "10", "-extfile", made.path("extensions"))
    made.make("stranger", "email:ann@example.org")
    made.make("expired-client", "email:ann@example.org", days=-1)

    def shown(name, service=SUBMISSION, version=TLS13):
        context = trusting(maximum_version=version)
        if name:
            context.load_cert_chain(made.path(f"{name}.pem"),
                                    made.path(f"{name}.key"))
        with tlsd.session(service, context) as session:
            if session.error or not echoes(session):
                return session.error
            facts = session.facts
            if facts.fingerprint:
                der = ssl.PEM_cert_to_DER_cert(
                    made.read(made.path(f"{name}.pem")).decode())
                tap.same(facts.fingerprint, digest(der).hex(),
                         f"the fingerprint of {name}")
            return facts.verified, facts.identity, bool(facts.fingerprint)
    tap.same(shown("ann"), (0, "", False),
             "without clients.pem no certificate is asked for")
    tlsd.write("tls/clients.pem", made.read(made.path("authority.pem")))
    tlsd.hup()
    tlsd.says("and clients are asked for theirs")
    for version in (TLS12, TLS13):
        tap.same([shown(name, version=version) for name in
                  ("ann", "bob", "evil", "stranger", "expired-client", None)],
                 [(1, "ann@example.org", True), (1, "bob", True), (1, "", True),
                  (0, "", True), (0, "", True), (0, "", False)],
                 f"{version.name}: who is known, and as whom")
    tap.same(shown("ann", POP3), (1, "ann@example.org", True), "POP3 asks too")
    tap.same(shown("ann", SMTP), (0, "", False), "port 25 does not")
    context = trusting()
    context.load_cert_chain(made.path("ann.pem"), made.path("ann.key"))
    with tlsd.session(POP3, context) as session:
        echoes(session)
        ticket = session.client.session
    with tlsd.session(POP3, context, session=ticket) as session:
        tap.same((session.facts.is_resumed, session.facts.identity),
                 (1, "ann@example.org"), "a resumed session keeps the client")
    short_lived(tlsd, made)
    os.unlink(os.path.join(tlsd.home, "tls/clients.pem"))
    tlsd.hup()
    tlsd.says("tls/clients.pem is gone")
    tlsd.says("certificates: ")
    with tlsd.session(POP3, context, session=ticket) as session:
        tap.same((session.facts.is_resumed, session.facts.identity), (0, ""),
                 "but not when nobody vouches for clients any more")


# --- octets ------------------------------------------------------------------

def both_ways(tlsd):
    """Both sides write much before they read anything, and it all arrives."""
    size = 8 << 20
    said = {"client": os.urandom(1 << 20) * 8, "clear": os.urandom(1 << 20) * 8}
    for version in (TLS12, TLS13):
        with tlsd.session(context=trusting(maximum_version=version),
                          tcp=True) as session:
            sides = {"client": session.client, "clear": session.clear}
            heard = {"client": bytearray(), "clear": bytearray()}
            left = {name: memoryview(octets) for name, octets in said.items()}
            for side in sides.values():
                side.setblocking(False)
            end = threading.Event()
            timer = threading.Timer(60, end.set)
            timer.start()
            while not end.is_set() and (any(left.values()) or any(
                    len(h) < size for h in heard.values())):
                select.select(sides.values(), [], [], 0.001)
                # the one reads only when it has written all
                for name, side in sides.items():
                    carry(side, name, left, heard, size)
            timer.cancel()
            tap.ok(heard["clear"] == said["client"] and
                   heard["client"] == said["clear"],
                   f"{version.name}: 8 MB each way at once",
                   {n: (len(left[n]), len(heard[n])) for n in heard})


WAITS = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def carry(side, name, left, heard, size):
    try:
        while left[name]:
            left[name] = left[name][side.send(left[name][:65536]):]
    except WAITS:
        pass
    try:
        while len(heard[name]) < size:
            heard[name] += side.recv(65536)
    except WAITS:
        pass


def ends(tlsd):
    # The client ends what it says, and still hears.
    with tlsd.session(context=trusting(maximum_version=TLS13)) as session:
        session.client.sendall(b"QUIT\r\n")
        bio = end_of_client(session)
        tap.same(all_of(session.clear), b"QUIT\r\n",
                 "the client's end comes behind what it said")
        session.clear.sendall(b"221 bye\r\n" * 20000)
        session.clear.close()
        got = bio()
        tap.same((len(got), got[:9]), (180000, b"221 bye\r\n"),
                 "and it hears what is said after that")
    # The asker ends what it says, and still hears.
    tlsd.note()
    with tlsd.session(tcp=True) as session:
        session.clear.sendall(b"220 hello\r\n")
        session.clear.shutdown(socket.SHUT_WR)
        tap.same(all_of(session.client), b"220 hello\r\n",
                 "the asker's end is a close_notify behind what it said")
        session.client.sendall(b"still here")
        tap.same(session.clear.recv(100), b"still here",
                 "the other direction goes on")
    # The asker is gone, with much still to be sent, and the client talking.
    with tlsd.session(tcp=True) as session:
        session.clear.setblocking(False)
        sent = 0
        try:
            while True:
                sent += session.clear.send(b"x" * 65536)
        except BlockingIOError:
            pass
        session.client.sendall(b"nobody will read this" * 1000)
        session.clear.close()
        tap.same((len(all_of(session.client)), sent > 100000), (sent, True),
                 "all that a closed asker said still arrives")
    # The client is gone without a word.
    tlsd.note()
    with tlsd.session(tcp=True) as session:
        session.client.sendall(b"half a mes")
        session.raw = None
        os.close(session.client.detach())
        session.client = None
        tap.same(all_of(session.clear), b"half a mes",
                 "a client that goes without a word is an end of file")
    tap.ok(tlsd.says("without a close_notify"), "which the log says", tlsd.news())
    with tlsd.session(tcp=True) as session:
        session.raw = None
        number = session.client.detach()
        session.client = None
        reset = struct.pack("ii", 1, 0)
        with socket.socket(fileno=number) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        tap.same(all_of(session.clear), b"", "so is a reset")
    tlsd.note()
    with tlsd.session() as session:
        os.write(session.client.fileno(), b"\x17\x03\x03\x00\x20" + b"x" * 32)
        tap.same(all_of(session.clear), b"", "and so is a forged record")
    tap.ok(tlsd.says("record mac"), "which the log says too", tlsd.news())
    tap.ok(wait_for(lambda: len(tlsd.members()) == 2),
           "no process is left of any of them", tlsd.members())


def end_of_client(session):
    """Sends a close_notify and gives a function that reads what comes after it:
    Python's own socket would take that for the end of both."""
    plain = session.client
    thread_got = []

    def shut():
        try:
            plain.settimeout(0.0)
            plain.unwrap()
        except (ssl.SSLError, OSError):
            pass
        plain.settimeout(30)

    def rest():
        got = b""
        try:
            while True:
                more = plain.recv(65536)
                if not more:
                    break
                got += more
        except (ssl.SSLError, OSError) as error:
            thread_got.append(error)
        return got
    shut()
    return rest


def all_of(side):
    got = bytearray()
    try:
        while True:
            more = side.recv(65536)
            if not more:
                return bytes(got)
            got += more
    except ConnectionResetError:
        return bytes(got)


# --- hostile -----------------------------------------------------------------

def answer(asker):
    """What comes back: the text of facts, or "" for an end."""
    try:
        record = asker.socket.recv(4096)
        return Facts(record).text if record else ""
    except ConnectionError:
        return ""


def hostile(tlsd):
    good = request(SMTP)
    for what, octets in (
            ("nothing of a record", b"x"), ("a longer record", good + b"x"),
            ("a shorter record", good[:-1]), ("zeros", bytes(len(good))),
            ("ones", b"\xff" * len(good)), ("much", b"x" * 60000),
            ("another magic", request(SMTP, magic=MAGIC + 1)),
            ("a name without an end", request(SMTP, name=b"x" * 256)),
            ("a name with a line feed", request(SMTP, name=b"x\n")),
            ("service 0", request(0)), ("service 5", request(5)),
            ("a huge service", request(0xffffffff))):
        asker = Asker(tlsd.path)
        asker.socket.send(octets)
        tap.same(answer(asker), "", f"{what} is refused")
        asker.close()
    asker = Asker(tlsd.path)
    tap.same(asker.ask(4).status, REFUSED, "TLS_CONNECT is not for tlsd")
    asker.close()
    near, far = socket.socketpair()
    datagrams = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    inet = socket.socket()
    for what, octets, sockets in (
            ("no descriptors", b"h", ()), ("one descriptor", b"h", (far,)),
            ("two", b"h", (far, far)), ("four", b"h", (far,) * 4),
            ("another octet", b"x", (far,) * 3),
            ("two octets", b"hh", (far,) * 3),
            ("a socket of datagrams", b"h", (far, far, datagrams[0])),
            ("a socket of the network", b"h", (far, far, inet)),
            ("a file", b"h", (far, far, open("/dev/null")))):
        asker = Asker(tlsd.path)
        asker.ask(SMTP)
        asker.send(octets, *sockets)
        tap.same(answer(asker), "", f"{what}: the session ends")
        asker.close()
    near.close(), far.close(), inet.close()
    for one in datagrams:
        one.close()
    asker = Asker(tlsd.path)
    asker.ask(SMTP)
    asker.close()
    for what, octets, said in (
            ("garbage", b"EHLO client.test\r\n" * 20, "speak TLS"),
            ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "speaks HTTP"),
            ("an end", b"", "closed"),
            ("half a record", b"\x16\x03\x01\x02\x00\x01", "closed")):
        asker = Asker(tlsd.path)
        asker.ask(SMTP)
        near, far = tcp_pair()
        asker.hand_over(far)
        near.sendall(octets)
        near.shutdown(socket.SHUT_WR)
        facts = asker.receive()
        tap.ok(facts.status == FAILED and said in facts.text,
               f"{what} instead of a handshake", facts.text)
        near.close()
        asker.close()
    # An asker that goes away ends the handshake.
    asker = Asker(tlsd.path)
    asker.ask(SMTP)
    near, far = tcp_pair()
    near.settimeout(30)
    asker.hand_over(far)
    asker.close()
    tap.same(near.recv(10), b"", "an asker that goes takes the handshake along")
    near.close()
    tap.ok(wait_for(lambda: len(tlsd.members()) == 2),
           "no process is left of any of them", tlsd.members())
    with tlsd.session() as session:
        tap.ok(session.client and echoes(session), "it still serves",
               tlsd.log()[-2000:])


def parallel(tlsd):
    sessions, lock = [], threading.Lock()

    def one():
        session = tlsd.session(POP3, trusting(), tcp=True)
        with lock:
            sessions.append(session)
    threads = [threading.Thread(target=one) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    good = [s for s in sessions if s.client and echoes(s)]
    tap.same(len(good), 50, "50 sessions at once")
    return sessions


def limits():
    with Tlsd(sessions=4) as tlsd:
        tlsd.put("one", *made.make("limit.test", "DNS:limit.test"))
        tlsd.start()
        held = [tlsd.session() for _ in range(4)]
        asker = Asker(tlsd.path)
        facts = asker.ask(SMTP)
        tap.ok(facts.status == REFUSED and "concurrencytls" in facts.text,
               "one more than concurrencytls is refused", facts.text)
        asker.close()
        tap.ok(all(echoes(session) for session in held), "the others go on")
        held.pop().close()
        tap.ok(wait_for(lambda: Asker(tlsd.path).ask(SMTP).status == OFFERED),
               "when one has ended there is room")
        for session in held:
            session.close()


# --- parts -------------------------------------------------------------------

def inside(tlsd):
    """Who has what open, and which lists hold."""
    with tlsd.session() as session:
        parent, signer = tlsd.process.pid, tlsd.signer
        [child] = [pid for pid in tlsd.members() if pid not in (parent, signer)]
        for name, pid in (("parent", parent), ("signer", signer),
                          ("session", child)):
            with open(f"/proc/{pid}/status") as file:
                status = file.read()
            tap.ok(re.search(r"^Seccomp:\s+2$", status, re.M) and
                   re.search(r"^NoNewPrivs:\s+1$", status, re.M),
                   f"the {name} is confined")
        if os.geteuid() == 0:
            open_in = {}
            for name, pid in (("parent", parent), ("signer", signer),
                              ("session", child)):
                folder = f"/proc/{pid}/fd"
                open_in[name] = [os.readlink(f"{folder}/{number}")
                                 for number in os.listdir(folder)]
            keys = os.path.join(tlsd.home, "tls")
            tap.same([name for name in open_in
                      if any(keys in path for path in open_in[name])],
                     ["signer"], "the signer alone has the folder open")
            memory = {name: in_memory(pid, made.path("one.test.key"))
                      for name, pid in (("parent", parent), ("signer", signer),
                                        ("session", child))}
            tap.same(memory, {"parent": False, "signer": True,
                              "session": False},
                     "the signer alone has the key in its memory")
        else:
            tap.skip("the signer alone has the keys", "needs root")
        tap.ok(echoes(session), "and the session goes on")


def in_memory(pid, key):
    """Whether the secret number of a key stands in a process's memory, as OpenSSL
    keeps it (little-endian) or as in its file."""
    said = openssl("ec", "-in", key, "-noout", "-text")
    number = bytes.fromhex(re.sub(r"[\s:]", "", said.split("priv:")[1]
                                  .split("pub:")[0])).rjust(32, b"\0")
    forms = (number[-32:], number[-32:][::-1])
    with open(f"/proc/{pid}/maps") as maps, \
            open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            area, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            start, end = (int(number, 16) for number in area.split("-"))
            try:
                memory.seek(start)
                octets = memory.read(end - start)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                continue
            if any(form in octets for form in forms):
                return True
    return False


def killed(tlsd):
    sessions = parallel(tlsd)
    os.kill(tlsd.process.pid, signal.SIGKILL)
    tlsd.process.wait()
    tap.ok(all(echoes(session) for session in sessions),
           "sessions go on when the parent is killed")
    old = tlsd.process.pid
    tlsd.note()
    tlsd.start()
    with tlsd.session() as session:
        tap.ok(session.client and echoes(session), "a new one serves")
    for session in sessions:
        session.close()

    def left():
        found = []
        for name in os.listdir("/proc"):
            try:
                with open(f"/proc/{name}/stat") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
                if int(fields[3]) == old and fields[0] != "Z":
                    found.append(name)
            except (OSError, IndexError):
                pass
        return found
    tap.ok(wait_for(lambda: not left()), "and nothing is left of the old one",
           left())
    with tlsd.session() as session:
        os.kill(tlsd.signer, signal.SIGKILL)
        tap.ok(wait_for(lambda: tlsd.process.poll() is not None)
               and "the signing part has gone" in tlsd.news(),
               "when the signer is killed the parent ends, to be started anew",
               tlsd.news())
        tap.ok(echoes(session), "and sessions go on")
    tlsd.note()
    tlsd.start()
    with tlsd.session() as session:
        [child] = [pid for pid in tlsd.members()
                   if pid not in (tlsd.process.pid, tlsd.signer)]
        os.kill(child, signal.SIGKILL)
        tap.same(all_of(session.clear), b"",
                 "when a session is killed its asker sees the end")
    tap.ok(tlsd.says("a session died of signal 9"), "and the log says so")


def supervised():
    """In a whole instance: who trusts its certificate is served, and so it is
    again after a kill."""
    with Instance() as host:
        trusts = ssl.create_default_context(cafile=host.tls_certificate)

        def encrypted():
            client = host.smtp()
            client._host = "localhost"  # the name that is verified
            client.starttls(context=trusts)
            client.ehlo()
            return client
        held = [encrypted() for _ in range(5)]
        started = host.starts("tlsd")
        os.kill(host.pid("tlsd"), signal.SIGKILL)
        tap.same([client.noop()[0] for client in held], [250] * 5,
                 "sessions of a tlsd that was killed go on")
        tap.ok(wait_for(lambda: host.starts("tlsd") > started),
               "its supervisor starts it again", host.log("tlsd"))
        client = wait_for(lambda: attempt(encrypted))
        for number, one in enumerate(held + [client]):
            one.sendmail("ann@client.test", [host.address],
                         f"Subject: {number}\r\n\r\nx\r\n")
            one.quit()
        tap.same(len(host.wait_delivered(6)), 6, "mail comes by all of them")
        tap.ok(all(b"ESMTPS" in text for text in host.contents()),
               "and says that it came by TLS", host.contents())


def attempt(function):
    try:
        return function()
    except (OSError, smtplib.SMTPException):
        return None


def main():
    tap.case(no_certificate)
    with Tlsd() as tlsd:
        for name, sans, kind in (
                ("one.test", ["DNS:one.test"], "ec"),
                ("one-rsa", ["DNS:one.test"], "rsa"),
                ("wild", ["DNS:*.wild.test"], "ec"),
                ("exact.wild.test", ["DNS:exact.wild.test"], "rsa"),
                ("fallback", ["DNS:fallback.test"], "ec")):
            files = made.make(name, *sans, kind=kind)
            tlsd.put({"fallback": "default", "one.test": "one"}.get(name, name),
                     *files)
        tlsd.start()
        for case in (names, inside, versions, protocols, tickets, both_ways,
                     ends, hostile, client_certificates, stapled, reload,
                     killed):
            tap.case(case, tlsd)
        if tap.failed:
            tap.note(tlsd.log()[-6000:])
    tap.case(limits)
    tap.case(supervised)


try:
    main()
finally:
    made.remove()
tap.done()
