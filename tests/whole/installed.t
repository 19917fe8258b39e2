#!/usr/bin/env python3
"""keepmail installed as INSTALL says: who each process is, what each may touch,
what the warden refuses, and that nothing is left when it is removed."""

import errno
import glob
import grp
import os
import poplib
import pwd
import re
import signal
import smtplib
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, skip_all, wait_for

if os.geteuid() != 0:
    skip_all("an installation needs root")
import installed
import intruder
from installed import Installed, Process, as_user, processes, run

DATABASES = ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")
ANN, BOB = "kmtestann", "kmtestbob"
# An account of the user database whose mail is not _keep-vmail's but Bob's.
ERIN = "erin@example.org"
PASSWORD = {ANN: "ann's secret", BOB: "bob's secret",
            "carol@example.org": "carol's secret",
            "dave@example.org": "dave's secret", ERIN: "erin's secret"}

tap = Tap()


def databases():
    texts = {}
    for name in DATABASES:
        if os.path.exists(f"/etc/{name}"):
            with open(f"/etc/{name}") as file:
                texts[name] = sorted(file)
    return texts


def who(name):
    entry = pwd.getpwnam(name)
    return entry.pw_uid, entry.pw_gid, sorted(os.getgrouplist(
        name, entry.pw_gid))


def gid(name):
    return grp.getgrnam(name).gr_gid


def login(host, name, password=None):
    pop = poplib.POP3("127.0.0.1", host.port("pop3"), timeout=30)
    try:
        pop.user(name)
        pop.pass_(password or PASSWORD[name])
    except BaseException:
        pop.close()
        raise
    return pop


def refused(host, name, password):
    try:
        login(host, name, password).quit()
    except poplib.error_proto as error:
        return str(error)
    return None


def send(host, *recipients, text="Subject: test\r\n\r\nbody\r\n"):
    with smtplib.SMTP("127.0.0.1", host.port("smtp"), "client.test",
                      timeout=30) as client:
        client.sendmail("sender@client.test", recipients, text)


def maildir(name):
    if name == ERIN:
        return f"{pwd.getpwnam(BOB).pw_dir}/erin/Maildir"
    if "@" in name:
        local, domain = name.split("@")
        return f"{host.home}/mail/{domain}/{local}/Maildir"
    return f"{pwd.getpwnam(name).pw_dir}/Maildir"


def new_mail(name):
    return glob.glob(f"{maildir(name)}/new/*")


# --- installing --------------------------------------------------------------

def install():
    host.make("all")
    host.make("install")
    host.keepmail("make-users", host.home)
    host.keepmail("make-home", host.home)
    host.settings()
    for name in (ANN, BOB):
        host.person(name, PASSWORD[name])
    for name in ("carol@example.org", "dave@example.org"):
        host.keepmail("user-add", name, input=PASSWORD[name] + "\n")
    first = databases(), tree()
    host.keepmail("make-users", host.home)
    host.keepmail("make-home", host.home)
    tap.ok((databases(), tree()) == first,
           "make-users and make-home change nothing the second time")
    host.start()
    up = wait_for(answers, 30)
    tap.ok(up, "all ten services come up and answer", host.logs())
    return up


def tree():
    """Everything of the home but control/ids, which is written anew."""
    found = {}
    for folder, folders, files in os.walk(host.home):
        for name in folders + files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            found[path] = (st.st_mode, st.st_uid, st.st_gid)
    return found


def answers():
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


def files():
    marked = []
    for top in (host.prefix, host.home):
        for folder, _, names in os.walk(top):
            for name in names:
                st = os.lstat(os.path.join(folder, name))
                if stat.S_ISREG(st.st_mode) and st.st_mode & 0o6000:
                    marked.append(os.path.join(folder, name))
    tap.same(marked, [], "no regular file is set-uid or set-gid")


def no_logins():
    users = [name for name in (e.pw_name for e in pwd.getpwall())
             if name.startswith("_keep-")]
    with open("/etc/shadow") as file:
        hashes = dict(line.split(":")[:2] for line in file)
    open_ones = [name for name in users
                 if not pwd.getpwnam(name).pw_shell.endswith("nologin")
                 or hashes.get(name, "")[:1] not in ("!", "*")]
    tap.same((len(users), open_ones), (11, []),
             "none of the eleven users can log in")
    uids = [pwd.getpwnam(name).pw_uid for name in users]
    tap.ok(len(set(uids)) == 11 and 0 not in uids, "each has its own uid", uids)


# --- mail --------------------------------------------------------------------

