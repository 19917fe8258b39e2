"""A case of tests/whole/installed.t: through queue-filter, with real users. Who runs
the programs, what is believed of where a message comes from, and what they may
touch."""

import os
import socket
import struct

import queuefile
from installed import as_user, run
from stage import gid, new_mail, queue_files, send, tap, who
from tap import wait_for

SCRIPT = """#!/bin/sh
id -un >%(out)s/who
cat %(queue)s >%(out)s/stolen 2>/dev/null
cat %(secrets)s >>%(out)s/stolen 2>/dev/null
cat %(mail)s >>%(out)s/stolen 2>/dev/null
grep -i "^NoNewPrivs" /proc/self/status >%(out)s/privileges
(echo "X-Filter: yes"; cat) | "$QMAILQUEUE"
"""


def restart(host, service):
    old = host.pid(service)
    run("svc", "-t", f"{host.scan}/{service}")
    wait_for(lambda: host.pid(service) not in (0, old))
    wait_for(lambda: host.log(service).rstrip().endswith("filters: 1")
             or "filters: 0" in host.log(service).rstrip()[-12:])


def held(host):
    """The envelope and the octets of the one message in the queue."""
    [path] = wait_for(lambda: queue_files(host))
    with open(path, "rb") as file:
        octets = file.read()
    return queuefile.envelope_of(octets), octets


def empty(host):
    run("svc", "-u", f"{host.scan}/local")
    wait_for(lambda: host.pid("local") and not queue_files(host))
    run("svc", "-d", f"{host.scan}/local")
    wait_for(lambda: not host.pid("local"))


def claim(path):
    """Submits a message with an origin that is not the caller's, traced."""
    envelope = (queuefile.record("F", b"me@client.test")
                + queuefile.record("P", bytes(4) + queuefile.text(""))
                + queuefile.record("O", struct.pack(">BI", 2, 0)
                                   + queuefile.text("192.0.2.1")
                                   + queuefile.text("") * 3
                                   + queuefile.text("root@example.org")
                                   + queuefile.text(""))
                + queuefile.record("T", queuefile.text("carol@example.org")
                                   + b"\0" + queuefile.text("")))

    def frame(kind, payload):
        return kind + struct.pack(">I", len(payload)) + payload
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(path)
        s.sendall(frame(b"Q", bytes(8) + b"\1"))
        answer = s.recv(100)
        s.sendall(frame(b"D", b"Subject: claim\n\nx\n") + frame(b"E", envelope))
        return (answer[:1] + s.recv(100)[:1]).decode()


def ask_retry(path):
    """Asks that a domain's mail is tried, as smtpd does for ETRN."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(path)
        s.sendall(b"W" + struct.pack(">I", 8) + b"far.test")
        return s.recv(100)[:1].decode()


def retrying(host):
    path = f"{host.home}/socket/submit"
    for name, wanted in (("nobody", "N"), ("_keep-filter", "N"),
                         ("_keep-smtpd", "A")):
        uid, own, groups = who(name)
        tap.same(as_user(uid, own, groups, ask_retry, path), wanted,
                 f"asked to try a domain's mail by {name}")
    tap.ok(wait_for(lambda: "retry: mail for far.test"
                    in host.log("queue-runner")), "the runner hears smtpd")
    tap.same(host.log("queue-runner").count("retry: mail"), 1,
             "and nobody else")


def through_filter(host):
    out = f"{host.home}/filter-out"
    os.mkdir(out)
    uid, own, _ = who("_keep-filter")
    os.chown(out, uid, own)
    empty(host)
    script = f"{host.home}/filter-script"
    mail = new_mail(host, "carol@example.org")[0]
    with open(script, "w") as file:
        file.write(SCRIPT % {"out": out, "queue": f"{host.home}/queue/*/*",
                             "secrets": f"{host.home}/users/*", "mail": mail})
    os.chmod(script, 0o755)
    host.control("filters", script + "\n")
    host.control("submitsocket", "filter\n")
    restart(host, "queue-filter")
    send(host, "carol@example.org")
    envelope, octets = held(host)
    smtpd = who("_keep-smtpd")[0]
    tap.same((envelope["origin"], envelope["uid"], envelope["client_address"]),
             (2, smtpd, "127.0.0.1"), "through the filter, smtpd is believed")
    tap.ok(octets.count(b"Received: ") == 1 and b"X-Filter: yes\n" in octets,
           "there is one Received field, and the filter's", octets)
    with open(f"{out}/who") as file:
        tap.same(file.read().strip(), "_keep-filter", "who ran the filter")
    with open(f"{out}/privileges") as file:
        tap.same(file.read().split()[-1], "1", "…without new privileges")
    tap.same(os.path.getsize(f"{out}/stolen"), 0,
             "…and it can read no queue file, no secret and no mail")
    empty(host)
    nobody, group, _ = who("nobody")
    for name, wanted in (("submit", nobody), ("filter", nobody)):
        got = as_user(nobody, group, [], claim, f"{host.home}/socket/{name}")
        tap.same(got, "GA", f"{name} takes mail of anybody")
        envelope, octets = held(host)
        tap.same((envelope["origin"], envelope["uid"], envelope["login"],
                  envelope["client_address"]), (1, wanted, "", ""),
                 "…whose claims are not believed")
        tap.ok(b"Received: (from uid %d)" % nobody in octets,
               "…nor that there is a trace field", octets)
        empty(host)
    retrying(host)
    os.unlink(f"{host.home}/control/submitsocket")
    os.unlink(f"{host.home}/control/filters")
    run("svc", "-u", f"{host.scan}/local")
    wait_for(lambda: host.pid("local"))
    tap.same(gid("_keep-filter"), os.stat(f"{host.home}/filter").st_gid,
             "filter/ is the filters' own")
