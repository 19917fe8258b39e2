"""keepmail installed as INSTALL says, with its users and root's rights, for a
test: programs, home and scan folder in a temporary folder, and, where the kernel
allows it, in namespaces of its own (mounts, processes, network) with a copy of
/etc, so that nothing of the machine is touched. Where namespaces are refused, the
users are made on the machine itself and removed at the end.
"""

import ctypes
import fcntl
import glob
import json
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import traceback

from tap import wait_for

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SERVICES = ("authd", "countd", "local", "lookup", "pop3d", "pop3s", "queue-filter",
            "queue-inject", "queue-runner", "remote", "resolve", "smtpd",
            "submission", "submissions", "tls-client", "tlsd",
            "warden")
INSIDE = "KEEPMAIL_TEST_INSIDE"


def run(*command, input=None, env=None, ok=True, **more):
    """Runs a command to its end; raises with what it said if it fails."""
    done = subprocess.run(command, input=input, text=True, timeout=300,
                          stdin=subprocess.DEVNULL if input is None else None,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=env or dict(os.environ, PATH=PATH), **more)
    if ok and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}")
    return done


# --- namespaces --------------------------------------------------------------

UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--net", "--mount-proc",
           "--kill-child"]


def enter():
    """Makes the temporary folder and runs this script again inside. Returns in
    the inner run alone: (folder, whether it has namespaces of its own)."""
    if INSIDE in os.environ:
        folder, separate = os.environ[INSIDE].rsplit(":", 1)
        if separate == "yes":
            take_etc(folder)
            raise_loopback()
        return folder, separate == "yes"
    folder = tempfile.mkdtemp(prefix="keepmail-installed.")
    os.chmod(folder, 0o755)
    can = "KEEPMAIL_TEST_DIRECT" not in os.environ and subprocess.run(
        UNSHARE + ["mount", "--bind", folder, folder],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL).returncode == 0
    inner = subprocess.Popen(
        (UNSHARE if can else []) + [sys.executable, os.path.abspath(sys.argv[0])],
        env=dict(os.environ, **{INSIDE: f"{folder}:{'yes' if can else 'no'}"}))
    # Of the machine's users the inner run takes care; of all else the end of
    # the process namespace.
    signal.signal(signal.SIGTERM, lambda *_: inner.send_signal(
        signal.SIGKILL if can else signal.SIGTERM))
    status = inner.wait()
    shutil.rmtree(folder, ignore_errors=True)
    sys.exit(status if status >= 0 else 128 - status)


def take_etc(folder):
    """Puts a copy of /etc in its place. (Single files bound there could not be
    renamed over, which useradd does.)"""
    copy = os.path.join(folder, "etc")
    run("mount", "--make-rprivate", "/")
    run("cp", "-a", "/etc", copy)
    run("mount", "--bind", copy, "/etc")


