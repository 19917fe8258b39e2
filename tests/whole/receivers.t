#!/usr/bin/env python3
"""Mail to other people's servers: Debian's postfix and opensmtpd take what remote sends,
and hand it on to a sink, so that it can be compared."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from installed import INSIDE, enter
from receivers import OpenSMTPD, Postfix
from routed import Routed
from smtpserver import Server
from tap import Tap, skip_all, wait_for
from unpacked import Missing, fetch

if os.geteuid() != 0:
    skip_all("it needs root")
RECEIVERS = (Postfix, OpenSMTPD)
if INSIDE not in os.environ:
    for receiver in RECEIVERS:      # inside there is no network
        fetch(receiver.name)
FOLDER, IS_SEPARATE = enter()
if not IS_SEPARATE:
    skip_all("no namespaces can be made")
tap = Tap()

PLAIN = b"Subject: plain\r\n\r\nabc\r\n"
BODIES = {
    "dots": b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n...x\r\n\r\n.",
    "8bit": b"Subject: 8bit\r\nMIME-Version: 1.0\r\n"
            b"Content-Type: text/plain; charset=utf-8\r\n"
            b"Content-Transfer-Encoding: 8bit\r\n\r\n"
            + "Grüße, 你好\r\n".encode(),
    "long": b"Subject: long\r\n\r\n" + b"".join(
        b"%06d " % n + b"x" * 900 + b"\r\n" for n in range(400)),
    "empty": b"Subject: empty\r\n\r\n",
}


def content(octets):
    """Subject and body of a message as it was taken."""
    head, _, body = octets.partition(b"\r\n\r\n")
    subject = re.search(rb"^Subject: (.*)\r?$", head + b"\r\n", re.M)
    return subject and subject[1].strip(), body


def taken(sink, subject):
    return [message for message in sink.messages
            if content(message.octets)[0] == subject.encode()]


def recipients(messages):
    return sorted(line.split(b"<")[1].split(b">")[0].decode()
                  for message in messages for line in message.recipients)


def send(host, receiver, octets, *names, options=()):
    client = host.submission()
    try:
        client.ehlo()
        client.sendmail("a@x.test", [f"{name}@{receiver.domain}"
                                     for name in names], octets,
                        mail_options=list(options))
    finally:
        client.quit()


def bodies(host, receiver, sink):
    for name, octets in BODIES.items():
        send(host, receiver, octets, "b", options=["BODY=8BITMIME"])
    for name, octets in BODIES.items():
        got = wait_for(lambda: taken(sink, name), 20)
        # smtplib ends a last line that has no end
        want = content(octets)[1]
        want += b"" if not want or want.endswith(b"\r\n") else b"\r\n"
        tap.ok(got and content(got[0].octets)[1] == want,
               f"{receiver.name}: {name}: the text is what was sent",
               got and (content(got[0].octets)[1][:200], want[:200]))
        tap.ok(len(got or ()) == 1, "…and once")
    got = taken(sink, "8bit")
    if receiver.takes_utf8:     # the other one hands it on without a word
        tap.ok(got and b"BODY=8BITMIME" in got[0].sender.upper(),
               "8BITMIME is handed on", got and got[0].sender)
    if not receiver.has_tls:
        tap.ok(got and b"with ESMTP" in got[0].octets and
               wait_for(lambda: "once more in clear" in host.log("remote")),
               "a STARTTLS that fails holds nothing up", host.log("remote"))
        return
    tap.ok(got and b"with ESMTPS" in got[0].octets,
           "it came over TLS", got and got[0].octets[:600])
    tap.ok(re.search(r"success: .*TLSv1\.3", "".join(
        line.replace("_", " ") for line in
        host.results(receiver.domain, "success"))),
        "and remote's log says so", host.results(receiver.domain))


def hundred(host, receiver, sink):
    names = [f"r{number}" for number in range(100)]
    send(host, receiver, b"Subject: hundred\r\n\r\nx\r\n", *names)
    wait_for(lambda: len(recipients(taken(sink, "hundred"))) >= 100, 20)
    tap.same(recipients(taken(sink, "hundred")),
             sorted(f"{name}@{receiver.domain}" for name in names),
             f"{receiver.name}: a hundred recipients, each once")


def mixed(host, receiver, sink):
    """250, 550 and 450 in one transaction."""
    send(host, receiver, b"Subject: mixed\r\n\r\nx\r\n", "one", "absent",
         "busy", "two")

    def said(kind, code):
        return [line for line in host.results(receiver.domain, kind)
                if code in line]
    wait_for(lambda: said("failure", "550") and said("deferral", "450"), 20)
    wait_for(lambda: len(recipients(taken(sink, "mixed"))) >= 2, 20)
    tap.same(recipients(taken(sink, "mixed")),
             [f"{name}@{receiver.domain}" for name in ("one", "two")],
             f"{receiver.name}: of four recipients the good ones get it")
    tap.same(len(said("failure", "550")), 1, "one fails")
    tap.same(len(said("deferral", "450")), 1, "one is put off")


def international(host, receiver, sink):
    """SMTPUTF8 where it is offered; a bounce where it is not."""
    client = host.submission()
    client.ehlo()
    client.sendmail("ä@x.test", [f"ü@{receiver.domain}"],
                    "Subject: utf8\r\nX: ö\r\n\r\nx\r\n".encode(),
                    mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    client.quit()
    if receiver.takes_utf8:
        got = wait_for(lambda: taken(sink, "utf8"), 20)
        tap.ok(got and "ü@".encode() in got[0].recipients[0] and
               "ä@".encode() in got[0].sender and b"SMTPUTF8" in got[0].sender,
               f"{receiver.name}: SMTPUTF8", got and got[0].sender)
        return
    failed = wait_for(lambda: [line for line in
                               host.results(receiver.domain, "failure")
                               if "5.6.7" in line], 20)
    tap.ok(failed, f"{receiver.name}: without SMTPUTF8 it fails with 5.6.7",
           host.results(receiver.domain))


def one(kind, host):
    with Server(extensions=["8BITMIME", "SMTPUTF8", "PIPELINING", "SIZE"]) as \
            sink:
        try:
            receiver = kind(FOLDER, f"{kind.name}.test", sink.port)
        except Missing as why:
            tap.skip(f"mail to {kind.name}", str(why))
            return
        with receiver:
            host.lines = [f"{receiver.domain}:[127.0.0.1]:{receiver.port}"]
            host.load()
            for step in (bodies, hundred, mixed, international):
                tap.case(step, host, receiver, sink)
            if receiver.has_tls:
                tap.ok(wait_for(lambda: re.search(
                    r"disconnect from .* starttls=1 .* bdat=",
                    receiver.log()), 20),
                    f"{receiver.name} has seen STARTTLS and BDAT",
                    receiver.log()[-3000:])
            if tap.failed:
                tap.note(host.logs())
                tap.note(receiver.log()[:4000])


with Routed() as instance:
    for server in RECEIVERS:
        tap.case(one, server, instance)
tap.done()
