"""Views: what is inside, read without a mount."""

import os
from pathlib import Path, PurePosixPath

import plyfs
import pytest
from plyfs import FileStat


def test_a_view_reads_what_a_mount_shows(container: plyfs.Container) -> None:
    with container.mount() as root:
        (root / "app/config.properties").write_text("port=81\n")
        (root / "etc/motd").unlink()
        (root / "conf").symlink_to("/app/config.properties")
        (root / os.fsdecode(b"na\xefve")).write_bytes(b"\0")
        os.setxattr(root / "app", "user.note", b"\0x")
        os.utime(root / "app/config.properties", ns=(0, 1_500_000_000_000_000_007))
        expected = sorted(os.listdir(root), key=os.fsencode)
    view = container.view()
    assert view.listdir() == expected
    assert view.read_text("conf") == "port=81\n"
    assert view.read_bytes(os.fsdecode(b"/na\xefve")) == b"\0"
    with view.open(PurePosixPath("/app/config.properties")) as file:
        assert file.read(4) == b"port"
    assert view.readlink("conf") == "/app/config.properties"
    assert view.xattrs("/app") == {"user.note": b"\0x"}
    stat = view.stat("conf")
    assert stat == FileStat(
        kind="file",
        mode=stat.mode,
        uid=0,
        gid=0,
        size=8,
        links=1,
        modified=(1_500_000_000, 7),
        device=None,
        layer=0,
    )
    assert view.stat("conf", follow_symlinks=False).kind == "symlink"
    walked = list(view.walk("/app"))
    assert walked[0] == PurePosixPath("/app") and PurePosixPath("/app/config.properties") in walked
    with pytest.raises(FileNotFoundError, match="etc/motd"):
        view.open("etc/motd")
    with pytest.raises(plyfs.InvalidInput, match="/app"):
        view.open("/app")


def test_an_image_and_its_layer_are_seen_as_they_were(image: plyfs.Image, container: plyfs.Container) -> None:
    with container.mount() as root:
        (root / "etc/motd").unlink()
    for view in (image.view(), image.layers()[0].view()):
        assert "motd" in view.listdir("etc")


def test_nothing_outside_is_read_and_nothing_read_is_removed(container: plyfs.Container, scratch: Path) -> None:
    (scratch / "secret").write_text("secret")
    with container.mount() as root:
        (root / "out").symlink_to(f"{'../' * 30}{scratch}/secret")
    view = container.view()
    with pytest.raises(FileNotFoundError):
        view.open("out")
    with pytest.raises(plyfs.InUse):
        container.remove()
    del view
    container.remove()
