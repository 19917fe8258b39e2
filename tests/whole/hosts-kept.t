#!/usr/bin/env python3
"""What workers of remote leave to the next: answers of the DNS for as long as they
hold; and what they do not: that a host was down a moment ago."""

import os
import socket
import sys
from types import SimpleNamespace

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from dnsserver import A, MX, NameServer
from routed import Routed
from smtpserver import Server
from tap import Tap, wait_for

tap = Tap()


def kept():
    """With one worker at a time, each message to another destination than the one
    before has a new worker."""
    names.mx("long.test", (10, "mx.long.test"), ttl=60)
    names.a("mx.long.test", "127.0.0.1", ttl=60)
    names.mx("none.test", (10, "mx.none.test"), ttl=0)
    names.a("mx.none.test", "127.0.0.1", ttl=0)
    names.mx("brief.test", (10, "mx.brief.test"), ttl=60)
    names.a("mx.brief.test", "127.0.0.1", ttl=0)
    domains = ("long.test", "none.test", "brief.test")
    sent = 0
    for _ in range(3):
        for domain in domains:
            host.inject(domain)
            sent += 1
            if server.wait_message(sent) is None:
                tap.ok(False, f"message {sent} arrives", host.logs())
                return
    tap.same(len(server.sessions), 9, "each went over a connection of its own")
    for domain, times in zip(domains, (1, 3, 3)):
        tap.same((names.count(domain, MX), names.count(f"mx.{domain}", A)),
                 (times, times), f"{domain}: {times} times asked")


def gone():
    """Hosts that were kept and cannot be reached are looked for anew."""
    names.mx("moved.test", (10, "mx.moved.test"), ttl=600)
    names.a("mx.moved.test", "127.0.0.1", ttl=600)
    begun = len(server.messages)
    host.inject("moved.test")
    tap.ok(server.wait_message(begun + 1), "a message arrives")
    host.inject("long.test")
    tap.ok(server.wait_message(begun + 2), "another worker takes its place")
    with names.lock:
        names.table[("mx.moved.test", A)] = [
            (socket.inet_aton("127.0.0.2"), 600)]
    server.close()
    host.inject("moved.test")
    tap.ok("4.4.1" in host.result("moved.test", "deferral"),
           "the host is gone: deferred", host.logs())
    host.run("queue-retry", "--all")
    tap.ok(wait_for(lambda: names.count("moved.test", MX) == 2, 20),
           "the DNS is asked again, before its time", host.logs())


def down():
    """Asked for at once after it was down, a host is tried again."""
    late = socket.socket()
    late.bind(("127.0.0.1", 0))
    domain = host.route(SimpleNamespace(port=late.getsockname()[1]))
    host.load()
    host.inject(domain)
    tap.ok("4.4.1" in host.result(domain, "deferral"), "the host is down",
           host.logs())
    late.listen(5)
    late.settimeout(20)
    host.run("queue-retry", "--all")
    try:
        late.accept()[0].close()
        tap.ok(True, "asked for again, it is tried")
    except TimeoutError:
        tap.ok(False, "asked for again, it is tried", host.logs())
    late.close()


with NameServer() as names, Routed() as host:
    server = Server()
    host.control("nameservers", names.where + "\n")
    host.control("remoteport", f"{server.port}\n")
    host.control("allowlocaladdresses", "1\n")
    host.control("concurrencyremote", "1\n")
    host.restart("remote")
    for case in (kept, gone, down):
        tap.case(case)
tap.done()
