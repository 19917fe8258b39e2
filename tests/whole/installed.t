#!/usr/bin/env python3
"""keepmail installed as INSTALL says: who each process is, what each may touch,
what the warden refuses, and that nothing is left when it is removed."""

import glob
import base64
import os
import poplib
import pwd
import re
import signal
import smtplib
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import skip_all, wait_for

if os.geteuid() != 0:
    skip_all("an installation needs root")
import confinement
import identity
import installed
import outbound
import through
import tlsinside
from installed import Installed, run
from stage import ANN, BOB, PASSWORD, login, new_mail, refused, send, tap, who

DATABASES = ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")


def databases():
    texts = {}
    for name in DATABASES:
        if os.path.exists(f"/etc/{name}"):
            with open(f"/etc/{name}") as file:
                texts[name] = sorted(file)
    return texts


# --- installing --------------------------------------------------------------

def install(host):
    host.make("all")
    host.make("install")
    host.keepmail("make-users", host.home)
    host.keepmail("make-home", host.home)
    host.settings()
    for name in (ANN, BOB):
        host.person(name, PASSWORD[name])
    for name in ("carol@example.org", "dave@example.org"):
        host.keepmail("user-add", name, input=PASSWORD[name] + "\n")
    first = databases(), tree(host)
    host.keepmail("make-users", host.home)
    host.keepmail("make-home", host.home)
    tap.ok((databases(), tree(host)) == first,
           "make-users and make-home change nothing the second time")
    host.start()
    up = wait_for(lambda: answers(host), 30)
    tap.ok(up, "all ten services come up and answer", host.logs())
    return up


def tree(host):
    """Everything of the home but control/ids, which is written anew."""
    found = {}
    for folder, folders, files in os.walk(host.home):
        for name in folders + files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            found[path] = (st.st_mode, st.st_uid, st.st_gid)
    return found


def answers(host):
    try:
        if not all(host.pid(s) for s in installed.SERVICES):
            return False
        with smtplib.SMTP("127.0.0.1", host.port("smtp"), "client.test",
                          timeout=10) as client:
            client.ehlo()
            client.mail("a@client.test")
            if client.rcpt("carol@example.org")[0] != 250:
                return False
        with smtplib.SMTP("127.0.0.1", host.port("submission"), "client.test",
                          timeout=10) as client:
            if client.ehlo()[0] != 250:
                return False
        login(host, "carol@example.org").quit()
        return True
    except (OSError, ValueError, smtplib.SMTPException, poplib.error_proto):
        return False


def files(host):
    marked = []
    for top in (host.prefix, host.home):
        for folder, _, names in os.walk(top):
            for name in names:
                st = os.lstat(os.path.join(folder, name))
                if stat.S_ISREG(st.st_mode) and st.st_mode & 0o6000:
                    marked.append(os.path.join(folder, name))
    tap.same(marked, [], "no regular file is set-uid or set-gid")
    done = host.keepmail("install-check", ok=False)
    tap.same((done.returncode, done.stdout.count("\n")), (0, 1),
             "install-check finds nothing wrong after all that")


def no_logins(_):
    users = [name for name in (e.pw_name for e in pwd.getpwall())
             if name.startswith("_keep-")]
    with open("/etc/shadow") as file:
        hashes = dict(line.split(":")[:2] for line in file)
    open_ones = [name for name in users
                 if not pwd.getpwnam(name).pw_shell.endswith("nologin")
                 or hashes.get(name, "")[:1] not in ("!", "*")]
    with open(os.path.join(installed.TOP, "tools", "make-users")) as file:
        made = re.findall(r"^(_keep-\S+)", file.read(), re.M)
    tap.same((sorted(users), open_ones), (sorted(made), []),
             "none of the suite's users can log in")
    uids = [pwd.getpwnam(name).pw_uid for name in users]
    tap.ok(len(set(uids)) == len(made) and 0 not in uids, "each has its own uid", uids)


# --- mail --------------------------------------------------------------------

def as_bob(host, *words):
    """sendmail, called by an ordinary user: its exit status and its words."""
    bob = pwd.getpwnam(BOB)
    done = run(f"{host.prefix}/sbin/sendmail", "-f", f"{BOB}@example.org",
               *words, input="Subject: x\n\nbody\n", user=bob.pw_uid,
               group=bob.pw_gid, extra_groups=[], cwd="/", ok=False)
    return done.returncode, done.stdout


def mail_flows(host):
    send(host, "carol@example.org", f"{ANN}@example.org")
    tap.ok(wait_for(lambda: new_mail(host, "carol@example.org")),
           "mail for an account of the user database arrives", host.logs())
    tap.ok(wait_for(lambda: new_mail(host, ANN)),
           "mail for a system user arrives in ~/Maildir", host.logs())
    for name in ("carol@example.org", ANN):
        uid, own, _ = who(ANN if name == ANN else "_keep-vmail")
        for path in new_mail(host, name):
            st = os.stat(path)
            tap.same((st.st_uid, st.st_gid, st.st_mode & 0o777),
                     (uid, own, 0o600), f"{name}'s message is its own alone")
    tap.same(as_bob(host, "dave@example.org"), (0, ""),
             "an ordinary user sends by sendmail")
    tap.ok(wait_for(lambda: new_mail(host, "dave@example.org")),
           "…which arrives", host.logs())
    pop = login(host, "carol@example.org")
    tap.same(pop.stat()[0], 1, "an account of the user database fetches by POP3")
    pop.quit()


