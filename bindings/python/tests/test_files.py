"""Paths and file objects, as the calls take and leave them."""

import gzip
import io
import os
from pathlib import Path

import archives
import plyfs
import pytest
from plyfs._files import reading, writing


def test_an_ordinary_file_at_its_beginning_is_read_where_it_lies(store: plyfs.Store, archive: Path) -> None:
    for buffering in (0, -1):
        with open(archive, "rb", buffering=buffering) as file:
            with reading(file) as seen:
                assert seen == f"/proc/self/fd/{file.fileno()}"
            file.seek(0)
            assert store.load(file)[0].names == ("svc:1",)
            assert file.tell() == archive.stat().st_size
            assert file.read() == b""


def test_a_file_is_read_from_where_it_is(store: plyfs.Store, scratch: Path) -> None:
    path = archives.write(scratch / "behind", b"skip me" + archives.image())
    with open(path, "rb") as file:
        assert file.read(7) == b"skip me"
        assert store.load(file)[0].names == ("svc:1",)


def test_a_deleted_file_is_still_a_file(store: plyfs.Store, archive: Path) -> None:
    with open(archive, "rb") as file:
        archive.unlink()
        assert store.load(file)[0].names == ("svc:1",)


def test_the_descriptor_below_another_object_is_not_taken_for_it(scratch: Path) -> None:
    with gzip.open(scratch / "x.gz", "wb") as file:
        file.write(b"text")
    with gzip.open(scratch / "x.gz", "rb") as file, reading(file) as seen:
        assert seen is file


@pytest.mark.parametrize("size", [1, 511, 1 << 16])
def test_short_reads_are_no_end(store: plyfs.Store, size: int) -> None:
    data = io.BytesIO(archives.image())

    class Short:
        def read(self, length: int, /) -> bytes:
            return data.read(min(length, size))

    assert store.load(Short())[0].names == ("svc:1",)


def test_an_exception_of_a_reader_is_raised_as_it_is(store: plyfs.Store) -> None:
    class Broken:
        def read(self, length: int, /) -> bytes:
            raise LookupError("no more")

    for call in (store.load, store.import_):
        with pytest.raises(LookupError, match="no more"):
            call(Broken())
    assert (store.images(), store.layers()) == ([], [])


def test_a_text_file_is_a_type_error(store: plyfs.Store, container: plyfs.Container) -> None:
    with pytest.raises(TypeError):
        store.load(io.StringIO("text"))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        container.export(io.StringIO())  # type: ignore[arg-type]


def test_a_writer_that_takes_little_gets_all(container: plyfs.Container) -> None:
    class Slow:
        def __init__(self) -> None:
            self.data = bytearray()

        def write(self, data: bytes, /) -> int:
            self.data += data[:100]
            return min(len(data), 100)

    slow, whole = Slow(), io.BytesIO()
    container.export(slow)
    container.export(whole)
    assert bytes(slow.data) == whole.getvalue() != b""


def test_a_writer_that_does_not_count_took_all(container: plyfs.Container) -> None:
    class Silent:
        data = b""

        def write(self, data: bytes, /) -> None:
            self.data += data

    silent = Silent()
    assert container.export(silent).size == len(silent.data)


def test_an_exception_of_a_writer_is_raised_as_it_is(image: plyfs.Image, container: plyfs.Container) -> None:
    class Full:
        def write(self, data: bytes, /) -> int:
            raise KeyError("full")

    for call in (image.save, container.export, image.layers()[0].write_archive):
        with pytest.raises(KeyError, match="full"):
            call(Full())


def test_a_full_device_is_an_os_error(image: plyfs.Image) -> None:
    with pytest.raises(OSError) as caught:
        image.save("/dev/full")
    assert caught.value.errno == 28
    assert Path("/dev/full").exists(), "a device is not removed"


def test_a_raw_file_and_a_pipe_take_all(container: plyfs.Container, scratch: Path) -> None:
    with open(scratch / "raw", "wb", buffering=0) as raw:
        exported = container.export(raw)
        assert not raw.closed
    assert (scratch / "raw").stat().st_size == exported.size


def test_a_path_that_cannot_be_written_is_pythons_own_error(image: plyfs.Image, scratch: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        image.save(scratch / "none/out.tar")
    assert caught.value.filename == str(scratch / "none/out.tar")


def test_a_file_stays_when_it_was_given_open(scratch: Path) -> None:
    with open(scratch / "mine", "wb") as file, pytest.raises(RuntimeError), writing(file):
        raise RuntimeError
    assert (scratch / "mine").exists()


def test_failed_work_removes_the_file_it_began(scratch: Path) -> None:
    with pytest.raises(RuntimeError), writing(scratch / "half") as out:
        out.write(b"half")
        raise RuntimeError
    assert os.listdir(scratch) == []
