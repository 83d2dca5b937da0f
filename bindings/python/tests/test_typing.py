"""Types: the package, the example and the tests pass the strictest check of mypy."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def test_the_package_says_that_it_is_typed() -> None:
    assert files("plyfs").joinpath("py.typed").is_file()
    assert files("plyfs").joinpath("_native.pyi").is_file()


def test_everything_passes_mypy(tmp_path: Path) -> None:
    example = PACKAGE.parents[1] / "examples/python/svc.py"
    mypy = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path), "--config-file", "pyproject.toml"]
    run = subprocess.run([*mypy, "python/plyfs", "tests", str(example)], cwd=PACKAGE, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
