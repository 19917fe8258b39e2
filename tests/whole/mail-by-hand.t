#!/usr/bin/env python3
"""mail-show and mail-send: messages for people. Golden messages as mail-show ought
to show them, with hostile ones among them, by the plain and by the sanitized build;
what mail-send composes, judged by Python's email package; and a message from
mail-send through an instance to mail-show."""

import base64
import binascii
import email
import email.policy
import json
import os
import re
import resource
import stat
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, skip_all
from instance import BUILD, Instance

tap = Tap()
SHOW = os.path.join(BUILD, "mail-show")
SEND = os.path.join(BUILD, "mail-send")
SANITIZED = os.path.join(BUILD, "clang", "mail-show")
SANITIZED_SEND = os.path.join(BUILD, "clang", "mail-send")
if not os.path.exists(SHOW) or not os.path.exists(SEND):
    skip_all("built without mail-show and mail-send (MAIL=0)")
# What a terminal obeys: C0 but line end and tab, DEL, and C1 in UTF-8.
OBEYED = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")
ENVIRONMENT = dict(os.environ, LC_ALL="C.UTF-8",
                   ASAN_OPTIONS="detect_leaks=0:exitcode=99")


def run(*command, **more):
    arguments = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                     env=ENVIRONMENT, cwd="/")
    arguments.update(more)
    if "input" not in arguments:
        arguments["stdin"] = subprocess.DEVNULL
    return subprocess.run(command, **arguments)


# --- golden messages ----------------------------------------------------------

def b64(text):
    return base64.encodebytes(text).decode()


def parts(subtype, *each):
    """A multipart with a boundary of its own; of parts as they stand."""
    parts.count += 1
    line = f"--=_{parts.count}"
    return (f"Content-Type: multipart/{subtype}; boundary=\"{line[2:]}\"\n\n"
            + "".join(f"{line}\n{part}\n" for part in each) + f"{line}--\n")


parts.count = 0
PLAIN = "Content-Type: text/plain; charset=utf-8\n\n"

