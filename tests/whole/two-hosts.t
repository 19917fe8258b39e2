#!/usr/bin/env python3
"""Mail between hosts by MX: two private instances, their names served by a local
dnsmasq; dead and refusing MX hosts; many recipients over one connection."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, skip_all, wait_for
from instance import Instance
from sink import Sink

DNSMASQ = shutil.which("dnsmasq", path=os.environ["PATH"] + ":/usr/sbin")
if not DNSMASQ:
    skip_all("dnsmasq is not installed")

tap = Tap()


def free_port(kind=socket.SOCK_DGRAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Names:
    """dnsmasq with the given options, on a free port."""

    def __init__(self, *options):
        self.folder = tempfile.mkdtemp(prefix="keepmail-dns.")
        os.chmod(self.folder, 0o755)
        for _ in range(5):
            self.port = free_port()
            self.process = subprocess.Popen(
                [DNSMASQ, "--keep-in-foreground", "--conf-file=/dev/null",
                 "--no-resolv", "--no-hosts", "--bind-interfaces",
                 "--listen-address=127.0.0.1", f"--port={self.port}",
                 "--user=", "--group=",
                 f"--pid-file={self.folder}/pid", "--local=/test/", *options],
                stderr=subprocess.PIPE)
            if wait_for(self.answers, 5):
                return
            self.process.kill()
            self.process.wait()
        raise RuntimeError("dnsmasq does not start")

    def answers(self):
        if self.process.poll() is not None:
            return False
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.2)
            client.sendto(b"\x12\x34\x01\x00\x00\x01\0\0\0\0\0\0\4test\0"
                          b"\0\x0f\0\1", ("127.0.0.1", self.port))
            try:
                return client.recv(512)[:2] == b"\x12\x34"
            except OSError:
                return False

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.process.stderr.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Rude(Sink):
    greeting = b"554 no mail here"


class Good(Sink):
    extensions = b"250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n"


def between_hosts():
    """Each host finds the other through MX; the port is the one thing that a
    test without root's ports must say by a route."""
    names = Names("--mx-host=one.test,mx.one.test,10",
                  "--mx-host=two.test,mx.two.test,10",
                  "--host-record=mx.one.test,127.0.0.1",
                  "--host-record=mx.two.test,127.0.0.1")
    try:
        servers = f"127.0.0.1:{names.port}"
        with Instance("--domain", "one.test", "--nameserver", servers) as one, \
                Instance("--domain", "two.test", "--nameserver", servers) as two:
            one.control("remoteport", f"{two.smtp_port}\n")
            two.control("remoteport", f"{one.smtp_port}\n")
            for host in (one, two):
                host.control("smtproutes", "")
                host.restart("remote", "queue-runner")
            client = one.submission()
            client.sendmail(one.address, [two.address],
                            "Subject: hello two\r\n\r\nfrom one\r\n")
            client.quit()
            got = two.wait_delivered(1)
            tap.ok(got and b"from one" in got[0], "one's mail arrives at two",
                   one.logs() + two.logs())
            client = two.submission()
            client.sendmail(two.address, [one.address],
                            "Subject: hello one\r\n\r\nfrom two\r\n")
            client.quit()
            got = one.wait_delivered(1)
            tap.ok(got and b"from two" in got[0], "two's mail arrives at one",
                   one.logs() + two.logs())
            for host in (one, two):
                tap.ok(host.wait_empty(), "its queue is empty", host.queued())
    finally:
        names.stop()


def preference_order():
    """First MX down, second refuses in its greeting, third takes it."""
    port = free_port(socket.SOCK_STREAM)
    names = Names("--mx-host=far.test,down.far.test,10",
                  "--mx-host=far.test,rude.far.test,20",
                  "--mx-host=far.test,good.far.test,30",
                  "--host-record=down.far.test,127.0.0.21",
                  "--host-record=rude.far.test,127.0.0.22",
                  "--host-record=good.far.test,127.0.0.23",
                  "--host-record=address-only.test,127.0.0.23")
    rude = Rude("127.0.0.22", port)
    good = Good("127.0.0.23", port)
    try:
        with Instance("--nameserver", f"127.0.0.1:{names.port}") as host:
            host.control("remoteport", f"{port}\n")
            host.restart("remote")
            client = host.submission()
            client.sendmail("a@host.test", ["b@far.test"],
                            "Subject: third\r\n\r\n.dots\r\n..\r\nend\r\n")
            wait_for(lambda: good.messages)
            tap.same(rude.connections, 1, "the second MX was asked")
            tap.same(len(good.messages), 1, "the third MX took the message")
            if good.messages:
                tap.ok(good.messages[0][2].endswith(
                    b"\r\n\r\n..dots\r\n...\r\nend\r\n"),
                    "leading dots are stuffed once", good.messages[0][2])
            tap.ok(host.wait_empty(), "the queue is empty", host.queued())

            client.sendmail("a@host.test", ["b@address-only.test"],
                            "Subject: no MX\r\n\r\nx\r\n")
            wait_for(lambda: len(good.messages) == 2)
            tap.same(len(good.messages), 2,
                     "a domain without MX is reached by its address")

            before = good.connections
            many = [f"user{n}@far.test" for n in range(300)]
            client.sendmail("a@host.test", many,
                            "Subject: three hundred\r\n\r\nx\r\n")
            wait_for(lambda: sum(len(m[1]) for m in good.messages) >= 302)
            tap.same(sum(len(m[1]) for m in good.messages[2:]), 300,
                     "300 recipients at one destination are all served")
            tap.same(len(set(r for m in good.messages[2:] for r in m[1])), 300,
                     "…each once")
            tap.ok(good.connections - before <= 1,
                   "…over one connection, new or still open",
                   good.connections - before)
            client.quit()
            tap.ok(host.wait_empty(), "the queue is empty", host.queued())
            if tap.failed:
                tap.note(host.logs())
    finally:
        names.stop()
        rude.close()
        good.close()


def never():
    """What can never be delivered bounces; what may yet be is kept."""
    names = Names("--mx-host=null.test,.,0",
                  "--dns-rr=nullmx.test,15,000000",
                  "--host-record=silent.test,127.0.0.31")
    try:
        with Instance("--nameserver", f"127.0.0.1:{names.port}") as host:
            port = free_port(socket.SOCK_STREAM)
            host.control("remoteport", f"{port}\n")
            host.restart("remote")
            client = host.submission()
            client.sendmail(host.address, ["x@nullmx.test"],
                            "Subject: null\r\n\r\nx\r\n")
            got = host.wait_delivered(1)
            tap.ok(got and b"5.1.10" in got[0],
                   "a null MX bounces at once", got or host.logs())
            client.sendmail(host.address, ["x@no-such-name.test"],
                            "Subject: no name\r\n\r\nx\r\n")
            got = host.wait_delivered(2)
            tap.ok(len(got) == 2 and any(b"5.1.2" in text for text in got),
                   "a domain that does not exist bounces at once",
                   got or host.logs())
            client.sendmail(host.address, ["x@silent.test"],
                            "Subject: later\r\n\r\nx\r\n")
            client.quit()
            kept = wait_for(lambda: [path for path in host.queued()
                                     if "/deferred/" in path
                                     or "/waiting/" in path])
            tap.ok(kept, "a host that does not answer defers the message",
                   host.logs())
            tap.same(len(host.delivered()), 2, "…and does not bounce it")
    finally:
        names.stop()


for step in (between_hosts, preference_order, never):
    tap.case(step)
tap.done()
