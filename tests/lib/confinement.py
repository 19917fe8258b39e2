"""Cases of tests/whole/installed.t: what the warden refuses, and what can be done
from within smtpd and a POP3 session."""

import errno
import glob
import os
import pwd
import smtplib
import socket
import struct

import installed
import intruder
import queuefile
from installed import Process, as_user, run
from stage import (ANN, BOB, ERIN, PASSWORD, gid, maildir, new_mail, queue_files,
                   refused, tap, who)
from tap import wait_for

def warden_peers(host):
    """Who may connect, and what each may ask."""
    path = f"{host.home}/socket/warden"
    may = {("_keep-local", intruder.DELIVER), ("_keep-auth", intruder.POP3),
           ("_keep-resolve", intruder.LOOKUP)}
    for user in ("_keep-local", "_keep-auth", "_keep-resolve"):
        uid, own, groups = who(user)
        got = [kind for kind in (intruder.DELIVER, intruder.POP3, intruder.LOOKUP)
               if as_user(uid, own, groups, intruder.ask_warden, path, kind,
                          "u:carol@example.org")]
        tap.same(got, [kind for name, kind in may if name == user],
                 f"the warden does for {user} what it may ask alone")
    suite = gid("keep-suite")
    for user, groups in (("_keep-smtpd", None), ("_keep-pop3d", None),
                         ("_keep-queue", [suite]), ("nobody", [suite]),
                         (ANN, [suite]), ("root", [])):
        uid, own, its = who(user)
        got = as_user(uid, own, its if groups is None else groups,
                      intruder.ask_warden, path, intruder.POP3,
                      "u:carol@example.org")
        tap.same(got, "", f"the warden refuses {user}")
        tap.ok(f"refused: uid {uid} may not ask" in host.log("warden"),
               "…and says so")
    for user in ("nobody", ANN):
        uid, own, its = who(user)
        tap.same(as_user(uid, own, its, intruder.ask_warden, path,
                         intruder.POP3, "u:carol@example.org"),
                 "Permission denied", f"{user} does not come to its socket")
    uid, own, groups = who("_keep-auth")
    for octets in (b"x", b"\0" * 4064, b"\xff" * 4096):
        tap.same(as_user(uid, own, groups, ask_with, path,
                         octets.decode("latin-1")), "",
                 f"{len(octets)} octets of nonsense are refused")
    tap.ok(Process(host.pid("warden")).uids == [0] * 4,
           "the warden goes on", host.logs())


def ask_count(path, key=b"installed"):
    """The total of a counter to which one is added; "" if there is no answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asker:
        asker.settimeout(30)
        try:
            asker.connect(path)
            asker.send(struct.pack("=IIII96s", 0x6b636e31, 1, 1, 60, key))
            answer = asker.recv(100)
        except OSError as error:
            return "" if error.errno in (errno.EPIPE, errno.ECONNRESET) \
                else error.strerror
        return struct.unpack("=IIQ", answer)[2] if answer else ""


def countd_peers(host):
    """Who may ask countd."""
    path = f"{host.home}/socket/count"
    suite = gid("keep-suite")
    for user, groups, wanted in (
            ("_keep-smtpd", None, 1), ("root", [], 2),
            ("_keep-pop3d", None, ""), ("_keep-local", None, ""),
            ("nobody", [suite], ""), ("nobody", None, "Permission denied")):
        uid, own, its = who(user)
        tap.same(as_user(uid, own, its if groups is None else groups,
                         ask_count, path), wanted,
                 f"countd and {user}{'' if groups is None else ' with groups'}")
    uid, own, its = who("_keep-pop3d")
    tap.same(as_user(uid, own, its, ask_count, path, b"pop3 installed"), 1,
             "countd and _keep-pop3d, about POP3")


def ask_with(path, text):
    return intruder.ask_warden(path, intruder.POP3, "", text.encode("latin-1"))


def warden_accounts(host):
    """Uid 0 and the suite's users, in whatever way they come to be accounts."""
    vmail = pwd.getpwnam("_keep-vmail")
    bob = pwd.getpwnam(BOB)
    erin = f"{bob.pw_dir}/erin"
    os.mkdir(erin, 0o700)
    os.chown(erin, bob.pw_uid, bob.pw_gid)
    run("setuidgid", BOB, f"{host.prefix}/bin/keepmail", "maildirmake",
        f"{erin}/Maildir")
    mail = f"{host.home}/mail/example.org/carol"
    accounts = {"zero@example.org": (0, vmail.pw_gid, mail),
                "group@example.org": (vmail.pw_uid, 0, mail),
                ERIN: (bob.pw_uid, bob.pw_gid, erin)}
    roles = [name for name in host.ids() if name.startswith("user _keep-")
             and name[5:] not in ("_keep-vmail", "_keep-alias")]
    for name in roles:
        accounts[f"{name[11:]}@example.org"] = (host.ids()[name],
                                                vmail.pw_gid, mail)
    intruder.add_accounts(host, "carol@example.org", accounts)
    if host.separate:
        run("useradd", "--no-create-home", "--no-log-init", "--non-unique",
            "--uid", "0", "--gid", "users", "--home-dir", "/root", "kmtestroot")
    uid, own, groups = who("_keep-auth")

    def ask(key):
        return as_user(uid, own, groups, intruder.ask_warden,
                       f"{host.home}/socket/warden", intruder.POP3, key)
    tap.ok(ask(f"u:{ERIN}").startswith("+OK"),
           "the warden serves an account with an owner of its own", host.logs())
    keys = [f"u:{name}" for name in accounts if name != ERIN] + [
        "s:root", "s:_keep-queue", "s:nobody-at-all", "u:", "a", "x:root",
        "s:../root", "s:kmtestroot"]
    served = [key for key in keys if ask(key)]
    tap.same((len(roles) >= 9, served), (True, []),
             "none with uid 0, gid 0 or a uid of the suite, and no other key")
    host.keepmail("user-passwd", "runner@example.org", input="known\n", ok=False)
    tap.ok(refused(host, "runner@example.org", "known"),
           "no such account logs in")
    with smtplib.SMTP("127.0.0.1", host.port("smtp"), "client.test",
                      timeout=30) as client:
        client.ehlo()
        client.mail("sender@client.test")
        got = {name: client.rcpt(name)[0] for name in accounts}
    taken = [name for name in got if got[name] == 250]
    tap.same(taken, [ERIN], "nor is mail taken for one")
    if host.separate:
        run("userdel", "--force", "kmtestroot", ok=False)
    host.keepmail("user-passwd", ERIN, input=PASSWORD[ERIN] + "\n")


