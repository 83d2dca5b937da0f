"""Container layer storage on OverlayFS, in your process.

A store keeps the layers of images once, gives each container a thin writable layer over them, and turns what a
container changed back into an image::

    import plyfs

    store = plyfs.Store("/var/lib/plyfs")
    store.load("svc.tar")
    container = store.create("svc:1", name="web-1")
    with container.mount() as root:
        (root / "app/config.properties").write_text("port=81\\n")
    for change in container.changes():
        print(change)
    container.commit("svc:2", message="new port").save("svc2.tar", format="oci-archive")

What a call returned survives a power cut. Objects are immutable snapshots of what the store knew when they were
asked for, and may be shared by threads; every call that may wait lets other threads run. All exceptions derive from
`Error`; those that stand for an errno are `OSError` too.
"""

from ._container import Container, Mount
from ._errors import (
    Busy,
    Cancelled,
    Conflict,
    Corrupt,
    Error,
    Exists,
    InUse,
    InvalidInput,
    IoError,
    NoInodes,
    NoSpace,
    NotFound,
    PermissionDenied,
    Poisoned,
    QuotaExceeded,
    ReadOnly,
    TimedOut,
    Unsupported,
)
from ._image import Image
from ._layer import Layer, LayerMount
from ._lease import Lease, LeaseInfo
from ._native import VERSION as __version__
from ._store import Store
from ._values import (
    Act,
    Change,
    ChangeKind,
    Compression,
    Durable,
    Exported,
    FileStat,
    Finding,
    Format,
    Held,
    HistoryEntry,
    Info,
    MountSpec,
    Progress,
    Pruned,
    Rebuilt,
    Repaired,
    StoreUsage,
    Style,
    Usage,
    User,
)
from ._view import View

__all__ = [
    "Act",
    "Busy",
    "Cancelled",
    "Change",
    "ChangeKind",
    "Compression",
    "Conflict",
    "Container",
    "Corrupt",
    "Durable",
    "Error",
    "Exists",
    "Exported",
    "FileStat",
    "Finding",
    "Format",
    "Held",
    "HistoryEntry",
    "Image",
    "InUse",
    "Info",
    "InvalidInput",
    "IoError",
    "Layer",
    "LayerMount",
    "Lease",
    "LeaseInfo",
    "Mount",
    "MountSpec",
    "NoInodes",
    "NoSpace",
    "NotFound",
    "PermissionDenied",
    "Poisoned",
    "Progress",
    "Pruned",
    "QuotaExceeded",
    "ReadOnly",
    "Rebuilt",
    "Repaired",
    "Store",
    "StoreUsage",
    "Style",
    "TimedOut",
    "Unsupported",
    "Usage",
    "User",
    "View",
    "__version__",
]
