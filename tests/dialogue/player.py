"""Plays transcripts of SMTP sessions against build/smtpd, with stand-ins for the
queue and the address service, so that what the server says, and what it gives to
the queue, is compared octet by octet.

A transcript is a text file; the first characters of a line say what it is:

  # …            a remark
  @control N V   control/N holds V (\\n divides lines); "@control N" removes it
  @env N=V       a variable for the server
  @queue WHEN CODE TEXT   the queue refuses: WHEN is open, content, end or retry;
                 "@queue gone": there is none; "@queue lose": no answer
  @resolve gone  there is no address service
  @lookup gone   there is no service that asks DNS
  @tls refuse    there is a service for TLS, which wants no session
  @rules TEXT    the rules of tcprules, as control/tcp.smtp.cdb
  @client A N L  who the message's client is: address, name, login; without it
                 192.0.2.1 client.example, and no login
  @modes …       of whole, line and byte, all three without it
  @status N      the exit status, 0 without it
  @silent        the client neither sends nor closes from here on
  @close         the client closes its sending half here
  C: text        the client sends text and CRLF
  C| text        the client sends text alone
  C*N text       the client sends text and CRLF N times
  S: text        the server answers exactly this line; {id} is an id
  Q: from=<…> to=<…> … body=B hello=H   a message has reached the queue; then
                 smtputf8, ret=, envid=, notify=, orcpt= as far as they were given
  =: text        …with this line of content (below the Received field)
  =*N text       …N times
  =| text        …without a line end
  W: domain      the queue was asked to try the mail for that domain now
  L: text        the server's log holds this

In the texts of C, = and @control, \\r \\n \\t \\0 \\\\ and \\xNN stand for octets.

Each transcript is played in one piece, line by line, and octet by octet (each
read by the server before the next is sent): all must come out the same.
"""

import array
import fcntl
import glob
import os
import pwd
import re
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("SMTPD", os.path.join(TOP, "build", "smtpd"))
MODES = ("whole", "line", "byte")
WAIT_S = 20
MAGIC = 0x6b727332
ID = r"[0-9a-z]{20}"


def octets(text):
    """What a text with escapes stands for."""
    def one(match):
        word = match.group(1)
        if word.startswith("x"):
            return chr(int(word[1:], 16))
        return {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}[word]
    text = text.encode().decode("latin-1")
    return re.sub(r"\\(x[0-9a-fA-F]{2}|[rnt0\\])", one, text).encode("latin-1")


class Transcript:
    def __init__(self, path):
        self.name = os.path.basename(path)[:-4]
        self.control = {"me": b"host.test", "locals": b"host.test",
                        "rcpthosts": b"host.test\nbackup.test",
                        "errordelay": b"0"}
        self.env, self.queue, self.resolve = {}, [], ""
        self.lookup, self.rules, self.tls = "", None, ""
        self.client = ["192.0.2.1", "client.example", ""]
        self.modes, self.status = MODES, 0
        self.steps = []         # ("C", octets), ("S", text), ("close", )
        self.messages, self.log, self.retried = [], [], []
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    self.take(line.rstrip("\n"))
                except (ValueError, IndexError, AttributeError) as error:
                    raise ValueError(f"{path}:{number}: {error}") from error

    def take(self, line):
        if not line or line.startswith("#"):
            return
        if line.startswith("@"):
            self.direct(line[1:])
            return
        kind, rest = line[0], line[2:]
        count = 1
        if line[1] == "*":
            number, rest = rest.split(" ", 1)
            count = int(number)
        elif rest.startswith(" "):
            rest = rest[1:]
        if kind == "C":
            end = b"" if line[1] == "|" else b"\r\n"
            self.steps.append(("C", (octets(rest) + end) * count))
        elif kind == "S":
            self.steps.append(("S", rest))
        elif kind == "Q":
            self.messages.append([rest, b""])
        elif kind == "=":
            end = b"" if line[1] == "|" else b"\n"
            self.messages[-1][1] += (octets(rest) + end) * count
        elif kind == "W":
            self.retried.append(rest)
        elif kind == "L":
            self.log.append(rest)
        else:
            raise ValueError(f"no such line: {line}")

    def direct(self, line):
        word, _, rest = line.partition(" ")
        if word == "control":
            name, _, value = rest.partition(" ")
            self.control[name] = octets(value) if value else None
        elif word == "env":
            name, value = rest.split("=", 1)
            self.env[name] = value
        elif word == "queue":
            self.queue = rest.split(" ", 2)
        elif word == "resolve":
            self.resolve = rest
        elif word == "lookup":
            self.lookup = rest
        elif word == "tls":
            self.tls = rest
        elif word == "rules":
            self.rules = octets(rest)
        elif word == "client":
            self.client = (rest.split(" ") + ["", ""])[:3]
        elif word == "modes":
            self.modes = rest.split()
        elif word == "status":
            self.status = int(rest)
        elif word in ("close", "silent"):
            self.steps.append((word,))
        else:
            raise ValueError(f"no such direction: {word}")

    def replies(self):
        return [step[1] for step in self.steps if step[0] == "S"]


