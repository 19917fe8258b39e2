#!/usr/bin/env python3
"""The commands as users and programs call them: what they take, what they say,
and how they end."""

import glob
import os
import re
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import BUILD, TOP, Instance

tap = Tap()


ended = tap.ended


def arrived(host, number=1):
    """What has come since, one message if all is well, and is taken away."""
    texts = host.wait_delivered(number)
    if not host.wait_empty() or len(host.delivered()) != number:
        tap.ok(False, f"{number} came", f"{host.delivered()}\n{host.logs()}")
    for path in host.delivered():
        os.unlink(path)
    return texts[0] if texts else b""


def nothing_came(host, name):
    tap.ok(host.wait_empty() and not host.delivered(), name,
           host.queued() + host.delivered())


# --- queue-submit --------------------------------------------------------------

MESSAGE = b"Subject: submitted\n\nbody\n"


def envelope(sender, *recipients):
    return b"F" + sender.encode() + b"\0" + b"".join(
        b"T" + recipient.encode() + b"\0" for recipient in recipients) + b"\0"


def submit(host, message, octets, **more):
    """Calls queue-submit: what is bytes comes from a file, the rest is a path."""
    opened = []
    for what in (message, octets):
        if isinstance(what, bytes):
            file = tempfile.TemporaryFile()
            file.write(what)
            file.seek(0)
            opened.append(file.fileno())
            opened.append(file)
        else:
            opened += [os.open(what, os.O_RDONLY), None]
    try:
        return host.run("queue-submit", stdin=opened[0], stdout=opened[2],
                        **more)
    finally:
        for fd, file in (opened[:2], opened[2:]):
            file.close() if file else os.close(fd)


def without(host, redirection, *command):
    """Runs a command with descriptors closed."""
    program = os.path.join(BUILD, command[0])
    arguments = host.as_owner()
    with tempfile.TemporaryFile() as file:
        file.write(MESSAGE)
        file.seek(0)
        return subprocess.run(["sh", "-c", f'exec "$0" "$@" {redirection}',
                               program, *command[1:]], stdin=file, cwd="/",
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=30, **arguments)


def queue_submit(host):
    to = host.address
    ended(submit(host, MESSAGE, envelope("ann@client.test", to)), 0, "",
          "queue-submit takes a message")
    text = arrived(host)
    tap.ok(text.endswith(MESSAGE), "it arrives as it was", text)
    tap.ok(text.startswith(b"Return-Path: <ann@client.test>\n"),
           "with its sender", text)
    tap.ok(f"\nDelivered-To: {to}\n".encode() in b"\n" + text,
           "and its recipient", text)
    ended(submit(host, b"", envelope("", to.split("@")[0])), 0, "",
          "an empty message, a null sender and a recipient without a domain")
    text = arrived(host)
    tap.ok(text.startswith(b"Return-Path: <>\n"), "arrive", text)
    ended(submit(host, b"CR \r, \x01, \xff, no end", envelope("a@b.test", to)),
          0, "", "a message with odd octets")
    tap.ok(arrived(host).endswith(b"CR \n, \x01, \xff, no end\n"), "arrives")
    for name, octets in (("at its beginning", b"\0x\n"),
                         ("in its middle", b"Subject: x\n\na\0b\n"),
                         ("as its last octet", b"Subject: x\n\nx\n\0")):
        ended(submit(host, octets, envelope("a@b.test", to)), 31, "NUL",
              f"a NUL octet {name} is refused, as by SMTP")
    ended(host.run("sendmail", "-f", "a@b.test", to, input=b"a\0b\n"), 65,
          "NUL", "sendmail refuses it, too")
    nothing_came(host, "and nothing is kept of that")
    ended(submit(host, MESSAGE, envelope("a@b.test")), 0, "",
          "no recipient is nothing to do")
    nothing_came(host, "and nothing is kept")


