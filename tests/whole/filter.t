#!/usr/bin/env python3
"""queue-filter: judges and wrappers between smtpd and the queue. What they may do,
what becomes of mail when they fail, and that nothing else is changed."""

import os
import re
import smtplib
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import BUILD, Instance
from queuefile import envelope_of

tap = Tap()
MESSAGE = (b"From: Ann <ann@client.test>\r\n"
           b"Subject: through the filters\r\n"
           b"\r\n"
           b"..dots and gr\xc3\xbc\xc3\x9fe\r\n"
           b"\r\n"
           b"last line\r\n")
STORED = MESSAGE.replace(b"\r\n", b"\n")

PROGRAMS = {
    # a wrapper as they are found in the field: sh, and QMAILQUEUE
    "add": '#!/bin/sh\n{ echo "X-Seen: $1"; cat; } | "$QMAILQUEUE"\n',
    # perl, with the path of qmail-queue in it, both pipes by hand, and exec
    "perl": r"""#!/usr/bin/perl
use strict;
my $queue = shift;
local $/;
open(my $m, '<&=', 0); my $text = <$m>; close $m;
open(my $e, '<&=', 1); my $env = <$e>; close $e;
$text = "X-Perl: " . length($text) . "\n" . $text;
pipe(MR, MW); pipe(ER, EW);
my $pid = fork;
if (!$pid) {
    close MW; close EW;
    open(STDIN, '<&', \*MR); open(STDOUT, '<&', \*ER);
    exec $queue or exit 120;
}
close MR; close ER;
print MW $text; close MW;
print EW $env; close EW;
waitpid $pid, 0;
exit($? >> 8);
""",
    # python, by subprocess, which closes every descriptor but these
    "python": """#!/usr/bin/env python3
import os, subprocess, sys, tempfile
envelope = os.fdopen(1, "rb").read()
parts = envelope.split(b"\\0")
sender, recipients = parts[0][1:], [p[1:] for p in parts[1:] if p]
message = sys.stdin.buffer.read()
keep = [r for r in recipients if not r.startswith(b"drop")]
out = b"F" + sender + b"\\0" + b"".join(b"T" + r + b"\\0" for r in keep) + b"\\0"
with tempfile.TemporaryFile() as file:
    file.write(out)
    file.seek(0)
    run = subprocess.run([os.environ["QMAILQUEUE"]], stdout=file,
                         input=b"X-Python: yes\\n" + message)
sys.exit(run.returncode)
""",
    # does what the message says, with the message on 0 again
    "obey": '#!/bin/sh\nm=$TMPDIR/m.$$; cat >"$m"\n'
            "do=$(sed -n 's/^X-Do: //p;/^$/q' \"$m\")\n"
            'exec <"$m"; rm "$m"\neval "$do"\n',
    "see": '#!/bin/sh\nenv >"$1"; cat >"$1.message"; cat <&1 >"$1.envelope"\n'
           'ls /proc/self/fd >"$1.fds"; pwd >"$1.pwd"; id >"$1.id"\n',
    "stdout": "#!/bin/sh\necho this goes nowhere\nexit 0\n",
}


class Filters:
    """The filters of a host, and clients that go through them."""

    def __init__(self, host):
        self.host = host
        self.folder = os.path.join(host.home, "programs")
        os.mkdir(self.folder)
        os.chmod(self.folder, 0o755)
        self.out = os.path.join(host.home, "out")
        os.mkdir(self.out)
        host.give(self.out)
        drop = os.path.join(host.home, "alias", ".qmail-drop-1")
        with open(drop, "w") as file:
            file.write(f"&{host.address}\n")
        host.give(drop)
        for name, text in PROGRAMS.items():
            path = os.path.join(self.folder, name)
            with open(path, "w") as file:
                file.write(text)
            os.chmod(path, 0o755)

    def use(self, *lines):
        host = self.host
        host.control("filters", "# what sees each message\n" + "".join(
            f"{self.folder}/{line}\n" if line[0] != "/" else line + "\n"
            for line in lines))
        host.restart("queue-filter")

    def send(self, recipients=None, message=MESSAGE, options=()):
        """The reply to the content, and how long it took."""
        client = self.host.smtp(timeout=60)
        client.ehlo()
        client.mail("ann@client.test", ["BODY=8BITMIME", *options])
        for recipient in recipients or [self.host.address]:
            assert client.rcpt(recipient)[0] == 250, recipient
        began = time.monotonic()
        code, text = client.data(message)
        self.took = time.monotonic() - began
        client.close()
        return code, text.decode()

    def one(self):
        """Waits for one message in the Maildir, removes it, gives it."""
        [text] = self.host.wait_delivered(1)
        self.host.wait_empty()
        for path in self.host.delivered():
            os.unlink(path)
        return text

    def out_of(self, name):
        with open(os.path.join(self.out, name)) as file:
            return file.read()

    def obeyed(self, what):
        """The reply to a message that tells the filter what to do."""
        return self.send(message=b"X-Do: " + what.encode() + b"\r\n" + MESSAGE)

    def refused(self, what, code, pattern, name):
        """The filter does it, and the message is refused with code and text;
        nothing is left. what None: whatever the filter does."""
        got = self.obeyed(what) if what else self.send()
        tap.ok(got[0] == code and re.search(pattern, got[1]),
               f"{name}: {code}", (got, self.host.log("queue-filter")[-600:]))
        tap.ok(self.host.wait_empty(5) and not self.host.delivered(),
               "…and nothing was accepted", self.host.queued())


