#!/usr/bin/env python3
"""What administrators ask of the runner: hold, release, delete, bounce, retry and
route, on messages in every state; who may not; a runner that does not run; and
request files that are none."""

import glob
import json
import os
import re
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import queuefile as q
from tap import Tap, wait_for
from instance import BUILD, Instance
from sink import Sink

tap = Tap()
HOLD, RELEASE, DELETE, BOUNCE, RETRY, ROUTE = range(1, 7)
NOWHERE = "0" * 32
QUOTED = '"la\\"later"@two.test'


class Host(Sink):
    """Puts later@ off, lets slow@ wait until gate is set, takes everybody else."""

    def __init__(self, is_kind=False, **more):
        self.gate = threading.Event()
        self.is_kind = is_kind
        super().__init__(**more)

    def answer(self, verb, line):
        if verb == b"RCPT" and b"slow" in line:
            self.gate.wait(60)
        return b"450 4.2.0 later" if verb == b"RCPT" and b"later" in line \
            and not self.is_kind else b"250 ok"


def inject(recipients, subject, sender=None, **more):
    name = q.ident()
    host.put("incoming/" + name, q.message(
        host.address if sender is None else sender, recipients,
        content=f"Subject: {subject}\n\nx\n".encode(), **more))
    host.ring("incoming/" + name)
    return name


def place(name):
    for path in host.queued():
        if os.path.basename(path) == name:
            return os.path.relpath(path, host.queue).split("/")[0]
    return None


def path_of(name):
    return [p for p in host.queued() if os.path.basename(p) == name][0]


def comes_to(name, where, seconds=20):
    return wait_for(lambda: place(name) == where, seconds)


def ask(operation, *arguments, **more):
    run = host.run("queue-request", operation, *arguments, **more)
    run.stdout, run.stderr = run.stdout.decode(), run.stderr.decode()
    return run


def request(operation, ids, text="", places=None):
    octets = q.record("Q", bytes([operation]) + q.text(text))
    for number, name in enumerate(ids):
        octets += q.record("I", name.encode()
                           + q.text(places[number] if places else ""))
    return octets


def answer(name, seconds=20):
    """The verdicts (id, done, text) on a request that was put by hand."""
    path = os.path.join(host.queue, "requests", name + ".done")
    if not wait_for(lambda: os.path.exists(path), seconds):
        return None
    with open(path, "rb") as file:
        found = q.records(file.read())
    os.unlink(path)
    verdicts = []
    for _, payload in found:
        length, = struct.unpack_from(">H", payload)
        verdicts.append((payload[2:2 + length].decode(),
                         payload[2 + length], payload[5 + length:].decode()))
    return verdicts


def reports(subject):
    return sum(b"Your message could not" in t
               and b"Subject: %s\n" % subject.encode() in t
               for t in host.contents())


# --- a message in each state -------------------------------------------------

def deferred(subject):
    name = inject(["later@sink.test"], subject)
    comes_to(name, "deferred")
    return name


def waiting(subject):
    name = inject(["take@down.test"], subject)
    comes_to(name, "waiting")
    return name


def held(subject):
    name = deferred(subject)
    ask("hold", name)
    comes_to(name, "held")
    return name


STATES = {"deferred": deferred, "waiting": waiting, "held": held}


