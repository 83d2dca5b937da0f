"""Containers: mounting them, and what they changed."""

import io
import os
import tarfile
from pathlib import Path, PurePosixPath

import plyfs
import pytest
from plyfs import Change, ChangeKind


def changes(container: plyfs.Container) -> list[str]:
    return [str(change) for change in container.changes()]


def edit(container: plyfs.Container) -> None:
    """Changes one file, adds one, deletes one, with a name that is not UTF-8 among them."""
    with container.mount() as root:
        (root / "app/config.properties").write_text("port=81\n")
        (root / "etc/motd").unlink()
        (root / os.fsdecode(b"na\xefve")).write_text("x")


EDITS = ["C /app", "C /app/config.properties", "C /etc", "D /etc/motd", "A /na\\xefve"]


def test_a_container_tells_what_it_is(store: plyfs.Store, image: plyfs.Image) -> None:
    container = store.create("svc:1", name="web-1", read_only=True, labels={"tier": "front"})
    assert (container.name, container.image, container.image_name) == ("web-1", image, "svc:1")
    assert container.parent == image.layers()[0].id
    assert (container.read_only, dict(container.labels)) == (True, {"tier": "front"})
    assert container.created.tzinfo is not None
    assert container.store is store
    assert container == store.container("web-1") and hash(container) == hash(store.container("web-1"))
    assert store.containers() == [container]
    assert repr(container) == f"<plyfs.Container web-1 {container.id[:12]} of svc:1>"
    assert "front" in container._repr_html_()
    with pytest.raises(TypeError):
        container.labels["tier"] = "back"  # type: ignore[index]


def test_a_name_is_made_up_and_a_taken_one_refused(store: plyfs.Store, image: plyfs.Image) -> None:
    assert store.create(image).name.startswith("svc")
    store.create(image, name="web-1")
    with pytest.raises(FileExistsError, match="web-1"):
        store.create(image, name="web-1")


def test_many_containers_are_made_at_once_or_none(store: plyfs.Store, image: plyfs.Image) -> None:
    names = [f"web-{number}" for number in range(5)]
    created = store.create_all("svc:1", iter(names), labels={"tier": "front"})
    assert [container.name for container in created] == names
    assert created == store.containers() and created[4].image_name == "svc:1" and created[4].labels["tier"] == "front"
    with pytest.raises(FileExistsError, match="web-3"):
        store.create_all(image, ["new", "web-3"])
    with pytest.raises(plyfs.InvalidInput, match="twice"):
        store.create_all(image, ["twice", "twice"])
    with pytest.raises(TypeError):
        store.create_all(3, ["new"])  # type: ignore[arg-type]
    assert store.containers() == created
    assert store.create_all(None, []) == []


def test_a_container_may_stand_on_a_layer_or_on_nothing(store: plyfs.Store, image: plyfs.Image) -> None:
    base = image.layers()[-1]
    with store.create(base).mount() as root:
        assert (root / "app/old").read_text() == "old\n"
    empty = store.create(None, name="empty")
    assert (empty.image, empty.image_name, empty.parent) == (None, None, None)
    with empty.mount() as root:
        assert os.listdir(root) == []
        (root / "first").touch()
    assert changes(empty) == ["A /first"]


def test_a_mount_shows_the_merged_tree_and_ends_with_its_block(container: plyfs.Container) -> None:
    with container.mount() as root:
        assert isinstance(root, Path) and root.is_mount()
        assert container.mounted_at == root
        assert sorted(os.listdir(root / "app")) == ["config.properties", "new"]
        assert (root / os.fsdecode(b"etc/caf\xe9")).read_text() == "latin1\n"
    assert container.mounted_at is None
    assert not root.exists()


def test_writing_changes_no_layer(store: plyfs.Store, container: plyfs.Container) -> None:
    edit(container)
    with store.create("svc:1").mount() as root:
        assert (root / "app/config.properties").read_text() == "port=80\n"
    assert store.check(data=True) == []


