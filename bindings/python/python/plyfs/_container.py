"""Containers: a writable layer of their own over an image, a layer or nothing."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING

from . import _native
from ._errors import InUse
from ._files import StrPath, SupportsWrite, writing
from ._html import table
from ._image import Image
from ._mount import Guard
from ._values import Change, ChangeKind, Exported, MountSpec, Progress, Style, Usage, seconds_of, several
from ._view import View

if TYPE_CHECKING:
    from ._store import Store


class Mount(Guard):
    """A container made visible.

    A container has one mount at most; mounting a mounted one gives another guard on it. The end of a ``with`` block
    unmounts only what its guard mounted, and not while other guards hold it.
    """

    __slots__ = ()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._leave(error, self._give_up)

    def _give_up(self) -> None:
        if not self._native.is_maker:
            self._native.release()
            return
        try:
            self._native.unmount()
        except InUse:
            # Another guard holds the same mount, which stays for it.
            pass


class Container:
    """A container as the store knew it when it was asked for; two are equal when their ids and stores are."""

    __slots__ = ("_native", "_store")

    def __init__(self, native: _native.Container, store: "Store") -> None:
        self._native = native
        self._store = store

    @property
    def store(self) -> "Store":
        """The store it is in."""
        return self._store

    @property
    def name(self) -> str:
        """The name, unique in the store."""
        return self._native.name

    @property
    def id(self) -> str:
        """The id of its own layer, 64 hex digits; it stays when the name changes."""
        return self._native.id

    @property
    def image(self) -> Image | None:
        """The image it was made of, looked up in the store."""
        id = self._native.image
        return None if id is None else self._store.image(id)

    @property
    def image_name(self) -> str | None:
        """The name its image was found by when it was created."""
        return self._native.image_name

    @property
    def parent(self) -> str | None:
        """The id of the layer it stands on."""
        return self._native.parent

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        return MappingProxyType(self._native.labels)

    @property
    def read_only(self) -> bool:
        """Whether it is mounted read-only unless a mount says otherwise."""
        return self._native.read_only

    @property
    def created(self) -> datetime:
        """When it was created."""
        return datetime.fromtimestamp(self._native.created, UTC)

    @property
    def mounted_at(self) -> Path | None:
        """Where it is mounted now, in whatever mount namespace."""
        path = self._native.mounted_at()
        return None if path is None else Path(path)

    def mount(
        self,
        *,
        at: StrPath | None = None,
        read_only: bool | None = None,
        nosuid: bool = False,
        nodev: bool = False,
        noexec: bool = False,
    ) -> Mount:
        """Mounts it, at its own directory in the store or at an existing directory `at`.

        Use the result in a ``with`` statement, which gives the path, or call its `keep` to leave it mounted.
        Mounting at another place than where it is mounted raises `InUse`.
        """
        return Mount(self._native.mount(at=at, read_only=read_only, nosuid=nosuid, nodev=nodev, noexec=noexec))

    def mount_spec(self) -> MountSpec:
        """Gives what a runtime needs to mount it by itself; nothing is mounted."""
        return MountSpec._of(self._native.mount_spec())

    def unmount(self, *, detach: bool = False) -> None:
        """Ends its mount for all; does nothing when it is not mounted.

        It raises `InUse` while guards live and `Busy` while programs work inside, unless `detach` ends it in every
        mount namespace and leaves programs what they have open.
        """
        self._native.unmount(detach=detach)

    def changes(self) -> Iterator[Change]:
        """Gives what it changed, sorted bytewise by path, found while it is iterated over."""
        native = self._native.changes()
        return (Change(PurePosixPath(path), ChangeKind(letter)) for path, letter in native)

    def export(
        self,
        target: StrPath | SupportsWrite,
        *,
        clamp_mtime: datetime | None = None,
        style: Style = "native",
        progress: Progress | None = None,
    ) -> Exported:
        """Writes what it changed as an OCI changeset, a plain tar; the same changes give the same bytes.

        Times later than `clamp_mtime` are written as that. In the style ``containerd`` the bytes are those that its differ
        writes.
        """
        clamp = seconds_of(clamp_mtime)
        with writing(target) as file:
            native = self._native.export(file, clamp_mtime=clamp, style=style, progress=progress)
        return Exported._of(native)

    def commit(
        self,
        name: str | None = None,
        *,
        message: str | None = None,
        author: str | None = None,
        changes: Iterable[str] = (),
        cache_key: bytes | None = None,
        created: datetime | None = None,
        clamp_mtime: datetime | None = None,
        progress: Progress | None = None,
    ) -> Image:
        """Makes what it changed the top layer of a new image. Durable on return; the container stays as it is.

        `changes` are instructions of a Dockerfile that change the config, such as ``ENV LEVEL=debug``. Under `cache_key`
        `Store.cached` finds the new layer upon the container's parent. The image states `created`, which must know its zone, or
        the present time; files that changed later than `clamp_mtime` are given that time. So the same changes give the same
        image.
        """
        seconds_of(created)  # Refuses one that does not know its zone.
        native = self._native.commit(
            name=name,
            message=message,
            author=author,
            changes=several(changes, "changes"),
            cache_key=cache_key,
            created=created,
            clamp_mtime=seconds_of(clamp_mtime),
            progress=progress,
        )
        return Image(native, self._store)

    def rename(self, name: str) -> "Container":
        """Gives it another name and returns it under that name."""
        return Container(self._native.rename(name), self._store)

    def remove(self, *, force: bool = False) -> None:
        """Removes it; a mounted one raises `InUse`, unless `force` detaches the mount first.

        The space is returned by `Store.reap`.
        """
        self._native.remove(force=force)

    def usage(self) -> Usage:
        """Walks its own layer and tells what it takes now."""
        return Usage(*self._native.usage())

    def view(self) -> View:
        """Return the merged tree, read without mounting it."""
        return View(self._native.view())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Container):
            return NotImplemented
        return (self.id, self._store.path) == (other.id, other._store.path)

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<plyfs.Container {self.name} {self.id[:12]} of {self.image_name or self.parent or 'nothing'}>"

    def _repr_html_(self) -> str:
        return table(
            [
                ("container", self.name),
                ("id", self.id),
                ("image", self.image_name or self._native.image or ""),
                ("created", self.created.isoformat()),
                ("mounted at", self.mounted_at or ""),
                *((f"label {key}", value) for key, value in self.labels.items()),
            ]
        )
