#!/usr/bin/env python3
"""What the manual pages say of control files is what programs read: each setting of
a program stands in its page with the default and, where the page gives a range,
the range of the source; and no page names a control file that nothing reads."""

import glob
import os
import re
import sys

os.chdir(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join("tests", "lib"))
from tap import Tap

tap = Tap()
# Reads what another program reads, and its page says which.
REFERS = {"smtp-why": "smtpd", "route-show": "remote",
          "smtp-probe": "remote"}
# Files of control/ that are no settings of a table: who reads them.
OTHERS = {"ids": "lib/home.c", "private": "lib/home.c",
          "morercpthosts.cdb": "smtpd/configure.c"}


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


SOURCES = {path: text_of(path) for path in glob.glob("*/*.[ch]")
           if not path.startswith("tests")}


# --- the source ---------------------------------------------------------------

def defines():
    found = {}
    for text in SOURCES.values():
        for name, value in re.findall(
                r"^#define (\w+)[ \t]+((?:\\\n|[^\n/])+)", text, re.M):
            found.setdefault(name, value.replace("\\\n", " ").strip())
    return found


DEFINES = defines()


def number_of(expression, local):
    """The value of an expression of numbers and macros; the source's own come
    before those of others."""
    for _ in range(10):
        names = set(re.findall(r"\b[A-Z][A-Z0-9_]+\b(?! *\()", expression))
        if not names:
            break
        for name in names:
            value = local.get(name) or DEFINES[name]
            expression = re.sub(rf"\b{name}\b", f"({value})", expression)
    expression = re.sub(r"U?INT64_C", "", expression)
    if not re.fullmatch(r"[-+*<\d\s()]+", expression):
        raise ValueError(expression)
    return eval(expression)  # nothing but digits, + - * < and brackets


def text_value(expression, local):
    """A string literal, perhaps in pieces, or the macro of one; None of NULL."""
    expression = expression.strip()
    if expression == "NULL":
        return None
    if re.fullmatch(r"[A-Z_0-9]+", expression):
        expression = local.get(expression) or DEFINES[expression]
    return "".join(re.findall(r'"([^"]*)"', expression))


def entries(body):
    """The texts of the { … } of a table, one level deep."""
    depth, start, quoted = 0, 0, False
    for at, letter in enumerate(body):
        if letter == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif letter == "{":
            depth += 1
            if depth == 1:
                start = at + 1
        elif letter == "}":
            depth -= 1
            if depth == 0:
                yield body[start:at]


def members(entry):
    """name, kind, fallback, minimum and maximum, as they are written."""
    by_name = dict(re.findall(r"\.(\w+)\s*=\s*(\"[^\"]*\"|[^,]+)", entry))
    if by_name:
        return [by_name.get("name"), by_name.get("kind"),
                by_name.get("fallback", "NULL"), by_name.get("minimum", "0"),
                by_name.get("maximum", "0")]
    parts, depth, quoted, part = [], 0, False, ""
    for letter in entry:
        quoted ^= letter == '"'
        depth += (letter == "(") - (letter == ")") if not quoted else 0
        if letter == "," and not quoted and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += letter
    return parts[:5]


def tables():
    """{source: [(name, kind, fallback, minimum, maximum), …]}"""
    found = {}
    for path, text in SOURCES.items():
        local = {name: value.strip() for name, value in re.findall(
            r"^#define (\w+)[ \t]+([^\n/]+)", text, re.M)}
        for body in re.findall(
                r"^static const struct setting \w+\[\] = \{\n(.*?)^\};",
                text, re.M | re.S):
            for entry in entries(re.sub(r"/\*.*?\*/", "", body, flags=re.S)):
                name, kind, fallback, low, high = members(entry)
                found.setdefault(path, []).append((
                    text_value(name, local), kind.strip(),
                    text_value(fallback, local),
                    number_of(low, local), number_of(high, local)))
    return found


def meanings():
    """{(source, setting): its line for people}"""
    found = {}
    for path, text in SOURCES.items():
        for body in re.findall(
                r"^static const struct setting \w+\[\] = \{\n(.*?)^\};",
                text, re.M | re.S):
            for entry in entries(re.sub(r"/\*.*?\*/", "", body, flags=re.S)):
                said = re.search(r'((?:"[^"]*"\s*)+),?\s*$', entry)
                found[path, text_value(members(entry)[0], {})] = text_value(
                    said[1], {}) if said else ""
    return found


