"""What the tests of queue-check share."""

import hashlib
import json
import os
import re
import struct
import subprocess
import time

import queuefile
from queuefile import record, text
from tap import wait_for


def make_id(age_s=0):
    """An id that was made so many seconds ago."""
    return queuefile.ident(time.time() - age_s)


def dest(name):
    """The folder of a destination."""
    return hashlib.blake2s(name.encode(), digest_size=16).hexdigest()


def deferral(number=0):
    """An outcome record: due in some hundred years."""
    return queuefile.outcome(number, queuefile.DEFERRED, 1, 1 << 32)


def job(ident, destination, recipients, octets=10):
    """A job file; octets is the length of the message's content."""
    packed = record("J", ident.encode()
                    + struct.pack(">IQQ", 1, int(time.time() * 1e6), octets)
                    + bytes(4) + text(destination) + text("") * 2)
    for number, address in enumerate(recipients):
        packed += record("T", struct.pack(">I", number) + text(address)
                         + b"\0" + text(""))
    return packed


def check(host, *options):
    """Exit status and findings, as (path, what, repair)."""
    run = host.run("queue-check", "--json", *options)
    try:
        found = [json.loads(line) for line in run.stdout.splitlines()]
    except ValueError:
        raise RuntimeError(f"not JSON: {run.stdout!r}")
    return run.returncode, {(f["path"], f["what"]): f["repair"]
                            for f in found}, run.stderr.decode()


def clean(tap, host, name):
    status, found, errors = check(host)
    return tap.ok(status == 0 and not found and not errors, name,
                  f"status {status}\n{found}\n{errors}")


def service(host, letter, *names):
    for name in names:
        subprocess.run(["svc", letter, os.path.join(host.home, "service",
                                                    name)], check=True)
    for name in names:
        if not wait_for(lambda: (host.pid(name) == 0) == (letter == "-d")):
            raise RuntimeError(f"svc {letter} {name} has no effect")


def send(host, count, recipient=None, subject="message"):
    client = host.smtp()
    for number in range(count):
        client.sendmail("ann@client.test", [recipient or host.address],
                        f"Subject: {subject} {number}\r\n\r\nx\r\n")
    client.quit()


def subjects(host):
    return sorted(re.search(rb"^Subject: ([^\n]*)", text, re.M)
                  .group(1).decode() for text in host.contents())


def forget_delivered(host):
    for path in host.delivered():
        os.unlink(path)
