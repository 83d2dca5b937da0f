"""Upkeep: leases, what a prune takes and leaves, repairs, how a store is opened."""

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import archives
import plyfs
import pytest

HOUR = timedelta(hours=1)


def test_what_is_made_under_a_lease_stays_until_it_ends(store: plyfs.Store, scratch: Path) -> None:
    changeset = archives.write(scratch / "base.tar", archives.tar(archives.BASE))
    with store.lease(HOUR) as lease:
        layer = lease.store.apply(changeset)
        pruned = store.prune()
        assert pruned.layers == ()
        (held,) = pruned.held
        assert (held.kind, held.id) == ("layer", layer.id)
        assert str(held) == f"layer {layer.id} is kept by lease {lease.id}"
        assert store.leased(lease) == [plyfs.User("layer", layer.id)]
        assert repr(lease) == f"<plyfs.Lease {lease.id} held>"
    assert store.leases() == []
    assert store.prune().layers == (layer.id,)
    with pytest.raises(ValueError, match=lease.id):
        lease.hold(layer)


def test_a_lease_survives_its_holder_when_asked(store: plyfs.Store, image: plyfs.Image) -> None:
    with store.lease(HOUR, survives=True) as lease:
        lease.hold(image)
        lease.renew(24 * HOUR)
        with pytest.raises(plyfs.InUse, match=lease.id):
            store.open_lease(lease.id)
        (listed,) = store.leases()
        assert listed == plyfs.LeaseInfo(lease.id, lease.expires, survives=True, is_held=True)
        assert listed.expires > datetime.now(UTC) + 23 * HOUR
    (listed,) = store.leases()
    assert not listed.is_held
    store.untag("svc:1")
    assert store.prune(all=True).images == ()
    assert plyfs.User("image", image.id) in store.leased(listed)

    store.open_lease(listed.id).release()
    assert store.prune(all=True).images == (image.id,)
    with pytest.raises(plyfs.NotFound):
        store.open_lease(listed.id)


def test_a_prune_takes_only_what_is_asked_for(store: plyfs.Store, image: plyfs.Image) -> None:
    store.untag("svc:1")
    assert store.prune(all=True, before=image.added - HOUR).images == ()
    assert store.prune(only=[]).images == ()
    assert store.prune(labels=["team=core"]).images == ()
    assert store.prune(without_labels=["team", "tier=1"], dry_run=True).images == (image.id,)
    with pytest.raises(ValueError, match="by both"):
        store.prune(only=[image], labels=["team"])
    with pytest.raises(TypeError, match="several"):
        store.prune(labels="team")
    would = store.prune(all=True, dry_run=True)
    assert would.images == (image.id,)
    assert store.image(image.id) == image
    with pytest.raises(ValueError, match="time zone"):
        store.prune(before=datetime(2026, 1, 1))
    assert store.prune(only=[image]) == would


def test_the_last_name_takes_its_image(store: plyfs.Store, image: plyfs.Image) -> None:
    store.tag(image, "svc:too")
    assert store.remove_image(image, name="svc:too").images == ()
    assert store.remove_image(image, name="svc:1").images == (image.id,)


def test_a_name_is_taken_from_the_image_it_is_expected_to_mean(
    store: plyfs.Store, image: plyfs.Image, scratch: Path
) -> None:
    other = archives.write(scratch / "other.tar", archives.image(comment="another"))
    store.load(other)
    with pytest.raises(plyfs.Conflict, match="svc:1"):
        store.untag("svc:1", image=image)
    store.untag("svc:1", image=store.image("svc:1"))


def test_a_repair_says_what_it_did(store: plyfs.Store, image: plyfs.Image) -> None:
    layer = image.layers()[0]
    (store.path / "overlay2/l" / layer.link).unlink()
    (finding,) = store.check()
    assert finding.kind == "short-link-missing"
    stages: list[str] = []
    repaired = store.repair(progress=lambda stage, *_: stages.append(stage))
    assert [act.finding for act in repaired.acts] == [finding]
    assert str(repaired.acts[0]).startswith(f"{finding.subject}: {finding.problem}: ")
    assert repaired.left == ()
    assert store.check(data=True) == []


def test_a_store_that_does_not_open_is_made_whole(store: plyfs.Store, image: plyfs.Image) -> None:
    (store.path / "plyfs.toml").unlink()
    with pytest.raises(plyfs.Corrupt, match="plyfs.toml is missing"):
        plyfs.Store.open(store.path)
    (finding,) = plyfs.Store.check_at(store.path)
    assert (finding.kind, finding.subject) == ("part-missing", "plyfs.toml")
    (act,) = plyfs.Store.restore_parts(store.path)
    assert act.finding == finding
    assert plyfs.Store.check_at(store.path, data=True) == []
    assert plyfs.Store.open(store.path).image("svc:1") == image