# Name, message, field and its value (or None), text.
GOLDEN = [
    ("words of one charset next to each other, a character across two",
     "Subject: =?utf-8?B?5Lit?= =?utf-8?B?5g==?=\n =?utf-8?B?loc=?= end\n\nx\n",
     ("Subject", "中文 end"), "x\n"),
    ("white space stays between a word and text, not between two words",
     "Subject: a =?utf-8?Q?b_?=  =?iso-8859-1?Q?=E4?= c\n\nx\n",
     ("Subject", "a b ä c"), "x\n"),
    ("GBK", "Subject: =?GBK?B?1tDOxA==?=\nContent-Type: text/plain; "
     "charset=gb2312\nContent-Transfer-Encoding: base64\n\n"
     + b64("中文信\n".encode("gbk")), ("Subject", "中文"), "中文信\n"),
    ("GB18030 beyond what its label has", "Content-Type: text/plain; "
     "charset=gb2312\nContent-Transfer-Encoding: base64\n\n"
     + b64("朱镕基\n".encode("gb18030")), None, "朱镕基\n"),
    ("ISO-2022-JP", b"Subject: =?ISO-2022-JP?B?GyRCRnxLXDhsGyhC?=\nContent-Type:"
     b" text/plain; charset=ISO-2022-JP\n\n\x1b$BF|K\\8l\x1b(B text\n",
     ("Subject", "日本語"), "日本語 text\n"),
    ("KOI8-R", b"Content-Type: text/plain; charset=koi8-r\n\n"
     + "привет\n".encode("koi8-r"), None, "привет\n"),
    ("Windows' quotes as ISO-8859-1", "Content-Type: text/plain; charset="
     "iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n=93a=94 =80\n",
     None, "“a” €\n"),
    ("UTF-8 without a charset", "\nGrüße\n".encode(), None, "Grüße\n"),
    ("ISO-8859-1 without a charset", "\nGrüße\n".encode("latin-1"), None,
     "Grüße\n"),
    ("a charset that nobody knows", "Content-Type: text/plain; charset=x-klingon"
     "\n\nGrüße\n".encode(), None, "Grüße\n"),
    ("octets that are none of the charset's", b"Content-Type: text/plain; "
     b"charset=utf-8\n\na\xff\xfeb\n", None, "a\ufffd\ufffdb\n"),
    ("UTF-7 and a name in quotes", 'From: "=?utf-8?Q?J=C3=BCrgen_?=" <j@x.test>\n'
     "Content-Type: text/plain; charset=utf-7\n\nGr+APwA3w-e\n",
     ("From", "Jürgen <j@x.test>"), "Grüße\n"),
    ("8 bit in a header", "From: Jürgen <j@x.test>\n\n\n".encode("latin-1"),
     ("From", "Jürgen <j@x.test>"), "\n"),
    ("a comma in a name stays in the name",
     "From: =?utf-8?Q?a=2C_b=40c?= <j@x.test>\n\nx\n",
     ("From", '"a, b@c" <j@x.test>'), "x\n"),
    ("quoted-printable with soft line ends", PLAIN[:-1]
     + "Content-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=\n=C3=9Fe  =20\n"
     "=3D\n", None, "Grüße   \n=\n"),
    ("plain text of alternatives, wherever it stands",
     parts("alternative", "Content-Type: text/html\n\n<b>no</b>", PLAIN + "yes"),
     None, "yes\n"),
    ("alternatives within mixed, then more text",
     parts("mixed", parts("alternative", PLAIN + "one",
                          parts("related", "Content-Type: text/html\n\n<b>no")),
           PLAIN + "two"), None, "one\n\ntwo\n"),
    ("HTML where there is no other", "Content-Type: text/html; charset=utf-8\n\n"
     "<html><head><title>T</title><style>p {}</style></head><body><h1>Head</h1>"
     "<!-- > no --><p>a &amp; b&nbsp;&#xe4;&#228;&bogus;\n c<br>d<script>if (a<b)"
     "</script><ul><li>e<li>f</ul><pre>g\n  h</pre><a href='http://evil.test/'>"
     "http://bank.test/</a> 1 < 2</body>", None,
     "Head\n\na & b ää&bogus; c\nd\n- e\n- f\n\ng\n  h\n\nhttp://bank.test/ "
     "<http://evil.test/> 1 < 2\n"),
    ("HTML that says its charset by itself", b"Content-Type: text/html\n\n<html>"
     b'<head><meta http-equiv=x content="text/html; charset=KOI8-R"></head><p>'
     + "привет".encode("koi8-r"), None, "привет\n"),
    ("what lies uuencoded in a text is not in it", "\nbefore\nbegin 644 x.bin\n"
     "#0V%T\n`\nend\nafter\nbegin 644 no file\n", None,
     "before\nafter\nbegin 644 no file\n"),
    ("a report's fields are text",
     parts("report", PLAIN + "failed",
           "Content-Type: message/delivery-status\n\nStatus: 5.1.1",
           "Content-Type: message/rfc822\n\nSubject: x\n\nx"), None,
     "failed\n\nStatus: 5.1.1\n"),
    ("text that is attached is not shown",
     parts("mixed", PLAIN + "a", "Content-Disposition: attachment\n\nb"), None,
     "a\n"),
    ("a multipart without its end", "Content-Type: multipart/mixed; boundary=b\n\n"
     "--b\n\nx", None, "x\n"),
    ("a multipart without a boundary", "Content-Type: multipart/mixed\n\nx\n",
     None, ""),
    ("CRLF", "Subject: a\r\n b\r\n\r\nx\r\ny\r\n", ("Subject", "a b"), "x\ny\n"),
    ("no header", "\njust text\n", None, "just text\n"),
    ("no body", "Subject: x\n", ("Subject", "x"), ""),
]


def shown(program, message, *options):
    done = run(program, *options, "-", input=message)
    return done, json.loads(done.stdout) if "--json" in options and done.stdout \
        else None


def value(message, name):
    return next((field["value"] for field in message["fields"]
                 if field["name"].lower() == name.lower()), None)


def octets(message):
    return message if isinstance(message, bytes) else message.encode()


def golden():
    for name, message, field, text in GOLDEN:
        done, got = shown(SHOW, octets(message), "--json")
        tap.same((done.returncode, got and got["text"],
                  field and value(got, field[0])),
                 (0, text, field and field[1]), name)
    done = run(SHOW, "-", input=octets(GOLDEN[0][1]))
    tap.same(done.stdout.decode(), "Subject: 中文 end\n\nx\n", "as text")
    done = run(SHOW, "--charset", "iso-8859-1", "-",
               input=octets("Subject: =?utf-8?Q?=C3=A4_=E4=B8=AD?=\n\nx\n"))
    tap.same(done.stdout, b"Subject: \xe4 ?\n\nx\n", "for another terminal")
    done = run(SHOW, "--fields", "-", input=b"X-A: =?utf-8?Q?=C3=A4?=\nTo: b@c\n\n")
    tap.same(done.stdout.decode(), "X-A: ä\nTo: b@c\n\n", "--fields")


