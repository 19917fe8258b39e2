#!/usr/bin/env python3
"""kill -9 of each program just before its n-th call that changes a file or tells
another process something, for every n: with all of it running again, every
accepted recipient gets its one outcome, and no outcome comes twice but those that
were in flight.

KEEPMAIL_STOPS is how many points are tried of all there are (0: all of them),
chosen by KEEPMAIL_SEED.
"""

import collections
import os
import random
import re
import sys
import time

sys.path[:0] = [os.path.join(os.path.dirname(__file__), "..", where)
                for where in ("lib", "crash")]
from tap import Tap, skip_all
import host as crash
import lanes
from host import ANN, BOB, FAR, FORWARD, LATER, NOBODY, REFUSED

STOPS = int(os.environ.get("KEEPMAIL_STOPS", "0"))
SEED = int(os.environ.get("KEEPMAIL_SEED", time.time_ns() % 1000000))
LANES = 8
NEVER = 1000000

# Which program is stopped, its one process or all of it, what it has to do then
# (sender, recipients, size), and how many outcomes may come twice; None: each of
# them may come twice, because all that are under way may be in its hands.
CASES = (
    ("queue-inject", "one", ((ANN, [BOB], 0), (ANN, [NOBODY], 60000)), 1),
    ("queue-inject", "all", ((ANN, [BOB], 0), (ANN, [FORWARD], 0)), 1),
    # What a channel has done is not done again. A bounce that was submitted
    # but not yet noted is.
    ("queue-runner", "one", ((ANN, [BOB, FAR, REFUSED, NOBODY], 0),
                             (ANN, [LATER], 0), ("", [NOBODY], 0)), 1),
    ("local", "one", ((ANN, [BOB, ANN, NOBODY], 0), (ANN, [FORWARD], 0)), None),
    ("resolve", "one", ((ANN, [BOB, NOBODY], 0),), 0),
    ("warden", "one", ((ANN, [BOB, ANN], 0), (ANN, [FORWARD], 0)), 1),
    ("warden", "all", ((ANN, [BOB], 60000), (ANN, [FORWARD], 0)), None),
    ("remote", "one", ((ANN, [FAR, REFUSED], 0), (ANN, [LATER], 0)), None),
    ("remote", "all", ((ANN, [FAR, REFUSED], 60000), (ANN, [LATER], 0)), None),
)

tap = Tap()


def submit(host, name, sender, recipients, size):
    """As a mail client does it: again and again until there is an answer. Each
    try is a message of its own. The token of the one that was accepted."""
    for attempt in range(100):
        token = f"{name}-{attempt}"
        if host.submit(token, recipients, sender, size):
            return f"{token}.{size}" if size else token
        host.revive()
        time.sleep(0.02)
    return None


def try_point(host, case, number):
    """Runs one case with a stop at the call of that number. ("stopped CALL" or
    "", calls counted, complaints)."""
    program, who, messages, limit = case
    host.stop(program)
    host.said.pop(program, None)
    host.start(program, crash.TRACE, "stop", str(number), who, "--")
    accepted, complaints = [], []
    for at, (sender, recipients, size) in enumerate(messages):
        token = submit(host, f"m{number}-{at}", sender, recipients, size)
        if token is None:
            complaints.append(f"message {at} was never accepted")
        else:
            accepted += [(token, *crash.expected(x)) for x in recipients]
    if not host.settle():
        complaints.append(f"the queue is not empty: {host.files()}")
    host.stop(program)
    host.start(program)
    said = host.said.get(program, "")
    seen, wrong = host.seen()
    complaints += wrong
    count = collections.Counter((x.token, x.recipient, x.is_bounce)
                                for x in seen)
    complaints += [f"no outcome of {x}" for x in accepted if not count[x]]
    most = 2 if re.search("stopped", said) else 1
    # Each attempt in flight may be repeated once: that of a message, and that of
    # the forward or the bounce which it has led to, if they were so together.
    copies = collections.Counter(seen)
    complaints += [f"{n} copies of {x}" for x, n in copies.items() if n > most]
    idents = collections.Counter((x.token, x.recipient, x.is_bounce)
                                 for x in copies)
    complaints += [f"{idents[x]} messages for {x}" for x in accepted
                   if idents[x] > most]
    twice = [x for x in accepted if count[x] > 1]
    # one bounce tells of several recipients
    if limit is not None and len({(x[0], x[2] or x[1]) for x in twice}) > limit:
        complaints.append(f"more than {limit} twice: {twice}")
    if program == "queue-runner" and any(not x[2] for x in twice):
        complaints.append(f"delivered twice: {twice}")
    if complaints:
        complaints.append(host.logs())
    host.clear()
    calls = re.search(r"calls (\d+)", said)
    stop = re.search(r"stopped (\w+)", said)
    return (stop.group(1) if stop else "",
            int(calls.group(1)) if calls else 0, complaints)


def try_all(hosts, chosen):
    """(case, number, call, calls counted, complaints) of each."""
    return lanes.try_all(
        hosts, chosen, lambda host, *point: (*point, *try_point(host, *point)),
        lambda error, *point: (*point, "", 0, [f"{error!r}"]))


def report(case, results, total):
    program, who, _, _ = case
    mine = [x for x in results if x[0] is case]
    stopped = [x for x in mine if x[2]]
    calls = collections.Counter(x[2] for x in stopped)
    bad = [x for x in mine if x[4]]
    what = f"{program} ({who} of its processes)"
    tap.ok(stopped or not mine, f"{what}: stopped at {len(stopped)} of about {total} calls:"
           f" {', '.join(f'{n} {name}' for name, n in sorted(calls.items()))}")
    tap.ok(not bad, f"{what}: one outcome for each recipient after each stop",
           "\n".join(f"at call {x[1]} ({x[2]}):\n" + "\n".join(x[4])
                     for x in bad[:5]))


def main():
    if not crash.build_trace():
        skip_all("this system does not let a process trace its children")
    tap.note(f"seed {SEED}; repeat with KEEPMAIL_SEED={SEED}")
    with lanes.hosts("stop", LANES) as hosts:
        counted = try_all(hosts, [(case, NEVER) for case in CASES])
        points = []
        for case, _, _, calls, complaints in counted:
            tap.ok(calls > 0 and not complaints,
                   f"{case[0]} ({case[1]}): runs without a stop",
                   "\n".join(complaints))
            points += [(case, number) for number in range(1, calls + 1)]
        random.Random(SEED).shuffle(points)
        if STOPS:
            points = points[:STOPS]
        results = try_all(hosts, points)
        for case in CASES:
            report(case, results, [x[3] for x in counted if x[0] is case][0])
        tap.ok(any(x[2] for x in results),
               f"stopped at {sum(bool(x[2]) for x in results)} points in all")


main()
tap.done()
