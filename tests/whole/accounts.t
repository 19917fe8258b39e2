#!/usr/bin/env python3
"""user-add, user-passwd and maildirmake as administrators call them; and what
queue-submit says when queue-inject refuses."""

import os
import poplib
import re
import shutil
import stat
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import BUILD, Instance

tap = Tap()
ended = tap.ended


def can_log_in(host, name, password):
    connection = poplib.POP3(host.pop3_host, int(host.pop3_port), timeout=30)
    try:
        connection.user(name)
        connection.pass_(password)
        return True
    except poplib.error_proto as error:
        if b"[AUTH]" not in error.args[0]:
            raise
        return False
    finally:
        connection.close()


def database(host):
    found = {}
    for name in ("accounts.cdb", "secrets.cdb"):
        with open(os.path.join(host.home, "users", name), "rb") as file:
            found[name] = file.read()
    return found


def user_add(host):
    domain = host.domain
    run = host.run("user-add", f"Ann.B@{domain.upper()}", input=b"one two \n")
    ended(run, 0, "", "user-add adds an account")
    tap.same(run.stdout, b"", "and says nothing")
    home = os.path.join(host.home, "mail", domain, "ann.b")
    for folder in ("", "Maildir", "Maildir/new", "Maildir/cur", "Maildir/tmp"):
        status = os.lstat(os.path.join(home, folder))
        tap.same(oct(status.st_mode), oct(stat.S_IFDIR | 0o700),
                 f"{folder or 'its home'} is there, for its owner alone")
    tap.ok(can_log_in(host, f"ann.b@{domain}", "one two "),
           "it can log in at once")
    before = database(host)
    ended(host.run("user-add", f"ann.b@{domain}", input=b"other\n"), 100,
          "exists; user-passwd", "user-add a second time")
    tap.same(database(host), before, "changes nothing")
    elsewhere = os.path.join(host.home, "mail", "elsewhere")
    ended(host.run("user-add", "--home", elsewhere, f"eve@{domain}",
                   input=b"secret"), 0, "",
          "user-add --home, and a password without a line end")
    tap.ok(os.path.isdir(os.path.join(elsewhere, "Maildir", "new")),
           "makes the Maildir there")
    tap.ok(can_log_in(host, f"eve@{domain}", "secret"), "which can be read")
    ended(host.run("user-add", "--", f"-dash@{domain}", input=b"p\n"), 0, "",
          "user-add -- takes a name with a dash")


def user_add_refuses(host):
    domain, before = host.domain, database(host)
    good = f"new@{domain}"
    mail = sorted(os.listdir(os.path.join(host.home, "mail", domain)))
    for arguments, said in (
            ((), "usage: "), ((good, "more"), "usage: "),
            (("--home",), "usage: "), (("--home", "/tmp/x"), "usage: "),
            (("-h", good), "usage: "), (("--home=/tmp/x", good), "usage: "),
            (("",), "address"), (("new",), "new"), (("@" + domain,), "address"),
            (("new@",), "address"), (("new@a@b",), "new@a@b"),
            (("new@[192.0.2.1]",), "domain|name"), (("n/w@" + domain,), "/"),
            ((".new@" + domain,), "\\."), (("..@" + domain,), "address|\\."),
            (('".."@' + domain,), "\\."), (('"a/../../b"@' + domain,), "/"),
            (("new@..",), "address"), (("new@a/b",), "address|domain"),
            (("n\now@" + domain,), "address"), (("x" * 300 + "@b.test",), "x"),
            (("new@" + "x" * 300,), "x"), (("n\u00e4w@" + domain,), "."),
            (("--home", "relative", good), "absolute"),
            (("--home", "/tmp/../etc", good), "\\.\\."),
            (("--home", "/" + "x" * 5000, good), "octets"),
            (("--home", "", good), "absolute")):
        ended(host.run("user-add", *arguments, input=b"p\n"), 100, said,
              f"user-add {' '.join(map(repr, arguments))}"[:80])
    for password, said in ((b"", "password|empty"), (b"\n", "empty"),
                           (b"a\0b\n", "NUL"), (b"x" * 512 + b"\n", "511"),
                           (b"x" * 1_000_000, "511")):
        ended(host.run("user-add", good, input=password), 100, said,
              f"user-add with {len(password)} octets of {password[:2]!r}")
    for tool in ("user-add", "user-passwd"):
        run = subprocess.run(["sh", "-c", 'exec "$0" "$@" <&-',
                              os.path.join(BUILD, tool), good], cwd="/",
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             timeout=30, **host.as_owner())
        ended(run, 100, "standard input", f"{tool} without standard input")
    tap.same(database(host), before, "nothing was changed")
    tap.same(sorted(os.listdir(os.path.join(host.home, "mail", domain))), mail,
             "and no folder was made")
    link = os.path.join(host.home, "mail", domain, "link")
    os.symlink("/tmp", link)
    ended(host.run("user-add", f"link@{domain}", input=b"p\n"), 111,
          "symbolic link", "user-add where a link stands")
    os.unlink(link)
    tap.same(database(host)["accounts.cdb"], before["accounts.cdb"],
             "adds nothing")
    ended(host.run("user-add", good, input=b"p\n",
                   env={"KEEPMAIL": "/nonexistent"}), 111, "/nonexistent",
          "user-add without a home")


