"""Plays transcripts of POP3 sessions against build/pop3d and the authd and
warden of a private instance, each with a Maildir of its own.

A transcript is a text file; the first characters of a line say what it is:

  # …            a remark
  M: new/NAME    a file of the Maildir; the name may be anything below it
  =: text        …with this line of content, ended by LF
  =| text        …with this content
  =*N text       …with N such lines
  @modes …       of whole, line and byte, all three without it
  @maildir WORD  gone: there is no Maildir; closed: nobody may read new;
                 link: it is a symbolic link; half: there is no cur;
                 stuck: nothing can be removed from new
  @least N       it takes N seconds or more: answers are delayed
  @session       from here on a second (third …) session with the same Maildir
  @remove NAME   another program removes this file of the Maildir now
  @rename ONE TWO   …renames it
  @write NAME TEXT  …writes TEXT to it
  @close         the client closes its sending half here
  @cut           the client is gone
  C: text        the client sends text and CRLF
  C| text        the client sends text alone
  C*N text       the client sends text and CRLF N times
  C+             USER and PASS, and their answers; C+N: …with N messages
  S: text        the server answers exactly this line
  S*N text       N such lines
  A: NAME        what the Maildir has when the session has ended: exactly the
                 files of these lines, or those of the M lines without any
  A: nothing     …nothing

In the texts \\r \\n \\t \\0 \\\\ and \\xNN stand for octets, {N*text} for a text N
times, {user} and {password} for the account's, {USER} for the name in capital
letters.

Each transcript is played in one piece, line by line, and octet by octet (each
read by the server before the next is sent): all must come out the same. Without
@modes a transcript in which others change the Maildir is not played in one
piece.
"""

import glob
import os
import queue
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
import player

PROGRAM = os.environ.get("POP3D", os.path.join(player.TOP, "build", "pop3d"))
PASSWORD = "a pass word, with  spaces "
CHANGES = ("remove", "rename", "write")


def split(line):
    """Kind, number or "", and text of a line."""
    found = re.match(r"(.)([:|+]|\*\d+)(\d*) ?(.*)", line, re.DOTALL)
    if not found:
        raise ValueError(f"no such line: {line}")
    return found.group(1), found.group(2), found.group(3), found.group(4)


class Transcript:
    def __init__(self, path):
        self.name = os.path.basename(path)[:-4]
        self.files = {}         # name: content
        self.modes, self.maildir, self.least_s = None, "", 0
        self.sessions = [([], [])]      # (steps, what is there afterwards)
        self.changes = False
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    self.take(line.rstrip("\n"))
                except (ValueError, IndexError, KeyError) as error:
                    raise ValueError(f"{path}:{number}: {error}") from error
        if self.modes is None:
            self.modes = player.MODES[1:] if self.changes else player.MODES

    def take(self, line):
        if not line or line.startswith("#"):
            return
        if line.startswith("@"):
            self.direct(line[1:])
            return
        kind, mark, number, text = split(line)
        steps, after = self.sessions[-1]
        count = int(mark[1:]) if mark.startswith("*") else 1
        if kind == "C" and mark == "+":
            steps += [("C", "USER {user}\\r\\n"), ("S", "+OK and the password?"),
                      ("C", "PASS {password}\\r\\n"),
                      ("S", f"+OK {number or len(self.files)} messages")]
        elif kind == "C":
            steps.append(("C", (text + ("" if mark == "|" else "\\r\\n"))
                          * count))
        elif kind == "S":
            steps += [("S", text)] * count
        elif kind == "M":
            self.files[text] = b""
            self.last = text
        elif kind == "=":
            self.files[self.last] += \
                (fill(text) + (b"" if mark == "|" else b"\n")) * count
        elif kind == "A":
            after.append(text)
        else:
            raise ValueError(f"no such line: {line}")

    def direct(self, line):
        word, _, rest = line.partition(" ")
        if word == "modes":
            self.modes = rest.split()
        elif word == "maildir":
            self.maildir = rest
        elif word == "least":
            self.least_s = int(rest)
        elif word == "session":
            self.sessions.append(([], []))
        elif word in CHANGES:
            self.changes = True
            self.sessions[-1][0].append((word, *rest.split(" ", 1)))
        elif word in ("close", "cut"):
            self.changes |= word == "cut"
            self.sessions[-1][0].append((word,))
        else:
            raise ValueError(f"no such direction: {word}")


def fill(text, account=None):
    """The octets that a text stands for."""
    if account:
        text = text.replace("{user}", account.user)
        text = text.replace("{USER}", account.user.upper())
        text = text.replace("{password}", account.password)
    text = re.sub(r"\{(\d+)\*([^}]*)\}",
                  lambda found: found.group(2) * int(found.group(1)), text)
    return player.octets(text)


