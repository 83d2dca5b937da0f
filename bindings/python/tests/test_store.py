"""Stores and what they hold."""

import io
import os
import threading
from pathlib import Path

import archives
import plyfs
import pytest


def test_a_store_is_made_once_and_opened_again(root: None, scratch: Path) -> None:
    path = scratch / "a" / "store"
    made = plyfs.Store(path)
    assert (made.path, made.is_writable) == (path, True)
    assert plyfs.Store(path).images() == []
    assert plyfs.Store.open(str(path)).path == path
    assert repr(made) == f"<plyfs.Store '{path}'>"


def test_a_path_like_object_is_a_path(root: None, scratch: Path) -> None:
    class Somewhere:
        def __fspath__(self) -> str:
            return os.fspath(scratch / "store")

    assert plyfs.Store(Somewhere()).path == scratch / "store"


def test_a_store_opened_for_reading_refuses_changes(store: plyfs.Store, archive: Path) -> None:
    store.load(archive)
    reader = plyfs.Store.open(store.path, read_only=True)
    assert not reader.is_writable
    assert [image.names for image in reader.images()] == [("svc:1",)]
    with pytest.raises(plyfs.ReadOnly, match=str(store.path)):
        reader.tag("svc:1", "svc:2")


def test_two_handles_see_the_same_state(store: plyfs.Store, image: plyfs.Image) -> None:
    other = plyfs.Store.open(store.path)
    other.tag(image, "svc:again")
    assert store.image("svc:again") == image


def test_names_move_and_go(store: plyfs.Store, image: plyfs.Image) -> None:
    store.tag("svc:1", "svc:latest")
    assert store.image(image.id).names == ("svc:1", "svc:latest")
    store.untag("svc:1")
    with pytest.raises(plyfs.NotFound, match="svc:1"):
        store.image("svc:1")
    assert store.image("svc").names == ("svc:latest",)


def test_an_image_is_found_by_the_beginning_of_its_id(store: plyfs.Store, image: plyfs.Image) -> None:
    digits = image.id.removeprefix("sha256:")
    assert store.image(digits[:8]) == store.image(image.id) == image
    with pytest.raises(plyfs.NotFound):
        store.image(digits[:3])


def test_removing_an_image_takes_its_layers(store: plyfs.Store, image: plyfs.Image) -> None:
    layers = {layer.id for layer in image.layers()}
    removed = image.remove()
    assert removed.images == (image.id,)
    assert set(removed.layers) == layers
    assert (store.images(), store.layers()) == ([], [])
    assert store.reap().inodes > 0
    assert store.usage().stored == plyfs.Usage()


def test_an_image_in_use_stays(store: plyfs.Store, container: plyfs.Container) -> None:
    with pytest.raises(plyfs.InUse, match="web-1"):
        store.remove_image("svc:1")
    assert container.image == store.image("svc:1")


def test_layers_go_from_the_top(store: plyfs.Store, image: plyfs.Image) -> None:
    upper, base = image.layers()
    assert [user.kind for user in base.users()] == ["layer"]
    assert upper.users() == [plyfs.User("image", image.id)]
    with pytest.raises(plyfs.InUse):
        store.remove_layer(base)
    store.untag("svc:1")
    assert store.prune().images == ()
    assert store.prune(all=True).images == (image.id,)
    assert store.layers() == []


def test_a_directory_becomes_an_image(store: plyfs.Store, scratch: Path) -> None:
    tree = scratch / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin/run").write_text("#!/bin/sh\n")
    image = store.import_(tree, "tool")
    assert image.names == ("tool:latest",)
    with store.create(image).mount() as root:
        assert (root / "bin/run").read_text() == "#!/bin/sh\n"


def test_an_archive_becomes_a_layer_upon_an_image(store: plyfs.Store, image: plyfs.Image, scratch: Path) -> None:
    tar = archives.write(scratch / "more.tar", archives.tar({"etc": None, "etc/.wh.motd": b"", "more": b"more\n"}))
    more = store.import_(tar, parent="svc:1")
    assert more.names == ()
    assert more.layers()[1:] == image.layers()
    with store.create(more).mount() as root:
        assert (root / "more").read_text() == "more\n"
        assert not (root / "etc/motd").exists()


def test_a_changeset_becomes_a_layer(store: plyfs.Store, image: plyfs.Image, scratch: Path) -> None:
    upper, base = image.layers()
    changeset = archives.write(scratch / "upper.tar", archives.tar(archives.UPPER))
    assert store.apply(changeset, base) == store.apply(io.BytesIO(changeset.read_bytes()), base.id) == upper
    with pytest.raises(plyfs.NotFound, match="no-such"):
        store.apply(scratch / "no-such")
    (scratch / "tree").mkdir()
    (scratch / "tree/file").write_text("content")
    assert store.remove_layer(store.apply(scratch / "tree", upper)).layers
    alone = store.apply(changeset)
    assert (alone.parent, alone.diff_id) == (None, upper.diff_id)
    assert store.prune().layers == (alone.id,)


def test_usage_counts_layers_once(store: plyfs.Store, image: plyfs.Image) -> None:
    for n in range(3):
        store.create(image, name=f"c{n}")
    assert store.usage().containers_own is None
    usage = store.measure()
    assert (usage.images, usage.layers, usage.containers) == (1, 2, 3)
    assert usage.stored == usage.shared == image.usage()
    assert usage.reclaimable == plyfs.Usage()
    assert usage.as_copies.apparent == 3 * image.size
    assert usage.containers_own is not None
    assert usage.containers_own.inodes == 3
    assert 0 < usage.free_bytes < usage.total_bytes


def test_inspect_finds_containers_then_images_then_layers(store: plyfs.Store, container: plyfs.Container) -> None:
    image = store.image("svc:1")
    layer = image.layers()[0]
    assert store.inspect("web-1") == container
    assert store.inspect("svc:1") == image
    assert store.inspect(layer.id[:12]) == layer
    with pytest.raises(plyfs.NotFound, match="nothing-here"):
        store.inspect("nothing-here")


def test_check_names_what_is_not_as_recorded(store: plyfs.Store, image: plyfs.Image) -> None:
    assert store.check() == store.check(data=True) == []
    base = image.layers()[-1]
    (base.path / "etc/motd").write_text("other\n")
    assert store.check() == []
    (finding,) = store.check(data=True)
    assert (finding.severity, finding.subject) == ("error", f"layer {base.id}")
    assert str(finding).startswith(f"error: layer {base.id}: ")


def test_info_tells_what_the_store_stands_on(store: plyfs.Store) -> None:
    info = store.info()
    assert (info.path, info.dialect, info.is_writable) == (store.path, "trusted", True)
    assert info.version >= 1
    assert info.kernel, "root is told the features of the kernel"


def test_threads_share_a_store(store: plyfs.Store, image: plyfs.Image) -> None:
    def create(n: int) -> None:
        store.create(image, name=f"t{n}")

    threads = [threading.Thread(target=create, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [container.name for container in store.containers()] == [f"t{n}" for n in range(8)]
