#!/usr/bin/env python3
"""A user with a shell and a .qmail of his own does his worst: he harms his own
mail, and that of nobody else."""

import glob
import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance

tap = Tap()

# What a command of a .qmail file may find in its environment.
NAMES = {"DEFAULT", "DSN_ENVID", "DSN_NOTIFY", "DSN_ORCPT", "DSN_RET",
         "DTLINE", "EXT", "EXT2", "EXT3", "EXT4", "HOME", "HOST",
         "HOST2", "HOST3", "HOST4", "KEEPMAIL", "LOCAL", "LOGNAME",
         "NEWSENDER", "PATH", "PWD", "RECIPIENT", "RPLINE", "SENDER", "SHELL",
         "UFLINE", "USER"}

def home_of(host):
    return os.path.dirname(host.maildir)


def write(host, name, text, mode=0o600):
    path = os.path.join(home_of(host), name)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)
    host.give(path)
    return path


def address(host, extension=None):
    local, domain = host.address.split("@")
    return f"{local}{'-' + extension if extension else ''}@{domain}"


def send(host, *recipients, sender="ann@client.test"):
    """Sends a message; the code of the last answer."""
    client = host.smtp()
    try:
        client.ehlo()
        client.mail(sender)
        for recipient in recipients:
            code, _ = client.rcpt(recipient)
            if code != 250:
                return code
        return client.data(b"Subject: x\r\n\r\nx\r\n")[0]
    finally:
        client.close()


def what_a_command_finds(host):
    write(host, ".qmail-look", "|ls /proc/self/fd > fds; env -0 > env; "
          "ls /proc/$PPID/fd > parent 2>&1; echo > done\n")
    send(host, address(host, "look"))
    home = home_of(host)
    wait_for(lambda: os.path.exists(os.path.join(home, "done")))

    def read(name):
        with open(os.path.join(home, name)) as file:
            return file.read()
    # one more: the folder that ls itself reads
    tap.same(read("fds").split(), ["0", "1", "2", "3"],
             "a command has no descriptor but 0, 1 and 2")
    names = {entry.split("=")[0] for entry in read("env").split("\0") if entry}
    tap.same(names - NAMES, set(), "…and no variable that is not its own")
    tap.ok("denied" in read("parent"),
           "…and cannot look at the descriptors of what started it",
           read("parent"))


def closed_folder_on_the_way(host):
    way = os.path.join(host.folder, "way")
    maildir = os.path.join(way, "own", "Maildir")
    for name in ("tmp", "new", "cur"):
        os.makedirs(os.path.join(maildir, name))
    for folder, _, _ in os.walk(os.path.join(way, "own")):
        host.give(folder)
    os.chmod(way, 0o711)
    write(host, ".qmail-way", maildir + "/\n")
    send(host, address(host, "way"))
    tap.same(len(host.wait_delivered(1, maildir=maildir)), 1,
             "a folder on the way to a Maildir need not be readable")


def no_instructions(host):
    """Names that are no files of instructions neither hang nor deliver."""
    home = home_of(host)
    os.mkfifo(os.path.join(home, ".qmail-fifo"), 0o600)
    host.give(os.path.join(home, ".qmail-fifo"))
    os.symlink(os.path.join(home, ".qmail-fifo"),
               os.path.join(home, ".qmail-link"))
    os.symlink("/dev/zero", os.path.join(home, ".qmail-device"))
    os.mkdir(os.path.join(home, ".qmail-folder"))
    write(host, ".qmail-open", "./Maildir/\n", 0o666)
    for name in ("fifo", "link", "device", "folder", "open"):
        tap.same(send(host, address(host, name)) // 100, 4,
                 f".qmail-{name} is no file of instructions: later")
    big = write(host, ".qmail-big", "")
    os.truncate(big, 1 << 40)
    send(host, address(host, "big"))
    tap.ok(wait_for(lambda: "larger_than" in host.log("queue-runner")),
           "a file of a terabyte is not read", host.logs())


