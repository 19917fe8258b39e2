#!/usr/bin/env python3
"""Domains of UTF-8: mail to one of ours is ours, mail to another's goes to the host
of its form in A-labels, and so says smtp-why."""

import os
import re
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance

tap = Tap()
OURS, THEIRS = "xn--bcher-kva.test", "xn--fa-hia.test"
lines = []


def serve(listener):
    """One connection of a host that takes everything, SMTPUTF8 too."""
    client, _ = listener.accept()
    with client, client.makefile("rwb", 0) as file:
        file.write(b"220 sink.test ESMTP\r\n")
        content = False
        for line in file:
            lines.append(line)
            if content:
                content = line != b".\r\n"
                if content:
                    continue
            content = line[:4].upper() == b"DATA"
            if line[:4].upper() == b"EHLO":
                file.write(b"250-sink.test\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")
            else:
                file.write(b"354 go\r\n" if content else b"250 ok\r\n")
            if line[:4].upper() == b"QUIT":
                return


def send(client, sender, *recipients):
    with client:
        client.ehlo("client.test")
        answers = [client.docmd(f"MAIL FROM:<{sender}> SMTPUTF8")[0]]
        for recipient in recipients:
            client.command_encoding = "utf-8"
            answers.append(client.docmd(f"RCPT TO:<{recipient}>")[0])
        if 250 in answers[1:]:
            answers.append(client.data(b"Subject: x\r\n\r\nx\r\n")[0])
        return answers


def local():
    tap.same(send(host.smtp(), "a@client.test",
                  "ann@Bücher.test", "nobody@bücher.test"),
             [250, 250, 550, 250], "a domain of ours in UTF-8 is ours")
    texts = host.wait_delivered(1, maildir=os.path.join(
        host.home, "mail", OURS, "ann", "Maildir"))
    tap.ok(len(texts) == 1 and
           f"\nDelivered-To: ann@{OURS}\n".encode() in texts[0],
           "its mail is delivered, by the name in A-labels", texts)


def remote():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)
        host.control("smtproutes",
                     f"{THEIRS}:[127.0.0.1]:{listener.getsockname()[1]}\n")
        host.restart("queue-runner", "remote")
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        tap.same(send(host.submission(), "a@client.test", "x@faß.test"),
                 [250, 250, 250], "our client sends to another's")
        tap.ok(wait_for(lambda: b".\r\n" in lines, 20),
               "it goes out", host.log("queue-runner"))
        tap.ok(any(re.match(rb"RCPT TO:<x@%s>" % THEIRS.encode(), line)
                   for line in lines), "to the name in A-labels", lines)
        tap.ok(host.wait_empty(), "nothing is left", host.queued())


def sender():
    """A sender in UTF-8, of sendmail's, to a recipient in ASCII."""
    del lines[:]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)
        host.control("smtproutes",
                     f"{THEIRS}:[127.0.0.1]:{listener.getsockname()[1]}\n")
        host.restart("queue-runner", "remote")
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        run = host.run("sendmail", "-f", "\u00e4@client.test", f"x@{THEIRS}",
                       input=b"Subject: x\n\nx\n")
        tap.same(run.returncode, 0, "sendmail takes a sender in UTF-8")
        tap.ok(wait_for(lambda: b".\r\n" in lines, 20), "it goes out",
               host.log("queue-runner"))
        tap.ok(any(re.match(rb"MAIL FROM:.*SMTPUTF8", line) for line in lines),
               "with the word that the server needs for it", lines)
        tap.ok(host.wait_empty(), "nothing is left", host.queued())


def why():
    run = host.run("smtp-why", "--ip", "192.0.2.1", "--from", "a@client.test",
                   "--to", "ann@bücher.test")
    tap.ok(run.returncode == 0 and run.stdout.endswith(b"accept\n"),
           "smtp-why says so", run)
    run = host.run("smtp-why", "--ip", "192.0.2.1", "--to", "x@אa.test")
    tap.ok(run.returncode == 1 and b"by idn" in run.stdout,
           "and why what is no name is refused", run)


with Instance() as host:
    for name in ("locals", "rcpthosts"):
        path = os.path.join(host.home, "control", name)
        with open(path) as file:
            text = file.read()
        host.control(name, text + OURS + "\n")
    run = host.run("user-add", f"ann@{OURS}", input=b"secret\n")
    assert run.returncode == 0, run.stderr
    host.restart("resolve", "queue-runner")
    for case in (local, remote, sender, why):
        tap.case(case)
tap.done()
