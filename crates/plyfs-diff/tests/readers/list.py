# What Python's tarfile sees in each archive named on standard input, a line each.
import sys
import tarfile

KINDS = {b"\0": "0", b"7": "0", b"S": "0"}


def entries(path):
    with tarfile.open(path, "r:", errors="surrogateescape", encoding="utf-8") as tar:
        for member in tar:
            kind = KINDS.get(member.type, member.type.decode("latin-1"))
            size = member.size if kind == "0" else 0
            link = member.linkname if kind in "12" else ""
            names = [name.encode("utf-8", "surrogateescape").rstrip(b"/") for name in (member.name, link)]
            yield f"{names[0].hex()} {kind} {size} {names[1].hex()};"


for line in sys.stdin:
    try:
        print("".join(entries(line.rstrip("\n"))))
    except (tarfile.TarError, EOFError, ValueError, OSError):
        print("error")
