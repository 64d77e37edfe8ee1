"""``irvisfuse train dictionary``: what is typed, what is said, what is written."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import napari_irvisfuse as nif
from napari_irvisfuse.cli.train_dictionary import dictionary
from napari_irvisfuse.errors import FusionError
from napari_irvisfuse.sparse.dictionaries import read_dictionary
from napari_irvisfuse.training import dictionaries as module

app = typer.Typer()
app.command()(dictionary)
QUICK = ("--atoms", "12", "--steps", "1", "--sparsity", "3")


@pytest.fixture(autouse=True)
def _images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "_SAMPLED", 100)
    for folder in ("ir", "vis"):
        Path(folder).mkdir()
        rng = np.random.default_rng(len(folder))
        nif.write_image(f"{folder}/1.png", rng.integers(0, 256, (30, 30), dtype=np.uint8))


def run(*args: str):
    result = CliRunner().invoke(app, args)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_it_learns_and_says_what():
    result = run("--images", "ir", "--images", "vis", "-o", "own.safetensors", *QUICK)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("own.safetensors: 12×7×7 from 2 images, patches coded to ")
    assert read_dictionary(Path("own.safetensors")).shape == (12, 7, 7)


def test_quiet_says_only_what_was_left_out():
    Path("ir/2.png").write_bytes(b"nothing")
    result = run("--images", "ir", "-o", "own.safetensors", "--quiet", *QUICK)
    assert result.stdout == ""
    assert result.stderr.startswith("Left out ir")
    assert result.stderr.count("\n") == 1


def test_convolutional():
    args = ("--kind", "convolutional", "--atoms", "2", "--steps", "1")
    result = run("--images", "vis", "-o", "own.safetensors", *args)
    assert result.stdout.startswith("own.safetensors: 2×8×8 from 1 image, ")
    assert read_dictionary(Path("own.safetensors")).shape == (2, 8, 8)


def test_seed_and_overwrite():
    run("--images", "ir", "-o", "own.safetensors", *QUICK)
    first = Path("own.safetensors").read_bytes()
    with pytest.raises(FusionError, match="say overwrite"):
        run("--images", "ir", "-o", "own.safetensors", *QUICK)
    assert Path("own.safetensors").read_bytes() == first
    run("--images", "ir", "-o", "own.safetensors", "--overwrite", "--seed", "5", *QUICK)
    assert Path("own.safetensors").read_bytes() != first


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--images", "nowhere"), "There is no folder nowhere"),
        (("--images", "ir", "--atoms", "0"), "atoms takes"),
        (("--images", "ir", "--kind", "waves"), "kind patches or convolutional"),
    ],
    ids=str,
)
def test_what_is_wrong_is_one_sentence(args, words):
    with pytest.raises(FusionError, match=words) as caught:
        run(*args, "-o", "own.safetensors")
    assert "\n" not in str(caught.value)
    assert not Path("own.safetensors").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send to one process alone")
def test_control_c_leaves_nothing_behind():
    code = (
        "import typer, sys\n"
        "from napari_irvisfuse.cli.train_dictionary import dictionary\n"
        "from napari_irvisfuse.errors import Cancelled\n"
        "from napari_irvisfuse.training import dictionaries\n"
        "read = dictionaries.read_image_files\n"
        "def told(*args):\n"
        "    print('reading', flush=True)\n"
        "    return read(*args)\n"
        "dictionaries.read_image_files = told\n"
        "app = typer.Typer()\n"
        "app.command()(dictionary)\n"
        "try:\n"
        "    app(['--images', 'ir', '-o', 'own.safetensors', '--steps', '100000', '--atoms', '50'])\n"
        "except Cancelled:\n"
        "    sys.exit(130)\n"
    )
    job = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert job.stdout.readline() == "reading\n"
        time.sleep(0.5)
        job.send_signal(signal.SIGINT)
        assert job.wait(60) == 130
    finally:
        job.kill()
        job.stdout.close()
        job.wait()
    assert not list(Path().glob("*own*"))
