#!/usr/bin/env python3
"""selftest sends a message through all of a private keepmail, fetches and deletes
it, and says which step fails; control-check speaks JSON."""

import os
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from findings import Findings, programs
from instance import Instance
from tap import Tap, wait_for

tap = Tap()
STEPS = ["submission", "TLS", "login", "submitted", "queue", "pop3s", "fetched"]


def selftest(host, *words, password=None):
    return host.run("selftest", "--account", host.address, *words,
                    input=(password or host.password).encode() + b"\n")


def comes_through(host):
    with host.submission() as client:
        client.sendmail("a@client.test", [host.address],
                        "Subject: another\r\n\r\nstays\r\n")
    host.wait_delivered(1)
    run = Findings(selftest(host, "--json"))
    tap.same((run.status, [f["subject"] for f in run.list]), (0, STEPS),
             "a message comes through, step by step")
    tap.ok(all(isinstance(f["took_ms"], int) and 0 <= f["took_ms"] < 60000
               for f in run.list), "each step was timed", run.text)
    tap.same((run.of("TLS"), run.whole["result"]), (["warn"], "warn"),
             "a certificate that nobody knows is a warning")
    left = host.contents()
    tap.ok(len(left) == 1 and b"Subject: another" in left[0],
           "it is deleted, and nothing else", left)
    tap.ok(host.wait_empty(), "the queue is empty")
    run = selftest(host)
    lines = run.stdout.decode().splitlines()
    tap.ok(run.returncode == 0 and lines[0].startswith("ok      submission: ")
           and lines[-1] == "5 ok, 2 warn, 0 FAIL", "told in lines", lines)


def by_file(host):
    path = host.home + "/secrets/selftest"
    with open(path, "w") as file:
        file.write(f"{host.address}:{host.password}\n")
    os.chmod(path, 0o600)
    host.give(path)
    tap.same(Findings(host.run("selftest", "--json")).status, 0,
             "the account of secrets/selftest")
    os.chmod(path, 0o644)
    tap.ended(host.run("selftest"), 111, "others could read", "an open file")
    os.unlink(path)
    tap.ended(host.run("selftest"), 111, "expected a line ADDRESS:PASSWORD",
              "no account")
    path = host.home + "/password"
    with open(path, "w") as file:
        file.write(host.password + "\n")
    host.give(path)
    tap.same(Findings(selftest(host, "--json", "--password-file", path,
                               password="nothing")).status, 0,
             "a file with the password")


def left_behind(host):
    """What an earlier test left is deleted when it is an hour old."""
    for mark in ("1000000000-0", "4000000000-0"):
        with host.submission() as client:
            client.sendmail("a@client.test", [host.address], "Subject: "
                            f"{mark}\r\nX-Keepmail-Selftest: {mark}\r\n\r\nx"
                            "\r\n")
    host.wait_delivered(3)
    tap.same(selftest(host).returncode, 0, "with older ones there")
    left = b"".join(host.contents())
    tap.ok(b"Subject: 1000000000" not in left
           and b"Subject: 4000000000" in left, "the oldest is gone", left)


def up(host, service):
    """Starts a service and waits until it answers."""
    before = host.starts(service)
    host.svc("-u", service)
    wait_for(lambda: host.starts(service) > before)


