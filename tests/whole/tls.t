#!/usr/bin/env python3
"""TLS as real clients do it: SMTP and POP3, after STARTTLS and STLS and from the
first octet, with each way to log in; certificates of clients; what happens without a
certificate of ours, and when tlsd or authd die."""

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
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from instance import BUILD, Instance  # noqa: E402
from tap import Tap, skip_all, wait_for  # noqa: E402

tap = Tap()
MESSAGE = b"Subject: by a client\r\n\r\nhello\r\n"
if shutil.which("openssl") is None:
    skip_all("no openssl")
if not os.access(os.path.join(BUILD, "tlsd"), os.X_OK):
    skip_all("tlsd is not built: make")


def encode(octets):
    if isinstance(octets, str):
        octets = octets.encode()
    return base64.b64encode(octets).decode()


def plain(host, password=None):
    return encode(f"\0{host.user_name}\0{password or host.password}")


def context(host, certificate=None):
    made = ssl.create_default_context(
        cafile=os.path.join(host.folder, "trusted.pem"))
    if certificate:
        made.load_cert_chain(certificate + ".pem", certificate + ".key")
    return made


class Line:
    """A client that says what it is told; in TLS from the beginning with first."""

    def __init__(self, host, service, first=False, certificate=None):
        self.context = context(host, certificate)
        self.socket = socket.create_connection(
            ("127.0.0.1", int(getattr(host, service + "_port"))), timeout=30)
        self.file = None
        if first:
            self.secure()
        else:
            self.file = self.socket.makefile("rb")
        self.greeting = self.read()

    def secure(self):
        if self.file is not None:
            self.file.close()
        self.socket = self.context.wrap_socket(self.socket,
                                               server_hostname="localhost")
        self.file = self.socket.makefile("rb")

    def start(self, word="STARTTLS"):
        said = self.say(word)
        if not said.startswith(("220", "+OK")):
            raise RuntimeError(f"{word}: {said}")
        self.secure()
        return self

    def read(self):
        line = self.file.readline()
        while re.match(rb"\d\d\d-", line):
            line = self.file.readline()
        return line.decode().rstrip("\r\n")

    def say(self, text):
        self.socket.sendall(text.encode() + b"\r\n")
        return self.read()

    def ask(self, text, end=r"\.$|\d\d\d "):
        """A reply with all its lines."""
        self.socket.sendall(text.encode() + b"\r\n")
        said = [self.file.readline().decode().rstrip("\r\n")]
        while said[-1] and not re.match(end, said[-1]):
            said.append(self.file.readline().decode().rstrip("\r\n"))
        return said

    def close(self):
        self.file.close()
        self.socket.close()


def submission(host, **more):
    line = Line(host, "submission", **more)
    line.say("EHLO client.test")
    line.start()
    line.say("EHLO client.test")
    return line


# --- real clients ---

def client(host, name, command, status=0, **more):
    """Runs a client, which must end with the status. What it said, or None."""
    if shutil.which(command[0]) is None:
        tap.skip(name, f"no {command[0]}")
        return None
    environment = dict(os.environ, HOME=host.folder)
    more.setdefault("stdin", subprocess.DEVNULL)
    if "input" in more:
        del more["stdin"]
    run = subprocess.run(command, timeout=60, env=environment, cwd=host.folder,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         **more)
    tap.ok(run.returncode == status, name,
           run.stdout.decode(errors="replace") + host.log("authd")[-400:] +
           host.log("tlsd")[-400:])
    return run.stdout


CURL_SCRAM = b"SCRAM-SHA-256" in subprocess.run(
    ["curl", "-V"], stdout=subprocess.PIPE).stdout if shutil.which("curl") \
    else False
WAYS = (("STARTTLS", "submission"), ("implicit TLS", "submissions"))
POP3_WAYS = (("STLS", "pop3"), ("implicit TLS", "pop3s"))


