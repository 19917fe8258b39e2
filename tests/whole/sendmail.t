#!/usr/bin/env python3
"""sendmail as programs in the wild call it: cron, mutt, s-nail, git send-email,
PHP, pipes; SMTP by -bs; the header's recipients in all their forms; many of them;
and what is hostile. Each message is looked at where it arrives."""

import email.header
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import BUILD, Instance

tap = Tap()
HEADER = b"Subject: x\n\n"


def arrived(host, count=1, maildir=None):
    """Takes what comes out of the mailbox, oldest first."""
    texts = host.wait_delivered(count, maildir=maildir)
    if len(texts) != count:
        tap.note(host.logs())
        raise RuntimeError(f"{len(texts)} messages, not {count}")
    for path in host.delivered(maildir):
        os.unlink(path)
    return texts


def send(host, *options, message=HEADER, status=0, said="", **more):
    run = host.run("sendmail", *options, input=message, **more)
    tap.ended(run, status, said, f"sendmail {' '.join(options)[:60]!a}")
    return run


def body(text):
    return text.split(b"\n\n", 1)[1]


def fields(text, name):
    """The bodies of the fields of this name, folds taken away."""
    head = re.sub(rb"\n([ \t])", rb"\1", text.split(b"\n\n", 1)[0] + b"\n")
    return [value.strip() for value in re.findall(
        rb"^" + name.encode() + rb":(.*)$", head, re.M | re.I)]


# --- programs -------------------------------------------------------------------

class Programs:
    """A folder in which programs of this host find our sendmail, run as the
    instance's owner."""

    def __init__(self, host):
        self.host = host
        self.folder = os.path.join(host.home, "programs")
        os.makedirs(self.folder)
        self.sendmail = os.path.join(self.folder, "sendmail")
        # A copy: not everybody may read where it was built.
        shutil.copy(os.path.join(BUILD, "sendmail"), self.sendmail)
        host.give(self.folder)
        self.environment = {"KEEPMAIL": host.home, "HOME": self.folder,
                            "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8",
                            "USER": "ann", "LOGNAME": "ann",
                            "TERM": "dumb"}

    def run(self, *command, **more):
        arguments = dict(self.host.as_owner(), env=self.environment,
                         cwd=self.folder, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, timeout=30)
        arguments.update(more)
        if "input" not in arguments:
            arguments["stdin"] = subprocess.DEVNULL
        return subprocess.run(command, **arguments)

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        self.host.give(path)
        return path


def found(program):
    path = shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if path is None:
        tap.skip(program, "it is not installed")
    return path


def looks(text, name, subject, content, author=None):
    tap.same(fields(text, "Subject"), [subject], f"{name}: the subject")
    tap.same(body(text), content, f"{name}: the content")
    for field in ("From", "Date", "Message-ID"):
        tap.same(len(fields(text, field)), 1, f"{name}: one {field}")
    if author:
        tap.ok(author in fields(text, "From")[0], f"{name}: the author", text)


def as_cron(host, programs):
    text = b"From: root (Cron Daemon)\nTo: user\nSubject: Cron <u@h> true\n" \
        b"MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n" \
        b"Content-Transfer-Encoding: 8bit\nX-Cron-Env: <SHELL=/bin/sh>\n\n" \
        b"one\n.\n\xc3\xa4 two\n"
    run = programs.run(programs.sendmail, "-FCronDaemon", "-i", "-B8BITMIME",
                       "-oem", "user", input=text)
    tap.ended(run, 0, "", "cron's call")
    [got] = arrived(host)
    looks(got, "cron's call", b"Cron <u@h> true", b"one\n.\n\xc3\xa4 two\n",
          b"root (Cron Daemon)")
    # a job that prints a line an hour holds the pipe open
    process = subprocess.Popen(
        [programs.sendmail, "-FCronDaemon", "-i", "-oem", "user"],
        stdin=subprocess.PIPE, **dict(host.as_owner(),
                                      env=programs.environment))
    process.stdin.write(text[:60])
    process.stdin.flush()
    tap.ok(wait_for(lambda: os.path.exists(f"/proc/{process.pid}/fd/0")),
           "it waits for the rest")
    process.stdin.write(text[60:])
    process.stdin.close()
    tap.same(process.wait(20), 0, "a slow writer")
    tap.same(body(arrived(host)[0]), body(text), "comes whole")