# --- attachments --------------------------------------------------------------

def attached(disposition, content_type="application/x-a", content="eA=="):
    return (f"Content-Type: {content_type}\nContent-Transfer-Encoding: base64\n"
            f"Content-Disposition: attachment{disposition}\n\n{content}")


# What a message calls an attachment, and the file that becomes of it.
NAMES = [
    ('; filename="a b.pdf"', "a b.pdf"),
    ("; filename*0*=utf-8''%E4%B8; filename*1*=%AD%20; filename*2=\"x.png\"",
     "中 x.png"),
    ("; filename*1=two.txt; filename*0=one-", "one-two.txt"),
    ('; filename="=?utf-8?Q?=C3=A4.txt?="', "ä.txt"),
    ("; filename*=iso-8859-1''%F6.txt", "ö.txt"),
    ('; filename="../../etc/passwd"', "passwd"),
    ("; filename*=utf-8''..%2F..%2Fetc%2Fshadow", "shadow"),
    ('; filename="C:\\\\Windows\\\\x.exe"', "x.exe"),
    ('; filename="/"', "part-9"),
    ('; filename=".."', "part-10"),
    ('; filename=".bashrc"', "_bashrc"),
    ('; filename="-rf"', "_rf"),
    ("; filename*=utf-8''a%00b%0Ac%1B%5B2Jd.txt", None),
    ("; filename*=utf-8''exe.%E2%80%AEgpj.txt", "exe._gpj.txt"),
    ("; filename=\"" + "n" * 3000 + ".tar\"", None),
    ('; filename="a b.pdf"', "a b-2.pdf"),
    ("", "part-17"),
]


def attachments():
    message = octets("Subject: x\nMIME-Version: 1.0\n" + parts(
        "mixed", PLAIN.replace("\n\n", "\nContent-Disposition: inline\n\n") + "x",
        *(attached(name, content=b64(b"%d" % at))
          for at, (name, _) in enumerate(NAMES[1:], 1))))
    with tempfile.TemporaryDirectory() as folder:
        inner = os.path.join(folder, "in")
        os.mkdir(inner)
        os.symlink("/nonexistent/x", os.path.join(inner, "passwd"))
        with open(os.path.join(inner, "shadow"), "w") as file:
            file.write("mine")
        done = run(SHOW, "--save-all", inner, "-", input=message)
        tap.ended(done, 0, "", "--save-all of hostile names")
        got = {name: open(os.path.join(inner, name)).read()
               for name in os.listdir(inner)
               if not os.path.islink(os.path.join(inner, name))}
        expected = {}
        for at, (_, name) in enumerate(NAMES[1:], 1):
            expected[str(at)] = {"passwd": "passwd-2", "shadow": "shadow-2",
                                 "a b-2.pdf": "a b.pdf"}.get(name, name)
        found = {text: name for name, text in got.items()}
        wrong = {at: (found.get(at), name) for at, name in expected.items()
                 if found.get(at) != name and name is not None}
        tap.ok(not wrong and len(got) == len(NAMES), "each has a name that is safe",
               f"got and expected: {wrong}, {got}")
        tap.ok(found.get("12") and not re.search(r"[\x00-\x1f/]", found["12"]),
               "no control character in a name", got)
        tap.ok(found.get("14", "").endswith("n.tar") and len(found["14"]) <= 160,
               "a long name keeps its extension", got)
        tap.same(got.get("shadow"), "mine", "what was there stays")
        tap.same(os.listdir(folder), ["in"], "nothing outside of the folder")
        mode = os.stat(os.path.join(inner, "shadow-2")).st_mode
        tap.same(stat.S_IMODE(mode), 0o600, "a file is its owner's")
        said = done.stdout
        tap.ok(not OBEYED.search(said) and said.count(b"\n") == len(NAMES) - 1,
               "what is said of them is a line each", said)
        again = run(SHOW, "--save", "2", inner, "-", input=message)
        tap.ok(again.returncode == 0 and b"/\xe4\xb8\xad x-2.png\n" in again.stdout,
               "saved again, under another name", again)
        # In UTF-8 the last octet is one that a terminal of 8 bits obeys.
        again = run(SHOW, "--charset", "iso-8859-1", "--save", "1", inner, "-",
                    input=octets("MIME-Version: 1.0\n" + attached(
                        "; filename*=utf-8''%C3%9B1m.txt")))
        tap.ok(again.stdout.endswith(b"/\xdb1m.txt\n"),
               "its name is told in the terminal's charset", again)
        for number, where in (("0", inner), ("99", inner), ("2", inner + "/no"),
                              ("x", inner)):
            tap.ended(run(SHOW, "--save", number, where, "-", input=message), 100,
                      "mail-show", f"--save {number} into {where[-3:]}")