def bad_envelopes(host):
    to = host.address
    long_local = "x" * 1100 + "@" + to.split("@")[1]
    for octets, name in (
            (b"", "is empty"), (b"\0", "has no sender"),
            (b"F\0", "has no end"), (b"Fa@b.test", "ends in the sender"),
            (b"Fa@b.test\0T" + to.encode() + b"\0", "ends after a recipient"),
            (b"Fa@b.test\0T" + to.encode(), "ends in a recipient"),
            (b"T" + to.encode() + b"\0\0", "begins with a recipient"),
            (b"Fa@b.test\0Fc@d.test\0\0", "has two senders"),
            (b"Fa@b.test\0X" + to.encode() + b"\0\0", "has an odd letter"),
            (envelope("a@b.test", to) + b"\0", "goes on after its end"),
            (envelope("a@b.test", to) + envelope("c@d.test", to), "is two"),
            (b"fa@b.test\0t" + to.encode() + b"\0\0", "is in small letters")):
        ended(submit(host, MESSAGE, octets), 91, "descriptor 1",
              "an envelope that " + name)
    for octets, said, name in (
            (envelope("a@b.test", long_local), "recipient", "long recipient"),
            (envelope(long_local, to), "sender", "long sender"),
            (envelope("a@b.test", to, long_local), "recipient",
             "long second recipient"),
            (envelope("a@b.test", ""), "recipient", "empty recipient"),
            (envelope("a@b.test", "a@b@c d"), "recipient", "bad recipient"),
            (envelope("a@b.test", "a\n@b.test"), "recipient",
             "recipient with an LF"),
            (envelope("a b@", to), "sender", "bad sender"),
            (b"F" + b"x" * 9_000_000, "too long", "9 MB of sender")):
        ended(submit(host, MESSAGE, octets), 11, said, name)
    nothing_came(host, "nothing of it was queued")


def bad_descriptors(host):
    for redirection, said in (
            ("<&-", "descriptor 0: Bad file"), (">&-", "descriptor 1: Bad file"),
            ("<&- >&-", "descriptor 0: Bad file"),
            ("</", "descriptor 0: Is a directory"),
            ("1</", "descriptor 1: Is a directory"), (">&- 2>&-", "")):
        ended(without(host, redirection, "queue-submit"), 54, said,
              f"queue-submit {redirection}")
    nothing_came(host, "nothing was queued")
    with tempfile.NamedTemporaryFile() as file:
        file.write(envelope("a@b.test", host.address))
        file.flush()
        os.chmod(file.name, 0o644)
        ended(without(host, f"1<{file.name} 2>&-", "queue-submit"), 0, "",
              "queue-submit without 2")
    tap.ok(arrived(host).endswith(MESSAGE), "takes a message")


def queue_away(host):
    good = envelope("a@b.test", host.address)
    path = os.path.join(host.home, "socket/submit")
    os.rename(path, path + ".away")
    try:
        ended(submit(host, MESSAGE, good), 56,
              "queue-inject cannot be reached: No such file",
              "queue-submit without the socket")
        ended(host.run("sendmail", host.address, input=MESSAGE), 75,
              "queue-inject cannot be reached: No such file",
              "sendmail without the socket")
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.bind(path)
            host.give(path)
            ended(submit(host, MESSAGE, good), 56, "Connection refused",
                  "queue-submit with a socket that nobody listens on")
            ended(host.run("sendmail", host.address, input=MESSAGE), 75,
                  "Connection refused", "sendmail with such a socket")
    finally:
        os.rename(path + ".away", path)
    me = os.path.join(host.home, "control/me")
    with open(me) as file:
        text = file.read()
    for wrong in ("no host name at all\n", "\n", "a" * 300 + "\n", None):
        host.control("me", wrong) if wrong else os.unlink(me)
        what = repr(wrong[:20]) if wrong else "no control/me"
        ended(submit(host, MESSAGE, good), 55, "me", f"queue-submit: {what}")
        ended(host.run("sendmail", host.address, input=MESSAGE), 75, "me",
              f"sendmail: {what}")
    host.control("me", text)
    for home in ("/nonexistent", "relative", os.path.join(host.home, "control",
                                                          "me")):
        ended(submit(host, MESSAGE, good, env={"KEEPMAIL": home}), 55,
              "KEEPMAIL|" + re.escape(home), f"queue-submit with KEEPMAIL={home}")
    nothing_came(host, "nothing was queued")


