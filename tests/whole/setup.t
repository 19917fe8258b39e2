#!/usr/bin/env python3
"""setup makes a private home, may be run again, changes nothing that is there, and
tells what is missing; install-check finds what is not as it should be."""

import os
import pwd
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from dnsserver import NameServer, authentic, encode
from findings import Findings, certificate, programs
from tap import Tap

tap = Tap()
NOBODY = pwd.getpwnam("nobody")
PTR = 12


class Place:
    """A folder of an ordinary user, with the tools."""

    def __init__(self, folder):
        os.chmod(folder, 0o755)
        self.folder = folder
        self.tools = programs(os.path.join(folder, "programs"))
        self.certificates = os.path.join(folder, "certificates")
        os.mkdir(self.certificates)
        self.number = 0
        self.new_home()

    def new_home(self):
        self.number += 1
        above = os.path.join(self.folder, f"n{self.number}")
        os.mkdir(above)
        if os.geteuid() == 0:
            os.chown(above, NOBODY.pw_uid, NOBODY.pw_gid)
        self.home = os.path.join(above, "home")

    def path(self, *parts):
        return os.path.join(self.home, *parts)

    def read(self, *parts):
        with open(self.path(*parts)) as file:
            return file.read()

    def write(self, text, *parts):
        """As the owner of the home would."""
        with open(self.path(*parts), "w") as file:
            file.write(text)
        if os.geteuid() == 0:
            os.chown(self.path(*parts), NOBODY.pw_uid, NOBODY.pw_gid)

    def run(self, tool, *words, input=b"", owner=True):
        more = {"user": NOBODY.pw_uid, "group": NOBODY.pw_gid,
                "extra_groups": []} if owner and os.geteuid() == 0 else {}
        return subprocess.run(
            [os.path.join(self.tools, tool), *words], input=input, cwd="/",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
            env={"KEEPMAIL": self.home, "PATH": os.environ["PATH"]}, **more)

    def setup(self, *words, input=b"", **more):
        return self.run("setup", "--private", "--programs", self.tools,
                        "--certificates", self.certificates, *words,
                        input=input, **more)

    def found(self, *words, input=b""):
        return Findings(self.setup("--json", *words, input=input))

    def check(self, *words):
        return Findings(self.run("install-check", "--json", "--programs",
                                 self.tools, *words))


# --- what is made

def first_time(place):
    run = place.found("--no-checks", "--user", "Ann@example.org", "--host",
                      "mail.example.org", "Example.ORG", input=b"secret\n")
    tap.ok(run.status == 0 and run.of("account") == ["changed"]
           and "fail" not in run.results(), "everything is made", run.text)
    tap.same([place.read("control", n) for n in ("me", "locals", "rcpthosts")],
             ["mail.example.org\n"] + ["example.org\nmail.example.org\n"] * 2,
             "me, locals and rcpthosts")
    tap.same([place.read("alias", ".qmail-" + n) for n in
              ("postmaster", "abuse", "mailer-daemon")],
             ["&ann@example.org\n"] * 3, "whose mail is whose")
    said = place.run("user-list").stdout
    tap.ok(b"ann@example.org" in said, "the account is there", said)
    key = os.stat(place.path("tls", "mail.example.org.key"))
    tap.same(key.st_mode & 0o777, 0o640, "the key is closed to others")


def tree(place):
    found = {}
    for folder, _, names in os.walk(place.home):
        for name in names:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            if "/service/" not in path:
                found[path] = (st.st_ino, st.st_mode, st.st_mtime_ns)
    return found


def again(place):
    before = tree(place)
    run = place.found("--no-checks", "--user", "ann@example.org",
                      "example.org", input=b"another\n")
    tap.ok(run.status == 0 and "changed" not in run.results()
           and "fail" not in run.results(), "the second time all is there",
           run.text)
    tap.same(tree(place), before, "and no file was written")
    text = place.setup("--no-checks", "--user", "ann@example.org",
                       "example.org").stdout.decode()
    lines = text.splitlines()
    tap.ok(lines and lines[0].startswith("ok      users: ")
           and lines[-1].endswith(" 0 FAIL"), "told in lines for people", text)