def programs(tables_of):
    """{program: its settings}, by the objects that the Makefile gives it."""
    makefile = text_of("Makefile").replace("\\\n", " ")
    found = {}
    for program, objects in re.findall(r"^([a-z][\w-]*) = (.*\.o.*)$", makefile,
                                       re.M):
        for name in objects.split():
            found.setdefault(program, []).extend(
                tables_of.get(name[:-2] + ".c", []))
    return {program: rows for program, rows in found.items() if rows}


# --- the table of control-check and control-show --------------------------------

TABLE = "tools/control_table.c"
TABLE_TOP = """/* Made by `tests/audit/settings.t --table`, which also looks whether it is so. */

#include "tools/control_table.h"

const struct control_row control_rows[] = {
"""


def quoted(text):
    return "NULL" if text is None else '"' + text.replace('"', '\\"') + '"'


def table_text(tables_of, by_program, scripts):
    """The table as C: each setting once, with all who read it."""
    said, rows, readers = meanings(), {}, {}
    for path in sorted(tables_of):
        for row in tables_of[path]:
            old = rows.setdefault(row[0], (row, said[path, row[0]]))
            if row[1] == "SETTING_LIST":
                if old[0][2] is None or row[2] == "@me":
                    rows[row[0]] = (row, said[path, row[0]])
            elif old[0] != row and old[0][:4] + (1,) != row[:4] + (1,):
                raise ValueError(f"{path}: {row} is {old[0]} elsewhere")
    for program, settings in by_program.items():
        for row in settings:
            readers.setdefault(row[0], set()).add(program)
    for name, number in scripts.items():
        if number is not None:
            rows[name] = ((name, "SETTING_NUMBER", number, 1, 1000000),
                          "connections at a time")
            readers[name] = {"run scripts"}
    lines = [
        f'{{{{{quoted(n)}, {row[1]}, {quoted(row[2])}, INT64_C({row[3]}), '
        f'INT64_C({row[4]}), 0, {quoted(meaning)}}}, '
        f'{quoted(", ".join(sorted(readers.get(n, []))))}}},\n'
        for n, (row, meaning) in sorted(rows.items())]
    return (TABLE_TOP + "".join(lines) + "};\n\nconst size_t "
            "control_rows_count = SETTINGS_COUNT(control_rows);\n")


def check_table(text):
    def plainly(text):
        return re.sub(r"\s+", "", re.sub(r'"\s+"', "", text))
    tap.same(plainly(text_of(TABLE)), plainly(text), f"{TABLE} is what the "
             "programs' tables say (settings.t --table makes it)")


# --- the pages ----------------------------------------------------------------

def plain(line):
    """A line of a page as words, without macros and escapes."""
    line = re.sub(r"^\.[A-Z][a-z] ", "", line)
    return re.sub(r"\\[&c]", "", line.replace("\\-", "-"))


def items(page):
    """{control file: text of its item}, of all lists of the page. Names stand with
    control/, or alone in a list that the words "below the home's control" open."""
    found, names, words, below = {}, [], [], False
    lines = text_of(page).splitlines()
    for at, line in enumerate(lines):
        if line.startswith(".Bl"):
            before = " ".join(plain(x) for x in lines[max(0, at - 4):at])
            below = "below the home's control" in before
        if line.startswith((".It", ".El", ".Sh", ".Ss")):
            for name in names:
                found[name] = " ".join(words)
            names, words = [], []
        if line.startswith(".It Pa "):
            for name in line.replace(" , Pa ", " , ")[7:].split(" , "):
                if name.startswith("control/"):
                    names.append(name[8:])
                elif below and "/" not in name:
                    names.append(name)
        elif names:
            words.append(plain(line))
    return found


