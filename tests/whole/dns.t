#!/usr/bin/env python3
"""The way to a domain's hosts, against name servers that fail, lie and lag. It is
route-show that looks: the code is remote's."""

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import dnsserver as dns
from dnsserver import NameServer
from instance import BUILD
from tap import Tap

tap = Tap()
FAR = [("10.1.1.1", "mx.far.test")]


class Home:
    """A home with the control files that route-show reads."""

    def __init__(self, folder):
        self.folder = folder
        os.chmod(folder, 0o755)
        os.makedirs(os.path.join(folder, "control"))
        self.control("me", "me.test")
        # makes the home private, so that nothing need be root's
        self.control("private", "")
        self.user = {}
        if os.geteuid() == 0:
            os.chown(os.path.join(folder, "control/private"), 65534, 65534)
            self.user = {"user": 65534, "group": 65534, "extra_groups": []}

    def control(self, name, text):
        with open(os.path.join(self.folder, "control", name), "w") as file:
            file.write(text + "\n" if text else "")

    def servers(self, *servers):
        self.control("nameservers", "\n".join(
            server.where for server in servers))

    def run(self, *arguments):
        return subprocess.run(
            [os.path.join(BUILD, "route-show"), *arguments], timeout=100,
            env=dict(os.environ, KEEPMAIL=self.folder),
            stdin=subprocess.DEVNULL, capture_output=True, **self.user)

    def show(self, address):
        run = self.run("--json", address)
        try:
            return json.loads(run.stdout)
        except ValueError:
            return {"result": run.stderr.decode(), "addresses": []}

    def found(self, address):
        """[(address, host)], or what came of it in its place."""
        shown = self.show(address)
        return [(one["address"], one["host"]) for one in shown["addresses"]] \
            or shown["result"]


def far(names):
    names.mx("far.test", (10, "mx.far.test"))
    names.a("mx.far.test", "10.1.1.1")


def order(home):
    with NameServer() as names:
        home.servers(names)
        names.mx("far.test", (20, "b.far.test"), (10, "A.far.test"),
                 (20, "c.far.test"))
        names.a("a.far.test", "10.1.1.1", "10.1.1.2")
        names.aaaa("a.far.test", "2001:db8::1", "2001:db8::2")
        names.a("b.far.test", "10.1.1.3")
        names.a("c.far.test", "10.1.1.4")
        seen = set()
        for _ in range(40):
            got = [address for address, _ in home.found("x@FAR.test")]
            tap.count or tap.same(
                got[:4], ["2001:db8::1", "10.1.1.1", "2001:db8::2",
                          "10.1.1.2"],
                "the best host's addresses first, both families in turn")
            seen.add(tuple(got[4:]))
            if len(seen) == 2:
                break
        tap.same(seen, {("10.1.1.3", "10.1.1.4"), ("10.1.1.4", "10.1.1.3")},
                 "equal hosts come in either order")
        query = names.asked[0]
        tap.ok(query.has_edns and query.do, "queries have EDNS with DO")
        names.a("alone.test", "10.1.1.9")
        tap.same(home.found("alone.test"), [("10.1.1.9", "alone.test")],
                 "a domain without MX is its own host")
        names.mx("broken.test", (10, "nowhere.test"))
        names.a("broken.test", "10.1.1.9")
        tap.same(home.found("broken.test"), "no address",
                 "but not if its MX has no address")
        names.behave("nowhere.test", dns.SERVFAIL)
        tap.same(home.found("broken.test"), "temporary",
                 "…for now, if that cannot be told")
        names.mx("both.test", (10, "nowhere.test"), (20, "mx.both.test"))
        names.a("mx.both.test", "10.1.1.5")
        tap.same(home.found("both.test"), [("10.1.1.5", "mx.both.test")],
                 "another MX has one")
        names.mx("me2.test", (10, "a.far.test"), (20, "ME.test"),
                 (20, "b.far.test"), (30, "c.far.test"))
        tap.same({host for _, host in home.found("me2.test")}, {"a.far.test"},
                 "this host and those no better are left out")
        names.mx("mine.test", (10, "me.test"))
        tap.same(home.found("mine.test"), "self", "this host is the only MX")
        names.mx("null.test", (0, "."))
        tap.same(home.found("null.test"), "null MX", "null MX")
        names.mx("half.test", (0, "."), (10, "b.far.test"))
        tap.same(home.found("half.test"), [("10.1.1.3", "b.far.test")],
                 "a null MX beside others is none")
        tap.same(home.found("absent.test"), "no domain", "NXDOMAIN")
        names.cname("alias.test", "far2.test")
        names.cname("far2.test", "me2.test")
        tap.same({host for _, host in home.found("alias.test")},
                 {"a.far.test"}, "CNAMEs are followed")
        names.cname("turn.test", "round.test")
        names.cname("round.test", "turn.test")
        tap.same(home.found("turn.test"), "temporary", "…but not for ever")
        names.mx("name.test", (10, "10.0.0.1"), (20, "under_score.far.test"))
        names.a("under_score.far.test", "10.1.1.7")
        got = home.found("name.test")
        tap.same(got, [("10.1.1.7", "under_score.far.test")],
                 "an MX that is an address is no host; one with _ is")
        names.mx("first.test", (10, "broken2.test"), (20, "me.test"))
        names.behave("broken2.test", dns.SERVFAIL)
        tap.same(home.found("first.test"), "temporary",
                 "a better host than this one that cannot be found now")
        names.mx("empty.test", (10, "absent2.test"), (20, "me.test"))
        tap.same(home.found("empty.test"), "temporary",
                 "…or that has no address: not this host's mail to itself")


