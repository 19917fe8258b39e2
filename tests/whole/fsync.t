#!/usr/bin/env python3
"""What the kernel is asked to make durable, and what follows when it cannot:
one sync of the file and one of the folder for an acceptance, both before the
answer; refusals when one fails; no work while there is nothing to do."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, skip_all, wait_for
from instance import BUILD, Instance
from servicetrace import STRACE, Trace

if not STRACE:
    skip_all("strace is not installed")

tap = Tap()
# The kernel kills a filtered program for a call that strace makes fail (it sees
# the call's number as -1); programs built with a sanitizer have no filter.
UNFILTERED = os.path.join(BUILD, "clang", "queue-inject")
DAEMONS = ("queue-inject", "queue-runner", "local", "remote", "warden",
           "resolve")


def send():
    """One message by SMTP; the reply's code, and the id if there is one."""
    with host.smtp() as client:
        client.ehlo()
        client.mail("ann@client.test")
        client.rcpt(host.address)
        code, words = client.data("Subject: x\r\n\r\nx\r\n")
    found = re.search(rb"\b[0-9a-z]{20}\b", words)
    return code, found.group().decode() if found else None


def accepted():
    with Trace(host, "queue-inject", "-e",
               "trace=fsync,fdatasync,sendmsg") as trace:
        code, name = send()
    calls = []
    for line in trace.lines:
        found = re.search(r"(fsync|fdatasync)\(\d+<(.*)>\) += (-?\d+)", line)
        if found:
            calls.append((os.path.basename(found.group(2)), found.group(3)))
        elif "sendmsg(" in line and "SCM_RIGHTS" not in line:
            calls.append("answer")
    tap.same((code, calls),
             (250, ["answer", (name, "0"), ("incoming", "0"), "answer"]),
             "one sync of the file, then one of the folder, then the answer",
             ) or tap.note("\n".join(trace.lines))


def committed():
    """An outcome is durable, with one sync of the folder, before the job goes."""
    with Trace(host, "queue-runner", "-e",
               "trace=fsync,fdatasync,unlinkat,unlink") as trace:
        code, name = send()
        wait_for(lambda: trace.has(rf'unlinkat\(.*/{name}\.0"'), 20)
    calls = [re.sub(r"^\d+ +", "", line) for line in trace.lines
             if name in line or "sync(" in line]
    kinds = [call.split("(")[0] for call in calls]
    tap.ok(code == 250 and kinds == ["unlinkat", "fsync", "unlinkat"]
           and "jobs/" in calls[-1],
           "a delivered message goes, the folder is synced, its job goes",
           "\n".join(trace.lines))


def kept():
    """Message files in the queue, but for what an acceptance that was stopped
    before the mark leaves in incoming/: the runner removes it after a day."""
    found = []
    for path in host.queued():
        try:
            with open(path, "rb") as file:
                if b"incoming/" not in path.encode() \
                        or file.read(16)[12:] == b"KEPT":
                    found.append(path)
        except FileNotFoundError:
            pass
    return found


def failing(number, what):
    """The sync of the child fails: no acceptance, and nothing is left."""
    before = len(host.delivered())
    with Trace(host, "queue-inject", "-e", "trace=fsync", "-e",
               f"inject=fsync:error=EIO:when={number}"):
        code, _ = send()
    tap.same(code // 100, 4, f"a sync of the {what} that fails is no acceptance")
    wait_for(lambda: not host.queued(), 5)
    tap.same((host.queued(), len(host.delivered())), ([], before),
             "and nothing of it is left")


def killed(call, when):
    """queue-inject's child is killed at a call. What was answered 250 arrives,
    and what was not is not left for ever."""
    before = len(host.delivered())
    with Trace(host, "queue-inject", "-e", f"trace={call}", "-e",
               f"inject={call}:signal=KILL:when={when}"):
        pid = host.pid("queue-inject")
        try:
            code = send()[0]
        except OSError:
            code = 0
    if host.pid("queue-inject") in (0, pid) and not os.path.exists(
            f"/proc/{pid}/exe"):
        wait_for(lambda: host.pid("queue-inject") not in (0, pid), 10)
    if kept():  # its wake-up was lost: the next look at the folders finds it
        subprocess.run(["svc", "-t", os.path.join(host.home, "service",
                                                  "queue-runner")], check=True)
    wait_for(lambda: not kept(), 15)
    came = len(host.delivered()) - before
    tap.ok(kept() == [] and came <= 1 and (code != 250 or came == 1),
           f"killed at {call} {when}: answer {code}, delivered {came}",
           kept())


def no_descriptors():
    """accept fails with EMFILE: no busy loop, and mail goes on after it."""
    with Trace(host, "queue-inject", "-e", "trace=accept4", "-e",
               "inject=accept4:error=EMFILE:when=1..4") as trace:
        code, _ = send()
        count = trace.has("EMFILE")
    tap.same((code, count), (250, 4),
             "accept that fails is tried again, and mail goes on")
    with Trace(host, "queue-inject", "-e", "trace=accept4", "-e",
               "inject=accept4:error=EMFILE") as trace:
        with host.smtp() as client:
            client.ehlo()
            client.putcmd("mail", "FROM:<ann@client.test>")
            start = time.monotonic()
            wait_for(lambda: trace.has("EMFILE") >= 3, 10)
            spent = time.monotonic() - start
            count = trace.has("EMFILE")
            client.close()
    tap.ok(2 <= count <= 20 * (spent + 1), f"{count} times in {spent:.1f} s",
           trace.lines[:20])


def idle():
    """Daemons without work sleep: nothing wakes them but the look at their
    folders every ten seconds."""
    wait_for(lambda: not host.queued(), 10)

    def switches():
        found = {}
        for service in DAEMONS:
            with open(f"/proc/{host.pid(service)}/status") as file:
                found[service] = int(re.search(
                    r"^voluntary_ctxt_switches:\s*(\d+)", file.read(),
                    re.M).group(1))
        return found
    before, start = switches(), time.monotonic()
    # a span to measure over, not a wait for something
    wait_for(lambda: time.monotonic() - start > 5, 6, 0.5)
    after = switches()
    for service in DAEMONS:
        count = after[service] - before[service]
        tap.ok(count < 25, f"{service} sleeps when idle: woke {count} times "
               "in 5 s")


with Instance() as host:
    try:
        with Trace(host, "queue-inject"):
            pass
    except PermissionError as error:
        tap.skip("all", f"strace may not attach: {error}")
        tap.done()
    tap.case(accepted)
    tap.case(committed)
    tap.case(idle)
    for call, last in (("pwrite64", 5), ("fsync", 2), ("flock", 2),
                       ("sendmsg", 2)):
        for when in range(1, last + 1):
            tap.case(killed, call, when)
    if tap.failed:
        tap.note(host.logs())
if not os.path.exists(UNFILTERED):
    tap.skip("failing syncs", "there is no build with a sanitizer")
    tap.done()
with tempfile.TemporaryDirectory() as programs:
    os.chmod(programs, 0o755)
    for name in os.listdir(BUILD):
        path = os.path.join(BUILD, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            shutil.copy(path, programs)
    shutil.copy(UNFILTERED, programs)
    os.environ["KEEPMAIL_PROGRAMS"] = programs
    with Instance() as host:
        tap.case(failing, 1, "file")
        tap.case(failing, 2, "folder")
        tap.case(no_descriptors)
        if tap.failed:
            tap.note(host.logs())
tap.done()
