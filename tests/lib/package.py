"""keepmail as a Debian package, for a test: built in a copy of the tree, and what an
administrator does with it in a root of its own (freshroot.py)."""

import glob
import os
import poplib
import smtplib
import subprocess

from installed import SERVICES, TOP, processes, run
from tap import wait_for

HOME = "/var/lib/keepmail"
ADDRESS, PASSWORD = "ann@example.org", "ann's secret"
FOREIGN = "other-mta"
# What dpkg is spared: the root is gone soon.
DPKG = ("dpkg", "--force-unsafe-io")


# --- building, on the machine -------------------------------------------------

def build(folder):
    """Builds the source and the binary package into folder; what was said goes to
    build.log. Unoptimized, because time counts here."""
    os.mkdir(f"{folder}/tree")
    run("sh", "-c", f"tar -cf - --exclude=./build --exclude=./.git . |"
        f" tar -C {folder}/tree -xf - --no-same-owner", cwd=TOP)
    options = f"nocheck noautodbgsym noopt parallel={os.cpu_count()}"
    with open(f"{folder}/build.log", "wb") as log:
        status = subprocess.run(
            ["dpkg-buildpackage", "-us", "-uc", "-d"], cwd=f"{folder}/tree",
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=dict(os.environ, DEB_BUILD_OPTIONS=options),
            check=False).returncode
    found = glob.glob(f"{folder}/keepmail_*.deb")
    if status == 0 and found:
        again(found[0], f"{folder}/new.deb", f"{folder}/new", "0.9")
        os.rename(found[0], f"{folder}/keepmail.deb")
    foreign(folder)


def again(package, target, folder, version):
    """The same package as another version."""
    run("dpkg-deb", "-R", package, folder)
    run("sed", "-i", f"s/^Version: .*/Version: {version}/",
        f"{folder}/DEBIAN/control")
    run("dpkg-deb", "-Znone", "-b", folder, target)


def foreign(folder):
    """Another mail-transport-agent, of one control file."""
    os.makedirs(f"{folder}/foreign/DEBIAN")
    with open(f"{folder}/foreign/DEBIAN/control", "w") as file:
        file.write(f"Package: {FOREIGN}\nVersion: 1\nArchitecture: all\n"
                   "Maintainer: nobody <nobody@localhost>\n"
                   "Provides: mail-transport-agent\n"
                   "Conflicts: mail-transport-agent\n"
                   "Description: none\n")
    run("dpkg-deb", "-Znone", "-b", f"{folder}/foreign", f"{folder}/foreign.deb")


# --- the host -----------------------------------------------------------------