def local(home):
    """No stranger's record leads to this host."""
    with NameServer() as names:
        home.servers(names)
        for number, address in enumerate((
                "127.0.0.1", "127.255.0.1", "0.0.0.0", "0.1.2.3",
                "169.254.1.1", "224.0.0.1", "255.255.255.255")):
            names.mx(f"v4-{number}.test", (10, f"mx4-{number}.test"))
            names.a(f"mx4-{number}.test", address)
            tap.same(home.found(f"v4-{number}.test"), "no address",
                     f"{address} is not tried")
        for number, address in enumerate((
                "::", "::1", "fe80::1", "ff02::1", "::ffff:127.0.0.1",
                "::127.0.0.1", "64:ff9b::7f00:1", "::ffff:0.0.0.0")):
            names.mx(f"v6-{number}.test", (10, f"mx6-{number}.test"))
            names.aaaa(f"mx6-{number}.test", address)
            tap.same(home.found(f"v6-{number}.test"), "no address",
                     f"{address} is not tried")
        tap.same(home.found("x@[127.0.0.1]"), "no address",
                 "nor is a literal of that kind")
        tap.same(home.found("x@[10.1.1.1]"), [("10.1.1.1", "10.1.1.1")],
                 "another literal is")
        home.control("smtproutes", "v4-0.test:mx4-0.test:2525\n"
                     ".sub.test:[127.0.0.1]")
        tap.same(home.found("v4-0.test"), [("127.0.0.1", "mx4-0.test")],
                 "a route leads anywhere")
        tap.same(home.show("a.sub.test").get("by"), "route", "…and is named")
        home.control("smtproutes", "")


def bounds(home):
    with NameServer() as names:
        home.servers(names)
        for number in range(150):
            names.mx("many.test", (number, f"h{number}.many.test"))
            names.a(f"h{number}.many.test", f"10.2.{number}.1")
        got = home.found("many.test")
        tap.ok(got == [(f"10.2.{n}.1", f"h{n}.many.test")
                       for n in range(len(got))] and len(got) <= 20,
               "of 150 MX the best few are tried, got over TCP or not", got)
        names.mx("wide.test", (10, "w.test"), (20, "mx.far.test"))
        names.a("w.test", *(f"10.3.{n // 200}.{n % 200 + 1}"
                            for n in range(300)))
        far(names)
        got = home.found("wide.test")
        tap.ok(len(got) <= 20 and got[-1][1] == "mx.far.test",
               "a host with 300 addresses leaves room for the next", got)
        names.rr("soon.test", dns.MX, b"\0\x0a" + dns.encode("mx.far.test"),
                 ttl=0)
        tap.same(home.found("soon.test"), FAR, "a TTL of 0 is as good")
        names.rr("odd.test", dns.MX, b"\0\x0a" + dns.encode("mx.far.test"),
                 ttl=0xffffffff)
        tap.same(home.found("odd.test"), FAR, "so is one that is none")