def body_of(text):
    return text[text.find(b"From: Ann"):]


def nothing_listed(filters):
    host = filters.host
    code, text = filters.send()
    tap.same(code, 250, "without control/filters mail goes through")
    got = filters.one()
    tap.same(body_of(got), STORED, "…byte for byte")
    ident = re.search(r"\b([0-9a-z]{20})\b", text).group(1)
    tap.same(len(re.findall(rb"^Received: ", got, re.M)), 1,
             "…with smtpd's Received field alone")
    tap.ok(f"id {ident}".encode() in got,
           "…which has the id of the 250", got[:400])


def wrappers(filters):
    host = filters.host
    filters.use("add first", f"perl {BUILD_SUBMIT}", "stdout", "add last",
                "python")
    code, text = filters.send()
    tap.same(code, 250, "four wrappers and a judge in a row")
    got = filters.one()
    head = got[got.find(b"X-Python"):].split(b"Received:")[0]
    tap.ok(re.fullmatch(rb"X-Python: yes\nX-Seen: last\nX-Perl: \d+\n"
                        rb"X-Seen: first\n", head),
           "each adds its field, in order, in sh, perl and python", got[:600])
    tap.same(body_of(got), STORED, "the rest is as it was")
    tap.ok(re.search(r"\b([0-9a-z]{20})\b", text).group(1).encode() in got,
           "the id of the 250 is that of the Received field")
    domain = host.address.split("@")[1]
    code, _ = filters.send([f"drop-1@{domain}", host.address])
    tap.ok(code == 250 and filters.one() and "changes 2 recipients to 1"
           in host.log("queue-filter"), "a wrapper may take recipients away",
           host.log("queue-filter"))


def envelope_survives(filters):
    """Parameters, and who sent it, survive the hop."""
    host = filters.host
    filters.use("add x")
    subprocess.run(["svc", "-d", f"{host.home}/service/local"], check=True)
    wait_for(lambda: host.pid("local") == 0)
    client = host.smtp()
    client.ehlo("hello.client.test")
    client.mail("ann@client.test", ["RET=HDRS", "ENVID=e+2Bx",
                                    "BODY=8BITMIME"])
    client.rcpt(host.address, ["NOTIFY=FAILURE,DELAY",
                               "ORCPT=rfc822;old@client.test"])
    client.data(MESSAGE)
    client.close()
    [path] = wait_for(host.queued)
    with open(path, "rb") as file:
        envelope = envelope_of(file.read())
    tap.same((envelope["reverse_path"], envelope["parameters"],
              envelope["envid"], envelope["recipients"]),
             ("ann@client.test", (1, 0, 0, 2), "e+2Bx",
              [(host.address, 12, "rfc822;old@client.test")]),
             "sender, BODY, RET, ENVID, NOTIFY and ORCPT go on")
    tap.same((envelope["origin"], envelope["client_address"],
              envelope["hello"], envelope["protocol"]),
             (2, "127.0.0.1", "hello.client.test", "ESMTP"),
             "so does who sent it")
    subprocess.run(["svc", "-u", f"{host.home}/service/local"], check=True)
    wait_for(lambda: host.pid("local"))
    filters.one()


