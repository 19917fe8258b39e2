"""What somebody could do who has taken over a process of an installation: talk to
the warden as any user, and act from within smtpd or a POP3 session, confined as
they are (tests/lib/probe.c in the place of the code that serves the client)."""

import os
import shutil
import socket
import struct

from installed import TOP, read_cdb, run, write_cdb

DELIVER, POP3, LOOKUP = 1, 2, 3
# pop3d/handover.h: struct pop3_handover.
HANDOVER = struct.pack("@II84s", 0x6b706f31, 0, b"")


# --- the warden's socket -----------------------------------------------------

def request(kind, account):
    """local/warden.h: struct warden_request."""
    return struct.pack("@II256sQQ24s1024s1024s4s1024s64s104s504s3B5s0Q",
                       0x6b776431, kind, account.encode(), 0, 0, b"", b"", b"",
                       b"", b"", b"", b"", b"", 0, 0, 0, b"")


def ask_warden(path, kind, account, octets=None):
    """Asks as whoever calls it; gives what came back from the warden's child,
    "" if nothing, or the error's name if there is no connection."""
    record = request(kind, account) if octets is None else octets
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as warden:
        warden.settimeout(10)
        try:
            warden.connect(path)
        except OSError as error:
            return error.strerror
        ours, theirs = socket.socketpair()
        ours.settimeout(10)
        login, other = socket.socketpair()
        # What a login part says of its client (pop3d/handover.h).
        login.sendall(struct.pack("=II84s", 0x6b706f31, 0, b""))
        message = os.memfd_create("message")
        given = {DELIVER: [message, theirs.fileno()],
                 POP3: [theirs.fileno(), theirs.fileno(), other.fileno()],
                 LOOKUP: [theirs.fileno()]}[kind]
        try:
            socket.send_fds(warden, [record], given)
        except OSError:
            return ""
        if kind == POP3:
            login.send(HANDOVER)
        for one in (theirs, other, login):
            one.close()
        try:
            return ours.recv(4096).decode("latin-1")
        except ConnectionResetError:
            return ""


# --- accounts that no tool would make ----------------------------------------

def add_accounts(host, template, accounts):
    """Adds {address: (uid, gid, home)} to users/accounts.cdb, made from the
    record of another address."""
    path = f"{host.home}/users/accounts.cdb"
    records = read_cdb(path)
    known = dict(records)[template.encode()]
    uid = host.ids()["user _keep-vmail"]
    order = "<" if known[1:5] == struct.pack("<I", uid) else ">"
    if known[1:5] != struct.pack(order + "I", uid):
        raise RuntimeError("the record of an account has another form")
    for address, (uid, gid, home) in accounts.items():
        data = known[:1] + struct.pack(order + "II", uid, gid)
        for text in (home.encode(), b"./Maildir/"):
            data += struct.pack(order + "H", len(text)) + text
        records.append((address.encode(), data))
    write_cdb(path, records)


# --- probes ------------------------------------------------------------------

def install_probe(host, program, without):
    """Links a program again, with the probe for the objects in `without`, and
    puts it in the place of the installed one."""
    objects = run("make", "-C", TOP, "-s", "--no-print-directory",
                  f"--eval=objects: ; @echo $({program})",
                  "objects").stdout.split()
    kept = [name for name in objects if not name.startswith(without)]
    if len(kept) == len(objects):
        raise RuntimeError(f"{program} has no {without}: {objects}")
    os.unlink(f"{host.build}/{program}")
    host.make(f"{program}={' '.join(kept)} tests/lib/probe.o",
              f"{host.build}/{program}")
    installed = f"{host.libexec}/{program}"
    shutil.copy(f"{host.build}/{program}", installed + ".new")
    os.rename(installed + ".new", installed)


class Probe:
    """A connection to one. do() gives the answer's number, or None if the
    process was killed."""

    def __init__(self, connect, first):
        self.connect = connect
        self.first = first
        self.file = None

    def do(self, *command):
        if not self.file:
            self.socket = self.connect()
            self.file = self.socket.makefile("rwb")
            for line in self.first:
                answer = self.file.readline()
                if line:
                    self.file.write(line.encode() + b"\r\n")
                    self.file.flush()
            if not answer.startswith((b"220", b"+OK 0")):
                raise RuntimeError(f"the probe does not answer: {answer}")
        try:
            self.file.write(" ".join(command).encode() + b"\r\n")
            self.file.flush()
            answer = self.file.readline()
        except OSError:
            answer = b""
        if not answer:
            self.close()
            return None
        return int(answer.split()[1])

    def close(self):
        if self.file:
            self.file.close()
            self.socket.close()
        self.file = None