def raise_loopback():
    """ip link set lo up, which a small system does not have."""
    SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        name, flags = struct.unpack(
            "16sH14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))
        fcntl.ioctl(control, SIOCSIFFLAGS,
                    struct.pack("16sH14x", name, flags | IFF_UP))


# --- processes ---------------------------------------------------------------

class Process:
    """What /proc says of one process, at one moment."""

    def __init__(self, pid):
        self.pid = pid
        folder = f"/proc/{pid}"
        status = {}
        with open(f"{folder}/status") as file:
            for line in file:
                name, value = line.rstrip("\n").split(":", 1)
                status[name] = value.split()
        self.name = status["Name"][0]
        self.state = status["State"][0]
        self.parent = int(status["PPid"][0])
        self.uids = [int(n) for n in status["Uid"]]
        self.gids = [int(n) for n in status["Gid"]]
        self.groups = sorted(int(n) for n in status["Groups"])
        self.capabilities = [int(status[n][0], 16)
                             for n in ("CapInh", "CapPrm", "CapEff", "CapAmb")]
        self.no_new_privs = int(status["NoNewPrivs"][0])
        self.seccomp = int(status["Seccomp"][0])
        self.limits = {}
        with open(f"{folder}/limits") as file:
            for line in list(file)[1:]:
                soft, hard = line[26:].split()[:2]
                self.limits[line[:26].strip()] = (soft, hard)
        # Files in it are root's if the process is not dumpable.
        self.owner = os.stat(f"{folder}/environ").st_uid
        with open(f"{folder}/stat") as file:
            self.session = int(file.read().rsplit(")", 1)[1].split()[3])

    def __repr__(self):
        return (f"{self.name} pid {self.pid} parent {self.parent} "
                f"uids {self.uids} gids {self.gids} groups {self.groups} "
                f"capabilities {self.capabilities} "
                f"no_new_privs {self.no_new_privs} seccomp {self.seccomp} "
                f"owner {self.owner} {self.limits}")


def processes():
    """All live ones."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                process = Process(int(name))
            except (OSError, KeyError):
                continue
            if process.state not in "ZX":
                found.append(process)
    return found


def as_user(uid, gid, groups, function, *arguments):
    """Calls function as another user in a child; gives what it returned (as JSON
    brings it over), or raises what it raised as text."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            result = {"value": function(*arguments)}
        except BaseException:
            result = {"error": traceback.format_exc()}
        os.write(writer, json.dumps(result).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        text = file.read()
    os.waitpid(pid, 0)
    result = json.loads(text)
    if "error" in result:
        raise RuntimeError(result["error"])
    return result["value"]


# --- the installation --------------------------------------------------------

class Installed:
    """The steps of INSTALL, one method each."""

    def __init__(self, folder, separate):
        self.folder = folder
        self.separate = separate
        self.build = f"{folder}/build"
        self.prefix = f"{folder}/usr"
        self.libexec = f"{self.prefix}/libexec/keepmail"
        self.home = f"{folder}/home"
        self.scan = f"{folder}/scan"
        self.words = [f"BUILD={self.build}", f"PREFIX={self.prefix}",
                      f"HOME_DIR={self.home}", "CFLAGS=-O1 -g0"]
        self.svscan = None
        self.people = []

    def make(self, *targets):
        run("make", "-C", TOP, "-s", "-j2", *self.words, *targets)

    def keepmail(self, *command, **more):
        """The front command, as INSTALL calls it."""
        return run(f"{self.prefix}/bin/keepmail", *command, **more)

    def ids(self):
        """control/ids: {"user _keep-smtpd": 123, …}"""
        found = {}
        with open(f"{self.home}/control/ids") as file:
            for line in file:
                if not line.startswith("#"):
                    kind, name, number = line.split()
                    found[f"{kind} {name}"] = int(number)
        return found

    def control(self, name, text):
        with open(f"{self.home}/control/{name}", "w") as file:
            file.write(text)

    def settings(self):
        """Step 3. Ports are as shipped where they can be nobody else's."""
        self.control("me", "mail.example.org\n")
        self.control("locals", "example.org\n")
        self.control("rcpthosts", "example.org\n")
        self.control("tcp.submission", '127.:allow,RELAYCLIENT=""\n:deny\n')
        run("tcprules", "tcp.submission.cdb", "tcp.submission.tmp",
            cwd=f"{self.home}/control",
            input='127.:allow,RELAYCLIENT=""\n:deny\n')
        # Without a certificate nobody would fetch mail.
        self.control("authclearpop3", "1\n")
        if self.separate:
            return
        run("sed", "-i", r"s/^\([A-Z0-9]*_LISTEN\)=.*/\1=127.0.0.1/",
            f"{self.home}/service/settings")
        for name in ("smtp", "submission", "submissions", "pop3", "pop3s"):
            with open(f"{self.home}/port/{name}", "w") as file:
                file.write("0\n")

    def person(self, name, password):
        """A system user with a password and a Maildir."""
        self.people.append(name)
        home = f"{self.folder}/people/{name}"
        os.makedirs(os.path.dirname(home), exist_ok=True)
        run("useradd", "--no-create-home", "--no-log-init", "--user-group",
            "--home-dir", home, "--shell", "/bin/sh", name)
        self.set_password(name, password)
        os.mkdir(home, 0o700)
        who = pwd.getpwnam(name)
        os.chown(home, who.pw_uid, who.pw_gid)
        # "as that user: keepmail maildirmake ~/Maildir"
        run("setuidgid", name, f"{self.prefix}/bin/keepmail", "maildirmake",
            f"{home}/Maildir")
        return who

    def set_password(self, name, password):
        run("chpasswd", "--crypt-method", "SHA512",
            input=f"{name}:{password}\n")

    def start(self):
        """Step 5, with a scan folder and an svscan of our own."""
        os.mkdir(self.scan)
        for service in sorted(glob.glob(f"{self.home}/service/*/")):
            service = service.rstrip("/")
            os.symlink(service, f"{self.scan}/{os.path.basename(service)}")
        log = open(f"{self.folder}/svscan.log", "ab")
        self.svscan = subprocess.Popen(
            ["svscan", self.scan], stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, env={"PATH": PATH}, start_new_session=True, cwd="/")
        log.close()

    def ours(self):
        """The processes of our svscan's session."""
        return [p for p in processes()
                if self.svscan and p.session == self.svscan.pid]

    def stop(self):
        """As INSTALL's "Removing it"; then, whatever is left, by its id."""
        if not self.svscan:
            return True
        for link in glob.glob(f"{self.scan}/*"):
            os.unlink(link)
        for service in sorted(glob.glob(f"{self.home}/service/*/")):
            run("svc", "-dx", service, f"{service}log", ok=False)
        done = wait_for(lambda: all(p.pid == self.svscan.pid
                                    for p in self.ours()), 10)
        if not done:
            for left in self.ours():
                print("# still running:", left.pid, left)
        self.svscan.terminate()
        try:
            self.svscan.wait(10)
        except subprocess.TimeoutExpired:
            self.svscan.kill()
            self.svscan.wait()
        for process in self.ours():
            os.kill(process.pid, signal.SIGKILL)
        wait_for(lambda: not self.ours(), 10)
        self.svscan = None
        return bool(done)

    def remove(self):
        """The rest of it: files, users, groups."""
        shutil.rmtree(self.libexec, ignore_errors=True)
        for name in ("sbin/sendmail", "bin/mailq", "bin/newaliases",
                     "bin/keepmail"):
            if os.path.lexists(f"{self.prefix}/{name}"):
                os.unlink(f"{self.prefix}/{name}")
        run("sh", "-c", "grep -o -e '^share/[^ ]*' -e '^lib/[^ ]*' tools/install.table |"
            f" (cd {self.prefix} && xargs rm -f)", cwd=TOP, ok=False)
        run("sh", f"{TOP}/tools/make-users", "--remove")
        shutil.rmtree(self.home, ignore_errors=True)
        for name in self.people:
            run("userdel", name, ok=False)
            shutil.rmtree(f"{self.folder}/people/{name}", ignore_errors=True)
        self.people = []

    # --- looking at it -----------------------------------------------------

    def pid(self, service):
        """The process id of a service, from daemontools, or 0."""
        try:
            with open(f"{self.home}/service/{service}/supervise/status",
                      "rb") as file:
                return int.from_bytes(file.read()[12:16], "little")
        except OSError:
            return 0

    def port(self, name):
        with open(f"{self.home}/port/{name}.bound") as file:
            return int(file.readline())

    def log(self, service):
        text = ""
        for path in glob.glob(f"{self.home}/log/{service}/*"):
            if os.path.basename(path)[0] in "c@":
                with open(path, errors="replace") as file:
                    text += file.read()
        return text

    def logs(self):
        """The ends of all logs, for a failure's report."""
        text = ""
        for path in [f"{self.folder}/svscan.log"] + glob.glob(
                f"{self.home}/log/*/current"):
            if os.path.exists(path):
                with open(path, errors="replace") as file:
                    text += f"== {path}\n" + "".join(file.readlines()[-8:])
        return text

    def connect(self, name):
        return socket.create_connection(("127.0.0.1", self.port(name)),
                                        timeout=30)


def landlock_version():
    """What the kernel has of Landlock; 0 for none."""
    return max(0, ctypes.CDLL(None).syscall(444, None, 0, 1))


def write_cdb(path, records):
    """A constant database of (key, data) pairs, for what no tool would write."""
    tables = [[] for _ in range(256)]
    octets = bytearray(2048)
    for key, data in records:
        hashed = 5381
        for octet in key:
            hashed = (hashed * 33 & 0xffffffff) ^ octet
        tables[hashed & 255].append((hashed, len(octets)))
        octets += struct.pack("<II", len(key), len(data)) + key + data
    for number, table in enumerate(tables):
        slots = [(0, 0)] * (2 * len(table))
        for hashed, where in table:
            at = (hashed >> 8) % len(slots)
            while slots[at][1]:
                at = (at + 1) % len(slots)
            slots[at] = (hashed, where)
        struct.pack_into("<II", octets, number * 8, len(octets), len(slots))
        for slot in slots:
            octets += struct.pack("<II", *slot)
    with open(path, "r+b") as file:
        file.truncate(0)
        file.write(octets)


def read_cdb(path):
    """Its records."""
    with open(path, "rb") as file:
        octets = file.read()
    end = min(struct.unpack_from("<I", octets, 8 * n)[0] for n in range(256))
    at, records = 2048, []
    while at < end:
        key, data = struct.unpack_from("<II", octets, at)
        records.append((octets[at + 8:at + 8 + key],
                        octets[at + 8 + key:at + 8 + key + data]))
        at += 8 + key + data
    return records
