#!/usr/bin/env python3
"""A power cut at any call of a run with all kinds of mail: whatever of the changes
that were not synced a POSIX file system may leave, the restarted programs give
every accepted recipient its one outcome, whole, and repeat none that was
committed.

One run is recorded (tests/crash/trace.c); tests/crash/model.py makes from the
record what a cut may leave; the real programs are started on it.

KEEPMAIL_STATES is how many cuts are tried (0: four after each call), chosen by
KEEPMAIL_SEED. The seed repeats the choice; what runs at the same time comes in
another order in every run.
"""

import collections
import hashlib
import os
import random
import shutil
import sys
import tempfile
import time

sys.path[:0] = [os.path.join(os.path.dirname(__file__), "..", where)
                for where in ("lib", "crash")]
from tap import Tap, skip_all
import host as crash
import model
import recording
import trial
import verdict

STATES = int(os.environ.get("KEEPMAIL_STATES", "840"))
SEED = int(os.environ.get("KEEPMAIL_SEED", time.time_ns() % 1000000))
LANES = 8

tap = Tap()


def record(folder, peer):
    """Calls of a run, and the disk before it."""
    host = crash.Host(folder, "first", peer).make()
    disk = model.Disk()
    recording.load(disk, host.home)
    log = os.path.join(folder, "log")
    with recording.Recorder(host, log) as recorder:
        recorder.work()
    calls = recording.read_log(log, host.home)
    return host, disk, calls


def is_same(host, disk):
    """The model's end is what the run has left."""
    other = model.Disk()
    recording.load(other, host.home)
    return disk.state("all", None) == other.state("all", None)


def choose(calls, random_one):
    """Which (number of calls before the cut, policy) are tried."""
    cuts = [(number, policy) for number in range(1, len(calls) + 1)
            for policy in model.POLICIES]
    if not STATES or STATES >= len(cuts):
        return cuts
    # Each answer to a submitter is cut right after it: the promise is given.
    promised = [(number, "none") for number, call in enumerate(calls)
                if call.name in ("send", "mark")
                and call.octets[:5] in (b"A\0\0\0\x14", b"delet", b"peer ")]
    rest = random_one.sample(cuts, len(cuts))
    chosen = dict.fromkeys(promised + rest)
    return sorted(list(chosen)[:STATES])


def make_states(disk, calls, chosen, lanes):
    """Plays the calls, and gives each new state with its promise to the lanes. How
    many states there were, by policy, and how many different ones."""
    ledger, known, count = verdict.Ledger(), set(), collections.Counter()
    random_one = random.Random(SEED)
    chosen = list(chosen)
    for number, call in enumerate(calls, 1):
        ledger.note(call, disk)
        recording.play(disk, call)
        while chosen and chosen[0][0] == number:
            policy = chosen.pop(0)[1]
            state = disk.state(policy, random_one)
            promise = verdict.Promise(ledger, disk.state("none", None))
            # the same files with more promised are another case
            key = hashlib.sha256(repr((sorted(state.items()), sorted(
                promise.accepted), promise.at_peer, sorted(promise.deleted),
                sorted(promise.open.items()))).encode()).digest()
            count[policy] += 1
            if key not in known:
                known.add(key)
                lanes.put((number, policy), state, promise)
    return count, len(known)


def try_all(folder, peer, disk, calls, chosen):
    with trial.Lanes(folder, peer, LANES) as lanes:
        count, different = make_states(disk, calls, chosen, lanes)
    return count, different, lanes.results


def describe(calls, result):
    (number, policy), complaints = result
    call = calls[number - 1]
    return (f"cut after call {number} ({call.program}: {call.name} "
            f"{call.path or ''}), {policy} of what was not synced:\n"
            + "\n".join(complaints))


def main():
    if not crash.build_trace():
        skip_all("this system does not let a process trace its children")
    tap.note(f"seed {SEED}; repeat with KEEPMAIL_SEED={SEED}")
    folder = tempfile.mkdtemp(prefix="keepmail-loss.")
    os.chmod(folder, 0o777)
    try:
        peer = crash.Peer()
        host, disk, calls = record(folder, peer)
        names = collections.Counter(call.name for call in calls)
        tap.ok(names["sync"] > 20 and names["rename"] > 20,
               f"recorded {len(calls)} calls: "
               + ", ".join(f"{n} {name}" for name, n in sorted(names.items())))
        chosen = choose(calls, random.Random(SEED))
        count, different, results = try_all(folder, peer, disk, calls, chosen)
        tap.ok(is_same(host, disk), "the model ends as the run did")
        report(calls, chosen, count, different, results)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def report(calls, chosen, count, different, results):
    tap.ok(len(results) == different >= min(STATES or 600, 600) * 0.7,
           f"{len(chosen)} cuts, {different} different states after them")
    for policy in model.POLICIES:
        bad = sorted(x for x in results if x[0][1] == policy and x[1])
        tap.ok(not bad, f"{policy} of what was not synced: each recipient has "
               f"its outcome in {count[policy]} states",
               f"{len(bad)} states\n" + "\n".join(describe(calls, x)
                                                  for x in bad[:5]))


main()
tap.done()
