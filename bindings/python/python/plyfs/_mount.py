"""What the guards of mounts share."""

from collections.abc import Callable
from pathlib import Path

from . import _native
from ._errors import Error


class Guard:
    """A mount and what keeps it; a context manager that gives the path and unmounts at its end.

    An exception of the block wins over one of unmounting, which is added to it as a note. A guard that is dropped
    without a word unmounts too, if it can, and says nothing.
    """

    __slots__ = ("_native", "__weakref__")

    def __init__(self, native: _native.Mount) -> None:
        self._native = native

    @property
    def path(self) -> Path:
        """Where it is visible."""
        return Path(self._native.path)

    def unmount(self) -> None:
        """Unmounts; does nothing once the guard is gone."""
        self._native.unmount()

    def keep(self) -> Path:
        """Leaves it mounted when the guard goes, and gives the path."""
        self._native.keep()
        return self.path

    def __fspath__(self) -> str:
        return str(self.path)

    def __enter__(self) -> Path:
        return self.path

    def _leave(self, error: BaseException | None, unmount: Callable[[], None]) -> None:
        try:
            unmount()
        except Error as failed:
            if error is None:
                raise
            error.add_note(f"plyfs: {self.path} stays mounted: {failed}")

    def __repr__(self) -> str:
        state = "held" if self._native.is_held else "let go"
        return f"<plyfs.{type(self).__name__} {str(self.path)!r} {state}>"
