#!/usr/bin/env python3
"""Bad input and bad surroundings: over-long command lines, binary garbage, a
missing control file, an unwritable queue, a full disk. The answer is clear, a log
line says what to mend, and nothing accepted is lost."""

import os
import shutil
import smtplib
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance

tap = Tap()


def converse(host, octets, port=None):
    """Sends octets, half-closes, and gives all that comes back."""
    with socket.create_connection((host.smtp_host,
                                   int(port or host.smtp_port)), 30) as client:
        try:
            client.sendall(octets)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        got = b""
        try:
            while True:
                more = client.recv(65536)
                if not more:
                    return got
                got += more
        except OSError:
            return got


def still_serves(host, name):
    before = len(host.delivered())
    client = host.smtp()
    client.sendmail("ann@client.test", [host.address], "Subject: x\r\n\r\nx\r\n")
    client.quit()
    tap.ok(len(host.wait_delivered(before + 1)) == before + 1,
           f"mail is served after {name}", host.logs())


def garbage(host):
    got = converse(host, b"NOOP " + b"x" * 1000000 + b"\r\nQUIT\r\n")
    tap.ok(b"\r\n500 " in got, "a command line of 1 MB is answered 500", got)
    got = converse(host, bytes(range(256)) * 400)
    tap.ok(got.startswith(b"220 ") and b"\r\n250 " not in got,
           "binary garbage gets no 250", got[:300])
    got = converse(host, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    tap.ok(got.count(b"\r\n") <= 2, "HTTP ends the session at once", got)
    for port in (host.pop3_port,):
        got = converse(host, b"USER " + b"x" * 100000 + b"\r\n"
                       + bytes(range(256)) * 40 + b"\r\nQUIT\r\n", port)
        tap.ok(got.startswith(b"+OK") and b"\r\n-ERR" in got,
               "POP3 answers garbage with -ERR", got[:300])
    still_serves(host, "garbage")


def refused_temporarily(host, name, word=None):
    client = host.smtp()
    try:
        try:
            client.sendmail("ann@client.test", [host.address],
                            "Subject: x\r\n\r\nx\r\n")
            tap.ok(False, f"{name}: refused")
            return
        except smtplib.SMTPResponseException as error:
            code, text = error.smtp_code, error.smtp_error
        except smtplib.SMTPRecipientsRefused as error:
            code, text = list(error.recipients.values())[0]
        tap.ok(400 <= code < 500, f"{name}: refused with {code}", text)
    except smtplib.SMTPServerDisconnected as error:
        tap.ok(False, f"{name}: refused with a reply", error)
    finally:
        client.close()


def missing_control_file(host):
    path = os.path.join(host.control_folder, "rcpthosts")
    with open(path) as file:
        text = file.read()
    os.unlink(path)
    refused_temporarily(host, "without rcpthosts")
    tap.ok(wait_for(lambda: "rcpthosts" in host.log("smtpd")),
           "the log names rcpthosts", host.log("smtpd"))
    host.control("rcpthosts", text)

    path = os.path.join(host.control_folder, "me")
    with open(path) as file:
        text = file.read()
    os.unlink(path)
    got = converse(host, b"QUIT\r\n")
    tap.ok(got[:1] in (b"4", b""), "without me nothing is served",
           got)
    tap.ok(wait_for(lambda: "control/me" in host.log("smtpd")
                    or " me" in host.log("smtpd")),
           "the log names me", host.log("smtpd"))
    host.control("me", text)
    host.control("databytes", "lots\n")
    got = converse(host, b"QUIT\r\n")
    tap.ok(got[:1] in (b"4", b""), "a malformed databytes serves nothing", got)
    tap.ok(wait_for(lambda: "databytes" in host.log("smtpd")),
           "the log names databytes", host.log("smtpd"))
    os.unlink(os.path.join(host.control_folder, "databytes"))
    still_serves(host, "control files are back")


def unwritable_queue(host):
    incoming = os.path.join(host.queue, "incoming")
    mode = os.stat(incoming).st_mode & 0o7777
    os.chmod(incoming, 0o555)
    try:
        refused_temporarily(host, "unwritable queue")
        tap.ok(wait_for(lambda: "incoming" in host.log("queue-inject")),
               "the log names the folder", host.log("queue-inject"))
        run = host.run("sendmail", "-t", input=b"To: " + host.address.encode()
                       + b"\n\nx\n")
        tap.same(run.returncode, 75, "sendmail says try again (75)")
        tap.ok(run.stderr, "…and why", run.stderr)
    finally:
        os.chmod(incoming, mode)
    still_serves(host, "the queue is writable")


def services_down(host):
    for service in ("queue-inject", "resolve"):
        folder = os.path.join(host.home, "service", service)
        subprocess.run(["svc", "-d", folder], check=True)
        wait_for(lambda: host.pid(service) == 0)
        refused_temporarily(host, f"{service} down")
        subprocess.run(["svc", "-u", folder], check=True)
        wait_for(lambda: host.pid(service) != 0)
        wait_for(lambda: os.path.exists(os.path.join(host.home, "socket")))
        wait_for(lambda: works(host), 20, 0.1)
    still_serves(host, "services are back")


def works(host):
    client = host.smtp()
    try:
        client.ehlo()
        return client.mail("a@client.test")[0] == 250 and \
            client.rcpt(host.address)[0] == 250
    except (OSError, smtplib.SMTPException):
        return False
    finally:
        client.close()


def full_disk():
    """A queue on a small file system that runs full."""
    if os.geteuid() != 0:
        tap.skip("a full disk", "needs root for a small tmpfs")
        return
    folder = tempfile.mkdtemp(prefix="keepmail-full.")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m,mode=0755",
                       "tmpfs", folder]).returncode != 0:
        os.rmdir(folder)
        tap.skip("a full disk", "cannot mount a tmpfs here")
        return
    try:
        with Instance(folder=folder) as host:
            # Nobody takes mail out, so the queue fills up.
            service = os.path.join(host.home, "service", "local")
            subprocess.run(["svc", "-d", service], check=True)
            wait_for(lambda: host.pid("local") == 0)
            body = ("x" * 70 + "\r\n") * 14000
            taken = refused = 0
            for number in range(60):
                client = host.smtp()
                try:
                    client.sendmail("ann@client.test", [host.address],
                                    f"Subject: {number}\r\n\r\n" + body)
                    taken += 1
                except smtplib.SMTPResponseException as error:
                    refused += 1
                    tap.ok(error.smtp_code in (451, 452) or refused > 3,
                           f"full: refused with {error.smtp_code}",
                           error.smtp_error)
                    if refused >= 3:
                        break
                finally:
                    client.close()
            tap.ok(taken > 0 and refused == 3,
                   f"{taken} were taken before the disk was full",
                   (taken, refused))
            wait_for(lambda: len(host.queued()) == taken, 10)
            tap.same(len(host.queued()), taken, "the queue holds those alone")
            # Room comes back: everything that was accepted is delivered.
            subprocess.run(["mount", "-o", "remount,size=96m", folder],
                           check=True)
            subprocess.run(["svc", "-u", service], check=True)
            tap.same(len(host.wait_delivered(taken, 40)), taken,
                     "everything that was accepted is delivered")
    finally:
        subprocess.run(["umount", "-l", folder])
        os.rmdir(folder)


with Instance() as host:
    host.control_folder = host.value["CONTROL"]
    for step in (garbage, missing_control_file, unwritable_queue,
                 services_down):
        tap.case(step, host)
    if tap.failed:
        tap.note(host.logs())
tap.case(full_disk)
tap.done()
