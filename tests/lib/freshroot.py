"""A root of one's own for a test: the machine's files under a layer that takes every
change and vanishes (overlayfs on a tmpfs), with its own mounts, processes and network.
What is installed, started or removed there never was.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile

from installed import PATH, TOP, raise_loopback, run
from tap import skip_all

INSIDE = "KEEPMAIL_TEST_ROOT"
UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--net", "--uts",
           "--ipc", "--mount-proc", "--kill-child"]


def layer(lower, folder, target):
    """Mounts lower at target, with what changes there kept in folder."""
    for name in ("upper", "work"):
        os.makedirs(f"{folder}/{name}")
    os.makedirs(target, exist_ok=True)
    run("mount", "-t", "overlay", "overlay", "-o",
        f"lowerdir={lower},upperdir={folder}/upper,workdir={folder}/work",
        target)


def build_root(folder):
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
    root = f"{folder}/root"
    layer("/", f"{folder}/all", root)
    if not os.path.exists(f"{root}{TOP}/tools/install.table"):
        layer(TOP, f"{folder}/tree", f"{root}{TOP}")
    for name in ("usr", "var", "etc", "home", "root"):
        if os.path.ismount(f"/{name}"):
            layer(f"/{name}", f"{folder}/{name}", f"{root}/{name}")
    run("mount", "-t", "proc", "proc", f"{root}/proc")
    run("mount", "--rbind", "/dev", f"{root}/dev")
    for name in ("run", "tmp"):
        run("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", f"{root}/{name}")
    if TOP.startswith("/tmp/"):
        layer(TOP, f"{folder}/tree", f"{root}{TOP}")
    # dpkg would go through all manuals of the machine.
    for name in ("var/lib/man-db/auto-update",):
        if os.path.exists(f"{root}/{name}"):
            os.unlink(f"{root}/{name}")
    return root


def enter(before=lambda folder: None):
    """Makes a folder, calls before(folder) on the machine, and runs this script
    again with a root of its own. Returns in that run alone: its Root."""
    if INSIDE in os.environ:
        folder, fresh = os.environ[INSIDE].rsplit(":", 1)
        raise_loopback()
        if fresh == "try":
            build_root(folder)
            sys.exit(0)
        return Root(folder, build_root(f"{folder}/fresh"))
    if os.geteuid() != 0:
        skip_all("a root of its own needs root")
    folder = tempfile.mkdtemp(prefix="keepmail-root.")
    os.mkdir(f"{folder}/fresh")
    inner = []

    def again(words, **more):
        return subprocess.Popen(
            UNSHARE + [sys.executable, os.path.abspath(sys.argv[0])],
            env=dict(os.environ, **{INSIDE: words}), **more)

    def end(*_):
        for process in inner:
            process.kill()
        sys.exit(1)

    signal.signal(signal.SIGTERM, end)
    try:
        trial = again(f"{folder}/fresh:try", stdin=subprocess.DEVNULL,
                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        why = trial.communicate()[1].decode().strip()
        if trial.returncode != 0:
            skip_all("no root of its own: " + why.rpartition("\n")[2])
        before(folder)
        inner.append(again(f"{folder}:yes"))
        status = inner[0].wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(status if status >= 0 else 128 - status)


class Root:
    """The root, seen from outside of it: path is where its / stands."""

    def __init__(self, folder, path):
        self.folder = folder
        self.path = path
        self.environment = {
            "PATH": PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", "USER": "root",
            "DEBIAN_FRONTEND": "noninteractive"}

    def file(self, name):
        """Where a name of the root stands outside of it. Links on the way are
        followed as they would be in it, and so never to a file of the machine;
        the last part only if "/." follows."""
        found, links = [], 0
        parts = [part for part in reversed(name.split("/")) if part]
        while parts:
            part = parts.pop()
            if part == "..":
                found = found[:-1]
                continue
            path = "/".join([self.path] + found + [part])
            if not parts or part == "." or not os.path.islink(path):
                found += [part] if part != "." else []
                continue
            links += 1
            if links > 40:
                raise OSError(f"too many links in {name}")
            target = os.readlink(path)
            if target.startswith("/"):
                found = []
            parts += [part for part in reversed(target.split("/")) if part]
        return "/".join([self.path] + found)

    def read(self, name):
        with open(self.file(name + "/."), errors="replace") as file:
            return file.read()

    def write(self, name, text):
        with open(self.file(name + "/."), "w") as file:
            file.write(text)

    def run(self, *command, **more):
        """A command in it."""
        more.setdefault("env", self.environment)
        return run("chroot", self.path, *command, **more)

    def sh(self, line, **more):
        return self.run("bash", "-c", line, **more)

    def start(self, *command, log):
        """A program in it that stays, in a session of its own."""
        with open(log, "ab") as file:
            return subprocess.Popen(
                ["chroot", self.path, *command], stdin=subprocess.DEVNULL,
                stdout=file, stderr=file, env=self.environment,
                start_new_session=True, cwd="/")
