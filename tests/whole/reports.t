#!/usr/bin/env python3
"""Reports of failures, delays and arrivals: who gets them, and each field of
them; ENVID, RET, NOTIFY and ORCPT from the client to the next server."""

import email
import email.policy
import os
import re
import socketserver
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance

tap = Tap()

HEADER = b"From: Ann <ann@client.test>\r\nSubject: about this\r\n"
MESSAGE = HEADER + b"\r\nthe body\r\n"
HOSTILE = b"550 5.1.1 nobody\xfc\x07 here: \\ Final-Recipient: x\r\n"


class Talk(socketserver.StreamRequestHandler):
    """A server that refuses bad*, puts off late*, and takes the rest."""

    def reply(self, line):
        self.wfile.write(line + b"\r\n")

    def handle(self):
        self.reply(b"220 far.test ready")
        for line in self.rfile:
            line = line.rstrip(b"\r\n")
            verb = line[:4].upper()
            self.server.lines.append(line.decode("latin-1"))
            if verb == b"EHLO" and self.server.has_dsn:
                self.wfile.write(b"250-far.test\r\n250 DSN\r\n")
            elif verb == b"RCPT" and b"<bad" in line:
                self.wfile.write(HOSTILE)
            elif verb == b"RCPT" and b"<full" in line:
                self.reply(b"552 no room")
            elif verb == b"RCPT" and b"<late" in line:
                self.reply(b"450 4.2.1 come back later")
            elif verb == b"DATA":
                self.reply(b"354 go on")
                while self.rfile.readline() not in (b".\r\n", b""):
                    pass
                self.reply(b"250 2.6.0 taken")
            elif verb == b"QUIT":
                self.reply(b"221 bye")
                return
            else:
                self.reply(b"250 ok")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, has_dsn):
        super().__init__(("127.0.0.1", 0), Talk)
        self.has_dsn, self.lines = has_dsn, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def route(self):
        return f"127.0.0.1:{self.server_address[1]}"


def clean(host):
    for path in host.delivered():
        os.unlink(path)


def send(host, recipients, sender=None, message=MESSAGE, options=()):
    """Submits a message; recipients are (address, [parameter …]). Gives its
    queue id."""
    client = host.submission()
    client.ehlo()
    code, text = client.mail(host.address if sender is None else sender,
                             options)
    assert code == 250, text
    for address, parameters in recipients:
        code, text = client.rcpt(address, parameters)
        assert code == 250, (address, text)
    code, text = client.data(message)
    assert code == 250, text
    client.quit()
    return re.search(rb"([0-9a-z]{20})", text).group(1).decode()


class Report:
    def __init__(self, octets):
        self.octets = octets
        self.message = email.message_from_bytes(
            octets, policy=email.policy.compat32)
        self.parts = self.message.get_payload()
        self.types = [part.get_content_type() for part in self.parts]
        self.words = self.parts[0].get_payload(decode=True).decode()
        status = self.parts[1].get_payload()
        if isinstance(status, str):  # a type that email knows no parser for
            status = [email.message_from_string(block)
                      for block in status.strip().split("\n\n")]
        self.about, self.recipients = status[0], status[1:]
        self.returned = self.parts[2]

    def text(self):
        """What comes back, as it stands."""
        boundary = self.message.get_boundary().encode()
        part = self.octets.split(b"--" + boundary)[3]
        return part.split(b"\n\n", 1)[1]


def reports(host, number=1):
    """Waits for so many reports and an empty queue; gives and removes them."""
    texts = host.wait_delivered(number)
    host.wait_empty()
    texts = host.contents()
    clean(host)
    tap.same(len(texts), number, f"{number} report(s) come, no more")
    return [Report(text) for text in texts]


def field(report, number, name):
    value = report.recipients[number][name]
    return None if value is None else re.sub(r"\s+", " ", value)