# --- sendmail ------------------------------------------------------------------

def sent(host, name, text, *options, **more):
    """Calls sendmail and gives what arrives."""
    ended(host.run("sendmail", *options, input=text, **more), 0, "",
          f"sendmail {name}")
    return arrived(host)


def sendmail_takes(host):
    to = host.address.encode()
    hidden = "hidden@" + host.address.split("@")[1]
    ended(host.run("user-add", hidden, input=b"p\n"), 0, "", "user-add")
    text = sent(host, "-t with Bcc", b"To: somebody <" + to + b">\nBcc:\n "
                + hidden.encode() + b"\nSubject: x\n\nbody\n", "-t")
    tap.ok(b"bcc" not in text.lower() and b"hidden" not in text,
           "Bcc is removed, folded lines and all", text)
    maildir = host.maildir.rstrip("/").rsplit("/", 2)[0] + "/hidden/Maildir"
    texts = host.wait_delivered(1, maildir=maildir)
    tap.ok(len(texts) == 1 and b"bcc" not in texts[0].lower()
           and b"\nTo: somebody <" + to in texts[0], "and it is served", texts)
    for field in (rb"\nFrom: \S+@\S+\n", rb"\nMessage-ID: <[^<>@ ]+@[^<>@ ]+>\n",
                  rb"\nDate: \w\w\w, [ \d]\d? \w\w\w \d{4} \d\d:\d\d:\d\d "
                  rb"[+-]\d{4}\n"):
        tap.same(len(re.findall(field, text)), 1,
                 f"{field[2:6].decode()}… is added once")
    whole = b"From: a@b.test\nDate: Thu, 1 Jan 2026 00:00:00 +0000\n" \
        b"Message-ID: <1@b.test>\nTo: " + to + b"\nSubject: x\n\nbody\n"
    tap.ok(sent(host, "with all fields", whole, "-t").endswith(b"\n" + whole),
           "nothing is added to what is complete")
    text = sent(host, "without a header", b"\njust text\n", host.address)
    tap.ok(text.endswith(b"\n\njust text\n"), "the body is kept", text)
    text = sent(host, "with nothing", b"", host.address)
    tap.ok(b"\nMessage-ID: " in text, "an empty message gets a header", text)
    ended(host.run("sendmail", f"{host.address}, Some One <{host.address}>",
                   input=whole), 0, "", "sendmail with two in one argument")
    arrived(host, 2)
    text = sent(host, "to a name without a domain", whole, "--",
                host.address.split("@")[0])
    tap.ok(b"Delivered-To: " + to + b"\n" in text, "has ours", text)
    both = sent(host, "-t and an argument", b"Subject: x\n\n", "-t",
                host.address)
    tap.ok(b"Subject: x\n" in both, "goes to the argument")
    resent = sent(host, "-t and Resent-To", b"Resent-To: " + to +
                  b"\nTo: other@elsewhere.invalid\nSubject: x\n\nx\n", "-t")
    tap.ok(b"\nResent-From: " in resent and b"\nTo: other" in resent,
           "a message that is resent goes to the Resent- fields", resent)


def sendmail_dots(host):
    text = b"Subject: x\n\none\n.\ntwo\n"
    for options, end in ((("-i",), b"one\n.\ntwo\n"), ((), b"\n\none\n"),
                         (("-oi",), b"one\n.\ntwo\n"),
                         (("-O", "IgnoreDots"), b"one\n.\ntwo\n"),
                         (("-ti",), b"one\n.\ntwo\n"),
                         (("-oem", "-i", "-om"), b"one\n.\ntwo\n")):
        got = sent(host, " ".join(options) + " and a dot alone", text, *options,
                   host.address)
        tap.ok(got.endswith(end), f"comes as {end!r}", got)
    got = sent(host, "and dots that are no end", b"Subject: x\n\n..\n. \n.x\n",
               host.address)
    tap.ok(got.endswith(b"\n\n..\n. \n.x\n"), "keeps them", got)
    got = sent(host, "and a dot in CRLF", b"Subject: x\r\n\r\none\r\n.\r\ntwo",
               host.address)
    tap.ok(got.endswith(b"\n\none\n"), "ends there", got)