def swaks(host, way, port):
    sent = 0
    if shutil.which("swaks") and b"=== TLS supported" not in subprocess.run(
            ["swaks", "--support"], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL).stdout:
        tap.skip(f"swaks: {way}", "it has no TLS (libnet-ssleay-perl)")
        return 0
    for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
        said = client(host, f"swaks: {mechanism}, {way}",
                      ["swaks", "--server", f"localhost:{port}", "--auth",
                       mechanism, "--auth-user", host.user_name,
                       "--auth-password", host.password, "--from",
                       host.user_name, "--to", host.user_name, "--ehlo",
                       "c.test", "--silent", "2",
                       "-tls" if way == "STARTTLS" else "-tlsc",
                       "--tls-verify", "--tls-ca-path", host.tls_certificate])
        sent += said is not None
    return sent


def curl(host, way, port):
    sent = 0
    message = os.path.join(host.folder, "message")
    with open(message, "wb") as file:
        file.write(MESSAGE)
    scheme = "smtp" if way == "STARTTLS" else "smtps"
    for mechanism in ["PLAIN", "LOGIN", "CRAM-MD5"] + \
            ["SCRAM-SHA-256"] * CURL_SCRAM:
        said = client(host, f"curl: {mechanism}, {way}",
                      ["curl", "-sS", f"{scheme}://localhost:{port}/c.test",
                       "--ssl-reqd", "--cacert", host.tls_certificate,
                       "--mail-from", host.user_name, "--mail-rcpt",
                       host.user_name, "-T", message, "-u",
                       f"{host.user_name}:{host.password}", "--login-options",
                       f"AUTH={mechanism}"])
        sent += said is not None
    return sent


def msmtp(host, way, port):
    sent = 0
    for mechanism in ("plain", "login", "cram-md5", "scram-sha-256"):
        said = client(host, f"msmtp: {mechanism}, {way}",
                      ["msmtp", "--host=localhost", f"--port={port}",
                       f"--auth={mechanism}", f"--user={host.user_name}",
                       f"--passwordeval=echo {host.password}", "--tls=on",
                       "--tls-starttls=" +
                       ("on" if way == "STARTTLS" else "off"),
                       f"--tls-trust-file={host.tls_certificate}",
                       f"--from={host.user_name}", "--", host.user_name],
                      input=MESSAGE)
        sent += said is not None
    return sent


def smtp_library(host, way, port):
    if way == "STARTTLS":
        connection = smtplib.SMTP("localhost", int(port), "c.test", timeout=30)
        connection.starttls(context=context(host))
    else:
        connection = smtplib.SMTP_SSL("localhost", int(port), "c.test",
                                      timeout=30, context=context(host))
    connection.login(host.user_name, host.password)
    connection.sendmail(host.user_name, [host.user_name], MESSAGE)
    connection.quit()
    tap.ok(True, f"smtplib: {way}")
    return 1


def smtp_clients(host):
    sent = 0
    before = len(host.delivered())
    for way, service in WAYS:
        port = getattr(host, service + "_port")
        for one in (swaks, curl, msmtp, smtp_library):
            sent += one(host, way, port)
    texts = host.wait_delivered(before + sent)[before:]
    tap.same(len(texts), sent, "every message came")
    bad = [t for t in texts if b" with ESMTPSA id " not in t or
           not re.search(rb"\n\ttls TLS_[A-Z0-9_]+;\n", t)]
    tap.same(bad[:1], [], "its Received field says ESMTPSA and the cipher")
    for service in ("submission", "submissions"):
        tap.ok(re.search(r"client=127\.0\.0\.1 tls=TLSv1\.3 cipher=TLS_\S+ "
                         r"resumed=[01] servername=localhost certificate=- "
                         r"verified=no relay=0 identity=-\n",
                         host.log(service)),
               f"the log of {service} says what was negotiated",
               host.log(service)[-1000:])


def pop3_clients(host):
    for way, service in POP3_WAYS:
        port = getattr(host, service + "_port")
        pop3_commands(host, way, port)
        if way == "STLS":
            connection = poplib.POP3("localhost", int(port), timeout=30)
            connection.stls(context(host))
        else:
            connection = poplib.POP3_SSL("localhost", int(port), timeout=30,
                                         context=context(host))
        connection.user(host.user_name)
        connection.pass_(host.password)
        tap.ok(connection.stat()[0] > 0, f"poplib: {way}")
        connection.quit()


