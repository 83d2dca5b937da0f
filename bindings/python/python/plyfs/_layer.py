"""Layers: immutable trees that stand on one another."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from . import _native
from ._files import StrPath, SupportsWrite, writing
from ._html import size, table
from ._mount import Guard
from ._values import Exported, Usage, User
from ._view import View


class LayerMount(Guard):
    """A layer made visible, read-only; it cannot be removed meanwhile."""

    __slots__ = ()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._leave(error, self.unmount)


class Layer:
    """An immutable tree and what made it."""

    __slots__ = ("_native",)

    def __init__(self, native: _native.Layer) -> None:
        self._native = native

    @property
    def id(self) -> str:
        """The id, 64 hex digits; it names the directory and says nothing of the content."""
        return self._native.id

    @property
    def parent(self) -> str | None:
        """The id of the layer below."""
        return self._native.parent

    @property
    def diff_id(self) -> str | None:
        """The digest of the uncompressed archive it came from."""
        return self._native.diff_id

    @property
    def chain_id(self) -> str | None:
        """The digest of its content and all below it."""
        return self._native.chain_id

    @property
    def link(self) -> str:
        """The id of its short link in ``overlay2/l``."""
        return self._native.link

    @property
    def depth(self) -> int:
        """How many layers its chain has, itself counted."""
        return self._native.depth

    @property
    def archive_size(self) -> int | None:
        """The length of the uncompressed archive it came from."""
        return self._native.archive_size

    @property
    def created(self) -> datetime:
        """When it came into the store."""
        return datetime.fromtimestamp(self._native.created, UTC)

    @property
    def path(self) -> Path:
        """Its own tree; what is below must not be changed."""
        return Path(self._native.path)

    @property
    def usage(self) -> Usage:
        """What the layer itself takes, as recorded when it came."""
        return Usage(*self._native.usage)

    @property
    def chain_usage(self) -> Usage:
        """What the layer and all below it take."""
        return Usage(*self._native.chain_usage)

    def chain(self) -> list["Layer"]:
        """The layer and its ancestors, uppermost first."""
        return [Layer(native) for native in self._native.chain()]

    def users(self) -> list[User]:
        """Who stands on it: child layers, images, containers."""
        return [User(kind, id) for kind, id in self._native.users()]

    def mount(self, at: StrPath) -> LayerMount:
        """Makes the layer and all below it visible at an existing directory, read-only."""
        return LayerMount(self._native.mount(at))

    def write_archive(self, target: StrPath | SupportsWrite) -> Exported:
        """Writes the archive as it came in, byte for byte; a tree that was changed since raises `Corrupt`."""
        with writing(target) as file:
            return Exported._of(self._native.write_archive(file))

    @property
    def blobs(self) -> Mapping[str, Usage]:
        """The compressed forms it came in and that were kept, by digest."""
        return MappingProxyType({digest: Usage(*usage) for digest, usage in self._native.blobs})

    def write_blob(self, digest: str, target: StrPath | SupportsWrite) -> None:
        """Writes a compressed form it came in; one that has other bytes than its digest says raises `Corrupt`."""
        with writing(target) as file:
            self._native.write_blob(digest, file)

    def view(self) -> View:
        """Return the merged tree, read without mounting it."""
        return View(self._native.view())

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Layer) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<plyfs.Layer {self.id[:12]} {size(self.usage.apparent)}>"

    def _repr_html_(self) -> str:
        return table(
            [
                ("layer", self.id),
                ("diff id", self.diff_id or ""),
                ("depth", self.depth),
                ("size", size(self.usage.apparent)),
                ("with all below", size(self.chain_usage.apparent)),
            ]
        )