def sendmail_sender(host):
    text = b"Subject: x\n\nbody\n"
    me = host.address.split("@")[1].encode()
    for options, path, author in (
            (("-f", "ann@client.test"), b"ann@client.test", b"ann@client.test"),
            (("-fann@client.test",), b"ann@client.test", b"ann@client.test"),
            (("-f", "<ann@client.test>"), b"ann@client.test",
             b"ann@client.test"),
            (("-r", "ann@client.test"), b"ann@client.test", b"ann@client.test"),
            (("-f", "ann"), b"ann@", b"ann@"),
            (("-f", ""), b"", b"MAILER-DAEMON@"),
            (("-f", "<>"), b"", b"MAILER-DAEMON@"),
            (("-f<>",), b"", b"MAILER-DAEMON@"),
            (("-f", "a@b.test", "-F", "Ann Example"), b"a@b.test",
             b"Ann Example <a@b.test>"),
            (("-f", "a@b.test", "-F", 'A "q" \\ (x), y'), b"a@b.test",
             b'"A \\"q\\" \\\\ (x), y" <a@b.test>'),
            (("-f", "a@b.test", "-F", ""), b"a@b.test", b"a@b.test"),
            (("-f", "a@b.test", "-FJos\u00e9"), b"a@b.test",
             b"=?utf-8?")):
        got = sent(host, " ".join(map(repr, options)), text, *options,
                   host.address)
        tap.ok(got.startswith(b"Return-Path: <" + path), "has its sender", got)
        found = re.search(rb"\nFrom: (.*)\n", got)
        tap.ok(found and found.group(1).lower().startswith(author.lower()),
               "and its From field", got)
    got = sent(host, "and $QMAILUSER", text, host.address,
               env=dict(host.as_owner()["env"], QMAILUSER="quinn", USER="u"))
    tap.ok(got.startswith(b"Return-Path: <quinn@" + me), "has it as sender", got)


