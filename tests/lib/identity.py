"""Cases of tests/whole/installed.t: who each process is, and what each user may
touch."""

import glob
import os
import pwd
import re
import smtplib

import installed
from installed import Process, as_user, processes, run
from stage import ANN, BOB, gid, login, new_mail, queue_files, tap, who
from tap import wait_for

# program: user, primary group, groups besides, most open files, MiB of data
ROLES = {
    "queue-inject": ("_keep-queue", "_keep-runner",
                     ("_keep-queue", "keep-read"), 2200, 128),
    "queue-filter": ("_keep-filter", "_keep-filter", (), 256, 2048),
    "queue-runner": ("_keep-runner", "_keep-runner",
                     ("keep-read", "keep-users"), 5000, 1024),
    "remote": ("_keep-remote", "_keep-remote", ("keep-read",), 4096, 256),
    "local": ("_keep-local", "_keep-local", ("keep-read", "keep-suite"),
              4096, 256),
    "resolve": ("_keep-resolve", "_keep-resolve", ("keep-suite", "keep-users"),
                4096, 256),
    "lookup": ("_keep-lookup", "_keep-lookup", (), 64, 64),
    "tls-client": ("_keep-tlsc", "_keep-tlsc", (), 64, 128),
    "authd": ("_keep-auth", "_keep-auth", ("keep-suite", "keep-users", "shadow"),
              32, 256),
    "countd": ("_keep-count", "_keep-count", (), 4096, 512),
    "tlsd": ("_keep-tls", "_keep-tls", (), 4096, 64),
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


# Its children are programs of the administrator's, which would inherit it.
WITHOUT_LIST = ("queue-filter",)


def is_confined(process, name):
    if name in WITHOUT_LIST:
        tap.ok(process.no_new_privs == 1, f"{name} has no_new_privs", process)
        return
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
    # children of queue-inject that rest go after a few seconds
    wait_for(lambda: len(children_of(pid, name)) == 1, 10)
    found = children_of(pid, name)
    if not found or len(found) != 1:
        raise RuntimeError(f"{name} below {pid}: {found}")
    return found[0]


def long_lived(host):
    for service in installed.SERVICES:
        process = Process(host.pid(service))
        if service in ROLES and service not in ("smtpd", "pop3d"):
            tap.same(process.name, service, f"{service} is one process")
            is_role(process, service)
        elif service != "warden":
            user = "_keep-pop3d" if service.startswith("pop3") \
                else "_keep-smtpd"
            tap.same(process.name, "tcpserver", f"{service} is a tcpserver")
            is_user(process, user, "keep-suite", (), f"{service}'s tcpserver")
    warden = Process(host.pid("warden"))
    tap.ok(warden.uids == [0] * 4 and warden.owner == 0
           and warden.limits["Max core file size"] == ("0", "0")
           and int(warden.limits["Max open files"][1]) <= 4096,
           "the warden runs as root, with limits", warden)
    logs = [p for p in host.ours() if p.name == "multilog"]
    tap.same(len(logs), len(installed.SERVICES), "each service has a multilog")
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


def roots(host, when):
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


def per_connection(host):
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
        is_role(the_child(host.pid("smtpd"), "smtpd"), "smtpd",
                "a session's smtpd")
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
        delivery(host, ann)
        roots(host, "with all of these at work")
        access(host)
        for pop in sessions.values():
            pop.quit()
    before = len(new_mail(host, ANN))
    with open(gate, "wb"):
        pass
    tap.ok(wait_for(lambda: len(new_mail(host, ANN)) > before),
           "the delivery goes on and ends", host.logs())
    os.unlink(f"{ann.pw_dir}/.qmail")
    roots(host, "in peace")


def is_session(child, name):
    uid, own, groups = who(ANN if name == ANN else "_keep-vmail")
    wanted = set(groups) if name == ANN else set()
    what = f"the POP3 session of {name}"
    tap.ok(child.uids == [uid] * 4 and child.gids == [own] * 4
           and set(child.groups) - {own} == wanted - {own}
           and not any(child.capabilities), f"{what} is its owner", child)
    is_confined(child, what)
    is_closed(child, what)


def delivery(host, ann):
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
    queue_file = os.stat(queue_files(host)[0])

    def descriptors():
        for fd in os.listdir(f"/proc/{program.pid}/fd"):
            st = os.stat(f"/proc/{program.pid}/fd/{fd}")
            if (st.st_dev, st.st_ino) == (queue_file.st_dev, queue_file.st_ino):
                held.append(fd)
        return held
    tap.same(as_user(ann.pw_uid, ann.pw_gid, [], descriptors), [],
             "the program has no descriptor of the queue file")


# --- what each user may touch ------------------------------------------------

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
    "_keep-queue": ["queue"], "_keep-runner": ["accounts", "queue"],
    "_keep-remote": ["queue"], "_keep-local": ["queue"],
    "_keep-resolve": ["accounts"], "_keep-auth": ["accounts", "secrets"],
    "_keep-vmail": ["mail of carol"], ANN: ["mail of ann"], BOB: ["mail of bob"],
}


def access(host):
    """While a message lies in the queue: that of the delivery that waits."""
    wait_for(lambda: len(queue_files(host)) == 1)
    [held] = queue_files(host)
    run(f"{host.prefix}/sbin/sendmail", f"{BOB}@example.org",
        input="Subject: bob\n\nbody\n")
    for name in (BOB, "carol@example.org", ANN):
        wait_for(lambda: new_mail(host, name))
    paths = {"queue": held,
             "accounts": f"{host.home}/users/accounts.cdb",
             "secrets": f"{host.home}/users/secrets.cdb",
             "mail of ann": new_mail(host, ANN)[0],
             "mail of bob": new_mail(host, BOB)[0],
             "mail of carol": new_mail(host, "carol@example.org")[0]}
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
