"""A scripted SMTP server with STARTTLS and AUTH, to send to.

    with Server(tls=pair, extensions=["8BITMIME"]) as server:
        … mail goes to 127.0.0.1, server.port …
        server.messages      # every message taken, as Message
        server.sessions      # every connection, as Session

It listens on a free port of 127.0.0.1 (or address=…), talks with each client in a
thread of its own, and stops at the end of the with. What it is to do is said by
name; everything has a usual value:

  greeting    the first line, b"220 sink.test\r\n"
  extensions  lines of the answer to EHLO besides the name
  after_tls   the same once TLS is on; None: those of extensions
  tls         (certificate, key) paths: STARTTLS is offered; None: it is not
  clients     a file of authorities: client certificates are asked for
  starttls    the answer to STARTTLS
  injected    octets sent behind it, in clear, in the same packet
  handshake   "ok"; "close": the connection ends instead; "garbage": no TLS comes
              back; "silent": nothing does, until the client goes
  old         True: nothing newer than TLS 1.1
  users       {name: password}: AUTH is offered
  mechanisms  which; those of auth_when
  auth_when   "tls": AUTH is offered and taken under TLS alone; "always"
  demands     True: MAIL only after AUTH, else 530
  script      {b"VERB": answer}: said in place of the usual answer; an answer is
              octets, or a function of the session and the line that gives them;
              b".": after the content, which is not kept unless it begins with 2

A Session has: peer (the client's address), tls (None or (protocol, cipher)), name
(what SNI said), certificate (the client's, a dictionary, or None), login (who logged
in, by which mechanism), lines (pairs: was it under TLS, the line as it came), failed
(the exception that ended a handshake), ended. A Message has: session, sender and
recipients (whole command lines), octets.

Responses of AUTH stand among a session's lines too.
"""

import base64
import hashlib
import hmac
import os
import socket
import ssl
import threading
import warnings

from tap import wait_for


class Message:
    def __init__(self, session, sender, recipients, octets):
        self.session = session
        self.sender = sender
        self.recipients = recipients
        self.octets = octets
        self.tls = session.tls


class Rejected(Exception):
    pass