def each_operation():
    """On what lies in a folder. What is not done leaves the message there."""
    for state, make in STATES.items():
        name = make(f"hold-{state}")
        tap.same(place(name), state, f"a message is {state}")
        run = ask("hold", name)
        tap.same((run.returncode, place(name), run.stdout),
                 (0, "held", f"{name}: held{' already' * (state == 'held')}\n"),
                 f"hold: {state}") or tap.note(run.stderr)
        run = ask("delete", name)
        tap.same((run.returncode, run.stdout), (0, f"{name}: deleted\n"),
                 "and deleted")
        tap.ok(wait_for(lambda: place(name) is None), "it is gone")

        name = make(f"delete-{state}")
        run = ask("delete", name)
        tap.same((run.returncode, place(name)), (0, None), f"delete: {state}"
                 ) or tap.note(run.stderr)

        name = make(f"bounce-{state}")
        run = ask("bounce", "--text", "the project has ended", name)
        tap.same((run.returncode, run.stdout), (0, f"{name}: bounced\n"),
                 f"bounce: {state}") or tap.note(run.stderr)
        tap.ok(wait_for(lambda: reports(f"bounce-{state}") == 1),
               "its sender is told")
        tap.ok(any(b"the project has ended" in t and
                   b"Subject: bounce-%s\n" % state.encode() in t
                   for t in host.contents()), "with the words")

        name = make(f"retry-{state}")
        before = len(sink.tried)
        run = ask("retry", name)
        if state == "held":
            tap.same((run.returncode, place(name)), (100, "held"),
                     "retry: what is held stays held")
            tap.ok("release it first" in run.stderr, "and it is said why")
        elif state == "deferred":
            tap.same(run.returncode, 0, f"retry: {state}")
            tap.ok(wait_for(lambda: len(sink.tried) > before),
                   "it is tried at once")
        else:
            tap.same(run.returncode, 0, f"retry: {state}")
            tap.ok(wait_for(lambda: place(name) == "waiting"),
                   "it is where it was when that fails")
        run = ask("release", name)
        if state == "held":
            tap.same(run.returncode, 0, "release: held")
            tap.ok(wait_for(lambda: len(sink.tried) > before),
                   "what is released is tried at once")
            comes_to(name, "deferred")
        else:
            tap.same((run.returncode, "not held" in run.stderr), (100, True),
                     f"release: what is {state} is not held")
        ask("delete", name)

        name = make(f"route-{state}")
        run = ask("route", f"127.0.0.1:{other.port}", name)
        tap.same(run.returncode, 0, f"route: {state}") or tap.note(run.stderr)
        if state == "held":
            tap.same(place(name), "held", "it stays held")
            ask("release", name)
        tap.ok(wait_for(lambda: other.count(f"route-{state}") == 1),
               "it goes to the other host", host.log("queue-runner")[-2000:])
        tap.ok(wait_for(lambda: place(name) is None), "and is over")
    tap.same([reports(f"delete-{s}") for s in STATES], [0] * 3,
             "nobody is told of what was deleted")
    tap.ok(re.search(r"request: delete msg \w{20} uid \d+: deleted",
                     host.log("queue-runner")), "the log says who asked")


def at_work():
    """Messages that a channel has in hand: it comes to its end first."""
    for operation in ("hold", "delete", "bounce"):
        sink.gate.clear()
        name = inject(["slow-later@sink.test", host.address],
                      f"{operation}-slow")
        wait_for(lambda: any(b"slow" in t for t in sink.tried))
        run = ask(operation, "--wait", "0", name)
        tap.same((run.returncode, "not finished" in run.stderr), (111, True),
                 f"{operation}: what is in hand is waited for", )
        tap.same(place(name), "active", "it is active meanwhile")
        sink.gate.set()
        if operation == "hold":
            tap.ok(comes_to(name, "held"), "then it is held")
            ask("delete", name)
        tap.ok(wait_for(lambda: place(name) is None), "then it is gone",
               host.log("queue-runner")[-1500:])
        sink.tried.clear()
    tap.same((reports("delete-slow"), bool(wait_for(
        lambda: reports("bounce-slow") == 1))), (0, True),
        "the sender is told of what was bounced, not of what was deleted")
    # the end of an attempt may be the end of the message
    sink.gate.clear()
    name = inject(["slow@sink.test"], "ends")
    wait_for(lambda: any(b"slow" in t for t in sink.tried))
    ask("delete", "--wait", "0", name)
    sink.gate.set()
    tap.ok(wait_for(lambda: place(name) is None), "a message that ends, ends")
    tap.same(sink.count("ends"), 1, "it was taken, and nobody denies it")
    tap.ok(wait_for(lambda: "it has come to its end"
                    in host.log("queue-runner")), "whoever asked is told so")


