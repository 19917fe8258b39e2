"""Other people's mail servers as receivers, from Debian's packages, unpacked and not
installed: they take mail at a port of theirs and hand it on to a sink, so that what
has come can be looked at. They need root and namespaces (installed.enter), in which
users and folders of theirs are made."""

import os
import shutil
import socket
import subprocess

from certificates import self_signed
from tap import wait_for
from unpacked import libraries, unpacked


def add_user(name, group=None):
    """A system user, and another group; in a private /etc."""
    subprocess.run(["groupadd", "-f", "-r", group or name], check=True)
    if subprocess.run(["id", name], stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL).returncode != 0:
        subprocess.run(["useradd", "-r", "-M", "-N", "-g", group or name, "-d",
                        "/nonexistent", "-s", "/usr/sbin/nologin", name],
                       check=True)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as one:
            return one.recv(4) in (b"220 ", b"220-")
    except OSError:
        return False


class Receiver:
    """Takes mail for its domain at 127.0.0.1, port; refuses absent@ with 550 and
    busy@ with 450; hands on the rest to 127.0.0.1, onward. log() is what it
    logs."""

    def __init__(self, folder, domain, onward):
        self.folder = os.path.join(folder, self.name)
        self.domain = domain
        self.onward, self.port = onward, free_port()
        os.mkdir(self.folder)
        os.chmod(self.folder, 0o755)
        self.path = os.path.join(self.folder, "log")
        self.certificate = self_signed(self.folder, f"mx.{domain}")
        os.chmod(self.certificate[1], 0o600)
        self.root = unpacked(self.name, *self.programs)
        self.prepare()
        with open(self.path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=self.environment())
        if not wait_for(lambda: answers(self.port), 20):
            self.end()
            raise RuntimeError(f"{self.name} does not answer: {self.log()}")

    def environment(self):
        return libraries(self.root)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def log(self):
        with open(self.path, errors="replace") as file:
            return file.read()

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


class Postfix(Receiver):
    name = "postfix"
    takes_utf8 = True
    has_tls = True
    programs = ("/usr/lib/postfix/sbin/smtpd", "/usr/lib/postfix/sbin/smtp",
                "/usr/lib/postfix/sbin/cleanup")
    # service, type, private, unprivileged, chroot, wakeup, processes, command
    MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
    MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = {root}/usr/sbin
daemon_directory = {root}/usr/lib/postfix/sbin
shlib_directory = {root}/usr/lib/postfix
meta_directory = {folder}
import_environment = MAIL_CONFIG MAIL_DEBUG TZ LANG LD_LIBRARY_PATH
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.{domain}
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
alias_maps =
alias_database =
relay_domains = {domain}
relay_recipient_maps =
relay_transport = relay:[127.0.0.1]:{onward}
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = check_recipient_access inline:{{
 {{absent@{domain} = 550 5.1.1 nobody}} {{busy@{domain} = 450 4.2.0 later}} }}
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate[0]}
smtpd_tls_key_file = {certificate[1]}
smtpd_tls_received_header = yes
smtputf8_autodetect_classes = all
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
"""

    def prepare(self):
        add_user("postfix")
        add_user("postdrop")
        folder = self.folder
        for part in ("active bounce corrupt defer deferred flush hold incoming "
                     "private saved trace maildrop public pid").split():
            os.makedirs(f"{folder}/queue/{part}")
            if part != "pid":
                shutil.chown(f"{folder}/queue/{part}", "postfix", "postdrop")
            os.chmod(f"{folder}/queue/{part}",
                     {"maildrop": 0o730, "public": 0o710,
                      "pid": 0o755}.get(part, 0o700))
        os.mkdir(f"{folder}/data")
        shutil.chown(f"{folder}/data", "postfix", "postfix")
        self.write("main.cf", self.MAIN.format(**vars(self)))
        self.write("master.cf", self.MASTER.format(**vars(self)))
        self.write("dynamicmaps.cf", "")
        self.path = f"{folder}/log"

    def command(self):
        return [f"{self.root}/usr/lib/postfix/sbin/master", "-c", self.folder,
                "-d"]

    def environment(self):
        return dict(libraries(self.root), MAIL_CONFIG=self.folder)


class OpenSMTPD(Receiver):
    name = "opensmtpd"
    takes_utf8 = False
    # Debian's package offers STARTTLS, but under OpenSSL 3 cannot sign: a handshake
    # with any client ends with an alert.
    has_tls = False
    programs = ("/usr/sbin/smtpd",)
    SETTINGS = """
pki own cert "{certificate[0]}"
pki own key "{certificate[1]}"
table absent {{ "absent@{domain}" }}
table busy {{ "busy@{domain}" }}
filter "absent" phase rcpt-to match rcpt-to <absent> reject "550 nobody"
filter "busy" phase rcpt-to match rcpt-to <busy> reject "450 later"
filter "both" chain {{ "absent", "busy" }}
listen on 127.0.0.1 port {port} tls pki own hostname mx.{domain} filter "both"
action "on" relay host smtp://127.0.0.1:{onward}
match from any for domain "{domain}" action "on"
"""

    def prepare(self):
        add_user("opensmtpd")
        add_user("opensmtpq")
        # paths that are built in; nobody else sees these
        for path in ("/var/spool", "/var/lib", "/run"):
            subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs",
                            path], check=True)
        os.makedirs("/var/lib/opensmtpd/empty", 0o755)
        path = self.write("smtpd.conf", self.SETTINGS.format(**vars(self)))
        os.chmod(path, 0o600)

    def command(self):
        return [f"{self.root}/usr/sbin/smtpd", "-d", "-f",
                f"{self.folder}/smtpd.conf"]
