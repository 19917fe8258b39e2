#!/usr/bin/env python3
"""control/smtproutes: which way mail for a domain takes, from which address, and that
a line that is not understood never sends mail another way."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from routed import Routed
from smtpserver import Server
from tap import Tap, wait_for

tap = Tap()


def recipients(server):
    """The domains that mail has come for, in the order of the alphabet."""
    return sorted(re.search(rb"@([^>]*)>", line).group(1).decode()
                  for message in server.messages
                  for line in message.recipients)


def lines():
    """qmail's lines: the longest match holds, and an empty relay means MX."""
    with Server() as one, Server() as below, Server() as rest:
        host.lines = [f"one.test:[127.0.0.1]:{one.port}",
                      f".one.test:127.0.0.1:{below.port}",
                      f"[192.0.2.7]:[127.0.0.1]:{one.port} tls=none",
                      "mx.one.test:",
                      f":[127.0.0.1]:{rest.port}"]
        host.load()
        for domain in ("one.test", "ONE.test", "a.one.test", "b.a.one.test",
                       "[192.0.2.7]", "other.test"):
            host.inject(domain)
        host.inject("mx.one.test")
        wait_for(lambda: len(one.messages) == 3 and len(below.messages) == 2
                 and len(rest.messages) == 1, 20)
        tap.same([d.lower() for d in recipients(one)],
                 ["[192.0.2.7]", "one.test", "one.test"],
                 "a domain and an address literal")
        tap.same(recipients(below), ["a.one.test", "b.a.one.test"],
                 "all names below one")
        tap.same(recipients(rest), ["other.test"], "and the rest")
        line = host.result("mx.one.test")
        tap.ok("deferral: 4.4.3 the DNS" in line,
               "an empty relay asks the DNS", line)


def misunderstood():
    """Each line that is wrong defers its mail, with its number."""
    host.lines = []
    with Server() as server, Server() as rest:
        way = f"[127.0.0.1]:{server.port}"
        wrong = ["tls=yes", "TLS=must", "tls = must", "require-tls", "tls=must,", "no-bdat=1",
                 "auth-clear", "tls=must tls=none", "source=localhost",
                 "tls=none name=mx.test", "auth=../../x", "unusable=1"]
        host.lines.append(f":[127.0.0.1]:{rest.port}")
        domains = []
        for words in wrong:
            domains.append(host.domain())
            host.lines.append(f"{domains[-1]}:{way} {words}")
        fine = host.route(server)
        host.load()
        said = (r"control/smtproutes, line 2: \"tls=yes\": expected none, may, "
                r"must or verify; mail that goes this way waits")
        tap.ok(wait_for(lambda: re.search(said, host.log("queue-runner"))),
               "the log names file, line and word", host.log("queue-runner"))
        for domain in domains:
            host.inject(domain)
        host.inject(fine)
        for number, (words, domain) in enumerate(zip(wrong, domains)):
            line = host.result(domain)
            tap.ok(f"deferral: 4.3.5 this host's control/smtproutes, line "
                   f"{number + 2}, is not understood" in line,
                   f"{words}: waits, with the line's number", line)
        tap.ok(server.wait_message() and recipients(server) == [fine],
               "a good line works beside them")
        tap.same([d for d in recipients(rest) if d in domains], [],
                 "and none of it goes another way")
        host.lines[1] = f"{domains[0]}:{way}"
        host.load()
        host.run("queue-retry", "--all")
        tap.ok(wait_for(lambda: domains[0] in recipients(server), 20),
               "once the line is right, what waits is sent", host.logs())


def sources():
    """The address that a connection comes from."""
    host.lines = []
    six = None
    try:
        six = Server(address="::1")
    except OSError:
        tap.skip("source=, IPv6", "there is no ::1 here")
    with Server() as four:
        usual = host.route(four)
        chosen = host.route(four, "source=127.0.0.42")
        other = host.route(four, "source=::1")
        foreign = host.route(four, "source=192.0.2.1")
        both = six and host.route(six, "source=127.0.0.42 source=::1", "[::1]")
        host.load()
        for domain, address, name in (
                (usual, "127.0.0.1", "none"), (chosen, "127.0.0.42", "IPv4"),
                (other, "127.0.0.1", "of the other family")):
            before = len(four.sessions)
            host.inject(domain)
            tap.ok(wait_for(lambda: domain in recipients(four), 20) and
                   four.sessions[before].peer == address,
                   f"source=, {name}: from {address}",
                   [session.peer for session in four.sessions])
        host.inject(foreign)
        line = host.result(foreign)
        tap.ok("deferral: 4.4.1" in line and "assign requested address" in line,
               "one that is not this host's defers", line)
        if six:
            host.inject(both)
            tap.ok(six.wait_message() and six.sessions[0].peer == "::1",
                   "source=, both: the one of the family", host.logs())
            six.close()


def by_hand():
    """queue-route takes the same words."""
    host.lines = []
    with Server() as server:
        domain = host.route(server, "tls=must")
        host.load()
        host.inject(domain)
        tap.ok("offers no TLS" in host.result(domain), "tls=must: it waits")
        run = host.run("queue-route",
                       f"[127.0.0.1]:{server.port} tls=often", "--all")
        tap.ok(run.returncode != 0, "a wrong word is refused", run.stderr)
        run = host.run("queue-route",
                       f"[127.0.0.1]:{server.port} tls=none",
                       "--domain", domain)
        if not tap.ok(run.returncode == 0, "queue-route with words", run.stderr):
            return
        host.run("queue-retry", "--all")
        tap.ok(server.wait_message(), "and the message goes that way",
               host.logs())


# No name server answers: what asks the DNS waits, at once.
with Routed("--nameserver", "127.0.0.1:1") as host:
    for case in (lines, misunderstood, sources, by_hand):
        tap.case(case)
tap.done()
