#!/usr/bin/env python3
"""Each program of tools/install.table that is called wrongly says so, does nothing, and
ends as it should; keepmail runs every tool, and each has a manual."""

import os
import re
import subprocess
import sys

os.chdir(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join("tests", "lib"))
from tap import Tap

tap = Tap()
BUILD = os.environ.get("BUILD", "build")
# Run by tcpserver or a supervisor, by other programs, or from a .qmail: not by hand.
NOT_BY_HAND = {
    "smtpd", "pop3d", "pop3d-session", "queue-inject", "queue-filter", "queue-runner",
    "remote", "local", "lookup", "resolve", "warden", "authd", "tls-client", "countd",
    "tlsd", "queue-request", "tcp-env", "forward", "condredirect", "bouncesaying",
    "except", "preline", "qreceipt", "vacation", "lmtp-deliver"}
# Scripts that grew around qmail call these, by way of /var/qmail/bin.
QMAIL_NAMES = {
    "qmail-inject", "qmail-names", "qmail-qread", "qmail-newmrh", "qmail-pw2u",
    "qmail-getpw", "qmail-qstat", "qmail-tcpto", "qmail-tcpok", "qmail-showctl",
    "qmail-newu", "predate", "datemail", "mailsubj"}
# Any word is a local part for it.
NO_OPTIONS = {"qmail-getpw"}
# These two take no arguments and look at none.
NO_ARGUMENTS = {"smtpd", "pop3d"}
# Their statuses are those of sysexits.h, as callers of a sendmail expect them.
SYSEXITS = {"datemail", "sendmail", "mailq", "newaliases", "mail-send"}
# In a .qmail 100 returns the mail to its sender, and a mistake should not.
DEFERS = {"except", "vacation", "lmtp-deliver"}


def table():
    """(name, source) of what is installed to be run, and the names of the pages."""
    programs, pages = {}, set()
    with open("tools/install.table", encoding="utf-8") as file:
        for line in file:
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            page = re.match(r"share/man/man\d/(.*)\.\d$", words[0])
            if page:
                pages.add(page.group(1))
            elif re.match(r"(libexec|s?bin)/[^/]+$", words[0]):
                programs[words[0].split("/")[1]] = words[4]
    return programs, pages


def path_of(name):
    if name in ("mailq", "newaliases"):
        name = "sendmail"
    for folder in (BUILD, "tools"):
        if os.access(os.path.join(folder, name), os.X_OK):
            return os.path.join(folder, name)
    raise FileNotFoundError(name)


def run(path, *argv, name=None):
    return subprocess.run([name or path, *argv], executable=path, stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=20, check=False,
                          env={"PATH": os.environ["PATH"], "SENDER": "a@b.test",
                               "KEEPMAIL": "/nonexistent",
                               "KEEPMAIL_PROGRAMS": BUILD})


programs, pages = table()
for name in sorted(set(programs) - NO_ARGUMENTS - NO_OPTIONS):
    got = run(path_of(name), "--no-such-option", name=name)
    status = 64 if name in SYSEXITS \
        else 111 if name in DEFERS else 100
    tap.ok(got.returncode == status and got.stderr + got.stdout
           and (not got.stdout or name == "bouncesaying"),
           f"{name} --no-such-option ends with {status}, and with words", got)
for name in sorted(programs):
    tap.ok(name in pages, f"{name} has a manual page")
listed = run("tools/keepmail", "help").stdout.decode().split("\n")
by_hand = sorted(name for name, source in programs.items()
                 if name not in NOT_BY_HAND | QMAIL_NAMES
                 and name not in ("sendmail", "mailq", "newaliases", "keepmail"))
tap.same(sorted(set(line.strip() for line in listed if line.startswith("  "))),
         by_hand, "keepmail lists every tool that is called by hand")
got = run("tools/keepmail", "help", "queue-list")
tap.ok(got.returncode == 0 and b"queue-list" in got.stdout
       and b"--json" in got.stdout, "keepmail help queue-list tells of it", got)
got = run("tools/keepmail", "no-such-tool")
tap.ok(got.returncode == 100 and b"no-such-tool" in got.stderr, "and no other", got)
got = run("tools/keepmail", "a\x1b[2J\nb")
tap.ok(got.returncode == 100 and re.fullmatch(rb"[ -~]+\n", got.stderr),
       "what it was called with commands no terminal", got)
tap.done()
