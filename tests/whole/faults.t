#!/usr/bin/env python3
"""Each call on a file by each program that moves mail fails in turn, with EIO, EROFS,
ENOMEM, ENOSPC, EDQUOT or EMFILE, or writes less than it was given. The submitter is
told the truth; no program dies or goes round in circles; and when the fault is
over every accepted recipient gets its one outcome without a restart.

KEEPMAIL_FAULTS is how many calls are tried (0: all of them), chosen by
KEEPMAIL_SEED.
"""

import collections
import os
import random
import re
import sys
import time

sys.path[:0] = [os.path.join(os.path.dirname(__file__), "..", where)
                for where in ("lib", "crash")]
from tap import Tap, skip_all, wait_for
import host as crash
import lanes
from host import ANN, BOB, FAR, FORWARD, LATER, NOBODY, REFUSED

FAULTS = int(os.environ.get("KEEPMAIL_FAULTS", "90"))
SEED = int(os.environ.get("KEEPMAIL_SEED", time.time_ns() % 1000000))
LANES = 16 if FAULTS else 40  # most of the time they wait
NEVER = 1000000
KINDS = ("EIO", "EROFS", "ENOMEM", "ENOSPC", "EDQUOT", "EMFILE", "short")
# How many calls in a row fail.
COUNTS = (1, 1, 3)

# Which program fails, and what it has to do then (sender, recipients, size); and
# whether it finds that when it starts.
CASES = (
    ("queue-inject", ((ANN, [BOB], 60000), (ANN, [NOBODY], 0)), False),
    ("queue-runner", ((ANN, [BOB, FAR, REFUSED, NOBODY], 0), (ANN, [LATER], 0),
                      ("", [NOBODY], 0)), False),
    ("queue-runner", ((ANN, [BOB, NOBODY], 0), (ANN, [FAR], 0)), True),
    ("local", ((ANN, [BOB, ANN, NOBODY], 0), (ANN, [FORWARD], 0)), False),
    ("local", ((ANN, [BOB, NOBODY], 0), (ANN, [ANN], 0)), True),
    ("resolve", ((ANN, [BOB, NOBODY], 0),), False),
    ("warden", ((ANN, [BOB, ANN], 60000), (ANN, [FORWARD], 0)), False),
    ("remote", ((ANN, [FAR, REFUSED], 60000), (ANN, [LATER], 0)), False),
    ("remote", ((ANN, [FAR], 0), (ANN, [FAR], 0)), True),
)
# What is always tried, at the first calls with that in their path: a disk that goes
# while a message comes in, or a start finds one; too few descriptors for what an
# earlier run has left, or for a connection.
ALWAYS = (("queue-inject", "EROFS@queue/incoming/", 10, 3),
          ("queue-runner that finds work", "EMFILE@queue/active", 4, 1),
          ("queue-runner that finds work", "EMFILE@queue/jobs/", 5, 1),
          ("queue-runner that finds work", "EROFS@queue/", 3, 3),
          ("remote", "EMFILE@socket:", 2, 1))

tap = Tap()


def submit(host, name, sender, recipients, size):
    """As a mail client does it: again and again until it is accepted. Each try
    is a message of its own. (token that was accepted or None, tokens that were
    refused)."""
    refused = []
    for attempt in range(200):
        token = f"{name}-{attempt}"
        whole = f"{token}.{size}" if size else token
        if host.submit(token, recipients, sender, size):
            return whole, refused
        # 'N' is a promise, too; an end without an answer is none
        if b"N" in (host.answer[:1], host.answer[25:26]):
            refused.append(whole)
        host.revive()
        time.sleep(0.02)
    return None, refused


def judge(host, program, kind, said, accepted, refused):
    """What is wrong with the outcomes that can be seen."""
    seen, complaints = host.seen()
    count = collections.Counter((x.token, x.recipient, x.is_bounce)
                                for x in seen)
    complaints += [f"no outcome of {x}" for x in accepted if not count[x]]
    complaints += [f"refused, and delivered: {x}" for x in seen
                   if x.token in refused]
    twice = [x for x in accepted if count[x] > 1]
    # one bounce tells of several recipients
    if len({(x[0], x[2] or x[1]) for x in twice}) > 1 \
            or any(count[x] > 2 for x in twice):
        complaints.append(f"more than one twice: {twice}")
    # what cannot be read at the start has lost its results
    unread = r"active" + (r"|jobs/\S+" if kind == "EIO" else "")
    if program == "queue-runner" and any(not x[2] for x in twice) \
            and not re.search(rf"^failed .*/queue/({unread})/{crash.ID}", said,
                              re.M):
        complaints.append(f"delivered twice: {twice}")
    return complaints, twice


def leave(host, program, count):
    """The program will find the messages as an earlier run would have left them:
    jobs are handed out; for the runner, done as well."""
    if program == "queue-runner":
        host.stop("local")
        host.stop("remote")
        host.start(program)
    wait_for(lambda: len(host.jobs()) >= count, 10)
    if program == "queue-runner":
        host.running[program].kill()
        host.running.pop(program).wait()
        host.start("local")
        host.start("remote")
        wait_for(lambda: all(map(has_ended, host.jobs())), 10)