def route_is_kept():
    """The route stands in the file: in spite of a restart, until it is ended."""
    sink.tried.clear()
    name = deferred("kept")
    ask("hold", name)
    ask("route", f"127.0.0.1:{other.port}", name)
    with open(path_of(name), "rb") as file:
        before = file.read()
    tap.ok(b"host:127.0.0.1:%d" % other.port in before, "the file has the route")
    ask("route", "-", name)
    with open(path_of(name), "rb") as file:
        after = file.read()
    tap.ok(after.startswith(before) and len(after) > len(before),
           "what stood in the file stays")
    host.restart("queue-runner")
    tries = len(sink.tried)
    ask("release", name)
    tap.ok(wait_for(lambda: len(sink.tried) > tries),
           "a route that was ended does not hold")
    comes_to(name, "deferred")
    ask("hold", name)
    ask("route", f"127.0.0.1:{other.port}", name)
    host.restart("queue-runner")
    ask("release", name)
    tap.ok(wait_for(lambda: other.count("kept") == 1),
           "one that was not, holds after a restart")
    name = inject([host.address], "local")
    run = ask("route", "[127.0.0.1]", q.ident())
    tap.ok(wait_for(lambda: any(b"Subject: local\n" in t
                                for t in host.contents())),
           "local recipients have no route")
    tap.same((run.returncode, "not in the queue" in run.stderr), (100, True),
             "what is nowhere is not routed")
    for bad in ("", "a b", "host:", "[::1", "mx:", "../x", "a:99999", "x" * 400):
        tap.same(ask("route", bad, name).returncode, 100,
                 f"no destination: {bad[:20]!r}")


def choosing():
    """By sender, recipient, domain, age, folder; each must hold."""
    ann = inject(["later@one.test"], "c1", sender="ann@a.test")
    bob = inject(["later@two.test", "later-b@one.test"], "c2",
                 sender="bob@b.test")
    null = inject(["later@two.test"], "c3", sender="")
    old = inject(["later@three.test"], "c4", sender="ann@a.test",
                 arrival=time.time() - 7200)
    for name in (ann, bob, null, old):
        comes_to(name, "deferred")

    def chosen(*arguments):
        run = ask("hold", "--dry-run", *arguments)
        names = {line.split(":")[0] for line in run.stdout.splitlines()}
        return {w for w, n in (("ann", ann), ("bob", bob), ("null", null),
                               ("old", old)) if n in names}
    for arguments, wanted in (
            (("--sender", "ANN@a.test"), {"ann", "old"}),
            (("--sender", "<>"), {"null"}),
            (("--recipient", "later@two.test"), {"bob", "null"}),
            (("--domain", "one.test"), {"ann", "bob"}),
            (("--domain", "test"), set()),
            (("--older", "1h"), {"old"}),
            (("--younger", "1h", "--sender", "ann@a.test"), {"ann"}),
            (("--in", "held"), set()),
            (("--in", "deferred"), {"ann", "bob", "null", "old"}),
            (("--all",), {"ann", "bob", "null", "old"}),
            ((ann, bob), {"ann", "bob"}),
            ((ann, bob, "--domain", "two.test"), {"bob"})):
        tap.same(chosen(*arguments), wanted, "choosing " + " ".join(arguments))
    tap.same({place(n) for n in (ann, bob, null, old)}, {"deferred"},
             "a dry run changes nothing")
    for arguments in ((), ("--older", "x"), ("--older", "1"), ("--in", "jobs"),
                      ("--wait", "-1"), ("--nonsense",), ("../active",),
                      ("--text", "x", "--all")):
        tap.same(ask("delete", *arguments).returncode, 100,
                 f"a wrong call: {arguments}")
    run = ask("delete", "--domain", "one.test")
    tap.same((run.returncode, len(run.stdout.splitlines())), (0, 2),
             "a domain is deleted")
    tap.same([place(n) for n in (ann, bob, null, old)],
             [None, None, "deferred", "deferred"], "and no other")
    tap.same(ask("delete", "--sender", "nobody@x.test").stdout,
             "No message is so.\n", "nothing to do is no error")
    ask("delete", "--all")