def in_text(uu, png, end):
    """Files that lie in a text, as they did before MIME."""
    text = f"Subject: x\n\nbefore\n{uu}between\n{uu}after\n".replace("\n", end)
    with tempfile.TemporaryDirectory() as folder:
        run(SHOW, "--save-all", folder, "-", input=text.encode())
        tap.same({name: open(os.path.join(folder, name), "rb").read()
                  for name in os.listdir(folder)},
                 {"u.png": png, "u-2.png": png}, f"files in a text, {end!r}")


def encodings():
    png = bytes(range(256)) * 40
    uu = ("begin 644 u.png\n"
          + "".join(binascii.b2a_uu(png[at:at + 45]).decode()
                    for at in range(0, len(png), 45)) + "`\nend\n")
    message = octets(parts(
        "mixed", PLAIN + "x",
        "Content-Type: image/png; name=u.png\nContent-Transfer-Encoding: "
        "x-uuencode\n\n" + uu,
        attached("", content=b64(png)),
        "Content-Type: message/rfc822\n\nSubject: inner\n\n"
        + PLAIN + "--=_x\nFrom inside\n"))
    in_text(uu, png, "\n")
    in_text(uu, png, "\r\n")
    with tempfile.TemporaryDirectory() as folder:
        done = run(SHOW, "--save-all", folder, "-", input=message)
        got = {name: open(os.path.join(folder, name), "rb").read()
               for name in os.listdir(folder)}
        tap.same((done.returncode, got.get("u.png"), got.get("part-3")),
                 (0, png, png), "uuencode and base64, octet by octet")
        inner = run(SHOW, os.path.join(folder, "part-4.eml"))
        tap.ok(inner.stdout.startswith(b"Subject: inner\n\n"),
               "a message within a message, saved and shown", inner)


# --- hostile messages ---------------------------------------------------------

ESCAPES = b"\x1b[2J\x07\xc2\x9b\x9b\x7f\x00\r"


def hostile_messages():
    deep = "".join(f"Content-Type: multipart/mixed; boundary=b{at}\n\n--b{at}\n"
                   for at in range(3000))
    return [
        ("escapes", b"Subject: " + ESCAPES + b"=?utf-8?Q?=1b]0;owned=07=C2=9B=0Ax?="
         b"\nFrom: =?utf-8?Q?=1b[31m=0A?= <a\x1b[2J@b>\nX\x1b[2J: x\n"
         b"Content-Type: text/plain\n\n" + ESCAPES + b"\n", 0),
        ("escapes in names", octets(parts("mixed", attached(
            "; filename*=utf-8''%1B%5B2J%C2%9B%0Aforged", "a\x1b[2J/b\x1b"))), 0),
        ("escapes in HTML", b"Content-Type: text/html\n\n<a href='http://\x1b[2J'>"
         b"&#27;[2J&#x9b;&#155;&#0;\x1b]0;</a>", 0),
        ("multiparts without end", deep.encode(), 0),
        ("messages without end", b"Content-Type: message/rfc822\n\n" * 5000, 0),
        ("parts without end", b"Content-Type: multipart/mixed; boundary=b\n\n"
         + b"--b\n\nx\n" * 20000, 0),
        ("groups without end", b"To: " + b"a:" * 100000 + b"\n\nx", 100),
        ("groups without end, within", b"Content-Type: message/rfc822\n\nCc : x\n "
         + b"a:" * 100000 + b"\n\nx", 100),
        ("comments without end", b"From: " + b"(" * 200000 + b"\nContent-Type: "
         b"text/plain; " + b"(" * 200000 + b"\n\nx", 0),
        ("words without end", b"Subject: " + b"=?utf-8?Q?=61?= " * 20000
         + b"\n\nx", 0),
        ("parameters without end", b"Content-Type: text/plain"
         + b"".join(b"; name*%d*=%%41" % at for at in range(3000)) + b"\n\nx", 0),
        ("tags without end", b"Content-Type: text/html\n\n" + b"<" * 300000
         + b"<a href=" * 50000 + b"<!--" * 10000, 0),
        ("nothing", b"", 100),
        ("a NUL", b"\0", 100),
        ("noise", bytes((at * at * 7919 >> 3) & 255 for at in range(50000)), 100),
    ]


