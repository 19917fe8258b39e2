#!/usr/bin/env python3
"""Children of the warden that stay for further messages to their account: fewer of
them than messages, none that outlives its use, and nothing of one delivery in the
next."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance

BURST = 40
tap = Tap()


def children(pid):
    """The live children of a process."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(name))
    return found


def send(host, number, first=0):
    with host.smtp() as client:
        for i in range(first, first + number):
            client.sendmail("a@client.test", [host.address],
                            f"Subject: {i}\r\n\r\nnumber {i}\r\n")


def file_pids(host):
    """The process that wrote each delivered file, from its name."""
    return [name.split("P")[1].split("Q")[0]
            for name in os.listdir(os.path.join(host.maildir, "new"))]


def burst(host):
    send(host, BURST)
    host.wait_delivered(BURST)
    pids = file_pids(host)
    tap.same(len(pids), BURST, "every message of a burst arrives")
    tap.ok(len(set(pids)) <= BURST // 2,
           "children of the warden take several of them each",
           f"{len(set(pids))} children")
    tap.ok(wait_for(lambda: not children(host.pid("warden"))),
           "none is left when there is no more mail",
           children(host.pid("warden")))


def instructions_change(host):
    """What stands in .qmail holds for the very next message."""
    side = os.path.join(host.home, "side")
    host.run("maildirmake", side)
    send(host, 2, 100)
    host.wait_delivered(BURST + 2)
    with open(os.path.join(host.maildir, "..", ".qmail"), "w") as file:
        file.write(side + "/\n")
    host.give(file.name)
    send(host, 2, 200)
    host.wait_delivered(2, maildir=side)
    tap.same(len(host.delivered(maildir=side)), 2,
             "a child that has stayed reads .qmail again")
    tap.same(len(host.delivered()), BURST + 2, "…and obeys it")
    with open(file.name, "w") as file:
        file.write("|exit 100\n")
    send(host, 2, 300)
    tap.ok(wait_for(lambda: host.log("queue-runner").count("failure") >= 2),
           "a program is run for each message")
    tap.ok(host.wait_empty(), "and all ends", host.queued())
    os.unlink(file.name)


def killed(host):
    """A child that dies while it waits costs a message a moment, no more."""
    send(host, 1, 400)
    host.wait_delivered(BURST + 3)
    for pid in children(host.pid("warden")):
        os.kill(pid, 9)
    send(host, 1, 401)
    host.wait_delivered(BURST + 4)
    tap.same(len(host.delivered()), BURST + 4,
             "a message arrives although the child that waited was killed")


with Instance() as host:
    burst(host)
    instructions_change(host)
    killed(host)
tap.done()
