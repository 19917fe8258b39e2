#!/usr/bin/env python3
"""The queue under those who mean it ill, and under bad luck: torn and forged
jobs, damaged files, wrong clocks, floods of wake-ups, bounces of bounces, a
channel that is down. Mail is never lost, told of twice without end, or stuck."""

import collections
import glob
import os
import re
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import queuefile as q
from tap import Tap, wait_for
from instance import Instance
from sink import Sink

tap = Tap()


class Host(Sink):
    """Takes what is for take@, refuses every other recipient for good."""

    def answer(self, verb, line):
        return b"550 5.1.1 nobody of that name" \
            if verb == b"RCPT" and b"<take@" not in line else b"250 ok"


def restart(service):
    host.svc("-d", service)
    host.svc("-u", service)


def inject(sender, recipients, **more):
    """Puts an accepted message into incoming/; gives its id."""
    name = q.ident()
    host.put("incoming/" + name, q.message(sender, recipients, **more))
    host.ring("incoming/" + name)
    return name


def jobs(channel="*"):
    return [path for path in glob.glob(os.path.join(host.queue, "jobs",
                                                    channel, "*", "*"))]


def found(name):
    """Where in the queue a message is: "active", "deferred/…", …"""
    for path in host.queued():
        if os.path.basename(path) == name:
            return os.path.relpath(os.path.dirname(path), host.queue)
    return None


def subjects():
    return collections.Counter(
        re.search(rb"^Subject: (.*)$", octets, re.M).group(1).decode()
        for octets in host.contents())


def torn_job():
    """A channel was stopped in the middle of its write: the results that come
    after the torn record must be read all the same."""
    host.svc("-d", "local")
    name = inject("ann@client.test", [host.address],
                  content=b"Subject: torn\n\nx\n")
    path = wait_for(lambda: jobs("local"), 15)[0]
    with open(path, "ab") as file:
        file.write(q.result(0, q.DELIVERED, "2.0.0 yes")[:-3])
    host.svc("-u", "local")
    wait_for(lambda: found(name) is None, 30)
    tap.same(found(name), None, "a job with a torn tail comes to its end")
    tap.same(subjects()["torn"], 1, "its message is delivered once")


def forged_result():
    """remote, if it is taken over, says of a recipient of local's that it is
    delivered."""
    host.svc("-d", "local", "remote")
    name = inject("ann@client.test", [host.address, "take@sink.test"],
                  content=b"Subject: forged\n\nx\n")
    path = wait_for(lambda: jobs("local") and jobs("remote"), 15)[0]
    with open(path, "rb") as file:
        head = q.records(file.read())[0]
    forged = (q.record(*head)
              + q.record("T", struct.pack(">I", 0) + q.text(host.address)
                         + b"\0" + q.text(""))
              + q.result(0, q.DELIVERED, "2.0.0 believe me")
              + q.record("E"))
    with open(path, "wb") as file:
        file.write(forged)
    host.ring("remote/" + "/".join(path.split("/")[-2:]))
    host.svc("-u", "local", "remote")
    wait_for(lambda: found(name) is None, 30)
    tap.same(subjects()["forged"], 1,
             "a recipient is delivered whatever another channel says of it")
    tap.same(sum(b"Subject: forged" in octets for octets in sink.taken), 1,
             "and the recipient of the spoiled job too, once")


def forged_adoption():
    """The same with a job file that is only there when the runner starts."""
    host.svc("-d", "local")
    name = inject("ann@client.test", [host.address],
                  content=b"Subject: adopted\n\nx\n")
    path = wait_for(lambda: jobs("local"), 15)[0]
    host.svc("-d", "queue-runner", "remote")
    dest = os.path.basename(os.path.dirname(wanted_dest()))
    arrival = int(time.time() * 1000000)
    forged = (q.record("J", name.encode() + struct.pack(
                  ">IQQBBBB", 1, arrival, 14, 0, 0, 0, 0)
                  + q.text(f"host:127.0.0.1:{sink.port}")
                  + q.text("ann@client.test") + q.text(""))
              + q.record("T", struct.pack(">I", 0) + q.text(host.address)
                         + b"\0" + q.text(""))
              + q.result(0, q.DELIVERED, "2.0.0 believe me")
              + q.record("E"))
    os.unlink(path)
    host.put(f"jobs/remote/{dest}/{name}.7", forged)
    host.svc("-u", "queue-runner", "local", "remote")
    wait_for(lambda: found(name) is None, 30)
    tap.same(subjects()["adopted"], 1,
             "a job that lies in another channel's folder is not believed")


