#!/usr/bin/env python3
"""The folder of qmail's names: how it is made, and that what stands in it prints
and does what programs written for qmail expect, octet by octet."""

import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import BUILD, TOP, Instance

tap = Tap()
MESSAGE = b"Subject: x\n\nbody\n"


class Names:
    """The folder, below an instance's, with its programs behind the links."""

    def __init__(self, host):
        self.host = host
        self.folder = os.path.join(host.home, "qmail")
        prefix = os.path.join(host.home, "prefix")
        os.makedirs(os.path.join(prefix, "sbin"))
        os.symlink(os.path.join(BUILD, "sendmail"),
                   os.path.join(prefix, "sbin", "sendmail"))
        self.arguments = [f"QMAIL={self.folder}", f"PREFIX={prefix}",
                          f"LIBEXEC={BUILD}", f"HOME_DIR={host.home}"]
        self.environment = {
            "KEEPMAIL": host.home, "KEEPMAIL_PROGRAMS": BUILD,
            "PATH": os.path.join(self.folder, "bin") + ":/usr/bin:/bin"}

    def make(self):
        """As a person does it."""
        return subprocess.run(
            ["make", "-s", "--no-print-directory", "-C", TOP,
             "install-qmail-compat", *self.arguments], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=120)

    def install(self, *words, **more):
        """As make does it."""
        settings = dict(word.split("=", 1) for word in self.arguments)
        return subprocess.run(
            ["sh", os.path.join(TOP, "compat", "install"), *words],
            env={**os.environ, "DESTDIR": "", **settings, **more},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)

    def run(self, name, *arguments, more=None, **keywords):
        """Runs bin/NAME, from the folder, as qmail's programs are."""
        return self.host.run(
            os.path.join(self.folder, "bin", name), *arguments,
            env=dict(self.environment, **(more or {})), cwd=self.folder,
            **keywords)

    def ends(self, name, *arguments, status=0, said="", **keywords):
        run = self.run(name, *arguments, **keywords)
        words = " ".join((name, *arguments))[:60]
        tap.ended(run, status, said, f"{words!a}")
        return run.stdout


def arrived(host, count=1):
    texts = host.wait_delivered(count)
    if len(texts) != count:
        raise RuntimeError(f"{len(texts)} messages, not {count}\n{host.logs()}")
    for path in host.delivered():
        os.unlink(path)
    return texts


def fields(text, name):
    head = re.sub(rb"\n([ \t])", rb"\1", text.split(b"\n\n", 1)[0] + b"\n")
    return [value.strip() for value in re.findall(
        rb"^" + name.encode() + rb":(.*)$", head, re.M | re.I)]


def write(host, name, text):
    path = os.path.join(host.home, name)
    with open(path, "w") as file:
        file.write(text)
    host.give(path)
    return path


# --- the folder ----------------------------------------------------------------

def folder(host, names):
    for turn in (names.make, names.install):
        run = turn()
        tap.same((run.returncode, run.stderr), (0, b""), "it is made, and again")
    dangling = [name for name in os.listdir(names.folder + "/bin")
                if not os.path.exists(os.path.join(names.folder, "bin", name))]
    tap.same(dangling, [], "each name leads to a program")
    tap.same(os.path.realpath(names.folder + "/control"),
             os.path.realpath(host.control("x", "")[:-2]),
             "control is ours")
    other = names.folder + ".other"
    root, below = os.path.split(other)
    run = names.install(QMAIL=f"/{below}", DESTDIR=root)
    tap.same(os.readlink(other + "/control"), host.home + "/control",
             "DESTDIR stands before the folder alone")
    os.unlink(other + "/bin/qmail-inject")
    with open(other + "/bin/qmail-inject", "w") as file:
        file.write("qmail's own")
    os.unlink(other + "/bin/qmail-qread")
    run = names.install(QMAIL=other)
    tap.ok(run.returncode != 0 and b"/bin/qmail-inject" in run.stderr
           and not os.path.lexists(other + "/bin/qmail-qread"),
           "over a qmail that is there nothing is made", run)
    run = names.install("remove", QMAIL=other)
    left = [os.path.join(path, name)[len(other) + 1:]
            for path, _, files in os.walk(other) for name in files]
    tap.same((run.returncode, left), (0, ["bin/qmail-inject"]),
             "what is taken away is ours alone")
    run = names.install(QMAIL="relative")
    tap.ok(run.returncode != 0 and b"begin with /" in run.stderr,
           "a relative QMAIL is refused", run)
    os.unlink(os.path.join(host.home, "control", "x"))