def mail_flows():
    send(host, "carol@example.org", f"{ANN}@example.org")
    tap.ok(wait_for(lambda: new_mail("carol@example.org")),
           "mail for an account of the user database arrives", host.logs())
    tap.ok(wait_for(lambda: new_mail(ANN)),
           "mail for a system user arrives in ~/Maildir", host.logs())
    for name in ("carol@example.org", ANN):
        uid, own, _ = who(ANN if name == ANN else "_keep-vmail")
        for path in new_mail(name):
            st = os.stat(path)
            tap.same((st.st_uid, st.st_gid, st.st_mode & 0o777),
                     (uid, own, 0o600), f"{name}'s message is its own alone")
    bob = pwd.getpwnam(BOB)
    done = run(f"{host.prefix}/sbin/sendmail", "dave@example.org",
               input="Subject: by sendmail\n\nbody\n", user=bob.pw_uid,
               group=bob.pw_gid, extra_groups=[], cwd="/", ok=False)
    tap.same((done.returncode, done.stdout), (0, ""),
             "an ordinary user sends by sendmail")
    tap.ok(wait_for(lambda: new_mail("dave@example.org")), "…which arrives",
           host.logs())
    pop = login(host, "carol@example.org")
    tap.same(pop.stat()[0], 1, "an account of the user database fetches by POP3")
    pop.quit()


def system_logins():
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


# --- who each process is -----------------------------------------------------

# program: user, primary group, groups besides, files it may have open, MiB of data
ROLES = {
    "queue-inject": ("_keep-queue", "_keep-runner",
                     ("_keep-queue", "keep-read"), 64, 128),
    "queue-runner": ("_keep-runner", "_keep-runner", ("keep-read",), 4096, 1024),
    "remote": ("_keep-remote", "_keep-remote", ("keep-read",), 4096, 256),
    "local": ("_keep-local", "_keep-local", ("keep-read", "keep-suite"),
              4096, 256),
    "resolve": ("_keep-resolve", "_keep-resolve", ("keep-suite", "keep-users"),
                4096, 256),
    "authd": ("_keep-auth", "_keep-auth", ("keep-suite", "keep-users", "shadow"),
              32, 256),
    "smtpd": ("_keep-smtpd", "keep-suite", (), 16, 128),
    "pop3d": ("_keep-pop3d", "keep-suite", (), 16, 64),
}


def is_user(process, user, group, groups, name):
    uid, own = pwd.getpwnam(user).pw_uid, gid(group)
    wanted = {gid(g) for g in groups}
    tap.ok(process.uids == [uid] * 4 and process.gids == [own] * 4
           and set(process.groups) - {own} == wanted
           and not any(process.capabilities),
           f"{name} runs as {user}:{group}", process)


def is_confined(process, name):
    tap.ok(process.no_new_privs == 1 and process.seccomp == 2,
           f"{name} has no_new_privs and a list of system calls", process)


def is_closed(process, name):
    """Neither a core nor /proc nor a debugger shows its memory."""
    uid, own = process.uids[0], process.gids[0]

    def look():
        try:
            os.close(os.open(f"/proc/{process.pid}/mem", os.O_RDONLY))
            return "memory was opened"
        except PermissionError:
            return ""

    tap.ok(process.limits["Max core file size"] == ("0", "0")
           and process.owner == 0 and as_user(uid, own, [], look) == "",
           f"{name} is closed to others of its uid", process)


def is_role(process, program, name=None):
    user, group, groups, descriptors, data = ROLES[program]
    name = name or program
    is_user(process, user, group, groups, name)
    is_confined(process, name)
    is_closed(process, name)
    limits = process.limits
    soft, hard = limits["Max open files"]
    octets = str(data * 1024 * 1024)
    tap.ok(soft == hard and int(hard) <= descriptors
           and limits["Max data size"] == (octets, octets),
           f"{name} has its limits on files and memory", process)


def children_of(pid, name=None):
    return [p for p in processes()
            if p.parent == pid and name in (None, p.name)]


def the_child(pid, name):
    found = wait_for(lambda: children_of(pid, name), 10)
    if not found or len(found) != 1:
        raise RuntimeError(f"{name} below {pid}: {found}")
    return found[0]


