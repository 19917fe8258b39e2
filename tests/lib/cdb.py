"""A constant database, as the programs of others make it."""

import struct


def digest(key):
    value = 5381
    for octet in key:
        value = ((value << 5) + value ^ octet) & 0xffffffff
    return value


def make(path, records):
    """Writes the pairs (key, data) of octets."""
    heads = [[] for _ in range(256)]
    text = b""
    for key, data in records:
        hashed = digest(key)
        heads[hashed % 256].append((hashed, 2048 + len(text)))
        text += struct.pack("<II", len(key), len(data)) + key + data
    table = b""
    index = b""
    for head in heads:
        size = len(head) * 2
        slots = [(0, 0)] * size
        index += struct.pack("<II", 2048 + len(text) + len(table), size)
        for hashed, where in head:
            at = hashed // 256 % size
            while slots[at][1]:
                at = (at + 1) % size
            slots[at] = (hashed, where)
        table += b"".join(struct.pack("<II", *slot) for slot in slots)
    with open(path, "wb") as file:
        file.write(index + text + table)