class Session:
    def __init__(self, server, client, peer):
        self.server = server
        self.client = client
        self.peer = peer[0]
        self.tls = None
        self.name = None
        self.certificate = None
        self.login = None
        self.lines = []
        self.failed = None
        self.ended = False
        self.file = client.makefile("rb")

    # --- lines

    def say(self, octets):
        self.client.sendall(octets)

    def hear(self):
        line = self.file.readline(65536)
        if not line.endswith(b"\n"):
            raise EOFError
        self.lines.append((self.tls is not None, line.rstrip(b"\r\n")))
        return line.rstrip(b"\r\n")

    def verbs(self):
        """The first word of each line."""
        return [line.split(b" ")[0].upper() for _, line in self.lines]

    def run(self):
        try:
            self.talk()
        except (OSError, EOFError, ssl.SSLError):
            pass
        finally:
            self.end()
            self.ended = True

    def end(self):
        """Ends the connection, whoever still has a file of it open."""
        try:
            self.client.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.file.close()
        self.client.close()

    def talk(self):
        server = self.server
        self.say(server.greeting)
        self.sender, self.recipients = None, []
        while True:
            line = self.hear()
            verb = line.split(b" ")[0].split(b":")[0].upper()
            answer = server.script.get(verb)
            if callable(answer):
                answer = answer(self, line)
            if answer is not None:
                self.say(answer)
                if verb == b"QUIT":
                    return
                continue
            method = getattr(self, "do_" + verb.decode("ascii", "replace")
                             .lower(), None)
            if method is None:
                self.say(b"250 2.0.0 ok\r\n")
            elif method(line):
                return

    # --- commands: true ends the session

    def do_ehlo(self, line):
        server = self.server
        words = list(server.extensions)
        if self.tls and server.after_tls is not None:
            words = list(server.after_tls)
        if server.tls and not self.tls:
            words.append("STARTTLS")
        if server.users and (self.tls or server.auth_when == "always"):
            words.append("AUTH " + " ".join(server.mechanisms))
        lines = ["sink.test"] + words
        self.say("".join(f"250{' ' if i == len(lines) - 1 else '-'}{text}\r\n"
                         for i, text in enumerate(lines)).encode())

    def do_quit(self, line):
        self.say(b"221 2.0.0 bye\r\n")
        return True

    def do_mail(self, line):
        if self.server.demands and not self.login:
            self.say(b"530 5.7.0 authentication required\r\n")
            return
        self.sender, self.recipients = line, []
        self.say(b"250 2.1.0 ok\r\n")

    def do_rcpt(self, line):
        self.recipients.append(line)
        self.say(b"250 2.1.5 ok\r\n")

    def do_data(self, line):
        self.say(b"354 go on\r\n")
        text = b""
        while True:
            data = self.file.readline()
            if data == b".\r\n":
                break
            if not data:
                raise EOFError
            text += data[1:] if data.startswith(b".") else data
        self.take(text)

    def take(self, text):
        answer = self.server.script.get(b".")
        if callable(answer):
            answer = answer(self, text)
        if answer is None:
            answer = b"250 2.0.0 taken\r\n"
        if answer.startswith(b"2"):
            self.server.messages.append(
                Message(self, self.sender, self.recipients, text))
        self.say(answer)

    def do_bdat(self, line):
        """One chunk is one message: LAST is demanded."""
        _, octets, last = line.split(b" ")
        text = self.file.read(int(octets))
        if len(text) < int(octets):
            raise EOFError
        if last != b"LAST" or not self.recipients:
            self.say(b"503 5.5.1 not so\r\n")
            return
        self.take(text)

    def do_starttls(self, line):
        server = self.server
        if not server.tls or self.tls:
            self.say(b"503 5.5.1 not now\r\n")
            return False
        self.say(server.starttls + server.injected)
        if not server.starttls.startswith(b"220"):
            return False
        if server.handshake == "close":
            return True
        if server.handshake == "garbage":
            self.say(b"this is no TLS\r\n" * 8)
            self.client.shutdown(socket.SHUT_WR)
            while self.client.recv(4096):
                pass
            return True
        if server.handshake == "silent":
            while self.client.recv(4096):
                pass
            return True
        try:
            self.client = server.context(self).wrap_socket(
                self.client, server_side=True)
        except (OSError, ssl.SSLError) as error:
            self.failed = error
            return True
        self.tls = (self.client.version(), self.client.cipher()[0])
        self.certificate = self.client.getpeercert() or None
        self.file = self.client.makefile("rb")
        return False

    # --- AUTH

    def do_auth(self, line):
        words = line.decode().split(" ")
        mechanism = words[1].upper()
        server = self.server
        if mechanism not in server.mechanisms or not (
                self.tls or server.auth_when == "always"):
            self.say(b"504 5.5.4 not that one\r\n")
            return
        initial = words[2] if len(words) > 2 else None
        try:
            name = getattr(self, "auth_" + mechanism.lower()
                           .replace("-", "_"))(initial)
            self.login = (name, mechanism)
            self.say(b"235 2.7.0 welcome\r\n")
        except Rejected:
            self.say(b"535 5.7.8 wrong name or password\r\n")

    def ask(self, octets):
        self.say(b"334 " + base64.b64encode(octets) + b"\r\n")
        line = self.hear()
        if line == b"*":
            raise Rejected
        return base64.b64decode(line, validate=True)

    def check(self, name, password):
        if self.server.users.get(name) != password:
            raise Rejected
        return name

    def auth_plain(self, initial):
        text = base64.b64decode(initial) if initial else self.ask(b"")
        _, name, password = text.decode().split("\0")
        return self.check(name, password)

    def auth_login(self, initial):
        name = self.ask(b"Username:").decode()
        return self.check(name, self.ask(b"Password:").decode())

    def auth_cram_md5(self, initial):
        challenge = f"<{os.urandom(8).hex()}@sink.test>".encode()
        name, digest = self.ask(challenge).decode().rsplit(" ", 1)
        password = self.server.users.get(name)
        if password is None or not hmac.compare_digest(
                digest, hmac.new(password.encode(), challenge,
                                 "md5").hexdigest()):
            raise Rejected
        return name

    def auth_scram_sha_256(self, initial):
        first = base64.b64decode(initial).decode()
        header, _, bare = first.partition(",,")
        values = dict(part.split("=", 1) for part in bare.split(","))
        name = values["n"].replace("=2C", ",").replace("=3D", "=")
        if header != "n" or name not in self.server.users:
            raise Rejected
        salt = os.urandom(16)
        rounds = self.server.rounds
        nonce = values["r"] + "server"
        ours = f"r={nonce},s={base64.b64encode(salt).decode()},i={rounds}"
        final = self.ask(ours.encode()).decode()
        without, _, proof = final.rpartition(",p=")
        salted = hashlib.pbkdf2_hmac(
            "sha256", self.server.users[name].encode(), salt, rounds)

        def mac(key, text):
            return hmac.new(key, text, "sha256").digest()
        signed = f"{bare},{ours},{without}".encode()
        client_key = mac(salted, b"Client Key")
        wanted = bytes(a ^ b for a, b in zip(client_key, mac(
            hashlib.sha256(client_key).digest(), signed)))
        if without != f"c=biws,r={nonce}" or \
                base64.b64decode(proof) != wanted:
            raise Rejected
        signature = mac(mac(salted, b"Server Key"), signed)
        if self.server.lies:
            signature = bytes(32)
        if self.ask(b"v=" + base64.b64encode(signature)) != b"":
            raise Rejected
        return name


class Server:
    def __init__(self, greeting=b"220 sink.test\r\n", extensions=(),
                 after_tls=None, tls=None, clients=None,
                 starttls=b"220 2.0.0 go on\r\n", injected=b"",
                 handshake="ok", old=False, users=None,
                 mechanisms=("SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN"),
                 auth_when="tls", demands=False, script=None,
                 address="127.0.0.1", port=0, rounds=4096, lies=False):
        self.greeting = greeting
        self.extensions = extensions
        self.after_tls = after_tls
        self.tls = tls
        self.clients = clients
        self.starttls = starttls
        self.injected = injected
        self.handshake = handshake
        self.old = old
        self.users = users
        self.mechanisms = mechanisms
        self.auth_when = auth_when
        self.demands = demands
        self.script = script or {}
        self.rounds = rounds  # of SCRAM
        self.lies = lies      # about knowing SCRAM's password
        self.messages = []
        self.sessions = []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family)
        if port:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, port))
        self.socket.listen(100)
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def context(self, session):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.tls)
        if self.old:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.maximum_version = ssl.TLSVersion.TLSv1_1
        if self.clients:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(self.clients)

        def take_name(_, name, __):
            session.name = name
        context.sni_callback = take_name
        return context

    def serve(self):
        while True:
            try:
                client, peer = self.socket.accept()
            except OSError:
                return
            client.settimeout(60)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(self, client, peer)
            self.sessions.append(session)
            threading.Thread(target=session.run, daemon=True).start()

    def wait_message(self, number=1, seconds=20):
        """Waits for so many messages; gives the last of them, or None."""
        if not wait_for(lambda: len(self.messages) >= number, seconds):
            return None
        return self.messages[number - 1]

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        self.thread.join(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
