#!/usr/bin/env python3
"""A power cut at any write of a disk with ext4, xfs or btrfs on it: what these
file systems make of what the disk has kept is mounted, and keepmail started on
it. Each accepted recipient gets its one outcome, and none that was committed comes
again.

One run a file system is recorded: tests/crash/blocks.c logs every write and flush
of a loop device. After a cut the disk has everything up to the last flush and, of
what was written since, nothing, everything, some of it, or some sectors of it.
What the mounted file system holds is tried as tests/whole/power-loss.t tries its
states; some are tried on the mounted file system itself.

Needs root, /dev/fuse, loop devices, and mkfs of each file system: says what it
passes over. KEEPMAIL_CUTS is how many cuts are tried of each (4 states each),
chosen by KEEPMAIL_SEED.
"""

import collections
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [os.path.join(os.path.dirname(__file__), where)
                for where in ("../lib", ".")]
from tap import Tap, skip_all, wait_for
import host as crash
import model
import recording
import trial
import verdict
from work import Work

CUTS = int(os.environ.get("KEEPMAIL_CUTS", "150"))
SEED = int(os.environ.get("KEEPMAIL_SEED", time.time_ns() % 1000000))
LANES = 6
# Of so many states one is tried on the mounted file system itself.
MOUNTED = 20
BLOCKS = os.path.join(crash.BUILD, "crash", "blocks")
SECTOR = 512
WRITE, FLUSH, MARK = 1, 2, 3
MIB = 1 << 20
# Name, size of the disk, how it is made and mounted.
KINDS = (
    ("ext4", 64 * MIB, ("mkfs.ext4", "-q", "-F"), "defaults"),
    ("ext4 without ordered data", 64 * MIB, ("mkfs.ext4", "-q", "-F"),
     "data=writeback,noauto_da_alloc"),
    ("xfs", 300 * MIB, ("mkfs.xfs", "-q", "-f"), "defaults"),
    ("btrfs", 128 * MIB, ("mkfs.btrfs", "-q", "-f"), "defaults"),
)

tap = Tap()


def do(*command):
    run = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=60,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True)
    if run.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {run.stdout.strip()}")
    return run.stdout.strip()


def mount(options, image, folder):
    """The loop device goes when the folder is unmounted."""
    loop = do("losetup", "-f", "--show", image)
    try:
        do("mount", "-o", options, loop, folder)
    finally:
        do("losetup", "-d", loop)


def unmount(folder):
    """Whoever was killed may hold it for a moment."""
    if not wait_for(lambda: subprocess.run(
            ["umount", folder], stderr=subprocess.DEVNULL).returncode == 0, 10):
        do("umount", folder)


class Recorder(Work):
    """Runs a host on a disk that is logged."""

    def __init__(self, folder, kind, peer):
        self.folder, self.kind, self.peer = folder, kind, peer
        self.image, self.base, self.log, self.fuse, self.top = (
            os.path.join(folder, name)
            for name in ("image", "base", "log", "fuse", "top"))
        for path in (self.fuse, self.top):
            os.mkdir(path)

    def run(self):
        _, size, make, options = self.kind
        with open(self.image, "wb") as file:
            file.truncate(size)
        do(*make, self.image)
        do("cp", "--sparse=always", self.image, self.base)
        blocks = subprocess.Popen([BLOCKS, self.image, self.log, self.fuse])
        try:
            if not wait_for(lambda: os.path.exists(self.fuse + "/disk"), 10):
                raise RuntimeError("blocks does not mount")
            mount(options, self.fuse + "/disk", self.top)
            try:
                self.run_host()
            finally:
                unmount(self.top)
        finally:
            unmount(self.fuse)
            blocks.wait(20)

    def run_host(self):
        os.chmod(self.top, 0o755)
        self.host = crash.Host(self.top, "h", self.peer).make()
        os.sync()
        self.host.start_all()
        authd = self.start_authd()
        self.peer.on_mail = lambda _, seen: self.mark(
            f"peer {seen.id} {seen.token} {seen.recipient}")
        try:
            if not wait_for(lambda: all(
                    self.host.is_ready(x) for x in crash.PROGRAMS), 20):
                raise RuntimeError("it does not start\n" + self.host.logs())
            self.mark("start")
            self.work()
            self.mark("end")
        finally:
            self.peer.on_mail = None
            self.host.stop_all()
            authd.kill()
            authd.wait()

    def mark(self, text):
        file = os.open(self.fuse + "/mark", os.O_WRONLY)
        os.write(file, text.encode())
        os.close(file)

    def settle(self):
        if not self.host.settle(30):
            raise RuntimeError("it does not come to rest\n" + self.host.logs())

    def entries(self):
        """(type, offset, octets) of the log, in order."""
        found = []
        with open(self.log, "rb") as file:
            while head := file.read(24):
                kind, offset, length = struct.unpack("=QQQ", head)
                found.append((kind, offset, file.read(length)))
        return found


def put(fd, policy, pending, random_one):
    """Writes what a cut leaves of the writes since the last flush."""
    for _, offset, octets in pending:
        if policy == "all":
            os.pwrite(fd, octets, offset)
        elif policy == "none" or random_one.random() < 0.5:
            continue
        elif policy == "some":
            os.pwrite(fd, octets, offset)
        else:
            for at in range(0, len(octets), SECTOR):
                if random_one.random() < 0.5:
                    os.pwrite(fd, octets[at:at + SECTOR], offset + at)


def read_home(home):
    """{path: octets, or None for a folder} of all that is mail."""
    state = {}
    for watched in recording.WATCHED:
        for folder, _, files in os.walk(os.path.join(home, watched)):
            inside = folder[len(home) + 1:]
            if inside + "/" in recording.PASSED_OVER:
                continue
            state[inside] = None
            for name in files:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    with open(path, "rb") as file:
                        state[f"{inside}/{name}"] = file.read()
    return state