def what_they_get(filters):
    host = filters.host
    saw = os.path.join(filters.out, "saw")
    filters.use(f"see {saw}")
    client = host.smtp()
    client.ehlo("a;b`c$(d)'e")
    client.mail("ann@client.test")
    client.rcpt(host.address)
    tap.same(client.data(MESSAGE)[0], 250, "a judge that looks at everything")
    client.close()
    got = filters.one()
    env = dict(line.split("=", 1) for line in
               filters.out_of("saw").splitlines() if "=" in line)
    tap.same((env["TCPREMOTEIP"], env["PROTO"], env["SMTPHELO"]),
             ("127.0.0.1", "TCP", "a?b?c??d??e"),
             "the client in the environment, without marks of a shell")
    tap.ok("RELAYCLIENT" not in env and "TCPREMOTEINFO" not in env,
           "…and nothing that would let it relay")
    wanted = {"PATH", "HOME", "TMPDIR", "KEEPMAIL", "QMAILQUEUE", "ERROR_FD",
              "KEEPMAIL_NEXT", "KEEPMAIL_ID", "PROTO", "TCPREMOTEIP",
              "TCPREMOTEHOST", "SMTPHELO"}
    tap.same(set(env) - wanted - {"PWD", "OLDPWD", "SHLVL", "_"}, set(),
             "…and nothing else")
    tap.same(filters.out_of("saw.envelope"),
             f"Fann@client.test\0T{host.address}\0\0", "the envelope on 1")
    with open(f"{saw}.message", "rb") as file:
        message = file.read()
    tap.ok(got.endswith(message) and message.endswith(STORED),
           "the message on 0", message)
    # 3 is what ls opens for itself.
    tap.same(set(filters.out_of("saw.fds").split()) - {"3"},
             {"0", "1", "2", "6"}, "no other descriptor but 2 and 6")
    tap.same(filters.out_of("saw.pwd").strip(), f"{host.home}/filter",
             "in a folder of their own")
    tap.same(os.listdir(f"{host.home}/filter"), [],
             "where nothing is left")


def verdicts(filters):
    filters.use("obey", "stdout")
    filters.refused("exit 11", 554, "refused", "exit 11")
    filters.refused("exit 40", 554, "refused", "exit 40")
    filters.refused("echo 'Dno(spam) here' >&6; exit 82", 554,
                    r" no\(spam\) here$", "82 with D and a text")
    filters.refused("echo 'Zslow down' >&6; exit 82", 451, " slow down$",
                    "82 with Z and a text")
    filters.refused("printf Dshort >&$ERROR_FD; exit 88", 554, " short$",
                    "88, by ERROR_FD, without a line's end")
    filters.refused("printf 'D5.7.1 \\001\\377\\nmore' >&6; exit 82", 554,
                    r" 5.7.1 \?\?$", "a text with odd octets")
    filters.refused("echo Xodd >&6; exit 82", 451, "try again later",
                    "82 with a text of neither kind")
    filters.refused("exit 82", 451, "try again later", "82 without a text")
    tap.same(filters.obeyed("echo Dunasked >&6")[0], 250,
             "a text without 82 means nothing")
    filters.one()
    tap.ok(re.search(r"[0-9a-z]{20} refused: \S+/obey: no\(spam\) here "
                     r"from=<ann@client.test> client=127.0.0.1",
                     filters.host.log("queue-filter")),
           "the log has id, program and reason",
           filters.host.log("queue-filter"))


NEXT = '(echo "X-No: no"; cat) | "$QMAILQUEUE" || exit 51; '
TWICE = ('e=$TMPDIR/e.$$; cat <&1 >"$e"; echo 1 | "$QMAILQUEUE" 1<"$e" || '
         'exit 51; echo 2 | "$QMAILQUEUE" 1<"$e"; rm "$e"; exit 0')


# more than a pipe holds is read, so queue-submit is at work
HALF = ('(cat; yes | head -c 300000; echo >"$HOME/going"; sleep 1000) | '
        '"$QMAILQUEUE" & until [ -e "$HOME/going" ]; do sleep 0.01; done; '
        'rm "$HOME/going"; exit 0')


