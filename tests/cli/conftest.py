"""What the tests of the command line share: a runner that shows tracebacks, and small pairs as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

import napari_irvisfuse as nif
from napari_irvisfuse.cli.app import app

Array = npt.NDArray[Any]
HEIGHT, WIDTH = 40, 56


@pytest.fixture
def run() -> Callable[..., Any]:
    """Run ``irvisfuse`` in this process; what is neither success nor a clean exit is raised."""

    def invoke(*args: object) -> Any:
        result = CliRunner().invoke(app, [str(arg) for arg in args], prog_name="irvisfuse")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def refused(run: Callable[..., Any]) -> Callable[..., str]:
    """Run what has to be refused, and return the one line that says why."""

    def invoke(*args: object) -> str:
        result = run(*args)
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        assert result.stderr.startswith("irvisfuse: ")
        assert result.stderr.endswith("\n")
        assert result.stderr.count("\n") == 1
        return str(result.stderr)

    return invoke


def scene(dtype: str = "uint8", colour: bool = False, seed: int = 0) -> Array:
    """Make an image with smooth and fine structure, over most of its range."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH] / 40
    unit = 0.5 + 0.3 * np.sin(5 * x + seed) * np.cos(4 * y) + 0.1 * rng.standard_normal((HEIGHT, WIDTH))
    if colour:
        unit = np.stack([unit, 0.8 * unit, 1 - unit], axis=-1)
    unit = np.clip(unit, 0, 1)
    if dtype.startswith("float"):
        return unit.astype(dtype)
    return np.round(unit * np.iinfo(dtype).max).astype(dtype)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that is also the current one, with a small pair in ``in/``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    nif.write_image(tmp_path / "in/ir.png", scene(seed=1))
    nif.write_image(tmp_path / "in/vis.png", scene(colour=True))
    return tmp_path


@pytest.fixture
def pair(folder: Path) -> tuple[Path, Path]:
    """Return the infrared and the visible file of the small pair."""
    return folder / "in/ir.png", folder / "in/vis.png"


@pytest.fixture
def make(folder: Path) -> Callable[..., Path]:
    """Write one image of the asked kind and return its file."""

    def write(name: str, dtype: str = "uint8", colour: bool = False, seed: int = 0) -> Path:
        return nif.write_image(folder / "in" / name, scene(dtype, colour, seed), overwrite=True)

    return write