def real_cron(host, programs):
    """cron itself, in name spaces of its own, with our sendmail in the place of
    the system's."""
    if not found("cron"):
        return
    name = "cron -f in a private name space"
    if os.geteuid() != 0:
        tap.skip(name, "it needs root")
        return
    table = programs.file("crontab", f"MAILTO={host.address}\n"
                          f"KEEPMAIL={host.home}\n"
                          "* * * * * echo from cron; echo .; echo more\n"
                          "@reboot echo at once\n")
    script = programs.file("run-cron", f"""
set -e
mount --make-rprivate /
mount -t tmpfs none /var/spool/cron
mkdir -p /var/spool/cron/crontabs
mount -t tmpfs none /run
mount -t tmpfs none /etc/cron.d
mkdir /run/sbin
mount --bind /usr/sbin /run/sbin
mount -t tmpfs none /usr/sbin
ln -s /run/sbin/* /usr/sbin
rm -f /usr/sbin/sendmail
cp {programs.sendmail} /usr/sbin/sendmail
cp {table} /var/spool/cron/crontabs/nobody
chmod 600 /var/spool/cron/crontabs/nobody
chown nobody /var/spool/cron/crontabs/nobody
: >/run/empty
mount --bind /run/empty /etc/crontab
exec env KEEPMAIL={host.home} cron -f
""")
    probe = subprocess.run(["unshare", "-mpf", "sh", "-c",
                            "mount --make-rprivate / && "
                            "mount -t tmpfs none /mnt"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if probe.returncode != 0:
        tap.skip(name, "there are no name spaces")
        return
    process = subprocess.Popen(["unshare", "-mpf", "--kill-child", "sh",
                                script], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    try:
        got = host.wait_delivered(1, seconds=10)
        tap.ok(got and body(got[0]) == b"at once\n", "cron's own mail arrives",
               got or host.logs())
        tap.ok(got and b"Cron" in fields(got[0], "Subject")[0],
               "with its subject", got)
    finally:
        process.kill()
        said = process.communicate()[1]
        if not got:
            tap.note(said.decode(errors="replace"))
    for path in host.delivered():
        os.unlink(path)


def as_mutt(host, programs):
    if not found("mutt"):
        return
    settings = programs.file("muttrc", f'set sendmail="{programs.sendmail} '
                             '-oem -oi"\nset from="ann@client.test"\n'
                             'set use_envelope_from=yes\nset copy=no\n'
                             'set realname="Änn"\nset charset=utf-8\nset send_charset=utf-8\n'
                             'set hostname=client.test\n')
    attached = programs.file("attached", "an attachment\n")
    run = programs.run("mutt", "-n", "-F", settings, "-s", "from mütt", "-c",
                       host.address, "-a", attached, "--", host.address,
                       input="körper\n.\nend\n".encode())
    tap.ended(run, 0, "", "mutt")
    got = arrived(host, 2)
    tap.same(body(got[0]), body(got[1]), "mutt: both have the same")
    tap.ok(got[0].startswith(b"Return-Path: <ann@client.test>\n")
           and str(email.header.make_header(email.header.decode_header(
               fields(got[0], "Subject")[0].decode()))) == "from m\u00fctt"
           and fields(got[0], "From")[0].endswith(b" <ann@client.test>"),
           "mutt: its header", got[0])
    tap.ok("körper\n.\nend\n".encode() in got[0] or b"k=C3=B6rper\n.\nend\n"
           in got[0], "mutt: its content", got[0])


def as_s_nail(host, programs):
    if not found("s-nail"):
        return
    run = programs.run("s-nail", "-:/", "-S", f"mta={programs.sendmail}",
                       "-S", "ttycharset=utf-8", "-S", "v15-compat",
                       "-S", "sendwait", "-r", "ann@client.test",
                       "-s", "from nail", host.address, input=b"one\n.\ntwo\n",
                       env={name: value for name, value in
                            programs.environment.items()
                            if name not in ("USER", "LOGNAME")})
    tap.ended(run, 0, "", "s-nail")
    [got] = arrived(host)
    looks(got, "s-nail", b"from nail", b"one\n.\ntwo\n", b"ann@client.test")


def as_git(host, programs):
    if not found("git") or not os.path.exists(
            "/usr/lib/git-core/git-send-email") or subprocess.run(
                ["perl", "-MMail::Address", "-e", "1"],
                stderr=subprocess.DEVNULL).returncode != 0:
        tap.skip("git send-email", "it is not installed")
        return
    patch = programs.file("0001.patch", "From 0123456789012345678901234567890"
                          "123456789 Mon Sep 17 00:00:00 2001\n"
                          "From: Ann <ann@client.test>\n"
                          "Date: Thu, 1 Jan 2026 00:00:00 +0000\n"
                          "Subject: [PATCH] x: a change\n\nWhy.\n---\n a | 1 +\n"
                          "\ndiff --git a/a b/a\n+.\n.\n-- \n2.39\n")
    run = programs.run("git", "-c", "user.name=Ann", "-c",
                       "user.email=ann@client.test", "send-email", "--quiet",
                       "--confirm=never", "--no-validate",
                       "--suppress-cc=all", "--from",
                       "Ann <ann@client.test>", "--to", host.address,
                       "--sendmail-cmd",
                       programs.sendmail, patch)
    tap.same(run.returncode, 0, "git send-email")
    if run.returncode:
        tap.note(run.stderr.decode(errors="replace"))
        return
    [got] = arrived(host)
    looks(got, "git send-email", b"[PATCH] x: a change",
          b"Why.\n---\n a | 1 +\n\ndiff --git a/a b/a\n+.\n.\n-- \n2.39\n",
          b"ann@client.test")


def as_php(host, programs):
    if not found("php"):
        return
    script = programs.file("mail.php", '<?php exit(mail($argv[1], "from php", '
                           '"one\\r\\n.\\r\\ntwo\\n", "From: web@client.test'
                           '\\r\\nX-One: 1\\r\\nBcc: ".$argv[1], '
                           '"-fbounce@client.test") ? 0 : 1);')
    run = programs.run("php", "-n", "-d", f"sendmail_path={programs.sendmail} "
                       "-t -i", script, host.address)
    tap.same((run.returncode, run.stdout, run.stderr), (0, b"", b""), "PHP")
    got = arrived(host, 2)[0]
    looks(got, "PHP", b"from php", b"one\n.\ntwo\n\n", b"web@client.test")
    tap.ok(got.startswith(b"Return-Path: <bounce@client.test>\n")
           and not fields(got, "Bcc") and fields(got, "X-One") == [b"1"],
           "PHP: sender, Bcc and own fields", got)
    # its own guard against more fields in the subject is not the last one
    script = programs.file("inject.php", '<?php mail($argv[1], "a\\nBcc: '
                           'x@y.test", "b");')
    programs.run("php", "-n", "-d", f"sendmail_path={programs.sendmail} -t -i",
                 script, host.address)
    tap.same(fields(arrived(host)[0], "Bcc"), [], "PHP: no Bcc by the subject")


def as_pipes(host, programs):
    """logwatch and scripts: a pipe of a shell; Python; without new privileges."""
    run = programs.run("sh", "-c", f'{{ echo "To: {host.address}"; echo "From: '
                       'logwatch@client.test"; echo "Subject: Logwatch for x";'
                       ' echo "Content-Type: text/plain; charset=\\"utf-8\\"";'
                       ' echo; echo " ### Logwatch ###"; echo; echo "done"; } | '
                       f'"{programs.sendmail}" -t')
    tap.ended(run, 0, "", "a pipe like logwatch's")
    looks(arrived(host)[0], "logwatch", b"Logwatch for x",
          b" ### Logwatch ###\n\ndone\n", b"logwatch@client.test")
    run = programs.run("setpriv", "--no-new-privs", programs.sendmail, "-t",
                       "-oi", input=b"To: " + host.address.encode() +
                       b"\nSubject: confined\n\nx\n")
    tap.ended(run, 0, "", "with NoNewPrivileges")
    looks(arrived(host)[0], "NoNewPrivileges", b"confined", b"x\n",
          b"ann@")


# --- SMTP by -bs ------------------------------------------------------------------

def talk(host, text, **more):
    run = host.run("sendmail", "-bs", input=text.replace(b"\n", b"\r\n"),
                   **more)
    return run, [line.split(b" ")[0].split(b"-")[0]
                 for line in run.stdout.split(b"\r\n")
                 if re.match(rb"\d\d\d ", line)]


def session(host):
    to = b"<" + host.address.encode() + b">"
    run, codes = talk(host, b"EHLO me\nMAIL FROM:<a@b.test> BODY=8BITMIME RET="
                      b"HDRS ENVID=e\nRCPT TO:" + to + b" NOTIFY=NEVER\nDATA\n"
                      b"Subject: one\n\n..\n.dot\n\xc3\xa4\n.\n"
                      b"MAIL FROM:<>\nRCPT TO:<user>\nRCPT TO:" + to +
                      b"\nDATA\nSubject: two\n\n.\nQUIT\n")
    tap.ended(run, 0, "", "a session")
    tap.same(codes, [b"220", b"250", b"250", b"250", b"354", b"250", b"250",
                     b"250", b"250", b"354", b"250", b"221"], "its replies")
    got = sorted(arrived(host, 3), key=lambda text: fields(text, "Subject"))
    tap.ok(got[0].startswith(b"Return-Path: <a@b.test>\n")
           and body(got[0]) == b".\ndot\n\xc3\xa4\n"
           and len(fields(got[0], "Message-ID")) == 1,
           "the first is whole", got[0])
    tap.ok(got[1].startswith(b"Return-Path: <>\n"), "so is the second", got[1])
    uid = str(os.stat(os.path.join(host.home, "control")).st_uid).encode()
    tap.ok(b"Received: " in got[0] and b"uid " + uid in got[0],
           "and says whose it is", got[0])
    run, codes = talk(host, b"HELO me\nRCPT TO:<a@b.test>\nDATA\nMAIL FROM:a@b\n"
                      b"MAIL FROM:<a@b.test> X=1\nMAIL FROM:<a@b.test> SIZE=x\n"
                      b"MAIL FROM:<a@b.test>\nMAIL FROM:<a@b.test>\nDATA\n"
                      b"RCPT TO:<>\nRCPT TO:<a b@c>\nRSET\nVRFY x\nNOOP\nFOO\n"
                      b"\n\x1b[2J\n" + b"x" * 9000 + b"\n")
    tap.same(codes, [b"220", b"250", b"503", b"503", b"501", b"555", b"501",
                     b"250", b"503", b"503", b"501", b"501", b"250", b"252",
                     b"250", b"500", b"500", b"500", b"500"], "what is refused")
    tap.ok(b"\x1b" not in run.stdout + run.stderr, "nothing comes back", run)
    for content, code in ((b"a\0b\n.\n", b"554"), (b"a\rb\n.\n", b"554")):
        _, codes = talk(host, b"EHLO me\nMAIL FROM:<a@b.test>\nRCPT TO:" + to +
                        b"\nDATA\n" + content + b"QUIT\n")
        tap.same(codes[5:], [code, b"221"], f"{content!r} is refused")
    run = host.run("sendmail", "-bs", input=b"EHLO me\r\nMAIL FROM:<a@b.test>"
                   b"\r\nRCPT TO:" + to + b"\r\nDATA\r\na\n.\nMAIL FROM:<x@y>"
                   b"\r\n.\r\nQUIT\r\n")
    tap.ok(b"\r\n554 " in run.stdout and run.stdout.count(b"\r\n354 ") == 1,
           "bare line feeds end no message", run.stdout)
    run, codes = talk(host, b"EHLO me\nMAIL FROM:<a@b.test>\nRCPT TO:" + to +
                      b"\nDATA\nSubject: cut\n\n")
    tap.same(codes, [b"220", b"250", b"250", b"250", b"354"],
             "without an end there is no message")
    run, codes = talk(host, b"EHLO me\n", env=dict(
        host.as_owner()["env"], TCPREMOTEIP="192.0.2.1"))
    tap.same((run.returncode, codes), (64, [b"421"]),
             "under tcpserver it turns away")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        with socket.create_connection(server.getsockname()) as client:
            connection, _ = server.accept()
            with connection:
                run = host.run("sendmail", "-bs", stdin=connection,
                               stdout=connection)
            tap.ok(run.returncode == 64 and client.recv(99).startswith(b"421 "),
                   "a connection by TCP, too", run)
    tap.same(host.delivered(), [], "nothing came of that")


# --- the header -------------------------------------------------------------------

def header_forms(host):
    to = host.address.encode()
    local, domain = to.split(b"@")
    text = b"To: The (com, ment \\)) Team: Some One <" + to + b">,\n" \
        b"\t=?utf-8?Q?J=C3=B6rg?= <" + to + b"> (a (nested) one),, ;,\n" \
        b" \"Quoted, Name\" <@a.test,@b.test:" + to + b">\n" \
        b"Cc: undisclosed-recipients:;, " + local + b"\n" \
        b"BCC: " + local + b" @ " + domain + b"\n" \
        b"X-Long: " + b"w" * 5000 + b"\nSubject: forms\n\nx\n"
    send(host, "-t", message=text)
    for got in arrived(host, 5):
        tap.ok(not fields(got, "Bcc") and b"Quoted, Name" in got
               and b"\nX-Long: " + b"w" * 5000 + b"\n" in got, "its header", got)
    send(host, "-t", message=b"Resent-Bcc: " + to + b"\nResent-From: me@x.test\n"
         b"Resent-From: old@x.test\nResent-To: old@elsewhere.invalid\n"
         b"Resent-Bcc: old@elsewhere.invalid\nFrom: a@b.test\nTo: b@elsewhere.invalid\n\n")
    [got] = arrived(host)
    tap.ok(len(fields(got, "Resent-Date")) == 1 and not fields(got, "Resent-Bcc")
           and fields(got, "Resent-From") == [b"me@x.test", b"old@x.test"],
           "of two resendings the newest counts", got)
    tap.ok(host.wait_empty(), "nothing goes to the older one's", host.queued())
    tap.ok(host.delivered() == [], "and no report came", host.contents())
    lines = b"Subject: long\n\n" + b"x" * 1_200_000 + b"\n" + b"\xff" * 99
    send(host, host.address, message=lines)
    tap.same(body(arrived(host)[0]), body(lines) + b"\n", "a line of 1.2 MB")
    send(host, "-t", message=b"\0", status=65, said="NUL")
    send(host, host.address, message=HEADER + b"x" * 9_000_000 + b"\0",
         status=65, said="NUL")
    # What is looked at ends within the name of a field.
    head = b"To: %s\nX: " % host.address.encode()
    for name in (b"Bcc: x@y.test\n", b"Bcc : x@y.test\n", b"\r\n"):
        cut = 4 if name[3:4] == b" " else 1
        fill = b"x" * (8 * 1024 * 1024 - len(head) - 1 - cut) + b"\n"
        send(host, "-t", message=head + fill + name + b"\n" + b"x" * 9,
             status=65, said="header is too long")


def many(host):
    """100,000 recipients by -t; as many as xargs gives as arguments; one more
    than may be."""
    host.svc("-d", "queue-runner")
    count = 100_000
    names = [b"r%d@many.test" % i for i in range(count)]
    send(host, "-t", "-f", "a@b.test", message=b"To: " + b",\n ".join(names) +
         b"\nSubject: x\n\n")
    listed = host.run("queue-list", "--json").stdout
    tap.same(listed.count(b'{"address":'), count, "100,000 recipients by -t")
    send(host, "-t", "-f", "a@b.test", "one@more.test", message=b"To: " +
         b",\n ".join(names) + b"\n\n", status=65, said="100000 recipients")
    run = host.run("sendmail", "-bs", input=b"MAIL FROM:<a@b.test>\r\n" +
                   b"RCPT TO:<r@many.test>\r\n" * (count + 1) + b"QUIT\r\n")
    tap.ok(run.stdout.count(b"250 2.1.5") == count
           and b"\n452 4.5.3 more than" in run.stdout,
           "by -bs those that are too many may come later", run.stdout[-200:])
    for path in host.queued():
        os.unlink(path)
    run = subprocess.run(
        ["xargs", "sh", "-c", 'printf "Subject: x\\n\\n" | "$0" -i -f a@b.test '
         '"$@"', os.path.join(BUILD, "sendmail")],
        input=b"\n".join(names[:20_000]), **dict(host.as_owner()),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    tap.same((run.returncode, run.stderr), (0, b""), "20,000 by xargs")
    listed = host.run("queue-list", "--json").stdout
    tap.same(len(set(re.findall(rb'"address":"(.*?)"', listed))), 20_000,
             "all of them wait")
    for path in host.queued():
        os.unlink(path)
    host.svc("-u", "queue-runner")


# --- other modes --------------------------------------------------------------------

def modes(host):
    tools = dict(host.as_owner()["env"], KEEPMAIL_PROGRAMS=BUILD)
    local, domain = host.address.split("@")
    for addresses, status in (((host.address,), 0), ((local,), 0),
                              (("a@elsewhere.invalid",), 0),
                              ((f"nobody-here@{domain}",), 67),
                              ((f"nobody-here@{domain}", host.address), 67),
                              ((), 64), (("a@@b",), 65)):
        run = host.run("sendmail", "-bv", *addresses, env=tools)
        tap.same(run.returncode, status, f"-bv {' '.join(addresses)}")
    path = os.path.join(os.path.dirname(host.maildir.rstrip("/")),
                        ".qmail-later")
    with open(path, "w") as file:
        file.write("|[ -e now ] || exit 111\n")
    host.give(path)
    send(host, f"{local}-later@{domain}")
    tap.ok(wait_for(lambda: any("/deferred/" in path for path in host.queued())),
           "a message waits", host.logs())
    now = os.path.join(os.path.dirname(path), "now")
    with open(now, "w"):
        pass
    host.give(now)
    tap.ended(host.run("sendmail", "-q", env=tools), 0, "", "sendmail -q")
    tap.ok(host.wait_empty(10), "and it is tried", host.logs())
    for name, folder, status in (("-q", "/nonexistent", 72),
                                 ("-bv", "/nonexistent", 72)):
        run = host.run("sendmail", name, *([local] if name == "-bv" else []),
                       env=dict(tools, KEEPMAIL_PROGRAMS=folder))
        tap.ended(run, status, "cannot be run", f"{name} without its tool")


def hostile(host):
    """Nothing that stands in an argument, a variable or a field becomes a field,
    an option, or a command of a terminal."""
    escape = "\x1b]0;x\x07"
    for options, environment, status in (
            (("-F", "A" + escape, host.address), {}, 64),
            (("-f", "a" + escape + "@b.test", host.address), {}, 64),
            ((escape + "@b.test",), {}, 64), (("-X" + escape, "-Z"), {}, 64),
            (("-N", escape, host.address), {}, 64),
            ((host.address,), {"QMAILUSER": "a\nBcc: x@y.test"}, 64),
            ((host.address,), {"KEEPMAIL": "/no" + escape}, 75),
            ((host.address,), {"QMAILQUEUE": "/no" + escape}, 75),
            (("-q",), {"KEEPMAIL_PROGRAMS": "/no" + escape}, 72),
            (("-N", "never", "--", "-oQ/tmp"), {}, 0)):
        run = host.run("sendmail", *options, input=HEADER,
                       env=dict(host.as_owner()["env"], **environment))
        tap.ok(run.returncode == status and not re.search(
            rb"[^\n -~]", (run.stdout + run.stderr).replace(b"\xe2\x80\xa6",
                                                           b"")),
               f"{options!a} {environment!a}: {status}", run)
    send(host, host.address, env=dict(host.as_owner()["env"],
                                      NAME="A\nBcc: x@y.test" + escape))
    [got] = arrived(host)
    tap.ok(not fields(got, "Bcc") and b"\x1b" not in got,
           "a hostile NAME is left out", got)
    tap.ok(wait_for(lambda: len(host.queued()) == 0), "no more waits",
           host.queued())


def timed(step, *arguments):
    start = time.monotonic()
    tap.case(step, *arguments)
    tap.note(f"{step.__name__}: {time.monotonic() - start:.1f} s")


with Instance() as host:
    programs = Programs(host)
    for step in (as_cron, real_cron, as_mutt, as_s_nail, as_git, as_php,
                 as_pipes):
        timed(step, host, programs)
    for step in (session, header_forms, many, modes, hostile):
        timed(step, host)
tap.done()
