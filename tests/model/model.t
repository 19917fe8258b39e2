#!/usr/bin/env python3
"""spin looks at every state that the model of the queue (queue.pml) can come to,
with processes killed and power cut anywhere: nothing accepted is lost, nothing is
done twice but what a crash excuses, nothing hangs or goes round for ever. Then one
safeguard at a time is taken away, and spin must see it."""

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from tap import Tap, skip_all

MODEL = os.path.join(HERE, "queue.pml")
MEMORY_MIB = 900
SECONDS = 120
# How many kills, power cuts and failing syncs. KEEPMAIL_STATES=0 asks for more.
SAFE = [(2, 0, 1), (1, 1, 1), (0, 2, 1)]
LIVE = (1, 1, 0)
if os.environ.get("KEEPMAIL_STATES") == "0":
    SAFE.append((2, 1, 0))

for needed in ("spin", "gcc"):
    if not shutil.which(needed):
        skip_all(f"{needed} is not installed")
tap = Tap()


def run(folder, *command):
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=SECONDS, check=False)
    text = done.stdout.decode(errors="replace")
    if command[0] != "./pan" and done.returncode != 0:
        raise RuntimeError(f"{command}: {text}")
    return text


def search(counts, bug=None, is_live=False):
    """What spin's search said, and the way to an error if there was one."""
    defined = [f"-D{name}={count}" for name, count
               in zip(("KILLS", "CUTS", "FAILURES"), counts)]
    if bug:
        defined.append(f"-D{bug}")
    with tempfile.TemporaryDirectory() as folder:
        run(folder, "spin", *defined, "-a", MODEL)
        run(folder, "gcc", "-w", "-O0" if bug else "-O2", "-DCOLLAPSE",
            f"-DMEMLIM={MEMORY_MIB}",
            *(() if is_live else ("-DNOCLAIM", "-DSAFETY")),
            "-o", "pan", "pan.c")
        said = run(folder, "./pan", "-m200000", *(["-a"] if is_live else ()))
        trail = os.path.join(folder, "queue.pml.trail")
        steps = ""
        if os.path.exists(trail) and not bug:
            steps = run(folder, "spin", *defined, "-t", "-p", "-g", "-k",
                        trail, MODEL)
        return said, steps


def is_whole(said):
    """Every state was looked at and none was wrong."""
    return re.search(r"errors: 0$", said, re.M) and not re.search(
        r"not completed|max search depth too small|MEMLIM", said)


def states(said):
    found = re.search(r"(\d+) states, stored", said)
    return int(found.group(1)) if found else 0


def sound(counts, is_live):
    said, steps = search(counts, is_live=is_live)
    kills, cuts, failures = counts
    what = "it always comes to an end" if is_live else \
        "nothing is lost or done twice"
    tap.ok(is_whole(said) and states(said) > 100000,
           f"{kills} kills, {cuts} power cuts, {failures} failing syncs: {what} "
           f"({states(said)} states)", said + steps)


def seen(bug, said):
    found = re.search(r"^pan:1: (.*?)(?: \(at depth \d+\))?$", said, re.M)
    tap.ok(found and not found.group(1).startswith("invalid end"),
           f"{bug} is seen: {found.group(1) if found else 'it is not'}", said)


def main():
    with open(MODEL, encoding="ascii") as file:
        bugs = sorted(set(re.findall(r"^#ifn?def (BUG_\w+)$", file.read(),
                                     re.M)))
    tap.ok(len(bugs) >= 10, f"{len(bugs)} safeguards can be taken away")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        tries = [(bug, pool.submit(search, (1, 1, 1), bug)) for bug in bugs]
        for bug, future in tries:
            seen(bug, future.result()[0])
    for counts in SAFE:
        sound(counts, False)
    sound(LIVE, True)


tap.case(main)
tap.done()
