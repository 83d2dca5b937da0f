"""Views: the merged tree of a container, an image or a layer, read without mounting it."""

import os
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import PurePosixPath

from . import _native
from ._files import StrPath
from ._values import FileStat


class View:
    """What a mount would show; whatever it reads is kept from removal while it lives.

    Symbolic links are followed as for a process whose root is the view: none leads outside. Names that are not UTF-8
    carry surrogates, as `os.fsdecode` makes them.
    """

    __slots__ = ("_native",)

    def __init__(self, native: _native.View) -> None:
        self._native = native

    def open(self, path: StrPath) -> BufferedReader:
        """Open a regular file for reading bytes; anything else is `InvalidInput`."""
        return os.fdopen(self._native.open(path), "rb")

    def read_bytes(self, path: StrPath) -> bytes:
        """Return the content of a regular file."""
        with self.open(path) as file:
            return file.read()

    def read_text(self, path: StrPath, encoding: str = "utf-8") -> str:
        """Return the content of a regular file as text."""
        return self.read_bytes(path).decode(encoding)

    def listdir(self, path: StrPath = "/") -> list[str]:
        """Return the names in a directory, sorted bytewise."""
        return self._native.listdir(path)

    def stat(self, path: StrPath, *, follow_symlinks: bool = True) -> FileStat:
        """Return type, mode, owner, size and times of what is at a path."""
        return FileStat(**self._native.stat(path, follow_symlinks))

    def xattrs(self, path: StrPath, *, follow_symlinks: bool = True) -> Mapping[str, bytes]:
        """Return the extended attributes of what is at a path, without OverlayFS' own."""
        return self._native.xattrs(path, follow_symlinks)

    def readlink(self, path: StrPath) -> str:
        """Return where a symbolic link points."""
        return self._native.readlink(path)

    def walk(self, path: StrPath = "/") -> Iterator[PurePosixPath]:
        """Yield every path at and below one, each directory before what is in it; no link on the way is followed."""
        return map(PurePosixPath, self._native.walk(path))
