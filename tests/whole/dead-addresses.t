#!/usr/bin/env python3
"""Addresses that do not answer: left out by later workers while there are others, tried
once in a while where there are none, shown and forgotten by dead-addresses."""

import json
import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from dnsserver import MX, NameServer
from routed import Routed
from smtpserver import Server
from tap import Tap, has_v6, wait_for

tap = Tap()


class Silent:
    """An address whose backlog is full: connections to it time out."""

    def __init__(self, address, port):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = socket.socket(family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, port))
        self.listener.listen(0)
        self.fill = []
        for _ in range(3):
            filler = socket.socket(family)
            filler.setblocking(False)
            filler.connect_ex((address, port))
            self.fill.append(filler)

    def close(self):
        for one in [*self.fill, self.listener]:
            one.close()


def rows():
    run = host.run("dead-addresses", "--json")
    if run.returncode != 0:
        raise RuntimeError(run.stderr)
    return {row["address"]: row
            for row in map(json.loads, run.stdout.splitlines())}


def send(domain):
    """The time that a message takes to arrive, in seconds."""
    sent, begun = len(server.messages), time.monotonic()
    host.inject(domain)
    if server.wait_message(sent + 1) is None:
        raise RuntimeError(host.logs())
    return time.monotonic() - begun


def leave_out():
    """Two failures, of either family, and the third message does not wait."""
    tap.same(rows(), {}, "nothing is left out yet")
    if not V6:
        tap.skip("IPv6 addresses", "no ::1 here")
    for number, addresses in enumerate((V4, V6) if V6 else (V4,)):
        for name in ("a", "b", "c"):
            domain = f"{name}{number}.test"
            names.mx(domain, (10, f"down.{domain}"), (20, f"up.{domain}"))
            for address in addresses:
                (names.aaaa if ":" in address else names.a)(
                    f"down.{domain}", address)
            names.a(f"up.{domain}", "127.0.0.1")
        first, second = send(f"a{number}.test"), send(f"b{number}.test")
        tap.ok(min(first, second) >= 1, "a dead address costs its timeout",
               f"{first} {second}")
        tap.ok(wait_for(lambda: addresses[0] in rows(), 10),
               f"{addresses[0]} is dead", host.logs())
        send(f"c{number}.test")
        tap.same(rows()[addresses[0]]["failures"], 2,
                 "then it is not tried")
    dead = rows()
    tap.same(sorted(dead), sorted(V4 + V6), "all are listed")
    row = dead[V4[0]]
    tap.same((row["port"], row["failures"]), (server.port, 2),
             "with port and failures")
    tap.ok(300 <= row["until"] - row["since"] <= 300 * 1.25 + 10,
           "for five minutes and up to a quarter more", str(row))
    text = host.run("dead-addresses").stdout.decode()
    tap.ok(f"{V4[0]} port {server.port}: failures 2, since " in text,
           "and in words", text)


def all_dead():
    """Where there is no other it is tried, but not twice in a minute."""
    names.mx("only.test", (10, "mx.only.test"))
    names.a("mx.only.test", V4[0])
    host.inject("only.test")
    said = host.result("only.test", "deferral")
    tap.ok("4.4.1 not tried" in said, "tried a moment ago: not again", said)
    host.run("queue-retry", "--all")
    tap.ok(wait_for(lambda: len(host.results("only.test")) == 2),
           "nor when it is asked for", host.logs())
    tap.same(names.count("only.test", MX), 1, "and the DNS is not asked anew")


def clear():
    run = host.run("dead-addresses", "--clear", V4[0])
    tap.same((run.returncode, run.stdout), (0, b"1 forgotten\n"), "forgotten")
    tap.same(sorted(rows()), V6, "the other one is not")
    silent[V4[0]].close()
    revived = Server(address=V4[0], port=server.port)
    host.run("queue-retry", "--all")
    tap.ok(revived.wait_message(1), "what waited is sent there", host.logs())
    revived.close()
    run = host.run("dead-addresses", "--clear")
    tap.same((run.returncode, run.stdout),
             (0, b"%d forgotten\n" % len(V6)), "all")
    tap.same(rows(), {}, "nothing is left")


def calls():
    for wrong in (["x"], ["--clear", "x"], ["--clear", "1.2.3.4", "1.2.3.4"],
                  ["--clear", "--json"], ["192.0.2.1"]):
        tap.same(host.run("dead-addresses", *wrong).returncode, 100,
                 f"wrong call: {wrong}")
    path = os.path.join(host.home, "socket", "dead-addresses")
    for octets in (b"x", b"\0" * 32, struct.pack("=8I", *[0x6b726471] * 8)):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asker:
            asker.settimeout(20)
            asker.connect(path)
            asker.send(octets)
            try:
                answer = asker.recv(100)
            except ConnectionResetError:
                answer = b""
            tap.same(answer, b"", f"no question, no answer: {octets[:4]}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asker:
        asker.connect(path)
        tap.same(rows(), {}, "who asks nothing holds nobody up for long")
    host.turn("remote", False)
    run = host.run("dead-addresses")
    tap.ok(run.returncode == 111 and b"does not run" in run.stderr,
           "remote does not run", str(run))


V4 = ["127.0.0.7"]
V6 = ["::1"] if has_v6() else []
with NameServer() as names, Routed() as host:
    server = Server()
    silent = {address: Silent(address, server.port) for address in V4 + V6}
    host.control("nameservers", names.where + "\n")
    host.control("remoteport", f"{server.port}\n")
    host.control("allowlocaladdresses", "1\n")
    host.control("concurrencyremote", "1\n")
    host.control("timeoutconnect", "1\n")
    host.restart("remote")
    for case in (leave_out, all_dead, clear, calls):
        tap.case(case)
    for one in silent.values():
        one.close()
    server.close()
tap.done()
