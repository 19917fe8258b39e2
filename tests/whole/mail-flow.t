#!/usr/bin/env python3
"""The main job on one host: in by SMTP or sendmail, through the queue, into the
Maildir, out by POP3; and what becomes of mail that cannot be delivered."""

import email
import email.policy
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance

tap = Tap()

MESSAGE = ("From: Ann <ann@client.test>\r\n"
           "To: user@host.test\r\n"
           "Subject: one message\r\n"
           "\r\n"
           ".a line that begins with a dot\r\n"
           "..\r\n"
           "8-bit: gr\u00fc\u00dfe\r\n"
           "From here on: the last line\r\n").encode()


def after_trace(text, separator):
    """What follows our own trace fields: the message as it was sent."""
    at = text.find(b"From: ")
    return text[:at], text[at:]


def smtp_to_pop3(host):
    client = host.smtp()
    client.ehlo()
    client.mail("ann@client.test", ["BODY=8BITMIME"])
    client.rcpt(host.address)
    code, text = client.data(MESSAGE)
    tap.same(code, 250, "SMTP takes a message for a local user")
    found = re.search(rb"\b([0-9a-z]{20})\b", text)
    tap.ok(found, "the final 250 names the queue id", text)
    ident = found.group(1) if found else b"?"
    client.quit()

    [stored] = host.wait_delivered(1)
    trace, message = after_trace(stored, b"\n")
    tap.same(message, MESSAGE.replace(b"\r\n", b"\n"),
             "the Maildir file holds the message as it was sent")
    tap.ok(trace.startswith(b"Return-Path: <ann@client.test>\n"),
           "Return-Path comes first", trace)
    tap.ok(b"Delivered-To: " + host.address.encode() + b"\n" in trace,
           "Delivered-To names the recipient", trace)
    tap.ok(re.search(rb"Received: .*\bid " + ident, trace, re.S),
           "the Received field carries the queue id", trace)
    tap.ok(re.search(rb"with ESMTP", trace), "…and the protocol", trace)

    pop = host.pop3()
    count, octets = pop.stat()
    response, lines, _ = pop.retr(1)
    fetched = b"".join(line + b"\r\n" for line in lines)
    tap.same(count, 1, "POP3 has one message")
    tap.same(len(fetched), octets, "POP3's size is the size as sent")
    tap.same(after_trace(fetched, b"\r\n")[1], MESSAGE,
             "POP3 returns byte for byte what SMTP took")
    pop.dele(1)
    pop.quit()
    tap.same(host.delivered(), [], "DELE and QUIT remove it")
    tap.ok(host.wait_empty(), "the queue is empty afterwards", host.queued())
    for service in ("smtpd", "queue-runner"):
        tap.ok(ident.decode() in host.log(service),
               f"{service}'s log names the message by its id")


def refusals(host):
    client = host.smtp()
    client.ehlo()
    client.mail("ann@client.test")
    code, text = client.rcpt("nobody-here@" + host.address.split("@")[1])
    tap.same(code, 550, "a local user who does not exist is refused at RCPT")
    code, text = client.rcpt("somebody@elsewhere.test")
    tap.same(code, 550, "relaying is refused")
    code, text = client.docmd("DATA")
    tap.ok(code in (503, 554), "DATA without a recipient is refused", code)
    client.quit()
    tap.ok(host.wait_empty(5), "nothing was queued", host.queued())


def sendmail(host):
    run = host.run("sendmail", "-t", "-i", input=(
        "To: " + host.address + "\n"
        "Bcc: " + host.address + "\n"
        "Subject: by sendmail\n"
        "\n"
        "first\n.\nlast line without end").encode())
    tap.same(run.returncode, 0, "sendmail -t takes a message")
    tap.ok(run.stderr == b"", "…and says nothing", run.stderr)
    texts = host.wait_delivered(1)
    tap.ok(len(texts) >= 1, "it arrives", host.logs())
    text = texts[0] if texts else b""
    tap.ok(b"\nBcc:" not in text, "Bcc is removed", text)
    tap.ok(text.endswith(b"first\n.\nlast line without end\n"),
           "the body is whole, the last line ended", text)
    for field in (b"Date: ", b"Message-I", b"From: "):
        tap.ok(b"\n" + field in text, f"{field.decode()} was added", text)
    host.wait_empty()
    for path in host.delivered():
        os.unlink(path)
    run = host.run("sendmail", "-bp")
    tap.same(run.returncode, 0, "sendmail -bp answers")