def what_is_there_stays(place):
    place.write("x.example\n" * 20000 + "Example.org \nother.example\n",
                "control", "rcpthosts")
    run = place.found("--no-checks", "--user", "ann@example.org",
                      "example.org")
    tap.same(run.of("control/rcpthosts"), ["ok"], "a long list has it")
    place.write("other.example\n", "control", "rcpthosts")
    run = place.found("--no-checks", "--user", "ann@example.org",
                      "example.org")
    tap.same((run.of("control/rcpthosts"), run.mend("control/rcpthosts"),
              run.status),
             (["warn"],
              [f"echo example.org >>{place.path('control/rcpthosts')}"], 0),
             "a file that says something else is told of")
    tap.same(place.read("control", "rcpthosts"), "other.example\n",
             "and stays")
    run = place.found("--no-checks", "--user", "ann@example.org",
                      "second.example")
    tap.same(run.of("domain"), ["changed"],
             "a second domain goes into the user database")
    tap.ok(b"second.example" in place.run("domain-list").stdout
           and "second" not in place.read("control", "locals"),
           "and locals stays")
    run = place.found("--no-checks", "--user", "ann@example.org",
                      "second.example")
    tap.same(run.of("domain"), ["ok"], "where it is the next time")
    locals_ = place.read("control", "locals")
    os.unlink(place.path("control", "locals"))
    place.write("Virtual.example:ann\n", "control", "virtualdomains")
    run = place.found("--no-checks", "--user", "ann@example.org",
                      "virtual.example")
    tap.ok(run.of("domain") == ["ok"]
           and not os.path.exists(place.path("control", "locals")),
           "a domain of virtualdomains does not become local", run.text)
    os.unlink(place.path("control", "virtualdomains"))
    place.write(locals_, "control", "locals")


def goes_on(place):
    """Each step is taken whatever came of the one before."""
    place.new_home()
    run = place.found("--no-checks", "example.org")
    tap.same((run.status, run.of("account")), (1, ["fail"]),
             "without a password there is no account")
    tap.ok(run.of("certificate") in (["changed"], ["warn"]),
           "but a certificate", run.text)
    tap.same(run.mend("account"),
             ["keepmail user-add postmaster@example.org"],
             "and what to do is told")
    os.rename(os.path.join(place.tools, "user-add"),
              os.path.join(place.tools, "away"))
    run = place.found("--no-checks", "example.org", input=b"secret\n")
    tap.ok(run.status == 1 and run.of("account") == ["fail"]
           and "user-add" in run.text.decode()
           and run.of("mail.example.org.pem"), "a tool that is missing",
           run.text)
    os.rename(os.path.join(place.tools, "away"),
              os.path.join(place.tools, "user-add"))
    run = place.found("--no-checks", "example.org", input=b"secret\n")
    tap.same((run.status, run.of("account")), (0, ["changed"]),
             "the next call finishes the work")


def certificates(place):
    place.new_home()
    # Our own gives way to certbot's, by what is said of it.
    words = ("--no-checks", "--host", "mail.example.org", "example.org")
    place.found(*words, input=b"secret\n")
    run = place.found(*words)
    [mend] = [f["mend"] for f in run.list
              if f["subject"].endswith("mail.example.org.pem")]
    subprocess.run(["sh", "-c", mend.split(" && ")[1]], check=True)
    tap.same(os.listdir(place.path("tls")), [], "what removes our own, key too")
    certificate(place.certificates, "mail.example.org", 5)
    words = ("--no-checks", "--host", "mail.example.org", "example.org")
    run = place.found(*words, input=b"secret\n")
    tap.same(run.of("certificate"), ["changed"], "certbot's is taken")
    with open(os.path.join(place.certificates, "mail.example.org",
                           "fullchain.pem")) as file:
        tap.same(place.read("tls", "mail.example.org.pem"), file.read(),
                 "as it is")
    run = place.found(*words)
    tap.ok(run.of("mail.example.org.pem") == ["warn"]
           and b"expires within" in run.text, "one that ends soon", run.text)
    place.write("no certificate\n", "tls", "mail.example.org.pem")
    run = place.found(*words)
    tap.same((run.status, run.of("mail.example.org.pem")), (1, ["fail"]),
             "one that is none")
    os.unlink(place.path("tls", "mail.example.org.pem"))
    key = place.read("tls", "mail.example.org.key")
    run = place.found(*words)
    tap.ok(run.status == 1 and run.of("mail.example.org.key") == ["fail"]
           and place.read("tls", "mail.example.org.key") == key,
           "a key that waits for its certificate stays", run.text)
    shutil.rmtree(place.path("tls"))
    certificate(place.certificates, "else.example", 90)
    run = place.found(*words, input=b"")
    with open(os.path.join(place.certificates, "else.example",
                           "fullchain.pem")) as file:
        place.write(file.read(), "tls", "mail.example.org.pem")
    run = place.found(*words)
    tap.ok(run.of("mail.example.org.pem") == ["warn"]
           and b"is not for the name" in run.text, "one for another name",
           run.text)