def test_changes_are_sorted_and_printed_as_docker_diff_does(container: plyfs.Container) -> None:
    edit(container)
    assert changes(container) == EDITS
    found = list(container.changes())
    assert found[3] == Change(PurePosixPath("/etc/motd"), ChangeKind.DELETED)
    assert os.fsencode(found[4].path) == b"/na\xefve"
    assert next(iter(container.changes())).kind is ChangeKind.MODIFIED


def test_an_untouched_container_changed_nothing(container: plyfs.Container) -> None:
    with container.mount() as root:
        (root / "etc/motd").read_text()
    assert changes(container) == []


def test_a_mount_may_be_read_only_or_elsewhere(container: plyfs.Container, scratch: Path) -> None:
    (at := scratch / "here").mkdir()
    with container.mount(at=at, read_only=True) as root:
        assert root == at
        with pytest.raises(OSError):
            (root / "x").touch()
        with pytest.raises(plyfs.InUse, match=str(at)):
            container.mount(at=scratch)


def test_flags_of_a_mount_reach_the_kernel(container: plyfs.Container) -> None:
    with container.mount(nosuid=True, nodev=True, noexec=True) as root:
        flags = os.statvfs(root).f_flag
        assert flags & os.ST_NOSUID and flags & os.ST_NODEV and flags & os.ST_NOEXEC


def test_a_kept_mount_stays_until_it_is_ended(container: plyfs.Container) -> None:
    root = container.mount().keep()
    assert container.mounted_at == root
    with container.mount() as again:
        assert again == root
    assert container.mounted_at == root, "a block does not end what it did not mount"
    container.unmount()
    container.unmount()
    assert container.mounted_at is None


def test_a_dropped_guard_unmounts(container: plyfs.Container) -> None:
    guard = container.mount()
    assert container.mounted_at == guard.path == Path(os.fspath(guard))
    assert repr(guard) == f"<plyfs.Mount '{guard.path}' held>"
    del guard
    assert container.mounted_at is None


def test_an_inner_block_leaves_the_mount_to_the_outer(container: plyfs.Container) -> None:
    with container.mount() as outer:
        with container.mount() as inner:
            assert inner == outer
        assert container.mounted_at == outer
        with pytest.raises(plyfs.InUse):
            container.unmount()
    assert container.mounted_at is None


def test_unmounting_twice_is_fine(container: plyfs.Container) -> None:
    with container.mount() as root:
        pass
    guard = container.mount()
    guard.unmount()
    guard.unmount()
    assert repr(guard) == f"<plyfs.Mount '{root}' let go>"


def test_a_busy_mount_stays_and_says_so(container: plyfs.Container) -> None:
    with pytest.raises(plyfs.Busy), container.mount() as root:
        file = open(root / "etc/motd", "rb")
    with file:
        assert container.mounted_at == root
        container.unmount(detach=True)
        assert file.read() == b"hello\n"
    assert container.mounted_at is None


def test_the_exception_of_a_block_wins(container: plyfs.Container) -> None:
    with pytest.raises(ZeroDivisionError) as caught, container.mount() as root:
        file = open(root / "etc/motd", "rb")
        raise ZeroDivisionError
    with file:
        (note,) = caught.value.__notes__
        assert str(root) in note
        container.unmount(detach=True)


def test_an_exported_changeset_is_the_same_each_time(container: plyfs.Container, scratch: Path) -> None:
    edit(container)
    out = io.BytesIO()
    exported = container.export(out)
    assert container.export(scratch / "diff.tar") == exported
    assert (scratch / "diff.tar").read_bytes() == out.getvalue()
    assert exported.size == len(out.getvalue())
    with tarfile.open(scratch / "diff.tar", errors="surrogateescape") as tar:
        names = {name.removeprefix("./").rstrip("/") for name in tar.getnames()}
    assert {"app/config.properties", "etc/.wh.motd", "na\udcefve"} <= names