# --- the queue -------------------------------------------------------------------

def queue(host, names):
    local, domain = host.address.split("@")
    tap.same(names.ends("qmail-qstat"), b"messages in queue: 0\nmessages in "
             b"queue but not yet preprocessed: 0\n", "qmail-qstat, empty")
    tap.same(names.ends("qmail-qread"), b"", "qmail-qread, empty")
    write(host, os.path.relpath(os.path.join(os.path.dirname(
        host.maildir.rstrip("/")), ".qmail-later"), host.home),
        "|exit 111\n")
    host.svc("-d", "queue-runner", "remote")
    envelope = f"Fann\u00e4@client.test\0T{host.address}\0T{local}-later@" \
        f"{domain}\0Tfar@far.test\0\0"
    read, hand = os.pipe()
    os.write(hand, envelope.encode())
    os.close(hand)
    run = names.run("qmail-queue", input=MESSAGE, stdout=read)
    os.close(read)
    tap.ended(run, 0, "", "qmail-queue")
    tap.same(names.ends("qmail-qstat"), b"messages in queue: 1\nmessages in "
             b"queue but not yet preprocessed: 1\n", "qmail-qstat, one")
    form = rb"[123]?\d \w\w\w \d\d\d\d \d\d:\d\d:\d\d GMT  #(\d+)  (\d+)  " \
        rb"<ann__@client\.test> \n\tlocal\tuser@%s\n\tlocal\tuser-later@%s\n" \
        rb"\tremote\tfar@far\.test\n" % ((re.escape(domain.encode()),) * 2)
    text = names.ends("qmail-qread")
    found = re.fullmatch(form, text)
    tap.ok(found, "qmail-qread's form", text)
    host.svc("-u", "queue-runner")
    tap.ok(wait_for(lambda: b"  done\tlocal\tuser@" in names.run(
        "qmail-qread").stdout), "what is delivered is done", host.logs())
    tap.ok(found and wait_for(lambda: f"msg {found.group(1).decode()} " in
                              host.log("queue-runner")), "the number is that of the log")
    text = names.ends("qmail-qread")
    tap.ok(re.search(rb"\n\tlocal\tuser-later@", text), "what waits is not",
           text)
    arrived(host)
    for path in host.queued():
        with open(path, "r+b") as file:
            file.write(b"nonsense")
    text = names.ends("qmail-qread")
    tap.ok(re.match(rb"warning: trouble with #\w+: ", text),
           "it goes on after trouble", text)
    host.svc("-d", "queue-runner")
    for path in host.queued():
        os.unlink(path)
    host.svc("-u", "queue-runner", "remote")


def dead(host, names):
    tap.ok(wait_for(lambda: names.run("qmail-tcpto").returncode == 0),
           "remote is back", host.logs())
    tap.same(names.ends("qmail-tcpto"), b"", "qmail-tcpto, an empty table")
    tap.same(names.ends("qmail-tcpok"), b"", "qmail-tcpok is silent")
    fake = os.path.join(host.home, "fake")
    os.makedirs(fake)
    path = write(host, "fake/dead-addresses", "#!/bin/sh\n"
                 "since=$(($(date +%s) - 100))\n"
                 """echo '{"address":"192.0.2.1","port":25,"failures":2,"""
                 """"since":'$since',"until":9}'\n"""
                 """echo '{"address":"2001:db8::1","port":25,"failures":3,"""
                 """"since":'$since',"until":9}'\n""")
    os.chmod(path, 0o755)
    text = names.ends("qmail-tcpto", more={"KEEPMAIL_PROGRAMS": fake})
    tap.ok(re.fullmatch(
        rb"192\.0\.2\.1 timed out 10\d seconds ago; # recent timeouts: 2\n"
        rb"2001:db8::1 timed out 10\d seconds ago; # recent timeouts: 3\n",
        text), "qmail-tcpto's form", text)


