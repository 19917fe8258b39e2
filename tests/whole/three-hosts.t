#!/usr/bin/env python3
"""Three hosts, each at port 25 of an address of its own, and real name servers: nsd has
the zones, unbound asks it and is asked by all. Two of the hosts are keepmail, one of
them reached by IPv6 alone; the third is a sink."""

import fcntl
import os
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from installed import INSIDE, enter
from instance import Instance
from sink import Sink
from tap import Tap, skip_all, wait_for
from unpacked import Missing, fetch, libraries, unpacked

if os.geteuid() != 0:
    skip_all("it needs root")
if INSIDE not in os.environ:
    for package in ("nsd", "unbound"):      # inside there is no network
        fetch(package)
FOLDER, IS_SEPARATE = enter()
if not IS_SEPARATE:
    skip_all("no namespaces can be made")
tap = Tap()

ONE, TWO, THREE = "10.9.0.1", "10.9.0.2", "fd09::3"
NOBODY, NOBODY6 = "10.9.0.4", "fd09::4"     # up, and nothing listens
NSD, RESOLVER = 5300, 53
BIG = 70
ZONE = f"""$TTL 300
@ SOA ns.test. admin.test. 1 3600 600 86400 60
  NS ns
ns A 127.0.0.1
one MX 10 mx.one
mx.one A {ONE}
two MX 10 mx.two
mx.two A {TWO}
three MX 10 mx.three
mx.three AAAA {THREE}
prefer MX 20 mx.two
prefer MX 10 down
down A {NOBODY}
down AAAA {NOBODY6}
both MX 10 mx.both
mx.both A {TWO}
mx.both AAAA {NOBODY6}
null MX 0 .
alias CNAME two
bare A {TWO}
later A {TWO}
empty TXT "neither MX nor address"
""" + "".join(f"big MX {5 if n == 66 else 10} "
              + ("mx.two" if n == 66 else
                 f"a-host-with-a-long-name-number-{n}.big") + "\n"
              for n in range(BIG))
NSD_SETTINGS = f"""server:
  ip-address: 127.0.0.1@{NSD}
  username: ""
  chroot: ""
  zonesdir: "{FOLDER}"
  database: ""
  pidfile: "{FOLDER}/nsd.pid"
  xfrdfile: "{FOLDER}/xfrd.state"
  xfrdir: "{FOLDER}"
  zonelistfile: "{FOLDER}/zone.list"
  hide-version: yes
remote-control:
  control-enable: no
zone:
  name: test
  zonefile: test.zone
zone:
  name: broken
  zonefile: no-such.zone
"""
UNBOUND_SETTINGS = f"""server:
  interface: 127.0.0.1@{RESOLVER}
  do-daemonize: no
  use-syslog: no
  username: ""
  chroot: ""
  directory: "{FOLDER}"
  pidfile: "{FOLDER}/unbound.pid"
  do-not-query-localhost: no
  module-config: "iterator"
  local-zone: "test." nodefault
  num-threads: 1
  infra-host-ttl: 1
  infra-keep-probing: yes
remote-control:
  control-enable: no
stub-zone:
  name: "test."
  stub-addr: 127.0.0.1@{NSD}
stub-zone:
  name: "broken."
  stub-addr: 127.0.0.1@{NSD}
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@5301
"""


# --- addresses and name servers

def add_addresses():
    """As ip addr add … dev lo does, which a small system does not have."""
    SIOCSIFADDR = 0x8916
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for number, address in enumerate((ONE, TWO, NOBODY)):
            fcntl.ioctl(control, SIOCSIFADDR, struct.pack(
                "16sHH4s8x", b"lo:%d" % number, socket.AF_INET, 0,
                socket.inet_aton(address)))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:
        for address in (THREE, NOBODY6):
            fcntl.ioctl(control, SIOCSIFADDR, struct.pack(
                "16sIi", socket.inet_pton(socket.AF_INET6, address), 128,
                socket.if_nametoindex("lo")))


def free_ports():
    """Here, everybody may listen at port 25: instances run as an ordinary user."""
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "w") as file:
        file.write("1\n")