def hostile():
    programs = [("", SHOW)]
    if os.path.exists(SANITIZED):
        programs.append((", sanitized", SANITIZED))
    else:
        tap.skip("the sanitized build", "make it by tools/check")
    for build, program in programs:
        for name, message, status in hostile_messages():
            for option in ([], ["--json"], ["--fields"]):
                done = run(program, *option, "-", input=message)
                said = done.stdout + done.stderr
                if "--json" in option:
                    said = said.replace(b"\n", b"")
                bad = OBEYED.search(said) or re.search(rb"(?m)^forged", said)
                if done.returncode != status or bad:
                    break
            tap.ok(done.returncode == status and not bad,
                   f"{name}: no escape, no crash{build}",
                   f"{option} {done.returncode} {bad} {said[-600:]!r}")
        # What turns the order of the characters behind it, in a field and in a text.
        done = run(program, "-", input="From: \u202egro.rekna <a@b.test>\n"
                   "Subject: \u2067x\n\n\u2067y\u2069\n".encode())
        tap.ok(b"\\xe2\\x80\\xaegro.rekna" in done.stdout
               and b"Subject: \\xe2\\x81\\xa7x\n" in done.stdout
               and "\n\u2067y\u2069\n".encode() in done.stdout,
               f"no field is shown the wrong way round{build}", done)
        if build:
            wrong = [name for name, message, _, text in GOLDEN
                     if shown(program, octets(message), "--json")[1]["text"]
                     != text]
            tap.same(wrong, [], "the golden messages, sanitized")
    done = run(SHOW, "-", input=b"Content-Type: text/html\n\n" + b"<p>x" * 4000000)
    tap.same(done.returncode, 0, "16 megabytes of HTML")


# --- a Maildir ----------------------------------------------------------------

def maildir():
    with tempfile.TemporaryDirectory() as folder:
        for sub in ("new", "cur", "tmp"):
            os.mkdir(os.path.join(folder, sub))
        for path, subject in (("cur/1000.b.host:2,S", "second"),
                              ("new/900.a.host", "first"),
                              ("new/1001.c.host", "=?utf-8?Q?dr=C3=BCtte=1B[2J?=")):
            with open(os.path.join(folder, path), "w") as file:
                file.write(f"From: a@b\nSubject: {subject}\n\ntext of {path}\n")
        done = run(SHOW, folder)
        tap.ok(re.fullmatch(r" +1 .* first\n +2 .* second\n +3 .* drütte\\x1b\[2J"
                            r"\n", done.stdout.decode()), "the list", done)
        lines = [json.loads(line)
                 for line in run(SHOW, "--json", folder).stdout.splitlines()]
        tap.same([(line["number"], line["name"], line["subject"])
                  for line in lines],
                 [(1, "900.a.host", "first"), (2, "1000.b.host:2,S", "second"),
                  (3, "1001.c.host", "drütte\x1b[2J")], "the list as JSON")
        for wanted in ("2", "1000.b.host", "1000.b.host:2,"):
            done = run(SHOW, folder, wanted)
            tap.ok(b"text of cur/1000" in done.stdout, f"message {wanted}", done)
        home = os.path.dirname(folder)
        os.rename(folder, os.path.join(home, "Maildir.mail-by-hand"))
        os.mkdir(folder)
        os.rename(os.path.join(home, "Maildir.mail-by-hand"),
                  os.path.join(folder, "Maildir"))
        own = run(SHOW, env=dict(ENVIRONMENT, HOME=folder))
        tap.ok(own.stdout.count(b"\n") == 3, "one's own, without arguments", own)
        box = os.path.join(folder, "Maildir")
        os.mkfifo(os.path.join(box, "new", "1.fifo"))
        os.symlink("/etc/passwd", os.path.join(box, "new", "2.link"))
        os.mkdir(os.path.join(box, "new", "3.folder"))
        with open(os.path.join(box, "new", "4.groups"), "wb") as file:
            file.write(b"From: " + b"a:" * 100000 + b"\n\n")
        done = run(SHOW, box)
        tap.ok(done.returncode == 0 and done.stdout.count(b"\n") == 4,
               "what is no message is not in the list", done.stdout[-300:])
        for wanted in ("0", "99", "1", "2", "../../../etc/passwd", "", "x"):
            tap.ended(run(SHOW, box, wanted), 100, "mail-show",
                      f"message {wanted!r}")
    tap.ended(run(SHOW, "/nonexistent"), 100, "No such file", "no such file")
    tap.ended(run(SHOW, "/"), 100, "neither", "no Maildir")
    for bad in (["--bogus"], ["a", "b", "c"], ["--save", "1"], ["-", "1"]):
        tap.ended(run(SHOW, *bad), 100, "usage: mail-show", f"{bad}")