def failures(filters):
    """Nothing that goes wrong accepts a message."""
    host = filters.host
    got = {status: filters.obeyed(f"exit {status}")[0] for status in
           (1, 10, 41, 51, 71, 91, 99, 111, 120, 255)}
    tap.same(set(got.values()), {451}, "every other exit status defers")
    for what in ("KILL", "SEGV", "TERM"):
        filters.refused(f"kill -{what} $$", 451, "try again later",
                        f"a filter that dies of {what}")
    filters.refused(NEXT + "exit 31", 554, "",
                    "a wrapper that hands on, and then refuses")
    filters.refused(NEXT + "kill -9 $$", 451, "",
                    "a wrapper that hands on, and then is killed")
    filters.refused(TWICE, 451, "", "a wrapper that hands on twice")
    filters.refused(HALF, 451, "",
                    "a wrapper that ends before it has handed on")
    filters.refused('"$QMAILQUEUE" 1</dev/null; exit $?', 451, "",
                    "a wrapper that loses the envelope")
    tap.ok(not left_over(host), "no process of a filter is left",
           left_over(host))
    sendmail = os.path.join(host.value["PROGRAMS"], "sendmail")
    got = filters.obeyed(f'printf "Subject: told\\n\\nx\\n" | {sendmail} '
                         f'{host.address} >&2; exit 31')
    tap.same(got[0], 554, "a filter that sends a message of its own")
    text = filters.one()
    tap.ok(b"Subject: told" in text and b"through the filters" not in text,
           "…which is delivered, and the refused one is not", text)
    filters.use("/no/such/program")
    filters.refused(None, 451, "try again later", "a filter that is not there")
    filters.use("add x", "/etc/passwd")
    filters.refused(None, 451, "try again later", "a filter that is no program")


def left_over(host):
    """Processes that run in filter/."""
    found = []
    for pid in os.listdir("/proc"):
        if not pid.isdigit():
            continue
        try:
            if os.readlink(f"/proc/{pid}/cwd") == f"{host.home}/filter":
                found.append(pid)
        except OSError:
            pass
    return found


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def time_limit(filters):
    host = filters.host
    host.control("filtertimeout", "1\n")
    pids = os.path.join(filters.out, "pids")
    filters.use("obey")
    filters.refused(f"sleep 1000 & echo $$ $! >{pids}; wait", 451,
                    "try again later", "a filter that hangs")
    tap.ok(0.9 < filters.took < 10, "…after the time that was set",
           filters.took)
    children = filters.out_of("pids").split()
    tap.ok(len(children) == 2 and wait_for(
        lambda: not any(alive(pid) for pid in children)),
        "…it and its child are killed", children)
    filters.refused("yes xxx >&2 & yes zzz >&6 & wait", 451,
                    "try again later", "a filter that floods 2 and 6")
    tap.ok(host.log("queue-filter").count("obey: xxx") == 20,
           "…the log has 20 lines of it")
    filters.refused('yes | "$QMAILQUEUE"; exit $?', 451, "",
                    "a wrapper that hands on without end")
    os.unlink(f"{host.home}/control/filtertimeout")


def not_the_way(filters):
    """What is no submission on the socket, and no list of filters."""
    host = filters.host
    filters.use("/bin/true")
    pid = host.pid("queue-filter")
    for octets in (b"x", b"Q\0\0\0\x09" + b"\0" * 9, b"D\xff\xff\xff\xff",
                   b"Q\0\0\0\0", b"E\0\0\0\0", b"\0" * 100000):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(f"{host.home}/socket/filter")
            s.settimeout(20)
            try:
                s.sendall(octets)
                s.shutdown(socket.SHUT_WR)
                while s.recv(4096):
                    pass
            except OSError:
                pass
    tap.ok(host.pid("queue-filter") == pid and filters.send()[0] == 250,
           "nonsense on the socket harms nobody")
    filters.one()
    tap.ok(host.wait_empty(), "and leaves nothing", host.queued())
    for text, wanted in (("relative/path\n", "line 1: expected the path"),
                         ("\n\n/bin/true " + "x " * 40 + "\n",
                          "line 3: expected the path"),
                         ("/bin/true\n" * 33, "line 33: expected at most 32")):
        host.control("filters", text)
        run = host.run("queue-filter")
        tap.ended(run, 111, "control/filters " + wanted, "a malformed list")


def services_away(filters):
    host = filters.host
    filters.use("add x")

    def service(name, what):
        subprocess.run(["svc", what, f"{host.home}/service/{name}"],
                       check=True)
        wait_for(lambda: (host.pid(name) == 0) == (what == "-d"))

    def asked():
        client = host.smtp()
        client.ehlo()
        code, _ = client.mail("ann@client.test")
        client.close()
        return code

    service("queue-inject", "-d")
    tap.same(asked(), 451, "without queue-inject MAIL is deferred")
    service("queue-inject", "-u")
    service("queue-filter", "-d")
    tap.same(asked(), 451, "without queue-filter too: nothing goes around it")
    service("queue-filter", "-u")
    tap.ok(wait_for(lambda: asked() == 250), "both are back")
    tap.same(filters.send()[0], 250, "and mail goes through")
    filters.one()
    big = MESSAGE + b"0123456789abcde\r\n" * 700000
    tap.same(filters.send(message=big)[0], 250, "a message of 12 MB")
    tap.same(body_of(filters.one()), big.replace(b"\r\n", b"\n"),
             "…is whole")


