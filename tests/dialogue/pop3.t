#!/usr/bin/env python3
"""Sessions of POP3, as clients of many makes and of ill will hold them, in one
piece, line by line, and octet by octet: tests/dialogue/pop3/*.txt; and what one
transcript cannot say."""

import os
import poplib
import re
import sys
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
from tap import Tap, wait_for
from instance import Instance
import pop3_player as player

tap = Tap()


def login(host, account):
    connection = poplib.POP3(host.pop3_host, int(host.pop3_port), timeout=30)
    connection.user(account.user)
    connection.pass_(account.password)
    return connection


def refused(function, *arguments):
    """What the server said when it refused, or None."""
    try:
        function(*arguments)
    except poplib.error_proto as error:
        return error.args[0]
    return None


def two_sessions(host, account):
    """One at a time: the second is told so, and comes after the first."""
    account.reset({"new/1.a.host": b"Subject: one\n",
                   "new/2.b.host": b"Subject: two\n"})
    one = login(host, account)
    tap.same(refused(login, host, account),
             b"-ERR [IN-USE] another session has this maildrop",
             "the maildrop is locked")
    one.dele(1)
    one.quit()
    two = login(host, account)
    tap.same(two.stat(), (1, 14), "after QUIT the next one may have it")
    two.dele(1)
    # Closed without QUIT: nothing is deleted, and the lock goes with it.
    two.close()
    three = login(host, account)
    tap.same(three.stat(), (1, 14), "and after a lost connection, too")
    three.quit()
    line = f"session account={account.user} client={host.pop3_host} tls=no " \
        "messages=2 retrieved=0 octets=0 deleted=1 octets=13 seconds="
    tap.ok(wait_for(lambda: line in host.log("warden")),
           "a session is one line in the log", host.log("warden"))


def unique_ids(host, account):
    """Names that are no unique ids, and two messages with one name."""
    names = ["new/1." + 70 * "x", "new/2.a b", "new/#3", "new/4.twice",
             "cur/4.twice:2,S", "new/5.\u00e4", "new/6." + 68 * "y"]
    account.reset({name: b"Subject: " + str(number).encode() + b"\n"
                   for number, name in enumerate(names)})
    one = login(host, account)
    before = {one.retr(number)[1][0]: one.uidl(number).split()[2]
              for number in range(1, len(names) + 1)}
    one.quit()
    tap.same(len(set(before.values())), len(names), "all unique ids differ")
    tap.same([unique for unique in before.values()
              if not re.fullmatch(rb"[!-~]{1,70}", unique)], [],
             "all unique ids are valid (RFC 1939 section 7)")
    tap.same(before[b"Subject: 6"], b"6." + 68 * b"y",
             "a name of 70 characters is one as it is")
    two = login(host, account)
    after = {two.top(number, 0)[1][0]: two.uidl(number).split()[2]
             for number in range(1, len(names) + 1)}
    two.quit()
    tap.same(after, before,
             "they are the same after all has moved from new to cur")


def distinct_refusals(host, account):
    """Nothing in the answers tells whether a name exists."""
    names = (account.user, "nobody-here@" + host.domain, "root", "x" * 255,
             "../../etc/passwd", "%s@" + host.domain)

    def attempt(name):
        connection = poplib.POP3(host.pop3_host, int(host.pop3_port),
                                 timeout=30)
        said = (connection.user(name),
                refused(connection.pass_, "not the password"))
        connection.close()
        return said

    with ThreadPoolExecutor(len(names)) as pool:
        said = set(pool.map(attempt, names))
    tap.same(said, {(b"+OK and the password?",
                          b"-ERR [AUTH] wrong name or password")},
             "a name that exists is refused as one that does not")
    line = f"login failed: service=pop3 client={host.pop3_host} " \
        "mechanism=PLAIN " \
        f"name={account.user}"
    tap.ok(wait_for(lambda: line in host.log("authd")),
           "the log has the failed login", host.log("authd"))
    tap.ok("not the password" not in host.log("authd") + host.log("pop3d"),
           "and not the password")


with Instance() as host:
    # What CAPA says is compared octet by octet.
    host.without_tls()
    accounts = [player.Account(host, f"player{n}") for n in range(4)]
    folders = sys.argv[1:] or [os.path.join(HERE, "pop3")]
    for folder in folders:
        tap.case(player.play_folder, tap, host, folder, accounts)
    for step in (two_sessions, unique_ids, distinct_refusals):
        tap.case(step, host, accounts[0])
tap.done()