# --- composing ----------------------------------------------------------------

def composed(*arguments, status=0, **more):
    done = run(SEND, "--print", *arguments, **more)
    if os.path.exists(SANITIZED_SEND) and "input" not in more:
        again = run(SANITIZED_SEND, "--print", *arguments)
        if again.returncode or again.stderr:
            done = again
    if not tap.ok(done.returncode == status and not done.stderr,
                  f"composes {' '.join(arguments)[:60]!r}", done):
        return None, None
    message = done.stdout
    lines = message.split(b"\n")
    tap.ok(all(len(line) <= 998 for line in lines) and b"\r" not in message
           and message.split(b"\n\n")[0].isascii(), "it is fit to travel", message)
    return message, email.message_from_bytes(message, policy=email.policy.default)


def texts(folder):
    """File, what is in it, and the encoding that is expected."""
    made = [("ascii", "plain\n.\n..\nend\n", "7bit"), ("empty", "", "7bit"),
            ("latin", "Ein Satz mit einem ü darin, und mehr.\n" * 3,
             "quoted-printable"),
            ("chinese", "中文信\n" * 50, "base64"),
            ("long", "x" * 5000 + "\n", "quoted-printable"),
            ("separator", "a\nFrom me to you\n", "base64"),
            ("space", "trailing  \n\n\n", "7bit"),
            ("soft", "a=b ü   \n=\n", "quoted-printable"),
            ("no-end", "no line end", "7bit")]
    for name, text, _ in made:
        with open(os.path.join(folder, name), "w", newline="") as file:
            file.write(text)
    return made


def compose_texts(folder):
    for name, text, encoding in texts(folder):
        message, parsed = composed("--from", "a@b.test", "--text",
                                   os.path.join(folder, name), "c@d.test")
        if not parsed:
            continue
        expected = text if text.endswith("\n") or not text else text + "\n"
        tap.same((parsed["Content-Transfer-Encoding"],
                  parsed.get_content().replace("\r\n", "\n")),
                 (encoding, expected), f"text: {name}")
        if name in ("latin", "chinese", "separator", "long", "soft"):
            tap.same(shown(SHOW, message, "--json")[1]["text"], expected,
                     f"and back: {name}")
    for encoding in ("8bit", "quoted-printable", "base64"):
        _, parsed = composed("--encoding", encoding, "--text",
                             os.path.join(folder, "latin"), "c@d.test")
        tap.ok(parsed and parsed["Content-Transfer-Encoding"] == encoding
               and parsed.get_content().startswith("Ein Satz mit einem ü"),
               f"--encoding {encoding}")
    path = os.path.join(folder, "koi8")
    with open(path, "wb") as file:
        file.write("привет\n".encode("koi8-r"))
    _, parsed = composed("--charset", "koi8-r", "--text", path, "c@d.test")
    tap.ok(parsed and parsed.get_content().strip() == "привет", "--charset")
    _, parsed = composed("c@d.test", input=b"from a pipe\n")
    tap.ok(parsed and parsed.get_content() == "from a pipe\n", "standard input")
    for arguments, said in ((["--text", path], "UTF-8"),
                            (["--encoding", "7bit", "--text",
                              os.path.join(folder, "latin")], "encoding"),
                            (["--encoding", "8bit", "--text",
                              os.path.join(folder, "long")], "encoding")):
        tap.ended(run(SEND, "--print", *arguments, "c@d.test"), 65, said,
                  f"refuses {said}")


def addresses(field):
    return [(address.display_name, address.addr_spec)
            for address in field.addresses]