def qmailqueue(filters):
    """QMAILQUEUE: a wrapper between sendmail and the queue, as with qmail."""
    host = filters.host

    def sendmail(program, **more):
        environment = dict(os.environ, KEEPMAIL=host.home, QMAILQUEUE=program,
                           BUILD_SUBMIT=BUILD_SUBMIT, **more)
        return host.run("sendmail", "-f", "ann@client.test", host.address,
                        env=environment, input=STORED)

    def wrapper(name, text):
        path = os.path.join(filters.folder, name)
        with open(path, "w") as file:
            file.write("#!/bin/sh\n" + text + "\n")
        os.chmod(path, 0o755)
        return path

    # The variable stays as it is: whoever looked at it here would go round.
    path = wrapper("own", '(echo "X-Own: yes"; cat) | "$BUILD_SUBMIT"')
    run = sendmail(path)
    tap.ended(run, 0, "", "sendmail by a wrapper of QMAILQUEUE")
    got = filters.one()
    tap.same(got.count(b"X-Own: yes\n"), 1, "the wrapper ran once")
    tap.ok(got.endswith(STORED[STORED.index(b"Subject"):])
           and b"Return-Path: <ann@client.test>" in got
           and b"\nMessage-I" in got and b"\nDate: " in got,
           "and the message is what sendmail makes of it", got)
    run = sendmail("programs/own")
    tap.ended(run, 0, "", "by a path from the home on")
    filters.one()
    tap.ended(sendmail(""), 0, "", "an empty QMAILQUEUE is none")
    tap.ok(b"X-Own" not in filters.one(), "…and no wrapper ran")
    big = STORED + b"0123456789abcde\n" * 200000
    run = host.run("sendmail", host.address, input=big, env=dict(
        os.environ, KEEPMAIL=host.home, QMAILQUEUE=path,
        BUILD_SUBMIT=BUILD_SUBMIT))
    tap.ended(run, 0, "", "a message of 3 MB")
    tap.ok(filters.one().endswith(big[big.index(b"Subject"):]), "…is whole")
    for text, status, said in (
            ("exit 31", 69, "own ended with status 31"),
            ("exit 11", 65, "status 11"), ("exit 51", 75, "status 51"),
            ("exit 1", 75, "status 1"), ("kill -9 $$", 75, "signal 9"),
            ("echo Dnever >&6; exit 82", 69, ": never$"),
            ('echo "Znot now" >&$ERROR_FD; exit 88', 75, ": not now$"),
            ("exit 82", 75, "no reason")):
        tap.ended(sendmail(wrapper("own", text)), status, said,
                  f"QMAILQUEUE does {text}")
    tap.ended(sendmail("/no/such/program"), 75, "cannot be run",
              "QMAILQUEUE names nothing")
    tap.ok(host.wait_empty() and not host.delivered(), "nothing was queued")
    with open(os.path.join(filters.out, "envelope"), "w+b") as file:
        file.write(f"Fann@client.test\0T{host.address}\0\0".encode())
        file.seek(0)
        run = host.run("queue-submit", input=STORED, stdout=file, env=dict(
            os.environ, KEEPMAIL=host.home, QMAILQUEUE="/bin/false"))
    tap.ended(run, 0, "", "queue-submit does not look at QMAILQUEUE")
    filters.one()


BUILD_SUBMIT = os.path.join(BUILD, "queue-submit")
with Instance() as host:
    programs = host.value["PROGRAMS"]
    BUILD_SUBMIT = os.path.join(programs, "queue-submit")
    host.control("submitsocket", "filter\n")
    filters = Filters(host)
    for step in (nothing_listed, wrappers, envelope_survives, what_they_get,
                 verdicts, failures, time_limit, not_the_way, services_away,
                 qmailqueue):
        tap.case(step, filters)
    host.control("submitsocket", "both\n")
    try:
        host.smtp().close()
        tap.ok(False, "a malformed submitsocket is not gone by")
    except smtplib.SMTPConnectError as error:
        tap.ok(error.smtp_code == 421 and wait_for(
            lambda: "submitsocket: expected submit or filter"
            in host.log("smtpd")), "a malformed submitsocket is named")
    if tap.failed:
        tap.note(host.logs())
tap.done()
