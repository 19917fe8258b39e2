#!/usr/bin/env python3
"""ETRN: a client that may relay has the mail of a domain tried at once, and of what
is below it if it asks so; nobody else has, and no other mail is tried."""

import os
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance

tap = Tap()


class Server:
    """An SMTP server: puts all off until it is kind; before open() nothing
    listens at its port."""

    def __init__(self):
        self.recipients, self.refused = [], []
        self.is_kind = False
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def open(self):
        self.socket.listen(50)
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def serve(self):
        while True:
            try:
                client = self.socket.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.talk, args=(client,),
                             daemon=True).start()

    def talk(self, client):
        try:
            with client, client.makefile("rwb", 0) as file:
                self.speak(file)
        except OSError:
            pass

    def speak(self, file):
        file.write(b"220 sink.test\r\n")
        accepted = []
        for line in file:
            verb = line[:4].upper()
            if verb == b"RCPT":
                address = line.split(b"<")[1].split(b">")[0].decode()
                if not self.is_kind:
                    self.refused.append(address)
                    file.write(b"450 4.2.0 later\r\n")
                    continue
                accepted.append(address)
            elif verb == b"DATA":
                file.write(b"354 go\r\n")
                for data in file:
                    if data == b".\r\n":
                        break
                self.recipients += accepted
                accepted = []
            file.write(b"250 ok\r\n")
            if verb == b"QUIT":
                return


def inject(*recipients):
    run = host.run("sendmail", "-i", "-f", "a@keepmail.test", *recipients,
                   input=b"Subject: x\n\nx\n")
    assert run.returncode == 0, run.stderr


def in_folders(*names):
    return [path for path in host.queued()
            if path[len(host.queue) + 1:].split("/")[0] in names]


def etrn(*arguments, client=None):
    client = client or host.submission()
    with client:
        client.ehlo("client.test")
        return [client.docmd("ETRN", argument)[0] for argument in arguments]


def offered():
    with host.submission() as client:
        client.ehlo("client.test")
        tap.ok(client.has_extn("etrn"), "offered to a client that may relay")
    with host.smtp() as client:
        client.ehlo("client.test")
        tap.ok(not client.has_extn("etrn"), "and to no other")


def deferred():
    inject("b@down.test")
    inject("b@busy.test")
    inject("b@low.busy.test")
    inject("b@other.test", "c@third.test")
    tap.ok(wait_for(lambda: len(in_folders("deferred", "waiting")) == 4, 20),
           "mail is deferred", host.queued())
    busy.is_kind = True
    down.open().is_kind = True
    # a worker that has just found a host down does not ask it again at once
    host.restart("remote")
    tap.same(etrn("busy.test", client=host.smtp()), [459],
             "a stranger is not allowed")
    tap.same(etrn("busy.test", "BUSY.test", "down.test"), [250] * 3,
             "our own client is")
    tap.ok(wait_for(lambda: "b@busy.test" in busy.recipients, 20),
           "what was put off goes out", host.log("queue-runner"))
    tap.ok(wait_for(lambda: "b@down.test" in down.recipients, 20),
           "and what waited for a host that was down",
           host.log("queue-runner"))
    tap.same(etrn("@busy.test"), [250], "with what is below the domain")
    tap.ok(wait_for(lambda: "b@low.busy.test" in busy.recipients, 20),
           "that goes out, too", host.log("queue-runner"))
    tap.ok(wait_for(lambda: len(host.queued()) == 1, 20),
           "nothing of it is left", host.queued())
    tap.same(sorted(busy.recipients + down.recipients),
             ["b@busy.test", "b@down.test", "b@low.busy.test"],
             "nothing else is tried")
    tap.same(etrn("third.test"), [250], "one of a message's two domains")
    tap.ok(wait_for(lambda: sorted(busy.recipients)[-1] == "c@third.test", 20),
           "goes out", host.log("queue-runner"))


def once_a_minute():
    busy.is_kind = False
    inject("d@busy.test")
    wait_for(lambda: "d@busy.test" in busy.refused, 20)
    tap.ok(wait_for(lambda: in_folders("deferred"), 20), "more is deferred",
           host.queued())
    said = "retry: mail for %s is tried now"
    tap.same(etrn("busy.test", "last.test"), [250] * 2, "asked again")
    tap.ok(wait_for(lambda: said % "last.test" in host.log("queue-runner"),
                    20), "the runner hears it")
    tap.same(host.log("queue-runner").count(said % "busy.test"), 1,
             "and leaves out what it was asked within the minute")


def without_runner():
    service = os.path.join(host.home, "service", "queue-runner")
    subprocess.run(["svc", "-d", service], check=True)
    wait_for(lambda: host.pid("queue-runner") == 0, 20)
    tap.same(etrn("busy.test"), [458], "without a runner: 458")


down, busy = Server(), Server().open()
with Instance() as host:
    host.control("smtproutes",
                 f"down.test:[127.0.0.1]:{down.port}\n"
                 + "".join(f"{name}:[127.0.0.1]:{busy.port}\n" for name in (
                     "busy.test", ".busy.test", "other.test", "third.test")))
    host.restart("queue-runner", "remote")
    for case in (offered, deferred, once_a_minute, without_runner):
        tap.case(case)
tap.done()