def compose_fields():
    long = "Grüße aus München, " * 12 + "日本語" * 30
    _, parsed = composed(
        "--from", "Jürgen Über <j@b.test>", "--to", '"Müller, Karl" <k@d.test>,'
        ' e@f.test', "--to", "Ops: o@p.test, q@r.test;", "--cc", "root",
        "--bcc", "secret@s.test", "--subject", long, "--header",
        "References: <" + "a" * 150 + "@x> <b@y>", "--header", "X-B: bär "
        + "x" * 300, "--header", "Reply-To: Röpke <r@t.test>",
        "--header", "List-Unsubscribe: <https://x.test/" + "u" * 200 + ">",
        "last@u.test")
    if not parsed:
        return
    tap.same(addresses(parsed["From"]), [("Jürgen Über", "j@b.test")], "From")
    tap.same([addr for _, addr in addresses(parsed["To"])],
             ["k@d.test", "e@f.test", "o@p.test", "q@r.test", "last@u.test"], "To")
    tap.same(addresses(parsed["To"])[0][0], "Müller, Karl", "a name with a comma")
    tap.ok("secret" not in parsed.as_string(), "none of --bcc is in the message")
    tap.same(parsed["Subject"], long, "a long subject")
    tap.same(addresses(parsed["Reply-To"]), [("Röpke", "r@t.test")], "Reply-To")
    tap.same(parsed["X-B"], "bär " + "x" * 300, "a field that is not ASCII")
    tap.same(re.sub(r"\s+", " ", parsed["References"]),
             "<" + "a" * 150 + "@x> <b@y>", "References as they stand")
    tap.same(parsed["List-Unsubscribe"], "<https://x.test/" + "u" * 200 + ">",
             "a long field is not encoded")
    tap.ok(parsed["Date"].datetime and re.fullmatch(
        r"<[^<>@\s]+@b\.test>", parsed["Message-ID"])
        and parsed["MIME-Version"] == "1.0", "Date, Message-ID, MIME-Version")
    ids = {composed("a@b.test")[1]["Message-ID"] for _ in range(3)}
    tap.same(len(ids), 3, "each message has an id of its own")
    _, parsed = composed("--bcc", "secret@s.test")
    tap.same(parsed["To"], "undisclosed-recipients:;", "nobody but --bcc")


REFUSED = [
    (["--to", "a@b\nBcc: x@y"], 65), (["--to", "a@b\r\nBcc: x@y"], 65),
    (["--from", "a@b\nX: y", "c@d"], 65), (["--from", "a@b, c@d", "e@f"], 65),
    (["--subject", "x\n\nbody", "c@d"], 65), (["--subject", "x\ry", "c@d"], 65),
    (["--subject", b"\xff", "c@d"], 65), (["--subject", "\x1b[2J", "c@d"], 65),
    (["--header", "X-A: b\nBcc: x@y", "c@d"], 65), (["--header", "X A: b", "c@d"],
                                                    65),
    (["--header", "Bcc: x@y", "c@d"], 65), (["--header", "content-type: x", "c@d"],
                                            65),
    (["--header", "no colon", "c@d"], 65), (["--header", "From: x@y", "c@d"], 65),
    (["--header", "Reply-To: <a", "c@d"], 65),
    (["--header", "X-A: " + "x" * 5000, "c@d"], 65),
    (["--to", "a@b garbage c@d"], 65), (["--to", "<a@b"], 65), (["--to", ""], 65),
    (["--to", "ü@b"], 65), (["--to", "a:" * 50000], 65), (["--to", "a b@c"], 65),
    ([], 65), (["--bogus"], 64), (["--subject"], 64),
    (["--subject", "a", "--subject", "b", "c@d"], 64),
    (["--encoding", "rot13", "c@d"], 64), (["--charset", "x-no", "c@d"], 64),
    (["--text", "-", "--html", "-", "c@d"], 64),
    (["--text", "/nonexistent", "c@d"], 66), (["--attach", "/nonexistent", "c@d"],
                                              66),
    (["--attach", "/dev/null:multipart/mixed", "c@d"], 65),
]


def refused():
    for arguments, status in REFUSED:
        done = run(SANITIZED_SEND if os.path.exists(SANITIZED_SEND) else SEND,
                   "--print", *arguments)
        said = done.stdout + done.stderr
        tap.ok(done.returncode == status and not done.stdout
               and re.match(rb"(usage: )?mail-send", said)
               and not OBEYED.search(said),
               f"refuses {str(arguments)[:60]} with {status}", done)


def compose_files(folder):
    files = {"Übersicht 中.bin": os.urandom(5000), "a b.pdf": b"%PDF\r\n\n\r",
             "x" * 200 + ".txt": b"From x\n.\n\0\xff", "empty": b"",
             'quo"te\\.png': b"png"}
    arguments = ["--from", "a@b.test", "--to", "c@d.test"]
    for name, data in files.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
        arguments += ["--attach", os.path.join(folder, name)
                      + (":application/x-empty" if name == "empty" else "")]
    with open(os.path.join(folder, "page"), "w") as file:
        file.write("<p>Grüße</p>\n")
    message, parsed = composed(*arguments, "--text",
                               os.path.join(folder, "latin"), "--html",
                               os.path.join(folder, "page"))
    if not parsed:
        return None, None
    tap.same(parsed.get_content_type(), "multipart/mixed", "mixed")
    tap.same([part.get_content_type() for part in
              next(parsed.iter_parts()).iter_parts()],
             ["text/plain", "text/html"], "alternatives, the best last")
    got = [part for part in parsed.iter_attachments()
           if part.get_content_disposition() == "attachment"]
    tap.same({part.get_filename(): part.get_payload(decode=True) for part in got},
             files, "attachments, octet by octet, names as they were")
    tap.same([part.get_content_type() for part in got],
             ["application/octet-stream", "application/pdf", "text/plain",
              "application/x-empty", "image/png"], "types by extension, or given")
    tap.same(parsed.get_body(("html",)).get_content().strip(), "<p>Grüße</p>", "HTML")
    return files, arguments