def sendmail_refuses(host):
    to = host.address
    text = b"To: " + to.encode() + b"\n\nbody\n"
    for options, content, status, said, name in (
            (("-Z", to), text, 64, "usage: ", "an unknown option"),
            (("--help",), text, 64, "usage: ", "a long option"),
            (("-f",), text, 64, "usage: ", "-f without a value"),
            (("-bd",), text, 64, "svscan", "-bd"),
            (("-bt",), text, 64, "no such mode", "-bt"),
            (("-q-x",), text, 64, "-q is alone", "-q with an option"),
            (("-qI--all",), text, 64, "-q is alone", "-q with --all as id"),
            (("-b\x1b[2J",), text, 64, r"-b\?\[2J", "-b with an escape"),
            (("-bx",), text, 64, "no such mode", "-bx"),
            (("-f", "a\nb@c.test", to), text, 64, "-f", "-f with an LF"),
            (("-F", "a\nBcc: b@c.test", to), text, 64, "-F", "-F with an LF"),
            (("-F", "x" * 1000, to), text, 64, "-F", "-F that is long"),
            (("-f", "a b c@", to), text, 64, "sender", "-f with nonsense"),
            (("-f", "<a@b.test", to), text, 64, "sender", "-f with half a path"),
            (("-f", "x" * 2000, to), text, 64, "sender", "-f that is long"),
            (("-N", "often", to), text, 64, "-N", "-N with nonsense"),
            (("-N", "never,delay", to), text, 64, "-N", "-N never and more"),
            (("-R", "half", to), text, 64, "-R", "-R with nonsense"),
            (("-V", "x" * 1000, to), text, 64, "-V", "-V that is long"),
            ((), text, 64, "no recipient", "no recipient"),
            (("-t",), b"Subject: x\n\nTo: a@b.test\n", 64, "no recipient",
             "-t without a recipient"),
            (("-t",), b"To: undisclosed-recipients:;\n\n", 64, "no recipient",
             "-t with an empty group"),
            (("-t",), b"To: " + to.encode() + b"\nCc: a b c@@\n\n", 65, "Cc",
             "-t with a bad Cc"),
            (("a@b@c",), text, 65, "a@b@c", "a bad recipient"),
            (("<>",), text, 65, "recipient", "the null path as recipient"),
            (("",), text, 64, "recipient", "an empty recipient"),
            (("x" * 2000 + "@b.test",), text, 65, "recipient",
             "a recipient that is long"),
            ((to, "a@b.test\nBcc: c@d.test"), text, 64, "recipient",
             "a recipient with an LF"),
            ((to,), b"X: " + b"y" * 9_000_000, 65, "header",
             "a header without an end")):
        ended(host.run("sendmail", *options, input=content), status, said,
              f"sendmail with {name}")
    ended(without(host, "<&-", "sendmail", to), 74, "standard input",
          "sendmail without input")
    ended(without(host, "</", "sendmail", to), 74, "standard input",
          "sendmail with a folder as input")
    nothing_came(host, "nothing was queued")
    aliases = host.control("aliases", "a: b@c.test\n")
    host.control("aliasfile", aliases + "\n")
    for name in ("mailq", "newaliases"):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            os.symlink(os.path.join(BUILD, "sendmail"),
                       os.path.join(folder, name))
            ended(host.run(os.path.join(folder, name)), 0, "", name)
    tools = dict(host.as_owner()["env"], KEEPMAIL_PROGRAMS=BUILD)
    for option in ("-bi", "-I", "-q", "-q15m", "-qRx.test", "-qSa@x.test"):
        ended(host.run("sendmail", option, env=tools), 0, "",
              f"sendmail {option}")


# --- the queue -----------------------------------------------------------------

FOLDERS = ("incoming", "active", "deferred", "waiting", "held", "doubtful")


def stat_of(host):
    run = host.run("queue-stat")
    ended(run, 0, "", "queue-stat")
    lines = dict(line.split(": ") for line in run.stdout.decode().splitlines())
    tap.same(tuple(lines)[2:], FOLDERS, "it has a line for each folder")
    return {name: int(number) for name, number in lines.items()}


def queue_tools(host):
    nothing_came(host, "the queue is empty")
    tap.same(set(stat_of(host).values()), {0}, "queue-stat counts nothing")
    for command in (("queue-list",), ("sendmail", "-bp")):
        run = host.run(*command)
        ended(run, 0, "", " ".join(command))
        tap.same(run.stdout, b"The queue is empty.\n", "it says so")
    local, domain = host.address.split("@")
    path = os.path.join(os.path.dirname(host.maildir.rstrip("/")),
                        ".qmail-later")
    with open(path, "w") as file:
        file.write("|echo 'not \x1b[1m now'; exit 111\n")
    host.give(path)
    ended(submit(host, MESSAGE, envelope("ann@client.test",
                                         f"{local}-later@{domain}")), 0, "",
          "a message for later")
    tap.ok(wait_for(lambda: "deferred" in os.path.join(*host.queued() or [""])),
           "is deferred", host.logs())
    count = stat_of(host)
    tap.same((count["messages in queue"], count["deferred"]), (1, 1),
             "queue-stat counts it")
    tap.same(count["messages in queue but not yet preprocessed"], 0,
             "and nothing as unprocessed")
    for command in (("queue-list",), ("sendmail", "-bp")):
        text = host.run(*command).stdout.decode()
        tap.ok(re.search(r"^[0-9a-z]{20}  \d+ octets  .*  deferred  "
                         r"<ann@client\.test>\n +deferred +"
                         rf"{local}-later@{re.escape(domain)}, 1 attempt, "
                         r"next .*\n.*not .* now", text), f"{command} shows it",
               text)
        tap.ok("\x1b" not in text, "without its control characters", text)
    [message] = host.queued()
    with open(message, "r+b") as file:
        file.write(b"nonsense")
    run = host.run("queue-list")
    tap.ok(run.returncode == 0 and b"not a sound message file" in run.stdout,
           "queue-list goes on after a file that is none", run)
    os.unlink(message)
    for folder in ("queue/active", "queue/deferred", "queue"):
        unreadable(host, folder)