def user_passwd(host):
    name = f"ann.b@{host.domain}"
    ended(host.run("user-passwd", name.upper(), input=b"another\nline\n"), 0, "",
          "user-passwd changes a password")
    tap.ok(can_log_in(host, name, "another"), "the new one holds")
    tap.ok(not can_log_in(host, name, "one two "), "the old one does not")
    ended(host.run("user-passwd", name, input=b"another\n"), 0, "",
          "to the same one, too")
    before = database(host)
    for arguments, password, said in (
            ((), b"p\n", "usage: "), ((name, name), b"p\n", "usage: "),
            (("-x",), b"p\n", "usage: "), (("",), b"p\n", "address"),
            ((f"nobody@{host.domain}",), b"p\n", "is not an account"),
            (("root",), b"p\n", "root"), (("../x@y",), b"p\n", "/|\\."),
            ((name,), b"", "password|empty"), ((name,), b"\n", "empty"),
            ((name,), b"a\0b\n", "NUL"), ((name,), b"x" * 512 + b"\n", "511")):
        ended(host.run("user-passwd", *arguments, input=password), 100, said,
              f"user-passwd {arguments} {password[:4]!r}")
    tap.same(database(host), before, "changes nothing")
    unwritable(host, name, before)


def unwritable(host, name, before):
    users = os.path.join(host.home, "users")
    mode = stat.S_IMODE(os.stat(users).st_mode)
    os.chmod(users, 0o500)
    try:
        for tool, who in (("user-passwd", name), ("user-add", "x@y.test")):
            ended(host.run(tool, who, input=b"p\n"), 111, re.escape(users),
                  f"{tool} when the database cannot be written")
    finally:
        os.chmod(users, mode)
    tap.same(database(host), before, "changes nothing")
    secrets = os.path.join(users, "secrets.cdb")
    with open(secrets, "r+b") as file:
        file.truncate(100)
    for tool, who in (("user-passwd", name), ("user-add", "x@y.test")):
        ended(host.run(tool, who, input=b"p\n"), 111, "secrets",
              f"{tool} when the database is damaged")
    with open(secrets, "wb") as file:
        file.write(before["secrets.cdb"])
    ended(host.run("user-passwd", name, input=b"again\n"), 0, "",
          "user-passwd when all is well again")