# --- what is looked at

def names(place):
    """What DNS says; on a machine without a network a FAIL is a warning."""
    place.new_home()
    with NameServer() as server:
        server.mx("signed.example", (10, "mail.signed.example"))
        server.mx("example.org", (10, "elsewhere.example"))
        server.rr("1.0.0.127.in-addr.arpa", PTR, encode("localhost"))
        words = ("--signed", "signed.example", "--reach", "nobody.example",
                 "--host", "mail.example.org", "example.org")
        place.found("--no-checks", *words, input=b"secret\n")
        place.write(server.where + "\n", "control", "nameservers")
        run = place.found(*words)
        bad = ["warn"] if run.of("network") else ["fail"]
        tap.same([run.of(s) for s in ("resolver", "DNSSEC", "mail.example.org",
                                      "MX", "way out")],
                 [["ok"], ["warn"], bad, bad, ["warn"]],
                 "a domain that is not ours yet")
        tap.same(run.mend("MX"),
                 ["add to the zone: example.org. MX 10 mail.example.org."],
                 "what to write into the zone")
        run = place.found("--loopback", *words)
        tap.same((run.status, run.of("MX")), (0, ["warn"]),
                 "on loopback that is no fault")
        server.a("mail.example.org", "127.0.0.1")
        server.behave("signed.example", authentic)
        run = place.found(*words)
        tap.same([run.of(s) for s in ("DNSSEC", "mail.example.org",
                                      "127.0.0.1", "MX")],
                 [["ok"], ["ok"], bad, bad],
                 "an address whose name is another")
        server.table[("1.0.0.127.in-addr.arpa", PTR)] = [
            (encode("Mail.Example.org"), 300)]
        server.table[("example.org", 15)] = [
            (struct.pack("!H", 5) + encode("mail.example.org"), 300)]
        place.write(":relay.example:587\n", "control", "smtproutes")
        run = place.found(*words)
        tap.same([run.of(s) for s in ("127.0.0.1", "MX", "way out")],
                 [["ok"]] * 3, "all in order")
        server.a("mail.example.org", "192.0.2.77")
        run = place.found(*words)
        tap.ok("warn" in run.of("192.0.2.77") and b"NAT" in run.text,
               "an address that no interface has", run.text)
        ports(place, words)
    run = place.found(*words)
    tap.same(run.of("resolver"), bad, "a resolver that does not answer")


def ports(place, words):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        said = []

        def serve():
            while said:
                try:
                    client = listener.accept()[0]
                except OSError:
                    return
                client.sendall(said.pop(0))
                client.close()

        place.write(f"{listener.getsockname()[1]}\n", "port", "smtp")
        for text, result in ((b"220 exim\x1b[2J ready\r\n", "fail"),
                             (b"220 mail.example.org ESMTP\r\n", "ok")):
            said.append(text)
            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            run = place.setup(*words)
            thread.join(20)
            line = [l for l in run.stdout.decode().splitlines()
                    if ": port " in l or " port " in l[:14]]
            tap.ok(len(line) == 1 and line[0].lower().startswith(result)
                   and "\x1b" not in line[0], f"a server says {text}", line)
    run = place.found(*words)
    port = [f for f in run.list if f["subject"].startswith("port ")]
    tap.ok(len(port) == 1 and port[0]["result"] == "ok"
           and "free" in port[0]["text"], "nobody listens", port)
    tap.ok(all(len(run.of(s)) == 1 for s in ("clock", "disk", "services"))
           and len(run.of("queue")) == 1 and run.of("services") == ["warn"],
           "clock, disk, queue and services", run.text)


