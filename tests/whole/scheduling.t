#!/usr/bin/env python3
"""Scheduling: what is deferred comes back by time or by signal; a destination that
is down costs one probe; nobody's burst delays another's message; bulk goes last;
what waits survives a restart and is told of."""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance
from sink import Sink

tap = Tap()


class Server(Sink):
    """May be down, slow, or say 4xx; down at first."""

    def __init__(self):
        self.delay_s = 0
        self.busy = self.most = 0   # messages that it is at work with
        self.rcpt = b"250 ok"
        super().__init__(is_up=False)

    def take(self, octets):
        with self.lock:
            self.busy += 1
            self.most = max(self.most, self.busy)
        time.sleep(self.delay_s)
        with self.lock:
            self.busy -= 1

    def answer(self, verb, line):
        return self.rcpt if verb == b"RCPT" else b"250 ok"

    @property
    def subjects(self):
        return [line[8:].strip().decode() for octets in self.taken
                for line in octets.splitlines()
                if line.startswith(b"Subject:")]


def inject(sender, recipients, subject, more=b""):
    run = host.run("sendmail", "-i", "-f", sender, *recipients,
                   input=b"Subject: " + subject.encode() + b"\n" + more
                   + b"\nx\n")
    assert run.returncode == 0, run.stderr


def in_folder(name):
    return [path for path in host.queued() if f"/{name}/" in path]


def attempts(domain):
    """Deliveries that were begun to it."""
    return sum(1 for line in host.log("queue-runner").splitlines()
               if "starting delivery" in line and f"{domain} id " in line)


def alarm():
    os.kill(host.pid("queue-runner"), signal.SIGALRM)


def dead_destination():
    """One probe an interval, whatever waits; all of it comes back at once."""
    for i in range(60):
        inject(f"a{i}@x.test", ["b@dead.test"], f"dead {i}")
    tap.ok(wait_for(lambda: len(in_folder("waiting")) == 60, 20),
           "mail for a destination that is down waits with it",
           host.queued())
    tap.same(attempts("@dead.test") <= 8, True,
             "and was not tried message by message")
    before = attempts("@dead.test")
    tap.ok(wait_for(lambda: attempts("@dead.test") >= before + 3, 20),
           "it is probed")
    tap.ok(attempts("@dead.test") <= before + 5, "one message at a time")
    host.restart("queue-runner")
    tap.ok(wait_for(lambda: len(in_folder("waiting")) == 60, 20),
           "a restart of the runner leaves it where it is", host.queued())
    dead.up()
    tap.ok(wait_for(lambda: len(dead.subjects) == 60, 30),
           "all of it goes out when the destination is back",
           len(dead.subjects))
    tap.same(len(set(dead.subjects)), 60, "each once")
    tap.ok(host.wait_empty(10), "nothing is left", host.queued())
    tap.same(os.listdir(os.path.join(host.queue, "waiting")), [],
             "nor the folder that it waited in")


def burst():
    """Hundreds to a slow destination, from one sender; others are not held up."""
    slow.up()
    slow.delay_s = 0.5
    for _ in range(4):
        for i in range(100):
            inject("bulk@x.test", ["b@slow.test"], "burst")
    begin = time.monotonic()
    inject("ann@x.test", ["b@slow.test"], "ann to the same")
    inject("ann@x.test", ["b@quick.test"], "ann to another")
    inject("ann@x.test", [host.address], "ann to a local user")
    wait_for(lambda: "ann to another" in quick.subjects
             and any(b"ann to a local user" in text
                     for text in host.contents())
             and "ann to the same" in slow.subjects, 20)
    took = time.monotonic() - begin
    left = 400 - slow.subjects.count("burst")
    tap.ok("ann to another" in quick.subjects, "another destination is served")
    tap.ok("ann to the same" in slow.subjects, "another sender is served")
    tap.ok(left > 50, f"while {left} of the burst were still to be sent "
           f"({took:.1f} s)")
    # jobs are limited; a connection that ends may be seen beside its successor
    tap.ok(2 <= slow.most <= 20,
           f"a slow destination gets several messages at a time, {slow.most}")
    tap.ok(quick.peak == 1, "a quick one gets one", quick.peak)
    slow.delay_s = 0
    tap.ok(host.wait_empty(60), "the burst goes out, too", len(host.queued()))
    tap.same(slow.subjects.count("burst"), 400, "each message once")