def has_default(setting, text):
    """Whether the text of an item says what holds without the file."""
    name, kind, fallback = setting[:3]
    if kind == "SETTING_LIST":
        return True  # empty, or what the text says
    if fallback is None:
        return name == "me" or bool(re.search("must exist", text, re.I))
    said = " ".join(x for x in re.split(r"(?<=[.;])\s", text)
                    if "efault" in x)
    if fallback == "@me":
        return bool(re.search(r"\b(control/)?me\b", said))
    if fallback == "":
        return "none" in said
    # a long one stands in the page to which the text refers
    if " " in fallback and re.search(r"see\s+authd 8", text):
        return fallback in re.sub(r"\s+", " ", " ".join(
            plain(x) for x in text_of("tools/authd.8").splitlines()))
    return bool(re.search(rf"(?<![\w-]){re.escape(fallback)}(?!\w)", said))


def wrong_range(setting, text):
    name, kind, _, low, high = setting
    if kind != "SETTING_NUMBER":
        return None
    said = re.search(r"\b(\d+) to (\d+)\b", text)
    if said and (int(said[1]), int(said[2])) != (low, high):
        return f"{name}: {said[0]} in the page, {low} to {high} in the source"
    return None


def page_of(program):
    pages = glob.glob(f"*/{program}.[1-8]")
    return pages[0] if pages else None


# --- the two against each other -----------------------------------------------

def check_program(program, settings):
    page = page_of(REFERS.get(program, program))
    said = items(page)
    missing = sorted({x[0] for x in settings if x[0] not in said})
    tap.same(missing, [], f"{program}: {page} has each of its "
             f"{len(settings)} settings")
    there = [x for x in settings if x[0] in said]
    tap.same([f"control/{x[0]} ({x[2]})" for x in there
              if not has_default(x, said[x[0]])], [],
             f"{program}: the defaults are those of the source")
    tap.same([y for y in (wrong_range(x, said[x[0]]) for x in there) if y], [],
             f"{program}: so are the ranges")


def read_by_scripts():
    """What run scripts read of control/, with what they take for a missing one."""
    found = {}
    for path in glob.glob("tools/service/*/run"):
        text = text_of(path)
        for name in re.findall(r"\$KEEPMAIL/control/([\w.]+)", text):
            found[name] = None
        for name, number in re.findall(
                r"^tcpserver_options \S+ \S+ (\w+) (\d+)$", text, re.M):
            found[name] = number
    return found


def check_scripts(scripts):
    """Each file that a run script reads stands in some page, with its default."""
    said = {}
    for page in glob.glob("*/*.[1-8]"):
        said.update(items(page))
    for name, number in sorted(scripts.items()):
        text = said.get(name, "")
        tap.ok(text and (number is None or has_default(
            (name, "SETTING_NUMBER", number), text)),
            f"control/{name}, which a run script reads, is in a page", text)


def check_names(known):
    """No page and no text names a file of control/ that nothing reads."""
    for path in sorted(glob.glob("*/*.[1-8]") + glob.glob("doc/*.md")
                       + ["README.md", "INSTALL", "CHANGES"]):
        names = set(re.findall(r"\bcontrol/([a-z][\w.]*\w)", text_of(path)))
        if path.endswith(tuple(".12345678")):
            names |= set(items(path))
        # the sources of the .cdb files, and files on their way to their names
        names = {x for x in names if x not in known
                 and x + ".cdb" not in known and not x.endswith(".new")}
        tap.same(sorted(names), [], f"{path}: each control file is one")


def main():
    tables_of = tables()
    files = [path for path, text in SOURCES.items()
             if re.search(r"struct setting \w+\[\]", text)]
    tap.same(sorted(tables_of), sorted(files), "each table is understood")
    by_program = programs(tables_of)
    left = set(tables_of) - {path for path in tables_of
                             if any(path[:-2] + ".o" in line for line in
                                    text_of("Makefile").split())}
    tap.same(sorted(left), [], "each table belongs to a program")
    for program, settings in sorted(by_program.items()):
        check_program(program, settings)
    for name, reader in OTHERS.items():
        tap.ok(f"control/{name}" in SOURCES[reader], f"{reader} reads {name}")
    scripts = read_by_scripts()
    check_table(table_text(tables_of, by_program, scripts))
    check_scripts(scripts)
    check_names(set(OTHERS) | set(scripts)
                | {x[0] for rows in tables_of.values() for x in rows})


if sys.argv[1:] == ["--table"]:
    THE_TABLES = tables()
    print(table_text(THE_TABLES, programs(THE_TABLES), read_by_scripts()),
          end="")
    sys.exit()
tap.case(main)
tap.done()
