#!/usr/bin/env python3
"""Virtual mail: domains, users and aliases that exist from one moment to the next,
with mail, POP3 and the lists; import and export; a look-up program."""

import json
import os
import poplib
import shutil
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import BUILD, Instance

MANY = 100000
tap = Tap()
ended = tap.ended


def rcpt(host, address):
    with host.smtp() as client:
        client.ehlo()
        client.mail("a@client.test")
        return client.rcpt(address)[0]


def send(host, address, subject):
    with host.smtp() as client:
        client.sendmail("a@client.test", [address],
                        f"Subject: {subject}\r\n\r\nx\r\n")


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


def maildir(host, name, domain="v.test"):
    return os.path.join(host.home, "mail", domain, name, "Maildir")


def arrives(host, address, at, subject, domain="v.test"):
    send(host, address, subject)
    found = wait_for(lambda: [x for x in host.contents(maildir(host, at, domain))
                              if f"Subject: {subject}\n".encode() in x])
    tap.ok(found, f"mail to {address} arrives at {at}", host.logs())


def listed(host, *arguments):
    return json.loads(host.run("user-list", "--json", *arguments).stdout)


def domains(host):
    tap.same(rcpt(host, "ann@v.test"), 550, "a domain that is not there: 550")
    ended(host.run("domain-add", "V.test"), 0, "", "domain-add")
    ended(host.run("domain-add", "v.test"), 100, "exists", "a second time")
    ended(host.run("domain-add", "no domain"), 100, "not a domain", "no domain")
    ended(host.run("domain-add"), 100, "usage", "no argument")
    tap.same(host.run("domain-list").stdout, b"v.test\tdomain\n", "domain-list")
    said = json.loads(host.run("domain-list", "--json").stdout)
    tap.same([x["name"] for x in said], ["v.test"], "domain-list --json")
    tap.same(rcpt(host, "ann@v.test"), 550, "nobody in it yet: 550")
    tap.same(rcpt(host, "postmaster@v.test"), 250, "its postmaster: 250")


def users(host):
    ended(host.run("user-add", "ann@v.test", input=b"one\n"), 0, "", "user-add")
    tap.same(rcpt(host, "ANN@V.test"), 250, "at once RCPT takes it")
    arrives(host, "ann@v.test", "ann", "first")
    tap.ok(can_log_in(host, "ann@v.test", "one"), "and POP3 lets it in")
    ended(host.run("user-set", "--login", "no", "ann@v.test"), 0, "", "no login")
    tap.ok(not can_log_in(host, "ann@v.test", "one"), "user-set --login no")
    arrives(host, "ann@v.test", "ann", "closed")
    ended(host.run("user-set", "--login", "yes", "--quota", "2M",
                   "ann@v.test"), 0, "", "user-set")
    tap.ok(can_log_in(host, "ann@v.test", "one"), "user-set --login yes")
    tap.same([x["quota"] for x in listed(host, "v.test")
              if x["name"] == "ann@v.test"], [2 << 20], "--quota is listed")
    for bad in (["--quota", "much"], ["--copy", "maybe"], ["--forward", "x"],
                ["--forward", "ann@v.test"]):
        ended(host.run("user-set", *bad, "ann@v.test"), 100, ".", f"{bad}")
    ended(host.run("user-set", "--login", "yes", "bob@v.test"), 100,
          "not an account", "nobody")


