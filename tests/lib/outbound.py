"""The case of tests/whole/installed.t about mail to other hosts: remote reads its login
and nobody else does, and only remote has tls-client do TLS."""

import errno
import grp
import os
import shutil
import socket
import stat

from certificates import Authority
from installed import as_user, run
from smtpserver import Server
from stage import ANN, tap, who
from tap import wait_for


def restart(host, *services):
    """Starts them again; each says in its log when it works."""
    words = (" takes ", " answers", " runs", ": running", " status: ")

    def count(service):
        return sum(host.log(service).count(word) for word in words)
    for service in services:
        before, pid = count(service), host.pid(service)
        run("svc", "-t", f"{host.scan}/{service}")
        wait_for(lambda: host.pid(service) not in (0, pid) and
                 count(service) > before, 20)


def may_connect(path):
    """Whether tls-client talks with who calls: an answer comes for a request that
    is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asker:
        asker.settimeout(30)
        try:
            asker.connect(path)
            asker.send(b"no request")
            return len(asker.recv(4096)) > 0
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPIPE, errno.ECONNRESET):
                return False
            raise


def may_read(path):
    try:
        with open(path, "rb"):
            return True
    except PermissionError:
        return False


def smarthost(host):
    folder = f"{host.folder}/authority"
    os.mkdir(folder)
    authority = Authority(folder)
    secrets = f"{host.home}/secrets/smarthosts"
    with open(secrets, "w") as file:
        file.write("one:ann:secret of ann\n")
    os.chown(secrets, 0, grp.getgrnam("_keep-remote").gr_gid)
    os.chmod(secrets, 0o640)
    shutil.copy(authority.file, f"{host.home}/authorities.pem")
    host.control("tlsauthorities", f"{host.home}/authorities.pem\n")
    with Server(tls=authority.issue("mx.relay.test"), demands=True,
                users={"ann": "secret of ann"}) as server:
        host.control("smtproutes", f"relay.test:[127.0.0.1]:{server.port} "
                     "auth=one name=mx.relay.test\n")
        restart(host, "queue-runner", "tls-client")
        run(f"{host.prefix}/sbin/sendmail", "b@relay.test",
            input="Subject: out\n\nbody\n")
        message = server.wait_message()
        tap.ok(message and message.tls and message.session.login ==
               ("ann", "SCRAM-SHA-256"),
               "remote logs in at a smarthost whose name is verified",
               host.logs())
    path = f"{host.home}/socket/tls-client"
    tap.same((stat.S_IMODE(os.stat(path).st_mode), os.stat(path).st_gid),
             (0o660, grp.getgrnam("_keep-remote").gr_gid),
             "tls-client's socket is for remote's group")
    for name in ("_keep-remote", "root", "_keep-smtpd", "_keep-tlsc", ANN,
                 "nobody"):
        uid, own, groups = who(name)
        allowed = name in ("_keep-remote", "root")
        tap.same(as_user(uid, own, groups, may_connect, path), allowed,
                 f"{name} {'may' if allowed else 'may not'} ask tls-client")
        tap.same(as_user(uid, own, groups, may_read, secrets), allowed,
                 f"{name} {'can' if allowed else 'cannot'} read the logins")
    os.unlink(secrets)
    for name in ("smtproutes", "tlsauthorities"):
        os.unlink(f"{host.home}/control/{name}")
    os.unlink(f"{host.home}/authorities.pem")
    restart(host, "queue-runner", "tls-client")