def failure(host):
    ident = send(host, [
        ("bad1@plain.test", ["ORCPT=rfc822;one+2Btwo@old.test"]),
        ("bad2@plain.test", ["NOTIFY=FAILURE,DELAY"]),
        ("full@plain.test", []),
        ("bad3@plain.test", ["NOTIFY=NEVER"]),
        ("bad4@plain.test", ["NOTIFY=SUCCESS,DELAY"]),
        ("good@plain.test", [])],
        options=["RET=HDRS", "ENVID=my+20own+2Bid"])
    [report] = reports(host)
    top = report.message
    tap.same(top.get_content_type(), "multipart/report", "it is a report")
    tap.same(top.get_param("report-type"), "delivery-status", "…of delivery")
    tap.same(top["Return-Path"], "<>", "…from the null reverse-path")
    tap.same(top["To"], f"<{host.address}>", "…to the sender")
    tap.same(top["Auto-Submitted"], "auto-replied", "…says it is automatic")
    tap.same(top["MIME-Version"], "1.0", "…is MIME")
    tap.ok(re.fullmatch(r"<[0-9a-z]{20}@[^@]+>", top["Message-ID"] or ""),
           "…has a Message-ID", top["Message-ID"])
    date = email.utils.parsedate_to_datetime(top["Date"])
    tap.ok(date, "…has a Date")
    tap.same(top["Content-Transfer-Encoding"], None, "…is 7-bit")
    tap.same(report.types, ["text/plain", "message/delivery-status",
                            "text/rfc822-headers"], "its parts, RET=HDRS")
    tap.same(report.text(), report.text()[:report.text().find(b"Subject:")]
             + b"Subject: about this\n\n", "only the header comes back")
    domain = host.address.split("@")[1]
    tap.same(report.about["Reporting-MTA"], f"dns; {domain}", "Reporting-MTA")
    tap.same(report.about["Original-Envelope-Id"], "my own+id",
             "Original-Envelope-Id is decoded")
    tap.same(report.about["X-Queue-Id"], ident, "the queue id")
    arrival = email.utils.parsedate_to_datetime(report.about["Arrival-Date"])
    tap.ok(arrival <= date, "Arrival-Date", report.about["Arrival-Date"])
    tap.same([field(report, i, "Final-Recipient")
              for i in range(len(report.recipients))],
             ["rfc822; bad1@plain.test", "rfc822; bad2@plain.test",
              "rfc822; full@plain.test"],
             "it covers who failed together, and whose NOTIFY allows it")
    tap.same(field(report, 0, "Original-Recipient"),
             "rfc822; one+two@old.test", "Original-Recipient is decoded")
    tap.same(field(report, 1, "Original-Recipient"), None, "…if given")
    tap.same(field(report, 0, "Action"), "failed", "Action")
    tap.same(field(report, 0, "Status"), "5.1.1", "Status from the reply")
    tap.same(field(report, 2, "Status"), "5.2.2", "…or derived from its code")
    tap.same(field(report, 0, "Remote-MTA"), "dns; [127.0.0.1]", "Remote-MTA")
    tap.ok((field(report, 0, "Diagnostic-Code") or "").startswith(
        "smtp; 550 5.1.1 nobody"), "Diagnostic-Code",
        field(report, 0, "Diagnostic-Code"))
    tap.ok(report.octets.isascii() and b"\x07" not in report.octets,
           "a server's octets are encoded", report.octets)
    last = email.utils.parsedate_to_datetime(
        field(report, 0, "Last-Attempt-Date"))
    tap.ok(arrival <= last <= date, "Last-Attempt-Date", last)
    tap.same(field(report, 0, "Will-Retry-Until"), None,
             "no Will-Retry-Until")
    paragraphs = report.words.split("\n\n")
    for name in ("bad1", "bad2", "full"):
        tap.ok(any(p.startswith(f"<{name}@plain.test>:\n55")
                   for p in paragraphs), f"a paragraph for {name}",
               report.words)
    tap.ok(paragraphs[-2].startswith("--- ") or
           paragraphs[-1].startswith("--- "), "the paragraph with the dashes",
           paragraphs)
    tap.ok("Please ask the postmaster.\n\nOr wait.\n" in report.words,
           "the lines of bouncetext", report.words)
    tap.ok(wait_for(lambda: f" id {ident} report " in
                    host.log("queue-runner")), "the log says so")


