#!/usr/bin/env python3
"""The commands for .qmail files: forward, condredirect, bouncesaying, except,
preline, qreceipt, vacation, lmtp-deliver; and maildir2mbox."""

import os
import re
import socket
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance
from sink import Sink

tap = Tap()

MESSAGE = b"From: ann@far.test\nTo: user@host.test\nSubject: x\n\nbody\n"


def variables(host, **more):
    local, domain = host.address.split("@")
    values = {"SENDER": "ann@far.test", "NEWSENDER": "new@far.test",
              "RECIPIENT": host.address, "LOCAL": local, "HOST": domain,
              "DTLINE": f"Delivered-To: {host.address}\n",
              "RPLINE": "Return-Path: <ann@far.test>\n",
              "UFLINE": "From ann@far.test x\n",
              "PATH": os.environ["PATH"], "KEEPMAIL": host.home}
    values.update(more)
    return {name: value for name, value in values.items() if value is not None}


def call(host, *command, message=MESSAGE, cwd="/", **more):
    with tempfile.TemporaryFile() as file:
        file.write(message)
        file.seek(0)
        return host.run(*command, stdin=file, cwd=cwd,
                        env=variables(host, **more))


def status(host, expected, description, *command, **more):
    run = call(host, *command, **more)
    tap.same((run.returncode, run.stdout + run.stderr if run.returncode
              not in (0, 99, 100, 111) else b""), (expected, b""), description)
    return run.stdout.decode() + run.stderr.decode()


def taken(host, number=1):
    """What the other host has taken: (reverse-path, recipients, octets)."""
    wait_for(lambda: len(host.far.messages) >= number)
    with host.far.lock:
        messages, host.far.messages = host.far.messages, []
    return [(re.search(b"<(.*?)>", mail).group(1).decode(),
             [re.search(b"<(.*?)>", line).group(1).decode() for line in lines],
             octets.replace(b"\r\n", b"\n")) for mail, lines, octets in messages]


def forward(host):
    said = status(host, 0, "forward sends to all", "forward", "b@far.test",
                  "c@far.test", "b@far.test")
    tap.ok(re.fullmatch("forward: qp [0-9a-z]{20}\n", said), "…and says so",
           said)
    [(sender, recipients, octets)] = taken(host)
    tap.same((sender, sorted(recipients)),
             ("new@far.test", ["b@far.test", "c@far.test"]),
             "…from NEWSENDER, once to each")
    tap.ok(f"\nDelivered-To: {host.address}\n".encode() in octets
           and octets.endswith(b"\n\nbody\n"), "…after DTLINE", octets)
    status(host, 0, "a sender to be expanded is", "forward", "b@far.test",
           NEWSENDER="l-@far.test-@[]")
    tap.same(taken(host)[0][0], "l-b=far.test@far.test", "…expanded")
    status(host, 100, "forward without addresses", "forward")
    status(host, 100, "forward to what is none", "forward", "a b")
    status(host, 100, "forward without DTLINE", "forward", "b@far.test",
           DTLINE=None)
    status(host, 111, "forward without a queue", "forward", "b@far.test",
           KEEPMAIL="/nowhere")

    run = host.run("preline", "-fr", "cat", input=MESSAGE,
                   env=variables(host))
    tap.same(run.stdout, f"Delivered-To: {host.address}\n".encode() + MESSAGE,
             "preline puts the lines that are wanted before it")
    run = host.run("preline", "cat", "-n", input=b"", env=variables(host))
    tap.ok(run.stdout.count(b"\n") == 3, "…all three by default", run)
    for code in (0, 5, 99, 100, 111):
        status(host, code, f"…and ends with {code} as its program",
               "preline", "sh", "-c", f"exit {code}")
    status(host, 111, "…or 111 if there is none", "preline", "/nowhere")
    run = host.run("forward", "b@far.test", input=MESSAGE,
                   env=variables(host))
    tap.same(run.returncode, 0, "forward takes a message from a pipe")
    tap.ok(taken(host)[0][2].endswith(b"body\n"), "…whole")


def conditions(host):
    said = status(host, 99, "condredirect forwards if its program says 0",
                  "condredirect", "b@far.test", "grep", "-q", "^body$")
    tap.ok("qp " in said, "…and says so", said)
    [(sender, recipients, octets)] = taken(host)
    tap.same((sender, recipients, octets[-6:]),
             ("ann@far.test", ["b@far.test"], b"\nbody\n"),
             "…all of it, from SENDER")
    status(host, 0, "…not if it says 1", "condredirect", "b@far.test", "false")
    status(host, 111, "…waits if it says 111", "condredirect", "b@far.test",
           "sh", "-c", "exit 111")
    status(host, 111, "…or if it crashes", "condredirect", "b@far.test",
           "sh", "-c", "kill -9 $$")
    said = status(host, 100, "bouncesaying refuses", "bouncesaying", "go away")
    tap.ok("go away" in said, "…with its words", said)
    status(host, 100, "…if its program says 0", "bouncesaying", "no", "true")
    status(host, 0, "…not if it says 1", "bouncesaying", "no", "false")
    status(host, 111, "…waits if it says 111", "bouncesaying", "no", "sh", "-c",
           "exit 111")
    status(host, 100, "except refuses what its program takes", "except", "true")
    status(host, 0, "…takes what it refuses", "except", "false")
    status(host, 111, "…waits if it says 111", "except", "sh", "-c", "exit 111")


