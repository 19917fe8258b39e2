"""What an asker and a client of tlsd do, for tests (lib/tls.h): a tlsd alone in a
private home, the records on its socket, certificates, and Python's TLS on the
client's side."""

import array
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading

from instance import BUILD
from tap import wait_for

MAGIC = 0x6b746c31
SMTP, SUBMISSION, POP3, CONNECT = 1, 2, 3, 4
OFFERED, REFUSED, READY, FAILED = 1, 2, 3, 4
FACTS = struct.Struct("=5I16s64s256s65s3xII32s64s256s200s")
SECONDS = 30


def text(octets):
    return octets.split(b"\0", 1)[0].decode()


def request(service, peer="192.0.2.1", magic=MAGIC, name=b""):
    return struct.pack("=III256s256s64s", magic, service, 0, name, b"",
                       peer.encode())


class Facts:
    def __init__(self, record):
        if len(record) != FACTS.size:
            raise ConnectionError(f"facts of {len(record)} octets")
        (self.magic, self.status, self.verified, self.is_resumed, self.bits,
         protocol, cipher, name, fingerprint, exporter_len, end_point_len,
         exporter, end_point, identity, why) = FACTS.unpack(record)
        self.protocol, self.cipher, self.name = map(text, (protocol, cipher,
                                                           name))
        self.fingerprint, self.identity = text(fingerprint), text(identity)
        self.exporter = exporter[:exporter_len]
        self.end_point = end_point[:end_point_len]
        self.text = text(why)


class Asker:
    """One connection to tlsd; what it is told is in facts, its end of the pair
    in clear."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(SECONDS)
        self.socket.connect(path)
        self.clear = None

    def receive(self):
        self.facts = Facts(self.socket.recv(4096))
        return self.facts

    def ask(self, service, **more):
        self.socket.send(request(service, **more))
        return self.receive()

    def hand_over(self, peer, output=None):
        """Gives the peer's descriptors away."""
        self.clear, its = socket.socketpair()
        self.clear.settimeout(SECONDS)
        self.send(b"h", peer, output or peer, its)
        its.close()
        peer.close()
        if output:
            output.close()

    def send(self, octets, *sockets):
        numbers = array.array("i", [one.fileno() for one in sockets])
        self.socket.sendmsg([octets], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                        numbers)] if sockets else [])

    def close(self):
        self.socket.close()
        if self.clear:
            self.clear.close()


class Session:
    """A whole session: asker and client with a handshake between them. error is
    what the client's side of the handshake raised."""

    def __init__(self, path, service=SMTP, context=None, name=None,
                 session=None, tcp=False):
        self.asker = Asker(path)
        self.facts = self.asker.ask(service)
        if self.facts.status != OFFERED:
            raise ConnectionError(self.facts.text)
        self.raw, far = tcp_pair() if tcp else socket.socketpair()
        self.raw.settimeout(SECONDS)
        self.asker.hand_over(far)
        self.client = self.error = None

        def shake():
            try:
                self.client = (context or trusting()).wrap_socket(
                    self.raw, server_hostname=name, session=session)
            except (OSError, ValueError) as error:
                self.error = error
                self.raw.close()
        thread = threading.Thread(target=shake)
        thread.start()
        try:
            self.facts = self.asker.receive()
        except OSError as error:
            self.facts, self.error = None, error
        thread.join()
        self.clear = self.asker.clear

    def certificate(self):
        """The name of the certificate that was shown, and its key's kind."""
        with tempfile.NamedTemporaryFile(suffix=".der") as file:
            file.write(self.client.getpeercert(binary_form=True))
            file.flush()
            shown = openssl("x509", "-inform", "DER", "-in", file.name,
                            "-noout", "-subject", "-text")
        kind = "EC" if "id-ecPublicKey" in shown else "RSA"
        return shown.split("CN = ", 1)[1].split("\n", 1)[0], kind

    def close(self):
        for one in (self.client, self.raw, self.asker):
            if one:
                one.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def tcp_pair():
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    return near, far