def user_home(host):
    return os.path.dirname(host.maildir.rstrip("/"))


def instructions(host):
    home = user_home(host)
    local, domain = host.address.split("@")
    out = os.path.join(home, "program-saw")
    lines = os.path.join(home, ".qmail-prog")
    with open(lines, "w") as file:
        file.write(f"|cat > {out}; echo $SENDER $RECIPIENT $EXT >> {out}\n")
    host.give(lines)
    other = os.path.join(home, ".qmail-away")
    with open(other, "w") as file:
        file.write(f"# a forward and a folder\n&{host.address}\n./Folder/\n")
    host.give(other)
    host.run("maildirmake", os.path.join(home, "Folder"))

    client = host.smtp()
    client.sendmail("ann@client.test", [f"{local}-prog@{domain}"], MESSAGE,
                    mail_options=["BODY=8BITMIME"])
    saw = wait_for(lambda: os.path.exists(out) and b"prog\n" in
                   open(out, "rb").read() and open(out, "rb").read())
    tap.ok(saw and MESSAGE.replace(b"\r\n", b"\n") in saw,
           "a program in .qmail gets the whole message", saw or host.logs())
    tap.ok(saw and f"ann@client.test {local}-prog@{domain} prog".encode()
           in saw, "…and the envelope in its environment", saw)

    client.sendmail("ann@client.test", [f"{local}-away@{domain}"], MESSAGE,
                    mail_options=["BODY=8BITMIME"])
    client.quit()
    texts = host.wait_delivered(1)
    tap.ok(texts and f"Delivered-To: {local}-away@{domain}".encode()
           in texts[0], "a forward arrives and shows its way", texts)
    folder = host.wait_delivered(1, maildir=os.path.join(home, "Folder"))
    tap.same(len(folder), 1, "a Maildir line delivers there too")
    host.wait_empty()
    for path in host.delivered():
        os.unlink(path)


def bounce(host):
    home = user_home(host)
    local, domain = host.address.split("@")
    path = os.path.join(home, ".qmail-refuse")
    with open(path, "w") as file:
        file.write("|echo we do not want this; exit 100\n")
    host.give(path)
    client = host.smtp()
    client.sendmail(host.address, [f"{local}-refuse@{domain}"], MESSAGE,
                    mail_options=["BODY=8BITMIME"])
    client.quit()
    texts = host.wait_delivered(1)
    tap.ok(texts, "a refused message bounces to its sender", host.logs())
    if not texts:
        return
    report = email.message_from_bytes(texts[0], policy=email.policy.default)
    tap.same(report.get_content_type(), "multipart/report",
             "the bounce is a report")
    tap.ok(texts[0].startswith(b"Return-Path: <>\n"),
           "…from the null reverse-path", texts[0][:80])
    parts = list(report.iter_parts())
    tap.ok(any(part.get_content_type() == "message/delivery-status"
               for part in parts), "…with a delivery status")
    tap.ok(b"we do not want this" in texts[0], "…and the program's words",
           texts[0])
    tap.ok(f"{local}-refuse@{domain}".encode() in texts[0],
           "…and the address")
    tap.ok(host.wait_empty(), "the original has left the queue",
           host.queued())
    for name in host.delivered():
        os.unlink(name)


def restart_keeps(host):
    """What is queued while local is down is delivered when it is back, and the
    rest works on meanwhile."""
    import subprocess
    service = os.path.join(host.home, "service", "local")
    subprocess.run(["svc", "-d", service], check=True)
    wait_for(lambda: host.pid("local") == 0)
    client = host.smtp()
    for number in range(3):
        client.sendmail("ann@client.test", [host.address],
                        f"Subject: held {number}\r\n\r\nx\r\n")
    client.quit()
    tap.same(len(host.delivered()), 0, "with local down nothing is delivered")
    tap.ok(len(host.queued()) == 3, "and the mail waits in the queue")
    subprocess.run(["svc", "-u", service], check=True)
    tap.same(len(host.wait_delivered(3)), 3, "it arrives when local is back")
    tap.ok(host.wait_empty(), "and the queue is empty", host.queued())


with Instance() as host:
    for step in (smtp_to_pop3, refusals, sendmail, instructions, bounce,
                 restart_keeps):
        tap.case(step, host)
    if tap.failed:
        tap.note(host.logs())
tap.done()