# --- install-check

def checks(place):
    place.new_home()
    place.found("--no-checks", "example.org", input=b"secret\n")
    run = place.check()
    tap.ok(run.status == 0 and not run.faults() and len(run.list) > 100,
           "a new home is in order", run.faults())
    text = place.run("install-check", "--programs", place.tools).stdout
    tap.ok(text.count(b"\n") == 1 and text.endswith(b" 0 FAIL\n"),
           "for people one line says so", text)
    hostile = place.path("queue/held/$(touch x)'\x1b[2J")
    os.mkfifo(place.path("pipe"))
    place.write("x", hostile)
    os.chmod(hostile, 0o4755)
    os.chmod(place.path("queue/active"), 0o777)
    os.unlink(place.path("queue/wake/runner"))
    os.rmdir(place.path("queue/doubtful"))
    os.rename(place.path("pipe"), place.path("queue/doubtful"))
    place.write("x", "secrets", "smarthosts")
    os.chmod(place.path("secrets/smarthosts"), 0o644)
    os.chmod(place.path("control/me"), 0o666)
    place.write("x", "mail", "elsewhere")
    os.chmod(place.path("mail/elsewhere"), 0o666)
    os.symlink("../mail/elsewhere", place.path("control/badmailfrom"))
    run = place.check()
    wrong = {os.path.basename(f["subject"]): f for f in run.faults()}
    tap.same((run.status, sorted(wrong)),
             (1, sorted(["active", "runner", "doubtful", "smarthosts", "me",
                         "badmailfrom",
                         os.path.basename(hostile)])),
             "each fault is found, and nothing else")
    tap.same([wrong[n]["mend"] for n in ("active", "runner", "smarthosts",
                                         "me")],
             [f"chmod 0755 {place.path('queue/active')}",
              f"{place.tools}/make-home --private {place.home}",
              f"chmod 0640 {place.path('secrets/smarthosts')}",
              f"chmod 0644 {place.path('control/me')}"],
             "with what mends it")
    text = place.run("install-check", "--programs", place.tools).stdout
    tap.ok(b"\x1b" not in text, "a hostile name commands no terminal", text)
    os.unlink(place.path("queue/doubtful"))
    for fault in wrong.values():
        subprocess.run(["sh", "-c", fault["mend"]], cwd=place.folder,
                       stdin=subprocess.DEVNULL, timeout=30,
                       **({"user": NOBODY.pw_uid, "group": NOBODY.pw_gid,
                           "extra_groups": []} if os.geteuid() == 0 else {}))
    run = place.check()
    tap.ok(run.status == 0 and not os.path.exists(place.folder + "/x"),
           "the commands mend it, and do nothing else", run.faults())


def wrong_calls(place):
    for words in ((), ("a.example", "b.example"), ("nodot",), ("--what",),
                  ("--user",), ("--user", "no-domain", "a.example"),
                  ("--host", "short", "a.example"), ("[127.0.0.1]",),
                  ("--reach", "..", "a.example"), ("-x", "a.example"),
                  ("a" * 64 + ".example",), ("\x1b[2J.example",)):
        run = place.setup(*words)
        tap.ok(run.returncode == 100 and not run.stdout
               and b"usage: setup" in run.stderr and b"\x1b" not in run.stderr,
               f"setup {words!r}: usage", run)
    for words in (("x",), ("--programs",), ("--programs", "relative"),
                  ("--what",)):
        run = place.run("install-check", *words)
        tap.ok(run.returncode == 100 and run.stderr and not run.stdout,
               f"install-check {words!r}: 100", run)
    if os.geteuid() == 0:
        run = place.setup("a.example", owner=False)
        tap.ok(run.returncode == 100 and b"not root's" in run.stderr,
               "root makes no private home", run)
    run = place.run("setup", "--programs", place.tools, "a.example")
    tap.ok(run.returncode in (0, 1), "a private home stays one", run)


def main():
    with tempfile.TemporaryDirectory(prefix="keepmail-test.") as folder:
        place = Place(folder)
        for case in (first_time, again, what_is_there_stays, goes_on,
                     certificates, names, checks, wrong_calls):
            tap.case(case, place)


tap.case(main)
tap.done()