def qreceipt(host):
    asks = (b"Notice-Requested-Upon-Delivery-To: x@x.test,\n " +
            host.address.encode() + b"\nMessage-ID: <1@far.test>\n" + MESSAGE)
    status(host, 0, "qreceipt answers", "qreceipt", host.address, message=asks)
    [(sender, recipients, octets)] = taken(host)
    tap.same((sender, recipients), ("", ["ann@far.test"]),
             "…the sender, from nobody")
    tap.ok(b"\nSubject: success notice\n" in octets
           and b"\nIn-Reply-To: <1@far.test>\n" in octets
           and b"\nAuto-Submitted: auto-replied\n" in octets, "…about it",
           octets)
    status(host, 0, "…hostile", "qreceipt", host.address,
           message=asks.replace(b"<1@far", b"<1\r\x1b@far"))
    [(_, _, octets)] = taken(host)
    tap.ok(b"\nIn-Reply-To: <1??@far.test>\n" in octets,
           "…without what is not printable", octets)
    status(host, 0, "…not unless asked", "qreceipt", host.address)
    status(host, 0, "…nor a report", "qreceipt", host.address, message=asks,
           SENDER="")
    status(host, 100, "…and only with an address", "qreceipt")


def vacation(host):
    home = os.path.dirname(host.maildir.rstrip("/"))
    text = os.path.join(home, "away")
    with open(text, "w") as file:
        file.write("I am away, \u00fcber $SUBJECT.\n")
    host.give(text)
    to_us = MESSAGE.replace(b"user@host.test", host.address.encode())

    def answers(expected, description, message=to_us, *options, **more):
        run = call(host, "vacation", *options, "away", message=message,
                   cwd=home, **more)
        tap.same((run.returncode, b"qp " in run.stdout), (0, expected),
                 f"{description}: {run.stdout + run.stderr}")
    tail = b"Message-ID: <1@far.test>\nReferences: <0@far.test>\n" + to_us
    answers(True, "an answer goes to a sender", tail)
    [(sender, recipients, octets)] = taken(host)
    tap.same((sender, recipients), ("", ["ann@far.test"]), "…from nobody")
    for field in ("Subject: Auto: x", "Auto-Submitted: auto-replied",
                  "In-Reply-To: <1@far.test>", f"From: <{host.address}>",
                  "References: <0@far.test>\n <1@far.test>",
                  "\nI am away, \u00fcber x."):
        tap.ok(f"\n{field}\n".encode() in octets, "…with " + field.strip().split("\n")[0], octets)
    tap.ok(b"Delivered-To" not in octets, "…and no Delivered-To", octets)
    answers(False, "…and no second one", tail)
    answers(False, "…whatever the case of its address", tail,
            SENDER="ANN@far.test")
    seen = os.path.join(home, ".vacation-seen")
    with open(seen) as file:
        [line] = file.readlines()
    for age, expected in ((6, False), (8, True)):
        with open(seen, "w") as file:
            file.write(f"{int(line.split()[0]) - age * 86400} ann@far.test\n")
        answers(expected, f"the last one was {age} days ago", tail)
    for field in ("List-Id: <x>", "Precedence: bulk", "precedence: List",
                  "Auto-Submitted: auto-generated", "X-Loop: a",
                  "X-Auto-Response-Suppress: All"):
        answers(False, field, field.encode() + b"\n" + to_us,
                SENDER="b@far.test")
    answers(False, "to another", MESSAGE, SENDER="b@far.test")
    answers(True, "to another name", MESSAGE, "-a", "user@host.test",
            SENDER="b@far.test")
    answers(True, "Auto-Submitted: no", b"Auto-Submitted: no\n" + to_us,
            SENDER="c@far.test")
    for sender in ("", "#@[]", "owner-x@far.test", "x-request@far.test",
                   "MAILER-DAEMON@far.test", "noreply@far.test", host.address):
        answers(False, f"from <{sender}>", to_us, SENDER=sender)
    run = call(host, "vacation", "away", message=to_us, cwd=home,
               SENDER="d@far.test", KEEPMAIL="/nowhere")
    tap.same(run.returncode, 111, "without a queue it is tried again")
    answers(True, "…and then answered", to_us, SENDER="d@far.test")
    taken(host, 4)
    status(host, 111, "a wrong call makes the mail wait", "vacation")
    hostile = to_us.replace(b"Subject: x", b"Subject: a\r\n b\x01\xff\x1b[2J")
    answers(True, "a hostile subject", hostile, SENDER="e@far.test")
    [(_, _, octets)] = taken(host)
    tap.ok(re.search(rb"\nSubject: Auto: a[ ?]+b[ ?]+\[2J\n", octets),
           "…is masked", octets)


