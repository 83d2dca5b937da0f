"""Long calls: what they tell, how they stop, and that other threads go on meanwhile."""

import io
import os
import signal
import threading
import time
from pathlib import Path

import archives
import plyfs
import pytest

Report = tuple[str, str, int, int | None]


def test_a_callback_is_told_of_every_layer(store: plyfs.Store, archive: Path, scratch: Path) -> None:
    reports: list[Report] = []
    (image,) = store.load(archive, progress=lambda *report: reports.append(report))
    for layer in image.layers():
        told = [report for report in reports if report[:2] == ("unpack", layer.diff_id)]
        assert [report[3] for report in told] == [layer.archive_size] * len(told)
        assert told[-1][2] == layer.archive_size, "the end is always told"
        assert [report[2] for report in told] == sorted(report[2] for report in told)
    assert "publish" in {report[0] for report in reports}


def test_every_long_call_tells(store: plyfs.Store, image: plyfs.Image, container: plyfs.Container) -> None:
    stages: set[str] = set()

    def progress(stage: str, item: str, done: int, expected: int | None) -> None:
        stages.add(stage)

    with container.mount() as root:
        (root / "new").write_text("x")
    for call, stage in (
        (lambda: image.save(io.BytesIO(), progress=progress), "save"),
        (lambda: container.export(io.BytesIO(), progress=progress), "export"),
        (lambda: container.commit(progress=progress), "publish"),
        (lambda: store.import_(io.BytesIO(archives.tar(archives.BASE)), progress=progress), "unpack"),
        (lambda: store.load(io.BytesIO(archives.image()), progress=progress), "receive"),
    ):
        stages.clear()
        call()
        assert stage in stages


def test_false_cancels_and_nothing_is_left(store: plyfs.Store, archive: Path) -> None:
    with pytest.raises(plyfs.Cancelled) as caught:
        store.load(archive, progress=lambda *report: False)
    assert caught.value.kind == "Cancelled"
    assert (store.images(), store.layers(), store.check()) == ([], [], [])


@pytest.mark.parametrize("answer", [None, True, 0, ""])
def test_only_false_cancels(store: plyfs.Store, archive: Path, answer: object) -> None:
    assert len(store.load(archive, progress=lambda *report: answer)) == 1  # type: ignore[arg-type]


def test_an_exception_cancels_and_is_raised(store: plyfs.Store, archive: Path) -> None:
    class Mine(Exception):
        pass

    def progress(*report: object) -> None:
        raise Mine("enough")

    with pytest.raises(Mine, match="enough"):
        store.load(archive, progress=progress)
    assert store.images() == []


def test_a_cancelled_save_leaves_no_file(image: plyfs.Image, scratch: Path) -> None:
    with pytest.raises(plyfs.Cancelled):
        image.save(scratch / "out.tar", progress=lambda *report: False)
    assert not (scratch / "out.tar").exists()


def test_compressed_layers_are_told_from_another_thread_and_cancelled(
    store: plyfs.Store, image: plyfs.Image, scratch: Path
) -> None:
    image.save(scratch / "oci.tar", format="oci-archive", compression="gzip")
    other = plyfs.Store(scratch / "other", durable=False)
    with pytest.raises(plyfs.Cancelled):
        other.load(scratch / "oci.tar", progress=lambda stage, *rest: stage != "unpack")
    assert other.images() == []
    assert other.load(scratch / "oci.tar") == [image]


def test_a_thread_runs_on_while_a_load_waits_for_a_pipe(store: plyfs.Store, scratch: Path) -> None:
    """A FIFO given by its path is read without the interpreter, so only a released one lets the feeder come."""
    fifo = scratch / "fifo"
    os.mkfifo(fifo)
    loaded: list[plyfs.Image] = []
    thread = threading.Thread(target=lambda: loaded.extend(store.load(fifo)))
    thread.start()
    data = archives.image()
    with open(fifo, "wb", buffering=0) as out:
        out.write(data[:1000])
        # The loader waits for the rest now; a thread that kept the interpreter would stop this one for good.
        until = time.monotonic() + 0.3
        turns = 0
        while time.monotonic() < until:
            turns += 1
            time.sleep(0.001)
        assert turns > 50
        assert thread.is_alive()
        out.write(data[1000:])
    thread.join(timeout=30)
    assert [image.names for image in loaded] == [("svc:1",)]


def test_calls_of_two_threads_overlap(store: plyfs.Store) -> None:
    """Each reader waits for the other, so both loads must be under way at once."""
    barrier = threading.Barrier(2, timeout=30)

    class Meeting(io.BytesIO):
        met = False

        def read(self, length: int | None = -1, /) -> bytes:
            if not self.met:
                barrier.wait()
                self.met = True
            return super().read(length)

    files = [Meeting(archives.image(name=name, comment=name)) for name in ("a:1", "b:1")]
    threads = [threading.Thread(target=store.load, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [image.names for image in store.images()] == [("a:1",), ("b:1",)]


def test_an_interrupt_stops_a_load(store: plyfs.Store) -> None:
    class Endless:
        reads = 0

        def read(self, length: int, /) -> bytes:
            if not fired:
                fired.append(True)
                signal.raise_signal(signal.SIGINT)
            self.reads += 1
            assert self.reads < 1000, "nothing stopped the load"
            return bytes(length)

    fired: list[bool] = []
    with pytest.raises(KeyboardInterrupt):
        store.load(Endless())
    assert (fired, store.images()) == ([True], [])


def test_an_interrupt_stops_work_that_is_done_aside(store: plyfs.Store, image: plyfs.Image, scratch: Path) -> None:
    """Compressed layers are read on a thread of the library, while the main thread waits for it."""
    image.save(scratch / "oci.tar", format="oci-archive", compression="gzip")
    other = plyfs.Store(scratch / "other", durable=False)
    fired: list[int] = []

    def progress(stage: str, item: str, done: int, expected: int | None) -> None:
        if stage == "unpack" and not fired:
            fired.append(threading.get_ident())
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)

    with pytest.raises(KeyboardInterrupt):
        other.load(scratch / "oci.tar", progress=progress)
    assert fired != [threading.get_ident()]
    assert (other.images(), other.layers()) == ([], [])
    assert other.load(scratch / "oci.tar") == [image]


def test_a_callback_is_not_called_for_every_chunk(store: plyfs.Store, scratch: Path) -> None:
    archive = archives.write(scratch / "big.tar", archives.image([{"zeros": bytes(64 << 20)}], "big:1"))
    reports: list[Report] = []
    began = time.monotonic()
    store.load(archive, progress=lambda *report: reports.append(report))
    took = time.monotonic() - began
    assert len(reports) <= took / 0.05 + 8
