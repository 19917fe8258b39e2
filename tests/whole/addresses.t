#!/usr/bin/env python3
"""What an address means: the whole order of tables, at RCPT, by address-why, and at
delivery; users/assign, aliases, virtualdomains; changes that hold at once."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import Instance

tap = Tap()


def rcpt(host, address):
    with host.smtp() as client:
        client.ehlo()
        client.mail("a@client.test")
        return client.rcpt(address)[0]


def why(host, address):
    run = host.run("address-why", "--json", address)
    return run.returncode, json.loads(run.stdout)


def write(host, path, text, mode=0o644):
    path = os.path.join(host.home, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)
    host.give(path)
    folder = os.path.dirname(path)
    while folder != host.home:
        host.give(folder)
        folder = os.path.dirname(folder)
    return path


def meaning(host, rows):
    """Each address: result, account and extension."""
    for address, result, account, extension in rows:
        _, said = why(host, address)
        tap.same((said["result"], said["account"], said["extension"]),
                 (result, account, extension), f"{address}: {result} {account}")


def order(host):
    domain = host.domain
    owner = os.stat(os.path.join(host.home, "control"))
    mine = f"{owner.st_uid}:{owner.st_gid}"
    home = os.path.join(host.home, "theirs")
    os.mkdir(home)
    host.give(home)
    write(host, "alias/.qmail-info", f"&{host.address}\n")
    write(host, "control/aliases",
          "# a comment\n"
          f"Postmaster: root,\n   {host.user_part}\n"
          f"list: :include:{host.home}/control/members\n"
          "user: other@elsewhere.test\n")
    write(host, "control/members", f"# members\n{host.address}\n")
    host.control("aliasfile", f"{host.home}/control/aliases\n")
    write(host, "users/assign",
          f"=exact:who:{mine}:{home}:::\n"
          f"+long-:who:{mine}:{home}:-:pre-:\n"
          f"+long-er-:who:{mine}:{home}:-:more-:\n.\n")
    write(host, "theirs/.qmail-pre-a", f"&{host.address}\n")
    host.control("virtualdomains",
                 "one@virtual.test:long\nvirtual.test:alias\n"
                 ".below.test:alias-below\nfree.below.test:\n")
    host.control("rcpthosts", f"{domain}\nvirtual.test\n.below.test\n")
    write(host, "alias/.qmail-alias-info", f"&{host.address}\n")
    write(host, "alias/.qmail-alias-below-x", f"&{host.address}\n")
    tap.ended(host.run("users-compile"), 0, "", "users-compile")
    run = host.run("sendmail", "-bi")
    tap.ended(run, 0, "", "newaliases")
    tap.ok(b"3 aliases" in run.stdout, "which says how many", run.stdout)
    host.restart("resolve", "queue-runner")
    meaning(host, [
        (host.address, "account", f"u:{host.address}", ""),
        (host.address.upper(), "account", f"u:{host.address}", ""),
        (f"nobody@{domain}", "nobody", "", ""),
        (f"POSTMASTER@{domain}", "account", "e:postmaster", ""),
        (f"list@{domain}", "account", "e:list", ""),
        (f"exact@{domain}", "account", "q:exact", ""),
        (f"exact-x@{domain}", "nobody", "", ""),
        (f"long-a@{domain}", "account", "q:long-a", "pre-a"),
        (f"long-b@{domain}", "nobody", "", ""),
        (f"long-er-a@{domain}", "nobody", "", ""),
        (f"info@{domain}", "account", "a:", "info"),
        ("info@virtual.test", "account", "a:", "alias-info"),
        ("x@a.below.test", "account", "a:", "alias-below-x"),
        ("x@below.test", "not ours", "", ""),
        ("x@free.below.test", "not ours", "", ""),
        ("one@virtual.test", "nobody", "", ""),
        (f"root@{domain}", "nobody", "", ""),
        ("x@elsewhere.test", "not ours", "", ""),
    ])
    write(host, "theirs/.qmail-pre-one", f"&{host.address}\n")
    meaning(host, [("One@virtual.test", "account", "q:long-one", "pre-one")])
    status, said = why(host, "info@virtual.test")
    first = said["steps"][0]
    tap.same((first["file"], first["line"]), ("control/virtualdomains", 2),
             "address-why names the file and the line")
    run = host.run("address-why", f"list@{domain}", f"nobody@{domain}")
    tap.same(run.returncode, 1, "address-why ends with the worst")
    tap.ok(b"control/locals line 1: " in run.stdout or
           b"control/me" in run.stdout, "as text, too", run.stdout)
    for bad in ([], ["--what", "x"], ["--json"]):
        tap.ended(host.run("address-why", *bad), 100, "usage", f"{bad}")
    tap.same(rcpt(host, "info@virtual.test"), 250, "RCPT: virtualdomains")
    tap.same(rcpt(host, "nobody@virtual.test"), 550, "RCPT: nobody there")
    tap.same(rcpt(host, "x@elsewhere.test"), 550, "RCPT: no relay")


def delivery(host):
    """One message by each way."""
    before = len(host.delivered())
    ways = ["info@virtual.test", "one@virtual.test", "x@a.below.test",
            f"list@{host.domain}", f"postmaster@{host.domain}",
            f"long-a@{host.domain}"]
    for address in ways:
        with host.smtp() as client:
            client.sendmail("a@client.test", [address],
                            f"Subject: by {address}\r\n\r\nx\r\n")
    host.wait_delivered(before + len(ways))
    texts = b"".join(host.contents())
    for address in ways:
        tap.ok(f"Subject: by {address}\n".encode() in texts,
               f"mail to {address} arrives")
        tap.ok(f"Delivered-To: {address}\n".encode() in texts,
               "with the address in Delivered-To")


def changes(host):
    """A new database holds for the next question; a bad one never comes."""
    domain = host.domain
    write(host, "control/aliases", f"fresh: {host.user_part}\n")
    tap.ended(host.run("sendmail", "-bi"), 0, "", "newaliases again")
    meaning(host, [(f"fresh@{domain}", "account", "e:fresh", ""),
                   (f"list@{domain}", "nobody", "", "")])
    for text, said in (("fresh: \"|cat\"\n", "programs and files"),
                       ("fresh: /etc/passwd\n", "programs and files"),
                       ("fresh: fresh\n", "its own target"),
                       ("a: b\nA: c\n", "stands twice"),
                       ("a: b\nno colon\n", "line 2"),
                       ("a: b c\n", "not an address"),
                       ("a@b: c\n", "before its"),
                       ("a:\n", "no target")):
        write(host, "control/aliases", text)
        tap.ended(host.run("sendmail", "-bi"), 65, said, f"{text!r}")
    meaning(host, [(f"fresh@{domain}", "account", "e:fresh", "")])
    owner = os.stat(os.path.join(host.home, "control"))
    for line in ("=a:b:0:1:/h:::\n.\n", "=a:b:1:0:/h:::\n.\n",
                 "=a:b:1:1:h:::\n.\n", "=a:b:1:1:/h::\n.\n", "x\n.\n",
                 "=a:b:1:1:/h:::\n"):
        write(host, "users/assign", line)
        tap.ended(host.run("users-compile"), 111, "line [12]: expected",
                  f"{line!r}")
    meaning(host, [(f"exact@{domain}", "account", "q:exact", "")])
    # an included file that others can write is not believed
    write(host, "control/aliases", f"list: :include:{host.home}/members\n")
    write(host, "members", f"{host.address}\n", 0o666)
    tap.ended(host.run("sendmail", "-bi"), 0, "", "an alias with a file")
    number = len(host.delivered())
    with host.smtp() as client:
        client.sendmail("a@client.test", [f"list@{domain}"],
                        "Subject: included\r\n\r\nx\r\n")
    tap.ok(wait_for(lambda: "nobody_else's_to_write"
                    in host.log("queue-runner")),
           "a file that others can write holds the mail back", host.logs())
    tap.same(len(host.delivered()), number, "and nothing is delivered")


def delimiters(host):
    domain, user = host.domain, host.user_part
    home = os.path.dirname(host.maildir.rstrip("/"))
    path = os.path.join(home, ".qmail-tag")
    with open(path, "w") as file:
        file.write("./Maildir/\n")
    os.chmod(path, 0o600)
    host.give(path)
    meaning(host, [(f"{user}-tag@{domain}", "account", f"u:{host.address}",
                    "tag"),
                   (f"{user}+tag@{domain}", "nobody", "", "")])
    host.control("extensiondelimiters", "+-\n")
    os.kill(host.pid("resolve"), 1)
    tap.ok(wait_for(lambda: why(host, f"{user}+tag@{domain}")[1]["extension"]
                    == "tag"), "SIGHUP: control/extensiondelimiters holds",
           host.log("resolve"))
    host.control("extensiondelimiters", "@\n")
    os.kill(host.pid("resolve"), 1)
    tap.ok(wait_for(lambda: "control/extensiondelimiters: expected"
                    in host.log("resolve")), "a wrong one is refused")
    meaning(host, [(f"{user}+tag@{domain}", "account", f"u:{host.address}",
                    "tag")])


with Instance() as instance:
    for step in (order, delivery, changes, delimiters):
        tap.case(step, instance)
tap.done()
