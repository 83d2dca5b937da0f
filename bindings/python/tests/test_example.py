"""The example of the README runs, and the command sees what it made."""

import json
import os
import subprocess
import sys
from pathlib import Path

import plyfs
import pytest

EXAMPLE = Path(__file__).parents[3] / "examples/python/svc.py"


def test_the_example_does_its_task(root: None, archive: Path, scratch: Path) -> None:
    out = scratch / "svc2.tar"
    arguments = [str(EXAMPLE), str(scratch / "example"), str(archive), str(out)]
    run = subprocess.run([sys.executable, "-W", "error", *arguments], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    assert run.stdout.splitlines() == ["loaded svc:1", "C /app", "C /app/config.properties", f"saved svc:2 to {out}"]
    (image,) = plyfs.Store(scratch / "fresh", durable=False).load(out)
    assert image.names == ("svc:2",)
    assert (image.layers()[0].path / "app/config.properties").read_text() == "port=81\n"


def test_the_command_sees_what_python_made(store: plyfs.Store, container: plyfs.Container) -> None:
    command = os.environ.get("PLYFS_COMMAND")
    if command is None:
        pytest.skip("PLYFS_COMMAND names no command to compare with")
    with container.mount() as root:
        (root / "app/config.properties").write_text("port=81\n")

    def run(*arguments: str) -> str:
        whole = [command, "--root", str(store.path), *arguments]
        return subprocess.run(whole, capture_output=True, text=True, check=True).stdout

    assert run("changes", "web-1").splitlines() == [str(change) for change in container.changes()]
    assert isinstance(json.loads(run("--json", "images")), list)
    assert run("--json", "images").count(store.image("svc:1").id) == 1
    assert "web-1" in run("--json", "containers")
