"""Images: a config and a chain of layers, under any number of names."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from . import _native
from ._files import StrPath, SupportsWrite
from ._html import size, table
from ._layer import Layer
from ._values import Compression, Format, HistoryEntry, Progress, Pruned, Usage
from ._view import View

if TYPE_CHECKING:
    from ._store import Store


class Image:
    """An image as the store knew it when it was asked for; two are equal when their ids are."""

    __slots__ = ("_native", "_skipped", "_store")

    def __init__(self, native: _native.Image, store: "Store", skipped: tuple[str, ...] = ()) -> None:
        self._native = native
        self._store = store
        self._skipped = skipped

    @property
    def store(self) -> "Store":
        """The store it is in."""
        return self._store

    @property
    def id(self) -> str:
        """The digest of the config, ``sha256:`` and 64 hex digits."""
        return self._native.id

    @property
    def names(self) -> tuple[str, ...]:
        """Its names with their tags, sorted; none for a dangling image."""
        return tuple(self._native.names)

    @property
    def skipped(self) -> tuple[str, ...]:
        """What could not be taken over when this object came of `Store.load`, in words."""
        return self._skipped

    @property
    def created(self) -> str | None:
        """When its config says it was built, as written there."""
        return self._native.created

    @property
    def added(self) -> datetime:
        """When it came into the store."""
        return datetime.fromtimestamp(self._native.added, UTC)

    @property
    def architecture(self) -> str | None:
        """The architecture its config names."""
        return self._native.architecture

    @property
    def os(self) -> str | None:
        """The operating system its config names."""
        return self._native.os

    @property
    def manifest_digest(self) -> str | None:
        """The digest of the manifest it came with."""
        return self._native.manifest_digest

    @property
    def size(self) -> int:
        """The bytes of the files in its layers, shared or not."""
        return self.usage().apparent

    def config(self) -> dict[str, Any]:
        """The config, parsed."""
        config: dict[str, Any] = json.loads(self.config_bytes())
        return config

    def config_bytes(self) -> bytes:
        """The config as it was received; its digest is the id."""
        return self._native.config()

    def layers(self) -> list[Layer]:
        """Its layers, uppermost first."""
        return [Layer(native) for native in self._native.layers()]

    def containers(self) -> list[str]:
        """The ids of the containers made of it."""
        return self._native.containers()

    def history(self) -> list[HistoryEntry]:
        """How it came to be: the instructions its config tells of, newest first, each with the layer it made."""
        return [HistoryEntry._of(entry) for entry in self._native.history()]

    def usage(self) -> Usage:
        """What its layers take together, shared or not."""
        return Usage(*self._native.usage())

    def save(
        self,
        target: StrPath | SupportsWrite,
        *,
        format: Format = "docker-archive",
        compression: Compression | None = None,
        level: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Writes it with all its names; see `Store.save`."""
        self._store.save([self], target, format=format, compression=compression, level=level, progress=progress)

    def remove(self) -> Pruned:
        """Removes it, its names, and those of its layers that nothing else stands on; see `Store.remove_image`."""
        return self._store.remove_image(self)

    def view(self) -> View:
        """Return the merged tree, read without mounting it."""
        return View(self._native.view())

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Image) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<plyfs.Image {' '.join([self.id[:19], *self.names])}>"

    def _repr_html_(self) -> str:
        layers = self.layers()
        return table(
            [
                ("image", ", ".join(self.names)),
                ("id", self.id),
                ("built", self.created or ""),
                ("platform", f"{self.os or ''}/{self.architecture or ''}"),
                ("layers", len(layers)),
                ("size", size(self.size)),
            ]
        )