def many():
    """More than a request may name, at work for one after the other."""
    host.svc("-d", "queue-runner")
    names = []
    due = time.time() + 3600
    bucket = "deferred/%010x" % (int(due / 60) + 1)
    os.makedirs(os.path.join(host.queue, bucket), exist_ok=True)
    host.give(os.path.join(host.queue, bucket))
    for _ in range(1200):
        name = q.ident()
        names.append(name)
        host.put(f"{bucket}/{name}", q.message(
            "ann@a.test", ["later@sink.test"],
            outcomes=q.outcome(0, q.DEFERRED, 1, due)))
    host.svc("-u", "queue-runner")
    run = ask("hold", "--sender", "ann@a.test")
    tap.same((run.returncode, len(run.stdout.splitlines())), (0, 1200),
             "1200 messages are held") or tap.note(run.stderr[-500:])
    tap.same(len(glob.glob(os.path.join(host.queue, "held", "*"))), 1200,
             "each of them")
    run = ask("delete", "--in", "held")
    tap.same((run.returncode, len(host.queued())), (0, 0),
             "and deleted") or tap.note(run.stderr[-500:])


def hints():
    """A place that is wrong, or none: the message is searched for."""
    for state, make in STATES.items():
        name = make(f"lost-{state}")
        for hint in ("", f"active/{name}", f"deferred/00deadbeef/{name}",
                     f"waiting/{NOWHERE}/10001c88e27/{name}"):
            asked = q.ident()
            host.put(f"requests/{asked}", request(HOLD, [name], places=[hint]))
            host.ring(f"requests/{asked}")
            verdicts = answer(asked)
            tap.ok(verdicts and verdicts[0][:2] == (name, 1)
                   and place(name) == "held",
                   f"{state}, found in spite of {hint.split('/')[0]!r}",
                   verdicts)
            if state == "deferred":
                ask("release", name)
                comes_to(name, "deferred")
        ask("delete", name)
    # a file of that name in a place that it cannot have
    name = q.ident()
    asked = q.ident()
    host.put(f"requests/{asked}", request(DELETE, [name]))
    tap.ok(answer(asked) == [(name, 0, "it is not in the queue")],
           "without a wake-up, too; and what is nowhere is said to be so")


def stopped():
    """A request to a runner that does not run is carried out when it starts."""
    name = deferred("stopped")
    host.svc("-d", "queue-runner")
    new = q.ident()
    host.put("incoming/" + new, q.message(host.address, ["later@sink.test"]))
    run = ask("hold", name)
    tap.same((run.returncode, "queue-runner does not run" in run.stderr,
              place(name)), (111, True, "deferred"),
             "a runner that does not run") or tap.note(run.stderr)
    ask("hold", new)
    host.svc("-u", "queue-runner")
    tap.ok(comes_to(name, "held"), "it is done when the runner starts")
    tap.ok(comes_to(new, "held"), "to what is in incoming, too",
           host.log("queue-runner")[-1000:])
    # killed with an answer written and the request still there
    asked = q.ident()
    host.svc("-d", "queue-runner")
    host.put(f"requests/{asked}.done", q.record("A", q.text(name) + b"\1"
                                           + q.text("released")))
    host.put(f"requests/{asked}", request(RELEASE, [name]))
    host.svc("-u", "queue-runner")
    tap.ok(wait_for(lambda: not os.path.exists(
        os.path.join(host.queue, "requests", asked))), "an answered request "
        "goes")
    tap.same(place(name), "held", "and is not carried out again")
    os.unlink(os.path.join(host.queue, "requests", asked + ".done"))
    # one that waits for an attempt outlives the runner
    sink.gate.clear()
    sink.tried.clear()
    slow = inject(["slow-later@sink.test"], "outlives")
    wait_for(lambda: any(b"slow" in t for t in sink.tried))
    ask("hold", "--wait", "0", slow)
    host.svc("-d", "queue-runner")
    host.svc("-u", "queue-runner")
    sink.gate.set()
    tap.ok(comes_to(slow, "held"), "a request that waits outlives the runner",
           host.log("queue-runner")[-1500:])
    ask("delete", name, new, slow)