# --- the services ------------------------------------------------------------

class Service:
    """Listens below the home; each connection has a thread."""

    def __init__(self, path, kind, uid):
        self.socket = socket.socket(socket.AF_UNIX, kind)
        self.socket.bind(path)
        os.chmod(path, 0o777)
        self.socket.listen(16)
        self.threads = []
        self.ending = False
        self.main = threading.Thread(target=self.run, daemon=True)
        self.main.start()

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            if self.ending:
                return
            connection.settimeout(WAIT_S)
            thread = threading.Thread(target=self.serve_one, daemon=True,
                                      args=(connection,))
            thread.start()
            self.threads.append(thread)

    def serve_one(self, connection):
        with connection:
            try:
                self.serve(connection)
            except OSError:
                pass

    def stop(self):
        self.ending = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        self.main.join(WAIT_S)
        for thread in self.threads:
            thread.join(WAIT_S)


def exactly(connection, count):
    got = b""
    while len(got) < count:
        more = connection.recv(count - len(got))
        if not more:
            return None
        got += more
    return got


def frame(connection):
    head = exactly(connection, 5)
    if head is None:
        return None, b""
    kind, length = struct.unpack(">BI", head)
    payload = exactly(connection, length)
    return (None, b"") if payload is None else (chr(kind), payload)


def texts(payload, count):
    """count texts, each with its length before it, and the rest."""
    found = []
    for _ in range(count):
        (length,) = struct.unpack(">H", payload[:2])
        found.append(payload[2:2 + length].decode())
        payload = payload[2 + length:]
    return found, payload


def read_envelope(payload, client):
    """The envelope's records (doc/queue.md) as a line of a transcript."""
    sender, recipients, body, origin, asked = None, [], 0, None, ""
    while payload:
        length, kind = struct.unpack(">IB", payload[:5])
        text = payload[5:5 + length]
        (check,) = struct.unpack(">I", payload[5 + length:9 + length])
        assert check == zlib.crc32(bytes([kind]) + text)
        payload = payload[9 + length:]
        if chr(kind) == "F":
            assert sender is None
            sender = text.decode()
        elif chr(kind) == "P":
            body, ret = text[0], text[3]
            asked += " smtputf8" if text[1] else ""
            asked += " requiretls" if text[2] else ""
            [envid], rest = texts(text[4:], 1)
            assert rest == b"", rest
            asked += f" ret={ret}" if ret else ""
            asked += f" envid={envid}" if envid else ""
        elif chr(kind) == "O":
            origin = text[0], texts(text[5:], 6)[0]
        elif chr(kind) == "T":
            [address], rest = texts(text, 1)
            notify = rest[0]
            [orcpt], rest = texts(rest[1:], 1)
            assert rest == b"", rest
            recipients.append(address)
            asked += f" notify={notify}" if notify else ""
            asked += f" orcpt={orcpt}" if orcpt else ""
        else:
            raise AssertionError(f"record {kind}")
    kind, (address, name, hello, protocol, user, tls) = origin
    assert (kind, address, name, user, tls) == \
        (2, client[0], client[1], client[2], ""), origin
    line = f"from=<{sender}> " + " ".join(f"to=<{a}>" for a in recipients) \
        + f" body={body} hello={hello}{asked}"
    return line, hello, protocol, recipients


