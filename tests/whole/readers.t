#!/usr/bin/env python3
"""Other programs read and change a Maildir while mail comes into it: Dovecot's IMAP
and mutt. None of the messages is lost, none is there twice."""

import glob
import imaplib
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance

tap = Tap()
AT_ONCE = 100
WITH_MUTT = 60


def send(host, first, count, subject="x"):
    """Messages with numbers, in one session."""
    client = host.smtp()
    try:
        client.ehlo()
        for number in range(first, first + count):
            client.mail("ann@client.test")
            client.rcpt(host.address)
            code, text = client.data(
                f"Message-ID: <{number}@client.test>\r\n"
                f"Subject: {subject} {number % 4}\r\n\r\n{number}\r\n".encode())
            if code != 250:
                raise RuntimeError(f"{code} {text}")
    finally:
        client.close()


def numbers_in(*maildirs):
    """The numbers of all messages there, sorted."""
    found = []
    for maildir in maildirs:
        for path in glob.glob(os.path.join(maildir, "new", "*")) \
                + glob.glob(os.path.join(maildir, "cur", "*")):
            with open(path, "rb") as file:
                text = file.read()
            found += [int(number) for number in
                      re.findall(rb"(?m)^Message-ID: <(\d+)@", text)]
    return sorted(found)


# --- Dovecot --------------------------------------------------------------------

