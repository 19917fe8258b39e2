#!/usr/bin/env python3
"""A queue without room says so at MAIL, before anything is sent: too little of
the disk, too few inodes, too many messages that nobody takes. Nothing accepted
is lost, reports go out all the same, and it takes mail again by itself. The disk
is a small one in a mount namespace of the test's own."""

import os
import re
import smtplib
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance

INSIDE = "KEEPMAIL_TEST_MOUNTS"
MIB = 1 << 20
# queuefree, queuereserve: others must leave 24 MiB, reports 8; 300 inodes.
SETTINGS = {"queuefree": 8, "queuereserve": 16, "queuefreeinodes": 300,
            "databytes": 20 * MIB}
DISK = {"size": "64m", "nr_inodes": "2000", "mode": "0755"}

if INSIDE not in os.environ and os.geteuid() == 0:
    unshare = ["unshare", "--mount", "--propagation", "private"]
    able = subprocess.run(unshare + ["mount", "-t", "tmpfs", "x", "/mnt"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0
    if able:
        os.environ[INSIDE] = "yes"
        os.execvp("unshare", unshare + [sys.executable,
                                        os.path.abspath(__file__)])

tap = Tap()


def mail(client, *options):
    """The reply to MAIL, as code and enhanced code; the transaction ends."""
    code, words = client.mail("ann@client.test", options)
    client.rset()
    return code, words.decode().split(" ")[0]


NO_OCTETS = r"no room on the queue's disk: \d+ KiB are free, \d+ stay so"
NO_INODES = r"no room on the queue's disk: \d+ inodes are free, \d+ stay so"
ROOM, NO_ROOM, TOO_BIG = (250, "2.1.0"), (452, "4.3.1"), (552, "5.3.4")


def asked(*options):
    with host.smtp() as client:
        client.ehlo()
        return mail(client, *options)


def send(text="x"):
    """The reply to the end of a message that was let in."""
    with host.smtp() as client:
        client.ehlo()
        code = client.mail("ann@client.test")[0]
        if code == 250:
            client.rcpt(host.address)
            code = client.data(f"Subject: x\r\n\r\n{text}\r\n")[0]
        if code == 250:
            sent.append(text)
        return code


def log_lines(pattern):
    return re.findall(pattern, host.log("queue-inject"))


def service(name, option):
    """Stops (-d) or starts (-u) a service, and waits until it is so."""
    subprocess.run(["svc", option, os.path.join(host.home, "service", name)],
                   check=True)
    starts = host.starts(name)
    wait_for(lambda: host.pid(name) == 0 if option == "-d"
             else host.starts(name) > starts or host.pid(name), 10)


def refuses(why, status):
    """While there is no room: at each door, and one line in the log."""
    tap.same({asked() for _ in range(5)}, {NO_ROOM}, "MAIL is refused for now")
    tap.ended(host.run("sendmail", "bob@remote.test", input=b"x\n"), 75,
              rf"^sendmail: the queue did not take the message: {why}$",
              "sendmail")
    tap.ended(host.run("queue-submit", input=b"x\n"), status,
              f"^queue-submit: {why}$", "queue-submit")
    closed.append(why)
    lines = log_lines(r"refuses submissions: (.*)")
    tap.ok(len(lines) == len(closed) and all(map(re.fullmatch, closed, lines)),
           "the log says so once", lines)


def recovers(what):
    """By itself, soon after there is room again."""
    tap.ok(wait_for(lambda: len(log_lines("submissions are taken again"))
                    == len(closed), 10), f"{what}: the log says so once",
           host.log("queue-inject"))
    tap.same((asked(), send()), (ROOM, 250), "and mail is taken again")


def nothing_lost():
    host.wait_delivered(len(sent))
    tap.ok(host.wait_empty(), "nothing is left in the queue", host.queued())
    texts = [text.decode() for text in host.contents()]
    tap.ok(len(texts) == len(sent),
           f"the {len(sent)} accepted messages arrived, once each",
           "\n\n".join(text[:1500] for text in texts))


# --- the cases ---------------------------------------------------------------

def free():
    disk = os.statvfs(host.queue)
    return disk.f_bavail * disk.f_frsize


def fill(leave):
    """A file that leaves so many octets free."""
    fd = os.open(ballast, os.O_WRONLY | os.O_CREAT, 0o600)
    os.posix_fallocate(fd, 0, os.fstat(fd).st_size + free() - leave)
    os.close(fd)


def sizes():
    """What MAIL says of a message's size."""
    with host.smtp() as client:
        client.ehlo()
        tap.same(client.esmtp_features.get("size"), str(20 * MIB),
                 "EHLO says how much is taken")
        tap.same([mail(client, f"SIZE={size}")
                  for size in (0, 20 * MIB, 20 * MIB + 1, 10 ** 19)],
                 [ROOM, ROOM, TOO_BIG, TOO_BIG],
                 "a message that says it is larger is refused at MAIL")


def large():
    """There is room, but not for this one."""
    fill(30 * MIB)
    with host.smtp() as client:
        client.ehlo()
        tap.same([mail(client, f"SIZE={size * MIB}") for size in (1, 10, 1)],
                 [ROOM, NO_ROOM, ROOM],
                 "what is larger than the room is refused at MAIL")
    text = "\r\n".join(["x" * 998] * (10 * MIB // 1000))
    tap.same((send(text), send()), (452, 250),
             "and after the content, if it did not say so before")
    os.unlink(ballast)


def full():
    bounced()
    fill(12 * MIB)
    refuses(NO_OCTETS, 53)
    report_goes_out()
    tap.same(asked(), NO_ROOM, "there is still no room for others")
    os.unlink(ballast)
    recovers("room on the disk")


def full_for_all():
    """Not even for reports: they wait, and are not lost."""
    bounced()
    fill(4 * MIB)
    tap.same(asked(), NO_ROOM, "a disk fuller than reports may fill it")
    closed.append(NO_OCTETS)
    service("local", "-u")
    tap.ok(wait_for(lambda: re.search(
        r"report of msg \w+: no room", host.log("queue-runner")), 20),
        "the report has no room either")
    os.unlink(ballast)
    sent.append("report")
    recovers("room on a fuller disk")


def inodes():
    bounced()
    folder = os.path.join(host.queue, "ballast")
    os.mkdir(folder)
    left = os.statvfs(host.queue).f_favail
    for number in range(left - 200):
        os.close(os.open(f"{folder}/{number}", os.O_CREAT | os.O_WRONLY))
    refuses(NO_INODES, 53)
    report_goes_out()
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    os.rmdir(folder)
    recovers("inodes")


def bounced():
    """A message that will fail once `local` runs again."""
    host.wait_empty()  # what is in hand when `local` ends may come twice
    service("local", "-d")
    run = host.run("sendmail", "-f", host.address, f"nobody-here@{host.domain}",
                   input=b"Subject: fails\n\nx\n")
    tap.ended(run, 0, "", "a message that cannot be delivered is queued")


def report_goes_out():
    service("local", "-u")
    before = len(sent)
    sent.append("report")
    tap.ok(len(host.wait_delivered(before + 1)) > before,
           "a report is queued and delivered meanwhile", host.logs())


def incoming():
    service("queue-runner", "-d")
    codes = [send() for _ in range(7)]
    tap.same(codes, [250] * 5 + [452] * 2,
             "five messages are taken that nobody takes on")
    # a refused message may be there for a moment too
    refuses(r"no room in the queue: [56] messages wait for queue-runner", 71)
    service("queue-runner", "-u")
    recovers("queue-runner takes them")


def transactions():
    """A transaction holds its place from MAIL on, until it ends."""
    host.control("concurrencyinject", "2\n")
    host.restart("queue-inject")
    clients = [host.smtp() for _ in range(3)]
    for client in clients:
        client.ehlo()
    tap.same([client.mail("ann@client.test")[0] for client in clients],
             [250, 250, 452], "two transactions at one time")
    clients[0].rset()
    tap.ok(wait_for(lambda: clients[2].mail("ann@client.test")[0] == 250, 10),
           "RSET gives the place of one to another")
    clients[1].close()
    tap.ok(wait_for(lambda: clients[0].mail("ann@client.test")[0] == 250, 10),
           "and so does a client that goes away")
    for client in clients:
        client.close()
    os.unlink(host.control("concurrencyinject", ""))
    host.restart("queue-inject")


def unreachable():
    service("queue-inject", "-d")
    tap.same(asked(), (451, "4.3.0"), "without queue-inject there is no answer")
    service("queue-inject", "-u")
    tap.ok(wait_for(lambda: asked() == ROOM, 10), "until it is back")


# sent: accepted messages, reports among them; closed: why, each time.
host, sent, closed = Instance(), [], []
ballast = None
with host:
    for name, value in SETTINGS.items():
        host.control(name, f"{value}\n")
    if INSIDE in os.environ:
        host.stop()
        owner = os.stat(host.queue)
        options = ",".join(f"{key}={value}" for key, value in DISK.items())
        subprocess.run(["mount", "-t", "tmpfs", "-o",
                        f"{options},uid={owner.st_uid},gid={owner.st_gid}",
                        "keepmail", host.queue], check=True)
        host.start()
        ballast = os.path.join(host.queue, "ballast")
        for case in (sizes, large, full, inodes, full_for_all):
            tap.case(case)
    else:
        host.restart("queue-inject")
        tap.case(sizes)
        tap.skip("a full disk", "needs root and a mount namespace")
    host.control("incomingmax", "5\n")
    host.restart("queue-inject")
    for case in (incoming, transactions, unreachable, nothing_lost):
        tap.case(case)
    if tap.failed:
        tap.note(host.logs())
    if INSIDE in os.environ:
        host.stop()
        subprocess.run(["umount", "-l", host.queue], check=True)
tap.done()