class Queue(Service):
    def __init__(self, home, uid, refusal, client):
        self.refusal = refusal
        self.client = client
        self.opened = self.taken_back = 0
        self.messages = []
        self.retried = []
        self.faults = []
        super().__init__(os.path.join(home, "socket/submit"),
                         socket.SOCK_STREAM, uid)

    def refuse(self, connection):
        text = self.refusal[2].encode()
        connection.sendall(struct.pack(">BIB", ord("N"), 1 + len(text),
                                       int(self.refusal[1])) + text)

    def serve(self, connection):
        try:
            self.converse(connection)
        except (AssertionError, struct.error, UnicodeError, TypeError) as error:
            self.faults.append(f"the queue was told nonsense: {error!r}")

    def converse(self, connection):
        when = self.refusal[0] if self.refusal else ""
        kind, payload = frame(connection)
        if kind is None:
            return
        if kind == "W":
            if when == "retry":
                self.refuse(connection)
                return
            self.retried.append(payload.decode())
            connection.sendall(struct.pack(">BI", ord("A"), 20) + b"0" * 20)
            return
        assert kind == "Q" and len(payload) == 9 and payload[8] == 1
        if when == "open":
            self.refuse(connection)
            return
        self.opened += 1
        ident = f"{self.opened:020d}"
        connection.sendall(struct.pack(">BI", ord("G"), 20) + ident.encode())
        content = b""
        while True:
            kind, payload = frame(connection)
            if kind is None:
                self.taken_back += 1
                return
            if kind == "D":
                assert 0 < len(payload) <= 65536
                content += payload
                if when == "content":
                    self.refuse(connection)
                    connection.shutdown(socket.SHUT_RDWR)
                    return
                continue
            assert kind == "E"
            break
        line, hello, protocol, recipients = read_envelope(payload, self.client)
        content = self.without_trace(content, ident, hello, protocol,
                                     recipients)
        if when == "end":
            self.refuse(connection)
            return
        if when == "lose":
            return
        self.messages.append([line, content])
        connection.sendall(struct.pack(">BI", ord("A"), 20) + ident.encode())

    def without_trace(self, content, ident, hello, protocol, recipients):
        literal = ("IPv6:" if ":" in self.client[0] else "") + self.client[0]
        form = (rf"Received: from (\S+) \({re.escape(self.client[1])} "
                rf"\[{re.escape(literal)}\]\)\n"
                rf"\tby host\.test with {protocol} id {ident}"
                + (rf"\n\tfor <{re.escape(recipients[0])}>"
                   if len(recipients) == 1 else "")
                + r";\n\t\w\w\w, \d\d? \w\w\w \d{4} \d\d:\d\d:\d\d \+0000\n")
        found = re.match(form.encode(), content)
        assert found, content[:500]
        assert len(found.group(1)) == len(hello)
        return content[found.end():]


class Resolve(Service):
    ACCOUNT, NOT_OURS, NOBODY, TEMPORARY = 1, 2, 3, 4

    def __init__(self, home, uid, locals_):
        self.asked = []
        self.locals = locals_.decode().split()
        super().__init__(os.path.join(home, "socket/resolve"),
                         socket.SOCK_SEQPACKET, uid)

    def serve(self, connection):
        while True:
            record = connection.recv(4096)
            if not record:
                return
            magic, _, address = struct.unpack("=II1024s", record)
            address = address.split(b"\0")[0].decode()
            self.asked.append(address)
            local = address.rsplit("@", 1)[0].strip('"').lower()
            meaning, text = self.NOBODY, b"nobody here"
            if magic != MAGIC or local == "nonsense":
                meaning, text = 77, b"x" * 256
            elif local == "away" \
                    or address.rsplit("@", 1)[-1] not in self.locals:
                meaning = self.NOT_OURS
            elif local == "later":
                meaning, text = self.TEMPORARY, b"the database is away"
            elif local.startswith(("user", "postmaster", "a b")):
                meaning, text = self.ACCOUNT, b""
            connection.send(struct.pack(
                "IIIQ256s4s1024s256s0Q", MAGIC, meaning,
                int(meaning != self.NOT_OURS), 1, b"s:user", b"", b"", text))


class Lookup(Service):
    """Answers by the first label of a domain."""
    EXISTS, NO_DOMAIN, NULL_MX, TEMPORARY = 1, 2, 3, 4
    MAGIC = 0x6b6c7531

    def __init__(self, home, uid):
        super().__init__(os.path.join(home, "socket/lookup"),
                         socket.SOCK_SEQPACKET, uid)

    def ascii(self, connection, domain):
        """As the service does for LOOKUP_ASCII; Python's own names are older."""
        try:
            meaning, text = self.EXISTS, domain.decode().encode("idna")
        except UnicodeError:
            meaning, text = self.NO_DOMAIN, b"no such name"
        if domain.startswith("spät".encode()):
            meaning, text = self.TEMPORARY, b"no memory"
        if domain.startswith("böse".encode()):
            text = b"../etc"
        connection.send(struct.pack("=II256s", self.MAGIC, meaning, text))

    def serve(self, connection):
        record = connection.recv(4096)
        magic, kind, domain = struct.unpack("=II256s", record)
        if (magic, kind) == (self.MAGIC, 2):
            self.ascii(connection, domain.split(b"\0")[0])
            return
        word = domain.split(b".")[0].split(b"\0")[0]
        meaning = {b"none": self.NO_DOMAIN, b"null": self.NULL_MX,
                   b"later": self.TEMPORARY}.get(word, self.EXISTS)
        if word == b"silent":
            return
        if (magic, kind) != (self.MAGIC, 1) or word == b"nonsense":
            connection.send(b"x" * 264)
        else:
            connection.send(struct.pack("=II256s", self.MAGIC, meaning,
                                        b"as DNS says"))