def malformed(home):
    """Nonsense from the first server; the second knows. And nonsense alone."""
    pointer = b"\xc0\x0c"
    end = 12 + len(dns.encode("far.test")) + 4
    loop = bytes([0xc0 | (end + 14) >> 8, (end + 14) & 255])
    wrong = {
        "MX of one octet": dns.raw(dns.record(pointer, dns.MX, b"\0")),
        "MX without a name": dns.raw(dns.record(pointer, dns.MX, b"\0\x0a")),
        "a name that points at itself": dns.raw(
            dns.record(pointer, dns.MX, b"\0\x0a" + loop)),
        "an owner that points at itself": dns.raw(dns.record(
            bytes([0xc0, end]), dns.MX, b"\0\x0a" + pointer)),
        "a pointer out of the message": dns.raw(
            dns.record(pointer, dns.MX, b"\0\x0a\xff\xff")),
        "RDATA longer than the message": dns.raw(
            dns.record(pointer, dns.MX, b"\0\x0a\0")[:-1]),
        "one record too few": dns.counts_lie,
        "half a record": dns.cut(end + 9),
        "SERVFAIL": dns.SERVFAIL,
        "REFUSED": dns.REFUSED,
        "NOTIMP": dns.code(4),
        "FORMERR": dns.code(1),
        "octets behind the records": dns.padded(300),
        "an RCODE nobody knows": dns.code(13),
        "a lame server": dns.lame,
    }
    with NameServer() as bad, NameServer("::1") as good:
        far(bad)
        far(good)
        for name, function in wrong.items():
            bad.behave("far.test", function)
            home.servers(bad, good)
            tap.same(home.found("far.test"), FAR,
                     f"{name}: the second server is asked")
            home.servers(bad)
            tap.same(home.found("far.test"), "temporary",
                     f"{name}: temporary")


def truth(home):
    with NameServer() as names:
        home.servers(names)
        far(names)
        for name, function in {
                "answers to others before the true one": dns.spoofed,
                "truncated": dns.truncated,
                "FORMERR to EDNS": dns.no_edns(1),
                "NOTIMP to EDNS": dns.no_edns(4),
                "FORMERR to EDNS, a header alone": dns.header_only(1),
                "BADVERS to EDNS": dns.bad_version,
                "REFUSED to EDNS": dns.no_edns(5)}.items():
            names.behave("", function)
            start = time.monotonic()
            tap.same(home.found("far.test"), FAR, name)
            tap.ok(time.monotonic() - start < 2, "…without waiting")
        names.behave("", dns.truncated)
        names.asked.clear()
        home.found("far.test")
        tap.ok(any(query.is_tcp for query in names.asked),
               "what is truncated is asked for over TCP")
        names.behave("", dns.authentic)
        tap.same(home.show("far.test")["authentic"], True,
                 "AD from a listed server counts")
        names.behave("")
        tap.same(home.show("far.test")["authentic"], False, "no AD, no word")


def silence(home):
    """The first says nothing, or only what is not meant for us."""
    wrong = {"silent.test": dns.silent, "wrong-id.test": dns.wrong_id,
             "wrong-question.test": dns.wrong_question,
             "no-answer.test": dns.not_an_answer,
             "half-a-header.test": dns.cut(7),
             "header-alone.test": dns.cut(12)}
    with NameServer() as first, NameServer() as second:
        home.servers(first, second)
        for names in first, second:
            far(names)
            for name in wrong:
                names.mx(name, (10, "mx.far.test"))
        for name, function in wrong.items():
            first.behave(name, function)
        # each waits: all at one time
        with ThreadPoolExecutor(len(wrong)) as pool:
            found = dict(zip(wrong, pool.map(home.found, wrong)))
        for name in wrong:
            tap.same(found[name], FAR, f"{name}: the second server answers")
            tap.same((first.count(name), second.count(name)), (1, 1),
                     "…after the first, once")


def usage(home):
    for bad in ([], ["--xml", "a.test"]):
        tap.ended(home.run(*bad), 100, "usage", f"{bad}")
    tap.ended(home.run("a b.test"), 100, "not a domain", "no domain")


with tempfile.TemporaryDirectory(prefix="keepmail-dns.") as folder:
    os.chmod(folder, 0o755)
    os.mkdir(os.path.join(folder, "home"))
    home = Home(os.path.join(folder, "home"))
    for step in (order, local, bounds, malformed, truth, silence, usage):
        tap.case(step, home)
tap.done()