def whole_or_header(host):
    big = MESSAGE + 3000 * (b"x" * 70 + b"\r\n")
    for options, message, kind in (
            ([], MESSAGE, "message/rfc822"),
            ([], big, "text/rfc822-headers"),
            (["RET=FULL"], big, "message/rfc822")):
        send(host, [("bad@plain.test", [])], message=message, options=options)
        [report] = reports(host)
        tap.same(report.types[2], kind, f"{len(message)} octets {options}")
        body = message.replace(b"\r\n", b"\n").split(b"\n\n", 1)[1]
        tap.same(report.text().endswith(b"\n\n" + body + b"\n"),
                 kind == "message/rfc822", "…and the body accordingly")


def eight_bit(host):
    message = "Subject: gr\u00fc\u00dfe\r\n\r\nx\r\n".encode()
    send(host, [("bad@plain.test", [])], message=message)
    [report] = reports(host)
    tap.same((report.message["Content-Transfer-Encoding"],
              report.parts[0]["Content-Transfer-Encoding"],
              report.returned["Content-Transfer-Encoding"]),
             ("8bit", None, "8bit"), "an 8-bit header makes the report 8-bit")
    tap.ok("Subject: gr\u00fc\u00dfe\n".encode() in report.text(),
           "…and comes back as it was")


def utf8(host):
    read, write = os.pipe()
    envelope, give = os.pipe()
    os.write(write, MESSAGE.replace(b"\r\n", b"\n"))
    os.write(give, b"F" + host.address.encode() + b"\0T"
             + "j\u00fcrgen@plain.test".encode() + b"\0\0")
    os.close(write)
    os.close(give)

    run = host.run("queue-submit", stdin=read, stdout=envelope)
    os.close(read)
    os.close(envelope)
    tap.same(run.returncode, 0, "queue-submit takes a UTF-8 address")
    [report] = reports(host)
    tap.same(report.types[1], "message/global-delivery-status",
             "a UTF-8 address makes a global report")
    tap.ok("Final-Recipient: utf-8; j\u00fcrgen@plain.test\n".encode()
           in report.octets, "…with the address in it", report.octets)
    tap.ok(b"Status: 5.6.7\n" in report.octets, "…and its status")


def success(host):
    local, domain = host.address.split("@")
    for name, text in (("on", "&good@plain.test\n&good@dsn.test\n"),
                       ("one", "&good6@dsn.test\n")):
        path = os.path.join(os.path.dirname(host.maildir.rstrip("/")),
                            ".qmail-" + name)
        with open(path, "w") as file:
            file.write(text)
        host.give(path)
    send(host, [("good1@plain.test", ["NOTIFY=SUCCESS"]),
                ("good2@plain.test", []),
                ("good3@plain.test", ["NOTIFY=NEVER"]),
                ("good4@plain.test", ["NOTIFY=FAILURE,DELAY"]),
                ("good5@dsn.test", ["NOTIFY=SUCCESS,FAILURE",
                                    "ORCPT=rfc822;o+2B@old.test"]),
                (f"{local}-on@{domain}", ["NOTIFY=SUCCESS,DELAY"]),
                (f"{local}-one@{domain}", ["NOTIFY=SUCCESS",
                                           "ORCPT=rfc822;a@old.test"])],
         options=["RET=FULL", "ENVID=e1"])
    [report] = reports(host)
    tap.same([(field(report, i, "Final-Recipient"), field(report, i, "Action"),
               field(report, i, "Status"))
              for i in range(len(report.recipients))],
             [("rfc822; good1@plain.test", "relayed", "2.6.0"),
              (f"rfc822; {local}-on@{domain}", "expanded", "2.0.0")],
             "who is reported as reached, and how")
    tap.same(report.types[2], "text/rfc822-headers",
             "a success returns the header, whatever RET says")
    lines = host.dsn.lines
    tap.ok(any(re.fullmatch(r"MAIL FROM:<[^>]+> .*RET=FULL ENVID=e1", line)
               for line in lines), "RET and ENVID go on", lines)
    tap.ok("RCPT TO:<good5@dsn.test> NOTIFY=SUCCESS,FAILURE "
           "ORCPT=rfc822;o+2B@old.test" in lines, "NOTIFY and ORCPT, too",
           lines)
    tap.ok("RCPT TO:<good6@dsn.test> NOTIFY=SUCCESS ORCPT=rfc822;a@old.test"
           in lines, "…also where one address forwards to one other", lines)
    tap.ok("RCPT TO:<good@dsn.test> NOTIFY=DELAY" in lines,
           "…and without SUCCESS where it forwards to several", lines)
    tap.ok(not any("NOTIFY" in line or "ENVID" in line or "ORCPT" in line
                   for line in host.plain.lines),
           "…but not to a server without DSN", host.plain.lines)

    send(host, [(host.address, ["NOTIFY=SUCCESS"])])
    host.wait_delivered(2)
    host.wait_empty()
    texts = [t for t in host.contents() if b"multipart/report" in t]
    clean(host)
    tap.same(len(texts), 1, "one report of a local delivery")
    report = Report(texts[0])
    tap.same(field(report, 0, "Action"), "delivered", "…says delivered")


