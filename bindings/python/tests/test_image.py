"""Images in and out, and what they tell."""

import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
from pathlib import Path

import archives
import plyfs
import pytest


def layer_digests(archive: bytes) -> set[str]:
    """The digests of everything in an archive, unpacked where it is compressed."""
    digests = set()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is not None:
                content = file.read()
                content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
                digests.add(f"sha256:{hashlib.sha256(content).hexdigest()}")
    return digests


def test_an_image_tells_what_it_is(image: plyfs.Image) -> None:
    assert image.names == ("svc:1",)
    assert image.id == "sha256:" + hashlib.sha256(image.config_bytes()).hexdigest()
    assert image.config()["config"] == {"Cmd": ["/bin/sh"]}
    assert image.config() == json.loads(image.config_bytes())
    assert (image.os, image.architecture) == ("linux", "amd64")
    assert image.created == "2024-05-01T10:20:30.123456789Z"
    assert image.added.tzinfo is not None
    assert image.manifest_digest is None
    assert image.skipped == ()
    assert image.size == sum(layer.usage.apparent for layer in image.layers()) == 8 + 4 + 7 + 6 + 4


def test_layers_are_listed_uppermost_first(store: plyfs.Store, image: plyfs.Image) -> None:
    upper, base = image.layers()
    assert (upper.parent, base.parent) == (base.id, None)
    assert (upper.depth, base.depth) == (2, 1)
    assert base.diff_id == base.chain_id == f"sha256:{hashlib.sha256(archives.tar(archives.BASE)).hexdigest()}"
    assert upper.chain() == [upper, base]
    assert upper.chain_usage == upper.usage + base.usage
    assert base.archive_size == len(archives.tar(archives.BASE))
    assert (base.path / "etc/motd").read_text() == "hello\n"
    assert (store.path / "overlay2/l" / base.link).resolve() == base.path
    assert store.layer(base.id[:10]) == base
    assert repr(base).startswith(f"<plyfs.Layer {base.id[:12]}")


def test_a_layer_goes_out_as_it_came_in(image: plyfs.Image) -> None:
    for layer, tree in zip(image.layers(), (archives.UPPER, archives.BASE), strict=True):
        out = io.BytesIO()
        written = layer.write_archive(out)
        assert out.getvalue() == archives.tar(tree)
        assert (written.diff_id, written.size) == (layer.diff_id, layer.archive_size)


def test_a_changed_layer_is_corrupt(image: plyfs.Image, scratch: Path) -> None:
    base = image.layers()[-1]
    (base.path / "etc/motd").write_text("other\n")
    with pytest.raises(plyfs.Corrupt) as caught:
        base.write_archive(scratch / "out.tar")
    assert not isinstance(caught.value, OSError)
    assert not (scratch / "out.tar").exists(), "half an archive is removed"


def test_a_layer_is_mounted_for_reading(image: plyfs.Image, scratch: Path) -> None:
    (at := scratch / "view").mkdir()
    with image.layers()[0].mount(at) as root:
        assert root == at
        assert sorted(os.listdir(root / "app")) == ["config.properties", "new"]
        with pytest.raises(OSError):
            (root / "x").touch()
    assert os.listdir(at) == []


@pytest.mark.parametrize("format", ["docker-archive", "oci-archive"])
def test_what_came_in_goes_out(store: plyfs.Store, image: plyfs.Image, scratch: Path, format: plyfs.Format) -> None:
    path = scratch / "out.tar"
    image.save(path, format=format)
    data = path.read_bytes()
    assert {image.id, *(str(layer.diff_id) for layer in image.layers())} <= layer_digests(data)
    out = io.BytesIO()
    store.save(["svc:1"], out, format=format)
    assert out.getvalue() == data, "the same image gives the same bytes"
    other = plyfs.Store(scratch / "other", durable=False)
    assert other.load(path) == [image]
    assert other.load(io.BytesIO(data)) == [image]


def test_a_layout_is_a_directory(store: plyfs.Store, image: plyfs.Image, scratch: Path) -> None:
    image.save(scratch / "layout", format="oci", compression="zstd")
    assert (scratch / "layout/oci-layout").is_file()
    assert plyfs.Store(scratch / "other", durable=False).load(scratch / "layout") == [image]
    with pytest.raises(TypeError, match="path"):
        image.save(io.BytesIO(), format="oci")


def test_the_platform_asked_for_is_loaded_and_no_other(scratch: Path) -> None:
    store = plyfs.Store(scratch / "platforms", durable=False)
    data = archives.image(name="arm:1", architecture="arm64")
    with pytest.raises(plyfs.Unsupported, match="linux/arm64"):
        store.load(io.BytesIO(data), platform="s390x")
    with pytest.raises(plyfs.InvalidInput, match="platform"):
        store.load(io.BytesIO(data), platform="a/b/c/d")
    assert store.images() == []
    (image,) = store.load(io.BytesIO(data), platform="linux/arm64/v8")
    assert image.architecture == "arm64"


