"""Plain data that calls return: frozen, comparable, hashable."""

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Literal, Self, TypeAlias, TypeVar

from . import _native

_T = TypeVar("_T")

Progress: TypeAlias = Callable[[str, str, int, int | None], bool | None]
"""Called as ``progress(stage, item, done, expected)`` during long work, a few times a second for each item.

`done` and `expected` are bytes, `expected` is None where it is not known. Returning False cancels the work, which
then raises `Cancelled`; an exception cancels it too and is raised to the caller. It may be called from a thread of
the library.
"""

# Unions of literals, not literals of several values: stubtest takes the latter for something else.
Format: TypeAlias = Literal["docker-archive"] | Literal["oci-archive"] | Literal["oci"]
"""How images are written; ``oci`` is a layout in a directory."""

Durable: TypeAlias = bool | Literal["files"]
"""What a call's return promises: True that it survives a power cut, at the price of one sync of the file system; ``files``
the same by a sync of each file and directory, which waits for no other program's data; False nothing."""

Style: TypeAlias = Literal["native"] | Literal["containerd"]
"""Whose changesets an export looks like; every reader of OCI layers understands both."""

Compression: TypeAlias = Literal["none"] | Literal["gzip"] | Literal["zstd"]
"""How layers are compressed on their way out."""


def several(given: Iterable[_T], what: str) -> list[_T]:
    """All of what is given; of one text, which Python would take for its letters, a `TypeError`."""
    if isinstance(given, str):
        raise TypeError(f"{what} are several, such as [{given!r}], and no str")
    return list(given)


def seconds_of(time: datetime | None) -> int | None:
    """Seconds since the epoch of a time that knows its zone."""
    if time is None:
        return None
    if time.tzinfo is None:
        raise ValueError(f"{time} does not know its time zone")
    return int(time.timestamp())


class ChangeKind(enum.Enum):
    """What a container did to a path; the values are the letters of ``docker diff``."""

    ADDED = "A"
    MODIFIED = "C"
    DELETED = "D"