def test_a_commit_is_an_image_of_one_layer_more(store: plyfs.Store, container: plyfs.Container) -> None:
    edit(container)
    committed = container.commit("svc:2", message="new port", author="a person")
    assert committed == store.image("svc:2")
    assert committed.layers()[1:] == store.image("svc:1").layers()
    assert committed.layers()[0].diff_id == container.export(io.BytesIO()).diff_id
    assert committed.config()["author"] == "a person"
    assert "new port" in str(committed.config()["history"])
    with store.create(committed).mount() as root:
        assert (root / "app/config.properties").read_text() == "port=81\n"
        assert not (root / "etc/motd").exists()
        assert (root / "na\udcefve").read_text() == "x"


def test_a_commit_changes_the_config_and_is_found_by_its_key(
    store: plyfs.Store, container: plyfs.Container
) -> None:
    base = store.image("svc:1")
    top = base.layers()[0]
    assert store.cached(top, b"step 1") is None
    changes = ["ENV LEVEL=debug", "ENV NEXT=${LEVEL}-2", 'ENTRYPOINT ["/app"]']
    committed = container.commit("svc:2", message="why", changes=changes, cache_key=b"step 1")
    assert committed.config()["config"] == {"Entrypoint": ["/app"], "Env": ["LEVEL=debug", "NEXT=debug-2"]}
    cached = store.cached(top.id, b"step 1")
    assert cached is not None and cached.id == committed.layers()[0].id
    assert store.cached(top, b"step 2") is None and store.cached(None, b"step 1") is None
    newest, *others = committed.history()
    assert (newest.created_by, newest.comment, newest.layer) == ("plyfs commit", "why", cached.id)
    assert newest.usage == cached.usage and len(others) == len(base.layers())
    with pytest.raises(plyfs.InvalidInput, match="RUN make"):
        container.commit("svc:3", changes=["RUN make"])
    assert len(store.images()) == 2


def test_a_commit_needs_no_name(store: plyfs.Store, container: plyfs.Container) -> None:
    assert container.commit().names == ()
    assert len(store.images()) == 2


def test_a_new_name_leaves_the_rest(store: plyfs.Store, container: plyfs.Container) -> None:
    renamed = container.rename("web-2")
    assert (renamed.name, renamed.id) == ("web-2", container.id)
    assert renamed == container
    with pytest.raises(plyfs.NotFound, match="web-1"):
        store.container("web-1")
    store.create("svc:1", name="web-1")
    with pytest.raises(plyfs.Exists):
        renamed.rename("web-1")


def test_a_mounted_container_is_removed_only_by_force(store: plyfs.Store, container: plyfs.Container) -> None:
    container.mount().keep()
    with pytest.raises(plyfs.InUse, match="web-1"):
        container.remove()
    container.remove(force=True)
    assert store.containers() == []
    with pytest.raises(plyfs.NotFound):
        container.remove()
    with pytest.raises(plyfs.NotFound):
        container.mount()


def test_usage_follows_what_is_written(container: plyfs.Container) -> None:
    before = container.usage()
    with container.mount() as root:
        (root / "big").write_bytes(bytes(100_000))
    after = container.usage()
    assert after.apparent - before.apparent == 100_000
    assert after.inodes - before.inodes == 1


def test_a_mount_spec_is_what_mount_takes(container: plyfs.Container) -> None:
    spec = container.mount_spec()
    assert container.mounted_at is None
    assert [path.resolve() for path in spec.lower] == [layer.path for layer in container.image.layers()]  # type: ignore[union-attr]
    assert spec.upper.is_dir() and spec.work.is_dir()
    assert f"upperdir={spec.upper}" in spec.options
    assert "redirect_dir=off" in spec.options


def test_a_store_shows_itself(store: plyfs.Store, container: plyfs.Container) -> None:
    html = store._repr_html_()
    assert str(store.path) in html
    assert html.count("<tr>") == 6
