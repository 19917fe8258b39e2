#!/usr/bin/env python3
"""What strangers choose (addresses, subjects) and what stands in arguments reaches
no terminal and no log as a control octet: through any tool."""

import os
import re
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap
from instance import Instance

tap = Tap()

HOSTILE = "a\x1b]0;owned\x07\x9b2J\nforged: line\r\x7f\u202e@b.example"
ADDRESSES = ['"a\x1b[2Jb"@nowhere.invalid', '"a\x9b2J"@nowhere.invalid',
             "plain@nowhere.invalid"]
# What a terminal obeys: C0 but line end and tab, DEL, and C1 as it stands in
# UTF-8 or, in octets that are no UTF-8, alone.
OBEYED = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")

TOOLS = [
    ["queue-list"], ["queue-list", "--json"], ["queue-stat"],
    ["queue-stat", "--json"], ["queue-check"], ["queue-check", "--json"],
    ["user-list"], ["domain-list"], ["control-show"], ["control-check"],
]
TAKERS = [
    ["smtp-why", "--ip", "192.0.2.1", "--helo", "h", "--from"],
    ["smtp-why", "--ip", "192.0.2.1", "--to"],
    ["smtp-why", "--ip", "192.0.2.1", "--helo"],
    ["smtp-why", "--ip"], ["smtp-why", "--ip", "192.0.2.1", "--name"],
    ["address-why"], ["address-why", "--json"],
    ["route-show"], ["queue-list"], ["queue-hold"], ["queue-delete"],
    ["queue-check"], ["user-del"], ["user-set"], ["domain-del"],
    ["control-show"], ["control-check"],
]


def clean(run, name):
    said = run.stdout + run.stderr
    found = OBEYED.search(said)
    tap.ok(not found and not re.search(rb"(?m)^forged: line", said), name,
           ascii(said))


class HostileHost:
    """An SMTP server for one client, whose every word commands terminals."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(1)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        client, _ = self.listener.accept()
        client.sendall(b"220 a\x1b[31mred\x07\xc2\x9b host\r\n")
        client.recv(1000)
        client.sendall(b"250-x\x1b]0;t\x07\r\n250 y\x9b\r\n")
        client.recv(1000)
        client.close()


def main():
    with Instance() as host:
        run = host.run("smtp-probe", f"127.0.0.1:{HostileHost().port}")
        tap.ok(b"red" in run.stdout, "smtp-probe shows a greeting",
               ascii(run.stdout + run.stderr))
        clean(run, "smtp-probe at a hostile host")
        host.svc("-d", "remote")  # what goes there waits
        for address in ADDRESSES:
            run = host.run("sendmail", "-f", address, address, input=(
                "Subject: s\x1b[2J\x9b\n\nbody\n").encode())
            clean(run, f"sendmail to {address!a}: {run.returncode}")
        shown = host.run("queue-list").stdout
        tap.ok(b"plain@nowhere.invalid" in shown, "what sendmail took waits",
               ascii(shown))
        for tool in TOOLS:
            clean(host.run(tool[0], *tool[1:]),
                  " ".join(tool))
        for tool in TAKERS:
            clean(host.run(tool[0], *tool[1:], HOSTILE),
                  " ".join(tool) + ", with a hostile argument")
        found = OBEYED.search(host.logs().encode(errors="surrogateescape"))
        tap.ok(not found, "the logs", host.logs())


tap.case(main)
tap.done()