def full(host):
    """A mailbox that is known to be full is refused at RCPT."""
    ended(host.run("user-add", "--quota", "3M", "eve@v.test", input=b"x\n"), 0,
          "", "user-add --quota")
    tap.same([x["quota"] for x in listed(host, "v.test")
              if x["name"] == "eve@v.test"], [3 << 20], "is listed")
    ended(host.run("user-add", "--quota", "much", "no@v.test", input=b"x\n"),
          100, "usage", "much is no size")
    ended(host.run("user-set", "--messages", "1", "eve@v.test"), 0, "",
          "room for one message")
    tap.same(rcpt(host, "eve@v.test"), 250, "nothing there: taken")
    arrives(host, "eve@v.test", "eve", "the one")
    tap.ok(wait_for(lambda: rcpt(host, "eve@v.test") == 452),
           "one is there: 452", host.logs())
    size = os.path.join(maildir(host, "eve"), "maildirsize")
    os.utime(size, (1, 1))
    tap.same(rcpt(host, "eve@v.test"), 250, "what is old is not believed")
    os.utime(size)
    instructions = os.path.join(os.path.dirname(maildir(host, "eve")), ".qmail")
    with open(instructions, "w", encoding="ascii") as file:
        file.write("&bob@v.test\n")
    os.chmod(instructions, 0o644)
    tap.same(rcpt(host, "eve@v.test"), 250, "with instructions: they decide")
    os.unlink(instructions)
    tap.same(rcpt(host, "eve@v.test"), 452, "without: full again")
    host.control("quotafails", "1\n")
    host.restart("warden")
    tap.same(rcpt(host, "eve@v.test"), 552, "control/quotafails: 552")
    os.unlink(os.path.join(host.home, "control", "quotafails"))
    host.restart("warden")
    with open(size, "w", encoding="ascii") as file:
        file.write("nonsense\n")
    tap.same(rcpt(host, "eve@v.test"), 250, "nonsense is not believed")
    ended(host.run("user-set", "--messages", "0", "--quota", "0",
                   "eve@v.test"), 0, "", "no quota of the database's")
    with open(size, "w", encoding="ascii") as file:
        file.write("5C\n100 5\n")
    tap.same(rcpt(host, "eve@v.test"), 250, "one of the Maildir's own waits")
    host.control("quotaatrcpt", "1\n")
    host.restart("resolve")
    tap.same(rcpt(host, "eve@v.test"), 452, "control/quotaatrcpt: 452")
    tap.same(rcpt(host, "ann@v.test"), 250, "without that file: taken")
    os.unlink(os.path.join(host.home, "control", "quotaatrcpt"))
    host.restart("resolve")
    ended(host.run("user-del", "eve@v.test"), 0, "", "eve goes")


def aliases(host):
    ended(host.run("user-add", "bob@v.test", input=b"two\n"), 0, "", "bob")
    ended(host.run("alias-add", "both@v.test", "ann@v.test", "bob@v.test"), 0, "",
          "alias-add")
    arrives(host, "both@v.test", "ann", "to both")
    tap.ok(host.wait_delivered(1, maildir=maildir(host, "bob")), "and to bob")
    ended(host.run("alias-add", "both@v.test", "x@y.test"), 100, "exists",
          "an alias twice")
    tap.ok(not can_log_in(host, "both@v.test", ""), "an alias cannot log in")
    ended(host.run("user-set", "--forward", "bob@v.test", "--copy", "yes",
                   "ann@v.test"), 0, "", "a forward")
    arrives(host, "ann@v.test", "ann", "a copy")
    tap.ok(wait_for(lambda: b"Subject: a copy\n" in
                    b"".join(host.contents(maildir(host, "bob")))),
           "and the forward")
    ended(host.run("user-set", "--copy", "no", "ann@v.test"), 0, "", "no copy")
    arrives(host, "ann@v.test", "bob", "sent on")
    tap.ok(b"Subject: sent on\n" not in
           b"".join(host.contents(maildir(host, "ann"))), "nothing is kept")
    ended(host.run("user-set", "--forward", "", "ann@v.test"), 0, "", "no more")
    arrives(host, "ann@v.test", "ann", "kept again")
    tap.same(rcpt(host, "any@v.test"), 550, "no catch-all: 550")
    ended(host.run("alias-add", "*@v.test", "bob@v.test"), 0, "", "a catch-all")
    arrives(host, "any.thing@v.test", "bob", "caught")
    ended(host.run("user-del", "*@v.test"), 0, "", "user-del of it")
    tap.same(rcpt(host, "any@v.test"), 550, "no catch-all any more")
    ended(host.run("alias-add", "loop@v.test", "pool@v.test"), 0, "", "loop")
    ended(host.run("alias-add", "pool@v.test", "loop@v.test"), 0, "", "pool")
    send(host, "loop@v.test", "round")
    tap.ok(wait_for(lambda: "mail_loop" in host.log("queue-runner")),
           "aliases that go in circles end", host.logs())


