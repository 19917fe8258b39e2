#!/usr/bin/env python3
"""doc/protocol.md names functions and tests that exist."""

import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "lib"))
from tap import Tap

tap = Tap()


def read(path):
    path = os.path.join(TOP, path)
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as file:
        return file.read()


def function_fault(word):
    """What is wrong with "file.c:function"; None if nothing is."""
    path, _, name = word.partition(":")
    text = read(path)
    if text is None:
        return f"{word}: no such file"
    if not name or not re.search(rf"^{name}\(", text, re.M):
        return f"{word}: no such function"
    return None


def test_fault(word):
    if "/" not in word:
        return None if read(f"tests/dialogue/smtp/{word}.txt") is not None \
            else f"{word}: no such transcript"
    path, _, part = word.partition(":")
    text = read(f"tests/{path}")
    if text is None:
        return f"{word}: no such test"
    if part and not re.search(rf"\b{part}\b", text):
        return f"{word}: no such part of it"
    return None


def tables():
    rows, faults = 0, []
    for number, line in enumerate(read("doc/protocol.md").split("\n"), 1):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|") or cells[0] in ("clause", "---"):
            continue
        rows += 1
        if len(cells) != 3:
            faults.append(f"line {number}: not three cells")
            continue
        for cell, fault_of in ((cells[1], function_fault),
                               (cells[2], test_fault)):
            words = re.findall(r"`([^`]+)`", cell)
            if not words:
                faults.append(f"line {number}: an empty cell")
            faults += [f"line {number}: {fault}"
                       for fault in map(fault_of, words) if fault]
    tap.ok(rows > 30, f"{rows} clauses")
    tap.same(faults, [], "each has its function and its test")


tap.case(tables)
tap.done()