def out_of_the_home(host):
    """Links that lead elsewhere, in the home and in a Maildir, are not followed."""
    home = home_of(host)
    out = os.path.join(host.folder, "out")
    for name in ("tmp", "new", "cur"):
        os.makedirs(os.path.join(out, "M", name))
    for folder, _, _ in os.walk(out):
        host.give(folder)
    os.symlink(out, os.path.join(home, "way"))
    os.symlink(os.path.join(out, "box"), os.path.join(home, "box"))
    os.makedirs(os.path.join(home, "L"))
    host.give(os.path.join(home, "L"))
    for name in ("tmp", "new", "cur"):
        os.symlink(os.path.join(out, "M", name), os.path.join(home, "L", name))
    for number, line in enumerate(("./way/M/", "./way/box", "./box", "./L/",
                                   "/dev/null", "/dev/shm/../null")):
        write(host, f".qmail-out{number}", line + "\n")
        send(host, address(host, f"out{number}"))
        tap.ok(wait_for(lambda: re.search(
            rf"deferral: 4\.\S*{re.escape(line.lstrip('.'))}:",
            host.log("queue-runner"))), f"{line} is not delivered to",
            host.log("queue-runner"))
    found = [name for _, _, names in os.walk(out) for name in names]
    tap.same(found, [], "…and nothing lies where they lead")
    os.chmod(home, 0o777)
    write(host, ".qmail-all", "./Maildir/\n")
    send(host, address(host, "all"))
    tap.ok(wait_for(lambda: "written_by_everybody" in host.log("queue-runner")),
           "nothing goes into a home that everybody may write into",
           host.log("queue-runner"))
    os.chmod(home, 0o755)


def many_forwards(host):
    """Who sends each message on to many, one of which is again himself."""
    write(host, ".qmail-bomb-default",
          "".join(f"&{address(host, f'bomb-{n}')}\n" * 3 for n in range(2)))
    def idents():
        return {os.path.basename(path) for path in host.queued()}
    waiting = idents()
    send(host, address(host, "bomb-x"), sender=host.address)
    host.wait_delivered(4)
    tap.ok(wait_for(lambda: idents() <= waiting),
           "mail that goes round comes to an end", host.queued())
    tap.same(len(host.delivered()), 4, "…with a report for each end")


HARMFUL = (
    ("endless", "|while :; do sleep 1; done", "did_not_end_within_2_seconds"),
    ("herd", "|for i in 1 2 3 4 5; do sleep 600 & done; wait",
     "did_not_end_within_2_seconds"),
    ("flood", "|yes", "wrote_more_than_"),
    ("eater", "|head -c 200m /dev/zero | tail -c 150m",
     "failed_for_now_.*memory"),
)


def harmful_commands(host):
    """What is wrong with each is said, and none has more than it may."""
    host.control("timeoutprogram", "2\n")
    host.control("programmemory", "67108864\n")
    # local too, which may still hold a child with the settings from before
    host.restart("warden", "local")
    for name, command, _ in HARMFUL:
        write(host, f".qmail-{name}", command + "\n")
        send(host, address(host, name))
    # these two do nothing wrong: they do not read, and leave somebody behind
    write(host, ".qmail-blind", "|exec <&-; echo blind >> harmless\n")
    write(host, ".qmail-left", "|sleep 3 & echo left >> harmless\n")
    for name in ("blind", "left"):
        send(host, address(host, name))
    for name, _, words in HARMFUL:
        tap.ok(wait_for(lambda: re.search(
            rf"deferral: 4\.\S*{words}", host.log("queue-runner"))),
            f"{name} is bounded", host.log("queue-runner"))
        write(host, f".qmail-{name}", "#\n")

    def done():
        try:
            with open(os.path.join(home_of(host), "harmless")) as file:
                return sorted(file.read().split())
        except FileNotFoundError:
            return []
    tap.ok(wait_for(lambda: done() == ["blind", "left"]),
           "who does not read the message, or leaves another process, has it",
           host.log("queue-runner"))


def stopped_deliveries(host):
    """A command that stops who runs it, more often than there are places."""
    other = address(host).replace("@", "2@")
    run = host.run("user-add", other, input=b"secret\n")
    tap.same(run.returncode, 0, "there is a second account")
    maildir = host.maildir.replace("/user/", "/user2/")
    write(host, ".qmail-stop", "|echo $PPID >> stopped; kill -STOP $PPID\n")
    stopped = os.path.join(home_of(host), "stopped")

    def pids():
        try:
            with open(stopped) as file:
                return [int(word) for word in file.read().split()]
        except FileNotFoundError:
            return []
    try:
        for _ in range(6):
            send(host, address(host, "stop"))
        wait_for(lambda: len(pids()) >= 2)
        send(host, other)
        tap.same(len(host.wait_delivered(1, maildir=maildir)), 1,
                 "who stops his deliveries holds up nobody else's")
        tap.same(len(pids()), 2, "…because he has half of the places")
    finally:
        write(host, ".qmail-stop", "#\n")

        def are_gone():
            for pid in pids():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not glob.glob(os.path.join(host.queue, "active", "*"))
        tap.ok(wait_for(are_gone), "the stopped ones end when they are killed",
               host.logs())


with Instance() as host:
    if tap.case(host.control, "concurrencylocal", "4\n"):
        os.kill(host.pid("local"), signal.SIGKILL)
    for case in (what_a_command_finds, closed_folder_on_the_way,
                 no_instructions, out_of_the_home, many_forwards,
                 harmful_commands, stopped_deliveries):
        tap.case(case, host)
tap.done()
