#!/usr/bin/env python3
"""setup and install-check as root, of an installation in the folders that it is built
for: users, home, owners and modes; each fault is found, and the command that is told
mends it."""

import glob
import os
import pwd
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, skip_all

if os.geteuid() != 0:
    skip_all("an installation needs root")
import installed
from findings import Findings
from installed import TOP, run

tap = Tap()
PREFIX = "/usr/local"
LIBEXEC = PREFIX + "/libexec/keepmail"
MANUAL = PREFIX + "/share/man/man8/smtpd.8"


class Host:
    def __init__(self, folder):
        self.home = f"{folder}/home"
        self.environment = {"KEEPMAIL": self.home, "PATH": installed.PATH}
        root = f"{folder}/root"
        run("sh", "tools/install", cwd=TOP, env=dict(
            self.environment, BUILD="build", DESTDIR=root, PREFIX=PREFIX,
            LIBEXEC=LIBEXEC, HOME_DIR="/var/lib/keepmail", MAIL="1"
            if os.path.exists(f"{TOP}/build/mail-show") else "0"))
        run("mount", "--bind", root + PREFIX, PREFIX)

    def keepmail(self, *words, input=b"", user=None):
        more = {"user": user, "group": user, "extra_groups": []} if user else {}
        return subprocess.run([PREFIX + "/bin/keepmail", *words], input=input,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=120, cwd="/", env=self.environment,
                              **more)

    def found(self, *words, input=b""):
        return Findings(self.keepmail(words[0], "--json", *words[1:],
                                      input=input))

    def owner(self, *parts):
        st = os.stat(os.path.join(self.home, *parts))
        return st.st_uid, st.st_gid, st.st_mode & 0o7777


def before(host):
    # the copy of /etc may have users of an installation on this machine
    run("sh", f"{LIBEXEC}/make-users", "--remove")
    check = host.found("install-check")
    subjects = {f["subject"] for f in check.faults()}
    tap.ok(check.status == 1 and "_keep-smtpd" in subjects
           and host.home in subjects
           and not any(s.startswith(PREFIX) for s in subjects),
           "programs alone are there at first",
           [s for s in sorted(subjects) if not s.startswith(host.home)])


def makes(host):
    words = ("setup", "--no-checks", "--host", "mail.example.org", "--user",
             "ann@example.org", "example.org")
    done = host.found(*words, input=b"secret\n")
    tap.ok(done.status == 0 and [done.of(s) for s in
                                 ("users", host.home, "account")]
           == [["changed"]] * 3, "setup makes all of it", done.faults())
    tap.same(host.owner("tls", "mail.example.org.key"),
             (0, gid("_keep-tls"), 0o640), "the key is tlsd's and root's alone")
    tap.same(host.owner("control", "me"), (0, 0, 0o644), "settings are root's")
    done = host.found(*words)
    tap.ok(done.status == 0 and "changed" not in done.results(),
           "the second time all is there", done.text)
    check = host.found("install-check")
    tap.ok(check.status == 0 and not check.faults() and len(check.list) > 300,
           "install-check finds nothing wrong", check.faults())
    nobody = pwd.getpwnam("nobody").pw_uid
    done = host.keepmail(*words, user=nobody)
    tap.ok(done.returncode == 100 and b"only root" in done.stderr,
           "an ordinary user sets nothing up", done)


def gid(name):
    with open("/etc/group") as file:
        return next(int(line.split(":")[2]) for line in file
                    if line.startswith(name + ":"))


def faults(host):
    os.chmod(f"{LIBEXEC}/smtpd", 0o777)
    os.chmod(f"{LIBEXEC}/remote", 0o4755)
    os.chown(f"{LIBEXEC}/local", 1, 1)
    os.unlink(MANUAL)
    os.unlink(f"{LIBEXEC}/queue-hold")
    os.symlink("smtpd", f"{LIBEXEC}/queue-hold")
    os.chown(f"{host.home}/queue/incoming", 0, 0)
    os.chmod(f"{host.home}/queue/wake/local", 0o666)
    os.chown(f"{host.home}/control/me", 1, 0)
    run("usermod", "-a", "-G", "shadow", "_keep-smtpd")
    run("usermod", "-s", "/bin/sh", "_keep-log")
    check = host.found("install-check")
    wrong = {os.path.basename(f["subject"]) for f in check.faults()}
    tap.same((check.status, wrong),
             (1, {"smtpd", "remote", "local", "smtpd.8", "queue-hold",
                  "incoming", "me", "_keep-smtpd", "_keep-log"}),
             "each fault is found, and nothing else")
    for fault in check.faults():
        if not fault["mend"].startswith("make install"):
            run("sh", "-c", fault["mend"], env=host.environment)
    check = host.found("install-check")
    tap.same(sorted(os.path.basename(f["subject"]) for f in check.faults()),
             ["queue-hold", "smtpd.8"],
             "the commands mend what a new installation does not")
    os.unlink(f"{LIBEXEC}/queue-hold")
    os.symlink("queue-request", f"{LIBEXEC}/queue-hold")
    # as a Debian package has it
    with open(MANUAL + "keepmail.gz", "w") as file:
        file.write("x")
    check = host.found("install-check")
    tap.same((check.status, check.faults()), (0, []),
             "a manual that a package has compressed is one")


def without_users(host):
    """A group that is gone; then the table of the installation."""
    run("sh", f"{LIBEXEC}/make-users", "--remove")
    check = host.found("install-check")
    tap.ok(check.status == 1 and check.of("_keep-runner") == ["fail"]
           and check.of("queue/active") == ["fail"], "users that are gone",
           check.faults()[:3])
    run("sh", "-c", check.mend("_keep-runner")[0], env=host.environment)
    # their numbers may be others now
    run("sh", "-c", f"{LIBEXEC}/make-home {host.home}", env=host.environment)
    os.chmod(f"{host.home}/control", 0o755)
    check = host.found("install-check")
    tap.ok(check.of("_keep-runner") == ["ok"]
           and check.of("queue/active") == ["ok"], "and come back",
           check.faults())
    for path in glob.glob(PREFIX + "/share/keepmail/*"):
        os.unlink(path)
    check = host.found("install-check")
    tap.same((check.status, check.of("install.table")), (1, ["fail"]),
             "without its table it says so")


def main():
    folder, separate = installed.enter()
    if not separate:
        skip_all("namespaces are refused: see tests/whole/installed.t")
    if os.path.realpath(sys.executable).startswith(PREFIX):
        skip_all(f"python lies in {PREFIX}, which this test hides")
    host = Host(folder)
    for case in (before, makes, faults, without_users):
        tap.case(case, host)


tap.case(main)
tap.done()