def unreadable(host, folder):
    path = os.path.join(host.home, folder)
    mode = os.stat(path).st_mode & 0o7777
    os.chmod(path, 0)
    try:
        for command, status in ((("queue-list",), 111), (("queue-stat",), 111),
                                (("sendmail", "-bp"), 75)):
            ended(host.run(*command), status, re.escape("queue"),
                  f"{' '.join(command)} cannot read {folder}")
    finally:
        os.chmod(path, mode)


# --- usage and manuals ---------------------------------------------------------

# Those that speak with a client on 0 and 1 take no notice of arguments.
QUIET = ("smtpd", "pop3d")
# Elsewhere than 100: a wrong call in .qmail must not make mail fail.
USAGE_STATUS = {"sendmail": 64, "mail-send": 64, "vacation": 111,
                "lmtp-deliver": 111}


def usage():
    """Each program refuses what it does not know, and its manual has what it
    knows."""
    programs = sorted(name[:-4] for name in os.listdir(BUILD)
                      if name.endswith(".map"))
    tap.ok(len(programs) > 10, "there are programs", programs)
    for name in programs:
        if name in QUIET:
            continue
        run = subprocess.run([os.path.join(BUILD, name), "--no-such-option"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, timeout=30, cwd="/",
                             env={"KEEPMAIL": "/nonexistent"})
        ended(run, USAGE_STATUS.get(name, 100), f"usage: {name}",
              f"{name} with an unknown option")
        tap.same(run.stdout, b"", "says so on stderr alone")
        [page] = glob.glob(os.path.join(TOP, "*", name + ".[1-9]"))
        with open(page) as file:
            manual = file.read()
        synopsis = manual.split(".Sh SYNOPSIS")[1].split(".Sh DESCRIPTION")[0]
        told = set(re.findall(r" -(-?[\w-]+)", run.stderr.decode().split(
            "usage:", 1)[1].replace("[-", " -")))
        # A page of several has the synopsis of each in turn.
        own = re.search(rf"^\.Nm {name}\n(.*?)(?=^\.Nm|\Z)", synopsis,
                        re.M | re.S)
        known = set(re.findall(r"(?:Fl|\|(?= -)) (-?[\w-]+)",
                               own.group(1) if own else synopsis))
        known = {letter for word in known
                 for letter in ([word] if word.startswith("-")
                                or word in ("bp", "bs", "bv") else word)}
        if name == "sendmail":
            told |= set("NRV")
            known |= {"bi", "q"}    # below
        tap.same(told, known, f"usage and manual of {name} agree")
        tap.ok(".Sh EXIT STATUS" in manual, f"{name}'s manual tells how it ends")


def sendmail_manual():
    """Every letter that the program takes stands in its manual."""
    with open(os.path.join(TOP, "tools/sendmail_options.c")) as file:
        letters = set(re.search(r'OPTION_LETTERS "\+([^"]*)"',
                                file.read()).group(1)) - {":"}
    with open(os.path.join(TOP, "tools/sendmail.8")) as file:
        manual = file.read()
    told = set(re.findall(r"Fl (\w)", manual))
    passed_over = re.search(r"\.Pq Fl ([\w ,]*)", manual).group(1)
    told |= set(re.findall(r"\w", passed_over))
    told |= set("".join(re.findall(r"\.Op Fl (\w+)\n", manual)))
    tap.same(sorted(told), sorted(letters), "sendmail's manual has every option")


with Instance() as host:
    for step in (queue_submit, bad_envelopes, bad_descriptors, queue_away,
                 sendmail_takes, sendmail_dots, sendmail_sender,
                 sendmail_refuses, queue_tools):
        tap.case(step, host)
tap.case(usage)
tap.case(sendmail_manual)
tap.done()