class Account:
    """An account of the instance, for one transcript at a time."""

    def __init__(self, host, user, password=PASSWORD):
        self.host, self.password = host, password
        self.user = f"{user}@{host.domain}"
        run = host.run("user-add", self.user, input=password.encode() + b"\n")
        if run.returncode != 0:
            raise RuntimeError(f"user-add: {run.stderr}")
        self.maildir = os.path.join(host.home, "mail", host.domain, user,
                                    "Maildir")

    def path(self, name):
        return os.path.join(self.maildir, name)

    def give(self, path):
        owner = os.stat(os.path.dirname(self.maildir))
        if os.geteuid() == 0:
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content)
        self.give(self.path(name))

    def reset(self, files=None, state=""):
        """A fresh Maildir with these files, in a state as @maildir says."""
        if os.path.islink(self.maildir):
            os.unlink(self.maildir)
        for folder in ("new", "cur"):
            if os.path.isdir(self.path(folder)):
                os.chmod(self.path(folder), 0o700)
        for name in (self.maildir, self.maildir + ".real"):
            shutil.rmtree(name, ignore_errors=True)
        if state == "gone":
            return
        folders = ["", "tmp", "new"] + (["cur"] if state != "half" else [])
        for folder in folders:
            os.mkdir(self.path(folder), 0o700)
            self.give(self.path(folder))
        for name, content in (files or {}).items():
            self.write(name, content)
        if state == "closed":
            os.chmod(self.path("new"), 0)
        elif state == "stuck":
            os.chmod(self.path("new"), 0o500)
        elif state == "link":
            os.rename(self.maildir, self.maildir + ".real")
            os.symlink(self.maildir + ".real", self.maildir)

    def files(self):
        found = {}
        for folder in ("new", "cur", "tmp"):
            for path in glob.glob(self.path(folder) + "/*") \
                    + glob.glob(self.path(folder) + "/.[!.]*"):
                with open(path, "rb") as file:
                    found[os.path.relpath(path, self.maildir)] = file.read()
        return found


class Session(player.Session):
    """One connection of a transcript."""

    def __init__(self, transcript, steps, mode, account):
        super().__init__(transcript, mode)
        self.steps, self.account = steps, account
        self.gone = False

    def play(self):
        log = tempfile.TemporaryFile()
        self.socket, theirs = socket.socketpair()
        arguments = self.account.host.as_owner()
        arguments["env"].update(PROTO="TCP", TCPREMOTEIP="192.0.2.1",
                                ASAN_OPTIONS="detect_leaks=0")
        with self.socket:
            with theirs:
                process = subprocess.Popen([PROGRAM], stdin=theirs,
                                           stdout=theirs, stderr=log, cwd="/",
                                           **arguments)
            self.socket.setblocking(False)
            try:
                self.drive()
            except Exception as error:
                self.early = repr(error)
        try:
            status = process.wait(player.WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            status = f"none ({process.wait()})"
        log.seek(0)
        faults = self.faults(status)
        return faults + [log.read().decode("latin-1")] if faults else []

    def drive(self):
        due = 0
        for step in self.steps:
            if step[0] == "S":
                due += 1
                if self.mode != "whole" and not self.await_lines(due):
                    return
            elif step[0] == "C":
                self.say(fill(step[1], self.account))
            elif step[0] == "close":
                self.socket.shutdown(socket.SHUT_WR)
            elif step[0] == "cut":
                self.gone = True
                return
            else:
                self.change(*step)
        self.await_end()

    def say(self, data):
        if self.mode == "whole":
            self.send(data)
        elif self.mode == "byte":
            self.send_singly(data)
        else:
            for line in re.findall(rb"[^\n]*\n|[^\n]+$", data):
                self.send(line)

    def change(self, what, name, rest=""):
        if what == "remove":
            os.unlink(self.account.path(name))
        elif what == "rename":
            os.rename(self.account.path(name), self.account.path(rest))
        else:
            self.account.write(name, fill(rest))

    def faults(self, status):
        faults = [self.early] if self.early else []
        wanted = b"".join(fill(step[1], self.account) + b"\r\n"
                          for step in self.steps if step[0] == "S")
        if self.got != wanted and not (self.gone
                                       and self.got.startswith(wanted)):
            faults.append(difference(self.got, wanted))
        if status != 0:
            faults.append(f"exit status {status}")
        return faults


def difference(got, wanted):
    """Tells where two texts part, with what is before."""
    at = len(os.path.commonprefix([got, wanted]))
    start = wanted.rfind(b"\n", 0, at) + 1
    start = max(start, at - 200)
    return (f"the answers differ at octet {at} of {len(wanted)}\n"
            f"  expected: {wanted[start:at + 200]!r}\n"
            f"  got:      {got[start:at + 200]!r}")


def play(transcript, mode, account):
    """Returns a list of what was not as it should be."""
    if transcript.maildir in ("closed", "stuck") and os.geteuid() == 0 \
            and os.stat(account.host.home).st_uid == 0:
        return []       # root is never kept out
    account.reset(transcript.files, transcript.maildir)
    known = transcript.files
    faults = []
    start = time.monotonic()
    for number, (steps, after) in enumerate(transcript.sessions, 1):
        session = Session(transcript, steps, mode, account)
        faults += session.play()
        there = sorted(account.files())
        wanted = sorted(known if not after else
                        [] if after == ["nothing"] else after)
        if there != wanted:
            faults.append(f"the Maildir after session {number}\n"
                          f"  expected: {wanted}\n  got:      {there}")
        known = dict.fromkeys(there)
        if faults:
            break
    if time.monotonic() - start < transcript.least_s:
        faults.append(f"it took less than {transcript.least_s} seconds")
    return faults


def play_folder(tap, host, folder, accounts):
    """Plays each transcript of the folder in each of its modes; as many at a
    time as there are accounts."""
    plays = [(transcript, mode)
             for transcript in map(Transcript, sorted(glob.glob(
                 os.path.join(folder, "*.txt"))))
             for mode in transcript.modes]
    tap.ok(plays, "there are transcripts")
    left = queue.SimpleQueue()
    # Those that wait come first.
    for number in sorted(range(len(plays)),
                         key=lambda number: -plays[number][0].least_s):
        left.put(number)
    results = [["not played"]] * len(plays)

    def work(account):
        while True:
            try:
                number = left.get_nowait()
            except queue.Empty:
                return
            try:
                results[number] = play(*plays[number], account)
            except Exception as error:
                results[number] = [f"the player: {error!r}"]

    threads = [threading.Thread(target=work, args=(account,))
               for account in accounts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for (transcript, mode), faults in zip(plays, results):
        tap.ok(not faults, f"{transcript.name}: {mode}", "\n".join(faults))
