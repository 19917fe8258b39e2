#!/usr/bin/env python3
"""The Debian package: built from the tree, installed by dpkg in a root of its own,
run under systemd and three other supervisors, brought to another version, removed and
purged: no mail is lost on the way."""

import glob
import os
import shutil
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import freshroot
import package
from installed import SERVICES, TOP, run
from package import FOREIGN, HOME, Host
from tap import Tap, skip_all, wait_for

tap = Tap()
NEEDED = ("dpkg-buildpackage", "dh", "svscan", "s6-svscan", "runsvdir")


def install(root, host):
    path = root.folder
    if not tap.ok(os.path.exists(f"{path}/keepmail.deb"),
                  "dpkg-buildpackage builds it", tail(f"{path}/build.log")):
        return False
    tap.ok(glob.glob(f"{path}/keepmail_*.dsc"), "its source package too")
    # The machine may have another one, which only one's own root is rid of.
    for other in root.sh("dpkg-query -W -f '${Package} ${Provides}\\n' |"
                         " grep mail-transport-agent | cut -d' ' -f1",
                         ok=False).stdout.split():
        host.dpkg("--purge", "--force-depends", other, ok=False)
    root.write("/etc/mailname", "mail.example.org\n")
    # A small image may leave manuals out.
    root.sh("rm -f /etc/dpkg/dpkg.cfg.d/*")
    done = host.dpkg("-i", host.take("keepmail.deb"), ok=False)
    if not tap.ok(done.returncode == 0 and " ok installed" in host.state(),
                  "dpkg installs it", done.stdout):
        return False
    tap.ok("README.Debian" in done.stdout, "and is told where to read on",
           done.stdout)
    tap.same(host.ours(), [], "nothing runs that nobody has configured")
    tap.same(root.run("cat", "/etc/keepmail/me").stdout, "mail.example.org\n",
             "control/me is the name of the host")
    names = [line for line in root.run("dpkg", "-L", "keepmail").stdout.split("\n")
             if line.startswith("/usr/") and "/share/doc" not in line
             and line != "/usr/lib/sendmail"
             and not stat.S_ISDIR(os.lstat(root.file(line)).st_mode)]
    tap.same(package.listed(names), set(),
             "it has what tools/install.table lists, and nothing else")
    done = root.run("keepmail", "install-check", ok=False)
    tap.same((done.returncode, "0 FAIL" in done.stdout), (0, True),
             "install-check finds nothing wrong")
    marked = [n for n in names if os.lstat(root.file(n)).st_mode & 0o6000]
    tap.same(marked, [], "no file is set-uid or set-gid")
    return True


def depends(root, host):
    """What it is built with and where libowfat's source is."""
    with open(f"{TOP}/debian/control") as file:
        said = file.read()
    wanted = run("sed", "-n", '/^build="/,/"$/p', f"{TOP}/tools/packages").stdout
    names = set(wanted.replace("build=", "").replace('"', "").split())
    names -= {"gcc", "libc6-dev", "make"}
    tap.same([n for n in sorted(names) if f"\n {n}" not in said], [],
             "Build-Depends names what tools/packages has for the build")
    used = root.run("dpkg-query", "-W", "-f", "${Built-Using}", "keepmail").stdout
    tap.ok(used.startswith("libowfat (= "), "Built-Using names libowfat's source",
           used)
    done = host.dpkg("-i", host.take("foreign.deb"), ok=False)
    tap.ok(done.returncode != 0 and " ok installed" in host.state()
           and "conflict" in done.stdout,
           "another mail-transport-agent conflicts with it", done.stdout)
    tap.same(root.run("readlink", "-f", "/usr/lib/sendmail").stdout,
             "/usr/sbin/sendmail\n", "/usr/lib/sendmail is sendmail")


def under(root, host, name, command):
    """The same scripts under one supervisor, and the package's way to end them."""
    host.start(*command)
    if not works(root, host, name):
        return
    logs = [service for service in SERVICES
            if not os.path.exists(host.home(f"log/{service}/current"))]
    tap.same(logs, [], f"{name}: each service has its log")


def works(root, host, name):
    """Mail comes in and is fetched; all is there that should be."""
    mark = host.send_when_up()
    if not tap.ok(mark, f"{name}: a message is taken at port 25", host.logs()):
        return False
    tap.ok(host.fetches(mark), f"{name}: …and fetched from port 110", host.logs())
    want = {"authd", "countd", "local", "lookup", "queue-filter", "queue-inject",
            "queue-runner", "remote", "resolve", "tls-client", "tlsd", "warden"}
    tap.ok(wait_for(lambda: all(map(host.pid, want))
                    and len(host.tcpservers()) == 5),
           f"{name}: all services run", host.ours())
    memory = [line[7:] for line in root.read(f"{HOME}/service/settings").split("\n")
              if line.startswith("MEMORY=")]
    tap.same([p.limits["Max address space"][0] for p in host.tcpservers()],
             memory * 5,
             f"{name}: limits are set once, before tcpserver")
    return True


