#!/usr/bin/env python3
"""What stands in .qmail files, on a whole installation: lists and their owners,
reverse-paths for each recipient and for other hosts, mbox files."""

import os
import re
import socketserver
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance

tap = Tap()

CONTENT = b"From: Ann <ann@client.test>\r\nSubject: x\r\n\r\nFrom here\r\n"


class Talk(socketserver.StreamRequestHandler):
    """A server that takes everything but bad*, and notes the paths."""

    def handle(self):
        try:
            self.talk()
        except ConnectionError:
            pass

    def talk(self):
        self.wfile.write(b"220 far.test ready\r\n")
        sender = None
        for line in self.rfile:
            line = line.rstrip(b"\r\n").decode()
            answer = b"250 ok\r\n"
            if line.startswith("MAIL"):
                sender = re.search("<(.*?)>", line).group(1)
            elif line.startswith("RCPT"):
                to = re.search("<(.*?)>", line).group(1)
                if to.startswith("bad"):
                    answer = b"550 5.1.1 nobody\r\n"
                self.server.seen.append((sender, to))
            elif line == "DATA":
                self.wfile.write(b"354 go on\r\n")
                while self.rfile.readline() not in (b".\r\n", b""):
                    pass
            elif line == "QUIT":
                answer = b"221 bye\r\n"
            self.wfile.write(answer)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Talk)
        self.seen = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def take(self, number):
        """The next so many pairs of reverse-path and recipient."""
        wait_for(lambda: len(self.seen) >= number)
        seen, self.seen = sorted(self.seen), []
        return seen


def home_of(host):
    return os.path.dirname(host.maildir.rstrip("/"))


def write(host, name, text, mode=0o600):
    path = os.path.join(home_of(host), name)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)
    host.give(path)


def clean(host):
    host.wait_empty()
    for path in host.delivered():
        os.unlink(path)


def send(host, *recipients, sender="ann@client.test"):
    client = host.smtp()
    try:
        client.ehlo()
        client.mail(sender)
        for recipient in recipients:
            code, _ = client.rcpt(recipient)
            if code != 250:
                return code
        return client.data(CONTENT)[0]
    finally:
        client.close()


def inject(host, sender, *recipients):
    """Hands a message to queue-submit."""
    read, write_end = os.pipe()
    envelope = b"F" + sender.encode() + b"\0"
    for recipient in recipients:
        envelope += b"T" + recipient.encode() + b"\0"
    os.write(write_end, envelope + b"\0")
    os.close(write_end)
    try:
        return host.run("queue-submit", input=CONTENT.replace(b"\r", b""),
                        stdout=read).returncode
    finally:
        os.close(read)


def verp(host):
    local, domain = host.address.split("@")
    write(host, ".qmail-list-owner-default", "./Maildir/\n")
    sender = f"{local}-list-owner-@{domain}-@[]"
    tap.same(inject(host, sender, "a@far.test", "b@far.test", host.address,
                    "bad@far.test"), 0,
             "a reverse-path to be expanded is taken")
    tap.same(host.far.take(3),
             [(f"{local}-list-owner-{to}=far.test@{domain}", f"{to}@far.test")
              for to in ("a", "b", "bad")], "…and is, for each recipient")
    texts = host.wait_delivered(2)
    tap.ok(any(text.startswith(f"Return-Path: <{local}-list-owner-{local}="
                               f"{domain}@{domain}>\n".encode())
               for text in texts), "…those of this host too", texts)
    tap.ok(any(f"Delivered-To: {local}-list-owner-@{domain}\n".encode() in text
               and b"bad@far.test" in text for text in texts),
           "a report goes to what it was made from", texts)
    clean(host)
    for bad in ("list-@[]", "a b@c-@[]", "-@[]"):
        tap.same(inject(host, bad, "a@far.test"), 11, f"{bad} is refused")


def owner(host):
    local, domain = host.address.split("@")
    write(host, ".qmail-team", "&a@far.test\n&a@FAR.test\n&b@far.test\n"
          "|echo $SENDER $NEWSENDER > seen\n")
    tap.same(send(host, f"{local}-team@{domain}"), 250, "a team has mail")
    tap.same(host.far.take(2), [("ann@client.test", "a@far.test"),
                                ("ann@client.test", "b@far.test")],
             "…which each member gets once, from its sender")
    write(host, ".qmail-team-owner", "./Maildir/\n")
    send(host, f"{local}-team@{domain}")
    tap.same(host.far.take(2), [(f"{local}-team-owner@{domain}", f"{to}@far.test")
                                for to in "ab"], "…or with -owner from that")
    seen = os.path.join(home_of(host), "seen")

    def said():
        with open(seen) as file:
            return file.read()
    tap.same(said(), f"ann@client.test {local}-team-owner@{domain}\n",
             "…as commands are told")
    write(host, ".qmail-team-owner-default", "./Maildir/\n")
    send(host, f"{local}-team@{domain}")
    tap.same(host.far.take(2),
             [(f"{local}-team-owner-{to}=far.test@{domain}", f"{to}@far.test")
              for to in "ab"], "…or with -owner-default from one for each")
    clean(host)