def long_lived():
    for service in installed.SERVICES:
        process = Process(host.pid(service))
        if service in ROLES and service not in ("smtpd", "pop3d"):
            tap.same(process.name, service, f"{service} is one process")
            is_role(process, service)
        elif service != "warden":
            user = "_keep-pop3d" if service == "pop3d" else "_keep-smtpd"
            tap.same(process.name, "tcpserver", f"{service} is a tcpserver")
            is_user(process, user, "keep-suite", (), f"{service}'s tcpserver")
    warden = Process(host.pid("warden"))
    tap.ok(warden.uids == [0] * 4 and warden.owner == 0
           and warden.limits["Max core file size"] == ("0", "0")
           and int(warden.limits["Max open files"][1]) <= 4096,
           "the warden runs as root, with limits", warden)
    logs = [p for p in host.ours() if p.name == "multilog"]
    tap.same(len(logs), 10, "each service has a multilog")
    for process in logs[:1]:
        is_user(process, "_keep-log", "_keep-log", (), "multilog")
    tap.same({p.uids[0] for p in logs}, {pwd.getpwnam("_keep-log").pw_uid},
             "…all of one user")


def network_inodes():
    inodes = set()
    for name in ("tcp", "tcp6", "udp", "udp6", "udplite", "raw", "raw6",
                 "icmp", "packet"):
        try:
            with open(f"/proc/net/{name}") as file:
                rows = [line.split() for line in list(file)[1:]]
        except OSError:
            continue
        inodes |= {row[8] if name == "packet" else row[9] for row in rows}
    return inodes


def roots(when):
    """Who has any uid of root, and what sockets they hold."""
    ours = [p for p in host.ours() if 0 in p.uids + p.gids]
    names = {p.name for p in ours}
    tap.ok(names == {"svscan", "supervise", "warden"}
           and [p.pid for p in ours if p.name == "warden"]
           == [host.pid("warden")],
           f"{when}: the warden is the only root process of the suite", ours)
    inodes, held = network_inodes(), []
    tap.ok(inodes, f"{when}: there are network sockets")
    try:
        for process in ours:
            for fd in glob.glob(f"/proc/{process.pid}/fd/*"):
                found = re.match(r"socket:\[(\d+)\]", os.readlink(fd))
                if found and found.group(1) in inodes:
                    held.append((process, fd))
    except PermissionError:
        tap.skip(f"{when}: no root process has one",
                 "root may not look at processes here")
        return
    tap.same(held, [], f"{when}: no root process has one")


def per_connection():
    """One of each at the same time: an SMTP session within DATA, a POP3 login,
    two POP3 sessions, a delivery that waits in a program."""
    ann = pwd.getpwnam(ANN)
    gate = f"{ann.pw_dir}/gate"
    os.mkfifo(gate, 0o600)
    os.chown(gate, ann.pw_uid, ann.pw_gid)
    with open(f"{ann.pw_dir}/.qmail", "w") as file:
        file.write(f"|exec cat {gate}\n./Maildir/\n")
    os.chown(f"{ann.pw_dir}/.qmail", ann.pw_uid, ann.pw_gid)

    with smtplib.SMTP("127.0.0.1", host.port("smtp"), "client.test",
                      timeout=30) as client, \
            host.connect("pop3") as waiting:
        client.ehlo()
        is_role(the_child(host.pid("smtpd"), "smtpd"), "smtpd", "a session's smtpd")
        client.mail("sender@client.test")
        client.rcpt(f"{ANN}@example.org")
        tap.same(client.docmd("DATA")[0], 354, "SMTP comes to DATA")
        client.send("Subject: half\r\n")
        child = the_child(host.pid("queue-inject"), "queue-inject")
        is_role(child, "queue-inject", "a submission's queue-inject")

        tap.ok(waiting.recv(512).startswith(b"+OK"), "POP3 greets")
        is_role(the_child(host.pid("pop3d"), "pop3d"), "pop3d",
                "a login's pop3d")
        sessions = {}
        for name in (ANN, "carol@example.org"):
            known = {p.pid for p in children_of(host.pid("warden"))}
            sessions[name] = login(host, name)
            [child] = [p for p in children_of(host.pid("warden"))
                       if p.pid not in known]
            is_session(child, name)
        client.send("\r\n.\r\n")
        tap.same(client.getreply()[0], 250, "the message is accepted")
        delivery(ann)
        roots("with all of these at work")
        access(ann)
        for pop in sessions.values():
            pop.quit()
    before = len(new_mail(ANN))
    with open(gate, "wb"):
        pass
    tap.ok(wait_for(lambda: len(new_mail(ANN)) > before),
           "the delivery goes on and ends", host.logs())
    os.unlink(f"{ann.pw_dir}/.qmail")
    roots("in peace")


