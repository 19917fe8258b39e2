"""All kinds of mail, for a host whose run is recorded."""

import os
import re
import socket
import subprocess
import threading

import host as crash
from host import ANN, BOB, FAR, FORWARD, LATER, NOBODY, REFUSED


class Work:
    """Needs host; mark(text), which puts a line into the record; and settle(),
    which waits until the host has nothing left to do."""

    def start_authd(self):
        return subprocess.Popen(
            [os.path.join(crash.BUILD, "authd")], cwd="/",
            env=self.host.environment, stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, **crash.OWNER)

    def sendmail(self, token):
        subprocess.run(
            [os.path.join(crash.BUILD, "sendmail"), "-t", "-f", ANN],
            input=(f"To: {BOB}\n" + crash.message_of(token)).encode(),
            cwd="/", env=self.host.environment, check=True, timeout=30,
            **crash.OWNER)
        self.mark(f"accepted {token} {token} {BOB}")

    def pop3(self, user, tokens):
        """Deletes these messages, with a program that serves one connection."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [os.path.join(crash.BUILD, "pop3d")], stdin=theirs,
                stdout=theirs, cwd="/", stderr=subprocess.DEVNULL,
                env=dict(self.host.environment, TCPREMOTEIP="127.0.0.1"),
                **crash.OWNER)
        with ours, ours.makefile("rwb") as stream:
            def say(line, many=False):
                if line:
                    stream.write(line.encode() + b"\r\n")
                    stream.flush()
                answer = stream.readline()
                if not answer.startswith(b"+OK"):
                    raise RuntimeError(f"{line!r}: {answer!r}")
                lines = []
                while many and (not lines or lines[-1] != b".\r\n"):
                    lines.append(stream.readline())
                return lines
            say("")
            say("USER " + user)
            say("PASS " + crash.PASSWORD)
            number = 0
            for line in say("LIST", True)[:-1]:
                number = int(line.split()[0])
                text = b"".join(say(f"TOP {number} 0", True))
                token = re.search(rb"^Subject: token-(\S+)\r$", text,
                                  re.MULTILINE).group(1).decode()
                if token in tokens:
                    say(f"DELE {number}")
            for token in tokens:
                self.mark(f"deletes {token}")
            say("QUIT")
            for token in tokens:
                self.mark(f"deleted {token}")
        process.wait(20)

    def give(self, *message):
        """Submits a message; notes that it was accepted."""
        ident = self.host.submit(*message)
        if ident is None:
            raise RuntimeError(f"{message} was not accepted")
        token, recipients = message[:2]
        if len(message) > 3:
            token = f"{token}.{message[3]}"
        self.mark(f"accepted {ident} {token} {' '.join(recipients)}")

    def work(self):
        """All kinds of mail; several at one time."""
        self.give("local", [BOB])
        self.give("kept", [BOB])
        self.settle()
        senders = [threading.Thread(target=self.give, args=message)
                   for message in (
                       ("remote", [FAR]), ("bounce", [NOBODY]),
                       ("forward", [FORWARD]), ("later", [LATER, BOB]),
                       ("large", [BOB, FAR], ANN, 60000),
                       ("mixed", [BOB, ANN, FAR, REFUSED, NOBODY]),
                       ("double", [NOBODY], ""))]
        for sender in senders:
            sender.start()
        self.sendmail("sendmail")
        for sender in senders:
            sender.join()
        self.settle()
        self.pop3(BOB, ["local", "sendmail"])
        self.give("last", [BOB, FAR])
        self.settle()
