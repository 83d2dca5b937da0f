"""Tables for notebooks; every text from a store is escaped."""

from collections.abc import Iterable
from html import escape

_TABLE = "border-collapse:collapse;font-family:monospace"
_CELL = "text-align:left;padding:2px 12px 2px 0;vertical-align:top"


def table(rows: Iterable[tuple[str, object]]) -> str:
    """One row for each name and value."""
    lines = (
        f'<tr><th style="{_CELL}">{escape(name)}</th><td style="{_CELL}">{escape(str(value))}</td></tr>'
        for name, value in rows
    )
    return f'<table style="{_TABLE}">{"".join(lines)}</table>'


def size(count: int) -> str:
    """Bytes as people read them."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
