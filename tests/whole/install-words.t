#!/usr/bin/env python3
"""INSTALL, word for word: what it says to type is typed into a terminal of a root of its
own, and what it says one sees then must be there, from the packages to a message that
comes in by SMTP and goes out by POP3, to the update, to the removal."""

import glob
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import freshroot
from installed import TOP, run
from tap import Tap, skip_all, wait_for

tap = Tap()
PROMPT = re.compile(r"<ready (\d+)>$")
# Commands that only look: what they show may come a moment later.
LOOKS = ("svstat", "ls", "cat", "keepmail queue-stat")


class Entry:
    """One command, what is typed after it, and what one sees."""

    def __init__(self, step, command):
        self.step = step
        self.command = command
        self.lines = []


def entries():
    """The commands of the numbered steps, in their order."""
    found, step, last = [], None, None
    with open(f"{TOP}/INSTALL") as file:
        lines = file.read().split("\n")
    for line, below in zip(lines, lines[1:] + [""]):
        if set(below) == {"-"}:
            step = line if re.match(r"\d+\. ", line) else None
        if not line.startswith("    "):
            last = None
        elif line.startswith("    # "):
            last = Entry(step, line[6:]) if step else None
            found += [last] if last else []
        elif last and last.command.endswith("\\"):
            last.command += "\n" + line
        elif last:
            last.lines.append(line[4:])
    return found


class Terminal:
    """bash on a terminal of the root."""

    def __init__(self, root, environment):
        self.master, slave = pty.openpty()
        run("stty", "-F", os.ttyname(slave), "-echo", "cols", "400")
        self.shell = subprocess.Popen(
            ["chroot", root.path, "setsid", "-c", "bash", "--noprofile", "--norc",
             "--noediting", "-i"], stdin=slave, stdout=slave, stderr=slave,
            env=dict(root.environment, PS1="<ready $?>",
                     PS2="", TERM="dumb",
                     **environment), cwd="/")
        os.close(slave)
        self.text = ""

    def until(self, condition, seconds=300):
        """Reads until what was read makes condition true."""
        end = time.monotonic() + seconds
        while not condition(self.text):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                return False
            try:
                octets = os.read(self.master, 65536)
            except OSError:
                return False
            self.text += octets.decode(errors="replace").replace("\r", "")
        return True

    def type(self, line):
        os.write(self.master, line.encode() + b"\n")

    def do(self, command, lines):
        """Types a command and what lines say; (status, what was seen)."""
        self.text = ""
        self.type(command)
        shown = []
        for line in lines:
            if line.startswith("> "):
                self.until(lambda text: matches(shown, text.split("\n")), 60)
                self.type(line[2:])
            else:
                shown.append(line)
        self.until(PROMPT.search)
        said = PROMPT.search(self.text)
        return int(said.group(1)) if said else -1, PROMPT.sub("", self.text)

    def close(self):
        self.shell.kill()
        self.shell.wait()
        os.close(self.master)


def matches(wanted, seen):
    """Whether the lines are there in this order; … is anything, and alone any
    lines."""
    at = 0
    for line in wanted:
        if line == "…":
            continue
        pattern = ".*".join(re.escape(part) for part in line.split("…"))
        while at < len(seen) and not re.fullmatch(pattern + r"\s*", seen[at]):
            at += 1
        if at == len(seen):
            return False
        at += 1
    return True


def follow(root, terminal, entry):
    wanted = [line for line in entry.lines if not line.startswith("> ")]
    seen = []

    def attempt():
        seen[:] = terminal.do(entry.command, entry.lines)
        return seen[0] == 0 and matches(wanted, seen[1].split("\n"))

    good = wait_for(attempt, 30, 0.2) if entry.command.startswith(LOOKS) \
        else attempt()
    name = re.sub(r"\s*\\\n\s*", " ", entry.command)
    name = name if len(name) < 60 else name[:57] + "…"
    return tap.ok(good, f"{entry.step}: {name.replace('#', '')}",
                  f"status {seen[0]}; seen:\n{seen[1]}\nwanted:\n" +
                  "\n".join(wanted) + "\nlogs:\n" + logs(root))


def logs(root):
    """The ends of all logs, for a failure's report."""
    return root.sh("tail -n 4 /var/lib/keepmail/log/*/current", ok=False).stdout


def bare(root, folder):
    """The root as before any mail server, with the one package in apt's cache that
    the test does not otherwise need: there is no network."""
    for other in root.sh("dpkg-query -W -f '${Package} ${Provides}\\n' |"
                         " grep mail-transport-agent | cut -d' ' -f1;"
                         " echo runit", ok=False).stdout.split():
        root.run("dpkg", "--force-unsafe-io", "--purge", "--force-depends", other,
                 ok=False)
    root.sh("rm -rf /etc/service")
    for package in glob.glob(f"{folder}/*.deb"):
        shutil.copy(package, root.file("/var/cache/apt/archives/"))


def fetch(folder):
    """On the machine, which has a network: or the test is without that package."""
    subprocess.run(["apt-get", "-q", "download", "daemontools-run"], cwd=folder,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=120, check=False)


def environment():
    """What make is told, so that what stands in build/ is not built again."""
    try:
        with open(f"{TOP}/build/flags") as file:
            strict = "-Werror" in file.read().split()
    except OSError:
        strict = False
    return {"MAKEFLAGS": f"-j{os.cpu_count()}" +
            (" CFLAGS=-Werror" if strict else "")}


def left(root):
    """What is there of keepmail."""
    found = [name for name in ("/var/lib/keepmail", "/usr/local/libexec/keepmail",
                               "/usr/sbin/sendmail")
             if os.path.lexists(root.file(name))]
    with open(f"{TOP}/tools/install.table") as file:
        names = [line.split()[0] for line in file
                 if line.strip() and line[0] != "#"]
    found += [name for name in names
              if os.path.lexists(root.file(f"/usr/local/{name}"))]
    return found + re.findall("^_?keep-.*", root.sh(
        "getent passwd; getent group").stdout, re.M)


def main():
    root = freshroot.enter(fetch)
    bare(root, root.folder)
    todo = entries()
    tap.ok(len(todo) > 40, "INSTALL has commands to type", len(todo))
    terminal = Terminal(root, environment())
    terminal.until(PROMPT.search)
    terminal.do(f"cd {TOP}", [])
    svscan = None
    packaged = glob.glob(f"{root.folder}/*.deb")
    for entry in todo:
        if "daemontools-run" in entry.command and not packaged:
            tap.skip(entry.command, "apt-get cannot fetch it here")
            root.sh("mkdir -p /etc/service")
            continue
        if entry.step.startswith("7.") and not svscan:
            # As daemontools-run has it done at the start of the host.
            svscan = root.start("svscan", "/etc/service",
                                log=f"{root.folder}/svscan.log")
        if not tap.case(follow, root, terminal, entry):
            break
    else:
        tap.same(left(root), [], "nothing is left of it")
    terminal.close()
    if svscan:
        svscan.kill()
    tap.done()


main()
