"""A bare keepmail for crash tests: a home with three accounts and those programs
that move mail, each started and killed by the test itself; and a peer that takes
mail for far.test.

Accounts: ann (who sends, and gets the bounces), bob, and the alias postmaster,
which is ann. ann-fwd is forwarded to bob.
"""

import collections
import glob
import os
import re
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
import zlib

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, "build")
TRACE = os.path.join(BUILD, "crash", "trace")
PROGRAMS = ("queue-inject", "resolve", "warden", "local", "remote",
            "queue-runner")
OWNER = {"user": 65534, "group": 65534, "extra_groups": []} \
    if os.geteuid() == 0 else {}
STATES = ("incoming", "active", "deferred", "waiting", "held", "doubtful")
BOB, ANN = "bob@keepmail.test", "ann@keepmail.test"
FAR, REFUSED, LATER = "far@far.test", "refused@far.test", "later@far.test"
NOBODY, FORWARD = "nobody@keepmail.test", "ann-fwd@keepmail.test"
POSTMASTER = "postmaster@keepmail.test"
PASSWORD = "secret of the test"

# A message file's id on its own, and where its copies name it.
ID = r"[0-9a-hjkmnp-tv-z]{20}"
RECEIVED = re.compile(rb"^Received: [^\n]*(?:\n[ \t][^\n]*)*?\bid (" +
                      ID.encode() + rb")\b", re.MULTILINE)
MESSAGE_ID = re.compile(rb"^Message-ID: <(" + ID.encode() + rb")@", re.MULTILINE)
TOKEN = re.compile(rb"^Subject: token-(\S+)$", re.MULTILINE)

# One outcome that was seen: which message file it is of, the token of the message
# that was submitted, the recipient, and whether it is a bounce.
Seen = collections.namedtuple("Seen", "id token recipient is_bounce")