def wanted_dest():
    """The folder of the route to the sink: BLAKE2s of its text."""
    import hashlib
    text = f"host:127.0.0.1:{sink.port}".encode()
    return "jobs/remote/" + hashlib.blake2s(text, digest_size=16).hexdigest() \
        + "/"


def left_over_job():
    """The runner was stopped between making a job file and naming it."""
    host.svc("-d", "queue-runner")
    dest = os.path.basename(os.path.dirname(wanted_dest()))
    path = host.put(f"jobs/remote/{dest}/.{q.ident()}.0", b"half a jo")
    host.svc("-u", "queue-runner")
    wait_for(lambda: not os.path.exists(path), 15)
    tap.ok(not os.path.exists(path), "a job file without its name is removed")


def bad_content():
    """The mark reached the disk before a power cut, the content did not: nobody
    was promised anything, and rubbish must not go out."""
    name = q.ident()
    host.put("incoming/" + name, q.message("ann@client.test", [host.address],
                                      content_check=1))
    restart("queue-runner")
    wait_for(lambda: found(name) in ("doubtful", None), 15)
    tap.same(found(name), "doubtful",
             "a marked file whose content's check fails is set apart")


def bad_header():
    """A file in incoming/ whose header was damaged is evidence, however old."""
    name = q.ident(time.time() - 3 * 86400)
    octets = bytearray(q.message("ann@client.test", [host.address]))
    octets[20] ^= 1
    host.put("incoming/" + name, bytes(octets))
    litter = q.ident(time.time() - 3 * 86400)
    host.put("incoming/" + litter, q.message("ann@client.test", [host.address],
                                        mark=0))
    empty = q.ident(time.time() - 3 * 86400)
    host.put("incoming/" + empty, b"")
    restart("queue-runner")
    wait_for(lambda: found(litter) is None and found(empty) is None
             and found(name) != "incoming", 15)
    tap.same(found(name), "doubtful", "a damaged header is set apart")
    tap.same([found(litter), found(empty)], [None, None],
             "and old rests of broken submissions are removed")


def wrong_clock():
    """The clock was a month ahead when the attempt was put off."""
    due = time.time() + 30 * 86400
    name = q.ident()
    host.put("deferred/%010x/%s" % (int(due / 60) + 1, name),
        q.message("ann@client.test", [host.address],
                  content=b"Subject: clock\n\nx\n",
                  outcomes=q.outcome(0, q.DEFERRED, 1, due)))
    restart("queue-runner")
    wait_for(lambda: found(name) is None, 15)
    tap.same((subjects()["clock"], found(name)), (1, None),
             "what was put off by a wrong clock is tried when the clock is right")


def flood():
    """One that may ring the runner rings without end."""
    fd = os.open(os.path.join(host.queue, "wake", "runner"),
                 os.O_WRONLY | os.O_NONBLOCK)
    ended = threading.Event()

    def shout():
        line = (f"incoming/{q.ident()}\n" * 100).encode()
        while not ended.is_set():
            try:
                os.write(fd, line)
            except BlockingIOError:
                pass
    threads = [threading.Thread(target=shout) for _ in range(2)]
    for thread in threads:
        thread.start()
    name = inject("ann@client.test", [host.address],
                  content=b"Subject: flood\n\nx\n")
    wait_for(lambda: found(name) is None, 45)
    where = found(name)
    ended.set()
    for thread in threads:
        thread.join()
    os.close(fd)
    tap.same((subjects()["flood"], where), (1, None),
             "mail goes on while the runner's FIFO is flooded")
    wait_for(lambda: found(name) is None, 30)


def bounce_of_a_bounce():
    """Postmaster's mail goes to an address that is refused: the report that it
    could not be delivered must not be reported for ever."""
    alias = os.path.join(host.home, "alias", ".qmail-postmaster")
    with open(alias) as file:
        before = file.read()
    with open(alias, "w") as file:
        file.write("&gone@sink.test\n")
    sink.tried.clear()
    inject("", ["nobody@sink.test"])
    wait_for(lambda: len(sink.tried) >= 2, 20)
    host.wait_empty(15)
    tap.same((len(sink.tried), len(host.queued())), (2, 0),
             "a double bounce that fails, forwarded, is the end of it",
             ) or tap.note(len(sink.tried))
    with open(alias, "w") as file:
        file.write(before)
    wait_for(lambda: not host.queued(), 60)