class Lmtp(Sink):
    greeting = b"220 lmtp.test"

    def __init__(self):
        super().__init__()
        self.lines, self.after = [], b"250 2.0.0 kept"

    def talk(self, client):
        stream = client.makefile("rwb")

        def say(words):
            stream.write(words + b"\r\n")
            stream.flush()
        say(self.greeting)
        for line in stream:
            self.lines.append(line.strip())
            if line.startswith(b"LHLO"):
                say(b"250-lmtp.test\r\n250 8BITMIME")
            elif line.startswith(b"RCPT") and b"<bad" in line:
                say(b"550 5.1.1 nobody")
            elif line.startswith(b"DATA"):
                say(b"354 go")
                self.messages.append(self.read(stream))
                if self.after is None:
                    return
                say(self.after)
            elif line.startswith(b"QUIT"):
                return
            else:
                say(b"250 ok")


def lmtp(host):
    server = Lmtp()
    place = f"127.0.0.1:{server.port}"
    said = status(host, 0, "lmtp-deliver delivers", "lmtp-deliver", place,
                  message="Subject: \u00fc\n\n.dot\nend".encode())
    tap.ok("2.0.0 kept" in said, "…and tells the answer", said)
    tap.same(server.messages.pop(), "Subject: \u00fc\r\n\r\n..dot\r\nend\r\n".encode(),
             "…the message as it should be")
    wait_for(lambda: len(server.lines) >= 5)
    tap.same(server.lines[1:3], [b"MAIL FROM:<ann@far.test> BODY=8BITMIME",
                                 f"RCPT TO:<{host.address}>".encode()],
             "…with its envelope")
    status(host, 100, "a refusal for good is one", "lmtp-deliver", place,
           "bad@host.test")
    server.after = b"452 4.2.2 full"
    said = status(host, 111, "a refusal for now is one", "lmtp-deliver", place)
    tap.ok("4.2.2 full" in said, "…with its words", said)
    server.after = None
    status(host, 111, "a lost answer is no delivery", "lmtp-deliver", place)
    server.greeting = b"220 x\r\n250 x\r\n250 a\r\n250 b\r\n354 go\r\n250 done"
    status(host, 111, "nor are answers before the questions", "lmtp-deliver",
           place)
    server.greeting = b"what?"
    status(host, 111, "nor is what speaks no LMTP", "lmtp-deliver", place)
    server.close()
    status(host, 111, "nor is nobody", "lmtp-deliver", place)
    path = os.path.join(host.folder, "lmtp")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        os.chmod(path, 0o777)
        listener.listen()
        server.greeting, server.after = b"220 x", b"250 ok"
        threading.Thread(target=lambda: server.talk(listener.accept()[0]),
                         daemon=True).start()
        status(host, 0, "a unix socket will do", "lmtp-deliver", path)
    os.unlink(path)


def to_mbox(host):
    home = os.path.dirname(host.maildir.rstrip("/"))
    tap.same(host.run("maildirmake", f"{home}/M").returncode, 0, "a Maildir")
    for name, text in (("cur/1.a", "Return-Path: <a b@x.test>\n\none\n"),
                       ("new/2.a", "Subject: y\n\nFrom z\n")):
        with open(f"{home}/M/{name}", "w") as file:
            file.write(text)
        host.give(f"{home}/M/{name}")
    run = host.run("maildir2mbox", env={"MAILDIR": f"{home}/M",
                                        "MAIL": f"{home}/mbox"})
    tap.same((run.returncode, run.stderr), (0, b""), "maildir2mbox moves it")
    with open(f"{home}/mbox") as file:
        text = file.read()
    tap.ok(re.fullmatch("From a-b@x.test .*\nReturn-Path: <a b@x.test>\n\n"
                        "one\n\nFrom MAILER-DAEMON .*\nSubject: y\n\n"
                        ">From z\n\n", text), "…all of it", text)
    tap.same(os.listdir(f"{home}/M/cur") + os.listdir(f"{home}/M/new"), [],
             "…away")
    tap.same(host.run("maildir2mbox", env={}).returncode, 100,
             "…if it is told what")


def from_a_file(host):
    """They are found by a .qmail file, without their folder's name."""
    local, domain = host.address.split("@")
    home = os.path.dirname(host.maildir.rstrip("/"))
    path = os.path.join(home, ".qmail-found")
    with open(path, "w") as file:
        file.write("|except false\n|condredirect b@far.test true\n./none/\n")
    os.chmod(path, 0o600)
    host.give(path)
    with host.smtp() as client:
        client.sendmail("ann@far.test", [f"{local}-found@{domain}"],
                        MESSAGE.replace(b"\n", b"\r\n"))
    tap.same(taken(host)[0][:2], ("ann@far.test", ["b@far.test"]),
             "a .qmail file finds the commands")


far = Sink()
with Instance() as host:
    host.far = far
    host.control("smtproutes", f"far.test:127.0.0.1:{far.port}\n")
    host.restart("queue-runner")
    for case in (forward, conditions, qreceipt, vacation, lmtp, to_mbox,
                 from_a_file):
        tap.case(case, host)
    if tap.failed:
        tap.note(host.logs())
tap.done()
