"""The queue's files, packed and unpacked as doc/queue.md has them, by code that
shares nothing with the C modules."""

import os
import secrets
import struct
import time
import zlib

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
MARK = 0x4b455054


def ident(when=None):
    """An id, of now or of this second since the epoch."""
    value = int((time.time() if when is None else when) * 1000000)
    digits = []
    for _ in range(11):
        digits.append(ALPHABET[value & 31])
        value >>= 5
    return "".join(reversed(digits)) + "".join(
        secrets.choice(ALPHABET) for _ in range(9))


def text(words):
    octets = words.encode() if isinstance(words, str) else words
    return struct.pack(">H", len(octets)) + octets


def record(kind, payload=b""):
    body = kind.encode() + payload
    return (struct.pack(">I", len(payload)) + body
            + struct.pack(">I", zlib.crc32(body)))


def records(octets):
    """The whole records at the start of octets: (kind, payload) each."""
    found, at = [], 0
    while len(octets) - at >= 9:
        length, = struct.unpack_from(">I", octets, at)
        body = octets[at + 4:at + 5 + length]
        check = octets[at + 5 + length:at + 9 + length]
        if len(check) < 4 or struct.unpack(">I", check)[0] != zlib.crc32(body):
            break
        found.append((chr(body[0]), body[1:]))
        at += 9 + length
    return found


def envelope(sender, recipients, notify=0):
    octets = record("F", sender.encode())
    octets += record("P", bytes(4) + text(""))
    octets += record("O", struct.pack(">BI", 1, os.getuid()) + text("") * 6)
    return octets + b"".join(
        record("T", text(recipient) + bytes([notify]) + text(""))
        for recipient in recipients)


def message(sender, recipients, content=b"Subject: x\n\nx\n", arrival=None,
            mark=MARK, content_check=None, outcomes=b"", notify=0, tail=None):
    """A message file's octets; tail is another envelope than the usual one."""
    tail = tail or envelope(sender, recipients, notify)
    arrival = int((time.time() if arrival is None else arrival) * 1000000)
    if content_check is None:
        content_check = zlib.crc32(content)
    rest = (struct.pack(">QQIIII", arrival, len(content), len(tail),
                        len(recipients), content_check, zlib.crc32(tail))
            + bytes(12))
    first = b"keepmail" + struct.pack(">I", 1)
    check = zlib.crc32(rest, zlib.crc32(first))
    return (first + struct.pack(">I", mark) + rest + struct.pack(">I", check)
            + content + tail + outcomes)


def envelope_of(octets):
    """The envelope in a message file's octets, as a dict; recipients as
    (address, notify, orcpt)."""
    length, size = struct.unpack_from(">QI", octets, 24)
    found = {"recipients": []}

    def texts(payload):
        result = []
        while payload:
            end = 2 + struct.unpack_from(">H", payload)[0]
            result.append(payload[2:end].decode())
            payload = payload[end:]
        return result

    for kind, payload in records(octets[64 + length:64 + length + size]):
        if kind == "F":
            found["reverse_path"] = payload.decode()
        elif kind == "P":
            found["parameters"] = tuple(payload[:4])
            found["envid"] = texts(payload[4:])[0]
        elif kind == "O":
            found["origin"], found["uid"] = struct.unpack_from(">BI", payload)
            (found["client_address"], found["client_name"], found["hello"],
             found["protocol"], found["login"], found["tls"]) = texts(
                 payload[5:])
        elif kind == "T":
            end = 2 + struct.unpack_from(">H", payload)[0]
            found["recipients"].append((payload[2:end].decode(), payload[end],
                                        texts(payload[end + 1:])[0]))
    return found


def outcome(number, what, attempt, due=0, words="4.0.0 later", now=None):
    """An R record of a message file; due and now in seconds since the epoch."""
    now = time.time() if now is None else now
    return record("R", struct.pack(">IBIQQ", number, what, attempt,
                                   int(now * 1000), int(due * 1000))
                  + text(words))


def result(number, what, words):
    """An R record of a job file."""
    return record("R", struct.pack(">IB", number, what) + text(words))


DEFERRED, DELIVERED, RELAYED, FAILED, EXPANDED, DISCARDED = range(1, 7)