def postmaster():
    """A double bounce reaches postmaster; from the reverse-path of one."""
    before = len(host.delivered())
    inject("", ["nobody@sink.test"])
    texts = host.wait_delivered(before + 1)
    tap.ok(any(b"Subject: A bounce could not be delivered" in t
               and b"\nReturn-Path: <#@[]>\n" in b"\n" + t for t in texts),
           "what cannot be told to the sender is told to postmaster")
    before = len(host.delivered())
    inject(host.address, ["nobody@sink.test"], content=b"Subject: lost\n\nx\n")
    texts = host.wait_delivered(before + 1)
    report = [t for t in texts if b"Your message could not" in t]
    tap.same(len(report), 1, "the sender is told once")
    if report:
        for field in (b"Return-Path: <>\n", b"Auto-Submitted: auto-replied\n",
                      b"Final-Recipient: rfc822; nobody@sink.test\n",
                      b"Action: failed\nStatus: 5.1.1\n", b"Subject: lost\n"):
            tap.ok(field in report[0], f"a bounce has {field.strip().decode()}",
                   report[0])


def notify():
    """RFC 3461 section 4.1: no report of failure unless asked for."""
    before = len(host.delivered())
    for value in (1, 2, 8, 10):
        inject(host.address, ["nobody@sink.test"], notify=value)
    host.wait_empty()
    tap.same(len(host.delivered()) - before, 0,
             "NOTIFY without FAILURE: no bounce")
    inject(host.address, ["nobody@sink.test"], notify=6)
    host.wait_empty()
    tap.same(len(host.delivered()) - before, 1, "NOTIFY=SUCCESS,FAILURE: one")


def many_failures():
    """Every recipient of a long list fails: the reports stay of a size that can
    be sent, and name each once."""
    before = set(host.delivered())
    count = 12000
    inject(host.address, [f"n{i}@sink.test" for i in range(count)])
    host.wait_empty(90)
    new = [path for path in host.delivered() if path not in before]
    named = collections.Counter()
    for path in new:
        with open(path, "rb") as file:
            named.update(re.findall(rb"^Final-Recipient: rfc822; (.*)$",
                                    file.read(), re.M))
    tap.same((len(named), set(named.values())), (count, {1}),
             f"{count} failed recipients are each told of once")
    tap.ok(all(os.path.getsize(path) < 2 * 1024 * 1024 for path in new),
           "in reports of less than 2 MiB each")
    for path in new:
        os.unlink(path)


def channel_down():
    """remote is held by the administrator: local mail goes on all the same."""
    host.svc("-d", "remote")
    for i in range(1100):
        inject("ann@client.test", [f"take@d{i % 3}.test"])
    name = inject("bob@client.test", [host.address],
                  content=b"Subject: goes on\n\nx\n")
    wait_for(lambda: found(name) is None, 30)
    tap.same((subjects()["goes on"], found(name)), (1, None),
             "local mail is delivered while 1100 others wait for remote")
    before = len(sink.taken)
    host.svc("-u", "remote")
    host.wait_empty(90)
    tap.same((len(sink.taken) - before, len(host.queued())), (1100, 0),
             "and they go out, each once, when it is back")


sink = Host()
with Instance() as host:
    host.control("smtproutes", f":127.0.0.1:{sink.port}\n")
    restart("queue-runner")
    for case in (torn_job, forged_result, forged_adoption, left_over_job,
                 bad_content, bad_header, wrong_clock, flood, postmaster,
                 notify, bounce_of_a_bounce, many_failures, channel_down):
        if len(sys.argv) > 1 and case.__name__ not in sys.argv[1:]:
            continue
        start = time.monotonic()
        failed = tap.failed
        tap.case(case)
        tap.note(f"{case.__name__}: {time.monotonic() - start:.1f} s")
        for path in glob.glob(os.path.join(host.queue, "doubtful", "*")):
            os.unlink(path)
        if tap.failed != failed:
            tap.note(host.log("queue-runner")[-1500:])
tap.done()