def pop3_commands(host, way, port):
    scheme = "pop3" if way == "STLS" else "pop3s"
    for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5", "+APOP"):
        if way != "STLS" and mechanism == "+APOP":
            continue
        client(host, f"curl: {mechanism}, {way}",
               ["curl", "-sS", f"{scheme}://localhost:{port}/", "--ssl-reqd",
                "--cacert", host.tls_certificate, "-u",
                f"{host.user_name}:{host.password}", "--login-options",
                f"AUTH={mechanism}"])
    for mechanism in ("user", "apop", "plain", "login", "cram-md5",
                      "scram-sha-256"):
        client(host, f"mpop: {mechanism}, {way}",
               ["mpop", "--host=localhost", f"--port={port}",
                f"--auth={mechanism}", f"--user={host.user_name}",
                f"--passwordeval=echo {host.password}", "--tls=on",
                "--tls-starttls=" + ("on" if way == "STLS" else "off"),
                f"--tls-trust-file={host.tls_certificate}", "--keep=on",
                "--deliver=mbox,mbox", f"--uidls-file=uidls-{port}"
                + mechanism])
    netrc = os.path.join(host.folder, ".netrc")
    with open(netrc, "w") as file:
        file.write(f"machine localhost login {host.user_name} "
                   f"password {host.password}\n")
    os.chmod(netrc, 0o600)
    for protocol in ("pop3", "apop"):
        client(host, f"fetchmail: {protocol}, {way}",
               ["fetchmail", "--sslcertck", "--sslcertfile",
                host.tls_certificate, "--sslproto", "TLS1.2+", "-f",
                "/dev/null", "--pidfile", os.path.join(host.folder, "pid"),
                "-p", protocol, "--service", str(port), "-u", host.user_name,
                "--check", "localhost"] + ["--ssl"] * (way != "STLS"))


def openssl(host):
    for name, port, more in (
            ("STARTTLS on port 25", host.smtp_port, ["-starttls", "smtp"]),
            ("STARTTLS", host.submission_port, ["-starttls", "smtp"]),
            ("STLS", host.pop3_port, ["-starttls", "pop3"]),
            ("submissions", host.submissions_port, []),
            ("pop3s", host.pop3s_port, [])):
        said = client(host, f"openssl s_client: {name}",
                      ["openssl", "s_client", "-connect",
                       f"localhost:{port}", "-verify_return_error",
                       "-verify_hostname", "localhost", "-CAfile",
                       host.tls_certificate, "-quiet", "-ign_eof", *more],
                      input=b"QUIT\r\n")
        tap.ok(b"221 " in said or b"+OK bye" in said, "QUIT is answered", said)


# --- SCRAM-SHA-256-PLUS ---

