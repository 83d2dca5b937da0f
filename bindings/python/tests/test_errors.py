"""Exceptions: their classes, numbers and words."""

import errno
import pickle
from pathlib import Path

import plyfs
import pytest
from plyfs import _errors, _native


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


def test_arguments_of_other_types_are_type_errors(store: plyfs.Store) -> None:
    for call in (lambda: plyfs.Store(3), lambda: store.load(3), lambda: store.create(3)):  # type: ignore[arg-type]
        with pytest.raises((TypeError, AttributeError)):
            call()
