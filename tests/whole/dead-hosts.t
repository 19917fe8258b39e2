#!/usr/bin/env python3
"""Hosts that do not answer at all: mail for others does not wait behind theirs. And
slow ones: they get as many connections as they may."""

import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from routed import Routed
from sink import Sink
from tap import Tap, wait_for

WORKERS = 2
DEAD = 3 * WORKERS
tap = Tap()


class Dead:
    """A port whose backlog is full: what asks for a connection hears nothing."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(0)
        self.port = self.socket.getsockname()[1]
        self.fillers = []
        while not self.is_full():
            pass

    def is_full(self):
        one = socket.socket()
        one.settimeout(0.2)
        self.fillers.append(one)
        try:
            one.connect(("127.0.0.1", self.port))
            return False
        except TimeoutError:
            return True

    def close(self):
        for one in self.fillers + [self.socket]:
            one.close()


class Slow(Sink):
    def take(self, octets):
        time.sleep(0.6)       # it is a slow server


def beside_the_dead():
    """More dead destinations than there are workers, and several messages for
    each."""
    dead, live = Dead(), Sink()
    try:
        with Routed() as host:
            host.control("concurrencyremote", f"{WORKERS}\n")
            host.control("timeoutconnect", "120\n")
            silent = [host.route(dead) for _ in range(DEAD)]
            good = [host.route(live) for _ in range(3)]
            host.load()
            host.restart("remote")
            for number in range(2):
                for domain in silent:
                    host.inject(domain, f"never {number}")
            begun = lambda: host.log("queue-runner").count(
                "starting delivery ")
            wait_for(lambda: begun() >= 2 * WORKERS)
            for domain in good:
                host.inject(domain)
            wait_for(lambda: len(live.messages) == len(good), 30)
            tap.same(len(live.messages), len(good),
                     f"mail passes by {DEAD} destinations that do not answer")
            tap.ok(live.peak <= WORKERS, "…over no more connections than may "
                   "be", live.peak)
            tap.same(len(host.results(silent[0])), 0,
                     "…while those are still being tried")
            if tap.failed:
                tap.note(host.logs())
    finally:
        dead.close()
        live.close()


def to_the_slow():
    """Twelve at a time is what the limit says."""
    slow = Slow()
    try:
        with Routed() as host:
            host.control("concurrencydestination", "12\n")
            domain = host.route(slow)
            host.load()
            for number in range(48):
                host.inject(domain, f"slow {number}")
            wait_for(lambda: slow.peak >= 12, 30)
            tap.same(slow.peak, 12,
                     "a slow host gets as many connections as it may")
            tap.ok(wait_for(lambda: len(slow.messages) == 48, 60),
                   "…and all its mail", len(slow.messages))
            tap.same(slow.peak, 12, "…over no more")
    finally:
        slow.close()


for step in (beside_the_dead, to_the_slow):
    tap.case(step)
tap.done()
