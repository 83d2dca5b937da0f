"""The exceptions: one class for each kind of error, all of them `Error`."""

from typing import ClassVar


class Error(Exception):
    """Anything that went wrong in plyfs; its class says what a caller can act on.

    The text is one line: what failed, and the causes, outermost first. `kind` is the name every door of plyfs
    gives this kind, `errno` the number that stands for it, or that of the system call that failed.
    """

    kind: ClassVar[str] = ""
    errno: int | None

    def __init__(self, errno: int, message: str) -> None:
        super().__init__(errno, message)
        self.errno = errno

    def __str__(self) -> str:
        return str(self.args[1])


class NotFound(Error, FileNotFoundError):
    """No such layer, image, container, file or store."""

    kind = "NotFound"


class Exists(Error, FileExistsError):
    """The name or id is taken."""

    kind = "Exists"


class InvalidInput(Error, ValueError):
    """The argument or the archive is malformed; the text names what."""

    kind = "InvalidInput"


class InUse(Error, OSError):
    """Something else still refers to it: a child layer, an image, a container, a mount."""

    kind = "InUse"


class Busy(Error, OSError):
    """Held by the kernel or by another process for now."""

    kind = "Busy"


class Corrupt(Error):
    """Stored or received bytes are not what their checksum or format says."""

    kind = "Corrupt"


class Unsupported(Error, OSError):
    """The kernel, the file system or this version cannot do it."""

    kind = "Unsupported"


class NoSpace(Error, OSError):
    """No bytes left on the file system."""

    kind = "NoSpace"


class NoInodes(Error, OSError):
    """No inodes left on the file system."""

    kind = "NoInodes"


class QuotaExceeded(Error, OSError):
    """A quota is used up."""

    kind = "QuotaExceeded"


class PermissionDenied(Error, PermissionError):
    """The caller may not do this; most changes need root."""

    kind = "Permission"


class Cancelled(Error):
    """The progress callback asked to stop."""

    kind = "Cancelled"


class TimedOut(Error, TimeoutError):
    """A bounded wait ended."""

    kind = "TimedOut"


class Conflict(Error, OSError):
    """The thing changed while it was read."""

    kind = "Conflict"


class ReadOnly(Error, OSError):
    """The store or the medium is read-only."""

    kind = "ReadOnly"


class Poisoned(Error, OSError):
    """A sync failed earlier; nothing is written until the store is opened again."""

    kind = "Poisoned"


class IoError(Error, OSError):
    """Any other failure of a system call; `errno` is that of the call."""

    kind = "Io"


_CLASSES = {one.kind: one for one in Error.__subclasses__()}


def of_kind(kind: str, errno: int, message: str) -> Error:
    """Makes the exception of a kind; one that this version does not know is a plain `Error`."""
    return _CLASSES.get(kind, Error)(errno, message)
