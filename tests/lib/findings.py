"""What setup, install-check and selftest tell, for their tests."""

import json
import os
import shutil
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOLS = ("setup", "install-check", "user-add", "user-list", "domain-add",
         "domain-list")


class Findings:
    """A run with --json: status, and what was found of each subject."""

    def __init__(self, run):
        self.status = run.returncode
        self.errors = run.stderr
        self.text = run.stdout
        self.whole = json.loads(run.stdout)
        self.list = self.whole["findings"]

    def of(self, subject):
        """Results of the findings whose subject ends so."""
        return [f["result"] for f in self.list
                if f["subject"].endswith(subject)]

    def results(self):
        return sorted({f["result"] for f in self.list})

    def faults(self):
        return [f for f in self.list if f["result"] in ("warn", "fail")]

    def mend(self, subject):
        return [f.get("mend", "") for f in self.list
                if f["subject"].endswith(subject)
                and f["result"] in ("warn", "fail")]


def programs(folder):
    """The tools of a private home in a folder of their own."""
    os.mkdir(folder)
    for name in TOOLS:
        shutil.copy(os.path.join(TOP, "build", name), folder)
    for name in ("make-home", "make-users"):
        shutil.copy(os.path.join(TOP, "tools", name), folder)
    shutil.copytree(os.path.join(TOP, "tools", "service"),
                    os.path.join(folder, "service"))
    os.chmod(folder, 0o755)
    return folder


def certificate(folder, name, days):
    """A pair as certbot leaves it, FOLDER/NAME/{privkey,fullchain}.pem."""
    place = os.path.join(folder, name)
    os.makedirs(place)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-days", str(days), "-subj",
         f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
         "-keyout", os.path.join(place, "privkey.pem"),
         "-out", os.path.join(place, "fullchain.pem")],
        check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for base, _, files in os.walk(folder):
        os.chmod(base, 0o755)
        for file in files:
            os.chmod(os.path.join(base, file), 0o644)
