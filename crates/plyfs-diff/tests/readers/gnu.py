# What GNU tar sees in each archive named on standard input, a line each.
import os
import re
import subprocess
import sys

KINDS = {b"-": "0", b"C": "0", b"h": "1", b"l": "2", b"c": "3", b"b": "4", b"d": "5", b"p": "6"}
# Columns are padded to the widest so far; no name in the archives begins with a space.
LINE = re.compile(rb"(.)\S{9} \S+ +(\S+) \S+ \S+ +(.*)")
BETWEEN = {"1": b" link to ", "2": b" -> "}
LIST = ["tar", "--list", "--verbose", "--absolute-names", "--quoting-style=escape", "--numeric-owner", "--full-time"]


def plain(name):
    def byte(found):
        code = found[1]
        return bytes([int(code, 8)]) if code.isdigit() else code.decode().translate(NAMED).encode("latin-1")

    return re.sub(rb"\\([0-7]{3}|.)", byte, name).rstrip(b"/").hex()


NAMED = str.maketrans("abfnrtv", "\a\b\f\n\r\t\v")


def entries(listing):
    for line in listing.split(b"\n")[:-1]:
        kind, size, name = LINE.fullmatch(line).groups()
        kind = KINDS.get(kind, "?")
        name, _, link = name.partition(BETWEEN[kind]) if kind in BETWEEN else (name, b"", b"")
        yield f"{plain(name)} {kind} {int(size) if kind == '0' else 0} {plain(link)};"


for line in sys.stdin:
    tar = subprocess.run([*LIST, "--file", line.rstrip("\n")], capture_output=True, env={**os.environ, "LC_ALL": "C"})
    print("".join(entries(tar.stdout)) if tar.returncode == 0 else "error")
