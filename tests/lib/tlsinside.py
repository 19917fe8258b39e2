"""Cases of tests/whole/installed.t: who may read a private key of tlsd, who may ask
it, and what its parts are."""

import os
import pwd
import stat

import identity
import tlsasker
from installed import Process, as_user, run
from stage import ANN, BOB, gid, tap, who
from tap import wait_for


def make_certificate(host):
    """As tlsd(8) says: the key first."""
    folder = f"{host.home}/tls"
    tap.same(stat.filemode(os.stat(folder).st_mode), "drwxr-x---",
             "tls/ is closed to others")
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=mail.example.org",
        "-addext", "subjectAltName=DNS:mail.example.org", "-keyout",
        f"{host.prefix}/key", "-out", f"{host.prefix}/pem")
    run("install", "-m", "0640", "-g", "_keep-tls", f"{host.prefix}/key",
        f"{folder}/mail.key")
    run("install", "-m", "0644", f"{host.prefix}/pem", f"{folder}/mail.pem")
    for name in ("key", "pem"):
        os.unlink(f"{host.prefix}/{name}")
    return folder


def can_read(path):
    try:
        with open(path, "rb") as file:
            return bool(file.read())
    except PermissionError:
        return False


def ask(path, service):
    """The status of the answer, or what else came of it."""
    try:
        asker = tlsasker.Asker(path)
        status = asker.ask(service).status
        asker.close()
        return {tlsasker.OFFERED: "offered",
                tlsasker.REFUSED: "refused"}.get(status, str(status))
    except PermissionError:
        return "closed"
    except ConnectionError:
        return "refused"


def tls(host):
    path = f"{host.home}/socket/tls"
    tap.ok(not os.path.exists(path), "without a certificate there is no socket")
    folder = make_certificate(host)
    tap.ok(wait_for(lambda: os.path.exists(path) and host.log("tlsd").endswith(
        "certificates: 1\n"), 30), "with one there is", host.log("tlsd"))
    found = os.stat(path)
    tap.same((stat.filemode(found.st_mode), found.st_uid, found.st_gid),
             ("srw-rw----", 0, gid("keep-suite")), "for the suite alone")
    readers = [user for user in sorted(
        e.pw_name for e in pwd.getpwall() if e.pw_name.startswith("_keep-"))
        + [ANN, BOB, "nobody"]
        if as_user(*who(user), can_read, f"{folder}/mail.key")]
    tap.same(readers, ["_keep-tls"], "who can read the private key")
    suite = gid("keep-suite")
    for user, groups, wanted in (
            ("_keep-smtpd", None, ["offered", "offered", "refused", "refused"]),
            ("_keep-pop3d", None, ["refused", "refused", "offered", "refused"]),
            ("root", [], ["offered", "offered", "offered", "refused"]),
            ("_keep-local", [suite], ["refused"] * 4),
            ("nobody", [suite], ["refused"] * 4),
            ("nobody", None, ["closed"] * 4)):
        uid, own, its = who(user)
        tap.same([as_user(uid, own, its if groups is None else groups, ask,
                          path, service) for service in (1, 2, 3, 4)], wanted,
                 f"tlsd and {user}{'' if groups is None else ' with groups'}")
    parts(host)
    for name in ("mail.pem", "mail.key"):
        os.unlink(f"{folder}/{name}")
    tap.ok(wait_for(lambda: not os.path.exists(path), 30),
           "without it there is none again", host.log("tlsd"))


def parts(host):
    parent = Process(host.pid("tlsd"))
    identity.is_role(parent, "tlsd")
    signer = identity.the_child(host.pid("tlsd"), "tlsd")
    identity.is_user(signer, "_keep-tls", "_keep-tls", (), "its signing part")
    identity.is_confined(signer, "its signing part")
    identity.is_closed(signer, "its signing part")