def priority():
    """Precedence: bulk goes after what is not, to the same destination."""
    slow.messages.clear()
    host.svc("-d", "queue-runner")
    for i in range(30):
        inject(f"l{i}@x.test", ["b@slow.test"], f"bulk {i}",
               b"Precedence: bulk\n")
    for i in range(10):
        inject(f"p{i}@x.test", ["b@slow.test"], f"person {i}")
    inject("boss@x.test", ["b@slow.test"], "first",
           b"Precedence: special-delivery\n")
    slow.delay_s = 0.05
    host.svc("-u", "queue-runner")
    tap.ok(wait_for(lambda: len(slow.subjects) == 41, 60), "all are sent",
           len(slow.subjects))
    place = {subject: i for i, subject in enumerate(slow.subjects)}
    persons = sorted(place[f"person {i}"] for i in range(10))
    # what the runner had handed out before it saw the others goes first
    tap.ok(persons[-1] <= 30 and place["first"] <= 12,
           "bulk is sent last", slow.subjects)
    slow.delay_s = 0
    host.wait_empty(10)


def deferred():
    """A 4xx puts one message off; SIGALRM makes it due."""
    quick.rcpt = b"451 4.3.0 later"
    quick.messages.clear()
    inject("ann@x.test", ["b@quick.test"], "later")
    tap.ok(wait_for(lambda: in_folder("deferred"), 10),
           "it is deferred to its minute", host.queued())
    quick.rcpt = b"250 ok"
    alarm()
    tap.ok(wait_for(lambda: quick.subjects == ["later"], 10),
           "SIGALRM sends it at once", quick.subjects)
    tap.ok(host.wait_empty(10), "and it is gone")


def told():
    """What waits is told of after delaywarning, and given up after
    queuelifetime, with the destination down all the time."""
    host.control("delaywarning", "60\n")
    host.control("backoffmin", "3600\n")
    dead.down()
    host.restart("queue-runner")
    inject(host.address, ["b@dead.test"], "too late")
    tap.ok(wait_for(lambda: len(in_folder("waiting")) == 1, 20), "it waits")
    before = len(host.delivered())
    # time goes by: the file gets a name and a header of an hour ago
    host.svc("-d", "queue-runner")
    age(in_folder("waiting")[0], 3600)
    host.svc("-u", "queue-runner")
    texts = host.wait_delivered(before + 1, 30)
    tap.ok(any(b"\nAction: delayed\n" in text for text in texts),
           "the sender is told of the delay", host.log("queue-runner")[-2000:])
    tap.ok(wait_for(lambda: len(in_folder("waiting")) == 1, 20),
           "the message goes on waiting", host.queued())
    host.control("queuelifetime", "600\n")
    host.restart("queue-runner")
    texts = host.wait_delivered(before + 2, 30)
    tap.ok(any(b"\nAction: failed\n" in text for text in texts),
           "in the end it is given up", host.log("queue-runner")[-2000:])
    tap.ok(host.wait_empty(10), "and gone", host.queued())


def age(path, seconds):
    """Makes a waiting message file older, as doc/queue.md has its octets."""
    import struct
    import zlib
    with open(path, "r+b") as file:
        header = bytearray(file.read(64))
        arrival = struct.unpack(">Q", header[16:24])[0] - seconds * 1000000
        header[16:24] = struct.pack(">Q", arrival)
        header[60:64] = struct.pack(
            ">I", zlib.crc32(bytes(header[0:12]) + bytes(header[16:60])))
        file.seek(0)
        file.write(header)
    folder = os.path.dirname(path)
    older = os.path.join(os.path.dirname(folder), "%s%010x" % (
        os.path.basename(folder)[0], arrival // 60000000))
    if older != folder:
        os.rename(folder, older)


dead, slow, quick = Server(), Server(), Server()
quick.up()
with Instance() as host:
    host.control("smtproutes", f"dead.test:127.0.0.1:{dead.port}\n"
                 f"slow.test:127.0.0.1:{slow.port}\n"
                 f"quick.test:127.0.0.1:{quick.port}\n")
    host.control("backoffmin", "1\n")
    host.control("backoffmax", "2\n")
    host.restart("queue-runner")
    for case in (dead_destination, burst, priority, deferred, told):
        if len(sys.argv) > 1 and case.__name__ not in sys.argv[1:]:
            continue
        start, failed = time.monotonic(), tap.failed
        tap.case(case)
        tap.note(f"{case.__name__}: {time.monotonic() - start:.1f} s")
        if tap.failed != failed:
            tap.note(host.log("queue-runner")[-3000:])
tap.done()