def text_of(token, size=200):
    """The body that a message with this token has."""
    line = f"BEGIN {token} " + "x" * 50 + "\n"
    return line * (size // len(line) + 1) + f"END {token}\n"


def message_of(token, size=200, more=""):
    return f"Subject: token-{token}\n{more}\n{text_of(token, size)}"


class Peer(socketserver.ThreadingTCPServer):
    """Takes mail for far.test, and notes it by the name given in EHLO."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 200

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Session)
        self.port = self.server_address[1]
        self.lock = threading.Lock()
        self.seen = collections.defaultdict(list)
        self.deferred = set()
        self.on_mail = None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def answer(self, host, address, is_first):
        local = address.split("@")[0]
        if local == "refused":
            return "550 5.1.1 not here"
        if local == "later" and is_first:
            return "451 4.2.1 later"
        return "250 2.1.5 good"

    def take(self, host, recipients, content):
        found = read_copy(content)
        for address in recipients:
            seen = Seen(found[0], found[1], address, False)
            with self.lock:
                self.seen[host].append(seen)
            if self.on_mail:
                self.on_mail(host, seen)

    def forget(self, host):
        with self.lock:
            self.seen.pop(host, None)
            self.deferred = {x for x in self.deferred if x[0] != host}

    def handle_error(self, *_):
        """A client that is killed is nothing to tell of."""


class Session(socketserver.StreamRequestHandler):
    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self):
        host, recipients, sender = "", [], ""
        self.say("220 peer.far.test ESMTP")
        for line in self.rfile:
            verb = line[:4].upper()
            if verb == b"EHLO":
                host = line[4:].strip().decode()
                self.wfile.write(b"250-peer.far.test\r\n250 PIPELINING\r\n")
            elif verb == b"MAIL":
                recipients = []
                self.say("250 2.1.0 good")
            elif verb == b"RCPT":
                address = line[line.index(b"<") + 1:line.index(b">")].decode()
                with self.server.lock:
                    key = (host, address)
                    is_first = key not in self.server.deferred
                    self.server.deferred.add(key)
                reply = self.server.answer(host, address, is_first)
                if reply[0] == "2":
                    recipients.append(address)
                self.say(reply)
            elif verb == b"DATA" and not recipients:
                self.say("554 5.5.1 nobody")
            elif verb == b"DATA":
                self.say("354 go on")
                content = b""
                for piece in self.rfile:
                    if piece == b".\r\n":
                        break
                    content += piece[1:] if piece[:1] == b"." else piece
                else:
                    return
                self.server.take(host, recipients,
                                 content.replace(b"\r\n", b"\n"))
                self.say("250 2.0.0 taken")
            elif verb == b"QUIT":
                self.say("221 2.0.0 bye")
                return
            else:
                self.say("250 2.0.0 good")


def read_copy(content):
    """(id, token, recipients that a bounce names or None) of a delivered copy;
    ValueError if it is not whole."""
    token = TOKEN.search(content)
    if not token:
        raise ValueError("no token in it")
    token = token.group(1).decode()
    head, _, body = content.partition(b"\n\n")
    bounced = None
    if b"report-type=delivery-status" in head:
        bounced = re.findall(rb"^Final-Recipient: rfc822; (\S+)$", body,
                             re.MULTILINE)
        bounced = [address.decode() for address in bounced]
        found = RECEIVED.search(head) or MESSAGE_ID.search(head)
        end = re.search(rb'boundary="([^"]*)"', head).group(1)
        if not body.endswith(b"--" + end + b"--\n"):
            raise ValueError("a bounce without its end")
        # a bounce about a bounce, or about a message: its text is in it
        if f"\nEND {token}\n".encode() not in body:
            raise ValueError("a bounce without the message")
    else:
        found = RECEIVED.search(head + b"\n")
        size = int(re.search(r"(?:\.(\d+))?$", token).group(1) or 200)
        if body != text_of(token, size).encode():
            raise ValueError(f"content is not what was sent: "
                             f"{len(body)} octets, {body[:60]!r}")
    if not found:
        raise ValueError("no id in it")
    return found.group(1).decode(), token, bounced


class Host:
    def __init__(self, folder, name, peer):
        self.home = os.path.join(folder, name)
        self.name = name + ".test"
        self.peer = peer
        self.queue = os.path.join(self.home, "queue")
        self.mail = os.path.join(self.home, "mail")
        self.running = {}
        self.environment = {"KEEPMAIL": self.home,
                            "PATH": os.environ["PATH"]}
        self.answer = b""
        self.said = {}  # what the tracer of a program has said

    # --- its making ---

    def run(self, *command, **more):
        return subprocess.run(command, check=True, env=self.environment,
                              cwd="/", stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=30,
                              **OWNER, **more)

    def put(self, path, text):
        path = os.path.join(self.home, path)
        with open(path, "w") as file:
            file.write(text)
        if OWNER:
            os.chown(path, OWNER["user"], OWNER["group"])

    def make(self):
        os.mkdir(self.home)
        if OWNER:
            os.chown(self.home, OWNER["user"], OWNER["group"])
        self.run("sh", os.path.join(TOP, "tools", "make-home"), "--private",
                 "--programs", BUILD, self.home)
        for name, text in (
                ("private", ""), ("me", "keepmail.test\n"),
                ("locals", "keepmail.test\n"), ("rcpthosts", "keepmail.test\n"),
                ("helohost", self.name + "\n"), ("allowlocaladdresses", "1\n"),
                ("authclearpop3", "1\n"),
                ("queuefree", "0\n"), ("queuereserve", "0\n"),
                ("queuefreeinodes", "0\n"),
                ("smtproutes", f"far.test:127.0.0.1:{self.peer.port}\n")):
            self.put("control/" + name, text)
        for address in (ANN, BOB):
            self.run(os.path.join(BUILD, "user-add"), address,
                     input=PASSWORD.encode() + b"\n")
        self.put("mail/keepmail.test/ann/.qmail-fwd", f"&{BOB}\n")
        for alias in ("postmaster", "mailer-daemon"):
            self.put("alias/.qmail-" + alias, f"&{ANN}\n")
        return self

    # --- its programs ---

    def start(self, program, *through):
        """Starts one program, under another if need be (through: that one's
        words)."""
        path = os.path.join(self.home, program + ".log")
        with open(path, "wb") as log:
            self.running[program] = process = subprocess.Popen(
                [*through, os.path.join(BUILD, program)], cwd="/", stderr=log,
                stdin=subprocess.DEVNULL, env=self.environment,
                stdout=subprocess.PIPE if through else log, **OWNER)
        return process

    def is_ready(self, program):
        with open(os.path.join(self.home, program + ".log"), "rb") as log:
            return re.search(
                rb"^(?:[a-z-]+: )?(?:takes|answers|runs)\b", log.read(), re.M)

    def start_all(self):
        for program in PROGRAMS:
            self.start(program)

    def stop(self, program):
        process = self.running.pop(program, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.listen(program, process)

    def listen(self, program, process):
        """Hears what the tracer of a program that has ended has to say."""
        if process.stdout:
            self.said[program] = process.stdout.read().decode()
            process.stdout.close()

    def stop_all(self):
        """The quickest way; nothing may need it to end well."""
        for process in self.running.values():
            process.kill()
        for process in self.running.values():
            process.wait()
            if process.stdout:
                process.stdout.close()
        self.running = {}

    def revive(self):
        """Starts again what has died, as a supervisor would."""
        for program, process in list(self.running.items()):
            if process.poll() is not None:
                self.listen(program, process)
                self.start(program)

    # --- its mail ---

    def submit(self, token, recipients, sender=ANN, size=None):
        """Gives a message in. Its id, or None if there was no 'A' to it;
        self.answer is then what came instead."""
        if size:
            token = f"{token}.{size}"
        content = message_of(token, size or 200).encode()
        envelope = record(b"F", sender.encode()) + b"".join(
            record(b"T", struct.pack(">H", len(address)) + address.encode()
                   + b"\0\0\0") for address in recipients)
        frames = frame(b"Q", bytes(9)) + b"".join(
            frame(b"D", content[at:at + 65536])
            for at in range(0, len(content), 65536)) + frame(b"E", envelope)
        answer = self.answer = b""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            try:
                connection.connect(os.path.join(self.home, "socket/submit"))
                connection.sendall(frames)
                while len(answer) < 50:
                    got = connection.recv(100)
                    if not got:
                        break
                    answer += got
            except OSError:
                return None
        # 'G' and an id, then 'A' and the same id
        self.answer = answer
        if len(answer) == 50 and answer[25:26] == b"A":
            return answer[30:].decode()
        return None

    def files(self, states=STATES):
        """Paths of message files, by state."""
        return [path for state in states
                for depth in ("*", "*/*")
                for path in glob.glob(os.path.join(self.queue, state, depth))
                if re.fullmatch(ID, os.path.basename(path))]

    def jobs(self):
        return glob.glob(os.path.join(self.queue, "jobs/*/*/*"))

    def nudge(self):
        """Rings for all that lies in the queue, as its programs do by
        themselves every SWEEP_S seconds."""
        lines = [("runner", "incoming/" + os.path.basename(path))
                 for path in self.files(("incoming",))]
        # before the runner is ready there may be jobs that it will remove
        is_ready = self.is_ready("queue-runner")
        for path in self.jobs() if is_ready else ():
            channel, destination, name = path.split("/")[-3:]
            lines.append((channel, f"{destination}/{name}"))
            lines.append(("runner", f"{channel}/{destination}/{name}"))
        for fifo, line in lines:
            try:
                file = os.open(os.path.join(self.queue, "wake", fifo),
                               os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                continue
            try:
                os.write(file, line.encode() + b"\n")
            except OSError:
                pass
            os.close(file)
        runner = self.running.get("queue-runner")
        if runner and self.files(("deferred", "waiting")) \
                and self.is_ready("queue-runner"):
            runner.send_signal(signal.SIGALRM)

    def is_quiet(self):
        """Nothing is to be done for any accepted message. Looks twice, in the
        order in which messages go: one that moves meanwhile is seen."""
        for state in ("incoming", "active", "deferred", "waiting", "held",
                      "active") * 2:
            if any(state != "incoming" or is_marked(path)
                   for path in self.files((state,))):
                return False
        return True

    def settle(self, seconds=30):
        """Keeps everything going until nothing is left to do. True if so."""
        start = time.monotonic()
        nudged = start
        quiet = 0
        # what goes to and fro between folders may be missed by one look
        while (quiet := quiet + 1 if self.is_quiet() else 0) < 3:
            now = time.monotonic()
            if now > start + seconds:
                return False
            self.revive()
            if now > nudged + 0.08:
                self.nudge()
                nudged = now
            time.sleep(0.01)
        return True

    def maildir(self, user):
        return os.path.join(self.mail, "keepmail.test", user, "Maildir")

    def seen(self):
        """Every outcome that can be seen, and what is wrong with any copy."""
        found, wrong = list(self.peer.seen[self.name]), []
        for user in ("ann", "bob"):
            for path in glob.glob(os.path.join(self.maildir(user), "[cn]??/*")):
                with open(path, "rb") as file:
                    content = file.read()
                try:
                    ident, token, bounced = read_copy(content)
                except ValueError as error:
                    wrong.append(f"{path}: {error}")
                    continue
                if bounced is None:
                    found.append(Seen(ident, token, user + "@keepmail.test",
                                      False))
                else:
                    found += [Seen(ident, token, address, True)
                              for address in bounced]
        return found, wrong

    def clear(self):
        """Takes all mail away."""
        self.peer.forget(self.name)
        for user in ("ann", "bob"):
            for path in glob.glob(os.path.join(self.maildir(user), "???/*")):
                os.unlink(path)

    def logs(self):
        text = ""
        for program in PROGRAMS:
            path = os.path.join(self.home, program + ".log")
            if os.path.exists(path):
                with open(path, errors="replace") as file:
                    text += "".join(file.readlines()[-12:])
        return text


def record(kind, payload):
    return (struct.pack(">I", len(payload)) + kind + payload
            + struct.pack(">I", zlib.crc32(kind + payload)))


def frame(kind, payload):
    return kind + struct.pack(">I", len(payload)) + payload


def is_marked(path):
    try:
        with open(path, "rb") as file:
            return file.read(16)[12:] == b"KEPT"
    except OSError:
        return False


def expected(recipient):
    """What the end of a message to this recipient looks like: (recipient as it
    is seen, whether it is a bounce)."""
    if recipient == FORWARD:
        return BOB, False
    if recipient == POSTMASTER:
        return ANN, False
    return recipient, recipient in (REFUSED, NOBODY)


def build_trace():
    """Makes the tool; True if it can trace here."""
    subprocess.run(["make", "-s", "-C", TOP, "build/crash/trace"], check=True,
                   stdin=subprocess.DEVNULL, stdout=sys.stderr)
    run = subprocess.run([TRACE, "stop", "1", "one", "--", "mkdir", "/"],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                         **OWNER)
    return run.stdout.startswith(b"stopped mkdir")