def by_systemd(root, host):
    """The units, under a systemd of the root's own."""
    name = "systemd"
    if not os.path.exists("/lib/systemd/systemd"):
        tap.skip(name, "no systemd here")
        return
    # It has nothing to say against them but that pages are not where it looks.
    said = root.run("systemd-analyze", "verify", "--man=no", "keepmail.target",
                    *[f"keepmail@{s}.service" for s in SERVICES], ok=False)
    tap.same([line for line in said.stdout.split("\n") if "keepmail" in line], [],
             "systemd-analyze has nothing to say against the units")
    if not host.start_systemd():
        tap.skip(name, "systemd does not start in namespaces here")
        host.end_systemd()
        return
    works(root, host, name)
    confined(host)
    before = host.pid("queue-runner")
    done = host.beside(*package.DPKG, "-i", "/root/keepmail.deb")
    tap.ok(done.returncode == 0 and wait_for(
        lambda: host.pid("queue-runner") not in (0, before)),
           f"{name}: services start again with another version", done.stdout)
    tap.ok(host.fetches(host.send_when_up()), f"{name}: …and take mail",
           host.ours())
    done = host.beside("sh", "/var/lib/dpkg/info/keepmail.prerm", "remove")
    tap.ok(done.returncode == 0 and host.gone(),
           f"{name}: what dpkg does before a removal ends all of it",
           (done.stdout, host.ours()))
    tap.ok(host.end_systemd(), f"{name}: its cgroup is gone")


def confined(host):
    """What the units take from the services."""
    free = {p.name for p in host.ours() if not p.no_new_privs}
    tap.same(free, {"warden"},
             "systemd: the warden's children alone may run set-uid programs")


def end(root, host, name):
    done = root.run("sh", "/var/lib/dpkg/info/keepmail.prerm", "remove", ok=False)
    tap.ok(done.returncode == 0 and host.gone(),
           f"{name}: what dpkg does before a removal ends all of it",
           (done.stdout, host.ours()))
    host.end_supervisor()
    for path in glob.glob(root.file("/etc/service/.s6-svscan")):
        shutil.rmtree(path)


def hold(root, host):
    """A message that waits in the queue, because local is down."""
    root.run("svc", "-d", "/etc/service/local")
    wait_for(lambda: not host.pid("local"))
    return host.send()


def upgrade(root, host):
    mark = hold(root, host)
    before = {name: host.pid(name) for name in ("queue-runner", "smtpd", "tlsd")}
    settings = root.read(f"{HOME}/service/settings")
    done = host.dpkg("-i", host.take("new.deb"), ok=False)
    tap.ok(done.returncode == 0 and host.state().endswith("installed 0.9"),
           "another version takes its place", done.stdout)
    tap.ok(wait_for(lambda: all(host.pid(n) not in (0, before[n])
                                for n in ("queue-runner", "tlsd"))),
           "services that run are started again", host.logs())
    tap.ok(not host.pid("local"), "one that was stopped stays so")
    tap.same(root.read(f"{HOME}/service/settings"), settings, "settings stay")
    root.run("svc", "-u", "/etc/service/local")
    tap.ok(host.arrives(mark), "what waited in the queue is delivered",
           host.logs())
    tap.ok(host.fetches(mark), "…and fetched with the password from before",
           host.logs())


def remove(root, host):
    mark = hold(root, host)
    mail = host.maildir()
    done = host.dpkg("-r", "keepmail", ok=False)
    tap.ok(done.returncode == 0 and not os.path.exists(
        root.file("/usr/sbin/sendmail")), "dpkg removes it", done.stdout)
    tap.ok(host.gone(), "all services have ended", host.ours())
    tap.same(glob.glob(root.file("/etc/service/*")), [], "no link is left")
    tap.ok(queued(host) == 1 and host.maildir() == mail and mail,
           "queue and mail stay")
    done = host.dpkg("-i", "/root/new.deb", ok=False)
    host.start("svscan", "/etc/service")
    tap.ok(host.arrives(mark), "installed again, it delivers what waited",
           (done.stdout, host.logs()))
    return mark


def purge(root, host):
    mark = hold(root, host)
    mail = host.maildir()
    done = host.dpkg("--purge", "keepmail", ok=False)
    tap.ok(done.returncode == 0 and not root.run(
        "dpkg-query", "-W", "keepmail", ok=False).stdout.startswith("keepmail"),
        "dpkg purges it", done.stdout)
    tap.ok(f"rm -rf {HOME}" in done.stdout, "and says how mail is removed",
           done.stdout)
    tap.ok(host.gone() and queued(host) == 1 and host.maildir() == mail and mark,
           "of itself it removes none")
    wanted = [line for line in done.stdout.split("\n")
              if line.startswith("  ")]
    root.sh("\n".join(wanted), ok=False)
    left = root.sh("getent passwd; getent group", ok=False).stdout
    tap.ok(not os.path.exists(host.home()) and "keep-" not in left,
           "what it says removes mail, queue, users and groups", left)
    done = host.dpkg("-i", "/root/foreign.deb", ok=False)
    tap.ok(" ok installed" in host.state(FOREIGN),
           "another mail-transport-agent can be installed then", done.stdout)


def queued(host):
    return len(glob.glob(host.home("queue/active/*"))
               + glob.glob(host.home("queue/incoming/*")))


def tail(path):
    with open(path, errors="replace") as file:
        return "".join(line for line in file.readlines()[-40:]
                       if not line.startswith("gcc "))


def main():
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing:
        skip_all(f"no {', '.join(missing)} here")
    root = freshroot.enter(package.build)
    host = Host(root)
    if tap.case(install, root, host):
        root.sh("rm -rf /etc/service && mkdir /etc/service")
        tap.case(depends, root, host)
        tap.case(host.configure)
        tap.case(by_systemd, root, host)
        for name, command in (("s6", ("s6-svscan", "/etc/service")),
                              ("runit", ("runsvdir", "/etc/service")),
                              ("daemontools", ("svscan", "/etc/service"))):
            tap.case(under, root, host, name, command)
            if name != "daemontools":
                tap.case(end, root, host, name)
        for case in (upgrade, remove, purge):
            tap.case(case, root, host)
    tap.done()


main()