# --- from within -------------------------------------------------------------

def from_smtpd(host):
    intruder.install_probe(host, "smtpd", ("smtpd/verb",))
    probe = intruder.Probe(lambda: host.connect("smtp"), [None])
    tap.same(probe.do("ping"), 0, "within smtpd: an intruder acts")
    paths = secrets(host)
    for what, path in sorted(paths.items()):
        tap.same(probe.do("read", path), None,
                 f"within smtpd: it is killed when it opens {what}")
    for command in (("write", f"{host.home}/control/private"),
                    ("write", f"{host.home}/queue/incoming/x"),
                    ("list", "/"), ("exec", "/bin/sh"), ("fork",), ("setuid",),
                    ("unlink", paths["a queue file"])):
        tap.same(probe.do(*command), None, f"…and by {command[0]}")
    tap.same(probe.do("inet"), errno.EAFNOSUPPORT, "…has no network socket")
    for service in ("warden", "auth"):
        tap.ok(probe.do("ask", f"{host.home}/socket/{service}"),
               f"…and no answer of {service}")
    probe.close()
    tap.ok(os.path.exists(paths["a queue file"]), "all is still there")


def secrets(host):
    """Paths of what is to be kept, with a message held in the queue."""
    if host.pid("local"):
        wait_for(lambda: not queue_files(host))
        run("svc", "-d", f"{host.scan}/local")
        wait_for(lambda: not host.pid("local"))
        run(f"{host.prefix}/sbin/sendmail", "dave@example.org",
            input="Subject: held\n\nbody\n")
        wait_for(lambda: queue_files(host))
    return {"a queue file": queue_files(host)[0],
            "a system user's mail": new_mail(host, ANN)[0],
            "an account's mail": new_mail(host, "carol@example.org")[0],
            "the accounts": f"{host.home}/users/accounts.cdb",
            "the passwords": f"{host.home}/users/secrets.cdb",
            "the system's passwords": "/etc/shadow"}


def from_sessions(host):
    intruder.install_probe(host, "warden", ("pop3d/",))
    old = host.pid("warden")
    run("svc", "-t", f"{host.scan}/warden")
    wait_for(lambda: host.pid("warden") not in (0, old))
    run("svc", "-u", f"{host.scan}/local")
    wait_for(lambda: host.pid("local") and not queue_files(host))
    for name in (BOB, "dave@example.org", ERIN):
        if not new_mail(host, name):
            run(f"{host.prefix}/sbin/sendmail", name if "@" in name
                else f"{name}@example.org", input="Subject: more\n\nbody\n")
        wait_for(lambda: new_mail(host, name))
    for name, others in ((ANN, (BOB, "carol@example.org")),
                         ("carol@example.org", (ANN, "dave@example.org",
                                                ERIN)),
                         (ERIN, (BOB, "carol@example.org"))):
        session(host, name, others)