def reserve(host):
    """Where only the reserve has room, the runner's reports alone go in."""
    run("svc", "-d", f"{host.scan}/local")
    wait_for(lambda: host.pid("local") == 0)
    tap.same(as_bob(host, "nobody-here@example.org"), (0, ""),
             "a message that will fail is queued")
    host.control("queuereserve", "1000000000\n")
    run("svc", "-t", f"{host.scan}/queue-inject")
    tap.ok(wait_for(lambda: "no room" in as_bob(host, "carol@example.org")[1]),
           "with all room in the reserve users are told to try again")
    with smtplib.SMTP("127.0.0.1", host.port("smtp"), "client.test",
                      timeout=30) as client:
        client.ehlo()
        tap.same(client.mail("a@client.test")[0], 452, "and so is smtpd")
    before = len(new_mail(host, BOB))
    run("svc", "-u", f"{host.scan}/local")
    tap.ok(wait_for(lambda: len(new_mail(host, BOB)) > before, 30),
           "a report is let in, and arrives", host.logs())
    os.unlink(f"{host.home}/control/queuereserve")
    run("svc", "-t", f"{host.scan}/queue-inject")
    tap.ok(wait_for(lambda: as_bob(host, "carol@example.org")[0] == 0),
           "without that setting there is room", host.logs())


def system_logins(host):
    tap.ok(refused(host, ANN, PASSWORD[ANN]),
           "without control/systemlogins no system user logs in")
    host.control("systemlogins", "1\n")
    old = host.pid("authd")
    run("svc", "-t", f"{host.scan}/authd")
    wait_for(lambda: host.pid("authd") not in (0, old))
    tap.ok(wait_for(lambda: not refused(host, ANN, PASSWORD[ANN]), 20, 0.1),
           "with it, a system user does with the password of /etc/shadow",
           host.logs())
    pop = login(host, ANN)
    tap.same(pop.stat()[0], 1, "…and finds the mail of ~/Maildir")
    pop.quit()
    tap.ok(refused(host, ANN, "wrong"), "a wrong password is refused")
    host.set_password("_keep-log", "known")
    tap.ok(refused(host, "_keep-log", "known"),
           "a user of the suite is refused even with its password")
    if not host.separate:
        tap.skip("…and so is root", "this is the machine's own /etc/shadow")
        return
    with open("/etc/shadow") as file:
        kept = file.read()
    host.set_password("root", "known")
    tap.ok(refused(host, "root", "known"), "…and so is root")
    with open("/etc/shadow", "w") as file:
        file.write(kept)


def smtp_logins(host):
    def attempt(password):
        with smtplib.SMTP("127.0.0.1", host.port("smtp"), "client.test",
                          timeout=30) as client:
            client.ehlo()
            word = base64.b64encode(f"\0carol@example.org\0{password}"
                                    .encode()).decode()
            return client.docmd("AUTH", "PLAIN " + word)[0]

    right = PASSWORD["carol@example.org"]
    tap.same(attempt(right), 538, "by SMTP nobody logs in without TLS")
    host.control("authclear", "1\n")
    tap.same((attempt("wrong"), attempt(right)), (535, 235),
             "with control/authclear an account does, by its password")
    os.unlink(f"{host.home}/control/authclear")


def queue(host):
    """Owners and modes of what the programs put into the queue."""
    run("svc", "-d", f"{host.scan}/local")
    wait_for(lambda: host.pid("local") == 0)
    before = len(new_mail(host, "carol@example.org"))
    send(host, "carol@example.org", f"{ANN}@example.org")
    jobs = f"{host.home}/queue/jobs/local/*/*"
    tap.ok(wait_for(lambda: glob.glob(jobs)), "a job waits for local",
           host.logs())
    done = host.keepmail("queue-check", ok=False)
    tap.same((done.returncode, done.stdout), (0, ""),
             "queue-check finds the queue as doc/queue.md says")
    run("svc", "-u", f"{host.scan}/local")
    tap.ok(wait_for(lambda: len(new_mail(host, "carol@example.org")) > before
                    and not glob.glob(jobs)), "the mail is delivered then",
           host.logs())
    done = host.keepmail("queue-check", ok=False)
    tap.same((done.returncode, done.stdout), (0, ""), "and it is clean still")


def end(*_):
    """Ends, by way of what is to be removed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def main():
    folder, separate = installed.enter()
    if not separate and any(e.pw_name.startswith("_keep-")
                            for e in pwd.getpwall()):
        skip_all("namespaces are refused, and this machine has keepmail's users")
    before = databases()
    host = Installed(folder, separate)
    signal.signal(signal.SIGTERM, end)
    tap.note("in namespaces of its own" if separate else
             "on the machine itself: namespaces are refused")
    try:
        if tap.case(install, host):
            for case in (no_logins, mail_flows, system_logins, smtp_logins,
                         reserve, queue,
                         identity.long_lived, identity.per_connection,
                         confinement.warden_peers, confinement.warden_accounts,
                         confinement.countd_peers, through.through_filter,
                         confinement.from_smtpd, confinement.from_sessions,
                         confinement.requests, confinement.dead_addresses,
                         outbound.smarthost,
                         tlsinside.tls, files):
                tap.case(case, host)
    finally:
        tap.ok(host.stop(), "all services stop when told so")
        host.remove()
        after = databases()
        tap.ok(after == before, "users and groups are as before",
               [sorted(set(after[n]) ^ set(before[n])) for n in before])
        left = [os.path.join(f, n) for f, _, names in os.walk(host.prefix)
                for n in names]
        tap.same(left, [], "no program and no manual is left")
    tap.done()


main()
