"""Certificates for tests, by the openssl program.

    authority = Authority(folder)
    pair = authority.issue("mx.test")               # (certificate, key), paths
    pair = authority.issue("mx.test", days=-1)      # expired yesterday
    pair = authority.issue("127.0.0.1")             # an address in place of a name
    pair = authority.issue("x.test", common="mx.test")  # CN and name differ
    pair = authority.issue("ann", email="ann@a.test")   # a client's
    pair = self_signed(folder, "mx.test")
    authority.file                                  # the authority's own

Keys are ECDSA P-256, made in a moment; files have mode 0600 and belong to whoever
runs the test.
"""

import ipaddress
import os
import subprocess

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def openssl(*arguments):
    run = subprocess.run(["openssl", *arguments], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if run.returncode != 0:
        raise RuntimeError(f"openssl {' '.join(arguments)}: "
                           + run.stdout.decode(errors="replace"))


def alternative(name, email=None):
    """The text of a subjectAltName."""
    if email:
        return f"email:{email}"
    try:
        ipaddress.ip_address(name)
        return f"IP:{name}"
    except ValueError:
        return f"DNS:{name}"


def fresh(folder, stem):
    """Paths of a certificate and a key that are not there yet."""
    number = 0
    while os.path.exists(os.path.join(folder, f"{stem}{number}.pem")):
        number += 1
    return [os.path.join(folder, f"{stem}{number}.{kind}")
            for kind in ("pem", "key", "csr")]


def self_signed(folder, name, days=2):
    certificate, key, _ = fresh(folder, "self")
    openssl("req", "-x509", *KEY, "-keyout", key, "-out", certificate,
            "-subj", f"/CN={name}", "-days", str(days),
            "-addext", f"subjectAltName={alternative(name)}")
    return certificate, key


class Authority:
    def __init__(self, folder):
        self.folder = folder
        self.file, self.key, _ = fresh(folder, "authority")
        openssl("req", "-x509", *KEY, "-keyout", self.key, "-out", self.file,
                "-subj", "/CN=authority of a test", "-days", "2")

    def issue(self, name, days=2, common=None, email=None, names=True):
        """names=False: no subjectAltName at all."""
        certificate, key, request = fresh(self.folder, "issued")
        openssl("req", *KEY, "-keyout", key, "-out", request,
                "-subj", f"/CN={common or name}")
        extensions = request + ".ext"
        with open(extensions, "w") as file:
            if names:
                file.write(f"subjectAltName={alternative(name, email)}\n")
        openssl("x509", "-req", "-in", request, "-CA", self.file,
                "-CAkey", self.key, "-CAcreateserial", "-days", str(days),
                "-extfile", extensions, "-out", certificate)
        return certificate, key