def query(port, name, kind=15, octets=512):
    """(RCODE, TC, octets of the answer) over UDP, or None."""
    labels = b"".join(bytes([len(part)]) + part.encode()
                      for part in name.split("."))
    edns = b"\0\0\x29" + struct.pack("!HIH", octets, 0, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        try:
            client.sendto(b"\x12\x34\x01\0\0\1\0\0\0\0\0\1" + labels + b"\0"
                          + struct.pack("!HH", kind, 1) + edns,
                          ("127.0.0.1", port))
            answer = client.recv(65535)
        except OSError:
            return None
    return answer[3] & 15, bool(answer[2] & 2), len(answer)


class NameServer:
    """nsd or unbound."""

    def __init__(self, name, settings, port, *options):
        root = unpacked(name, f"/usr/sbin/{name}")
        path = os.path.join(FOLDER, f"{name}.conf")
        with open(path, "w") as file:
            file.write(settings)
        self.log = open(os.path.join(FOLDER, f"{name}.log"), "wb")
        self.process = subprocess.Popen(
            [f"{root}/usr/sbin/{name}", "-d", "-c", path, *options],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env=libraries(root))
        if not wait_for(lambda: query(port, "one.test"), 20):
            self.end()
            with open(self.log.name) as file:
                raise RuntimeError(f"{name} does not answer: {file.read()}")

    def end(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


# --- hosts

def listen(host, address):
    """Has the host's SMTP server listen at port 25 of its address."""
    path = os.path.join(host.home, "service/settings")
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(text.replace("SMTP_LISTEN=127.0.0.1",
                                f"SMTP_LISTEN={address}", 1))
    with open(os.path.join(host.home, "port/smtp"), "w") as file:
        file.write("25\n")
    host.svc("-t", "smtpd")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def answers():
        with socket.socket(family) as client:
            client.settimeout(5)
            try:
                client.connect((address, 25))
                return client.recv(4) == b"220 "
            except OSError:
                return False
    if not wait_for(answers, 20):
        raise RuntimeError(f"nobody listens at {address}\n" + host.logs())


def send(host, to, subject):
    client = host.submission()
    client.sendmail(host.address, [to], f"Subject: {subject}\r\n\r\nx\r\n")
    client.quit()


def between(one, three):
    """There by IPv6, back by IPv4."""
    send(one, three.address, "to three")
    got = three.wait_delivered(1)
    tap.ok(got and b"Subject: to three" in got[0], "one reaches three, which "
           "has an AAAA alone", one.logs())
    send(three, one.address, "to one")
    got = one.wait_delivered(1)
    tap.ok(got and b"Subject: to one" in got[0], "three reaches one, which has "
           "an A alone", three.logs())


def reached(one, two):
    for domain, how in (
            ("two.test", "an MX"),
            ("prefer.test", "the second MX, as nobody listens at the first"),
            ("both.test", "the A of an MX at whose AAAA nobody listens"),
            ("alias.test", "a CNAME to a domain with an MX"),
            ("bare.test", "an address without an MX"),
            ("big.test", "an MX among so many that the answer comes by TCP")):
        send(one, f"b@{domain}", domain)
        tap.ok(wait_for(lambda: two.count(domain) == 1, 20), f"by {how}",
               one.logs())


def truncated():
    small, large = query(NSD, "big.test"), query(RESOLVER, "big.test", 15,
                                                 1232)
    tap.ok(small and small[1], "nsd cuts the large answer", small)
    tap.ok(large and large[1], "and so does unbound at 1232 octets", large)


def failed(one):
    for number, (domain, status, why) in enumerate((
            ("absent.test", b"5.1.2", "a domain that does not exist"),
            ("null.test", b"5.1.10", "a null MX"),
            ("empty.test", b"5.", "a name with neither MX nor address")), 2):
        send(one, f"b@{domain}", domain)
        got = one.wait_delivered(number)
        tap.ok(len(got) == number and any(
            status in text and domain.encode() in text for text in got),
            f"{why} bounces", one.logs())


def put_off(one):
    count = len(one.delivered())
    for domain in ("broken", "prefer.broken"):
        tap.same((query(RESOLVER, domain) or (None,))[0], 2,
                 f"unbound says SERVFAIL of {domain}")
        before = one.log("queue-runner").count(": deferral: 4.4.3")
        send(one, f"b@{domain}", domain)
        tap.ok(wait_for(lambda: one.log("queue-runner").count(
            ": deferral: 4.4.3") == before + 1, 30),
            f"mail for {domain} is kept", one.logs())
    tap.ok(wait_for(lambda: sum("/deferred/" in path or "/waiting/" in path
                                for path in one.queued()) == 2, 20),
           "…and lies in the queue", one.queued())
    tap.same(len(one.delivered()), count, "nothing of it bounced")


def stopped(one, two, nsd):
    """The zone's server stops: what unbound still knows holds, the rest waits;
    when it is back, everything goes."""
    nsd.end()
    count = len(one.delivered())
    send(one, "b@later.test", "later")
    send(one, "b@two.test", "known")
    tap.ok(wait_for(lambda: two.count("known") == 1, 20),
           "a domain whose records still hold is reached without its server",
           one.logs())
    nsd = NameServer("nsd", NSD_SETTINGS, NSD)

    def arrives():
        one.svc("-a", "queue-runner")   # do not wait for the next attempt
        return two.count("later") == 1
    tap.ok(wait_for(arrives, 60, 0.5), "mail for a domain that could not be "
           "asked for goes when the server is back", one.logs())
    tap.same(len(one.delivered()), count, "…and did not bounce")
    nsd.end()


def main():
    try:
        add_addresses()
        free_ports()
    except OSError as error:
        skip_all(f"the network cannot be set up: {error}")
    with open(os.path.join(FOLDER, "test.zone"), "w") as file:
        file.write(ZONE)
    with open("/etc/resolv.conf", "w") as file:
        file.write("nameserver 127.0.0.1\n")
    try:
        nsd = NameServer("nsd", NSD_SETTINGS, NSD)
        unbound = NameServer("unbound", UNBOUND_SETTINGS, RESOLVER)
    except Missing as why:
        skip_all(str(why))
    two = Sink(TWO, 25)
    with Instance("--domain", "one.test") as one, \
            Instance("--domain", "three.test") as three:
        listen(one, ONE)
        listen(three, THREE)
        tap.case(truncated)
        tap.case(between, one, three)
        tap.case(reached, one, two)
        tap.case(failed, one)
        tap.case(put_off, one)
        tap.case(stopped, one, two, nsd)
    two.close()
    unbound.end()


tap.case(main)
tap.done()