def hostile():
    """Files in requests/ that are none: refused, and nothing else happens."""
    name = deferred("hostile")
    folder = os.path.join(host.queue, "requests")
    good = request(DELETE, [name])
    bad = {
        "nothing": b"", "garbage": os.urandom(5000), "zeroes": bytes(5000),
        "torn": good[:-1], "and more": good + b"x",
        "no operation": request(0, [name]), "no such": request(7, [name]),
        "no message": request(DELETE, []),
        "words where none belong": request(DELETE, [name], "x"),
        "a control character": request(BOUNCE, [name], "a\nb"),
        "a route to a path": request(ROUTE, [name], "../../x"),
        "a route to local": request(ROUTE, [name], "local"),
        "a path for an id": request(DELETE, ["../" * 6 + "ab"]),
        "a path for a place": request(DELETE, [name], places=["../active/"]),
        "another's place": request(DELETE, [name],
                                   places=[f"active/{q.ident()}"]),
        "too many": request(DELETE, [name] * 1001),
        "too large": request(DELETE, [name]) + bytes(300000),
    }
    for what, octets in bad.items():
        asked = q.ident()
        host.put(f"requests/{asked}", octets)
        host.ring(f"requests/{asked}")
        verdicts = answer(asked)
        tap.ok(verdicts and verdicts[0][:2] == ("", 0), f"refused: {what}",
               verdicts)
    huge = host.put(f"requests/{q.ident()}", b"")
    os.truncate(huge, 1 << 40)
    target = os.path.join(host.home, "target")
    with open(target, "wb") as file:
        file.write(good)
    host.give(target)
    link = os.path.join(folder, q.ident())
    os.symlink(target, link)
    hard = os.path.join(folder, q.ident())
    os.link(target, hard)
    fifo = os.path.join(folder, q.ident())
    os.mkfifo(fifo)
    closed = host.put(f"requests/{q.ident()}", good)
    os.chmod(closed, 0)
    odd = [huge, link, hard, fifo, closed]
    for path in odd:
        host.ring("requests/" + os.path.basename(path))
    for path, what in zip(odd, ("a huge file", "a symbolic link",
                                "a hard link", "a FIFO", "a closed file")):
        verdicts = answer(os.path.basename(path))
        tap.ok(verdicts and verdicts[0][1] == 0
               and not os.path.lexists(path), f"refused: {what}", verdicts)
    tap.ok(os.path.exists(target), "and what a link leads to stays")
    inside = os.path.join(folder, q.ident())
    os.mkdir(inside)
    names = [host.put("requests/" + n, good) for n in
             ("x", "." + q.ident(), q.ident() + "0", q.ident().upper(),
              q.ident() + ".old")]
    for path in names + [inside]:
        host.ring("requests/" + os.path.basename(path))
    host.ring("requests/../active/" + name)
    host.ring("requests/")
    asked = q.ident()
    host.put(f"requests/{asked}", request(RETRY, [name]))
    host.ring(f"requests/{asked}")
    tap.ok(answer(asked)[0][:2] == (name, 1), "the runner goes on")
    tap.same([os.path.lexists(p) for p in names + [inside]], [True] * 6,
             "other names and folders are left alone")
    for path in names:
        os.unlink(path)
    os.rmdir(inside)
    comes_to(name, "deferred")
    tap.same(place(name), "deferred", "the message is where it was")
    # a route in the file that is none: not a sound message
    spoiled = q.ident()
    host.put("incoming/" + spoiled, q.message(
        host.address, ["a@sink.test"],
        outcomes=q.record("V", q.text("../../x"))))
    host.ring("incoming/" + spoiled)
    tap.ok(comes_to(spoiled, "doubtful"), "a file whose route is none is set "
           "apart")
    run = ask("delete", spoiled)
    tap.same((run.returncode, place(spoiled)), (100, "doubtful"),
             "and what is doubtful is left alone")
    os.unlink(path_of(spoiled))
    ask("delete", name)