def transfer(host):
    """Export, everything removed, import: all is as it was."""
    before = listed(host)
    run = host.run("user-export")
    ended(run, 0, "", "user-export")
    text = run.stdout
    ended(host.run("domain-del", "v.test"), 100, "--all", "domain-del")
    ended(host.run("domain-del", "--all", "v.test"), 0, "", "domain-del --all")
    tap.same(rcpt(host, "ann@v.test"), 550, "at once nobody is there")
    tap.ok(not can_log_in(host, "ann@v.test", "one"), "and nobody logs in")
    tap.ok(host.contents(maildir(host, "ann")), "the mail is not removed")
    ended(host.run("user-import", input=text), 0, "", "user-import")
    tap.same(listed(host), before, "everything is there again")
    tap.ok(can_log_in(host, "ann@v.test", "one"), "with the password")
    tap.same(host.run("user-export").stdout, text, "and exports the same")
    for line, said in (("user\tx\n", "line 1: .*not an address"),
                       ("\n#\nuser\tx@v.test\tquota=x\n", "line 3: .*quota"),
                       ("user\tx@v.test\towner=0:1\n", "owner"),
                       ("user\tx@v.test\thome=rel\n", "cannot be"),
                       ("user\tx@v.test\tscram=1:2\n", "scram"),
                       ("user\tx@v.test\tplain=a\n", "go with hash"),
                       ("alias\tx@v.test\n", "needs a to="),
                       ("user\t*@v.test\n", "is an alias"),
                       ("what\tx\n", "expected domain"),
                       ("user\tx@v.test\tpassword=\0a\n", "NUL")):
        ended(host.run("user-import", input=b"user\tnew@v.test\n"
                       + line.encode()), 100,
              said.replace("line 1", "line 2").replace("line 3", "line 4"),
              f"{line!r}")
    tap.same(listed(host), before, "what is wrong in one line changes nothing")


def refused(host):
    """What export could not give back, and what belongs to another owner."""
    before = listed(host)
    ended(host.run("user-add", "*@v.test", input=b"p\n"), 100, "alias-add",
          "user-add of a catch-all")
    ended(host.run("alias-add", "odd@v.test", "bob@v.test"), 0, "", "an alias")
    for option, value in (("--quota", "1M"), ("--messages", "3"),
                          ("--copy", "yes"), ("--login", "no")):
        ended(host.run("user-set", option, value, "odd@v.test"), 100,
              "odd@v.test is an alias", f"an alias has no {option}")
    ended(host.run("user-passwd", "odd@v.test", input=b"p\n"), 100,
          "is an alias", "nor a password")
    ended(host.run("user-set", "--forward", "ann@v.test", "odd@v.test"), 0, "",
          "it has targets")
    ended(host.run("user-import", input=host.run("user-export").stdout), 0, "",
          "an export can be imported")
    ended(host.run("user-del", "odd@v.test"), 0, "", "it goes")
    tap.same(listed(host), before, "all is as before")
    uid, gid = os.stat(host.home).st_uid or 12345, os.stat(host.home).st_gid
    text = (f"domain\tone.test\towner={uid}:77777\ndomain\ttwo.test\n"
            "user\tx@one.test\nuser\tx@two.test\nalias\ty@one.test\tto=x@b.test\n")
    ended(host.run("user-import", input=text.encode()), 0, "", "two domains")
    tap.same([x["gid"] for x in listed(host, "one.test")], [77777, 77777],
             "each account is its own domain's, though that is lines above")
    tap.ok(listed(host, "two.test")[0]["gid"] != 77777, "the other is not")
    tap.ok(os.path.isdir(os.path.join(host.home, "mail", "one.test")),
           "a domain's folder is made: its owner could not")
    for domain in ("one.test", "two.test"):
        ended(host.run("domain-del", "--all", domain), 0, "", domain)
    run = host.run("user-add", "a\x1b[31m@v.test", input=b"p\n")
    ended(run, 100, "not an address", "user-add of a hostile name")
    tap.ok(b"\x1b" not in run.stderr, "is said without it", run.stderr)


def quoted(host):
    """A name that is written in quotes has mail and logs in."""
    ended(host.run("user-add", '"a b"@v.test', input=b"p\n"), 0, "", "in quotes")
    tap.same(rcpt(host, '"a b"@v.test'), 250, "RCPT takes it")
    arrives(host, '"A B"@v.test', "a b", "to a quoted name")
    tap.ok(can_log_in(host, '"a b"@v.test', "p"), "it logs in")
    ended(host.run("user-del", '"a b"@v.test'), 0, "", "user-del of it")


