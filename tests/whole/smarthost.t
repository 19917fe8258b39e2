#!/usr/bin/env python3
"""Logins at a smarthost: each mechanism, what is never said in clear, what a refused
login costs, and that no password gets into a log or a result."""

import base64
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from certificates import Authority
from instance import Instance
from routed import Routed
from smtpserver import Server
from tap import Tap, skip_all, wait_for

if not shutil.which("openssl"):
    skip_all("openssl is not installed")

tap = Tap()
SECRET = "correct:horse, battery=staple"
USERS = {"ann": SECRET, "a,n=n": SECRET}
LINES = f"""# logins
one:ann:{SECRET}
odd:a,n=n:{SECRET}
wrong:ann:{SECRET}x
"""
VERIFY = "name=mx.test"  # auth= makes it tls=verify


def mechanisms():
    """The best that is offered is taken; all work."""
    table = [
        (("LOGIN", "PLAIN", "CRAM-MD5", "SCRAM-SHA-256"), "SCRAM-SHA-256"),
        (("SCRAM-SHA-256",), "SCRAM-SHA-256"),
        (("PLAIN", "CRAM-MD5"), "CRAM-MD5"),
        (("LOGIN", "PLAIN"), "PLAIN"),
        (("LOGIN",), "LOGIN"),
        (("GSSAPI", "XOAUTH2", "LOGIN"), "LOGIN"),
    ]
    rows = []
    for offered, taken in table:
        server = Server(tls=pair, users=USERS, demands=True,
                        mechanisms=offered)
        rows.append((server, offered, taken,
                     host.route(server, f"auth=one {VERIFY}")))
    odd = Server(tls=pair, users=USERS, demands=True)
    rows.append((odd, ("a name with , and =",), "SCRAM-SHA-256",
                 host.route(odd, f"auth=odd {VERIFY}")))
    host.load()
    for row in rows:
        host.inject(row[3])
    for server, offered, taken, domain in rows:
        name = " ".join(offered)
        message = server.wait_message()
        tap.ok(message is not None and message.tls,
               f"{name}: the message arrives under TLS", host.logs())
        session = server.sessions[0]
        tap.same(session.login and session.login[1], taken,
                 f"{name}: {taken} is taken")
        tap.ok(all(tls for tls, line in session.lines
                   if line.upper().startswith(b"AUTH")),
               f"{name}: nothing of it in clear")
        server.close()


def in_clear():
    """Without TLS."""
    clear = {"users": USERS, "demands": True, "auth_when": "always"}
    table = [
        # server, words, mechanism (None: waits), said
        (clear, "auth=one", None, "offers no TLS"),
        (clear, "auth=one tls=must", None, "offers no TLS"),
        (clear, "auth=one tls=may", "SCRAM-SHA-256", ""),
        ({**clear, "mechanisms": ("PLAIN", "LOGIN")}, "auth=one tls=may", None,
         "not encrypted"),
        ({**clear, "mechanisms": ("PLAIN", "LOGIN")},
         "auth=one tls=may auth-clear", "PLAIN", ""),
        ({**clear, "mechanisms": ("LOGIN",)}, "auth=one tls=none auth-clear",
         "LOGIN", ""),
        ({**clear, "mechanisms": ("PLAIN",)}, "auth=one auth-clear", None,
         "offers no TLS"),
        # a broken handshake is not made up for in clear
        ({**clear, "tls": pair, "handshake": "close"}, "auth=one tls=may",
         None, "handshake failed"),
        # nor an answer that says no TLS now
        ({**clear, "tls": pair, "starttls": b"454 4.7.0 later\r\n",
          "mechanisms": ("PLAIN",)}, "auth=one tls=may", None,
         "not encrypted"),
    ]
    rows = []
    for what, words, taken, said in table:
        server = Server(**what)
        rows.append((server, words, taken, said, host.route(server, words)))
    host.load()
    for row in rows:
        host.inject(row[4])
    for number, (server, words, taken, said, domain) in enumerate(rows):
        name = f"in clear {number}, {words}"
        line = host.result(domain)
        if taken:
            tap.same([s.login and s.login[1] for s in server.sessions],
                     [taken], f"{name}: {taken}")
            tap.ok("success" in line, f"{name}: it is sent", line)
        else:
            tap.ok("deferral: 4." in line and said in line,
                   f"{name}: it waits, and the log says why", line)
            tap.ok(b"AUTH" not in sum((s.verbs() for s in server.sessions),
                                      []), f"{name}: nothing of a login is said")
            tap.same(len(server.sessions), 1, f"{name}: one connection")
        server.close()


