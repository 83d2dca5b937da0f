"""What counts as a file: a path, or any binary file object."""

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TypeAlias

from ._errors import InvalidInput

StrPath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class SupportsRead(Protocol):
    """A binary file object to read from."""

    def read(self, length: int, /) -> bytes: ...


class SupportsWrite(Protocol):
    """A binary file object to write into."""

    def write(self, data: bytes, /) -> object: ...


@contextmanager
def reading(source: StrPath | SupportsRead) -> Iterator[str | SupportsRead]:
    """Gives what the native half reads: a path, or an object with a method `read`.

    An ordinary file that is open at its beginning is read where it lies, by the name the kernel has for it, and is
    at its end afterwards; read through `read`, an archive would be copied into the store first.
    """
    if isinstance(source, (str, bytes, os.PathLike)):
        yield os.fsdecode(source)
        return
    descriptor = _ordinary(source)
    if descriptor is None or source.tell() != 0:  # type: ignore[attr-defined]
        yield source
        return
    yield f"/proc/self/fd/{descriptor}"
    source.seek(0, os.SEEK_END)  # type: ignore[attr-defined]


def _ordinary(file: object) -> int | None:
    """The descriptor of a file object that shows the bytes of an ordinary file as they are.

    Other objects may have a `fileno` of something else: that of a `GzipFile` reads what is compressed.
    """
    raw = file.raw if isinstance(file, io.BufferedReader) else file
    if isinstance(raw, io.FileIO) and raw.readable() and stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
        return raw.fileno()
    return None


@contextmanager
def writing(target: StrPath | SupportsWrite) -> Iterator[SupportsWrite]:
    """Gives an object with a method `write` that takes everything it is given.

    A path is created or emptied; when the work fails, an ordinary file there is removed, since what it holds is no
    archive.
    """
    if isinstance(target, (str, bytes, os.PathLike)):
        path = os.fsdecode(target)
        before, nul, _ = path.partition("\0")
        if nul:
            # What was taken for a path may be a whole archive.
            raise InvalidInput(errno.EINVAL, f"a NUL byte is in the path, behind {before[-64:]!r}")
        with open(path, "wb", buffering=0) as raw:
            try:
                with _whole(raw) as out:
                    yield out
            except BaseException:
                if stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
                    with suppress(OSError):
                        os.unlink(path)
                raise
    elif isinstance(target, io.RawIOBase):
        with _whole(target) as out:
            yield out
    else:
        yield target


@contextmanager
def _whole(raw: io.RawIOBase) -> Iterator[SupportsWrite]:
    """Writes to a raw file, which may take less than it is given, until it has taken all."""
    buffered = io.BufferedWriter(raw)
    try:
        yield buffered
    except BaseException:
        # What is still buffered belongs to nothing; a flush that failed once would only fail again.
        with suppress(OSError):
            buffered.detach()
        raise
    buffered.detach()