def test_a_lost_journal_is_made_anew_from_the_directories(store: plyfs.Store, image: plyfs.Image) -> None:
    made = store.create(image, name="web-1")
    assert image.containers() == [made.id]
    with pytest.raises(plyfs.InvalidInput, match="sound"):
        plyfs.Store.rebuild(store.path)
    (store.path / "journal").rename(store.path.parent / "lost")
    rebuilt = plyfs.Store.rebuild(store.path)
    assert rebuilt.images == (image.id,)
    assert sorted(rebuilt.layers) == sorted(layer.id for layer in image.layers())
    assert (rebuilt.kept, rebuilt.repaired.left) == (None, ())
    assert any("names" in line for line in rebuilt.lost)
    again = plyfs.Store.open(store.path)
    (name,) = rebuilt.containers
    assert again.container(name).id == made.id
    with pytest.raises(plyfs.NotFound):
        plyfs.Store.rebuild(store.path / "none")


def test_a_pipe_that_stalls_is_given_up(store: plyfs.Store, scratch: Path) -> None:
    pipe = scratch / "pipe"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    try:
        with pytest.raises(plyfs.TimedOut, match="stalls"):
            store.load(pipe, timeout=timedelta(milliseconds=50))
        with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as file, pytest.raises(TypeError, match="path"):
            store.load(file, timeout=HOUR)
    finally:
        os.close(writer)


def test_a_store_is_opened_as_asked(root: None, scratch: Path, archive: Path) -> None:
    store = plyfs.Store(scratch / "store", durable="files", threads=0, mapped=False)
    (image,) = store.load(archive, zstd_window=27)
    store.tag(image, "svc:too")
    assert store.damage == ()
    (log,) = (store.path / "journal").glob("*.log")
    content = bytearray(log.read_bytes())
    first = next(at for at, byte in enumerate(content) if byte)
    content[first + 100] ^= 1
    log.write_bytes(content)
    with pytest.raises(plyfs.Corrupt, match=log.name):
        plyfs.Store.open(store.path)
    salvaged = plyfs.Store.open(store.path, salvage=True)
    assert not salvaged.is_writable
    assert any(log.name in place for place in salvaged.damage)


def test_the_same_changes_make_the_same_image(container: plyfs.Container) -> None:
    with container.mount() as root:
        (root / "app/new").write_text("newer\n")
    then = datetime(2020, 1, 1, tzinfo=UTC)
    first, second = (container.commit(created=then, clamp_mtime=then) for _ in range(2))
    assert first == second
    assert first.created == "2020-01-01T00:00:00Z"
    with pytest.raises(ValueError, match="time zone"):
        container.commit(created=datetime(2020, 1, 1))


def test_an_export_has_the_style_and_the_times_asked_for(container: plyfs.Container, scratch: Path) -> None:
    with container.mount() as root:
        (root / "app/config.properties").write_text("port=81\n")
        os.setxattr(root / "app/config.properties", "user.note", b"what containerd leaves out")
    native = container.export(scratch / "native.tar")
    clamped = container.export(scratch / "clamped.tar", clamp_mtime=datetime(2020, 1, 1, tzinfo=UTC))
    foreign = container.export(scratch / "containerd.tar", style="containerd")
    assert len({native.diff_id, clamped.diff_id, foreign.diff_id}) == 3
    with pytest.raises(ValueError, match="no style"):
        container.export(scratch / "wrong.tar", style="other")  # type: ignore[arg-type]


def test_a_kept_blob_comes_out_as_it_came_in(store: plyfs.Store, image: plyfs.Image, scratch: Path) -> None:
    image.save(scratch / "layout", format="oci")
    (kept,) = store.load(scratch / "layout", keep_blobs=True)
    layer = kept.layers()[0]
    ((digest, usage),) = layer.blobs.items()
    layer.write_blob(digest, scratch / "blob")
    content = (scratch / "blob").read_bytes()
    assert (f"sha256:{hashlib.sha256(content).hexdigest()}", len(content)) == (digest, usage.apparent)
    (store.path / "blobs/sha256" / digest.removeprefix("sha256:")).write_bytes(b"other bytes")
    with pytest.raises(plyfs.Corrupt, match=digest):
        layer.write_blob(digest, scratch / "again")
    with pytest.raises(ValueError, match="no blob"):
        layer.write_blob(layer.id, scratch / "again")
