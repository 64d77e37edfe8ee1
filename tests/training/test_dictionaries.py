"""Learning a dictionary from folders: what is read, what is left out, what is written."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import napari_irvisfuse as nif
from napari_irvisfuse.errors import Cancelled, ImageError, OutputError, ParameterError
from napari_irvisfuse.sparse.dictionaries import load_dictionary, read_dictionary
from napari_irvisfuse.training import dictionaries as module
from napari_irvisfuse.training.dictionaries import learn_dictionary

QUICK = {"atoms": 20, "steps": 2, "sparsity": 3}


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Make two folders with images of several kinds, and patches few enough to be quick."""
    monkeypatch.setattr(module, "_SAMPLED", 400)
    rng = np.random.default_rng(0)
    shapes = {"ir/1.png": (30, 41), "ir/2.tif": (24, 24), "vis/1.png": (30, 41, 3), "vis/2.tif": (17, 60)}
    dtypes = {"ir/2.tif": np.uint16, "vis/2.tif": np.float32}
    for name in ("ir", "vis"):
        (tmp_path / name).mkdir()
    for name, shape in shapes.items():
        values = rng.random(shape)
        dtype = dtypes.get(name, np.uint8)
        nif.write_image(tmp_path / name, values.astype(dtype) if dtype == np.float32 else (values * 255).astype(dtype))
    return tmp_path / "ir", tmp_path / "vis"


def test_a_dictionary_is_learnt_written_and_of_use(folders, tmp_path):
    seen = []
    report = learn_dictionary(
        "patches", folders, tmp_path / "own.safetensors", **QUICK, progress=lambda *args: seen.append(args)
    )
    learnt = read_dictionary(tmp_path / "own.safetensors")
    assert learnt.shape == report.shape == (20, 7, 7)
    torch.testing.assert_close(learnt.flatten(1).norm(dim=1), torch.ones(20))
    assert (report.images, report.left_out) == (4, ())
    assert 0 < report.error < 1
    assert {item[2] for item in seen} >= {f"Reading {folders[0]}", f"Reading {folders[1]}", "Learning atoms", "Done"}


def test_more_atoms_a_patch_leave_a_smaller_error(folders, tmp_path):
    few, many = (
        learn_dictionary(
            "patches", folders, tmp_path / "own.safetensors", atoms=60, steps=2, sparsity=s, overwrite=True
        ).error
        for s in (2, 12)
    )
    assert many < 0.9 * few


def test_the_same_seed_gives_the_same_file(folders, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        learn_dictionary("patches", folders, tmp_path / f"{name}.safetensors", **QUICK, seed=seed)
    a, b, c = ((tmp_path / f"{name}.safetensors").read_bytes() for name in "abc")
    assert a == b != c


def test_convolutional(folders, tmp_path):
    report = learn_dictionary("convolutional", folders, tmp_path / "own.safetensors", atoms=3, steps=1)
    assert report.shape == tuple(read_dictionary(tmp_path / "own.safetensors").shape) == (3, 8, 8)
    assert report.error is None


def test_files_that_are_no_images_are_left_out_and_named(folders, tmp_path):
    (folders[0] / "broken.png").write_bytes(b"nothing")
    nif.write_image(folders[1] / "tiny.png", np.zeros((8, 8), np.uint8))
    (folders[1] / "notes.txt").write_text("no image")
    report = learn_dictionary("patches", folders, tmp_path / "own.safetensors", **QUICK)
    assert report.images == 4
    assert len(report.left_out) == 2
    assert "broken.png" in report.left_out[0]
    assert "16×16" in report.left_out[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "waves"}, "kind patches or convolutional"),
        ({"atoms": 0}, "atoms takes"),
        ({"atoms": 5000}, "atoms takes"),
        ({"atoms": 8.5}, "atoms takes"),
        ({"steps": 1.5}, "steps takes"),
        ({"steps": 0}, "steps takes"),
        ({"sparsity": 50}, "sparsity of patches"),
        ({"sparsity": 2.5}, "sparsity of patches"),
        ({"kind": "convolutional", "sparsity": 0}, "sparsity of convolutional"),
    ],
    ids=str,
)
def test_numbers_out_of_bounds_are_refused(folders, tmp_path, options, words):
    with pytest.raises(ParameterError, match=words):
        learn_dictionary(**{"kind": "patches", **options}, folders=folders, output=tmp_path / "own.safetensors")


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path):
    nowhere = [tmp_path / "no such folder"]
    (tmp_path / "there.safetensors").write_bytes(b"mine")
    for name, words in (
        ("own.npz", "end the name in .safetensors"),
        ("no folder/own.safetensors", "There is no folder"),
        ("there.safetensors", "say overwrite"),
    ):
        with pytest.raises(OutputError, match=words):
            learn_dictionary("patches", nowhere, tmp_path / name)
    assert (tmp_path / "there.safetensors").read_bytes() == b"mine"


def test_folders_without_images_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/1.png").write_bytes(b"nothing")
    for folders, words in (
        ([tmp_path / "none"], "There is no folder"),
        ([tmp_path / "empty"], "There is no image in"),
        ([tmp_path / "broken"], "No image in the folders can be used"),
        ([], "Say where the images are"),
        (str(tmp_path / "none"), "There is no folder .*none with"),
    ):
        with pytest.raises(ImageError, match=words):
            learn_dictionary("patches", folders, tmp_path / "own.safetensors")
    assert not (tmp_path / "own.safetensors").exists()


@pytest.mark.parametrize("after", [0, 2, 6])
def test_cancelled_means_nothing_is_written(folders, tmp_path, after):
    asked = []
    with pytest.raises(Cancelled):
        learn_dictionary(
            "patches",
            folders,
            tmp_path / "own.safetensors",
            **QUICK,
            cancelled=lambda: asked.append(1) or len(asked) > after,
        )
    assert not list(tmp_path.glob("*own*"))


def test_the_shipped_dictionary_codes_better_than_the_published_ones(data_dir):
    """On pairs that neither saw: those of the published dictionaries are 1 to 3, ours is of another set."""
    from scipy.io import loadmat

    from napari_irvisfuse.images.files import read_image
    from napari_irvisfuse.sparse.omp import omp
    from napari_irvisfuse.sparse.patches import sample

    files = [data_dir / "tno" / part / f"{n:03d}.png" for n in (5, 7, 11) for part in ("ir", "vi")]
    stored = [data_dir / "dictionaries" / f"jsr_tno_{n:03d}.mat" for n in (1, 2, 3)]
    for path in (*files, *stored):
        if not path.is_file():
            pytest.skip(f"there is no {path}")
    generator = torch.Generator().manual_seed(0)
    patches = torch.cat([sample(torch.from_numpy(read_image(f)).float() / 255, 7, 500, generator) for f in files])

    def left(atoms: torch.Tensor) -> float:
        return float((patches - omp(patches, atoms, 16).dense(256) @ atoms).norm())

    theirs = [
        left(torch.from_numpy(loadmat(path)["D"].T.copy()).view(-1, 7, 7).transpose(1, 2).flatten(1).float())
        for path in stored
    ]
    assert left(load_dictionary("jsr").flatten(1)) < min(theirs)