def strangers():
    """Who may not write into the folder is told so."""
    if os.geteuid() != 0:
        tap.skip("a stranger is refused", "only root can become one")
        return
    name = held("strangers")
    stranger = {"user": 12345, "group": 12345, "extra_groups": []}
    run = ask("delete", name, **stranger)
    tap.ok(run.returncode in (100, 111) and run.stderr.count("\n") == 1
           and "Traceback" not in run.stderr and place(name) == "held",
           "a stranger is refused", run)
    # the owner, without the right to write into the folder
    folder = os.path.join(host.queue, "requests")
    mode = os.stat(folder).st_mode & 0o777
    os.chmod(folder, 0o550)
    run = ask("delete", name)
    os.chmod(folder, mode)
    tap.same((run.returncode, "may ask the runner" in run.stderr, place(name)),
             (100, True, "held"), "who may look but not ask is refused") \
        or tap.note(run.stderr)
    ask("delete", name)


def looking():
    """queue-list --json and queue-stat with --json and --domains."""
    name = inject(["later@sink.test", QUOTED], "json",
                  sender="ann@a.test")
    comes_to(name, "deferred")
    waits = held("json-held")
    run = host.run("queue-list", "--json")
    rows = [json.loads(line) for line in run.stdout.decode().splitlines()]
    tap.same((run.returncode, sorted(r["id"] for r in rows)),
             (0, sorted([name, waits])), "a line of JSON a message")
    row = [r for r in rows if r["id"] == name][0]
    tap.same((row["folder"], row["sender"], [
        (r["address"], r["outcome"]) for r in row["recipients"]]),
        ("deferred", "ann@a.test", [("later@sink.test", "deferred"),
                                    (QUOTED, "deferred")]),
        "with what stands in the queue") or tap.note(row)
    for words, wanted in (((name,), [name]), (("--in", "held"), [waits]),
                          (("--sender", "ANN@a.test"), [name]),
                          (("--domain", "sink.test", "--in", "deferred"), [name]),
                          (("--recipient", "nobody@sink.test"), []),
                          (("--older", "1d"), []),
                          (("--younger", "1d", name), [name])):
        run = host.run("queue-list", "--json", *words)
        tap.same((run.returncode, [json.loads(line)["id"] for line
                                   in run.stdout.splitlines()]), (0, wanted),
                 "queue-list " + " ".join(words))
    run = host.run("queue-list", "--older", "1d")
    tap.same(run.stdout, b"No message is so.\n", "none of these is said so")
    run = host.run("queue-stat", "--json")
    tap.same((run.returncode, json.loads(run.stdout)["messages"],
              json.loads(run.stdout)["folders"]["held"]), (0, 2, 1),
             "queue-stat --json counts")
    run = host.run("queue-stat", "--domains")
    lines = run.stdout.decode().splitlines()
    tap.same((run.returncode, lines[0].split(), lines[1].split()[:3],
              sorted(line.split()[0] for line in lines[2:])),
             (0, "T 5 10 20 40 80 160 320 640 1280 1280+".split(),
              ["TOTAL", "3", "3"], ["sink.test", "two.test"]),
             "queue-stat --domains is a table of ages")
    run = host.run("queue-stat", "--domains", "--json")
    table = json.loads(run.stdout)
    tap.same((table["domains"][0]["domain"], table["domains"][0]["recipients"]),
             ("sink.test", 2), "and as JSON") or tap.note(table)
    for command in (("queue-stat", "--x"), ("queue-list", "--x"),
                    ("queue-list", "x"), ("queue-list", "--older", "x"),
                    ("queue-list", "--in", "x"), ("queue-list", "--domain"), ("queue-stat", "x")):
        tap.same(host.run(*command).returncode, 100, "wrong: "
                 + " ".join(command))
    ask("delete", "--all")
    run = host.run("queue-list", "--json")
    tap.same((run.returncode, run.stdout), (0, b""), "an empty queue is no line")


