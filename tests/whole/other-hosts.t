#!/usr/bin/env python3
"""Hosts that are not for a message, though they talk: who refuses by policy over IPv6 is
asked once over IPv4, and with REQUIRETLS every MX host is asked before it fails."""

import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from certificates import Authority
from dnsserver import NameServer
from routed import Routed
from smtpserver import Server
from tap import Tap, has_v6, skip_all, wait_for

if not shutil.which("openssl"):
    skip_all("openssl is not installed")

tap = Tap()
NO_PTR = b"550 5.7.25 no name for [::1]\r\n"


def name_hosts(domain, *addresses):
    """Makes the domain's MX hosts, in this order."""
    names.mx(domain, *((10 * i, f"mx{i}.{domain}")
                       for i in range(1, len(addresses) + 1)))
    for i, address in enumerate(addresses, 1):
        (names.aaaa if ":" in address else names.a)(f"mx{i}.{domain}", address)


def greetings():
    """A host that does not want to talk leaves the mail to the next; and if none
    wants to, it waits."""
    def drop(session, line):
        session.end()
        return b""
    what = {"554": {"greeting": b"554 5.3.2 no service\r\n"},
            "521": {"greeting": b"521 no mail here\r\n"},
            "421": {"greeting": b"421 4.3.2 busy\r\n"},
            "a drop": {"script": {b"EHLO": drop, b"HELO": drop}},
            "421 to MAIL": {"script": {b"MAIL": b"421 4.3.2 busy\r\n"}}}
    for number, (name, how) in enumerate(what.items()):
        domains = f"first{number}.test", f"all{number}.test"
        name_hosts(domains[0], "127.0.0.6", "127.0.0.1")
        name_hosts(domains[1], "127.0.0.6")
        with Server(address="127.0.0.6", port=server.port, **how):
            begun = len(server.messages)
            host.inject(domains[0])
            tap.ok(server.wait_message(begun + 1), f"{name}: the next host",
                   host.logs())
            host.inject(domains[1])
            line = host.result(domains[1])
            tap.ok("deferral" in line, f"{name}: there is none: waits", line)


def policy():
    """The greeting, MAIL, all RCPT, and the end."""
    where = [("greeting", {"greeting": b"554 5.7.1 not you\r\n"}),
             ("MAIL", {"script": {b"MAIL": NO_PTR}}),
             ("RCPT", {"script": {b"RCPT": NO_PTR},
                       "extensions": ["PIPELINING"]}),
             ("the end", {"script": {b".": NO_PTR}})]
    for number, (name, what) in enumerate(where):
        domain = f"policy{number}.test"
        name_hosts(domain, "::1", "127.0.0.1")
        begun = len(server.messages)
        with Server(address="::1", port=server.port, **what) as sixth:
            host.inject(domain, names=["a", "b"])
            tap.ok(server.wait_message(begun + 1),
                   f"refused at {name} over IPv6, taken over IPv4",
                   host.logs())
            tap.same(len(host.results(domain, "failure")), 0,
                     f"{name}: nobody failed")
            tap.same(len(sixth.sessions), 1, f"{name}: asked once over IPv6")


def verdict():
    """It counts if IPv4 says the same, or nothing at all."""
    name_hosts("both.test", "::1", "127.0.0.1")
    name_hosts("gone.test", "::1", "127.0.0.9")
    name_hosts("only.test", "::1", "::1")
    with Server(address="::1", port=server.port, script={b"MAIL": NO_PTR}):
        server.script = {b"MAIL": b"550 5.7.1 nor you of IPv4\r\n"}
        begun = len(server.sessions)
        host.inject("both.test")
        line = host.result("both.test")
        tap.ok("failure" in line and "nor you of IPv4" in line,
               "refused over IPv4, too: that is told", line)
        tap.same(len(server.sessions), begun + 1, "after one connection")
        server.script = {}
        for domain in "gone.test", "only.test":
            host.inject(domain)
            line = host.result(domain)
            tap.ok("failure" in line and "5.7.25" in line,
                   f"{domain}: no IPv4: it counts", line or host.logs())


def requiretls():
    """The second host has what the first has not; one that cannot be asked now
    makes it wait; and if all lack it, it fails."""
    good = authority.issue("mx.test")
    for domain, addresses in (
            ("later.test", ("127.0.0.2", "127.0.0.3")),
            ("waits.test", ("127.0.0.2", "127.0.0.9")),
            ("never.test", ("127.0.0.2", "127.0.0.4"))):
        name_hosts(domain, *addresses)
        host.lines.append(f"{domain}: name=mx.test")
    host.load()
    with Server(address="127.0.0.2", port=server.port, tls=good) as lacks, \
            Server(address="127.0.0.3", port=server.port, tls=good,
                   after_tls=["REQUIRETLS"]) as has, \
            Server(address="127.0.0.4", port=server.port,
                   tls=good) as lacks_too:
        host.inject_requiretls("later.test")
        message = has.wait_message(1)
        tap.ok(message and b" REQUIRETLS" in message.sender,
               "the second host gets it", host.logs())
        host.inject("later.test")
        tap.ok(wait_for(lambda: len(lacks.messages) + len(has.messages) == 2),
               "the next message may go to either", host.logs())
        host.inject_requiretls("waits.test")
        line = host.result("waits.test")
        tap.ok("deferral" in line and "4.4.1" in line,
               "the other host cannot be asked now: waits", line)
        host.inject_requiretls("never.test")
        line = host.result("never.test")
        tap.ok("failure: 5.7.30" in line, "both lack it: fails", line)
        tap.same((lacks_too.messages, len(lacks_too.sessions)), ([], 1),
                 "both were asked, and not told a word of it")


folder = tempfile.mkdtemp(prefix="keepmail-test.")
os.chmod(folder, 0o755)
try:
    authority = Authority(folder)
    with NameServer() as names, Routed() as host, Server() as server:
        os.chmod(authority.file, 0o644)
        host.control("tlsauthorities", authority.file + "\n")
        host.control("nameservers", names.where + "\n")
        host.control("remoteport", f"{server.port}\n")
        host.control("allowlocaladdresses", "1\n")
        for service in "remote", "tls-client":
            host.restart(service)
        tap.case(greetings)
        if has_v6():
            tap.case(policy)
            tap.case(verdict)
        else:
            tap.skip("policy over IPv6", "no ::1 here")
        tap.case(requiretls)
finally:
    shutil.rmtree(folder, ignore_errors=True)
tap.done()
