"""A recorded run of keepmail: its calls in order, and what of the outside world
happened between which of them."""

import os
import shutil
import signal
import subprocess
import threading

import host as crash
from tap import wait_for
from work import Work

# What a recording takes note of, below the home; FIFOs in it are no mail.
WATCHED = ("queue", "mail")
PASSED_OVER = ("queue/wake/", "queue/requests/")


class Call:
    __slots__ = ("program", "name", "path", "other", "number", "octets")

    def __init__(self, program, name, path, other, number, octets):
        self.program, self.name = program, name
        self.path, self.other = path, other
        self.number, self.octets = number, octets


class Recorder(Work):
    """Runs the programs of a host under trace; marks what happens outside."""

    def __init__(self, host, log):
        self.host, self.log = host, log
        self.lock = threading.Lock()
        self.authd = None

    def __enter__(self):
        host = self.host
        script = "\n".join(f'"{crash.BUILD}/{program}" '
                           f'2>"{host.home}/{program}.log" &'
                           for program in crash.PROGRAMS) + "\nwait\n"
        roots = [os.path.join(host.home, folder) for folder in WATCHED]
        self.process = subprocess.Popen(
            [crash.TRACE, "record", self.log, *roots, "--", "sh", "-c", script],
            cwd="/", env=host.environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, **crash.OWNER)
        self.authd = self.start_authd()
        host.peer.on_mail = lambda _, seen: self.mark(
            f"peer {seen.id} {seen.token} {seen.recipient}")
        if not wait_for(lambda: all(
                os.path.exists(f"{host.home}/{program}.log")
                and host.is_ready(program) for program in crash.PROGRAMS), 30):
            raise RuntimeError("it does not start\n" + host.logs())
        return self

    def __exit__(self, *_):
        self.host.peer.on_mail = None
        for process in (self.process, self.authd):
            process.kill()
            process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def mark(self, text):
        """Returns when the mark stands in the log."""
        with self.lock:
            self.process.stdin.write(text.encode() + b"\n")
            self.process.stdin.flush()
            self.process.stdout.readline()

    def settle(self):
        """Everything that was given in has its outcome."""
        def is_quiet():
            self.host.nudge()
            if self.host.files(("deferred",)):
                os.kill(self.pid("queue-runner"), signal.SIGALRM)
            return self.host.is_quiet()
        if not wait_for(is_quiet, 30, 0.1):
            raise RuntimeError("it does not come to rest\n" + self.host.logs())

    def pid(self, program):
        """The process id of one of the programs."""
        shell, = children(self.process.pid)
        for pid in children(shell):
            with open(f"/proc/{pid}/comm") as file:
                if file.read() == program + "\n":
                    return pid
        raise RuntimeError(f"{program} has ended\n" + self.host.logs())


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def read_log(path, home):
    """The Calls of a log; what is not about mail is left out. Raises ValueError
    for what the model does not know."""
    calls = []
    with open(path, "rb") as file:
        for line in file:
            fields = line.decode().rstrip("\n").split("\t")
            octets = file.read(int(fields[7]))
            file.read(1)
            call = Call(fields[1], fields[2], below(home, fields[3]),
                        below(home, fields[4]), int(fields[5]), octets)
            if call.name == "strange":
                raise ValueError(f"{call.program} does to {call.path} what the "
                                 f"model does not know")
            if call.path is None and call.name not in ("mark", "send") \
                    or call.path and call.path.startswith(PASSED_OVER) \
                    or call.name == "flock":
                continue
            calls.append(call)
    return calls


def below(home, path):
    path = os.path.normpath(path) if path else ""
    return path[len(home) + 1:] if path.startswith(home + "/") else None


def play(disk, call):
    """Does one call to the model."""
    if call.name in ("write", "truncate"):
        # a file without a name cannot come back
        if disk.find(call.path) is not None:
            if call.name == "write":
                disk.write(call.path, call.number, call.octets)
            else:
                disk.truncate(call.path, call.number)
    elif call.name in ("rename", "link"):
        getattr(disk, call.name)(call.path, call.other)
    elif call.name not in ("mark", "send"):
        getattr(disk, call.name)(call.path)
        if call.name == "create" and call.number & os.O_TRUNC:
            disk.truncate(call.path, 0)


def load(disk, home):
    """Puts what stands in a home into the model."""
    for watched in WATCHED:
        disk.mkdir(watched)
        for folder, names, files in os.walk(os.path.join(home, watched)):
            inside = folder[len(home) + 1:]
            for name in names:
                disk.mkdir(f"{inside}/{name}")
            for name in files:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    disk.create(f"{inside}/{name}")
                    with open(path, "rb") as file:
                        disk.write(f"{inside}/{name}", 0, file.read())
    disk.sync_all()


def unload(state, host):
    """Makes a home hold a state, and nothing else of mail."""
    clear(host)
    for path in sorted(state):
        octets, full = state[path], os.path.join(host.home, path)
        if octets is None:
            os.makedirs(full, exist_ok=True)
        else:
            with open(full, "wb") as file:
                file.write(octets)
        if crash.OWNER:
            os.chown(full, crash.OWNER["user"], crash.OWNER["group"])


def clear(host):
    for top, keep in ((host.queue, ("wake", "requests")), (host.mail, ())):
        for name in os.listdir(top):
            if name not in keep:
                shutil.rmtree(os.path.join(top, name))