def scram_plus(host, line, end_point):
    """Logs in, bound to the certificate that the client saw."""
    header = b"p=tls-server-end-point,,"
    bare = b"n=" + host.user_name.encode() + b",r=0123456789"
    said = line.say("AUTH SCRAM-SHA-256-PLUS " + encode(header + bare))
    if not said.startswith(("334 ", "+ ")):
        return said
    server_first = base64.b64decode(said.split(" ", 1)[1])
    parts = dict(p.split(b"=", 1) for p in server_first.split(b","))
    salted = hashlib.pbkdf2_hmac("sha256", host.password.encode(),
                                 base64.b64decode(parts[b"s"]),
                                 int(parts[b"i"]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    final = b"c=" + base64.b64encode(header + end_point) + b",r=" \
        + parts[b"r"]
    signed = bare + b"," + server_first + b"," + final
    proof = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
    proof = bytes(a ^ b for a, b in zip(proof, key))
    said = line.say(encode(final + b",p=" + base64.b64encode(proof)))
    return line.say("") if said.startswith(("334 ", "+ ")) else said


def bindings(host):
    for way, service, word in (("STARTTLS", "submission", "STARTTLS"),
                               ("implicit", "submissions", None),
                               ("STLS", "pop3", "STLS"),
                               ("implicit", "pop3s", None)):
        line = Line(host, service, first=word is None)
        if service.startswith("sub"):
            line.say("EHLO c.test")
        if word:
            said = line.say("AUTH SCRAM-SHA-256-PLUS")
            tap.ok(said.startswith(("504", "538", "-ERR")),
                   f"SCRAM-SHA-256-PLUS before {way} is not offered", said)
            line.start(word)
            if service.startswith("sub"):
                line.say("EHLO c.test")
        end_point = hashlib.sha256(line.socket.getpeercert(True)).digest()
        said = scram_plus(host, line, end_point[::-1])
        tap.ok(said.startswith(("535", "-ERR [AUTH]")),
               f"bound to another certificate, {service}: refused", said)
        said = scram_plus(host, line, end_point)
        tap.ok(said.startswith(("235", "+OK")),
               f"SCRAM-SHA-256-PLUS, {service}: a login", said)
        line.close()
    name = "gsasl: SCRAM-SHA-256-PLUS"
    if shutil.which("gsasl") is None:
        tap.skip(name, "no gsasl")
        return
    run = subprocess.run(
        ["gsasl", "--smtp", "--client", "--connect",
         f"localhost:{host.submission_port}", "--x509-ca-file",
         host.tls_certificate, "-m", "SCRAM-SHA-256-PLUS", "-a",
         host.user_name, "-p", host.password], input=b"QUIT\r\n", timeout=60,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    tap.ok(b"235 2.7.0" in run.stdout, name,
           run.stdout.decode(errors="replace"))


# --- what is said in clear ---

def features(host):
    host.control("authclear", "0\n")
    host.control("authclearpop3", "0\n")
    line = Line(host, "smtp")
    said = line.ask("EHLO c.test")
    tap.ok("250-STARTTLS" in said and not any("AUTH" in s for s in said),
           "port 25 offers STARTTLS, and AUTH only behind it", said)
    said = line.start().ask("EHLO c.test")
    tap.ok("250-STARTTLS" not in said and "250-REQUIRETLS" in said and
           any(re.match(r"250.AUTH SCRAM-SHA-256-PLUS ", s) for s in said),
           "in TLS, AUTH and REQUIRETLS, and no STARTTLS", said)
    for command in ("MAIL FROM:<a@c.test> REQUIRETLS",
                    f"RCPT TO:<{host.address}>", "RSET", "QUIT"):
        said = line.say(command)
        tap.ok(said[:1] == "2", f"in TLS: {command}", said)
    line.close()
    line = Line(host, "pop3")
    said = line.ask("CAPA")
    tap.ok("STLS" in said and "USER" not in said and
           "SASL SCRAM-SHA-256 CRAM-MD5" in said, "CAPA before STLS", said)
    said = line.say("USER " + host.user_name)
    tap.ok(said.startswith("-ERR"), "no USER in clear", said)
    said = line.start("STLS").ask("CAPA")
    tap.ok("STLS" not in said and "USER" in said and
           any("PLUS SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN" in s for s in said),
           "CAPA after it", said)
    line.close()
    host.control("authclear", "1\n")
    host.control("authclearpop3", "1\n")


def scanned(host):
    """What sslscan says: nothing old, nothing weak, no compression."""
    if not shutil.which("sslscan"):
        tap.skip("sslscan finds nothing", "sslscan is not installed")
        return
    for words, port in ((["--starttls-smtp"], host.smtp_port),
                        ([], host.submissions_port),
                        (["--starttls-pop3"], host.pop3_port),
                        ([], host.pop3s_port)):
        run = subprocess.run(["sslscan", "--no-colour", *words,
                              f"127.0.0.1:{port}"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, timeout=60)
        has = {name: bool(re.search(rf"^{re.escape(name)} +enabled", run.stdout,
                                    re.M))
               for name in ("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2",
                            "TLSv1.3")}
        ciphers = re.findall(r"^(?:Preferred|Accepted) +(\S+) +\d+ bits +(\S+)",
                             run.stdout, re.M)
        tap.ok(has["TLSv1.2"] and has["TLSv1.3"] and sum(has.values()) == 2
               and ciphers and all(
                   re.search(r"GCM|CHACHA20|POLY1305|CCM", name)
                   and version in ("TLSv1.2", "TLSv1.3")
                   for version, name in ciphers)
               and "Compression enabled" not in run.stdout
               and "Session renegotiation not supported" in run.stdout
               and not re.search(r"(?<!not) vulnerable", run.stdout),
               f"sslscan finds nothing weak {(words or ['--implicit'])[0]}",
               run.stdout)


def injections(host):
    """Commands behind STARTTLS in the same packet, and half of one."""
    for service, word, tail, fresh, expected in (
            ("submission", "STARTTLS", "EHLO evil.test\r\nMAIL FROM:<", "NOOP",
             "250"),
            ("submission", "STARTTLS", "RSET\r\nAUTH PLAIN\r\n", "MAIL FROM:<>",
             "503"),
            ("pop3", "STLS", "USER evil\r\nPASS evil\r\n", "PASS x",
             "-ERR USER first"),
            ("pop3", "STLS", f"USER {host.user_name}\r\nPA", "PASS x",
             "-ERR USER first")):
        line = Line(host, service)
        if service == "submission":
            line.say("EHLO evil.test")
        else:
            line.say("USER evil")
        said = line.say(f"{word}\r\n{tail}"[:-2] if tail.endswith("\r\n")
                        else f"{word}\r\n{tail}")
        line.secure()
        after = line.say(fresh)
        tap.ok(said.startswith(("220", "+OK")) and after.startswith(expected),
               f"{service}: {tail!r} behind {word} is dropped",
               (said, after))
        line.close()
    # What is said too late is the handshake's, which fails: never a command.
    for service, word in (("submission", "STARTTLS"), ("pop3", "STLS")):
        line = Line(host, service)
        line.say(word)
        line.socket.sendall(b"NOOP\r\nQUIT\r\n")
        try:
            rest = line.file.read()
        except ConnectionError:
            rest = b""
        tap.ok(not re.search(rb"250|221|\+OK|-ERR", rest),
               f"{service}: words in place of a handshake end it", rest)
        line.close()


def refused_handshakes(host):
    """A client without trust: nothing is said, nothing hangs."""
    for service, word in (("smtp", "STARTTLS"), ("submissions", None),
                          ("pop3", "STLS"), ("pop3s", None)):
        one = socket.create_connection(
            ("127.0.0.1", int(getattr(host, service + "_port"))), timeout=30)
        if word:
            one.recv(1000)
            one.sendall(word.encode() + b"\r\n")
            one.recv(1000)
        try:
            ssl.create_default_context().wrap_socket(
                one, server_hostname="localhost")
            refused = False
        except ssl.SSLError:
            refused = True
        tap.ok(refused, f"{service}: a client may refuse the certificate")
        one.close()
    line = submission(host)
    tap.ok(line.say("NOOP").startswith("250"), "others are served")
    line.close()


# --- certificates of clients ---

def make_client(host, name, subject, more):
    path = os.path.join(host.folder, name)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    subject, *more, "-keyout", path + ".key", "-out",
                    path + ".pem"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return path


def fingerprint(path):
    with open(path + ".pem") as file:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read())) \
            .hexdigest()


def may_relay(host, certificate):
    line = submission(host, certificate=certificate)
    line.say("MAIL FROM:<a@c.test>")
    said = line.say("RCPT TO:<x@elsewhere.test>")
    line.close()
    return said


def certificates(host):
    subprocess.run(["tcprules", "tcp.submission.cdb", "tcp.submission.tmp"],
                   cwd=os.path.join(host.home, "control"), check=True,
                   input=b"127.:allow\n:deny\n")
    host.give(os.path.join(host.home, "control", "tcp.submission.cdb"))
    known = make_client(host, "known", "/CN=known",
                        ["-addext", f"subjectAltName=email:{host.user_name}"])
    stranger = make_client(host, "stranger", "/CN=stranger",
                           ["-addext",
                            f"subjectAltName=email:{host.user_name}"])
    authorities = os.path.join(host.home, "tls", "clients.pem")
    shutil.copy(known + ".pem", authorities)
    host.give(authorities)

    def external():
        try:
            line = submission(host, certificate=known)
            said = line.say("AUTH EXTERNAL =")
            line.close()
        except OSError as error:
            said = repr(error)
        return said.startswith("235")
    tap.ok(wait_for(external, 20), "EXTERNAL by SMTP: the certificate's owner",
           host.log("submission")[-600:] + host.log("tlsd")[-600:])
    line = Line(host, "pop3", certificate=known).start("STLS")
    said = [line.say("AUTH EXTERNAL ="), line.say("STAT")]
    tap.ok(all(s.startswith("+OK") for s in said), "EXTERNAL by POP3", said)
    line.close()
    for name, certificate in (("a stranger's", stranger), ("none", None)):
        line = submission(host, certificate=certificate)
        said = line.say("AUTH EXTERNAL =")
        tap.ok(said.startswith("504"), f"EXTERNAL with {name}: not offered",
               said)
        line.close()
    tap.ok(may_relay(host, known).startswith("503"),
           "a certificate alone is no permit to relay")
    for name, text, certificate, expected in (
            ("the fingerprint", fingerprint(known), known, "250"),
            ("a stranger's fingerprint", fingerprint(stranger), stranger,
             "250"),
            ("another's fingerprint", fingerprint(stranger), known, "503"),
            ("the address", host.user_name.upper(), known, "250"),
            ("the address in a stranger's", host.user_name, stranger, "503"),
            ("the address without a certificate", host.user_name, None,
             "503")):
        host.control("tlsclients", text + "\n")
        said = may_relay(host, certificate)
        tap.ok(said.startswith(expected), f"control/tlsclients has {name}: "
               f"{expected}", said)
    found = re.findall(r"certificate=(\w+) verified=(\w+) relay=(\d) "
                       r"identity=(\S+)", host.log("submission"))
    tap.ok((fingerprint(known), "chain", "1", host.user_name) in found and
           (fingerprint(stranger), "no", "1", "-") in found,
           "the log says whose it was, and which line let it relay", found)
    os.unlink(os.path.join(host.home, "control", "tlsclients"))
    os.unlink(authorities)


# --- when something is away ---

def load(host, stop, counts):
    """Sends and fetches until told to stop. Whatever is not done is deferred."""
    while not stop:
        try:
            with smtplib.SMTP("localhost", int(host.submission_port), "c.test",
                              timeout=30) as one:
                one.starttls(context=context(host))
                one.login(host.user_name, host.password)
                one.sendmail(host.user_name, [host.user_name], MESSAGE)
            counts.append("sent")
        except smtplib.SMTPResponseException as error:
            counts.append(error.smtp_code)
        except (smtplib.SMTPException, OSError):
            counts.append("lost")
        try:
            one = poplib.POP3_SSL("localhost", int(host.pop3s_port),
                                  timeout=30, context=context(host))
            try:
                one.user(host.user_name)
                one.pass_(host.password)
                one.stat()
                one.quit()
            finally:
                one.close()
            counts.append("fetched")
        except poplib.error_proto as error:
            counts.append(str(error)[2:18])
        except OSError:
            counts.append("lost")


def killed(host):
    stop, counts = [], []
    before = len(host.delivered())
    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            pool.submit(load, host, stop, counts)
        for service in ("tlsd", "authd", "tlsd"):
            done = len(counts)
            wait_for(lambda: "sent" in counts[done:], 20)
            starts, pid = host.starts(service), host.pid(service)
            os.kill(pid, signal.SIGKILL)
            tap.ok(wait_for(lambda: host.starts(service) > starts, 20),
                   f"{service} is back after kill -9")
            done = len(counts)
            tap.ok(wait_for(lambda: "sent" in counts[done:] and
                            "fetched" in counts[done:], 30),
                   "mail is sent and fetched again", counts[done:])
        stop.append(True)
    sent = counts.count("sent")
    strange = [c for c in counts
               if c not in ("sent", "fetched", "lost", 454, 421, 451,
                            "-ERR [SYS/TEMP] ")]
    tap.same(strange, [], "what was not done was deferred or lost, not refused")
    texts = host.wait_delivered(before + sent)
    tap.ok(len(texts) >= before + sent, "what was answered with 250 is there",
           (len(texts), before, sent))


def held_sessions(host):
    """A session's own process of tlsd dies: the session ends, and nothing else."""
    def children():
        pid = host.pid("tlsd")
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return {int(word) for word in file.read().split()}

    other = submission(host)
    before = children()
    line = submission(host)
    line.say("MAIL FROM:<a@c.test>")
    mine = children() - before
    tap.same(len(mine), 1, "a session has one process of tlsd")
    for pid in mine:
        os.kill(pid, signal.SIGKILL)
    try:
        rest = line.file.read()
    except OSError:
        rest = b""
    tap.same(rest, b"", "when it is killed, the session ends")
    tap.ok(other.say("NOOP").startswith("250"), "others go on")
    line.close()
    other.close()


def without_certificate(host):
    host.control("authclear", "0\n")
    host.control("authclearpop3", "0\n")
    held = submission(host)
    path = os.path.join(host.home, "socket", "tls")
    subprocess.run(["svc", "-d", os.path.join(host.home, "service", "tlsd")],
                   check=True)
    wait_for(lambda: host.pid("tlsd") == 0)
    if os.path.exists(path):
        line = Line(host, "smtp")
        said = line.say("STARTTLS")
        tap.ok(said.startswith("454 4.7.0"),
               "tlsd is away: 454, and the session goes on", said)
        said = line.say("NOOP")
        tap.ok(said.startswith("250"), "NOOP", said)
        line.close()
        line = Line(host, "pop3")
        said = line.say("STLS")
        tap.ok(said.startswith("-ERR [SYS/TEMP]"), "POP3: SYS/TEMP", said)
        line.close()
    for name in ("instance.pem", "instance.key"):
        file = os.path.join(host.home, "tls", name)
        os.rename(file, file + ".away")
    subprocess.run(["svc", "-u", os.path.join(host.home, "service", "tlsd")],
                   check=True)
    tap.ok(wait_for(lambda: not os.path.exists(path)),
           "without a certificate there is no socket")
    line = Line(host, "smtp")
    said = line.ask("EHLO c.test")
    tap.ok("250-STARTTLS" not in said, "STARTTLS is not offered", said)
    said = line.say("STARTTLS")
    tap.ok(said.startswith("502"), "nor done", said)
    said = line.say("AUTH PLAIN " + plain(host))
    tap.ok(said.startswith("538"), "nobody logs in", said)
    line.close()
    line = Line(host, "pop3")
    said = line.ask("CAPA")
    tap.ok("STLS" not in said and "USER" not in said, "CAPA: no STLS", said)
    said = line.say("USER " + host.user_name)
    tap.ok(said.startswith("-ERR"), "no USER", said)
    line.close()
    for service in ("submissions", "pop3s"):
        one = socket.create_connection(
            ("127.0.0.1", int(getattr(host, service + "_port"))), timeout=30)
        try:
            got = one.recv(100)
        except ConnectionError:
            got = b""
        one.close()
        tap.ok(got == b"" and wait_for(lambda: "has no TLS" in
                                       host.log(service)),
               f"{service} closes, and its log says why")
    for service in ("smtpd", "pop3d"):
        tap.ok(wait_for(lambda: "for which tlsd needs a certificate" in
                        host.log(service)),
               f"{service}'s log says what to do")
    said = held.say("NOOP")
    tap.ok(said.startswith("250"), "a session that had TLS has it still", said)
    held.close()
    for name in ("instance.key", "instance.pem"):
        file = os.path.join(host.home, "tls", name)
        os.rename(file + ".away", file)
    tap.ok(wait_for(lambda: os.path.exists(path), 30),
           "the certificate is back, and so is TLS")
    line = submission(host)
    tap.ok(line.say("AUTH PLAIN " + plain(host)).startswith("235"), "a login")
    line.close()


try:
    socket.getaddrinfo("localhost", None)
except OSError:
    skip_all("localhost has no address here: /etc/hosts gives it one")
with Instance() as host:
    shutil.copy(host.tls_certificate, os.path.join(host.folder, "trusted.pem"))
    changed = host.run("user-passwd", "--cram", host.user_name,
                       input=host.password.encode() + b"\n")
    tap.ended(changed, 0, "", "user-passwd --cram")
    host.control("saslmechanisms",
                 "SCRAM-SHA-256-PLUS SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN "
                 "EXTERNAL APOP\n")
    for step in (smtp_clients, pop3_clients, openssl, scanned, bindings,
                 features, injections, refused_handshakes, certificates,
                 killed, held_sessions, without_certificate):
        if len(sys.argv) == 1 or step.__name__ in sys.argv:
            tap.case(step, host)
tap.done()