def destinations():
    run = host.run("destination-list", "--json")
    found = [json.loads(line) for line in run.stdout.decode().splitlines()]
    return {one["destination"]: one for one in found}


def listed():
    """What the runner knows of destinations: up, down, and what they said."""
    folder = os.path.join(host.queue, "requests")
    before = set(os.listdir(folder))
    inject(["take@down.test"], "list-down")
    sink.gate.clear()
    inject(["slow@sink.test"], "list-slow")
    dead, live = (f"host:[127.0.0.1]:{at.port}" for at in (down, sink))
    tap.ok(wait_for(lambda: destinations().get(live, {}).get("out") == 1),
           "what has a job out is listed", destinations())
    tap.ok(wait_for(lambda: destinations().get(dead, {}).get("state")
                    == "down"),
           "what cannot be reached is down", destinations())
    one = destinations()[dead]
    tap.same((one["channel"], one["window"], one["out"]), ("remote", 1, 0),
             "what is down has a window of one")
    tap.ok(0 < one["probe_s"] <= 3600 and one["failures"] >= 1,
           "its next probe is told", one)
    tap.ok("4.4.1" in one["reply"], "and why", one)
    tap.ok(one["messages"] > 0 or one["waiting"], "it has mail", one)
    one = destinations()[live]
    tap.same((one["state"], one["probe_s"], one["out"], one["messages"] > 0),
             ("up", None, 1, True), "a host that takes its time is up") \
        or tap.note(str(one))
    run = host.run("destination-list")
    lines = run.stdout.decode().splitlines()
    tap.ok(run.returncode == 0 and any(
        line.startswith(dead + ": remote, down, jobs 0 of 1, ")
        and ", next probe in " in line for line in lines), "as text", lines)
    tap.ok(wait_for(lambda: set(os.listdir(folder)) == before), "no request is left over",
           os.listdir(folder))
    tap.same(host.run("destination-list", "x").returncode, 100, "wrong call")
    sink.gate.set()
    name = q.ident()
    host.put("requests/" + name, request(7, [q.ident()]))
    host.ring("requests/" + name)
    found = answer(name)
    tap.ok(found is not None and found[0][:2] == ("", 0),
           "a list that names a message is refused", found)
    host.svc("-d", "queue-runner")
    run = host.run("destination-list")
    tap.ok(run.returncode == 111 and b"does not run" in run.stderr,
           "without a runner there is no list", run.stderr)
    tap.same(set(os.listdir(folder)), before, "and no request stays")
    host.svc("-u", "queue-runner")
    ask("delete", "--all")


def front():
    """keepmail knows the tools, and each name is one."""
    environment = dict(os.environ, KEEPMAIL_PROGRAMS=BUILD,
                       KEEPMAIL=host.home)
    for tool in ("hold", "release", "delete", "bounce", "retry", "route"):
        run = subprocess.run(
            ["sh", os.path.join(os.path.dirname(BUILD), "tools", "keepmail"),
             "queue-" + tool], env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        tap.ok(run.returncode == 100 and f"queue-{tool}: " in run.stdout,
               f"keepmail queue-{tool}", run.stdout)


sink, other, down = Host(), Host(is_kind=True), Host(is_up=False)
CASES = (each_operation, at_work, route_is_kept, choosing, many, hints,
         stopped, hostile, strangers, looking, listed, front)
with Instance() as host:
    host.control("smtproutes", f":127.0.0.1:{sink.port}\n"
                               f"down.test:127.0.0.1:{down.port}\n")
    host.restart("queue-runner")
    for case in CASES:
        if len(sys.argv) > 1 and case.__name__ not in sys.argv[1:]:
            continue
        start = time.monotonic()
        tap.case(case)
        tap.note(f"{case.__name__}: {time.monotonic() - start:.1f} s")
        if not host.wait_empty(30):
            tap.ok(False, f"{case.__name__} leaves the queue empty",
                   host.queued())
tap.done()
