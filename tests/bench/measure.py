"""What the benchmarks share: CPU time of a group of processes, load by smtpload,
messages that arrive in a Maildir, disks, medians, tables.

Absolute figures of a machine that others use too say little: what is to be
compared is run in turns, and CPU time counts before seconds.
"""

import contextlib
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "tests", "lib"))
BUILD = os.path.join(TOP, "build")

from instance import Instance  # noqa: E402
from tap import wait_for  # noqa: E402

OCTETS = 4096


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def say(text):
    print(text, flush=True)


def table(head, rows):
    """Prints rows of texts and numbers below a head, in columns."""
    text = [[("-" if cell is None else f"{cell:.4g}"
              if isinstance(cell, float) else str(cell)) for cell in row]
            for row in [head] + rows]
    width = [max(len(row[n]) for row in text) for n in range(len(head))]
    for row in text:
        say("  ".join(cell.ljust(width[n]) for n, cell in enumerate(row))
            .rstrip())


class Group:
    """A control group: what is started within it is measured by cpu_ms, all
    its dead children included. Without the right to make one, cpu_ms is
    None."""

    made = 0

    def __init__(self, name):
        Group.made += 1
        self.path = None
        self.name = f"keepmail-bench-{os.getpid()}-{Group.made}-{name}"
        for root in ("/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup"):
            path = os.path.join(root, self.name)
            try:
                os.mkdir(path)
            except OSError:
                continue
            for usage in ("cpuacct.usage", "cpu.stat"):
                if os.path.exists(os.path.join(path, usage)):
                    self.path, self.usage = path, os.path.join(path, usage)
                    return
            os.rmdir(path)

    @contextlib.contextmanager
    def inside(self):
        """What is started meanwhile belongs to the group."""
        if self.path is None:
            yield
            return
        before = self.own_group()
        self.enter(self.path)
        try:
            yield
        finally:
            self.enter(before)

    def own_group(self):
        root = os.path.dirname(self.path)
        with open("/proc/self/cgroup") as file:
            for line in file:
                number, kinds, path = line.rstrip("\n").split(":", 2)
                if ("cpuacct" in kinds.split(",") if "cpuacct" in root
                        else number == "0"):
                    return root + path
        return root

    @staticmethod
    def enter(path):
        with open(os.path.join(path, "cgroup.procs"), "w") as file:
            file.write("0")

    def cpu_ms(self):
        if self.path is None:
            return None
        with open(self.usage) as file:
            text = file.read()
        found = re.search(r"usage_usec (\d+)", text)
        return int(found[1]) / 1e3 if found else int(text) / 1e6

    def memory_kb(self):
        """The sums over all processes: PSS, and what each has for itself; None
        and None without a group."""
        if self.path is None:
            return None, None
        whole = private = 0
        with open(os.path.join(self.path, "cgroup.procs")) as file:
            processes = file.read().split()
        for process in processes:
            try:
                with open(f"/proc/{process}/smaps_rollup") as file:
                    text = file.read()
            except OSError:
                continue        # it has ended
            whole += int(re.search(r"^Pss: +(\d+)", text, re.M)[1])
            private += sum(int(n) for n in re.findall(
                r"^Private_(?:Clean|Dirty): +(\d+)", text, re.M))
        return whole, private

    def end(self):
        if self.path is not None:
            wait_for(self.remove, 10)

    def remove(self):
        try:
            os.rmdir(self.path)
        except OSError:
            return False
        return True


def count(folder):
    """The files in a folder."""
    with os.scandir(folder) as entries:
        return sum(1 for _ in entries)


def empty(folder):
    with os.scandir(folder) as entries:
        for entry in entries:
            os.unlink(entry.path)


class Server:
    """A mail server under test: group, smtp_port, address, maildir."""

    def clear(self):
        empty(os.path.join(self.maildir, "new"))

    def arrived(self):
        return count(os.path.join(self.maildir, "new"))


class Keepmail(Server):
    name = "keepmail"

    def __init__(self, folder, *options):
        self.group = Group("keepmail")
        self.host = Instance(*options, folder=folder)
        self.start()

    def start(self):
        with self.group.inside():
            self.host.start()
        self.address, self.maildir = self.host.address, self.host.maildir
        self.smtp_port = int(self.host.smtp_port)

    def stop(self):
        self.host.stop()

    def end(self):
        self.stop()
        self.group.end()