def session(host, name, others):
    probe = intruder.Probe(lambda: host.connect("pop3"), [
        f"USER {name}", f"PASS {PASSWORD[name]}", None])
    label = f"within {name}'s session"
    own = new_mail(host, name)[0]
    tap.same((probe.do("ping"), probe.do("read", own)), (0, 0),
             f"{label}: its own mail is open")
    for other in others:
        same = (os.stat(maildir(host, other)).st_uid
                == os.stat(maildir(host, name)).st_uid)
        if same and not installed.landlock_version():
            tap.skip(f"{label}: {other}'s Maildir is closed",
                     "one uid, and this kernel has no Landlock")
            continue
        mail, folder = new_mail(host, other)[0], maildir(host, other)
        tap.same([probe.do("read", mail), probe.do("write", mail),
                  probe.do("list", folder), probe.do("unlink", mail),
                  probe.do("write", f"{folder}/new/x")], [errno.EACCES] * 5,
                 f"{label}: {other}'s Maildir is closed"
                 + (" (of the same uid)" if same else ""))
    kept = secrets(host)
    for what in ("a queue file", "the accounts", "the passwords",
                 "the system's passwords"):
        tap.same(probe.do("read", kept[what]), errno.EACCES,
                 f"…closed to it: {what}")
    if installed.landlock_version():
        tap.same([probe.do("read", "/etc/passwd"), probe.do("list", "/"),
                  probe.do("write", f"{maildir(host, name)}/../.qmail")],
                 [errno.EACCES] * 3, "…and all else outside its Maildir")
    for command in (("exec", "/bin/sh"), ("fork",), ("setuid",), ("inet",),
                    ("ask", f"{host.home}/socket/submit")):
        tap.same(probe.do(*command), None, f"…it is killed by {command[0]}")
    probe.close()


# --- requests to the runner --------------------------------------------------

def keepmail(home, front, *command):
    """Status and words of the front command."""
    done = run(front, *command, ok=False, env=dict(os.environ, KEEPMAIL=home))
    return [done.returncode, done.stdout]


def put_request(folder, name, octets):
    with open(os.path.join(folder, name), "wb") as file:
        file.write(bytes(octets))


def found(host, folder):
    return glob.glob(f"{host.home}/queue/{folder}/**/{'[0-9a-z]' * 20}",
                     recursive=True)


def requests(host):
    """Who may ask the runner to do something with the queue."""
    front = f"{host.prefix}/bin/keepmail"
    run(f"{host.prefix}/sbin/sendmail", "a@nowhere.invalid",
        input="Subject: held\n\nbody\n")
    wait_for(lambda: found(host, "deferred") + found(host, "waiting"))
    tap.same(keepmail(host.home, front, "queue-hold", "--domain",
                      "nowhere.invalid")[0], 0,
             "root holds a message") or tap.note(host.logs())
    [held] = found(host, "held")
    name = os.path.basename(held)
    for user in (ANN, "nobody"):
        uid, own, groups = who(user)
        status, words = as_user(uid, own, groups, keepmail, host.home, front,
                                "queue-release", name)
        tap.ok(status == 100 and "may look" in words and
               words.count("\n") == 1, f"{user} is refused", (status, words))
    reader, folder = gid("keep-read"), f"{host.home}/queue/requests"
    asked = queuefile.ident()
    octets = list(queuefile.record("Q", b"\3" + queuefile.text(""))
                  + queuefile.record("I", name.encode() + queuefile.text("")))
    uid, own, groups = who("_keep-remote")
    as_user(uid, own, groups, put_request, folder, asked, octets)
    answer = f"{folder}/{asked}.done"
    tap.ok(wait_for(lambda: os.path.exists(answer)),
           "what a role of the suite asks is answered", host.logs())
    with open(answer, "rb") as file:
        tap.ok(b"not an administrator" in file.read() and os.path.exists(held),
               "but refused, though it is of the folder's group")
    os.unlink(answer)
    uid, own, groups = who(ANN)
    status, words = as_user(uid, own, groups + [reader], keepmail, host.home,
                            front, "queue-delete", name)
    tap.ok(status == 0 and not os.path.exists(held),
           "a member of keep-read may", (status, words))
    tap.ok(wait_for(lambda: f"request: delete msg {name} uid {uid}: deleted"
                    in host.log("queue-runner"), 10),
           "and the log says who it was")
    left = os.listdir(folder)
    tap.same(left, [], "no request is left")


def dead_addresses(host):
    """Who may ask remote which addresses it leaves out."""
    front, reader = f"{host.prefix}/bin/keepmail", gid("keep-read")
    for user, more, wanted, said in (
            ("root", [], 0, ""), (ANN, [reader], 0, ""),
            (ANN, [], 100, "Permission denied"),
            ("_keep-smtpd", [reader], 111, "no answer"),
            ("_keep-remote", [], 111, "no answer")):
        uid, own, groups = who(user)
        status, words = as_user(uid, own, groups + more, keepmail, host.home,
                                front, "dead-addresses")
        tap.ok(status == wanted and said in words and bool(said) == bool(words),
               f"dead-addresses as {user}{' of keep-read' if more else ''}: "
               f"{wanted}", (status, words))
