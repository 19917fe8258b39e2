"""Servers of other hosts, for whole-system tests: one that accepts connections, and
an SMTP server that keeps what it is given."""

import socket
import threading


class Listener:
    """Listens at a port, one of its own unless a port is named, and calls
    talk(client) on a thread for each connection; that ends the connection. While
    it is down, connections are refused."""

    def __init__(self, address="127.0.0.1", port=0, is_up=True):
        self.place = (address, port)
        self.connections = 0
        self.open = self.peak = 0  # connections at one time
        self.lock = threading.Lock()
        self.bind()
        if is_up:
            self.up()

    def bind(self):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.place)
        self.place = self.socket.getsockname()
        self.port = self.place[1]

    def up(self):
        self.socket.listen(100)
        threading.Thread(target=self.serve, args=(self.socket,),
                         daemon=True).start()

    def down(self):
        """Takes no more connections, and keeps the port."""
        self.close()
        self.bind()

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)  # ends the wait in accept
        except OSError:
            pass
        self.socket.close()

    def serve(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                self.open += 1
                self.peak = max(self.peak, self.open)
            threading.Thread(target=self.run, args=(client,),
                             daemon=True).start()

    def run(self, client):
        try:
            with client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.talk(client)
        except OSError:
            pass
        with self.lock:
            self.open -= 1

    def talk(self, client):
        raise NotImplementedError


class Sink(Listener):
    """An SMTP server. What it answers, answer() says; each message it takes is
    noted when take() has ended, before the client is told."""

    greeting = b"220 sink.test"
    extensions = b""  # lines of the answer to EHLO, before the last one

    def __init__(self, *place, **more):
        self.tried = []     # RCPT commands
        self.messages = []  # (MAIL command, [RCPT commands], octets)
        super().__init__(*place, **more)

    @property
    def taken(self):
        """The messages, as octets."""
        return [octets for _, _, octets in self.messages]

    def count(self, subject):
        """How many messages with that subject were taken."""
        field = b"Subject: %s\r\n" % subject.encode()
        return sum(field in octets for octets in self.taken)

    def answer(self, verb, line):
        """The answer to a command other than DATA and QUIT."""
        return b"250 ok"

    def take(self, octets):
        """Called with each message when it has come; may wait."""

    @staticmethod
    def read(stream):
        """A message up to its dot, or None: the connection broke."""
        lines = []
        for line in stream:
            if line == b".\r\n":
                return b"".join(lines)
            lines.append(line)
        return None

    def talk(self, client):
        stream = client.makefile("rwb")

        def say(words):
            stream.write(words + b"\r\n")
            stream.flush()
        say(self.greeting)
        mail, recipients = None, []
        for line in stream if self.greeting.startswith(b"220") else ():
            line, verb = line.strip(), line[:4].upper()
            if verb == b"DATA":
                say(b"354 go")
                octets = self.read(stream)
                if octets is None:
                    return
                self.take(octets)
                with self.lock:
                    self.messages.append((mail, recipients, octets))
                recipients = []
                say(b"250 taken")
            elif verb == b"QUIT":
                say(b"221 bye")
                return
            elif verb == b"EHLO":
                say(self.extensions + self.answer(verb, line))
            else:
                if verb == b"MAIL":
                    mail, recipients = line, []
                if verb == b"RCPT":
                    recipients.append(line)
                    self.tried.append(line)
                say(self.answer(verb, line))
