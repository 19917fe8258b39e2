"""What a power cut owes: from the calls before it, which recipients were promised
what; and whether a restarted keepmail has kept it."""

import collections
import os
import re
import struct

import host as crash

DELIVERED = (2, 3, 4, 5, 6)  # final outcomes; 4 is failed
FAILED = 4

# A message that was accepted: the state of each recipient is looked up elsewhere.
Accepted = collections.namedtuple("Accepted", "id token recipients is_root")


def unpack_records(octets):
    """The whole records at the beginning: (type, payload)."""
    at = 0
    while at + 9 <= len(octets):
        length, = struct.unpack_from(">I", octets, at)
        end = at + 5 + length
        if end + 4 > len(octets) or crash.record(
                octets[at + 4:at + 5], octets[at + 5:end]) != octets[at:end + 4]:
            return
        yield octets[at + 4:at + 5], octets[at + 5:end]
        at = end + 4


class MessageFile:
    """A message file's octets, as doc/queue.md has them; ValueError if they are
    not a whole one."""

    def __init__(self, octets):
        if octets[:8] != b"keepmail" or octets[12:16] != b"KEPT":
            raise ValueError("no message file, or without its mark")
        content, envelope = struct.unpack_from(">QI", octets, 24)
        self.content = bytes(octets[64:64 + content])
        self.recipients, self.final, self.told = [], {}, set()
        for kind, payload in unpack_records(bytes(octets[64 + content:])):
            if kind == b"T":
                length, = struct.unpack_from(">H", payload)
                self.recipients.append(payload[2:2 + length].decode())
            elif kind == b"R":
                number, outcome = struct.unpack_from(">IB", payload)
                if outcome in DELIVERED:
                    self.final[number] = outcome
            elif kind == b"N":
                self.told |= self.covered(payload)

    @staticmethod
    def covered(payload):
        length, = struct.unpack_from(">H", payload, 9)
        count, = struct.unpack_from(">I", payload, 11 + length)
        return set(struct.unpack_from(f">{count}I", payload, 15 + length))

    def open_recipients(self):
        """Recipients whose outcome, or the bounce of it, is not recorded."""
        return {address for number, address in enumerate(self.recipients)
                if self.final.get(number) is None or
                (self.final[number] == FAILED and number not in self.told)}


def still_open(octets, accepted):
    """(token, recipients whose outcome is open) of a message file."""
    try:
        message = MessageFile(octets)
        token = crash.TOKEN.search(message.content).group(1).decode()
        return token, message.open_recipients()
    except (ValueError, AttributeError):
        # Nobody was promised anything; or it should last and does not, which
        # is said when keepmail is started on it.
        return (accepted.token, set(accepted.recipients)) if accepted \
            else ("", set())


class Ledger:
    """Follows the calls: what was promised until now, and what has happened."""

    def __init__(self):
        self.accepted = {}  # id: Accepted
        self.at_peer = []  # Seen
        self.deleting, self.deleted = set(), set()

    def mark(self, line):
        """Takes note of what was marked."""
        word, *rest = line.split()
        if word == "peer":
            self.at_peer.append(crash.Seen(*rest, False))
        elif word == "deletes":
            self.deleting.add(rest[0])
        elif word == "deleted":
            self.deleted.add(rest[0])
        elif word == "accepted":
            # sendmail does not tell its id: it has its token for one
            if not any(one.token == rest[1] and one.is_root
                       for one in self.accepted.values()):
                self.accepted[rest[0]] = Accepted(rest[0], rest[1], rest[2:],
                                                  True)
        else:
            raise ValueError(f"a mark that means nothing: {line}")

    def note(self, call, disk):
        """To be called before the call is played."""
        if call.name == "mark":
            self.mark(call.octets.decode())
        elif call.name == "send" and call.program == "queue-inject" \
                and call.octets[:5] == b"A\0\0\0\x14":
            ident = call.octets[5:25].decode()
            file = disk.find("queue/incoming/" + ident)
            message = MessageFile(file.current)
            token = crash.TOKEN.search(message.content).group(1).decode()
            is_root = len(crash.RECEIVED.findall(message.content)) == 1 \
                and not re.search(rb"^Delivered-To:", message.content,
                                  re.MULTILINE) \
                and b"report-type=delivery-status" not in message.content
            self.accepted[ident] = Accepted(ident, token, message.recipients,
                                            is_root)


class Promise:
    """What is owed at one cut."""

    def __init__(self, ledger, lasting):
        """lasting: {path: octets} of what is there for certain."""
        self.accepted = dict(ledger.accepted)
        self.at_peer = list(ledger.at_peer)
        self.deleting, self.deleted = set(ledger.deleting), set(ledger.deleted)
        # A message file that lasts says what is open; of one that does not,
        # all is over.
        self.open, self.unfinished = {}, collections.Counter()
        for path, octets in lasting.items():
            ident = os.path.basename(path)
            if octets is None or not path.startswith("queue/") \
                    or not re.fullmatch(crash.ID, ident):
                continue
            token, self.open[ident] = still_open(octets,
                                                 self.accepted.get(ident))
            self.unfinished[token] += len(self.open[ident])

    def is_open(self, ident, recipient):
        return recipient in self.open.get(ident, ())

    def complaints(self, seen):
        """What a restarted host with these outcomes has not kept."""
        seen = seen + self.at_peer
        copies = collections.Counter((x.id, x.recipient, x.is_bounce)
                                     for x in seen)
        kinds = collections.defaultdict(set)
        for one in seen:
            kinds[one.token, one.recipient, one.is_bounce].add(one.id)
        wrong = []
        for message in self.accepted.values():
            for recipient in message.recipients if message.is_root else ():
                wrong += self.judge(message, recipient, kinds)
        for (ident, recipient, is_bounce), count in copies.items():
            # a bounce's copy goes to its one recipient, who is ann
            to = crash.ANN if is_bounce else recipient
            if count > 1 + self.is_open(ident, to):
                wrong.append(f"{count} copies of {ident} for {to}, whose "
                             f"outcome was "
                             f"{'open' if self.is_open(ident, to) else 'final'}"
                             )
        for (token, recipient, is_bounce), idents in kinds.items():
            if len(idents) > 1 + self.unfinished[token]:
                wrong.append(f"{token}: {len(idents)} messages for {recipient},"
                             f" {self.unfinished[token]} outcomes were open")
        return wrong

    def judge(self, message, recipient, kinds):
        where, is_bounce = crash.expected(recipient)
        found = kinds[message.token, where, is_bounce]
        what = f"{message.token} ({message.id}) for {recipient}"
        if kinds[message.token, where, not is_bounce]:
            return [f"{what}: delivered and bounced"]
        if where == crash.BOB and message.token in self.deleting:
            if found and message.token in self.deleted:
                return [f"{what}: is back after its deletion"]
            return []
        return [] if found else [f"{what}: is lost"]
