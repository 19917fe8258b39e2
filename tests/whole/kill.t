#!/usr/bin/env python3
"""kill -9 of each long-lived program in the middle of 200 messages: every message
arrives, and each at most once more than the deliveries in flight at the kill
allow."""

import collections
import os
import re
import signal
import smtplib
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance

MESSAGES = 200
SENDERS = 4
# Deliveries that local and the warden may have in hand at one time
# (control/concurrencylocal, written below).
IN_FLIGHT = 5

tap = Tap()


def send(host, first, answered, lock):
    """Sends its share; tries again, as a mail client would, whatever is not
    answered with 250. answered gets the ids of those that were."""
    for number in range(first, MESSAGES, SENDERS):
        def attempt():
            try:
                client = host.smtp(timeout=20)
                try:
                    client.ehlo()
                    if client.mail("ann@client.test")[0] != 250:
                        return None
                    if client.rcpt(host.address)[0] != 250:
                        return None
                    code, text = client.data(
                        f"Subject: message {number}\r\n\r\nbody {number}\r\n")
                    return text if code == 250 else None
                finally:
                    client.close()
            except (OSError, smtplib.SMTPException):
                return None
        text = wait_for(attempt, 40, 0.05)
        if text:
            with lock:
                answered.append(re.search(rb"\b[0-9a-z]{20}\b",
                                          text).group().decode())


def kill_in_the_middle(host, service):
    for path in host.delivered():
        os.unlink(path)
    answered, lock = [], threading.Lock()
    senders = [threading.Thread(target=send, args=(host, n, answered, lock))
               for n in range(SENDERS)]
    for thread in senders:
        thread.start()
    killed = 0
    for share in (0.25, 0.5, 0.75):
        wait_for(lambda: len(answered) >= MESSAGES * share, 60)
        pid = host.pid(service)
        if pid:
            os.kill(pid, signal.SIGKILL)
            killed += 1
            wait_for(lambda: host.pid(service) not in (0, pid), 10)
    for thread in senders:
        thread.join()
    tap.ok(killed >= 2, f"{service} was killed {killed} times and came back")
    tap.same(len(answered), MESSAGES,
             f"{service}: every message was answered 250 in the end")
    wanted = set(answered)

    def arrived():
        ids = []
        for text in host.contents():
            found = re.search(rb"Received: [^\n]*(?:\n[ \t][^\n]*)*?\bid "
                              rb"([0-9a-z]{20})", text)
            if found:
                ids.append(found.group(1).decode())
        return collections.Counter(ids)
    wait_for(lambda: wanted <= set(arrived()), 60, 0.2)
    host.wait_empty(60)
    count = arrived()
    tap.same(sorted(wanted - set(count)), [],
             f"{service}: every acknowledged message is in the Maildir")
    extra = {ident: n - 1 for ident, n in count.items() if n > 1}
    tap.ok(sum(extra.values()) <= killed * IN_FLIGHT
           and all(n <= killed for n in extra.values()),
           f"{service}: {sum(extra.values())} repeated, "
           f"at most {IN_FLIGHT} in flight at each of {killed} kills", extra)
    tap.same([path for path in host.queued() if is_accepted(path)], [],
             f"{service}: the queue is empty at the end")


def told_to_end(host):
    """SIGTERM lets a delivery under way come to its end, once."""
    home = os.path.dirname(host.maildir.rstrip("/"))
    qmail, ran = os.path.join(home, ".qmail"), os.path.join(home, "ran")
    with open(qmail, "w") as file:
        file.write("|echo begin >>ran; sleep 1; echo end >>ran\n")
    host.give(qmail)
    client = host.submission()
    client.sendmail("ann@client.test", [host.address], "Subject: slow\r\n\r\n")
    client.quit()
    wait_for(lambda: os.path.exists(ran))
    host.restart("local")
    host.wait_empty()
    with open(ran) as file:
        tap.same(file.read(), "begin\nend\n",
                 "local, told to end, waits for what is under way")
    os.unlink(qmail)


def is_accepted(path):
    """False for what a killed queue-inject left without a mark: it was never
    promised, and is litter for the runner."""
    try:
        with open(path, "rb") as file:
            return file.read(16)[12:] == b"KEPT"
    except FileNotFoundError:
        return False


with Instance() as host:
    host.control("concurrencylocal", f"{IN_FLIGHT}\n")
    import subprocess
    subprocess.run(["svc", "-t", os.path.join(host.home, "service", "local")],
                   check=True)
    for name in ("queue-inject", "queue-runner", "local", "warden", "resolve"):
        tap.case(kill_in_the_middle, host, name)
        if tap.failed:
            tap.note(host.logs())
            break
    tap.case(told_to_end, host)
tap.done()