def again_until(host, condition):
    """Has all that is deferred tried now, until the condition holds. What is in
    hand when the signal comes is not tried again, so more than one may be
    needed."""
    def step():
        subprocess.run(["svc", "-a", os.path.join(
            host.home, "service", "queue-runner")], check=True)
        return wait_for(condition, 0.5)

    return wait_for(step)


def attempts(host):
    return host.log("queue-runner").count(": deferral: 450")


def delay(host):
    send(host, [("late1@plain.test", []),
                ("late2@plain.test", ["NOTIFY=FAILURE"]),
                ("late3@plain.test", ["NOTIFY=DELAY"])])

    tap.ok(again_until(host, host.delivered), "a delay is told", host.logs())
    before = attempts(host)
    tap.ok(again_until(host, lambda: attempts(host) >= before + 6),
           "more attempts are made")
    tap.ok(wait_for(lambda: len(host.queued()) == 1), "only the message waits")
    texts = host.contents()
    clean(host)
    tap.same(len(texts), 1, "it is told once")
    report = Report(texts[0])
    tap.same([(field(report, i, "Final-Recipient"), field(report, i, "Action"),
               field(report, i, "Status"))
              for i in range(len(report.recipients))],
             [("rfc822; late1@plain.test", "delayed", "4.2.1"),
              ("rfc822; late3@plain.test", "delayed", "4.2.1")],
             "…of those whose NOTIFY allows it")
    arrival, until = [email.utils.parsedate_to_datetime(text) for text in
                      (report.about["Arrival-Date"],
                       field(report, 0, "Will-Retry-Until"))]
    tap.same((until - arrival).total_seconds(), 604800, "Will-Retry-Until")
    tap.same(report.types[2], "text/rfc822-headers", "the header comes back")


def double(host):
    send(host, [("bad@plain.test", [])], sender="")
    [report] = reports(host)
    tap.same(report.message["Return-Path"], "<#@[]>",
             "a double bounce has its own reverse-path")
    tap.same(report.message["To"], f"<{host.address}>",
             "…goes to doublebounceto")
    tap.same(field(report, 0, "Final-Recipient"), "rfc822; bad@plain.test",
             "…and is about the failed bounce")
    tap.same(field(report, 0, "Action"), "failed", "…which failed")


