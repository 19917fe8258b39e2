"""Debian's postfix as a server to compare with: configuration, queue and port of its
own in a folder; it delivers by virtual(8). And the servers of a comparison."""

import os
import shutil
import socket
import subprocess

import measure
from measure import say

DAEMONS = "/usr/lib/postfix/sbin"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Postfix(measure.Server):
    name = "postfix"

    def __init__(self, folder, more=""):
        """more: lines of main.cf."""
        self.folder = folder
        self.more = more
        self.address = "user@keepmail.test"
        self.maildir = os.path.join(folder, "mail/user/Maildir")
        self.smtp_port = free_port()
        self.group = measure.Group("postfix")
        for part in ("etc", "queue", "data", "mail", "mail/user",
                     "mail/user/Maildir"):
            os.mkdir(os.path.join(folder, part))
        for part in ("new", "cur", "tmp"):
            os.mkdir(os.path.join(self.maildir, part))
        for path, _, _ in os.walk(os.path.join(folder, "mail")):
            shutil.chown(path, "nobody", "nogroup")
        shutil.chown(os.path.join(folder, "data"), "postfix", "postfix")
        self.configure()
        with self.group.inside():
            subprocess.run(["postfix", "-c", folder + "/etc", "start"],
                           check=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        if not measure.wait_for(self.answers, 20):
            raise RuntimeError("postfix does not answer")

    def configure(self):
        folder = self.folder
        with open(folder + "/etc/main.cf", "w") as file:
            file.write(f"""compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = {DAEMONS}
mail_owner = postfix
setgid_group = postdrop
myhostname = keepmail.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = keepmail.test
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:user/Maildir/
virtual_uid_maps = static:{os.stat(self.maildir).st_uid}
virtual_gid_maps = static:{os.stat(self.maildir).st_gid}
message_size_limit = 0
virtual_mailbox_limit = 0
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
{self.more}
""")
        # the services as packaged, but none in a chroot, and our port
        with open("/etc/postfix/master.cf") as file:
            lines = file.read().split("\n")
        with open(folder + "/etc/master.cf", "w") as file:
            for line in lines:
                words = line.split()
                if len(words) >= 8 and line[:1] not in "# \t":
                    words[4] = "n"
                    if words[:2] == ["smtp", "inet"]:
                        words[0] = f"127.0.0.1:{self.smtp_port}"
                    line = " ".join(words)
                file.write(line + "\n")

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.smtp_port),
                                          timeout=5) as one:
                return one.recv(4) == b"220 "
        except OSError:
            return False

    def end(self):
        subprocess.run(["postfix", "-c", self.folder + "/etc", "stop"],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        self.group.end()


def start_all(folder, more="", is_alone=False):
    """keepmail, and postfix if it can be and is wanted, in a folder that has k."""
    servers = [measure.Keepmail(os.path.join(folder, "k"))]
    if is_alone:
        return servers
    if os.geteuid() != 0:
        say("# skipped, postfix: it needs root")
    elif not os.path.exists(DAEMONS + "/master"):
        say("# skipped, postfix: it is not installed")
    else:
        os.mkdir(os.path.join(folder, "p"))
        try:
            servers.append(Postfix(os.path.join(folder, "p"), more))
        except BaseException:
            end_all(servers)
            raise
    return servers


def end_all(servers):
    for server in servers:
        server.end()