def has_ended(job):
    with open(job, "rb") as file:
        return file.read()[-10:-5] == b"\0\0\0\1E"


def try_point(host, case, kind, number, times):
    """One case with calls that fail. What the tracer said, and complaints."""
    program, messages, is_late = case
    host.stop(program)
    host.said.pop(program, None)

    def start_it():
        host.start(program, crash.TRACE, "fail", str(number), str(times), kind,
                   host.home, "--")
    if not is_late:
        start_it()
    accepted, refused, complaints = [], [], []
    for at, (sender, recipients, size) in enumerate(messages):
        token, no = submit(host, f"m{number}-{at}", sender, recipients, size)
        refused += no
        if token is None:
            complaints.append(f"message {at} was never accepted")
        else:
            accepted += [(token, *crash.expected(x)) for x in recipients]
    if is_late:
        leave(host, program, len(messages))
        start_it()
    start = time.monotonic()
    if not host.settle(60):
        complaints.append(f"the queue is not empty: {host.files()}")
    took = time.monotonic() - start
    host.stop(program)
    host.start(program)
    said = host.said.get(program, "")
    wrong, twice = judge(host, program, kind, said, accepted, refused)
    complaints += wrong
    complaints += re.findall(r"^died (?!Terminated|Killed).*", said, re.M)
    if complaints:
        complaints.append(host.logs())
    host.clear()
    return said, complaints, twice, took


def try_all(hosts, chosen):
    """(point, said, complaints, what came twice, seconds) of each."""
    return lanes.try_all(
        hosts, chosen, lambda host, *point: (point, *try_point(host, *point)),
        lambda error, *point: (point, "", [f"{error!r}"], [], 0))


def fitting(said):
    """How many calls there were for each kind of fault."""
    return {kind: int(count) for kind, count
            in re.findall(r"^(\w+) (\d+)$", said, re.M) if kind in KINDS}


def name_of(case):
    return case[0] + (" that finds work" if case[2] else "")


def report(case, results, most):
    program = name_of(case)
    mine = [x for x in results if x[0][0] is case]
    failed = collections.Counter(
        name for x in mine for name in re.findall(r"^failed (\w+)", x[1], re.M))
    kinds = collections.Counter(x[0][1] for x in mine if "failed " in x[1])
    tap.ok(failed or not mine, f"{program}: {sum(kinds.values())} faults, "
           f"{', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))}; at "
           f"{', '.join(f'{n} {name}' for name, n in sorted(failed.items()))}")
    bad = [x for x in mine if x[2]]
    tap.ok(not bad, f"{program}: one outcome for each recipient after each fault",
           "\n".join(f"{x[0][1]} at call {x[0][2]}, {x[0][3]} times:\n{x[1]}\n"
                     + "\n".join(x[2]) for x in bad[:5]))
    # a loop without a pause makes tens of thousands
    loops = [x for x in mine
             if any(n > 20 * most.get(kind, 0) + 2000
                    for kind, n in fitting(x[1]).items())]
    tap.ok(not loops, f"{program}: no loop without a pause",
           [(x[0][1:], x[1]) for x in loops[:5]])


def choose(counted):
    """Every call of every case, with every fault that it may have; or some."""
    random_one = random.Random(SEED)
    points = [(case, kind, number, random_one.choice(COUNTS))
              for case, said in counted
              for kind, calls in sorted(fitting(said).items())
              for number in range(1, calls + 1)]
    if not FAULTS or FAULTS >= len(points):
        return points, len(points)
    # as many of each program and kind, whatever their numbers
    groups = collections.defaultdict(list)
    for point in points:
        groups[name_of(point[0]), point[1]].append(point)
    for group in groups.values():
        random_one.shuffle(group)
    chosen = [(case, kind, number, times) for case, _ in counted
              for name, kind, last, times in ALWAYS if name == name_of(case)
              for number in range(1, last + 1)]
    while len(chosen) < FAULTS:
        chosen += [group.pop() for group in groups.values() if group]
    return chosen[:FAULTS], len(points)


def main():
    if not crash.build_trace():
        skip_all("this system does not let a process trace its children")
    tap.note(f"seed {SEED}; repeat with KEEPMAIL_SEED={SEED}")
    with lanes.hosts("faults", LANES) as hosts:
        clean = try_all(hosts, [(case, "EIO", NEVER, 1) for case in CASES])
        for point, said, complaints, _, _ in clean:
            tap.ok(fitting(said).get("EIO") and not complaints,
                   f"{name_of(point[0])}: runs without a fault", "\n".join(complaints))
        counted = sorted(((point[0], said) for point, said, *_ in clean),
                         key=lambda x: CASES.index(x[0]))
        points, total = choose(counted)
        results = try_all(hosts, points)
        for case, said in counted:
            report(case, results, fitting(said))
        twice = [x for x in results if x[3]]
        tap.note(f"{len(twice)} of {len(results)} made an outcome come twice")
        for x in sorted(results, key=lambda x: -x[4])[:3]:
            tap.note(f"{name_of(x[0][0])} {x[0][1:]} took {x[4]:.1f} s")
        tap.ok(sum("failed " in x[1] for x in results) > len(results) / 2,
               f"{len(results)} of {total} possible faults were tried")


main()
tap.done()
