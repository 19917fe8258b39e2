"""TAP output and waiting, for whole-system tests.

A test script makes a Tap, calls its methods, and ends with done(). Waiting is
always for a condition with a deadline, never for a time.
"""

import re
import socket
import sys
import time
import traceback


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0
        sys.stdout.reconfigure(line_buffering=True)

    def ok(self, true, name, detail=None):
        """One result. detail is printed, whatever its type, on failure."""
        self.count += 1
        if not true:
            self.failed += 1
        print(f"{'ok' if true else 'not ok'} {self.count} - {name}")
        if not true and detail is not None:
            self.note(detail)
        return bool(true)

    def same(self, got, expected, name):
        """Passes if got == expected; shows both otherwise."""
        return self.ok(got == expected, name,
                       f"expected: {expected!r}\ngot:      {got!r}")

    def ended(self, run, status, said, name):
        """Passes if a command (what subprocess.run gave) ended with this
        status and stderr has what the pattern said finds; "": it is empty."""
        text = run.stderr.decode(errors="replace")
        return self.ok(run.returncode == status and
                       (re.search(said, text) if said else not text),
                       f"{name}: {status}",
                       f"status {run.returncode}, stderr: {text}")

    def skip(self, name, why):
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {why}")

    def note(self, text):
        for line in str(text).splitlines():
            print("#", line)

    def case(self, function, *arguments):
        """Runs a function of a test; an exception in it is a failure."""
        try:
            return function(*arguments)
        except Exception:
            self.ok(False, f"{function.__name__} ended with an exception",
                    traceback.format_exc())

    def done(self):
        print(f"1..{self.count}")
        sys.exit(1 if self.failed else 0)


def skip_all(why):
    print(f"1..0 # SKIP {why}")
    sys.exit(0)


def has_v6():
    """Whether this machine has IPv6 on its loopback."""
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def wait_for(condition, seconds=20, step=0.02):
    """Calls condition until it is true; returns what it gave, or None at the
    deadline."""
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            return None
        time.sleep(step)
