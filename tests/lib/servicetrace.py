"""strace on a service of an instance: what it asks of the kernel, and what it does
when the kernel refuses or kills."""

import os
import re
import shutil
import subprocess

STRACE = shutil.which("strace")


class Trace:
    """strace on one service and its children, those that it has already
    included, while the block runs."""

    def __init__(self, host, service, *options):
        self.host, self.service, self.options = host, service, options

    def __enter__(self):
        self.file = os.path.join(self.host.folder, "trace")
        pid = self.host.pid(self.service)
        self.process = subprocess.Popen(
            [STRACE, "-f", "-y", "-o", self.file, *self.options,
             "-p", str(pid), *self.children(pid)],
            stderr=subprocess.PIPE, text=True)
        first = self.process.stderr.readline()
        if "attached" not in first:
            self.process.kill()
            self.process.wait()
            self.process.stderr.close()
            raise PermissionError(first.strip())
        return self

    @staticmethod
    def children(pid):
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [f"-p{child}" for child in file.read().split()]

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.process.stderr.close()
        with open(self.file, errors="replace") as file:
            self.lines = file.read().splitlines()

    def has(self, pattern):
        """How often the trace has a call so far."""
        with open(self.file, errors="replace") as file:
            return len(re.findall(pattern, file.read(), re.M))