def triple(host):
    host.control("doublebounceto", "bad-admin\n")
    host.control("doublebouncehost", "plain.test\n")
    host.restart("queue-runner")
    host.plain.lines.clear()
    ident = send(host, [("bad@plain.test", [])], sender="")
    tap.ok(host.wait_empty(), "the queue is empty", host.queued())
    log = host.log("queue-runner")
    found = re.search(rf"double bounce msg \d+ qp \d+ id {ident} report "
                      r"(\w+)", log)
    tap.ok(found, "a double bounce is sent")
    tap.ok(found and re.search(
        rf"triple bounce: discarding bounce/\d+ id {found.group(1)}", log),
           "…fails, and is dropped with a word in the log", log[-2000:])
    tap.ok("RCPT TO:<bad-admin@plain.test>" in host.plain.lines and not any(
        "#@[]" in line for line in host.plain.lines),
        "on the wire it has the null reverse-path", host.plain.lines)
    tap.same(host.delivered(), [], "nobody else is told")


def by_command(host):
    """The forward command of a .qmail file sends on what the sender asked."""
    path = os.path.join(os.path.dirname(host.maildir), ".qmail-on")
    with open(path, "w") as file:
        file.write("|env | grep ^DSN_ >wishes; forward bad7@plain.test"
                   " good7@dsn.test\n")
    host.give(path)
    to = host.address.replace("@", "-on@")
    host.dsn.lines.clear()
    send(host, [(to, ["NOTIFY=NEVER", "ORCPT=rfc822;a+2Bb@old.test"])],
         options=["RET=HDRS", "ENVID=my+20id"])
    host.wait_empty()
    tap.same(host.delivered(), [], "NOTIFY=NEVER goes on with a command: silence")
    lines = "\n".join(host.dsn.lines)
    tap.ok("RET=HDRS ENVID=my+20id" in lines and
           "NOTIFY=NEVER ORCPT=rfc822;a+2Bb@old.test" in lines,
           "…and RET, ENVID and ORCPT with it", lines)
    with open(os.path.join(os.path.dirname(path), "wishes")) as file:
        tap.same(sorted(file.read().split("\n")),
                 ["", "DSN_ENVID=my+20id", "DSN_NOTIFY=NEVER",
                  "DSN_ORCPT=rfc822;a+2Bb@old.test", "DSN_RET=HDRS"],
                 "…as it is in the command's variables")
    host.dsn.lines.clear()
    send(host, [(to, ["NOTIFY=SUCCESS"])])
    [report] = reports(host)
    tap.same((field(report, 0, "Action"), len(report.recipients)),
             ("delivered", 1), "success is reported of the command alone")
    tap.ok("NOTIFY=NEVER" in "\n".join(host.dsn.lines),
           "…and does not go on", host.dsn.lines)
    os.unlink(path)


def lifetime(host):
    """Bounces are given up earlier than other mail."""
    local, domain = host.address.split("@")
    host.control("doublebounceto", local + "\n")
    host.control("doublebouncehost", domain + "\n")
    host.control("bouncelifetime", "1\n")
    host.control("delaywarning", "0\n")
    host.restart("queue-runner")
    send(host, [("late9@plain.test", [])], sender="")

    tap.ok(again_until(host, host.delivered),
           "a bounce is given up after bouncelifetime", host.logs())
    texts = host.contents()
    clean(host)
    report = Report(texts[0])
    tap.same((field(report, 0, "Status"), field(report, 0, "Diagnostic-Code")),
             ("5.4.7", "smtp; 450 4.2.1 come back later"),
             "…and the last answer is told")
    tap.ok(wait_for(lambda: len(host.queued()) == 1),
           "the other message still waits", host.queued())


with Instance() as host, Server(False) as plain, Server(True) as dsn:
    local, domain = host.address.split("@")
    host.plain, host.dsn = plain, dsn
    host.control("smtproutes", f"plain.test:{plain.route}\n"
                 f"dsn.test:{dsn.route}\n")
    host.control("bouncetext", "Please ask the postmaster.\n\nOr wait.\n")
    host.control("doublebounceto", local + "\n")
    host.control("doublebouncehost", domain + "\n")
    host.control("delaywarning", "1\n")
    host.restart("queue-runner")
    for step in (failure, whole_or_header, eight_bit, utf8, success, double,
                 triple, delay, by_command,
                 lifetime):
        tap.case(step, host)
    if tap.failed:
        tap.note(host.logs())
tap.done()