def echo(answer):
    """An answer to AUTH that repeats what the client has sent."""
    def say(session, line):
        if b" " not in line:
            return b"535 no\r\n"
        sent = line.split(b" ")[-1]
        plain = base64.b64decode(sent).split(b"\0")[-1]
        return answer.replace(b"SENT", sent).replace(b"PLAIN", plain)
    return say


def refused():
    """A login that is refused defers all mail, clearly, and is not repeated for
    each message."""
    server = Server(tls=pair, users=USERS, demands=True)
    domain = host.route(server, f"auth=wrong {VERIFY}")
    missing = host.route(server, f"auth=nobody {VERIFY}")
    nothing = Server(tls=pair)
    unoffered = host.route(nothing, f"auth=one {VERIFY}")
    chatty = [Server(tls=pair, users=USERS, mechanisms=("PLAIN",),
                     script={b"AUTH": echo(text)})
              for text in (b"535 5.7.8 no: SENT\r\n",
                           b"535 5.7.8 bad password PLAIN for you\r\n")]
    told = [host.route(one, f"auth=one {VERIFY}") for one in chatty]
    liar = Server(tls=pair, users=USERS, lies=True)
    lied = host.route(liar, f"auth=one {VERIFY}")
    greedy = Server(tls=pair, users=USERS, rounds=3000)
    weak = host.route(greedy, f"auth=one {VERIFY}")
    slow = Server(tls=pair, users=USERS,
                  script={b"AUTH": b"454 4.7.0 cannot tell now\r\n"})
    later = host.route(slow, f"auth=one {VERIFY}")
    host.load()
    for number in range(5):
        host.inject(domain, f"refused {number}")
    for one in [missing, unoffered, lied, weak, later] + told:
        host.inject(one)
    line = host.result(domain)
    tap.ok('deferral: 4.7.8 the login "wrong" is refused (SCRAM-SHA-256): '
           "535 5.7.8 wrong name or password" in line,
           "a refused login defers with 4.7.8 and the relay's words", line)
    line = host.result(missing)
    tap.ok('deferral: 4.3.5 this host has no login "nobody"' in line,
           "a login that is not in the file defers", line)
    tap.ok(wait_for(lambda: 'secrets/smarthosts: has no line for "nobody"' in
                    host.log("remote")), "and the log says so", host.log("remote"))
    line = host.result(unoffered)
    tap.ok("deferral: 4.7.4" in line and "offers no AUTH" in line,
           "a relay without AUTH defers", line)
    for one in told:
        line = host.result(one)
        tap.ok("deferral: 4.7.8" in line and
               "535 (its text repeats what was sent)" in line,
               "words that repeat the password are withheld", line)
    line = host.result(lied)
    tap.ok("does not prove that it knows the password" in line,
           "a relay that does not know the password itself is not believed",
           line)
    line = host.result(weak)
    tap.ok("too few or too many rounds" in line,
           "too few rounds of SCRAM are not done", line)
    line = host.result(later)
    tap.ok("deferral: 4.7.8" in line and "454 4.7.0 cannot tell now" in line,
           "a relay that cannot tell defers", line)
    # Some of the five may have been under way together, none follows.
    auths = sum(session.verbs().count(b"AUTH") for session in server.sessions)
    tap.ok(auths <= 2, "five messages do not cost five refused logins", auths)
    tap.same([message.sender for one in [server, nothing, liar, greedy, slow]
              + chatty for message in one.messages], [],
             "nothing was sent by any of them")
    for one in [server, nothing, liar, greedy, slow] + chatty:
        one.close()