def maildirmake(host):
    folder = tempfile.mkdtemp(prefix="keepmail-make.")
    os.chmod(folder, 0o755)
    host.give(folder)
    path = os.path.join(folder, "Maildir")
    try:
        ended(host.run("maildirmake", path), 0, "", "maildirmake")
        for name in ("", "new", "cur", "tmp"):
            tap.same(oct(os.lstat(os.path.join(path, name)).st_mode),
                     oct(stat.S_IFDIR | 0o700), f"makes {name or 'a folder'}")
        before = os.stat(path).st_mtime_ns
        ended(host.run("maildirmake", path), 100, "File exists",
              "maildirmake twice")
        tap.same(os.stat(path).st_mtime_ns, before, "changes nothing")
        ended(host.run("maildirmake", "--", "-dash", cwd=folder), 0, "",
              "maildirmake -- and a dash")
        for arguments, said in (
                ((), "usage: "), (("",), "usage: "), (("-x",), "usage: "),
                ((path + "1", path + "2"), "usage: "),
                ((folder + "/no/such",), "No such"),
                (("/proc/x",), "/proc/x"), (("/etc/passwd/x",), "passwd"),
                (("/keepmail-test-none",), "denied")):
            ended(host.run("maildirmake", *arguments), 100, said,
                  f"maildirmake {arguments}")
        ended(host.run("maildirmake", folder + "/" + "x" * 300), 111,
              "too long", "maildirmake with a name that is too long")
        tap.same(sorted(os.listdir(folder)), ["-dash", "Maildir"],
                 "nothing else was made")
    finally:
        shutil.rmtree(folder)


# --- what queue-inject refuses -------------------------------------------------

def restart(host, service):
    old = host.pid(service)
    subprocess.run(["svc", "-t", os.path.join(host.home, "service", service)],
                   check=True)
    wait_for(lambda: host.pid(service) not in (0, old))


def submit(host, message):
    with tempfile.TemporaryFile() as file:
        file.write(b"Fa@b.test\0T" + host.address.encode() + b"\0\0")
        file.seek(0)
        return host.run("queue-submit", input=message, stdout=file)


def submit_when(host, status, message=b"x\n"):
    """The first call that ends so: the service may still be starting."""
    last = []

    def attempt():
        last[:] = [submit(host, message)]
        return last[0].returncode == status
    wait_for(attempt)
    return last[0]


def refusals(host):
    incoming = os.path.join(host.queue, "incoming")
    mode = stat.S_IMODE(os.stat(incoming).st_mode)
    os.chmod(incoming, 0o500)
    ended(submit(host, b"x\n"), 53, "cannot be written|incoming|denied",
          "the queue cannot be written")
    os.chmod(incoming, mode)
    host.control("queuefree", "1000000000\n")
    restart(host, "queue-inject")
    run = submit_when(host, 53)
    ended(run, 53, "no room", "no room is left free on the disk")
    os.unlink(host.control("queuefree", ""))
    host.control("concurrencyinject", "1\n")
    restart(host, "queue-inject")
    ended(submit_when(host, 0), 0, "", "one submission at a time")
    with tempfile.TemporaryFile() as file:
        slow = wait_for(lambda: begin(host, file))
        ended(submit(host, b"x\n"), 71, "too many", "two at a time")
        host_pid = host.pid("queue-inject")
        slow.stdin.close()
        tap.same((slow.wait(30), slow.stderr.read() != b""), (91, True),
                 "the first, without an envelope, is refused")
        slow.stderr.close()
    tap.same(host.pid("queue-inject"), host_pid, "queue-inject goes on")
    ended(submit_when(host, 0), 0, "", "then there is room again")
    os.unlink(os.path.join(host.home, "control", "concurrencyinject"))


def begin(host, file):
    """A submission that is let in and goes on, or None: the place of the one
    before it is not free yet."""
    slow = subprocess.Popen([os.path.join(BUILD, "queue-submit")],
                            stdin=subprocess.PIPE, stdout=file,
                            stderr=subprocess.PIPE, cwd="/", bufsize=0,
                            **host.as_owner())
    # More than the pipe holds: it is being read, so it was let in.
    left = memoryview(b"x" * 500_000)
    try:
        while left:
            left = left[slow.stdin.write(left):]
    except BrokenPipeError:
        slow.stdin.close()
        slow.wait(30)
        slow.stderr.close()
        return None
    return slow


with Instance() as host:
    for step in (user_add, user_add_refuses, user_passwd, maildirmake,
                 refusals):
        tap.case(step, host)
tap.done()
