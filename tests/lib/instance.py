"""A private instance of the whole suite (tools/instance) for a test.

    with Instance("--nameserver", "127.0.0.1:5353") as host:
        host.smtp() …

The folder is made under the system's temporary folder and removed at the end;
everything that was started is stopped.
"""

import glob
import os
import poplib
import re
import shlex
import shutil
import smtplib
import subprocess
import tempfile

from tap import wait_for

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOL = os.path.join(TOP, "tools", "instance")
BUILD = os.path.join(TOP, "build")


class Instance:
    def __init__(self, *options, folder=None):
        self.options = [str(o) for o in options]
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="keepmail-test.")
        os.chmod(self.folder, 0o755)
        self.home = os.path.join(self.folder, "i")

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        run = subprocess.run(["sh", TOOL, "start", self.home] + self.options,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, timeout=90, text=True)
        if run.returncode != 0:
            raise RuntimeError(f"tools/instance start: {run.stdout}\n"
                               + self.logs())
        self.value = {}
        with open(os.path.join(self.home, "instance.env")) as file:
            for line in file:
                if "=" in line and not line.startswith("#"):
                    name, text = line.rstrip("\n").split("=", 1)
                    words = shlex.split(text)
                    self.value[name] = words[0] if words else ""

    def stop(self):
        return subprocess.run(["sh", TOOL, "stop", self.home],
                              stdin=subprocess.DEVNULL, timeout=60,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)

    def __getattr__(self, name):
        try:
            return self.__dict__["value"][name.upper()]
        except KeyError:
            raise AttributeError(name)

    def control(self, name, text):
        """Writes a control file, owned as its folder is."""
        path = os.path.join(self.home, "control", name)
        with open(path, "w") as file:
            file.write(text)
        self.give(path)
        return path

    def give(self, path):
        """Gives a file to the instance's owner."""
        owner = os.stat(os.path.join(self.home, "control"))
        if os.geteuid() == 0:
            os.chown(path, owner.st_uid, owner.st_gid)

    def as_owner(self):
        """Arguments for subprocess that run a command as the owner."""
        owner = os.stat(os.path.join(self.home, "control"))
        environment = dict(os.environ, KEEPMAIL=self.home)
        if os.geteuid() != 0:
            return {"env": environment}
        return {"env": environment, "user": owner.st_uid,
                "group": owner.st_gid, "extra_groups": []}

    def run(self, *command, **more):
        """Runs a program of build/ as the instance's owner."""
        command = [os.path.join(BUILD, command[0]), *command[1:]]
        arguments = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         timeout=60, cwd="/")
        arguments.update(self.as_owner())
        arguments.update(more)
        if "input" not in arguments:
            arguments.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(command, **arguments)

    def smtp(self, port=None, timeout=30):
        return smtplib.SMTP(self.smtp_host, int(port or self.smtp_port),
                            local_hostname="client.test", timeout=timeout)

    def submission(self):
        return self.smtp(self.submission_port)

    def pop3(self):
        connection = poplib.POP3(self.pop3_host, int(self.pop3_port),
                                 timeout=30)
        connection.user(self.user_name)
        connection.pass_(self.password)
        return connection

    def delivered(self, maildir=None):
        """Paths of the messages in a Maildir, oldest first."""
        maildir = maildir or self.maildir
        return sorted(glob.glob(os.path.join(maildir, "new", "*"))
                      + glob.glob(os.path.join(maildir, "cur", "*")))

    def contents(self, maildir=None):
        texts = []
        for path in self.delivered(maildir):
            with open(path, "rb") as file:
                texts.append(file.read())
        return texts

    def wait_delivered(self, number, seconds=20, maildir=None):
        """Waits until at least so many messages are there; gives them."""
        wait_for(lambda: len(self.delivered(maildir)) >= number, seconds)
        return self.contents(maildir)

    def queued(self):
        """Paths of all message files in the queue."""
        found = []
        for state in ("incoming", "active", "deferred", "waiting", "held",
                      "doubtful"):
            for folder, _, names in os.walk(os.path.join(self.queue, state)):
                found += [os.path.join(folder, name) for name in names
                          if len(name) == 20]
        return found

    def wait_empty(self, seconds=20):
        """Waits until the queue holds no message."""
        return wait_for(lambda: not self.queued(), seconds)

    def log(self, service):
        text = ""
        for path in sorted(glob.glob(os.path.join(self.home, "log", service,
                                                  "*"))):
            if os.path.basename(path) in ("current",) \
                    or os.path.basename(path).startswith("@"):
                with open(path, errors="replace") as file:
                    text += file.read()
        return text

    def logs(self):
        """The ends of all logs, for a failure's report."""
        text = ""
        for path in glob.glob(os.path.join(self.home, "log", "*", "current")):
            with open(path, errors="replace") as file:
                text += f"== {path}\n" + "".join(file.readlines()[-12:])
        return text

    def restart(self, *services):
        """Ends services so that they come back with new settings, and waits
        until each says in its log that it works."""
        started = {service: self.starts(service) for service in services}
        for service in services:
            subprocess.run(["svc", "-t",
                            os.path.join(self.home, "service", service)],
                           check=True)
        for service, before in started.items():
            if not wait_for(lambda: self.starts(service) > before, 20):
                raise RuntimeError(f"{service} did not come back\n"
                                   + self.logs())

    def svc(self, option, *services):
        """Sends services a signal (svc(8)). With -d and -dk waits until they are
        down, with -u until they run."""
        subprocess.run(["svc", option] +
                       [os.path.join(self.home, "service", service)
                        for service in services], check=True)
        for service in services if option in ("-d", "-dk", "-u") else ():
            if not wait_for(lambda: (self.pid(service) != 0)
                            == (option == "-u"), 20):
                raise RuntimeError(f"svc {option} {service}\n" + self.logs())

    def put(self, path, octets):
        """Puts a file into the queue, whole from the first look. Its path."""
        path = os.path.join(self.queue, path)
        hidden = os.path.join(self.home, "new-file")
        with open(hidden, "wb") as file:
            file.write(octets)
        os.chmod(hidden, 0o664)
        self.give(hidden)
        if not os.path.isdir(os.path.dirname(path)):
            os.makedirs(os.path.dirname(path))
            self.give(os.path.dirname(path))
        os.rename(hidden, path)
        return path

    def ring(self, line, fifo="runner"):
        """Writes a line into a FIFO of the queue, if anybody reads it."""
        try:
            fd = os.open(os.path.join(self.queue, "wake", fifo),
                         os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return
        os.write(fd, line.encode() + b"\n")
        os.close(fd)

    def without_tls(self):
        """From now on nobody is offered TLS."""
        folder = os.path.join(self.home, "service", "tlsd")
        if os.path.isdir(folder):
            subprocess.run(["svc", "-d", folder], check=True)
            wait_for(lambda: self.pid("tlsd") == 0)
        try:
            os.unlink(os.path.join(self.home, "socket", "tls"))
        except FileNotFoundError:
            pass

    def starts(self, service):
        """How often a long-lived service has begun its work."""
        return len(re.findall(r"[: ](?:takes|answers|runs)\b",
                              self.log(service)))

    def pid(self, service):
        """The process id of a service, from daemontools, or 0."""
        status = os.path.join(self.home, "service", service, "supervise",
                              "status")
        try:
            with open(status, "rb") as file:
                octets = file.read()
        except OSError:
            return 0
        return int.from_bytes(octets[12:16], "little")