class Replay:
    """The disk after cuts, in their order."""

    def __init__(self, recorder, lanes, random_one):
        self.recorder, self.lanes, self.random = recorder, lanes, random_one
        self.entries = recorder.entries()
        self.ledger = verdict.Ledger()
        self.at = 0  # entries that have been done
        self.pending = []
        self.states = 0
        self.mounted = []  # results of those that were tried there

    def marks(self):
        return {octets.decode(): number for number, (kind, _, octets)
                in enumerate(self.entries) if kind == MARK}

    def go(self, cut):
        """Does everything up to a cut; what was flushed goes into base."""
        with open(self.recorder.base, "r+b", buffering=0) as file:
            while self.at < cut:
                kind, _, octets = entry = self.entries[self.at]
                self.at += 1
                if kind == WRITE:
                    self.pending.append(entry)
                elif kind == FLUSH:
                    put(file.fileno(), "all", self.pending, None)
                    self.pending = []
                elif octets not in (b"start", b"end"):
                    self.ledger.mark(octets.decode())

    def try_cut(self, cut):
        self.go(cut)
        promise = None
        for policy in model.POLICIES if self.pending else ("none",):
            self.states += 1
            image = os.path.join(self.recorder.folder, f"cut.{self.states}")
            do("cp", "--sparse=always", self.recorder.base, image)
            with open(image, "r+b", buffering=0) as file:
                put(file.fileno(), policy, self.pending, self.random)
            try:
                mount(self.recorder.kind[3], image, self.recorder.top)
            except RuntimeError as error:
                self.mounted.append(((cut, policy), [str(error)]))
                continue
            try:
                promise = self.try_mounted((cut, policy), promise)
            finally:
                unmount(self.recorder.top)
                os.unlink(image)

    def try_mounted(self, name, promise):
        host = self.recorder.host
        state = read_home(host.home)
        # what is there after the last flush alone is there for certain
        promise = promise or verdict.Promise(self.ledger, state)
        if self.states % MOUNTED == 0:
            host.peer.forget(host.name)
            self.mounted.append((name, trial.run(host, promise)))
        else:
            self.lanes.put(name, state, promise)
        return promise


def choose(replay, random_one):
    """Cuts after each answer that was given, and after writes."""
    marks = replay.marks()
    start, end = marks["start"] + 1, marks["end"]
    cuts = [number + 1 for number in marks.values() if start <= number]
    writes = [number + 1 for number in range(start, end)
              if replay.entries[number][0] == WRITE]
    random_one.shuffle(writes)
    return sorted(dict.fromkeys(cuts + writes[:max(0, CUTS - len(cuts))]))


def try_kind(kind):
    name, _, make, _ = kind
    if not shutil.which(make[0], path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
        tap.skip(name, f"{make[0]} is missing")
        return
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="keepmail-disk.", dir=memory)
    os.chmod(folder, 0o755)
    try:
        random_one = random.Random(SEED)
        peer = crash.Peer()
        recorder = Recorder(folder, kind, peer)
        try:
            recorder.run()
        except RuntimeError as error:
            if "mount" in str(error):
                tap.skip(name, str(error).splitlines()[0])
                return
            raise
        with trial.Lanes(folder, peer, LANES) as lanes:
            replay = Replay(recorder, lanes, random_one)
            cuts = choose(replay, random_one)
            for cut in cuts:
                replay.try_cut(cut)
        report(name, replay, cuts, lanes.results)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def report(name, replay, cuts, results):
    count = collections.Counter(kind for kind, _, _ in replay.entries)
    results = results + replay.mounted
    tap.ok(len(results) == replay.states and count[FLUSH] > 20,
           f"{name}: {count[WRITE]} writes, {count[FLUSH]} flushes; "
           f"{len(cuts)} cuts, {replay.states} states, "
           f"{len(replay.mounted)} of them tried on the mounted disk")
    for policy in model.POLICIES:
        mine = [x for x in results if x[0][1] == policy]
        bad = sorted(x for x in mine if x[1])
        tap.ok(mine and not bad, f"{name}: {policy} of what was not flushed: "
               f"each recipient has its outcome in {len(mine)} states",
               f"{len(bad)} states\n" + "\n".join(
                   f"cut after entry {x[0][0]}:\n" + "\n".join(x[1])
                   for x in bad[:5]))


def own_mounts():
    """Goes on with mounts of its own: nobody else's namespace gets a copy, which
    would keep the file system alive. They go with the process, too."""
    if "KEEPMAIL_OWN_MOUNTS" in os.environ:
        return
    command = ["unshare", "-m", "--propagation", "private"]
    if subprocess.run([*command, "true"]).returncode != 0:
        skip_all("no mount namespace of its own")
    os.environ["KEEPMAIL_OWN_MOUNTS"] = "1"
    os.execvp(command[0], [*command, sys.executable, os.path.abspath(__file__)])


def main():
    if os.geteuid() != 0:
        skip_all("only root can mount")
    own_mounts()
    if not os.path.exists("/dev/fuse") \
            or not os.path.exists("/dev/loop-control"):
        skip_all("/dev/fuse or /dev/loop-control is missing")
    build = subprocess.run(["make", "-s", "-C", crash.TOP,
                            "build/crash/blocks"], stdin=subprocess.DEVNULL,
                           stdout=sys.stderr)
    if build.returncode != 0:
        skip_all("build/crash/blocks is not made: libfuse3-dev is missing?")
    tap.note(f"seed {SEED}; repeat with KEEPMAIL_SEED={SEED}")
    for kind in KINDS:
        tap.case(try_kind, kind)


main()
tap.done()
