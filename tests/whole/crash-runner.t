#!/usr/bin/env python3
"""queue-runner is killed at each call that changes the queue, with a message for
one good and one bad recipient under way: the good one gets it once, the sender is
told, and nothing is left. (A kill between a bounce and its record makes a second
one: better than none.)"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, skip_all, wait_for
from instance import Instance
from servicetrace import STRACE, Trace

if not STRACE:
    skip_all("strace is not installed")
CALLS = {"renameat": 4, "unlinkat": 4, "ftruncate": 3, "pwrite64": 3, "fsync": 1,
         "sendmsg": 3}

tap = Tap()


def titled(words):
    """Delivered messages whose Subject has these words."""
    return [octets for octets in host.contents()
            if re.search(rb"^Subject: .*" + words, octets.split(b"\n\n")[0],
                         re.M)]


def jobs():
    return [os.path.join(folder, name) for folder, _, names
            in os.walk(os.path.join(host.queue, "jobs")) for name in names]


def killed(call, when):
    for path in host.delivered():
        os.unlink(path)
    pid = host.pid("queue-runner")

    def dead():
        return not os.path.exists(f"/proc/{pid}/exe")
    with Trace(host, "queue-runner", "-e", f"trace={call}", "-e",
               f"inject={call}:signal=KILL:when={when}"):
        host.run("sendmail", "-f", host.address, "--", host.address,
                 "nobody@" + host.domain, input=b"Subject: good\n\nx\n")
        died = wait_for(dead, 15)
    wait_for(lambda: host.pid("queue-runner") not in (0, pid), 10)
    wait_for(lambda: not host.queued() and not jobs()
             and titled(b"could not be delivered"), 30)
    good, bounces = len(titled(b"good")), len(titled(b"could not be delivered"))
    tap.ok(died and good == 1 and bounces in (1, 2) and not host.queued()
           and not jobs(),
           f"killed at {call} {when}: delivered {good}, bounces {bounces}",
           [died, host.queued(), jobs()])


with Instance() as host:
    try:
        with Trace(host, "queue-runner"):
            pass
    except PermissionError as error:
        tap.skip("all", f"strace may not attach: {error}")
        tap.done()
    for call, last in CALLS.items():
        for when in range(1, last + 1):
            tap.case(killed, call, when)
    if tap.failed:
        tap.note(host.logs())
tap.done()
