"""Leases: what no removal takes while they last."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from . import _native
from ._errors import Error
from ._image import Image
from ._layer import Layer

if TYPE_CHECKING:
    from ._store import Store


class Lease:
    """A held lease; a context manager whose end ends it, unless it was made to survive.

    While it is held it lasts, whatever the clock says. One that is dropped without a word ends too, if it does not
    survive, and says nothing.
    """

    __slots__ = ("_native", "_survives", "_under", "__weakref__")

    def __init__(self, native: _native.Lease, under: "Callable[[_native.Store], Store]", *, survives: bool) -> None:
        self._native = native
        self._under = under
        self._survives = survives

    @property
    def id(self) -> str:
        """The id by which `Store.open_lease` finds it."""
        return self._native.id

    @property
    def expires(self) -> datetime:
        """When it ends once nobody holds it."""
        return datetime.fromtimestamp(self._native.expires, UTC)

    @property
    def store(self) -> "Store":
        """The store whose operations are under this lease: what they publish, and what they found there, stays."""
        return self._under(self._native.store)

    def hold(self, what: Layer | Image) -> None:
        """Keeps a layer and all below it, or an image, named or not, with its layers. Durable on return."""
        if isinstance(what, Image):
            self._native.hold_image(what._native)
        else:
            self._native.hold(what._native)

    def renew(self, lasts: timedelta) -> None:
        """Lets it last this long from now on. Durable on return."""
        self._native.renew(lasts)

    def release(self) -> None:
        """Ends it; does nothing once it is let go. What it kept goes with the next prune unless something uses it."""
        self._native.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._survives:
            self._native.let_go()
            return
        try:
            self._native.release()
        except Error as failed:
            if error is None:
                raise
            error.add_note(f"plyfs: lease {self.id}: {failed}")

    def __repr__(self) -> str:
        return f"<plyfs.Lease {self.id} {'held' if self._native.is_held else 'let go'}>"


@dataclass(frozen=True, slots=True)
class LeaseInfo:
    """A lease as the store knew it: when it ends without a holder, whether it survives one, whether it has one."""

    id: str
    expires: datetime
    survives: bool
    is_held: bool