def file_modes():
    """The file's owner and mode are looked at each time it is read."""
    server = Server(tls=pair, users=USERS, demands=True)
    good = [host.route(server, f"auth=one {VERIFY} source=127.0.0.1"),
            host.route(server, f"auth=one {VERIFY}")]
    open_to = []
    for mode in (0o644, 0o660, 0o604, 0o642):
        other = Server(tls=pair, users=USERS, demands=True)
        open_to.append((mode, other, host.route(other, f"auth=one {VERIFY}")))
    malformed = Server(tls=pair, users=USERS, demands=True)
    bad = host.route(malformed, f"auth=one {VERIFY}")
    gone = Server(tls=pair, users=USERS, demands=True)
    none = host.route(gone, f"auth=one {VERIFY}")
    host.load()
    for mode, other, domain in open_to:
        host.secrets(LINES, mode)
        host.inject(domain)
        line = host.result(domain)
        said = f"has mode {mode:04o}, which lets others read"
        tap.ok("deferral: 4.3.5" in line and
               wait_for(lambda: said in host.log("remote")) and
               not other.sessions,
               f"a file of mode {mode:04o} is not used, and the log says why",
               (line, host.log("remote")))
        other.close()
    host.secrets("two:x:y\none:password\n")
    host.inject(bad)
    line = host.result(bad)
    tap.ok("deferral: 4.3.5" in line and wait_for(
        lambda: "secrets/smarthosts: line 2: expected NAME:USER:PASSWORD"
        in host.log("remote")), "a malformed line is named", line)
    os.unlink(host.secrets(LINES))
    host.inject(none)
    line = host.result(none)
    tap.ok("deferral: 4.3.5" in line and
           wait_for(lambda: "secrets/smarthosts: No such file" in
                    host.log("remote")), "so is a file that is not there", line)
    host.secrets(LINES, 0o600)
    host.inject(good[0])
    tap.ok(server.wait_message(1), "mode 0600 does, without a restart",
           host.logs())
    host.secrets(LINES)
    host.inject(good[1])
    tap.ok(server.wait_message(2), "and so does 0640", host.logs())
    for one in (server, malformed, gone):
        one.close()


def another_keepmail():
    """A second instance of keepmail as the smarthost."""
    with Instance("--domain", "hub.test") as hub:
        hub.control("tcp.submission", ":allow\n")
        hub.control("saslmechanisms", "SCRAM-SHA-256 PLAIN LOGIN\n")
        hub.run("user-add", "relay@hub.test", input=b"hub secret\n")
        host.secrets("hub:relay@hub.test:hub secret\n")
        host.lines.append(f"hub.test:[127.0.0.1]:{hub.submission_port} "
                          "tls=may auth=hub")
        host.load()
        run = host.run("sendmail", "-i", "-f", "relay@hub.test",
                       hub.address, input=b"Subject: over the hub\n\nx\n")
        tap.same(run.returncode, 0, "a message for the hub is taken")
        texts = hub.wait_delivered(1)
        tap.ok(texts and b"over the hub" in texts[0],
               "keepmail takes it after a login", host.logs())
        tap.ok("mechanism=SCRAM-SHA-256 name=relay@hub.test" in
               hub.log("authd"), "by SCRAM-SHA-256", hub.log("authd"))


def no_secrets():
    """After all of the above."""
    forms = [SECRET, base64.b64encode(SECRET.encode()).decode(),
             base64.b64encode(b"\0ann\0" + SECRET.encode()).decode(), "battery"]
    text = ""
    for folder, _, names in os.walk(os.path.join(host.home, "log")):
        for name in names:
            with open(os.path.join(folder, name), errors="replace") as file:
                text += file.read()
    for folder, _, names in os.walk(host.queue):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    text += file.read().decode("latin-1")
    tap.ok("4.7.8" in text, "logs and queue were read")
    for form in forms:
        tap.ok(form not in text and form.replace(" ", "_") not in text,
               f"no log and no file of the queue has {form[:8]}…")


folder = tempfile.mkdtemp(prefix="keepmail-test.")
os.chmod(folder, 0o755)
try:
    authority = Authority(folder)
    os.chmod(authority.file, 0o644)
    pair = authority.issue("mx.test")
    with Routed() as host:
        host.control("tlsauthorities", authority.file + "\n")
        host.restart("tls-client")
        host.secrets(LINES)
        for case in (mechanisms, in_clear, refused, file_modes,
                     another_keepmail, no_secrets):
            tap.case(case)
finally:
    shutil.rmtree(folder, ignore_errors=True)
tap.done()