def rewritten(host):
    local, domain = host.address.split("@")
    write(host, ".qmail-away", "&a@far.test\n")
    write(host, ".qmail-broken", "&bad@far.test\n")
    folder = os.path.join(host.home, "secrets")
    os.makedirs(folder, 0o700, exist_ok=True)
    host.give(folder)
    key = os.path.join(folder, "srs")
    with open(key, "w") as file:
        file.write("a-key-for-this-test\n")
    os.chmod(key, 0o600)
    host.give(key)
    host.control("srsdomain", domain + "\n")
    host.restart("warden")

    tap.same(send(host, f"{local}-away@{domain}"), 250, "mail is forwarded")
    [(sender, _)] = host.far.take(1)
    tap.ok(re.fullmatch("SRS0=[a-z2-7]{8}=[a-z2-7]{2}=client.test=ann@"
                        + re.escape(domain), sender),
           "…with a rewritten reverse-path", sender)
    tap.same(send(host, sender, sender=""), 250, "which takes reports")
    tap.same(send(host, sender.upper().replace(domain.upper(), domain),
                  sender=""), 250, "…whatever becomes of its case")
    tap.same(host.far.take(2), [("", "ANN@client.test"),
                                ("", "ann@client.test")], "…and arrive")
    forged = sender.replace("=ann@", "=bob@")
    tap.same(send(host, forged, sender=""), 550,
             "one for another sender is refused")
    tap.same(send(host, f"{local}-away@{domain}", sender=host.address), 250,
             "mail of our own is forwarded")
    tap.same(host.far.take(1), [(host.address, "a@far.test")],
             "…with the reverse-path that it has")
    tap.same(send(host, f"{local}-broken@{domain}", sender=host.address), 250,
             "mail is forwarded to nobody")
    [report] = host.wait_delivered(1)
    tap.ok(b"bad@far.test" in report, "…which is reported", report)
    host.far.take(1)
    for command in (("domain-add", "v.test"), ("user-add", "ann@v.test"),
                    ("alias-add", "near@v.test", "ann@v.test"),
                    ("alias-add", "both@v.test", "ann@v.test", "a@far.test")):
        tap.same(host.run(*command, input=b"p\n").returncode, 0, command[-2])
    kept = os.path.join(host.home, "mail", "v.test", "ann", "Maildir")
    tap.same(send(host, "near@v.test"), 250, "mail of an alias")
    [text] = host.wait_delivered(1, maildir=kept)
    tap.ok(text.startswith(b"Return-Path: <ann@client.test>\n"),
           "…that stays in the user database keeps its reverse-path", text)
    tap.same(send(host, "both@v.test"), 250, "mail of another")
    [(sender, _)] = host.far.take(1)
    tap.ok(sender.startswith("SRS0="), "…that leaves does not", sender)
    clean(host)


def mbox(host):
    local, domain = host.address.split("@")
    write(host, ".qmail-box", "./box\n")
    for _ in range(2):
        send(host, f"{local}-box@{domain}")
    host.wait_empty()
    with open(os.path.join(home_of(host), "box"), "rb") as file:
        text = file.read()
    tap.same(text.count(b"\nFrom ann@client.test "), 1,
             "an mbox has the second message after the first")
    tap.same(text.count(b"\n>From here\n\n"), 2, "…each quoted")
    write(host, ".qmail-x", "./box\n", 0o700)
    send(host, f"{local}-x@{domain}")
    tap.ok(wait_for(lambda: "execute" in host.log("queue-runner")),
           "an executable file allows forwards alone", host.log("queue-runner"))


with Instance() as host, Server() as far:
    host.far = far
    host.control("smtproutes", f"far.test:127.0.0.1:{far.server_address[1]}\n"
                 f"client.test:127.0.0.1:{far.server_address[1]}\n")
    host.restart("queue-runner")
    for case in (verp, owner, rewritten, mbox):
        tap.case(case, host)
    if tap.failed:
        tap.note(host.logs())
tap.done()