def test_blobs_that_are_kept_go_out_as_they_came(image: plyfs.Image, scratch: Path) -> None:
    image.save(scratch / "hard.tar", format="oci-archive", compression="gzip", level=9)
    image.save(scratch / "easy.tar", format="oci-archive", compression="gzip", level=1)
    assert (scratch / "hard.tar").read_bytes() != (scratch / "easy.tar").read_bytes()
    for kept in (True, False):
        other = plyfs.Store(scratch / f"kept-{kept}", durable=False)
        (same,) = other.load(scratch / "hard.tar", keep_blobs=kept)
        same.save(scratch / "again.tar", format="oci-archive")
        assert ((scratch / "again.tar").read_bytes() == (scratch / "hard.tar").read_bytes()) is kept
    with pytest.raises(plyfs.InvalidInput, match="level"):
        image.save(scratch / "no.tar", format="oci-archive", level=99)


def test_an_import_takes_instructions_and_a_message(store: plyfs.Store, scratch: Path) -> None:
    (scratch / "tree").mkdir()
    image = store.import_(scratch / "tree", "tree:1", message="by hand", changes=["USER 7", "CMD /app"])
    assert image.config()["config"] == {"User": "7", "Cmd": ["/bin/sh", "-c", "/app"]}
    assert image.history()[0].comment == "by hand"


def test_compression_makes_layers_smaller(store: plyfs.Store, scratch: Path) -> None:
    archive = archives.write(scratch / "big.tar", archives.image([{"zeros": bytes(1 << 20)}], "big:1"))
    (big,) = store.load(archive)
    sizes = {}
    for compression in ("none", "gzip", "zstd"):
        out = io.BytesIO()
        big.save(out, format="oci-archive", compression=compression)
        sizes[compression] = len(out.getvalue())
    assert sizes["none"] > 1 << 20
    assert max(sizes["gzip"], sizes["zstd"]) < 1 << 16


def test_a_format_or_compression_that_is_none_leaves_no_file(image: plyfs.Image, scratch: Path) -> None:
    for wrong in ({"format": "zip"}, {"compression": "xz"}):
        with pytest.raises(ValueError, match="zip|xz"):
            image.save(scratch / "out", **wrong)  # type: ignore[arg-type]
    assert not (scratch / "out").exists()


def test_loading_twice_stores_nothing_twice(store: plyfs.Store, image: plyfs.Image, archive: Path) -> None:
    before = store.usage()
    assert store.load(archive) == [image]
    after = store.usage()
    assert (after.images, after.layers, after.stored) == (before.images, before.layers, before.stored)


def test_several_images_go_into_one_archive(store: plyfs.Store, image: plyfs.Image, scratch: Path) -> None:
    store.load(io.BytesIO(archives.image(name="twin:1", comment="another config")))
    store.save(["svc:1", store.image("twin:1")], scratch / "both.tar")
    other = plyfs.Store(scratch / "other", durable=False)
    assert sorted(one.names for one in other.load(scratch / "both.tar")) == [("svc:1",), ("twin:1",)]
    assert len(other.layers()) == 2


@pytest.mark.parametrize("cut", [100, 2000])
def test_a_truncated_archive_leaves_nothing(store: plyfs.Store, archive: Path, cut: int) -> None:
    archive.write_bytes(archive.read_bytes()[:cut])
    with pytest.raises((plyfs.Corrupt, plyfs.InvalidInput), match="svc.tar"):
        store.load(archive)
    assert (store.images(), store.layers(), store.check()) == ([], [], [])


def test_images_are_equal_when_their_ids_are(store: plyfs.Store, image: plyfs.Image) -> None:
    again = store.image("svc:1")
    assert again == image and hash(again) == hash(image) and {again} == {image}
    assert image != "svc:1"
    assert image != store.import_(io.BytesIO(archives.tar(archives.BASE)))


def test_an_image_shows_itself(store: plyfs.Store, image: plyfs.Image) -> None:
    assert repr(image) == f"<plyfs.Image {image.id[:19]} svc:1>"
    assert "svc:1" in image._repr_html_()
    assert image.id in image._repr_html_()


def test_what_an_archive_says_is_escaped_in_html(store: plyfs.Store) -> None:
    (evil,) = store.load(io.BytesIO(archives.image([], "evil:1", architecture="<b>&")))
    assert (evil.architecture, evil.layers(), evil.size) == ("<b>&", [], 0)
    assert "<b>" not in evil._repr_html_()
    assert "&lt;b&gt;&amp;" in evil._repr_html_()


def test_a_pipe_is_read_to_its_end(store: plyfs.Store, archive: Path) -> None:
    reader, writer = os.pipe()

    def feed() -> None:
        with open(writer, "wb") as out:
            out.write(archive.read_bytes())

    thread = threading.Thread(target=feed)
    thread.start()
    with open(reader, "rb") as pipe:
        (image,) = store.load(pipe)
    thread.join()
    assert image.names == ("svc:1",)