@dataclass(frozen=True, slots=True)
class Change:
    """One path that a container changed; `str()` gives ``A /path`` with what is not printable escaped.

    A path that is not UTF-8 carries surrogates, as `os.fsdecode` makes them.
    """

    path: PurePosixPath
    kind: ChangeKind

    def __str__(self) -> str:
        return _native.describe_change(self.path, self.kind.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStat:
    """One inode of a view.

    `kind` is ``file``, ``directory``, ``symlink``, ``character-device``, ``block-device``, ``fifo`` or ``socket``; `mode`
    holds the permission bits alone. `modified` is in seconds since the epoch and nanoseconds, `layer` the layer that
    shows it, counted from the uppermost.
    """

    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    links: int
    modified: tuple[int, int]
    device: tuple[int, int] | None
    layer: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tree takes: the lengths of its files, the bytes set aside for them, the inodes."""

    apparent: int = 0
    allocated: int = 0
    inodes: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.apparent + other.apparent, self.allocated + other.allocated, self.inodes + other.inodes)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One instruction of an image's history: when, by what, by whom and why, as the config says.

    `layer` is the id of the layer it made and `usage` what that takes; one that only changed the config made none.
    """

    created: str | None
    created_by: str | None
    author: str | None
    comment: str | None
    layer: str | None
    usage: Usage

    @classmethod
    def _of(cls, native: "_native._HistoryEntry") -> Self:
        return cls(
            created=native["created"],
            created_by=native["created_by"],
            author=native["author"],
            comment=native["comment"],
            layer=native["layer"],
            usage=Usage(*native["usage"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUsage:
    """What a store holds, what it shares, and what copies would have cost.

    `stored` counts every layer once, `shared` those that two or more images or containers stand on, `reclaimable`
    those that none does and no lease keeps. `containers_own` is what the containers' own layers take, or `None` unless
    they were measured; `as_copies` is what the containers would take if each were a full copy, and of unmeasured ones
    what they stand on.
    """

    images: int
    layers: int
    containers: int
    stored: Usage
    shared: Usage
    reclaimable: Usage
    containers_own: Usage | None
    as_copies: Usage
    total_bytes: int
    free_bytes: int
    total_inodes: int
    free_inodes: int

    @classmethod
    def _of(cls, native: "_native._StoreUsage") -> Self:
        own = native["containers_own"]
        return cls(
            images=native["images"],
            layers=native["layers"],
            containers=native["containers"],
            stored=Usage(*native["stored"]),
            shared=Usage(*native["shared"]),
            reclaimable=Usage(*native["reclaimable"]),
            containers_own=None if own is None else Usage(*own),
            as_copies=Usage(*native["as_copies"]),
            total_bytes=native["total_bytes"],
            free_bytes=native["free_bytes"],
            total_inodes=native["total_inodes"],
            free_inodes=native["free_inodes"],
        )


@dataclass(frozen=True, slots=True)
class Held:
    """Something that nothing uses and yet stays: ``layer`` or ``image``, its id, and why."""

    kind: str
    id: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id} {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a removal took, or would take; `held` is what nothing uses and yet stays."""

    images: tuple[str, ...]
    layers: tuple[str, ...]
    reclaimed: Usage
    held: tuple[Held, ...]

    @classmethod
    def _of(cls, native: "_native._Pruned") -> Self:
        return cls(
            images=tuple(native["images"]),
            layers=tuple(native["layers"]),
            reclaimed=Usage(*native["reclaimed"]),
            held=tuple(Held(*held) for held in native["held"]),
        )


@dataclass(frozen=True, slots=True)
class Exported:
    """A changeset that was written: the digest and length of the plain tar, and what it could not hold, in words."""

    diff_id: str
    size: int
    skipped: tuple[str, ...] = ()

    @classmethod
    def _of(cls, native: tuple[str, int, Sequence[str]]) -> Self:
        diff_id, size, skipped = native
        return cls(diff_id, size, tuple(skipped))


@dataclass(frozen=True, slots=True)
class User:
    """What stands on a layer, or what a lease keeps: ``layer``, ``image``, ``container`` or ``lease``, and its id."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as the store's records say; `severity` is ``note``, ``warning`` or ``error``.

    `kind` tells programs what it is, ``directory-missing`` for one.
    """

    severity: str
    subject: str
    problem: str
    kind: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.subject}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Act:
    """One thing a repair did: what was wrong, and what was done about it, in words."""

    finding: Finding
    done: str

    def __str__(self) -> str:
        return f"{self.finding.subject}: {self.finding.problem}: {self.done}"


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did, in order, and what it left, worst first."""

    acts: tuple[Act, ...]
    left: tuple[Finding, ...]

    @classmethod
    def _of(cls, native: "_native._Repaired") -> Self:
        acts, left = native
        return cls(tuple(Act(Finding(*found), done) for found, done in acts), tuple(Finding(*found) for found in left))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild found again, lost and repaired; images have lost their names, containers have made-up ones.

    `lost` says what is lost, a line each; `kept` where in the store the old journal is, None where there was none.
    """

    images: tuple[str, ...]
    layers: tuple[str, ...]
    containers: tuple[str, ...]
    lost: tuple[str, ...]
    kept: str | None
    repaired: Repaired

    @classmethod
    def _of(cls, native: "_native._Rebuilt") -> Self:
        return cls(
            images=tuple(native["images"]),
            layers=tuple(native["layers"]),
            containers=tuple(native["containers"]),
            lost=tuple(native["lost"]),
            kept=native["kept"],
            repaired=Repaired._of(native["repaired"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What a store is and what it stands on; `kernel` has a line for each feature, none without privilege."""

    version: int
    path: Path
    dialect: str
    file_system: str
    is_writable: bool
    kernel: tuple[str, ...]

    @classmethod
    def _of(cls, native: "_native._Info") -> Self:
        return cls(
            version=native["version"],
            path=Path(native["path"]),
            dialect=native["dialect"],
            file_system=native["file_system"],
            is_writable=native["is_writable"],
            kernel=tuple(native["kernel"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MountSpec:
    """What a runtime needs to make a container's mount itself; `lower` is listed uppermost first.

    `options` is what ``mount -t overlay -o`` takes. `target` is there only while mounted.
    """

    lower: tuple[Path, ...]
    upper: Path
    work: Path
    target: Path
    options: str

    @classmethod
    def _of(cls, native: "_native._MountSpec") -> Self:
        return cls(
            lower=tuple(Path(lower) for lower in native["lower"]),
            upper=Path(native["upper"]),
            work=Path(native["work"]),
            target=Path(native["target"]),
            options=native["options"],
        )