class Tls(Service):
    """Refuses (lib/tls.h)."""
    MAGIC, REQUEST, REFUSED = 0x6b746c31, 12 + 256 + 256 + 64, 2

    def __init__(self, home, uid):
        super().__init__(os.path.join(home, "socket/tls"),
                         socket.SOCK_SEQPACKET, uid)

    def serve(self, connection):
        record = connection.recv(4096)
        magic, service, check = struct.unpack("=III", record[:12])
        if (len(record), magic, service, check) == \
                (self.REQUEST, self.MAGIC, 1, 0):
            head = struct.pack("=IIIII", self.MAGIC, self.REFUSED, 0, 0, 0)
            middle = bytes(16 + 64 + 256 + 65)
            middle += bytes(-len(head + middle) % 4)
            channel = bytes(8 + 32 + 64 + 256)
            text = b"not today".ljust(200, b"\0")
            connection.send(head + middle + channel + text)


# --- one session -------------------------------------------------------------

class Home:
    """A home folder of its own, with its services."""

    def __init__(self, transcript):
        self.folder = tempfile.mkdtemp(prefix="keepmail-play.")
        self.user = "nobody" if os.geteuid() == 0 else None
        self.uid = pwd.getpwnam("nobody").pw_uid if self.user else os.geteuid()
        os.chmod(self.folder, 0o755)
        for name in ("control", "socket"):
            os.mkdir(os.path.join(self.folder, name), 0o755)
        transcript.control["private"] = b""
        for name, value in transcript.control.items():
            if value is not None:
                with open(os.path.join(self.folder, "control", name),
                          "wb") as file:
                    file.write(value + b"\n")
        if self.user:
            os.chown(os.path.join(self.folder, "control/private"), self.uid,
                     -1)
        if transcript.rules is not None:
            subprocess.run(["tcprules", "tcp.smtp.cdb", "tcp.smtp.tmp"],
                           input=transcript.rules + b"\n", check=True,
                           cwd=os.path.join(self.folder, "control"))
            os.chmod(os.path.join(self.folder, "control/tcp.smtp.cdb"), 0o644)
        self.queue = self.resolve = self.lookup = self.tls = None
        if transcript.tls == "refuse":
            self.tls = Tls(self.folder, self.uid)
        if transcript.lookup != "gone":
            self.lookup = Lookup(self.folder, self.uid)
        if transcript.queue[:1] != ["gone"]:
            self.queue = Queue(self.folder, self.uid, transcript.queue,
                               transcript.client)
        if transcript.resolve != "gone":
            self.resolve = Resolve(self.folder, self.uid,
                                   transcript.control["locals"]
                                   or transcript.control["me"] or b"")

    def end(self):
        for service in (self.queue, self.resolve, self.lookup,
                        self.tls):
            if service:
                service.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Session:
    def __init__(self, transcript, mode):
        self.transcript, self.mode = transcript, mode
        self.got = b""
        self.ended = False
        self.early = None       # a reply that did not come when it was due

    def play(self):
        """Returns a list of what was not as it should be."""
        home = Home(self.transcript)
        log = tempfile.TemporaryFile()
        ours, theirs = socket.socketpair()
        environment = {"PATH": os.environ.get("PATH", "/bin:/usr/bin"),
                       "KEEPMAIL": home.folder, "PROTO": "TCP",
                       "TCPREMOTEIP": "192.0.2.1",
                       "TCPREMOTEHOST": "client.example",
                       # Its look for leaks needs /proc, which is closed.
                       "ASAN_OPTIONS": "detect_leaks=0",
                       **self.transcript.env}
        extra = {"user": home.user, "group": "nogroup",
                 "extra_groups": []} if home.user else {}
        try:
            process = subprocess.Popen([PROGRAM], stdin=theirs, stdout=theirs,
                                       stderr=log, env=environment, cwd="/",
                                       **extra)
            theirs.close()
            ours.setblocking(False)
            self.socket = ours
            try:
                self.drive()
            finally:
                ours.close()
                try:
                    status = process.wait(WAIT_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    status = f"none ({process.wait()})"
        finally:
            home.end()
        log.seek(0)
        return self.compare(home, status, log.read().decode("latin-1"))

    # What arrives is always taken, so that nobody waits for us.
    def receive(self, wait_s):
        ready, _, _ = select.select([self.socket], [], [], wait_s)
        if not ready:
            return False
        try:
            more = self.socket.recv(65536)
        except BlockingIOError:
            return False
        except ConnectionError:
            more = b""
        self.ended = not more
        self.got += more
        return True

    def send(self, data):
        end = time.monotonic() + 6 * WAIT_S
        while data and not self.ended and time.monotonic() < end:
            reading, writing, _ = select.select([self.socket], [self.socket],
                                                [], WAIT_S)
            if reading:
                self.receive(0)
            if writing:
                try:
                    data = data[self.socket.send(data):]
                except BlockingIOError:
                    pass
                except ConnectionError:
                    return

    def send_singly(self, data):
        left = array.array("i", [0])
        for at in range(len(data)):
            if self.ended:
                return
            self.send(data[at:at + 1])
            # Until the server has read it.
            for _ in range(100000):
                fcntl.ioctl(self.socket, termios.TIOCOUTQ, left)
                if left[0] == 0:
                    break
                self.receive(0)
                os.sched_yield()

    def await_lines(self, count):
        end = time.monotonic() + WAIT_S
        while self.got.count(b"\r\n") < count and not self.ended:
            if time.monotonic() > end:
                self.early = f"line {count} of the replies did not come in time"
                return False
            self.receive(0.5)
        return True

    def await_end(self):
        end = time.monotonic() + WAIT_S
        while not self.ended and time.monotonic() < end:
            self.receive(0.5)
        if not self.ended:
            self.early = "the server did not close"

    def drive(self):
        if self.mode == "whole":
            self.send(b"".join(step[1] for step in self.transcript.steps
                               if step[0] == "C"))
            if ("close",) in self.transcript.steps:
                self.socket.shutdown(socket.SHUT_WR)
            self.await_end()
            return
        due = 0
        for step in self.transcript.steps:
            if step[0] == "S":
                due += 1
                if not self.await_lines(due):
                    return
            elif step[0] == "C" and self.mode == "byte":
                self.send_singly(step[1])
            elif step[0] == "C":
                for line in re.findall(rb"[^\n]*\n|[^\n]+$", step[1]):
                    self.send(line)
            elif step[0] == "close":
                self.socket.shutdown(socket.SHUT_WR)
        self.await_end()

    def compare(self, home, status, log):
        faults = [self.early] if self.early else []
        lines = self.got.decode("latin-1").split("\r\n")
        if lines.pop() != "":
            faults.append("the replies do not end in CRLF")
        wanted = self.transcript.replies()
        for number in range(max(len(lines), len(wanted))):
            got = lines[number] if number < len(lines) else "(nothing)"
            want = wanted[number] if number < len(wanted) else "(nothing)"
            if not re.fullmatch(re.escape(want).replace(r"\{id\}", ID), got):
                faults.append(f"reply {number + 1}\n"
                              f"  expected: {want}\n  got:      {got}")
                break
        if status != self.transcript.status:
            faults.append(f"exit status {status}")
        if home.queue:
            faults += home.queue.faults
            if home.queue.messages != self.transcript.messages:
                faults.append("what reached the queue\n"
                              f"  expected: {self.transcript.messages}\n"
                              f"  got:      {home.queue.messages}"[:3000])
            if home.queue.retried != self.transcript.retried:
                faults.append("what the queue was asked to try: "
                              f"{home.queue.retried}")
        for text in self.transcript.log:
            if text not in log:
                faults.append(f"the log lacks: {text}")
        if faults:
            faults.append("log:\n" + log)
        return faults


def play_folder(tap, folder):
    """Plays each transcript of the folder in each of its modes."""
    names = sorted(glob.glob(os.path.join(folder, "*.txt")))
    tap.ok(names, "there are transcripts")
    for name in names:
        transcript = Transcript(name)
        for mode in transcript.modes:
            faults = Session(transcript, mode).play()
            tap.ok(not faults, f"{transcript.name}: {mode}",
                   "\n".join(faults))