# --- sending ------------------------------------------------------------------

def stand_in(folder):
    """A sendmail that notes how it was called."""
    path = os.path.join(folder, "sendmail")
    with open(path, "w") as file:
        file.write(f"#!{sys.executable}\nimport os, sys\n"
                   "if os.environ.get('STATUS'):\n"
                   "    sys.exit(int(os.environ['STATUS']))\n"
                   f"open({folder!r} + '/args', 'w').write('\\n'.join(sys.argv[1:]))"
                   "\nsys.stdin.read()\n")
    os.chmod(path, 0o755)
    return path


def sending(folder):
    program = stand_in(folder)
    done = run(SEND, "--sendmail", program, "--from", "A <a@b.test>", "--bcc",
               "x@y.test", "c@münchen.test", "`id`@d.test", "'-oQ/x'@e.test")
    with open(os.path.join(folder, "args")) as file:
        got = file.read().split("\n")
    tap.same((done.returncode, got),
             (0, ["-i", "-f", "a@b.test", "--", "c@xn--mnchen-3ya.test",
                  "`id`@d.test", "'-oQ/x'@e.test", "x@y.test"]),
             "how sendmail is called")
    for status in (65, 67, 75):
        done = run(SEND, "--sendmail", program, "c@d.test",
                   env=dict(ENVIRONMENT, STATUS=str(status)))
        tap.same(done.returncode, status, f"sendmail's {status} is passed on")
    big = os.path.join(folder, "big")
    with open(big, "wb") as file:
        file.write(b"x" * 1000000)
    done = run(SEND, "--sendmail", "/bin/true", "--attach", big, "c@d.test")
    tap.same(done.returncode, 75, "a sendmail that does not read is no success")
    tap.ended(run(SEND, "--sendmail", "/nonexistent", "c@d.test"), 69,
              "No such file", "no sendmail")


def round_trip(folder, files, arguments):
    text = "Grüße 中文\n.\n..\nFrom here\n" + "long " * 400 + "\n"
    path = os.path.join(folder, "letter")
    with open(path, "w") as file:
        file.write(text)
    os.chmod(folder, 0o755)
    with Instance() as host:
        done = host.run("mail-send", "--sendmail", os.path.join(BUILD, "sendmail"),
                        "--text", path, "--subject", "Grüße 中文", "--bcc",
                        host.address, *arguments[:2], *arguments[4:])
        tap.ended(done, 0, "", "mail-send to an instance")
        tap.ok(host.wait_delivered(1), "it is delivered")
        pop3 = b"\n".join(host.pop3().retr(1)[1]) + b"\n"
        box = os.path.join(folder, "saved")
        os.mkdir(box)
        stored = run(SHOW, "--json", host.maildir, "1")
        for name, message in (("from the Maildir", json.loads(stored.stdout)),
                              ("by POP3", shown(SHOW, pop3, "--json")[1])):
            tap.same((value(message, "Subject"), message["text"]),
                     ("Grüße 中文", text), f"subject and text {name}")
        run(SHOW, "--save-all", box, "-", input=pop3)
        got = sorted(open(os.path.join(box, name), "rb").read()
                     for name in os.listdir(box))
        tap.same(got, sorted(files.values()), "attachments, octet by octet")
        tap.ok(host.address.encode() not in pop3.split(b"\n\n", 1)[1]
               and b"Bcc" not in pop3, "no Bcc on the way")


def main():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for step in (golden, attachments, encodings, maildir, compose_fields, refused,
                 hostile):
        tap.case(step)
    with tempfile.TemporaryDirectory() as folder:
        tap.case(compose_texts, folder)
        files, arguments = tap.case(compose_files, folder) or (None, None)
        tap.case(sending, folder)
        if files:
            tap.case(round_trip, folder, files, arguments)


main()
tap.done()
