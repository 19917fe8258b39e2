"""The people, the mail and the look-ups that the cases of tests/whole/installed.t
share."""

import glob
import grp
import os
import poplib
import pwd
import smtplib

from tap import Tap

ANN, BOB = "kmtestann", "kmtestbob"
# An account of the user database whose mail is not _keep-vmail's but Bob's.
ERIN = "erin@example.org"
PASSWORD = {ANN: "ann's secret", BOB: "bob's secret",
            "carol@example.org": "carol's secret",
            "dave@example.org": "dave's secret", ERIN: "erin's secret"}

tap = Tap()


def who(name):
    entry = pwd.getpwnam(name)
    return entry.pw_uid, entry.pw_gid, sorted(os.getgrouplist(
        name, entry.pw_gid))


def gid(name):
    return grp.getgrnam(name).gr_gid


def login(host, name, password=None):
    pop = poplib.POP3("127.0.0.1", host.port("pop3"), timeout=30)
    try:
        pop.user(name)
        pop.pass_(password or PASSWORD[name])
    except BaseException:
        pop.close()
        raise
    return pop


def refused(host, name, password):
    try:
        login(host, name, password).quit()
    except poplib.error_proto as error:
        return str(error)
    return None


def send(host, *recipients, text="Subject: test\r\n\r\nbody\r\n"):
    with smtplib.SMTP("127.0.0.1", host.port("smtp"), "client.test",
                      timeout=30) as client:
        client.sendmail("sender@client.test", recipients, text)


def maildir(host, name):
    if name == ERIN:
        return f"{pwd.getpwnam(BOB).pw_dir}/erin/Maildir"
    if "@" in name:
        local, domain = name.split("@")
        return f"{host.home}/mail/{domain}/{local}/Maildir"
    return f"{pwd.getpwnam(name).pw_dir}/Maildir"


def new_mail(host, name):
    return glob.glob(f"{maildir(host, name)}/new/*")


def queue_files(host):
    """Messages on their way to recipients."""
    return glob.glob(f"{host.home}/queue/active/*")
