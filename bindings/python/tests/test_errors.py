"""Exceptions: their classes, numbers and words."""

import errno
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import archives
import plyfs
import pytest
from plyfs import _errors, _native

NOBODY = 65534


def test_every_kind_has_a_class_of_its_own() -> None:
    kinds = [kind for kind, _, _ in _native.kinds()]
    classes = [type(_errors.of_kind(kind, 1, "x")) for kind in kinds]
    assert [one.kind for one in classes] == kinds
    assert len(set(classes)) == len(kinds) == 17
    assert all(one.__name__ in plyfs.__all__ for one in classes)


def test_an_exception_carries_the_number_and_the_words_of_its_kind() -> None:
    for kind, number, _ in _native.kinds():
        error = _errors.of_kind(kind, number, "image \"x\": gone")
        assert (error.errno, str(error)) == (number, 'image "x": gone'), kind
        if isinstance(error, OSError):
            assert error.strerror == 'image "x": gone', kind


@pytest.mark.parametrize(
    ("one", "builtin"),
    [
        (plyfs.NotFound, FileNotFoundError),
        (plyfs.Exists, FileExistsError),
        (plyfs.InvalidInput, ValueError),
        (plyfs.InUse, OSError),
        (plyfs.Busy, OSError),
        (plyfs.Unsupported, OSError),
        (plyfs.NoSpace, OSError),
        (plyfs.NoInodes, OSError),
        (plyfs.QuotaExceeded, OSError),
        (plyfs.PermissionDenied, PermissionError),
        (plyfs.TimedOut, TimeoutError),
        (plyfs.ReadOnly, OSError),
        (plyfs.IoError, OSError),
    ],
)
def test_who_catches_what_python_calls_it_catches_ours(one: type[plyfs.Error], builtin: type[Exception]) -> None:
    assert issubclass(one, builtin)
    assert issubclass(one, plyfs.Error)


def test_an_unknown_kind_is_a_plain_error() -> None:
    assert type(_errors.of_kind("Later", 5, "new")) is plyfs.Error


def test_exceptions_are_pickled_whole() -> None:
    for error in (plyfs.NotFound(errno.ENOENT, "image x"), plyfs.Corrupt(errno.EBADMSG, "blob y")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.errno, str(again)) == (type(error), error.errno, str(error))


def test_a_missing_store_is_not_found_and_named(scratch: Path) -> None:
    with pytest.raises(plyfs.NotFound) as caught:
        plyfs.Store.open(scratch / "none")
    assert caught.value.errno == errno.ENOENT
    assert str(scratch / "none") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_directory_of_something_else_is_no_store(scratch: Path) -> None:
    (scratch / "mine").touch()
    with pytest.raises(plyfs.InvalidInput, match="mine"):
        plyfs.Store(scratch)
    assert [path.name for path in scratch.iterdir()] == ["mine"]


def test_a_bad_name_is_a_value_error(store: plyfs.Store) -> None:
    for call in (
        lambda: store.create(None, name="../x"),
        lambda: store.untag("UPPER"),
        lambda: store.container("a/b"),
    ):
        with pytest.raises(ValueError) as caught:
            call()
        assert isinstance(caught.value, plyfs.InvalidInput)


def test_a_nul_in_a_path_is_invalid_input(store: plyfs.Store, scratch: Path, archive: Path) -> None:
    [image] = store.load(archive)
    calls: list[Callable[[], object]] = [
        lambda: plyfs.Store("a\0b"),
        lambda: plyfs.Store.check_at(b"a\0b"),
        lambda: store.load("a\0b"),
        lambda: store.save([image], scratch / "a\0b"),
        lambda: store.save([image], scratch / "a\0b", format="oci"),
        lambda: store.create(image).mount(at="a\0b"),
        lambda: image.view().stat("a\0b"),
    ]
    for call in calls:
        with pytest.raises(plyfs.InvalidInput, match="NUL") as caught:
            call()
        assert isinstance(caught.value, ValueError)


