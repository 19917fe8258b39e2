#!/usr/bin/env python3
"""A queue that was copied away and put into another instance, or restored from a
copy under stopped programs, is clean and delivers all its mail, once."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance
from queuecheck import clean, forget_delivered, send, service, subjects

tap = Tap()
SERVICES = ("queue-inject", "queue-runner", "local", "remote")


def instructions(host, extension, text):
    """What becomes of mail to user-EXTENSION."""
    path = os.path.join(os.path.dirname(host.maildir), ".qmail-" + extension)
    with open(path, "w") as file:
        file.write(text)
    host.give(path)


def fill(host):
    """Leaves 14 messages in the queue, in all states that are to be delivered,
    with all that works on it down. Their subjects."""
    local, domain = host.address.split("@")
    instructions(host, "later", "|exit 111\n")
    send(host, 4, f"{local}-later@{domain}", "deferred")
    deferred = os.path.join(host.queue, "deferred")
    wait_for(lambda: sum(len(names) for _, _, names in os.walk(deferred)) == 4)
    service(host, "-d", "local")
    send(host, 5, subject="active")
    active = os.path.join(host.queue, "active")
    wait_for(lambda: len(os.listdir(active)) == 5)
    service(host, "-d", "queue-runner")
    send(host, 5, subject="incoming")
    service(host, "-d", "queue-inject", "remote")
    tap.same(len(host.queued()), 14, "14 messages are in the queue")
    return sorted([f"deferred {n}" for n in range(4)]
                  + [f"{s} {n}" for s in ("active", "incoming")
                     for n in range(5)])


def deliver(host, wanted, name):
    clean(tap, host, f"{name} is clean")
    instructions(host, "later", "./Maildir/\n")
    before = host.starts("queue-runner")
    service(host, "-u", *SERVICES)
    wait_for(lambda: host.starts("queue-runner") > before)
    os.kill(host.pid("queue-runner"), signal.SIGALRM)
    wait_for(lambda: len(host.delivered()) >= len(wanted), 30)
    host.wait_empty()
    tap.same(subjects(host), wanted, f"{name} delivers all its mail, once")
    tap.same(host.queued(), [], "and is empty")
    clean(tap, host, "and clean")
    forget_delivered(host)


def copy(queue, to):
    subprocess.run(["cp", "-a", queue, to], check=True)


def other_file_system():
    """A folder on a file system of its own if there may be one, and how to be
    rid of it."""
    folder = tempfile.mkdtemp(prefix="keepmail-copy.")
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "keepmail-test", folder],
        stderr=subprocess.DEVNULL).returncode == 0
    if not mounted:
        tap.note("no tmpfs can be mounted here: the copy is on the same file "
                 "system, and made twice")

    def undo():
        if mounted:
            subprocess.run(["umount", folder], check=True)
        shutil.rmtree(folder)
    return folder, undo


def restored(host):
    wanted = fill(host)
    saved, undo = other_file_system()
    try:
        copy(host.queue, os.path.join(saved, "queue"))
        shutil.rmtree(host.queue)
        copy(os.path.join(saved, "queue"), host.queue)
        deliver(host, wanted, "a restored queue")
    finally:
        undo()


def moved(host):
    wanted = fill(host)
    saved, undo = other_file_system()
    try:
        copy(host.queue, os.path.join(saved, "queue"))
        with Instance() as other:
            service(other, "-d", *SERVICES)
            shutil.rmtree(other.queue)
            copy(os.path.join(saved, "queue"), other.queue)
            deliver(other, wanted, "a queue that moved to another instance")
            if tap.failed:
                tap.note(other.logs())
    finally:
        undo()


with Instance() as host:
    for step in (restored, moved):
        tap.case(step, host)
    if tap.failed:
        tap.note(host.logs())
tap.done()
