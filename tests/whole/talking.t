#!/usr/bin/env python3
"""How mail is handed to servers that set limits, lose connections and change their
minds: everybody gets it once."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from routed import Routed
from smtpserver import Server
from tap import Tap, wait_for

tap = Tap()
MANY = [f"user{n}" for n in range(70)]


def got(server):
    """Who got it, and how often."""
    count = {}
    for message in server.messages:
        for line in message.recipients:
            name = line.split(b"<")[1].split(b"@")[0].decode()
            count[name] = count.get(name, 0) + 1
    return count


def all_once(server, name, names=MANY):
    wait_for(lambda: len(got(server)) >= len(names))
    wait_for(lambda: not host.queued())
    tap.same(got(server), dict.fromkeys(names, 1), f"{name}: each gets it once")
    tap.same(host.queued(), [], f"{name}: and the queue is empty")


def recipients():
    """So many recipients at one time, and no more."""
    def five(session, line):
        if len(session.recipients) >= 5:
            return b"452 4.5.3 too many recipients\r\n"

    def two(session, line):
        if len(session.recipients) >= 2:
            return b"552 too many recipients\r\n"
    with Server(extensions=["PIPELINING", "LIMITS RCPTMAX=3"]) as limits, \
            Server(extensions=["PIPELINING"], script={b"RCPT": five}) as pipe, \
            Server(script={b"RCPT": two}) as plain:
        domains = [host.route(one) for one in (limits, pipe, plain)]
        host.load()
        for domain in domains:
            host.inject(domain, names=MANY)
        all_once(limits, "RCPTMAX=3")
        tap.same(max(len(m.recipients) for m in limits.messages), 3,
                 "RCPTMAX=3: three at one time")
        sent = sum(session.verbs().count(b"RCPT")
                   for session in limits.sessions)
        tap.same(sent, len(MANY), "RCPTMAX=3: no RCPT too many")
        all_once(pipe, "452 after five")
        all_once(plain, "552 after two")


def transactions():
    """So many messages over a connection."""
    with Server(extensions=["LIMITS MAILMAX=2"]) as server:
        domain = host.route(server)
        host.load()
        for number in range(6):
            host.inject(domain, f"message {number}")
        wait_for(lambda: len(server.messages) >= 6)
        tap.same(len(server.messages), 6, "MAILMAX=2: all arrive")
        tap.ok(all(session.verbs().count(b"MAIL") <= 2
                   for session in server.sessions),
               "MAILMAX=2: two over each connection",
               [session.verbs() for session in server.sessions])


def closes():
    """421 and lost connections between two messages cost nothing."""
    def again(session, line):
        if session.verbs().count(b"MAIL") > 1:
            return b"421 4.3.2 enough for one connection\r\n"

    def drop(session, line):
        if session.verbs().count(b"MAIL") > 1:
            session.end()
            return b""
    for name, script in ("421", again), ("a drop", drop):
        with Server(script={b"MAIL": script}) as server:
            domain = host.route(server)
            host.load()
            for number in range(4):
                host.inject(domain, f"message {number}")
            wait_for(lambda: len(server.messages) >= 4)
            wait_for(lambda: not host.queued())
            tap.same(len(server.messages), 4, f"{name}: all arrive, once")
            tap.same(host.results(domain, "deferral"), [],
                     f"{name}: and nothing was deferred")


def outcomes():
    """Each recipient has its own."""
    answers = {b"no": b"550 5.1.1 nobody\r\n", b"later":
               b"450 4.2.1 not now\r\n"}

    def by_name(session, line):
        return answers.get(line.split(b"<")[1].split(b"@")[0])
    for words in [], ["PIPELINING"]:
        with Server(extensions=words, script={b"RCPT": by_name}) as server:
            domain = host.route(server)
            host.load()
            host.inject(domain, names=["a", "no", "b", "later"])
            wait_for(lambda: len(host.results(domain)) >= 4)
            tap.same(got(server), {"a": 1, "b": 1}, f"{words}: two get it")
            tap.ok("5.1.1" in host.result(domain, "failure"),
                   f"{words}: one fails")
            tap.ok("4.2.1" in host.result(domain, "deferral"),
                   f"{words}: one waits")
            answers.pop(b"later")
            host.run("queue-retry", "--all")
            wait_for(lambda: len(got(server)) == 3)
            answers[b"later"] = b"450 4.2.1 not now\r\n"
            tap.same(got(server), {"a": 1, "b": 1, "later": 1},
                     f"{words}: which gets it later, the others not again")


def chunk():
    """One chunk where it is offered, unless the route says no."""
    mail = b"Subject: x\n\n.dot\n.\n" + b"line\n" * 9000 + b"last"
    with Server(extensions=["CHUNKING", "PIPELINING", "SIZE"]) as server:
        domains = host.route(server), host.route(server, "no-bdat")
        host.load()
        for domain in domains:
            host.run("sendmail", "-i", "-f", "a@x.test", f"a@{domain}",
                     input=mail)
            tap.ok("success" in host.result(domain), "taken", host.logs())
        wait_for(lambda: len(server.messages) == 2)
        by_chunk, by_data = server.messages
        # from the blank line on: two messages differ in their trace
        tap.same(by_chunk.octets.split(b"\r\n\r\n", 1)[1],
                 mail.split(b"\n\n", 1)[1].replace(b"\n", b"\r\n") + b"\r\n",
                 "the chunk has every octet, and no dot more")
        tap.same(by_data.octets.split(b"\r\n\r\n", 1)[1],
                 by_chunk.octets.split(b"\r\n\r\n", 1)[1],
                 "and DATA means the same")
        verbs = [verb for session in server.sessions
                 for verb in session.verbs()]
        tap.same((verbs.count(b"BDAT"), verbs.count(b"DATA")), (1, 1),
                 "each way was taken once")


def old():
    """A server that cannot stand EHLO."""
    with Server(script={b"EHLO": lambda session, line: session.end() or b""}
                ) as server:
        domains = host.route(server), host.route(server, "tls=must")
        host.load()
        for domain in domains:
            host.inject(domain)
        tap.ok("success" in host.result(domains[0]), "it is told HELO",
               host.logs())
        tap.ok("4.4.2" in host.result(domains[1], "deferral"),
               "but not where TLS is demanded", host.logs())
        tap.same([session.verbs() for session in server.sessions].count(
            [b"EHLO"]), 2, "over another connection")


def silence():
    """Whoever says nothing in time has the mail wait: at every step."""
    def nothing(session, line):
        return b""
    steps = {"waiting for the greeting": {"greeting": b"220-"},
             "after HELO": {"script": {b"EHLO": nothing, b"HELO": nothing}},
             "after MAIL": {"script": {b"MAIL": nothing}},
             "after RCPT": {"script": {b"RCPT": nothing}},
             "after DATA": {"script": {b"DATA": nothing}},
             "after the final dot": {"script": {b".": nothing}},
             "after the final chunk": {"script": {b".": nothing},
                                       "extensions": ["CHUNKING"]}}
    host.control("timeoutremote", "1\n")
    host.restart("remote")
    servers = {step: Server(**what) for step, what in steps.items()}
    domains = {step: host.route(server) for step, server in servers.items()}
    host.load()
    for domain in domains.values():
        host.inject(domain)
    for step, domain in domains.items():
        line = host.result(domain)
        tap.ok("deferral: 4.4.2" in line and step in line,
               f"silence {step}: waits", line or host.logs())
        twice = "final" in step
        tap.same("may arrive twice" in line, twice,
                 f"silence {step}: it may{'' if twice else ' not'} have it")
    tap.ok(wait_for(lambda: host.log("remote").count("may arrive twice") == 2),
           "which the log says, too")
    for server in servers.values():
        server.close()
    os.unlink(os.path.join(host.home, "control", "timeoutremote"))
    host.restart("remote")


def probed():
    """What smtp-probe shows."""
    with Server(greeting=b"220-\x1b[1mhello\r\n220 sink.test\r\n",
                extensions=["SIZE 1000"]) as server:
        run = host.run("smtp-probe", f"127.0.0.1:{server.port}")
        tap.ended(run, 0, "", "smtp-probe")
        text = run.stdout.decode("latin-1")
        tap.ok("220-?[1mhello\n" in text, "the greeting, safe to see", text)
        tap.ok("250 SIZE 1000\n" in text, "the extensions", text)
        wait_for(lambda: server.sessions[0].ended)
        tap.same(server.sessions[0].verbs(), [b"EHLO", b"QUIT"],
                 "EHLO and QUIT is all it says")
        port = server.port
    run = host.run("smtp-probe", f"[127.0.0.1]:{port}")
    tap.ended(run, 111, "", "a port where nobody listens")
    tap.ok(b"no connection" in run.stdout, "…is said so", run.stdout)
    for bad in [], ["--help"], ["a b"], ["127.0.0.1:0"], ["x:25:25"]:
        run = host.run("smtp-probe", *bad)
        tap.ended(run, 100, "usage|expected", f"{bad}")


with Routed() as host:
    for case in (recipients, transactions, closes, outcomes, chunk, old, silence, probed):
        tap.case(case)
tap.done()