def settings(host, names):
    write(host, "control/odd\x1bname", "x\n")
    write(host, "control/morercpthosts", "more.test\n")
    text = names.ends("qmail-showctl").decode()
    tap.ok(text.startswith(f"qmail home directory: {host.home}.\nuser-ext "
                           "delimiter: -.\npaternalism (in decimal): 2.\n"),
           "qmail-showctl's facts", text[:200])
    domain = host.address.split("@")[1]
    for pattern in (r"\n\nconcurrencyremote: \(Default\.\) .* 60\n\n",
                    rf"\n\nme: .*\n{re.escape(domain)}\n\n",
                    rf"\n\nrcpthosts: .*\n{re.escape(domain)}\n\n",
                    r"\n\nmorercpthosts: .* run qmail-newmrh\.\n",
                    r"\n\nodd\?name: I have no idea what this file does\.\n"):
        tap.ok(re.search(pattern, text), f"it has {pattern!a}", text)
    tap.ok("\x1b" not in text, "and no escape")
    os.unlink(os.path.join(host.home, "control", "odd\x1bname"))
    with host.smtp() as smtp:
        smtp.helo()
        smtp.mail("a@b.test")
        refused = smtp.rcpt("x@more.test")[0]
    write(host, "control/morercpthosts", "# a comment\nMore.Test  \n\n.sub.test\n")
    tap.same(names.ends("qmail-newmrh"), b"", "qmail-newmrh is silent")
    with host.smtp() as smtp:
        smtp.helo()
        smtp.mail("a@b.test")
        taken = [smtp.rcpt("x@" + name)[0]
                 for name in ("more.test", "a.sub.test", "other.test")]
    tap.same((refused // 100, taken[:2], taken[2] // 100), (5, [250, 250], 5),
             "smtpd takes its domains")
    for name in ("morercpthosts", "morercpthosts.cdb"):
        os.unlink(os.path.join(host.home, "control", name))
    names.ends("qmail-newmrh", status=111, said="fatal: .*morercpthosts")
    names.ends("qmail-newmrh", "x", status=100, said="no options")


# --- users -------------------------------------------------------------------------

def users(host, names):
    home = host.home
    uid = os.stat(os.path.join(home, "control")).st_uid
    passwd = f"root:x:0:0::/root:/bin/sh\njoe:x:{uid}:20::{home}:\nAnn:x:{uid}:" \
        f"20::{home}:\nalias:x:{uid}:21::{home}/alias:\nbob:x:{uid}:22::" \
        f"/nonexistent:\nother:x:{uid + 1}:20::{home}:\nshort:x\n" \
        f"bad:x:{uid}:x::{home}:\nesc\x1b:x:{uid}:20::{home}:\n"
    alias = f"+:alias:{uid}:21:{home}/alias:-::\n=alias:alias:{uid}:21:" \
        f"{home}/alias:::\n+alias-:alias:{uid}:21:{home}/alias:-::\n"

    def pair(name, user="joe", dash="-", break_char="-"):
        return f"={name}:{user}:{uid}:20:{home}:::\n+{name}{break_char}:{user}:" \
            f"{uid}:20:{home}:{dash}::\n"

    for options, expected in (
            ((), pair("joe") + alias),
            (("-u",), pair("joe") + pair("Ann", "Ann") + alias),
            (("-/",), pair("joe", dash="-/") + alias.replace(":-:", ":-/:")),
            (("-c", "+"), pair("joe", break_char="+")
             + alias.replace("alias-", "alias+")),
            (("-C",), f"=joe:joe:{uid}:20:{home}:::\n" + "".join(
                line for line in alias.splitlines(True) if "+alias" not in line))):
        got = names.ends("qmail-pw2u", *options, input=passwd.encode())
        tap.same(got.decode(), expected + ".\n", f"qmail-pw2u {options}")
    got = names.ends("qmail-pw2u", "-H", input=passwd.encode()).decode()
    tap.ok("=bob:" in got and "=other:" in got and "root" not in got
           and "\x1b" not in got, "-H does not look at homes", got)
    names.ends("qmail-pw2u", "-h", input=passwd.encode(), status=111,
               said="fatal: .*nonexistent")
    names.ends("qmail-pw2u", input=b"", status=111, said="alias")
    names.ends("qmail-pw2u", "-x", input=b"", status=100, said="usage")
    for name, text in (("mailnames", "joe:joseph:j\n"), ("append", "+x:y"),
                       ("subusers", "list:joe:lists:\nno:ann:x:\n"),
                       ("exclude", "bob\n"), ("include", "joe\nalias\n")):
        write(host, f"users/{name}", text)
    got = names.ends("qmail-pw2u", "-u", input=passwd.encode()).decode()
    tap.same(got, pair("joseph") + pair("j") + f"=list:joe:{uid}:20:{home}:-:"
             f"lists:\n+list-:joe:{uid}:20:{home}:-:lists-:\n" + alias
             + "+x:y\n.\n", "with users/include and the others")
    for name in ("mailnames", "append", "subusers", "exclude", "include"):
        os.unlink(os.path.join(home, "users", name))
    got = names.ends("qmail-pw2u", input=passwd.encode()).decode()
    write(host, "users/assign", got)
    tap.same(names.ends("qmail-newu"), b"", "qmail-newu takes it, silently")
    tap.ok(os.path.getsize(os.path.join(home, "users", "cdb")) > 2048,
           "and makes users/cdb")
    write(host, "users/assign", "nonsense\n.\n")
    names.ends("qmail-newu", status=111, said="assign")
    for name in ("assign", "cdb"):
        os.unlink(os.path.join(home, "users", name))
    names.ends("qmail-getpw", status=100, said="usage")
    run = names.run("qmail-getpw", "no-such-user-here")
    tap.ok((run.returncode == 0 and run.stdout.count(b"\0") == 6)
           or (run.returncode == 111 and b"alias" in run.stderr),
           "qmail-getpw of nobody", run)


# --- qmail-inject ------------------------------------------------------------------

def printed(names, text, *options, **more):
    return names.ends("qmail-inject", "-n", *options, input=text,
                      more=more).decode()


def inject_header(host, names):
    domain = host.address.split("@")[1]
    text = b"Return-Path: <r@x.test>\nTo: joe, Ann B <ann@far.test>,\n" \
        b" (c) x@plus+\nBcc: secret@x.test\nContent-Length: 4\nSubject: x\n\nb"
    got = printed(names, text, QMAILUSER="jim", QMAILNAME="Jim K")
    tap.ok(re.fullmatch(
        rf"Date: .*\nMessage-ID: <\d{{14}}\.\d+\.qmail@{domain}>\n"
        rf"From: Jim K <jim@{domain}>\nTo: joe@{domain}, Ann B <ann@far\.test>,"
        rf"\n x@plus\.{domain} \(c\)\nSubject: x\n\nb", got),
        "qmail-inject -n", got)
    write(host, "control/defaulthost", "mail\n")
    write(host, "control/defaultdomain", "heaven.test\n")
    write(host, "control/plusdomain", "plus.test\n")
    write(host, "control/idhost", "id.test\n")
    got = printed(names, b"To: a, b@c, d@e+, <f>\nCc: g: h;, i@[192.0.2.1]\n"
                  b"Reply-To: j\nFrom: k\nX-Other: l\n\n")
    tap.ok("\nTo: a@mail.heaven.test, b@c.heaven.test, d@e.plus.test, "
           "<f@mail.heaven.test>\nCc: g: h@mail.heaven.test;, i@[192.0.2.1]\n"
           "Reply-To: j@mail.heaven.test\nFrom: k@mail.heaven.test\n"
           "X-Other: l\n" in got and "@id.test>" in got,
           "addresses are made whole by the control files", got)
    got = printed(names, b"To: a, b@c, d@e+\n\n", QMAILDEFAULTHOST="h.test",
                  QMAILDEFAULTDOMAIN="d.test", QMAILPLUSDOMAIN="p.test",
                  QMAILIDHOST="i.test")
    tap.ok("\nTo: a@h.test, b@c.d.test, d@e.p.test\n" in got
           and "@i.test>" in got, "or by the environment", got)
    for name in ("defaulthost", "defaultdomain", "plusdomain", "idhost"):
        os.unlink(os.path.join(host.home, "control", name))
    got = printed(names, b"Subject: x\n\n", "a@b.test")
    tap.ok("\nCc: recipient list not shown: ;\n" in got, "no list is shown", got)
    got = printed(names, b"From: old@x.test\nMessage-ID: <old>\nTo: a@b.test\n\n",
                  QMAILINJECT="cfi", QMAILUSER="jim", QMAILHOST="h.test",
                  QMAILNAME="Jim K")
    tap.ok("\nFrom: jim@h.test (Jim K)\n" in got and "old" not in got,
           "QMAILINJECT=cfi", got)
    got = printed(names, b"Resent-To: a@b.test\nTo: b\nFrom: c@d.test\n\n")
    tap.ok("Resent-From: " in got and "Resent-Date: " in got
           and "\nDate: " not in got, "what is resent gets Resent- fields", got)
    lists = write(host, "lists", "list@b.test\n")
    got = printed(names, b"To: List@B.test, a@b.test\n\n", QMAILMFTFILE=lists)
    tap.ok("\nMail-Followup-To: List@b.test,\n  a@b.test\n" in got,
           "QMAILMFTFILE", got)


def inject_envelope(host, names):
    local, domain = host.address.split("@")
    text = b"Return-Path: <path@x.test>\nTo: " + local.encode() + b"\n\nx\n"
    for options, more, sender in (
            ((), {}, b"path@x.test"),
            (("-f", "me@f.test"), {"QMAILSUSER": "s"}, b"me@f.test"),
            (("-f", ""), {}, b""),
            ((), {"QMAILINJECT": "s", "QMAILUSER": "u", "QMAILHOST": "h.test"},
             b"u@h.test"),
            ((), {"QMAILINJECT": "s", "MAILUSER": "m", "USER": "x"},
             b"m@" + domain.encode()),
            ((), {"QMAILINJECT": "s", "LOGNAME": "l"},
             b"l@" + domain.encode()),
            ((), {"QMAILINJECT": "s"}, b"anonymous@" + domain.encode()),
            ((), {"QMAILINJECT": "s", "QMAILUSER": "u", "QMAILSUSER": "s",
                  "QMAILSHOST": "sh.test"}, b"s@sh.test"),
            ((), {"QMAILINJECT": "sr", "QMAILUSER": "u", "QMAILHOST": "h.test"},
             f"u-{local}={domain}@h.test".encode()),
            ((), {"QMAILINJECT": "sm", "QMAILUSER": "u", "QMAILHOST": "h.test"},
             rb"u-\d+\.\d+@h.test")):
        names.ends("qmail-inject", *options, input=text, more=more)
        [got] = arrived(host)
        tap.ok(re.match(rb"Return-Path: <" + sender + rb">\n", got),
               f"{options} {more}: the sender", got[:100])
    for options, count in (((local,), 1), (("-a", local, local), 2),
                           (("-h", "no@far.test"), 1), (("-H", local), 2),
                           (("-A",), 1)):
        names.ends("qmail-inject", *options, input=text)
        arrived(host, count)
    tap.ok(host.wait_empty(), "and nobody else has it", host.queued())
    names.ends("qmail-inject", "-f", host.address, input=b"To: a@\nBcc: "
               + local.encode() + b"\n\n", more={"QMAILDEFAULTHOST": domain},
               status=0)
    got = [text for text in arrived(host, 2) if b"failure notice" not in text]
    tap.ok(got and not any(fields(text, "Bcc") for text in got[:1]),
           "Bcc goes, and is served", got)
    for options, message, status, said in (
            (("-x",), text, 100, "usage"),
            ((), b"Subject: x\n\n", 100, "no recipient"),
            ((), b"To: a b c\n\n", 100, "To: a b c"),
            (("a@@b",), text, 100, "a@@b"),
            (("-f", "a b@@c", local), text, 100, "not a sender"),
            ((local,), b"\0", 100, "NUL"),
            ((local,), b"X: " + b"x" * 9_000_000, 100, "too long"),
            # what is looked at ends within the name of a field
            ((local,), b"X: " + b"x" * (8 * 1024 * 1024 - 5) + b"\nBcc: x@y"
             b".test\n\n", 100, "too long")):
        names.ends("qmail-inject", *options, input=message, status=status,
                   said=said)
    names.ends("qmail-inject", local, input=text, status=111, said="fatal",
               more={"KEEPMAIL": "/nonexistent"})
    names.ends("qmail-inject", local, input=text, status=111, said="fatal",
               more={"QMAILQUEUE": "/nonexistent"})
    names.ends("qmail-inject", local, input=text,
               more={"QMAILQUEUE": os.path.join(names.folder,
                                                "bin/qmail-queue")})
    arrived(host)
    tap.same(host.delivered(), [], "nothing else came")


def hostile(host, names):
    """Variables, arguments and fields become no fields, options or commands of a
    terminal."""
    escape = "\x1b]0;x\x07"
    for options, more in (
            ((), {"QMAILNAME": "A\nBcc: x@y.test" + escape}),
            ((), {"QMAILUSER": "u\nBcc: x@y.test"}),
            ((), {"QMAILHOST": "h\nBcc: x@y.test"}),
            (("-f", "a@b.test"), {"MAILHOST": "h\nBcc: x@y.test"}),
            ((), {"QMAILDEFAULTHOST": "h\nBcc: x@y.test"}),
            ((), {"QMAILIDHOST": "h>\nBcc: x@y.test"}),
            (("-f", "a\nBcc: x@y.test"), {}), (("--", "-n" + escape), {}),
            (("a@b" + escape,), {}), ((), {"QMAILMFTFILE": "/" + escape})):
        run = names.run("qmail-inject", "-n", *options, more=more,
                        input=b"To: a\n\n")
        head = run.stdout.split(b"\n\n")[0]
        tap.ok(b"\nBcc" not in head and b"\x1b" not in run.stdout + run.stderr,
               f"qmail-inject {options!a} {more!a}", run)
    # What is looked at of a header ends within the name of a field.
    head = b"To: a@b.test\nX: "
    names.ends("qmail-inject", status=100, said="header is too long",
               input=head + b"x" * (8 * 1024 * 1024 - len(head) - 2)
               + b"\nBcc: x@y.test\n\nx\n")


# --- scripts -----------------------------------------------------------------------

def scripts(host, names):
    to = host.address
    local = to.split("@")[0]
    names.ends("mailsubj", "a subject\nBcc: x@y.test\x1b[2J", local,
               input=b"body\n.\nmore\n", more={"QMAILUSER": local})
    [got] = arrived(host)
    tap.same((fields(got, "Subject"), fields(got, "Bcc"), fields(got, "To"),
              got.split(b"\n\n")[1]),
             ([b"a subject Bcc: x@y.test [2J"], [], [to.encode()],
              b"body\n.\nmore\n"), "mailsubj")
    names.ends("mailsubj", "-n", "--", "-n@" + to.split("@")[1], input=b"b\n",
               more={"QMAILUSER": "", "QMAILINJECT": ""}, status=0)
    names.ends("mailsubj", "x", status=100, said="usage")
    names.ends("datemail", "-f", to, to, input=b"Subject: d\n\nx\n")
    got = next((text for text in host.wait_delivered(1)
                if b"Subject: d\n" in text), b"")
    wait_for(lambda: any(b"Subject: d\n" in text for text in host.contents()))
    got = [text for text in host.contents() if b"Subject: d\n" in text]
    tap.ok(got and re.match(rb"\d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}$",
                            fields(got[0], "Date")[0]), "datemail", got)
    got = names.ends("predate", "cat", input=b"Subject: p\n\n")
    tap.ok(re.fullmatch(rb"Date: \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}\n"
                        rb"Subject: p\n\n", got), "predate", got)
    tap.same(names.run("predate", "sh", "-c", "exit 7", input=b"").returncode, 7,
             "predate ends as its program does")
    names.ends("predate", status=100, said="usage")
    names.ends("sendmail", "-t", "-f", to, input=b"To: " + to.encode() +
               b"\nSubject: s\n\n")
    tap.ok(wait_for(lambda: any(b"Subject: s\n" in text
                                for text in host.contents())), "sendmail")


with Instance() as host:
    names = Names(host)
    for step in (folder, queue, dead, settings, users, inject_header,
                 inject_envelope, hostile, scripts):
        start = time.monotonic()
        tap.case(step, host, names)
        tap.note(f"{step.__name__}: {time.monotonic() - start:.1f} s")
tap.done()