def is_session(child, name):
    uid, own, groups = who(ANN if name == ANN else "_keep-vmail")
    wanted = set(groups) if name == ANN else set()
    what = f"the POP3 session of {name}"
    tap.ok(child.uids == [uid] * 4 and child.gids == [own] * 4
           and set(child.groups) - {own} == wanted - {own}
           and not any(child.capabilities), f"{what} is its owner", child)
    is_confined(child, what)
    is_closed(child, what)


def delivery(ann):
    def found():
        return [p for p in children_of(host.pid("warden"))
                if children_of(p.pid, "cat")]
    if not wait_for(found):
        raise RuntimeError("no delivery: " + host.logs())
    [child] = found()
    [program] = children_of(child.pid, "cat")
    for process, name in ((child, "the delivery"),
                          (program, "a program of .qmail")):
        uid, own, groups = who(ANN)
        tap.ok(process.uids == [uid] * 4 and process.gids == [own] * 4
               and set(process.groups) <= set(groups)
               and not any(process.capabilities),
               f"{name} is the recipient", process)
    is_closed(child, "the delivery")
    held = []
    queue_file = os.stat(queue_files()[0])

    def descriptors():
        for fd in os.listdir(f"/proc/{program.pid}/fd"):
            st = os.stat(f"/proc/{program.pid}/fd/{fd}")
            if (st.st_dev, st.st_ino) == (queue_file.st_dev, queue_file.st_ino):
                held.append(fd)
        return held
    tap.same(as_user(ann.pw_uid, ann.pw_gid, [], descriptors), [],
             "the program has no descriptor of the queue file")


# --- what each user may touch ------------------------------------------------

def queue_files():
    """Messages on their way to recipients."""
    return glob.glob(f"{host.home}/queue/active/*")


def readable(paths):
    found = []
    for name, path in sorted(paths.items()):
        try:
            os.close(os.open(path, os.O_RDONLY))
            found.append(name)
        except PermissionError:
            pass
    return found


def writable(paths):
    return [path for path in paths if os.access(path, os.W_OK)]


# Who may read what; nobody else may anything of it.
MAY_READ = {
    "_keep-queue": ["queue"], "_keep-runner": ["queue"],
    "_keep-remote": ["queue"], "_keep-local": ["queue"],
    "_keep-resolve": ["accounts"], "_keep-auth": ["accounts", "secrets"],
    "_keep-vmail": ["mail of carol"], ANN: ["mail of ann"], BOB: ["mail of bob"],
}


def access(ann):
    """While a message lies in the queue: that of the delivery that waits."""
    wait_for(lambda: len(queue_files()) == 1)
    [held] = queue_files()
    run(f"{host.prefix}/sbin/sendmail", f"{BOB}@example.org",
        input="Subject: bob\n\nbody\n")
    for name in (BOB, "carol@example.org", ANN):
        wait_for(lambda: new_mail(name))
    paths = {"queue": held,
             "accounts": f"{host.home}/users/accounts.cdb",
             "secrets": f"{host.home}/users/secrets.cdb",
             "mail of ann": new_mail(ANN)[0],
             "mail of bob": new_mail(BOB)[0],
             "mail of carol": new_mail("carol@example.org")[0]}
    tap.same(readable(paths), sorted(paths), "all that is to be kept is there")
    users = sorted(e.pw_name for e in pwd.getpwall()
                   if e.pw_name.startswith("_keep-")) + [ANN, BOB, "nobody"]
    settings = [f"{host.home}/{name}" for name in
                ("control", "control/me", "control/ids", "users", "socket",
                 "service", "service/settings", "service/warden/run", "port",
                 "users/accounts.cdb", "queue/jobs")]
    programs = [f"{host.libexec}/warden", host.libexec, host.prefix]
    for user in users:
        uid, own, groups = who(user)
        tap.same(as_user(uid, own, groups, readable, paths),
                 MAY_READ.get(user, []), f"what {user} can read")
        tap.same(as_user(uid, own, groups, writable, settings + programs), [],
                 f"…and no setting, service or program can be changed by it")


# --- what the warden refuses -------------------------------------------------

def warden_peers():
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
    for octets in (b"x", b"\0" * 3448, b"\xff" * 4096):
        tap.same(as_user(uid, own, groups, ask_with, path, octets.decode("latin-1")),
                 "", f"{len(octets)} octets of nonsense are refused")
    tap.ok(Process(host.pid("warden")).uids == [0] * 4,
           "the warden goes on", host.logs())


def ask_with(path, text):
    return intruder.ask_warden(path, intruder.POP3, "", text.encode("latin-1"))


