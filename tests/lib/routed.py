"""A private instance whose mail goes to scripted servers by routes: what the tests of
routes, TLS out and smarthosts share.

    with Routed() as host:
        domain = host.route(server, "tls=must")   # a domain of its own
        host.load()                                # control/smtproutes holds
        host.inject(domain)
        host.result(domain)                        # the log's line of its delivery
"""

import os
import re
import subprocess

import queuefile as q
from instance import Instance
from tap import wait_for


class Routed(Instance):
    def __init__(self, *options, **more):
        super().__init__(*options, **more)
        self.lines = []
        self.number = 0

    def domain(self):
        self.number += 1
        return f"d{self.number}.test"

    def route(self, server, words="", host="[127.0.0.1]"):
        """Makes a domain that goes to the server; load() comes later."""
        domain = self.domain()
        self.lines.append(f"{domain}:{host}:{server.port} {words}")
        return domain

    def load(self):
        self.control("smtproutes", "".join(line + "\n" for line in self.lines))
        self.restart("queue-runner")

    def inject(self, domain, subject=None, names=("b",)):
        run = self.run("sendmail", "-i", "-f", "a@x.test",
                       *(f"{name}@{domain}" for name in names),
                       input=f"Subject: {subject or domain}\n\nbody\n".encode())
        if run.returncode != 0:
            raise RuntimeError(run.stderr)

    def inject_requiretls(self, domain):
        """Puts a message into the queue as a server does that took REQUIRETLS."""
        plain = q.record("P", bytes(4) + q.text(""))
        wanted = q.record("P", bytes([0, 0, 1, 0]) + q.text(""))
        content = b"Subject: x\n\nx\n"
        tail = q.envelope("a@x.test", [f"b@{domain}"]).replace(plain, wanted)
        octets = q.message("a@x.test", [f"b@{domain}"], content, tail=tail)
        name = q.ident()
        self.put("incoming/" + name, octets)
        self.ring("incoming/" + name)

    def results(self, domain, what="deferral|failure|success"):
        """The log's lines about deliveries to a domain, blanks restored."""
        text = self.log("queue-runner")
        found = []
        for begun in re.finditer(
                rf"starting delivery (\S+): .*@{re.escape(domain)}", text):
            # numbers begin anew with each start of the runner
            line = re.compile(
                rf"delivery {begun.group(1)}: (?:{what}).*").search(
                    text, begun.end())
            if line:
                found.append(line.group(0).replace("_", " "))
        return found

    def result(self, domain, what="deferral|failure|success", number=1):
        """Waits for so many; gives the last, or ""."""
        found = wait_for(lambda: self.results(domain, what)[number - 1:], 20)
        return found[0] if found else ""

    def turn(self, service, up):
        """Starts or stops a service, and waits until it is so."""
        before = self.starts(service)
        subprocess.run(["svc", "-u" if up else "-d",
                        os.path.join(self.home, "service", service)],
                       check=True)
        wait_for(lambda: self.starts(service) > before if up
                 else self.pid(service) == 0, 20)

    def secrets(self, text, mode=0o640):
        """Writes secrets/smarthosts."""
        path = os.path.join(self.home, "secrets", "smarthosts")
        with open(path, "w") as file:
            file.write(text)
        self.give(path)
        os.chmod(path, mode)
        return path
