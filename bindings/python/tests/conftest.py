"""What the tests stand on: a file system that can carry a store, privilege, one small image."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import archives
import plyfs
import pytest


def is_ci() -> bool:
    """Whether a skip is a failure."""
    return os.environ.get("CI", "") not in ("", "0", "false")


def fit_directory() -> str:
    """A directory for temporary files on a file system that OverlayFS takes a writable layer from."""
    for candidate in (tempfile.gettempdir(), "/var/tmp"):
        kind = subprocess.run(["stat", "-f", "-c", "%T", candidate], capture_output=True, text=True, check=True)
        if kind.stdout.strip() not in ("tmpfs", "ramfs", "overlayfs"):
            return candidate
    pytest.fail("set TMPDIR to a directory on ext4, xfs or btrfs")


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Ctrl-C raises ``KeyboardInterrupt`` even where whoever started the tests ignores it, as ``nohup … &`` does."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def root() -> None:
    """Skips, loudly, without privilege; under CI that is a failure."""
    if os.geteuid() != 0:
        if is_ci():
            pytest.fail("needs root, and a skip is a failure here")
        pytest.skip("needs root")


@pytest.fixture
def scratch() -> Iterator[Path]:
    """An empty directory that a store can be made in; nothing below may stay mounted."""
    path = Path(tempfile.mkdtemp(prefix="plyfs-python-", dir=fit_directory()))
    yield path
    left = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(path) in line]
    for line in left:
        subprocess.run(["umount", "--lazy", line.split()[4]], check=False)
    shutil.rmtree(path)
    assert left == [], "mounts were left"


@pytest.fixture
def archive(scratch: Path) -> Path:
    """A docker-archive with the image ``svc:1`` of two layers."""
    return archives.write(scratch / "svc.tar", archives.image())


@pytest.fixture
def store(root: None, scratch: Path) -> Iterator[plyfs.Store]:
    """An empty store; containers are unmounted afterwards whatever happened."""
    store = plyfs.Store(scratch / "store", durable=False)
    yield store
    for container in store.containers():
        container.unmount(detach=True)


@pytest.fixture
def image(store: plyfs.Store, archive: Path) -> plyfs.Image:
    """The image ``svc:1`` in the store."""
    (image,) = store.load(archive)
    return image


@pytest.fixture
def container(store: plyfs.Store, image: plyfs.Image) -> plyfs.Container:
    """The container ``web-1`` of it."""
    return store.create(image, name="web-1")