def whole_or_not(host):
    """An export whose first octets nobody took is none, though the last came."""
    if not shutil.which("strace"):
        return tap.skip("an export with a hole", "strace is not installed")
    owner = host.as_owner()
    owner["env"]["ASAN_OPTIONS"] = "detect_leaks=0"
    for tool in ("user-export", "user-list"):
        run = subprocess.run(
            ["strace", "-o", "/dev/null", "-e", "trace=write", "-e",
             "inject=write:error=EAGAIN:when=1", os.path.join(BUILD, tool)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/",
            timeout=60, **owner)
        ended(run, 111, "cannot write", f"{tool} with a hole fails")


def many(host):
    lines = ["domain\tmany.test"]
    lines += [f"user\tu{i}@many.test" for i in range(MANY)]
    start = time.monotonic()
    ended(host.run("user-import", input="\n".join(lines).encode() + b"\n"), 0, "",
          f"{MANY} users")
    seconds = time.monotonic() - start
    tap.ok(seconds < 30, f"are imported in {seconds:.1f} s")
    tap.same(rcpt(host, f"u{MANY - 1}@many.test"), 250, "the last is there")
    whole_or_not(host)
    arrives(host, "u77@many.test", "u77", "its first message", "many.test")
    ended(host.run("domain-del", "--all", "many.test"), 0, "", "removed")
    tap.same(rcpt(host, "u77@many.test"), 550, "and gone")


def gone(host):
    ended(host.run("user-del", "ann@v.test"), 0, "", "user-del")
    tap.same(rcpt(host, "ann@v.test"), 550, "RCPT refuses it")
    tap.ok(not can_log_in(host, "ann@v.test", "one"), "POP3 refuses it")
    ended(host.run("user-del", "ann@v.test"), 100, "not an account", "twice")


class Directory:
    """A look-up program: answers each question with what is in a table."""

    def __init__(self, path):
        self.table, self.path = {}, path
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        os.chmod(path, 0o666)
        self.socket.listen(10)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client, client.makefile("rb") as lines:
                question = lines.readline().decode().rstrip("\n").split("\t")
                answer = self.table.get(question[1], "none\n")
                try:
                    client.sendall(answer.encode())
                except OSError:
                    pass

    def close(self):
        os.unlink(self.path)
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def outside(host):
    path = os.path.join(host.folder, "directory")
    directory = Directory(path)
    host.control("lookupsocket", path + "\n")
    host.restart("resolve")
    directory.table.update({
        "ldap@v.test": "mailbox\tquota=1000000\n",
        "list@v.test": "alias\tbob@v.test\tldap@v.test\n",
        "later@v.test": "temporary\tthe server sleeps\n",
        "strange@v.test": "what\n", "cut@v.test": "mailbox",
        "long@v.test": "alias\t" + "a" * 5000 + "\n",
        "up@v.test": "mailbox\thome=/x/../etc\n"})
    for address, code in (("ldap", 250), ("LDAP", 250), ("list", 250),
                          ("later", 451), ("strange", 451), ("cut", 451),
                          ("long", 451), ("nobody", 550)):
        tap.same(rcpt(host, f"{address}@v.test"), code,
                 f"the look-up program about {address}: {code}")
    arrives(host, "ldap@v.test", "ldap", "by directory")
    arrives(host, "list@v.test", "bob", "by its list")
    send(host, "up@v.test", "nowhere")
    tap.ok(wait_for(lambda: "makes_no_account" in host.log("queue-runner")),
           "a home that goes up is no home", host.log("queue-runner"))
    directory.close()
    tap.same(rcpt(host, "ldap@v.test"), 451, "without it: 451")
    tap.same(rcpt(host, "bob@v.test"), 250, "who is in the database is")
    os.unlink(os.path.join(host.home, "control", "lookupsocket"))
    host.restart("resolve")
    tap.same(rcpt(host, "ldap@v.test"), 550, "and not asked for: 550")


with Instance() as instance:
    for step in (domains, users, full, aliases, transfer, refused,
                 quoted, many, gone, outside):
        tap.case(step, instance)
tap.done()
