#!/usr/bin/env python3
"""The programs of doc/examples do on an installation what they say."""

import glob
import os
import poplib
import signal
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance, TOP

tap = Tap()
EXAMPLES = os.path.join(TOP, "doc", "examples")


def send(host, recipient, content, sender="ann@client.test"):
    client = host.smtp()
    try:
        client.ehlo()
        client.mail(sender)
        code, _ = client.rcpt(recipient)
        return code if code != 250 else client.data(content)[0]
    finally:
        client.close()


# --- tickets --------------------------------------------------------------------

def message(ident, subject="x", more="", body="help\r\n"):
    return (f"From: ann@client.test\r\nSubject: {subject}\r\n"
            + (f"Message-ID: {ident}\r\n" if ident else "")
            + f"{more}\r\n{body}").encode()


class Tickets:
    """The ticket system of the account's address -ticket."""

    def __init__(self, host):
        self.host = host
        self.home = os.path.dirname(host.maildir)
        self.folder = os.path.join(self.home, "tickets")
        os.mkdir(self.folder, 0o700)
        host.give(self.folder)
        path = os.path.join(self.home, ".qmail-ticket")
        with open(path, "w") as file:
            # what it may read, wherever the sources lie
            file.write("|python3 ./ticket tickets\n")
        host.give(path)
        program = os.path.join(self.home, "ticket")
        with open(os.path.join(EXAMPLES, "ticket")) as source, \
                open(program, "w") as file:
            file.write(source.read())
        os.chmod(program, 0o700)
        host.give(program)
        self.address = host.address.replace("@", "-ticket@")

    def send(self, content, **more):
        code = send(self.host, self.address, content, **more)
        self.host.wait_empty()
        return code

    def found(self):
        return sorted(glob.glob(os.path.join(self.folder, "*", "*.eml")))

    def count(self):
        """How many messages each ticket has."""
        return sorted(len(glob.glob(os.path.join(ticket, "*.eml")))
                      for ticket in glob.glob(os.path.join(self.folder, "*")))


def tickets(host):
    desk = Tickets(host)
    desk.send(message("<1@client.test>", "=?utf-8?q?Dr=C3=BCcker?= broken"))
    tap.same(desk.count(), [1], "a message makes a ticket")
    [path] = desk.found()
    with open(path, "rb") as file:
        tap.same(file.read().count(b"help"), 1, "…which holds it")
    with open(os.path.join(os.path.dirname(path), "subject"), "rb") as file:
        tap.same(file.read().decode(), "Dr\u00fccker broken",
                 "…and its subject")
    desk.send(message("<1@client.test>", "again"))
    tap.same(desk.count(), [1], "the same message again is the same file")
    desk.send(message("<1@client.test>", body="other\r\n"))
    tap.same(desk.count(), [2], "another one with its Message-ID is not lost")
    desk.send(message("<2@client.test>", "Re: x",
                      "In-Reply-To: <1@client.test>\r\n"))
    tap.same(desk.count(), [3], "an answer comes to the ticket")
    desk.send(message(None, "a" * 900 + "=?what?q?=FF?="))
    desk.send(message("<../../../x@client.test>"))
    tap.same(desk.count(), [1, 1, 3], "without a Message-ID, or with one of "
             "slashes: a ticket each")
    desk.send(message("<3@client.test>"), sender="")
    desk.send(message("<4@client.test>",
                      more="Auto-Submitted: auto-replied\r\n"))
    tap.same(desk.count(), [1, 1, 3], "what machines send makes none")
    before = len(host.delivered())
    desk.send(b"Subject: x\r\n\r\nx\r\n", sender=host.address)
    reports = host.wait_delivered(before + 1)
    tap.ok(any(b"whom to answer" in text for text in reports),
           "who cannot be answered gets the message back", reports)
    os.rename(desk.folder, desk.folder + "-away")
    send(host, desk.address, message("<5@client.test>"))
    tap.ok(wait_for(lambda: "cannot_store_the_message_now" in
                    host.log("queue-runner")),
           "what cannot be stored waits", host.log("queue-runner"))


# --- addresses of a database ----------------------------------------------------

