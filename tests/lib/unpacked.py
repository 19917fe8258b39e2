"""Servers from Debian's packages that are unpacked and not installed (fetch-client), so
that nothing starts that no test has started."""

import glob
import os
import subprocess

from instance import BUILD

FETCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fetch-client")
FOLDER = os.path.join(BUILD, "clients")


class Missing(Exception):
    """Says why a server cannot be had."""


def fetch(name):
    """Gets the package, if it can be had; needs the network."""
    subprocess.run([FETCH, name, FOLDER], stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   timeout=120)


def libraries(root):
    """The environment in which its programs find their libraries; those of the
    machine come first."""
    folders = [f"{root}/usr/lib/postfix", *glob.glob("/usr/lib/*-linux-gnu"),
               *glob.glob(f"{root}/usr/lib/*-linux-gnu"),
               *glob.glob(f"{root}/lib/*-linux-gnu")]
    return dict(os.environ, LD_LIBRARY_PATH=":".join(folders))


def unpacked(name, *programs):
    """The folder with the package, if its programs can run."""
    root = os.path.join(FOLDER, name)
    if not os.path.isdir(root):
        raise Missing(f"{name} cannot be fetched")
    for program in programs:
        run = subprocess.run(["ldd", root + program], stdout=subprocess.PIPE,
                             text=True, env=libraries(root))
        missing = [line.split()[0] for line in run.stdout.splitlines()
                   if "not found" in line]
        if missing:
            raise Missing(f"{name}: libraries are missing: "
                          + " ".join(missing))
    return root
