#!/usr/bin/env python3
"""queue-check: it has nothing to say of a sound queue, idle or busy; it finds each
kind of damage and mends it."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import queuefile
from tap import Tap, wait_for
from instance import Instance, TOP
from queuecheck import (check, clean, deferral, dest, forget_delivered, job,
                        make_id, send, service, subjects)

tap = Tap()
FLOW = 200
LOCAL = dest("local")


# --- a sound queue ---------------------------------------------------------


def sound(host):
    clean(tap, host, "an empty queue is clean")
    sender = threading.Thread(target=send, args=(host, FLOW))
    sender.start()
    looks, bad = 0, []
    while sender.is_alive() or (looks < 500 and host.queued()):
        status, found, errors = check(host)
        looks += 1
        if status or found or errors:
            bad.append((status, found, errors))
    sender.join()
    tap.same(len(host.wait_delivered(FLOW, 60)), FLOW,
             f"{FLOW} messages flow meanwhile")
    tap.ok(looks > 3 and not bad,
           f"and are clean in each of {looks} looks", bad[:3])
    forget_delivered(host)


def wrong_calls(host):
    tap.same(host.run("queue-check", "--mend").returncode, 100,
             "an unknown option is a wrong call")


# --- damage ----------------------------------------------------------------


class Damage:
    """Files put into a queue whose runner is down, and what is said of them."""

    def __init__(self, host):
        self.host = host
        self.expected = {}
        self.kept = []    # contents that must not be lost
        self.arrive = []  # subjects that will be delivered

    def path(self, *parts):
        return os.path.join(self.host.queue, *parts)

    def folder(self, path):
        """Makes the folders of a path, as the runner would."""
        made = []
        while not os.path.isdir(self.path(path)):
            made.append(path)
            path = os.path.dirname(path)
        for one in reversed(made):
            os.mkdir(self.path(one), 0o755)
            self.host.give(self.path(one))

    def put(self, path, octets, what=None, kept=True):
        self.folder(os.path.dirname(path))
        with open(self.path(path), "wb") as file:
            file.write(octets)
        self.host.give(self.path(path))
        if what:
            self.expected[path, what] = True
        if kept:
            self.kept.append(octets)

    def message(self, subject, spoil=None, marked=True, after=b""):
        octets = queuefile.message(
            "ann@client.test", [self.host.address],
            f"Subject: {subject}\n\nbody\n".encode(), outcomes=after,
            mark=queuefile.MARK if marked else 0)
        if spoil is None:
            return octets
        return octets[:spoil] + bytes([octets[spoil] ^ 1]) + octets[spoil + 1:]

    def spoiled(self):
        """Message files that fail a check."""
        self.put(f"active/{make_id()}", self.message("header", spoil=20), "header")
        # Its mark stands, so it was accepted.
        self.put(f"incoming/{make_id(37 * 3600)}",
                 self.message("old header", spoil=20), "header")
        self.put(f"held/{make_id()}", self.message("content", spoil=66),
                 "content")
        octets = self.message("envelope")
        self.put(f"deferred/00ffffffff/{make_id()}",
                 octets[:-3] + b"xyz", "envelope")
        self.put(f"active/{make_id()}", octets[:70], "envelope")
        self.put(f"active/{make_id()}", b"", "header")
        self.put(f"waiting/{dest('mx:a.test')}/{make_id()}",
                 self.message("unmarked", marked=False), "unmarked")
        spoiled = bytearray(deferral())
        spoiled[12] ^= 1
        self.put(f"deferred/00ffffffff/{make_id()}",
                 self.message("outcomes", after=bytes(spoiled)
                              + queuefile.outcome(0, queuefile.DELIVERED, 2)), "outcomes")
        self.put(f"held/{make_id()}",
                 self.message("nonsense", after=deferral(7)),
                 "envelope")
        # A torn tail is no damage.
        self.put(f"held/{make_id()}", self.message(
            "torn", after=deferral()[:-5]))
        self.put(f"held/{make_id()}", self.message(
            "zeros", after=bytes(40)))

    def names(self):
        """Files where they have no sense."""
        self.put("active/notes.txt", b"notes", "name")
        self.put("active/a\nb\"c\\d", b"odd", None)
        self.expected['active/a\\x0ab"c\\\\d', "name"] = True
        self.put("deferred/README", b"read me", "name")
        self.put("core", b"a core file", "name")
        self.put("doubtful/what", b"what", "name")
        self.put("wake/note", b"a note", "name")
        for folder in ("deferred", "waiting", "", "jobs", "jobs/local"):
            subject = f"misplaced in {folder}"
            self.put(os.path.join(folder, make_id()), self.message(subject),
                     "misplaced")
            self.arrive.append(subject)
        # Sound, but no accepted message by its name.
        self.put("active/copy-of-a-message", self.message("copy"), "name")

    def buckets(self):
        for bucket in ("deferred/tomorrow", f"waiting/{'0' * 31}",
                       f"waiting/{LOCAL}/x0000000001"):
            subject = f"in {bucket}"
            self.put(f"{bucket}/{make_id()}", self.message(subject))
            self.expected[bucket, "bucket"] = True
            self.arrive.append(subject)
        self.put("jobs/remote/here/x", b"x")
        self.expected["jobs/remote/here", "bucket"] = True
        for bucket in ("deferred/0000000001", f"waiting/{'f' * 32}",
                       f"waiting/{LOCAL}/00000000001"):
            self.folder(bucket)
            self.expected[bucket, "empty"] = True
        # Both layouts of waiting/ are right.
        for path in (f"waiting/{LOCAL}/{make_id()}",
                     f"waiting/{LOCAL}/10000000001/{make_id()}"):
            self.put(path, self.message("waiting"))

    def odd_files(self):
        """Links, FIFOs, sockets, devices and folders for files."""
        outside = os.path.join(self.host.folder, "outside")
        with open(outside, "w") as file:
            file.write("not ours")
        for path in (f"incoming/{make_id()}", "held/link", "link",
                     "deferred/0000000002", f"jobs/local/{'a' * 32}",
                     f"doubtful/{make_id()}", "requests/link",
                     "wake/link"):
            os.symlink(outside, self.path(path))
            self.expected[path, "no-file"] = True
        path = f"active/{make_id()}"
        os.mkfifo(self.path(path))
        self.expected[path, "no-file"] = True
        server = socket.socket(socket.AF_UNIX)
        here = os.getcwd()
        os.chdir(self.path("held"))
        server.bind("socket")
        os.chdir(here)
        server.close()
        self.expected["held/socket", "no-file"] = True
        if os.geteuid() == 0:
            path = f"active/{make_id()}"
            try:
                os.mknod(self.path(path), 0o020644, os.makedev(1, 3))
                self.expected[path, "no-file"] = True
            except PermissionError:
                tap.note("no device file can be made here")
        for path in (f"active/{make_id()}", "held/folder", "other",
                     "jobs/other"):
            os.mkdir(self.path(path))
            self.expected[path, "folder"] = True
        self.outside = outside

    def litter(self):
        """What broken submissions and killed programs leave."""
        for octets in (b"", b"keepmail", self.message("?", marked=False)):
            self.put(f"incoming/{make_id(37 * 3600)}", octets, "orphan",
                     kept=False)
        # Young: perhaps its writer only begins.
        self.put(f"incoming/{make_id(60)}", b"keep", kept=False)
        # Accepted, however old.
        self.put(f"incoming/{make_id(40 * 3600)}", self.message("old"))
        self.arrive.append("old")
        address = [self.host.address]
        jobs = f"jobs/local/{LOCAL}"
        other = make_id()
        self.put(f"{jobs}/{other}.0",
                 job(make_id(), "local", address), "job",
                 kept=False)
        self.expected[f"{jobs}/{other}.0", "job-alone"] = True
        alone = make_id()
        self.put(f"{jobs}/{alone}.0",
                 job(alone, "local", address), "job-alone",
                 kept=False)
        self.put(f"{jobs}/.{make_id()}.1f", b"half", "job-temporary",
                 kept=False)
        self.put(f"{jobs}/{make_id()}.x", b"odd", "name")
        ident = make_id()
        self.put(f"active/{ident}", self.message("with jobs"))
        self.arrive.append("with jobs")
        self.put(f"{jobs}/{ident}.0", b"torn", "job", kept=False)
        # A job of another destination than its folder's.
        self.put(f"{jobs}/{ident}.1",
                 job(ident, "mx:a.test", address), "job",
                 kept=False)
        self.put(f"{jobs}/{ident}.2", job(
            ident, "local", address, octets=len("Subject: with jobs\n\nbody\n")),
            kept=False)

    def twice(self):
        later = deferral()
        ident = make_id()
        octets = self.message("twice")
        self.put(f"active/{ident}", octets + later)
        self.put(f"deferred/00ffffffff/{ident}", octets)
        self.expected[f"deferred/00ffffffff/{ident}", "twice"] = True
        self.newer, self.older = f"active/{ident}", octets
        ident = make_id()
        self.put(f"held/{ident}", self.message("two names"))
        os.link(self.path("held", ident), self.path("incoming", ident))
        self.expected[f"incoming/{ident}", "twice"] = True
        self.linked = ident

    def contents(self):
        """Everything that is in a file of the queue, or was delivered."""
        found = []
        for folder, _, names in os.walk(self.host.queue):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    with open(path, "rb") as file:
                        found.append(file.read())
        return found


def snapshot(folder):
    """All names with type, mode, owner, time and size."""
    found = []
    for where, folders, names in os.walk(folder):
        for name in folders + names:
            st = os.lstat(os.path.join(where, name))
            found.append((os.path.join(where, name), st.st_mode, st.st_uid,
                          st.st_gid, st.st_mtime_ns, st.st_size, st.st_ino))
    return sorted(found)


def damage(host):
    service(host, "-d", "queue-runner", "local")
    harm = Damage(host)
    for step in (harm.spoiled, harm.names, harm.buckets, harm.litter,
                 harm.twice, harm.odd_files):
        step()
    expected = set(harm.expected)
    before = snapshot(host.queue)
    status, found, errors = check(host)
    tap.same(status, 1, "damage gives the status 1")
    tap.same(sorted(expected - set(found)), [], "all of the damage is found")
    tap.same(sorted(set(found) - expected), [], "and nothing else is")
    kinds = {what for _, what in found}
    tap.same(sorted({"name", "misplaced", "no-file", "folder", "empty",
                     "bucket", "orphan", "header", "unmarked", "envelope",
                     "outcomes", "content", "twice", "job", "job-alone",
                     "job-temporary"} - kinds), [], "each kind is among it")
    tap.ok(snapshot(host.queue) == before, "a look changes nothing")
    run = host.run("queue-check")
    tap.same((run.returncode, run.stdout.count(b"\n")), (1, len(found)),
             "without --json there is a line a finding")

    status, repaired, errors = check(host, "--repair")
    tap.same((status, set(repaired)), (0, set(found)),
             "--repair mends all of it")
    moved = [r for r in repaired.values() if r.startswith("moved to doubtful/")]
    tap.ok(len(moved) > 12 and errors.count(": alarm: ") >= len(moved),
           "with an alarm for each that goes to doubtful/", errors)
    clean(tap, host, "then the queue is clean")
    now = harm.contents()
    lost = [octets for octets in harm.kept if octets not in now]
    tap.same(lost, [], "no message and no stranger's file is lost")
    for text in moved:
        why = harm.path(text.split()[-1] + ".why")
        if not (os.path.exists(why) and "was: queue/" in open(why).read()):
            tap.ok(False, f"{why} says why", os.path.exists(why))
            break
    else:
        tap.ok(True, "each file in doubtful/ has its reason beside it")
    with open(harm.outside) as file:
        tap.same(file.read(), "not ours", "what a link led to is untouched")
    tap.ok(os.path.exists(harm.path(harm.newer)),
           "of a message that stood twice the newer copy stays")
    tap.ok(os.path.exists(harm.path("held", harm.linked))
           and not os.path.exists(harm.path("incoming", harm.linked)),
           "of two names of one file the later state's stays")

    # What was put right is delivered.
    service(host, "-u", "queue-runner", "local")
    wait_for(lambda: set(harm.arrive) <= set(subjects(host)), 40)
    arrived = subjects(host)
    tap.same([s for s in sorted(harm.arrive) if s not in arrived], [],
             "the messages that were out of place are delivered")
    tap.same([s for s in ("content", "header", "envelope", "unmarked",
                          "copy", "outcomes") if s in arrived], [],
             "the doubtful ones are not")
    forget_delivered(host)
    # The rest is to stay where it is.
    for path in host.queued():
        os.unlink(path)
    for name in os.listdir(harm.path("doubtful")):
        os.unlink(harm.path("doubtful", name))
    check(host, "--repair")
    clean(tap, host, "what this leaves is clean")


def beside_a_runner(host):
    """--repair while the runner runs keeps its hands off what that has."""
    service(host, "-d", "local")
    send(host, 1, subject="in hand")
    wait_for(lambda: os.listdir(os.path.join(host.queue, "active")))
    [ident] = os.listdir(os.path.join(host.queue, "active"))
    harm = Damage(host)
    with open(harm.path("active", ident), "rb") as file:
        octets = file.read()
    with open(harm.path("active", ident), "r+b") as file:
        file.seek(70)
        file.write(b"\0")
    harm.put("active/notes", b"notes", "name")
    alone = make_id()
    path = f"jobs/local/{LOCAL}/{alone}.0"
    harm.put(path, job(alone, "local", [host.address]), "job-alone",
             kept=False)
    harm.put(f"held/{make_id()}", harm.message("held", spoil=66), "content")
    status, found, errors = check(host, "--repair")
    tap.same(set(found), set(harm.expected) | {(f"active/{ident}", "content")},
             "beside a running runner the same is found")
    tap.same(status, 1, "and not all of it is mended")
    tap.ok(os.path.exists(harm.path("active", ident))
           and os.path.exists(harm.path(path)),
           "what the runner may have in hand is left")
    tap.same(os.listdir(harm.path("held")) + [n for n in os.listdir(
        harm.path("active")) if n == "notes"], [], "the rest is mended")
    with open(harm.path("active", ident), "r+b") as file:
        file.write(octets)
    os.unlink(harm.path(path))
    service(host, "-u", "local")
    host.wait_delivered(1)
    forget_delivered(host)
    for name in os.listdir(harm.path("doubtful")):
        os.unlink(harm.path("doubtful", name))
    host.wait_empty()
    clean(tap, host, "and clean again")


# --- owners and modes, as installed ------------------------------------------


def owners():
    """A home as make-home makes it, with numbers that belong to nobody."""
    if os.geteuid() != 0:
        tap.skip("owners and modes", "only root can give files away")
        return
    with open(os.path.join(TOP, "tools", "make-home")) as file:
        rows = [line.split() for line in file
                if re.match(r"queue\S*\s+\S+\s+\S+\s+[0-7]{4}$", line)]
    tap.ok(len(rows) > 12, "make-home has a table of the queue", rows)
    home = tempfile.mkdtemp(prefix="keepmail-owners.")
    try:
        names = ["_keep-queue", "_keep-runner", "_keep-local", "_keep-remote",
                 "keep-read"]
        number = {name: 64321 + i for i, name in enumerate(names)}
        os.chmod(home, 0o755)
        os.mkdir(os.path.join(home, "control"))
        with open(os.path.join(home, "control", "ids"), "w") as file:
            for name, value in number.items():
                if name.startswith("_"):
                    file.write(f"user {name} {value}\n")
                file.write(f"group {name} {value}\n")
        number["root"] = 0

        def put(path, user, group, mode, octets=None):
            path = os.path.join(home, path)
            if path.endswith("|"):
                path = path[:-1]
                os.mkfifo(path)
            elif octets is not None:
                with open(path, "wb") as file:
                    file.write(octets)
            else:
                os.mkdir(path)
            os.chown(path, number[user], number[group])
            os.chmod(path, mode)
            return path

        def look(*options):
            run = subprocess.run(
                [os.path.join(TOP, "build", "queue-check"), "--json",
                 *options], env={"KEEPMAIL": home}, cwd="/", timeout=60,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            return run.returncode, sorted(
                (f["path"], f["what"]) for f in map(
                    json.loads, run.stdout.splitlines())), run.stderr

        for path, user, group, mode in rows:
            put(path, user, group, int(mode, 8))
        octets = queuefile.message("a@b.test", ["c@d.test"])
        ident = make_id()
        put(f"queue/active/{ident}", "_keep-queue", "_keep-runner", 0o664,
            octets)
        put(f"queue/jobs/local/{LOCAL}", "_keep-runner", "_keep-local",
            0o2770)
        put(f"queue/jobs/local/{LOCAL}/{ident}.0", "_keep-runner",
            "_keep-local", 0o660,
            job(ident, "local", ["c@d.test"]))
        put("queue/deferred/00ffffffff", "_keep-runner", "_keep-runner",
            0o755)
        late = make_id()
        put(f"queue/deferred/00ffffffff/{late}", "_keep-queue",
            "_keep-runner", 0o664, octets)
        tap.same(look(), (0, [], b""), "what make-home makes is right")
        wrong = []
        for path, uid, gid, mode in (
                (f"active/{ident}", 0, 0, 0o664),
                (f"deferred/00ffffffff/{late}", number["_keep-queue"],
                 number["_keep-runner"], 0o4666),
                ("deferred/00ffffffff", number["_keep-runner"], 0, 0o755),
                ("incoming", number["_keep-runner"], number["_keep-queue"],
                 0o777),
                (f"jobs/local/{LOCAL}", number["_keep-runner"],
                 number["_keep-local"], 0o770),
                (f"jobs/local/{LOCAL}/{ident}.0", number["_keep-local"],
                 number["_keep-local"], 0o660)):
            os.chown(os.path.join(home, "queue", path), uid, gid)
            os.chmod(os.path.join(home, "queue", path), mode)
            wrong.append((path, "owner"))
        tap.same(look()[:2], (1, sorted(wrong)),
                 "wrong owners and modes are found")
        tap.same(look("--repair")[:2], (0, sorted(wrong)),
                 "and put right")
        tap.same(look(), (0, [], b""), "then all is right")
        # A second name may be one outside: its owner is not changed.
        secret = os.path.join(home, "secret")
        with open(secret, "wb") as file:
            file.write(octets)
        twin = make_id()
        os.link(secret, os.path.join(home, "queue", "active", twin))
        tap.same(look("--repair")[:2], (1, [(f"active/{twin}", "owner")]),
                 "a file with another name keeps its owner")
        tap.same(os.stat(secret).st_uid, 0, "indeed")
        os.unlink(os.path.join(home, "queue", "active", twin))
        shutil.rmtree(os.path.join(home, "queue", "held"))
        tap.same(look("--repair")[:2], (1, [("held", "missing")]),
                 "a folder that is missing is told")
        os.rename(os.path.join(home, "queue"), os.path.join(home, "away"))
        tap.same(look()[0], 111, "without a queue nothing can be read")
        os.rename(os.path.join(home, "control", "ids"),
                  os.path.join(home, "control", "ids.old"))
        tap.same(look()[0], 111, "nor without a home")
    finally:
        shutil.rmtree(home)


tap.case(owners)
with Instance() as host:
    for step in (sound, wrong_calls, damage, beside_a_runner):
        tap.case(step, host)
    if tap.failed:
        tap.note(host.logs())
tap.done()
