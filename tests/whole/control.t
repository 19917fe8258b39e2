#!/usr/bin/env python3
"""control-check tells everything that is wrong in control/, and control-show what
each setting is."""

import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap
from instance import BUILD

tap = Tap()

# A file, its octets, and what must stand in a line of its own for it.
FAULTS = [
    ("databytes", b"10M\n", "databytes line 1: expected a number"),
    ("mailfromcheck", b"2\n", "mailfromcheck line 1: expected a number"),
    ("helohost", b"a b\n", "helohost line 1: expected a host name"),
    ("hopsmax", b"5\0\n", "hopsmax: holds a NUL octet"),
    ("badmailfrom", b"# list\na@b.example\n\nno pattern\n", "badmailfrom line 4"),
    ("xclients", b"192.0.2.1\nnowhere\n", "xclients line 2"),
    ("proxies", b"192.0.2.1 perhaps\n", "proxies line 1"),
    ("limitsexempt", b"\n300.0.0.1\n", "limitsexempt line 2"),
    ("moved", b"one\n", "moved line 1"),
    ("tlsclients", b"x y z\n", "tlsclients line 1"),
    ("smtproutes", b"a.example:relay.example:99999999\n", "smtproutes"),
    ("virtualdomains", b"nothing at all\n", "virtualdomains"),
    ("nameservers", b"192.0.2.1\nnothing\n", "nameservers, line 2"),
    ("rcpthosts", b"a.example\nexa mple\n", "rcpthosts line 2"),
    ("retryschedule", b"300\n100\n", "retryschedule line 2"),
    ("filters", b"/nonexistent/filter x\n", "filters line 1"),
    ("checkpassword", b"/nonexistent/program\n", "checkpassword line 1"),
    ("lookupsocket", b"relative\n", "lookupsocket line 1"),
    ("saslmechanisms", b"PLAIN NONSENSE\n", "saslmechanisms line 1"),
]


class Home:
    def __init__(self, folder):
        self.folder = folder
        os.chmod(folder, 0o755)
        os.mkdir(os.path.join(folder, "control"))
        self.put("me", b"mx.example.org\n")
        if os.getuid() == 0:
            self.put("ids", b"user _keep-smtpd 64001\n\n")
        else:
            self.put("private", b"")

    def put(self, name, octets):
        with open(os.path.join(self.folder, "control", name), "wb") as file:
            file.write(octets)

    def remove(self, name):
        os.unlink(os.path.join(self.folder, "control", name))

    def run(self, name, *arguments):
        return subprocess.run(
            [os.path.join(BUILD, name), *arguments], capture_output=True,
            timeout=30, env={"KEEPMAIL": self.folder})


def lines(run):
    return run.stdout.decode("ascii").splitlines()


def check(home):
    run = home.run("control-check")
    tap.ok(run.returncode == 0 and len(lines(run)) == 1,
           "defaults have nothing wrong", run)
    for name, octets, said in FAULTS:
        home.put(name, octets)
        run = home.run("control-check")
        wrong = [x for x in lines(run) if x.startswith("wrong: ")]
        tap.ok(run.returncode == 1 and len(wrong) == 1 and said in wrong[0],
               f"{name} is told", run)
        home.remove(name)
    for name, octets, _ in FAULTS:
        home.put(name, octets)
    home.put("badhelo", b"no name\nx.example\n-- no\n")
    told = lines(home.run("control-check"))
    tap.ok(all(any(said in x for x in told) for _, _, said in FAULTS)
           and any("badhelo line 1" in x for x in told)
           and any("badhelo line 3" in x for x in told)
           and len(told) == len(FAULTS) + 2,
           "all faults are told at once", "\n".join(told))
    for name, _, _ in FAULTS:
        home.remove(name)
    home.remove("badhelo")
    home.remove("me")
    told = lines(home.run("control-check"))
    tap.ok(len(told) == 1 and "control/me is missing" in told[0],
           "a missing me is told once", told)
    home.put("me", b"mx.example.org\n")
    home.put("datebytes\x1b[2J\nwrong: x", b"1\n")
    run = home.run("control-check")
    tap.ok(run.returncode == 0 and len(lines(run)) == 2
           and "note: control/datebytes\\x1b[2J\\x0awrong: x" in lines(run)[0]
           and b"\x1b" not in run.stdout,
           "a name that no setting has is noted, and nothing of it obeyed", run)
    home.remove("datebytes\x1b[2J\nwrong: x")
    tap.ended(home.run("control-check", "x"), 100, "usage", "arguments: usage")


def show(home):
    run = home.run("control-show")
    names = [x.split(":")[0] for x in lines(run) if not x.startswith("\t")]
    tap.ok(run.returncode == 0 and len(names) > 80 and names == sorted(names)
           and {"me", "locals", "queuelifetime", "concurrencyincoming"}
           <= set(names), "control-show shows all settings", run)
    home.put("badhelo", b"# c\nx.example\ny\x1b]0;z\x07\n")
    run = home.run("control-show", "badhelo", "databytes", "helohost")
    said = run.stdout.decode("ascii")
    tap.ok("\tx.example\n\ty\\x1b]0;z\\x07\n" in said, "a list, without escapes",
           said)
    tap.ok("\t(Default.) 0\n" in said and "\t(Default.) mx.example.org\n" in said
           and "(Read by smtp-why, smtpd.)" in said, "defaults and readers", said)
    home.put("databytes", b"1000\n")
    said = home.run("control-show", "databytes").stdout
    tap.ok(b"\t1000\n" in said, "a value", said)
    home.put("databytes", b"\x1b[2J\n")
    run = home.run("control-show", "databytes")
    tap.ok(run.returncode == 1 and b"wrong: " in run.stdout
           and b"\x1b" not in run.stdout, "a wrong value", run)
    tap.ended(home.run("control-show", "nosuch"), 100, "does not exist",
              "no such setting")
    tap.ended(home.run("control-show", "--x"), 100, "usage", "an option: usage")


def main():
    with tempfile.TemporaryDirectory(prefix="keepmail-test.") as folder:
        home = Home(folder)
        check(home)
        show(home)


tap.case(main)
tap.done()