def warden_accounts():
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
    tap.same((len(roles), served), (9, []),
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

def from_smtpd():
    intruder.install_probe(host, "smtpd", ("smtpd/verb",))
    probe = intruder.Probe(lambda: host.connect("smtp"), [None])
    tap.same(probe.do("ping"), 0, "within smtpd: an intruder acts")
    paths = secrets()
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


def secrets():
    """Paths of what is to be kept, with a message held in the queue."""
    if host.pid("local"):
        wait_for(lambda: not queue_files())
        run("svc", "-d", f"{host.scan}/local")
        wait_for(lambda: not host.pid("local"))
        run(f"{host.prefix}/sbin/sendmail", "dave@example.org",
            input="Subject: held\n\nbody\n")
        wait_for(queue_files)
    return {"a queue file": queue_files()[0],
            "a system user's mail": new_mail(ANN)[0],
            "an account's mail": new_mail("carol@example.org")[0],
            "the accounts": f"{host.home}/users/accounts.cdb",
            "the passwords": f"{host.home}/users/secrets.cdb",
            "the system's passwords": "/etc/shadow"}


def from_sessions():
    intruder.install_probe(host, "warden", ("pop3d/",))
    old = host.pid("warden")
    run("svc", "-t", f"{host.scan}/warden")
    wait_for(lambda: host.pid("warden") not in (0, old))
    run("svc", "-u", f"{host.scan}/local")
    wait_for(lambda: host.pid("local") and not queue_files())
    for name in (BOB, "dave@example.org", ERIN):
        if not new_mail(name):
            run(f"{host.prefix}/sbin/sendmail", name if "@" in name
                else f"{name}@example.org", input="Subject: more\n\nbody\n")
        wait_for(lambda: new_mail(name))
    for name, others in ((ANN, (BOB, "carol@example.org")),
                         ("carol@example.org", (ANN, "dave@example.org",
                                                ERIN)),
                         (ERIN, (BOB, "carol@example.org"))):
        session(name, others)


def session(name, others):
    probe = intruder.Probe(lambda: host.connect("pop3"), [
        f"USER {name}", f"PASS {PASSWORD[name]}", None])
    label = f"within {name}'s session"
    own = new_mail(name)[0]
    tap.same((probe.do("ping"), probe.do("read", own)), (0, 0),
             f"{label}: its own mail is open")
    for other in others:
        same = os.stat(maildir(other)).st_uid == os.stat(maildir(name)).st_uid
        if same and not installed.landlock_version():
            tap.skip(f"{label}: {other}'s Maildir is closed",
                     "one uid, and this kernel has no Landlock")
            continue
        mail, folder = new_mail(other)[0], maildir(other)
        tap.same([probe.do("read", mail), probe.do("write", mail),
                  probe.do("list", folder), probe.do("unlink", mail),
                  probe.do("write", f"{folder}/new/x")], [errno.EACCES] * 5,
                 f"{label}: {other}'s Maildir is closed"
                 + (" (of the same uid)" if same else ""))
    kept = secrets()
    for what in ("a queue file", "the accounts", "the passwords",
                 "the system's passwords"):
        tap.same(probe.do("read", kept[what]), errno.EACCES,
                 f"…closed to it: {what}")
    if installed.landlock_version():
        tap.same([probe.do("read", "/etc/passwd"), probe.do("list", "/"),
                  probe.do("write", f"{os.path.dirname(maildir(name))}/.qmail")],
                 [errno.EACCES] * 3, "…and all else outside its Maildir")
    for command in (("exec", "/bin/sh"), ("fork",), ("setuid",), ("inet",),
                    ("ask", f"{host.home}/socket/submit")):
        tap.same(probe.do(*command), None, f"…it is killed by {command[0]}")
    probe.close()


host = None


def end(*_):
    """Ends, by way of what is to be removed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def main():
    global host
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
        if tap.case(install):
            for case in (no_logins, mail_flows, system_logins,
                         long_lived, per_connection, warden_peers,
                         warden_accounts, from_smtpd, from_sessions, files):
                tap.case(case)
    finally:
        tap.ok(host.stop(), "all services stop when told so")
        host.remove()
        after = databases()
        tap.ok(after == before, "users and groups are as before",
               [sorted(set(after[n]) ^ set(before[n])) for n in before])
        left = [os.path.join(f, n) for f, _, names in os.walk(host.prefix)
                for n in names if "/share/man/" not in f]
        tap.same(left, [], "no program is left")
    tap.done()


main()