def test_an_archive_that_is_taken_for_a_path_is_not_repeated(store: plyfs.Store, archive: Path) -> None:
    whole = archive.read_bytes()
    [image] = store.load(io.BytesIO(whole))
    nowhere = b"x" * 1000 + b"y" * 64 + b"\0" + whole
    calls: list[Callable[[], object]] = [lambda: store.load(nowhere), lambda: store.save([image], nowhere)]
    for call in calls:
        with pytest.raises(plyfs.InvalidInput, match="NUL") as caught:
            call()
        assert "y" * 64 in str(caught.value)
        assert "xy" not in str(caught.value) and len(str(caught.value)) < 200
    with pytest.raises(plyfs.InvalidInput, match="NUL"):
        store.load(whole)


class _BytesPath:
    """What stands for a path by its bytes."""

    def __init__(self, path: bytes) -> None:
        self.path = path

    def __fspath__(self) -> bytes:
        return self.path


def test_paths_may_be_bytes(store: plyfs.Store, scratch: Path, archive: Path) -> None:
    [image] = store.load(os.fsencode(archive))
    out = os.fsencode(scratch) + b"/na\xefve"
    for target in (out, _BytesPath(out + b".tar")):
        store.save([image], target)
        assert [one.id for one in store.load(target)] == [image.id]
    store.save([image], _BytesPath(out + b".oci"), format="oci")
    assert os.path.isfile(out + b".oci/index.json")
    assert image.view().stat(b"/etc").kind == "directory"
    again = plyfs.Store.open(_BytesPath(os.fsencode(store.path)))
    assert again.path == store.path


def test_arguments_of_other_types_are_type_errors(store: plyfs.Store) -> None:
    calls: list[Callable[[], object]] = [
        lambda: plyfs.Store(3),  # type: ignore[arg-type]
        lambda: store.load(3),  # type: ignore[arg-type]
        lambda: store.create(3),  # type: ignore[arg-type]
        lambda: store.tag(3, "x"),  # type: ignore[arg-type]
        lambda: store.image(3),  # type: ignore[arg-type]
        # A str is an iterable of str to the type checker: one name would be taken for its letters.
        lambda: store.create_all(None, "web"),
        lambda: store.save("svc:1", io.BytesIO()),
        lambda: store.create(None).commit("x", changes="ENV A=1"),
        lambda: store.import_(io.BytesIO(archives.tar(archives.BASE)), changes="ENV A=1"),
    ]
    for call in calls:
        with pytest.raises(TypeError):
            call()
    assert [container.name for container in store.containers() if len(container.name) == 1] == []


def as_nobody(call: Callable[[], object]) -> str:
    """What a call raises without privilege: the class and the words."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        text = "nothing"
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            call()
        except BaseException as raised:
            text = f"{type(raised).__name__}: {raised}"
        finally:
            os.write(writer, text.encode())
            os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text


def test_what_needs_privilege_says_so_in_one_line(store: plyfs.Store, scratch: Path, image: plyfs.Image) -> None:
    scratch.chmod(0o755)
    assert as_nobody(lambda: plyfs.Store.open(store.path)).startswith(f"PermissionDenied: store {store.path}")
    own = scratch / "own"
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)
    for call in (
        lambda: plyfs.Store(own).load(io.BytesIO(archives.image())),
        lambda: plyfs.Store(own).create(None),
        lambda: plyfs.Store(own).prune(),
    ):
        text = as_nobody(call)
        assert text.startswith("PermissionDenied: ") and "needs root" in text and "\n" not in text, text


def test_a_store_one_may_read_is_read_without_privilege(store: plyfs.Store, scratch: Path, image: plyfs.Image) -> None:
    scratch.chmod(0o755)
    for path in [store.path, *store.path.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)

    def read() -> None:
        reader = plyfs.Store.open(store.path)
        assert not reader.is_writable
        assert reader.image("svc:1").config() == image.config()
        assert reader.usage().layers == 2
        reader.tag("svc:1", "svc:2")

    assert as_nobody(read).startswith("ReadOnly: ")