def fails(host):
    run = Findings(selftest(host, "--json", password="wrong"))
    tap.ok((run.status, run.list[-1]["subject"], run.of("login"))
           == (1, "login", ["fail"]) and "user-passwd" in run.mend("login")[0]
           and b"wrong" not in run.text.replace(b"wrong name", b""),
           "a wrong password ends it there, and is not told", run.text)
    host.svc("-d", "local")
    run = Findings(selftest(host, "--json", "--timeout", "3"))
    tap.ok((run.status, run.of("queue")) == (1, ["fail"])
           and not run.of("fetched"), "a message that stays in the queue",
           run.text)
    tap.ok("queue-delete" in run.mend("queue")[0], "and how to take it out")
    up(host, "local")
    tap.ok(host.wait_empty(), "later it comes")
    host.svc("-d", "tls-client")
    run = Findings(selftest(host, "--json"))
    tap.ok((run.status, run.of("TLS")) == (1, ["fail"])
           and "tls-client" in run.mend("TLS")[0], "without TLS it ends",
           run.text)
    up(host, "tls-client")
    host.svc("-d", "pop3s")
    run = Findings(selftest(host, "--json"))
    tap.ok((run.status, run.of("queue"), run.of("pop3s"))
           == (1, ["ok"], ["fail"]), "nobody answers at POP3", run.text)
    host.svc("-u", "pop3s")


def strangers(host):
    """A server that says what it likes."""
    path = host.home + "/port/submission.bound"
    with open(path) as file:
        true = file.read()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        for text in (b"220 x\x1b[2J\r\n500 \x1b[31m\r\n", b"", b"\0" * 9000):
            with open(path, "w") as file:
                file.write(f"{listener.getsockname()[1]}\n")

            def serve():
                try:
                    with listener.accept()[0] as client:
                        client.settimeout(20)
                        client.sendall(text)
                        client.shutdown(socket.SHUT_WR)
                        while client.recv(4096):
                            pass
                except OSError:
                    pass  # it went away

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            run = selftest(host)
            thread.join(30)
            tap.ok(run.returncode == 1 and b"\x1b" not in run.stdout
                   and b"FAIL    submission: " in run.stdout,
                   f"a server that says {text[:12]}", run.stdout)
    for text in ("none\n", "99999\n", ""):
        with open(path, "w") as file:
            file.write(text)
        tap.ended(selftest(host), 111, "does not run", f"port {text!r}")
    with open(path, "w") as file:
        file.write(true)


def wrong_calls(host):
    for words in (("x",), ("--account",), ("--timeout", "0"),
                  ("--timeout", "10x"), ("--timeout", "601"), ("--x",),
                  ("--password-file", "/dev/null")):
        tap.ended(host.run("selftest", *words), 100, "^selftest: usage",
                  f"selftest {words}")
    tap.ended(host.run("selftest", "--account", host.address, "--host",
                       "localhost", input=b"x\n"), 111, "not an IP address",
              "a host that is no address")


def control_check(host):
    run = Findings(host.run("control-check", "--json"))
    tap.same((run.status, run.faults()), (0, []),
             "control-check --json: nothing is wrong")
    host.control("databytes", '1"0\x1b\n')
    host.control("databites", "1\n")
    run = Findings(host.run("control-check", "--json"))
    tap.ok(run.status == 1 and run.results() == ["fail", "warn"]
           and "databytes line 1: expected a number" in
           run.list[-1]["text"], "…and what is", run.text)


def set_up(host, tools):
    return subprocess.run(
        [tools + "/setup", "--json", "--private", "--loopback", "--programs",
         tools, "--user", host.address, host.domain], cwd="/",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=120, **host.as_owner())


def set_up_again(host):
    """setup for what runs: nothing changes, and the services answer."""
    tools = programs(os.path.join(host.folder, "programs"))
    done = Findings(set_up(host, tools))
    tap.ok(done.status == 0 and done.of("services") == ["ok"]
           and done.of("account") == ["ok"]
           and done.of(f"port {host.smtp_port}") == ["ok"]
           and b"answers: 220" in done.text, "setup while it runs", done.text)
    tap.same(selftest(host).returncode, 0, "and all goes on")
    host.svc("-d", "resolve")
    again = Findings(set_up(host, tools))
    tap.same(again.of("services"), ["warn"], "a service that is down")
    up(host, "resolve")


def main():
    with Instance() as host:
        for case in (set_up_again, comes_through, by_file, left_behind, fails, strangers,
                     wrong_calls, control_check):
            tap.case(case, host)


tap.case(main)
tap.done()
