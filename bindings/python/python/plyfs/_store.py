"""Stores: one directory tree with a journal, shared by threads and processes."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from . import _native
from ._container import Container
from ._files import StrPath, SupportsRead, SupportsWrite, reading, writing
from ._html import size, table
from ._image import Image
from ._layer import Layer
from ._lease import Lease, LeaseInfo
from ._values import (
    Act,
    Compression,
    Durable,
    Finding,
    Format,
    Info,
    Progress,
    Pruned,
    Rebuilt,
    Repaired,
    StoreUsage,
    Usage,
    User,
    seconds_of,
    several,
)

_NativeStore = _native.Store


class Store:
    """A store of images, layers and containers.

    ``Store(path)`` opens the store at `path`; where there is nothing, or an empty directory, it makes one first.
    `Store.open` needs it to be there. With ``durable=False`` nothing is synced: a power cut may lose what was done.
    All operations of the open store may have as many `threads` together beside those of their callers, one for each core
    unless it is given. Without `mapped` a medium that fails under the journal is an exception and not ``SIGBUS``.
    """

    __slots__ = ("_native",)

    _native: _native.Store

    def __init__(
        self, path: StrPath, *, durable: Durable = True, threads: int | None = None, mapped: bool = True
    ) -> None:
        self._native = _native.Store.open(
            path,
            create=True,
            read_only=False,
            durability=_durability(durable),
            threads=threads,
            mapped=mapped,
            salvage=False,
        )

    @classmethod
    def open(
        cls,
        path: StrPath,
        *,
        read_only: bool = False,
        durable: Durable = True,
        threads: int | None = None,
        mapped: bool = True,
        salvage: bool = False,
    ) -> Self:
        """Opens the store at `path`, which must be there.

        With `salvage` one whose journal is damaged is opened too, for reading what is sound; `damage` says what is not.
        """
        return cls._of(
            _native.Store.open(
                path,
                create=False,
                read_only=read_only,
                durability=_durability(durable),
                threads=threads,
                mapped=mapped,
                salvage=salvage,
            )
        )

    @classmethod
    def _of(cls, native: _NativeStore) -> Self:
        store = cls.__new__(cls)
        store._native = native
        return store

    @property
    def path(self) -> Path:
        """The absolute path of its root as it was when the store was opened."""
        return Path(self._native.path)

    @property
    def is_writable(self) -> bool:
        """Whether changes are possible."""
        return self._native.is_writable

    @property
    def damage(self) -> tuple[str, ...]:
        """The damaged places of its journal; none unless it was opened with `salvage` and needed that."""
        return tuple(self._native.damage)

    # Images

    def load(
        self,
        source: StrPath | SupportsRead,
        *,
        platform: str | None = None,
        keep_blobs: bool = False,
        timeout: timedelta | None = None,
        zstd_window: int | None = None,
        progress: Progress | None = None,
    ) -> list[Image]:
        """Loads every image of a docker-archive, an OCI archive or an OCI layout, all or none.

        `source` is a path or a binary file object. Bytes are a path: an archive in memory is given as `io.BytesIO`.
        Durable on return; what the store has already is not stored again. Where an index offers images for several platforms, that for `platform`, such as ``linux/arm64``, is
        taken, by default this machine's. With `keep_blobs` compressed layers are kept as they came, so that they are
        saved as the same blobs. A pipe or device that is given by its path, ``/dev/stdin`` for one, is given up with
        `TimedOut` when nothing comes for `timeout`; a file object waits by its own rules. Streams of zstd may have windows
        of up to 2 to the power of `zstd_window` bytes, 25 unless it is given.
        """
        if timeout is not None and hasattr(source, "read"):
            raise TypeError("a file object waits by its own rules: give a path with a timeout")
        with reading(source) as input:
            loaded = self._native.load(
                input,
                platform=platform,
                keep_blobs=keep_blobs,
                timeout=timeout,
                zstd_window=zstd_window,
                progress=progress,
            )
        return [Image(native, self, tuple(skipped)) for native, _, skipped in loaded]

    def save(
        self,
        images: Iterable[Image | str],
        target: StrPath | SupportsWrite,
        *,
        format: Format = "docker-archive",
        compression: Compression | None = None,
        level: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Writes images with all their names, layers they share once; the same images give the same bytes.

        Layers of a docker-archive are plain unless asked otherwise, those of the OCI formats gzip; `level` is 1 to 9 for
        gzip, 1 to 19 for zstd. The format
        ``oci`` is a layout in a directory: it needs a path, and adds to the layout that is there. Nothing is
        synced. When it fails, a file that was given by its path is removed, and of a layout what was made.
        """
        natives = [self._found(image)._native for image in several(images, "images")]
        if format == "oci":
            if hasattr(target, "write"):
                raise TypeError("an OCI layout is a directory: give a path")
            self._native.save_layout(natives, target, compression=compression, level=level, progress=progress)
            return
        if format not in ("docker-archive", "oci-archive"):
            raise ValueError(f"{format!r} is no format: docker-archive, oci-archive or oci")
        if compression not in (None, "none", "gzip", "zstd"):
            raise ValueError(f"{compression!r} is no compression: none, gzip or zstd")
        with writing(target) as file:
            self._native.save(natives, file, format=format, compression=compression, level=level, progress=progress)

    def import_(
        self,
        source: StrPath | SupportsRead,
        name: str | None = None,
        *,
        parent: Image | str | None = None,
        message: str | None = None,
        changes: Iterable[str] = (),
        progress: Progress | None = None,
    ) -> Image:
        """Makes a tar archive or a directory one layer, upon `parent` or nothing, and an image of it.

        `changes` are instructions of a Dockerfile; see `Container.commit`.
        """
        below = None if parent is None else self._found(parent)._native
        with reading(source) as input:
            native = self._native.import_tree(
                input,
                name=name,
                parent=below,
                message=message,
                changes=several(changes, "changes"),
                progress=progress,
            )
        return Image(native, self)

    def image(self, name_or_id: str) -> Image:
        """Finds an image by name, by id, or by the only id that begins with these four or more digits."""
        return Image(self._native.image(name_or_id), self)

    def images(self) -> list[Image]:
        """All images, sorted by their first name, nameless ones last."""
        return [Image(native, self) for native in self._native.images()]

    def tag(self, image: Image | str, name: str) -> None:
        """Makes `name` mean this image; a name that meant another is moved."""
        self._native.tag(self._found(image)._native, name)

    def untag(self, name: str, *, image: Image | None = None) -> None:
        """Takes a name from its image, which stays; given an `image`, one that means another raises `Conflict`."""
        self._native.untag(name, image=None if image is None else image._native)

    def remove_image(self, image: Image | str, *, name: str | None = None) -> Pruned:
        """Removes an image, its names, and those of its layers that nothing else stands on.

        It raises `InUse` while a container uses it. The space is returned by `reap`. Given a `name`, takes that alone, and
        removes the image only when it was the last, which is decided where nobody can give another.
        """
        return Pruned._of(self._native.remove_image(self._found(image)._native, name=name))

    # Layers

    def layer(self, id: str) -> Layer:
        """Finds a layer by id, or by the only id that begins with these four or more digits."""
        return Layer(self._native.layer(id))

    def layers(self) -> list[Layer]:
        """All layers, sorted by id."""
        return [Layer(native) for native in self._native.layers()]

    def apply(
        self,
        changeset: StrPath | SupportsRead,
        parent: Layer | str | None = None,
        *,
        progress: Progress | None = None,
    ) -> Layer:
        """Makes one changeset, a tar that may be compressed, or a directory, a layer upon `parent` or nothing.

        A layer that nothing stands on goes with the next `prune`.
        """
        below = self.layer(parent) if isinstance(parent, str) else parent
        with reading(changeset) as input:
            native = self._native.apply(input, parent=None if below is None else below._native, progress=progress)
        return Layer(native)

    def cached(self, parent: Layer | str | None, key: bytes) -> Layer | None:
        """Finds the layer that was last committed upon `parent` under this key; None when there is none any more.

        Nothing keeps it from a `prune` but what stands on it: create a container on it first.
        """
        below = self.layer(parent) if isinstance(parent, str) else parent
        native = self._native.cached(None if below is None else below._native, key)
        return None if native is None else Layer(native)

    def remove_layer(self, layer: Layer | str) -> Pruned:
        """Removes a layer; one that something stands on raises `InUse`."""
        found = layer if isinstance(layer, Layer) else self.layer(layer)
        return Pruned._of(self._native.remove_layer(found._native))

    # Containers

    def create(
        self,
        parent: Image | Layer | str | None,
        *,
        name: str | None = None,
        read_only: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> Container:
        """Creates a container on an image (or its name or id), on a layer, or on nothing. Durable on return.

        Without a name one is made up. A read-only container is mounted so unless a mount says otherwise.
        """
        on, image_name = _stands_on(self, parent)
        native = self._native.create(
            on, image_name=image_name, name=name, read_only=read_only, labels=dict(labels or {})
        )
        return Container(native, self)

    def create_all(
        self,
        parent: Image | Layer | str | None,
        names: Iterable[str],
        *,
        read_only: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> list[Container]:
        """Creates a container of each name as `create` does: all or none, at the price of one. Durable on return.

        A name that is taken is `Exists`, one that is given twice `InvalidInput`.
        """
        on, image_name = _stands_on(self, parent)
        natives = self._native.create_all(
            on,
            image_name=image_name,
            names=several(names, "names"),
            read_only=read_only,
            labels=dict(labels or {}),
        )
        return [Container(native, self) for native in natives]

    def container(self, name: str) -> Container:
        """Finds a container by its name."""
        return Container(self._native.container(name), self)

    def containers(self) -> list[Container]:
        """All containers, sorted by name."""
        return [Container(native, self) for native in self._native.containers()]

    # Upkeep

    def inspect(self, what: str) -> Container | Image | Layer:
        """Finds a container by name, else an image by name or id, else a layer by id."""
        match self._native.inspect(what):
            case _native.Container() as native:
                return Container(native, self)
            case _native.Image() as native:
                return Image(native, self)
            case native:
                return Layer(native)

    def usage(self) -> StoreUsage:
        """Adds up what the store's records say; what the containers hold themselves is left out."""
        return StoreUsage._of(self._native.usage())

    def measure(self) -> StoreUsage:
        """Does the same with what the containers hold themselves: their own layers are walked."""
        return StoreUsage._of(self._native.measure())

    def prune(
        self,
        *,
        all: bool = False,
        before: datetime | None = None,
        only: Iterable[Image] | None = None,
        labels: Iterable[str] = (),
        without_labels: Iterable[str] = (),
        dry_run: bool = False,
    ) -> Pruned:
        """Removes layers that nothing uses; with `all`, images without a name and a container too.

        With `before`, a time that knows its zone, only what came into the store before it; with `only`, of the images without
        a name these, and of the layers those they stood on. With `labels`, ``"KEY"`` or ``"KEY=VALUE"``, it is those that have
        all of them, with `without_labels` those that have none; neither goes together with `only`. With `dry_run` nothing is
        removed, and the answer is what would be. The space is returned by `reap`.
        """
        has, lacks = several(labels, "labels"), several(without_labels, "labels")
        if only is not None and (has or lacks):
            raise ValueError("images are chosen by `only` or by their labels, not by both")
        pruned = self._native.prune(
            all=all,
            added_before=seconds_of(before),
            only=None if only is None else [image._native for image in only],
            labels=has,
            without_labels=lacks,
            dry_run=dry_run,
        )
        return Pruned._of(pruned)

    def lease(self, lasts: timedelta, *, survives: bool = False) -> Lease:
        """Takes a lease. Durable on return.

        It lasts while it is held. One that `survives` lives on without its holder until `lasts` from now is over, for
        whoever opens it again.
        """
        return Lease(self._native.lease(lasts, survives=survives), type(self)._of, survives=survives)

    def open_lease(self, id: str) -> Lease:
        """Takes hold of a lease that survived its holder; `InUse` while somebody holds it, `NotFound` when it ended."""
        return Lease(self._native.open_lease(id), type(self)._of, survives=True)

    def leases(self) -> list[LeaseInfo]:
        """All leases that have not ended, sorted by id."""
        return [
            LeaseInfo(id, datetime.fromtimestamp(expires, UTC), survives, is_held)
            for id, expires, survives, is_held in self._native.leases()
        ]

    def leased(self, lease: Lease | LeaseInfo | str) -> list[User]:
        """What a lease keeps: images, then layers, each sorted by id."""
        id = lease if isinstance(lease, str) else lease.id
        return [User(kind, id) for kind, id in self._native.leased(id)]

    def reap(self) -> Usage:
        """Empties the trash that removals leave, and tells what was freed."""
        return Usage(*self._native.reap())

    def check(self, *, data: bool = False, progress: Progress | None = None) -> list[Finding]:
        """Compares the records with the directories; with `data`, every layer with the archive it came from too.

        That is its contents, owners, modes, times, links and attributes.
        """
        return [Finding(*found) for found in self._native.check(data=data, progress=progress)]

    def repair(self, *, data: bool = False, progress: Progress | None = None) -> Repaired:
        """Checks, puts right what can be without loss, and checks again. Durable on return.

        Nothing is deleted: what no record speaks of is moved into the store's ``aside``.
        """
        return Repaired._of(self._native.repair(data=data, progress=progress))

    @staticmethod
    def check_at(path: StrPath, *, data: bool = False, progress: Progress | None = None) -> list[Finding]:
        """Checks the store at `path` as `check` does.

        Of one that does not open it lists each part that is missing or damaged and each damaged place of its journal, and
        looks at nothing else.
        """
        return [Finding(*found) for found in _NativeStore.check_at(path, data=data, progress=progress)]

    @staticmethod
    def restore_parts(path: StrPath) -> list[Act]:
        """Makes those parts of the store at `path` anew that are missing and follow from the others. Durable on return.

        Those are ``staging``, ``trash``, ``overlay2/l``, and ``plyfs.toml`` where it is damaged, too. Then the store opens, and
        `repair` puts right the rest.
        """
        return [Act(Finding(*found), done) for found, done in _NativeStore.restore_parts(path)]

    @staticmethod
    def rebuild(path: StrPath, *, progress: Progress | None = None) -> Rebuilt:
        """Makes the journal of the store at `path` anew from its directories, where it is lost or damaged. Durable on return.

        Names, labels and options lived in the journal alone and are lost. The old journal is kept in the store's ``aside``; one
        that is sound is :class:`InvalidInput`. No other process may have the store open.
        """
        return Rebuilt._of(_NativeStore.rebuild(path, progress=progress))

    def info(self) -> Info:
        """Tells what the store is and what it stands on."""
        return Info._of(self._native.info())

    def _found(self, image: Image | str) -> Image:
        found = self.image(image) if isinstance(image, str) else image
        if not isinstance(found, Image):
            raise TypeError(f"an image or the name of one is needed, not {type(found).__name__}")
        return found

    def __repr__(self) -> str:
        return f"<plyfs.Store {str(self.path)!r}>"

    def _repr_html_(self) -> str:
        usage = self.usage()
        return table(
            [
                ("store", self.path),
                ("images", usage.images),
                ("layers", usage.layers),
                ("containers", usage.containers),
                ("stored once", size(usage.stored.allocated)),
                ("as copies", size(usage.as_copies.allocated)),
            ]
        )


def _durability(durable: Durable) -> str:
    """The word of the native half for it."""
    if durable == "files":
        return durable
    return "file-system" if durable else "none"


def _stands_on(
    store: Store, parent: Image | Layer | str | None
) -> tuple[_native.Image | _native.Layer | None, str | None]:
    """What a new container stands on, and the name it was found by."""
    on = store.image(parent) if isinstance(parent, str) else parent
    if not isinstance(on, Image | Layer | None):
        raise TypeError(f"a container stands on an image, a layer or None, not {type(on).__name__}")
    return None if on is None else on._native, parent if isinstance(parent, str) else None