def trusting(**options):
    """A client's context that takes every certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for name, value in options.items():
        setattr(context, name, value)
    return context


def openssl(*arguments, **more):
    return subprocess.run(["openssl", *arguments], check=True, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **more).stdout


class Tlsd:
    """A tlsd of its own in a private home, run as nobody if the test is root."""

    def __init__(self, sessions=None):
        self.folder = tempfile.mkdtemp(prefix="keepmail-tlsd.")
        os.chmod(self.folder, 0o755)
        self.home = os.path.join(self.folder, "i")
        self.program = os.path.join(self.folder, "tlsd")
        shutil.copy(os.path.join(BUILD, "tlsd"), self.program)
        for name in ("", "control", "socket", "tls"):
            self.own(os.mkdir, os.path.join(self.home, name))
        self.write("control/private", b"")
        if sessions:
            self.write("control/concurrencytls", b"%d\n" % sessions)
        self.path = os.path.join(self.home, "socket/tls")
        self.log_path = os.path.join(self.folder, "log")
        self.process = None

    def own(self, make, path):
        make(path)
        if os.geteuid() == 0:
            os.chown(path, *self.owner())

    @staticmethod
    def owner():
        return (65534, 65534) if os.geteuid() == 0 else (os.geteuid(),
                                                         os.getegid())

    def write(self, name, octets, mode=0o640):
        """Writes a file as a careful administrator does: by a rename."""
        path = os.path.join(self.home, name)
        with open(path + "~", "wb") as file:
            file.write(octets)
        os.chmod(path + "~", mode)
        self.own(lambda _: None, path + "~")
        os.rename(path + "~", path)

    def put(self, name, certificate, key):
        """Puts a certificate and its key into tls/."""
        self.write(f"tls/{name}.key", key)
        self.write(f"tls/{name}.pem", certificate)

    def start(self, listens=True):
        owner = {}
        if os.geteuid() == 0:
            owner = {"user": 65534, "group": 65534, "extra_groups": []}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [self.program], env={"KEEPMAIL": self.home}, cwd="/",
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, **owner)
        if not wait_for(lambda: ("certificates: " if listens else
                                 "is not offered") in self.news()
                        or self.process.poll() is not None):
            raise RuntimeError("tlsd does not start: " + self.log())
        if self.process.poll() is not None:
            raise RuntimeError("tlsd has ended: " + self.log())
        # before anybody asks for a session
        [self.signer] = set(self.members()) - {self.process.pid}

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def news(self):
        """What this process has said."""
        return self.log()[self.mark:]

    mark = 0

    def says(self, words, seconds=20):
        """Waits until the log has words that come after the last mark."""
        return wait_for(lambda: words in self.news(), seconds) is not None

    def note(self):
        """Only what is said from now on is news."""
        self.mark = len(self.log())

    def hup(self):
        self.note()
        self.process.send_signal(signal.SIGHUP)

    def session(self, *arguments, **more):
        return Session(self.path, *arguments, **more)

    def members(self):
        """Live processes of its session."""
        found = []
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open(f"/proc/{name}/stat") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if fields[0] != "Z" and int(fields[3]) == self.process.pid:
                found.append(int(name))
        return found

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
            for pid in self.members():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            wait_for(lambda: not self.members())

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


class Maker:
    """Makes certificates, in a folder of its own; keeps what it has made."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="keepmail-certificates.")

    def make(self, name, *sans, kind="ec", days=30, more=()):
        """(certificate, key) in PEM, signed by itself."""
        key = os.path.join(self.folder, f"{name}.key")
        pem = os.path.join(self.folder, f"{name}.pem")
        new = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
               "rsa": ["rsa:2048"], "weak": ["rsa:1024"],
               "ed": ["ed25519"]}[kind]
        openssl("req", "-x509", "-newkey", *new, "-nodes", "-keyout", key,
                "-out", pem, "-days", str(max(days, 1)), "-subj", f"/CN={name}",
                *(["-addext", "subjectAltName=" + ",".join(sans)]
                  if sans else []), *more)
        if days < 1:
            openssl("x509", "-in", pem, "-signkey", key, "-out", pem + "~",
                    "-days", str(days))
            os.rename(pem + "~", pem)
        return self.read(pem), self.read(key)

    def path(self, name):
        return os.path.join(self.folder, name)

    @staticmethod
    def read(path):
        with open(path, "rb") as file:
            return file.read()

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