def can_log_in(host, name):
    """Whether somebody with the one password can; how many messages he has."""
    connection = poplib.POP3(host.pop3_host, int(host.pop3_port), timeout=30)
    try:
        connection.user(name)
        connection.pass_("sesame")
        return connection.stat()[0]
    except poplib.error_proto as error:
        return error.args[0][:11]
    finally:
        connection.close()


def logins(host, domain):
    """Who is in that database alone logs in by a program's password."""
    tap.same(can_log_in(host, f"sue@{domain}"), b"-ERR [AUTH]",
             "without a program that knows a password: no login")
    path = host.control("checkpassword", os.path.join(
        host.home, "control", "checker") + "\n")
    with open(os.path.join(os.path.dirname(path), "checker"), "w") as file:
        file.write("#!/bin/sh\ncase $(tr '\\0' ' ' <&3) in\n"
                   "*' sesame '*) exec \"$@\" ;;\nesac\nexit 1\n")
    os.chmod(file.name, 0o755)
    host.give(file.name)
    host.run("user-add", f"closed@{domain}", input=b"x\n")
    host.run("user-set", "--login", "no", f"closed@{domain}")
    host.restart("authd")
    tap.same(can_log_in(host, f"sue@{domain}"), 2,
             "with one: by POP3, to the mail that came")
    for name in ("both", "nobody", "closed"):
        tap.same(can_log_in(host, f"{name}@{domain}"), b"-ERR [AUTH]",
                 f"…but not {name}, who has no mailbox to log in to")
    os.unlink(path)
    host.restart("authd")


def lookup(host):
    base = os.path.join(host.folder, "people.sqlite")
    path = os.path.join(host.folder, "lookup.socket")
    program = [sys.executable, os.path.join(EXAMPLES, "lookup"), path, base]
    rows = sqlite3.connect(base, isolation_level=None)
    rows.executescript("""
        CREATE TABLE mailbox (address TEXT PRIMARY KEY, home TEXT,
                              quota INTEGER);
        CREATE TABLE alias (address TEXT, target TEXT);""")
    domain = host.address.split("@")[1]
    rows.execute("INSERT INTO mailbox VALUES (?, NULL, 1000000)",
                 (f"sue@{domain}",))
    rows.executemany("INSERT INTO alias VALUES (?, ?)",
                     [(f"both@{domain}", f"sue@{domain}"),
                      (f"both@{domain}", host.address)])
    server = subprocess.Popen(program)
    try:
        wait_for(lambda: os.path.exists(path))
        host.control("lookupsocket", path + "\n")
        host.restart("resolve")
        here = len(host.delivered())
        maildir = os.path.join(host.home, "mail", domain, "sue", "Maildir")
        tap.same(send(host, f"sue@{domain}", message("<6@client.test>")), 250,
                 "who stands in the database has mail")
        tap.same(len(host.wait_delivered(1, maildir=maildir)), 1,
                 "…which comes into a Maildir")
        tap.same(send(host, f"both@{domain}", message("<7@client.test>")), 250,
                 "an alias of the database has mail")
        tap.same((len(host.wait_delivered(2, maildir=maildir)),
                  len(host.wait_delivered(here + 1))), (2, here + 1),
                 "…which comes to all of its targets")
        logins(host, domain)
        tap.same(send(host, f"o'bob@{domain}", b""), 550, "who does not has none")
        rows.execute("INSERT INTO mailbox VALUES (?, NULL, NULL)",
                     (f"o'bob@{domain}",))
        tap.same(send(host, f"o'bob@{domain}", message("<8@client.test>")),
                 250, "…until he is added")
        tap.same(subprocess.run(program, stderr=subprocess.DEVNULL).returncode,
                 1, "a second program leaves the first one's socket alone")
        rows.execute("DROP TABLE mailbox")
        tap.same(send(host, f"sue@{domain}", b""), 451,
                 "a broken database is no reason to refuse mail")
        server.send_signal(signal.SIGKILL)
        server.wait()
        server = subprocess.Popen(program)
        rows.execute("CREATE TABLE mailbox (address, home, quota)")
        tap.ok(wait_for(lambda: send(host, f"sue@{domain}", b"") == 550),
               "a new one takes the place of one that was killed", host.logs())
    finally:
        rows.close()
        server.terminate()
        server.wait()
    tap.ok(not os.path.exists(path), "which it clears when it ends")


with Instance() as host:
    for case in (tickets, lookup):
        tap.case(case, host)
tap.done()