def load(server, sessions, messages, per_connection, to=None, octets=OCTETS):
    """Sends messages by smtpload and waits until all are in the Maildir (or
    not, if they go elsewhere; with none a connection, which is a connection and
    no more, not either). A dictionary: rates per second of acceptance and
    end to end, CPU in ms a message."""
    server.clear()
    cpu = server.group.cpu_ms()
    began = time.monotonic()
    run = subprocess.run([os.path.join(BUILD, "bench", "smtpload"),
                          "127.0.0.1", str(server.smtp_port), str(sessions),
                          str(messages), str(per_connection), str(octets),
                          "sender@load.test", to or server.address],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, timeout=3600)
    if run.returncode != 0:
        raise RuntimeError(f"{server.name}: smtpload: {run.stdout}")
    accepted = float(re.search(r"rate ([0-9.]+)", run.stdout)[1])
    end_to_end = None
    if to is None and per_connection > 0:
        if not wait_for(lambda: server.arrived() >= messages, 300):
            raise RuntimeError(f"{server.name}: {server.arrived()} of "
                               f"{messages} messages arrived")
        end_to_end = messages / (time.monotonic() - began)
    after = server.group.cpu_ms()
    return {"accepted": accepted, "end to end": end_to_end,
            "cpu": None if cpu is None else (after - cpu) / messages}


def one_message(server, octets=100):
    """Sends one message to the idle server. Milliseconds from its 250 to the
    file in the Maildir, and from the final dot."""
    new = os.path.join(server.maildir, "new")
    server.clear()
    with socket.create_connection(("127.0.0.1", server.smtp_port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        replies = client.makefile("rb")

        def expect(code):
            while True:
                line = replies.readline()
                if line[3:4] != b"-":
                    break
            if line[:3] != code:
                raise RuntimeError(f"{server.name}: {line!r}")

        expect(b"220")
        for command, code in (("EHLO load.test", b"250"),
                              ("MAIL FROM:<sender@load.test>", b"250"),
                              (f"RCPT TO:<{server.address}>", b"250"),
                              ("DATA", b"354")):
            client.sendall(command.encode() + b"\r\n")
            expect(code)
        text = (b"From: sender@load.test\r\n\r\n"
                + (b"x" * 70 + b"\r\n") * (octets // 72) + b".\r\n")
        # the time of a large one is not that of the way to the server
        client.sendall(text[:-5] if octets > OCTETS else b"")
        dot = time.monotonic()
        client.sendall(text[-5:] if octets > OCTETS else text)
        expect(b"250")
        answered = time.monotonic()
        # fine steps without taking a processor
        if not wait_for(lambda: os.listdir(new), 30, 0.0001):
            raise RuntimeError(f"{server.name}: no message arrived")
        there = time.monotonic()
        client.sendall(b"QUIT\r\n")
    return (there - answered) * 1e3, (there - dot) * 1e3


def latency(server, messages, octets=100):
    """Medians of one_message."""
    both = [one_message(server, octets) for _ in range(messages)]
    return median([one[0] for one in both]), median([one[1] for one in both])


def kind_of(folder):
    run = subprocess.run(["stat", "-f", "-c", "%T", folder],
                         stdout=subprocess.PIPE, text=True, check=True)
    return run.stdout.strip()


@contextlib.contextmanager
def folder_in(parent):
    folder = tempfile.mkdtemp(prefix="keepmail-bench.", dir=parent)
    os.chmod(folder, 0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def disk(parent, mebibytes=2048):
    """An ext4 with a journal on a loop device of its own, so that its commits
    and flushes are those of the server alone. Yields folder and device, or
    None and None without the right to it."""
    with folder_in(parent) as folder:
        image, point = folder + "/image", folder + "/disk"
        os.mkdir(point)
        device = None
        try:
            with open(image, "wb") as file:
                file.truncate(mebibytes << 20)
            subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
            device = subprocess.run(
                ["losetup", "-f", "--show", image], check=True,
                stdout=subprocess.PIPE, text=True).stdout.strip()
            subprocess.run(["mount", device, point], check=True)
            os.chmod(point, 0o755)
        except (OSError, subprocess.CalledProcessError) as trouble:
            say(f"# skipped, the disk of its own: {trouble}")
            if device is not None:
                subprocess.run(["losetup", "-d", device])
            yield None, None
            return
        try:
            yield point, device
        finally:
            subprocess.run(["umount", point])
            subprocess.run(["losetup", "-d", device])


@contextlib.contextmanager
def place(parent, mebibytes):
    """The folder that was asked for; else one on a disk of its own, because an
    ext4 without a journal is no measure: it passes over each inode that was
    freed within the last minutes before it makes a file, and that becomes half
    of all CPU time."""
    with contextlib.ExitStack() as stack:
        point = None
        if parent is None:
            point, _ = stack.enter_context(disk(None, mebibytes))
        yield stack.enter_context(folder_in(point or parent))
