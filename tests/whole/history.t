#!/usr/bin/env python3
"""The log of queue-runner, read as analysers of qmail-send's log read it: by the
places of words."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance

tap = Tap()


def analyse(log):
    """What a matchup-like program makes of it: the deliveries of each message,
    and the lines that it does not know."""
    messages, deliveries, done, strange = {}, {}, [], []
    for line in log.splitlines():
        words = line.split(" ")
        rest = words[1:]
        if rest[:2] == ["new", "msg"]:
            if rest[2] in messages:
                strange.append(line)
            messages[rest[2]] = {"found": []}
        elif rest[:2] == ["info", "msg"]:
            messages[rest[2].rstrip(":")].update(
                bytes=int(rest[4]), sender=rest[6], qp=int(rest[8]),
                uid=int(rest[10]))
        elif rest[:2] == ["starting", "delivery"]:
            deliveries[rest[2].rstrip(":")] = rest[4], rest[6], rest[7]
        elif rest[0] == "delivery":
            message, channel, address = deliveries.pop(rest[1].rstrip(":"))
            messages[message]["found"].append(
                (channel, address, rest[2].rstrip(":")))
            if len(rest) != 4:
                strange.append(line)
        elif rest[:2] == ["end", "msg"]:
            done.append(messages.pop(rest[2]))
        elif rest[:2] == ["bounce", "msg"]:
            if rest[2] not in messages or rest[3] != "qp":
                strange.append(line)
        elif rest[0] == "status:":
            if not re.fullmatch(r"local \d+/\d+ remote \d+/\d+",
                                " ".join(rest[1:])):
                strange.append(line)
    return done, messages, deliveries, strange


with Instance() as host:
    host.control("smtproutes", "down.test:127.0.0.1:1\n")
    host.restart("queue-runner")
    client = host.submission()
    client.sendmail("ann%x@client.test", [host.address], "Subject: a\r\n\r\nb\r\n")
    client.sendmail(host.address, [host.address, "b@down.test"],
                    "Subject: a\r\n\r\nb\r\n")
    client.quit()
    run = host.run("sendmail", "-f", host.address, "nobody-is@keepmail.test",
                   input=b"Subject: c\n\nd\n")
    tap.same(run.returncode, 0, "mail for nobody is taken from a local program")
    wait_for(lambda: host.log("queue-runner").count(" end msg ") >= 3)
    wait_for(lambda: ": deferral: " in host.log("queue-runner"))
    done, left, out, strange = analyse(host.log("queue-runner"))
    tap.same(strange, [], "every line is as analysers know it")
    tap.same(out, {}, "every delivery that was begun has ended")
    tap.same(sorted(m["sender"] for m in done),
             ["<>", "<ann_x@client.test>", f"<{host.address}>"],
             "messages that have ended, by sender")
    tap.same([f for m in done for f in m["found"] if f[2] == "failure"],
             [("local", "nobody-is@keepmail.test", "failure")],
             "a failure is one")
    tap.same([sorted(m["found"]) for m in left.values()],
             [[("local", host.address, "success"),
               ("remote", "b@down.test", "deferral")]],
             "what is deferred has not ended")
    tap.ok(all(m["bytes"] > 20 and m["qp"] > 0 for m in done),
           "sizes and numbers are numbers")
tap.done()