def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Dovecot:
    """One of its own, for one Maildir, on a free port."""

    def __init__(self, host):
        owner = os.stat(host.maildir)
        home = os.path.dirname(host.maildir)
        self.folder = folder = os.path.join(host.folder, "dovecot")
        self.port = free_port()
        os.mkdir(folder, 0o755)
        with open(f"{folder}/conf", "w", encoding="ascii") as file:
            file.write(f"""base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
first_valid_gid = 1
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
mail_location = maildir:{host.maildir}
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid={owner.st_uid} gid={owner.st_gid} home={home}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {self.port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
""")
        with open(f"{folder}/start", "w", encoding="ascii") as log:
            self.process = subprocess.Popen(
                ["dovecot", "-F", "-c", f"{folder}/conf"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)

    def client(self):
        def connect():
            try:
                return imaplib.IMAP4("127.0.0.1", self.port, timeout=30)
            except OSError:
                return None
        client = wait_for(connect)
        if not client:
            raise RuntimeError("dovecot does not answer: " + self.logs())
        client.login("user", "secret")
        return client

    def logs(self):
        text = ""
        for path in glob.glob(f"{self.folder}/log") \
                + glob.glob(f"{self.folder}/start"):
            with open(path, encoding="utf-8", errors="replace") as file:
                text += file.read()
        return text

    def end(self):
        self.process.terminate()
        self.process.wait(30)


class Reader:
    """A person at IMAP, who does something else with each of four messages."""

    def __init__(self, client):
        self.client, self.seen = client, set()
        self.deleted, self.moved, self.flagged = set(), set(), set()
        self.do("create", "Kept")

    def do(self, name, *arguments):
        status, data = getattr(self.client, name)(*arguments)
        if status != "OK":
            raise RuntimeError(f"{name} {arguments}: {status} {data}")
        return data

    def look(self):
        """Deals with all that is new."""
        self.do("select", "INBOX")
        [uids] = self.do("uid", "search", None, "UNDELETED")
        for uid in uids.split():
            if uid in self.seen:
                continue
            self.seen.add(uid)
            data = self.do("uid", "fetch", uid, "(BODY[])")
            number = int(re.search(rb"(?m)^Message-ID: <(\d+)@",
                                   data[0][1]).group(1))
            if number % 4 == 0:
                self.do("uid", "store", uid, "+FLAGS", r"(\Deleted)")
                self.deleted.add(number)
            elif number % 4 == 1:
                self.do("uid", "move", uid, "Kept")
                self.moved.add(number)
            elif number % 4 == 2:
                self.do("uid", "store", uid, "+FLAGS", r"(\Flagged \Answered)")
                self.flagged.add(number)
        self.do("expunge")


def busiest(host):
    """The most deliveries that went on at a time."""
    return max(int(number) for number in
               re.findall(r"status: local (\d+)/", host.log("queue-runner")))


def dovecot(host):
    """A heap that comes at once, and then one message after the other."""
    total = 2 * AT_ONCE
    everything = set(range(total))
    host.control("concurrencylocal", f"{3 * AT_ONCE}\n")
    host.restart("queue-runner")
    host.svc("-d", "local")
    send(host, 0, AT_ONCE)
    server = Dovecot(host)
    try:
        reader = Reader(server.client())
        host.svc("-u", "local")
        more = threading.Thread(target=send, args=(host, AT_ONCE, AT_ONCE))
        more.start()
        wait_for(lambda: reader.look() or len(reader.seen) >= total, 60)
        more.join()
        tap.same(len(reader.seen), total, "an IMAP client has seen each message")
        tap.ok(busiest(host) > 1, "deliveries into the mailbox went on at a time",
               host.log("queue-runner"))
        host.wait_empty()
        kept = os.path.join(host.maildir, ".Kept")
        tap.same(numbers_in(host.maildir, kept),
                 sorted(everything - reader.deleted),
                 "what was not deleted is there once, the rest is not")
        tap.same(numbers_in(kept), sorted(reader.moved),
                 "what was moved is where it was moved to")
        reader.do("select", "INBOX", True)
        [found] = reader.do("uid", "search", None, "FLAGGED ANSWERED")
        tap.same(len(found.split()), len(reader.flagged),
                 "what was flagged is flagged")
        tap.same((len(reader.deleted), len(reader.moved), len(reader.flagged)),
                 (total // 4,) * 3, "…and each was asked for")
        reader.client.logout()
        tap.ok(not re.search(r"(?i)\b(error|panic|fatal|corrupt)", server.logs()),
               "Dovecot has nothing to complain of", server.logs())
    finally:
        server.end()
    shutil.rmtree(kept)


# --- mutt -----------------------------------------------------------------------

def mutt(host, keys, folder):
    """Runs it on the Maildir as the account's owner, on a terminal of its own. Its
    exit status."""
    rc = os.path.join(folder, "rc")
    with open(rc, "w", encoding="ascii") as file:
        file.write("set quit=yes delete=yes move=no confirmappend=no\n"
                   "set wait_key=no pipe_decode=no pipe_split=yes mark_old=yes\n"
                   f"set header_cache= tmpdir={folder} sleep_time=0\n"
                   f"push '{keys}'\n")
    os.chmod(rc, 0o644)
    owner = os.stat(host.maildir)
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(owner.st_gid)
                os.setuid(owner.st_uid)
            os.execvpe("mutt", ["mutt", "-n", "-F", rc, "-f", host.maildir],
                       {"PATH": os.environ["PATH"], "TERM": "vt100",
                        "HOME": folder, "LC_ALL": "C"})
        finally:
            os._exit(127)
    shown, turns = b"", 0

    def ended():
        nonlocal shown, turns
        turns += 1
        if turns % 50 == 0:  # it does not go when mail comes at that moment
            os.write(terminal, b"q")
        while select.select([terminal], [], [], 0)[0]:
            try:
                shown += os.read(terminal, 65536)
            except OSError:
                break
        return os.waitpid(pid, os.WNOHANG)
    try:
        result = wait_for(lambda: (lambda one: one if one[0] else None)(ended()),
                          30)
        if not result:
            os.kill(pid, signal.SIGKILL)
            result = os.waitpid(pid, 0)
            tap.note(shown[-2000:].decode(errors="replace"))
        return os.waitstatus_to_exitcode(result[1])
    finally:
        os.close(terminal)


def with_mutt(host):
    """Deletes, flags and reads while messages come."""
    for path in host.delivered():
        os.unlink(path)
    folder = os.path.join(host.folder, "mutt")
    os.mkdir(folder)
    host.give(folder)
    send(host, 0, 8, "old")
    host.wait_delivered(8)
    more = threading.Thread(target=send, args=(host, 8, WITH_MUTT - 8, "old"))
    more.start()
    while True:
        is_last = not more.is_alive()
        if is_last:
            host.wait_empty()
        status = mutt(host, '<delete-pattern>~s "old 0"<enter>'
                      '<tag-pattern>~s "old 1"<enter>'
                      '<tag-prefix><set-flag>!<quit>', folder)
        if status != 0 or is_last:
            break
    more.join()
    tap.same(status, 0, "mutt reads, deletes and flags what is there")
    left = [number for number in range(WITH_MUTT) if number % 4 != 0]
    tap.same(numbers_in(host.maildir), left,
             "what was not deleted is there once, the rest is not")
    flagged = glob.glob(os.path.join(host.maildir, "cur", "*:2,*F*"))
    tap.same(len(flagged), WITH_MUTT // 4, "what was flagged is flagged")
    piped = os.path.join(folder, "piped")
    tap.same(mutt(host, r"<tag-pattern>~A<enter><tag-prefix><pipe-message>"
                  f"cat >>{piped}<enter><exit>", folder), 0,
             "mutt pipes all messages")
    with open(piped, "rb") as file:
        tap.same(sorted(int(number) for number in re.findall(
            rb"(?m)^Message-ID: <(\d+)@", file.read())), left,
            "…and each of them once")


if os.geteuid() != 0:
    tap.skip("Dovecot and mutt beside keepmail need root")
else:
    with Instance() as instance:
        for case in (dovecot, with_mutt):
            tap.case(case, instance)
tap.done()