class Host:
    """The administrator's doings in the root."""

    def __init__(self, root):
        self.root = root
        self.log = f"{root.folder}/supervisor.log"
        self.cgroup = "/sys/fs/cgroup/" + os.path.basename(root.folder)
        self.supervisor = None
        self.sent = 0

    def dpkg(self, *words, ok=True):
        return self.root.run(*DPKG, *words, ok=ok)

    def state(self, name="keepmail"):
        return self.root.run("dpkg-query", "-W", "-f",
                             "${Status} ${Version}", name, ok=False).stdout

    def take(self, name):
        """Brings a package of the folder into the root."""
        run("cp", f"{self.root.folder}/{name}", self.root.file("/root/"))
        return f"/root/{name}"

    def home(self, name=""):
        return self.root.file(f"{HOME}/{name}")

    def configure(self):
        """README.Debian's steps 1 and 4."""
        self.root.write("/etc/keepmail/locals", "example.org\n")
        self.root.write("/etc/keepmail/rcpthosts", "example.org\n")
        self.root.write("/etc/keepmail/authclearpop3", "1\n")
        self.root.run("keepmail", "user-add", ADDRESS, input=PASSWORD + "\n")

    # --- services ---------------------------------------------------------

    def start(self, *command):
        for service in SERVICES:
            os.symlink(f"{HOME}/service/{service}",
                       self.root.file(f"/etc/service/{service}"))
        self.supervisor = self.root.start(*command, log=self.log)

    def start_systemd(self):
        """systemd as the first process of a namespace in the root, with a cgroup
        of its own and nothing to start but the suite and its journal; whether the
        kernel lets it be."""
        root = self.root
        if root.sh("mkdir -p /sys && mount -t sysfs -o ro sysfs /sys &&"
                   " mount -t cgroup2 cgroup2 /sys/fs/cgroup &&"
                   f" mkdir {self.cgroup}", ok=False).returncode != 0:
            return False
        # Nothing of what the machine would start, and no setting of its kernel.
        root.sh("cd /usr/lib/systemd && rm -rf system-generators system/*.wants"
                " /etc/systemd/system/*.wants && cd system &&"
                " mkdir keepmail.target.wants &&"
                " ln -s ../systemd-journald.service keepmail.target.wants/")
        self.supervisor = root.start(
            "sh", "-c", f"echo $$ >{self.cgroup}/cgroup.procs && exec unshare --cgroup"
            " --pid --fork --uts --ipc --mount-proc --kill-child sh -c '"
            "umount /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup &&"
            " mount -o bind,ro /proc/sys /proc/sys &&"
            " exec env container=other /lib/systemd/systemd --system"
            " --unit=keepmail.target'", log=self.log)
        return bool(wait_for(self.is_up, 20, 0.1))

    def is_up(self):
        try:
            return self.systemctl("is-system-running").stdout.strip() in (
                "running", "degraded")
        except (OSError, IndexError):
            return False

    def end_systemd(self):
        """It, all that it started, and the cgroup; whether that is gone."""
        if self.supervisor:
            self.supervisor.kill()
            self.supervisor.wait()
            self.supervisor = None
        self.root.sh("rm -rf /run/systemd")
        return wait_for(lambda: self.root.sh(
            f"[ ! -d {self.cgroup} ] || find {self.cgroup} -depth -type d -exec rmdir {{}} +"
            " 2>/dev/null", ok=False).returncode == 0, 20, 0.1)

    def systemctl(self, *words):
        return self.beside("systemctl", "--no-pager", *words)

    def beside(self, *words):
        """A command in the namespaces of that systemd."""
        with open(f"/proc/{self.supervisor.pid}/task/{self.supervisor.pid}"
                  "/children") as file:
            first = file.read().split()[0]
        return run("nsenter", "-t", first, "-p", "-m", "-r", *words,
                   env=self.root.environment, ok=False)

    def ours(self):
        """Processes of the suite, and its supervisors': whoever has its current
        folder in the home, or runs one of its programs."""
        found = []
        for process in processes():
            try:
                where = os.readlink(f"/proc/{process.pid}/cwd")
                program = os.readlink(f"/proc/{process.pid}/exe")
            except OSError:
                continue
            if f"{HOME}/" in where or "/libexec/keepmail/" in program:
                found.append(process)
        return found

    def gone(self):
        return wait_for(lambda: not self.ours(), 20)

    def end_supervisor(self):
        self.supervisor.terminate()
        try:
            self.supervisor.wait(20)
        except subprocess.TimeoutExpired:
            self.supervisor.kill()
            self.supervisor.wait()
        self.supervisor = None

    def pid(self, name):
        """That of a program of the suite whose parent is none of it, or 0."""
        found = [p for p in self.ours() if p.name == name[:15]]
        of_them = {p.pid for p in found}
        roots = [p.pid for p in found if p.parent not in of_them]
        return roots[0] if len(roots) == 1 else 0

    def tcpservers(self):
        return [p for p in self.ours() if p.name == "tcpserver"]

    def logs(self):
        text = ""
        for path in [self.log] + glob.glob(self.home("log/*/current")):
            if os.path.exists(path):
                with open(path, errors="replace") as file:
                    text += f"== {path}\n" + "".join(file.readlines()[-6:])
        return text

    # --- mail -------------------------------------------------------------

    def send(self):
        """A message to port 25; its mark."""
        self.sent += 1
        mark = f"message {self.sent} of the test"
        with smtplib.SMTP("127.0.0.1", 25, "client.test", timeout=30) as client:
            client.sendmail("sender@client.test", [ADDRESS],
                            f"Subject: {mark}\r\n\r\nbody\r\n")
        return mark

    def send_when_up(self):
        def attempt():
            try:
                return self.send()
            except (OSError, smtplib.SMTPException):
                return None
        return wait_for(attempt, 30, 0.1)

    def maildir(self):
        """The mail that lies in the Maildir, as text."""
        text = ""
        for path in glob.glob(self.home("mail/example.org/ann/Maildir/*/*")):
            with open(path, errors="replace") as file:
                text += file.read()
        return text

    def arrives(self, mark):
        return wait_for(lambda: mark and mark in self.maildir(), 30)

    def fetches(self, mark):
        """Whether POP3 has it."""
        def attempt():
            try:
                pop = poplib.POP3("127.0.0.1", 110, timeout=30)
                pop.user(ADDRESS)
                pop.pass_(PASSWORD)
                lines = []
                for number in range(1, pop.stat()[0] + 1):
                    lines += pop.retr(number)[1]
                pop.quit()
                return mark.encode() in b"\n".join(lines)
            except (OSError, poplib.error_proto):
                return None
        return wait_for(attempt, 20, 0.1)


def listed(names):
    """Rows of tools/install.table as the package has them."""
    public = ("sendmail.8", "mailq.8", "newaliases.8", "keepmail.8")
    found = set()
    with open(f"{TOP}/tools/install.table") as file:
        for line in file:
            if line.startswith("#") or not line.strip():
                continue
            path = line.split()[0]
            if path.startswith("libexec/"):
                path = "libexec/keepmail/" + path[8:]
            elif path.startswith("share/man/"):
                if os.path.basename(path) not in public:
                    path += "keepmail"
                path += ".gz"
            found.add("/usr/" + path)
    return found ^ set(names)
