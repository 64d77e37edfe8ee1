"""False colour: painted pictures are recognised and turned back, photographs are left alone."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import colormaps
from PIL import Image

from napari_irvisfuse.images.color import split_luma
from napari_irvisfuse.images.false_colour import _KNOWN, unpaint
from napari_irvisfuse.images.files import read_image
from napari_irvisfuse.images.radiometric import read_radiometric
from napari_irvisfuse.samples.scene import colour_pair


def heat(seed: int = 0, height: int = 96, width: int = 128) -> np.ndarray:
    """Return something as smooth as heat, from 0 to 1."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / width
    waves = sum(np.sin(a * rows + b * columns + c) for a, b, c in rng.uniform(2, 12, (4, 3)))
    return (waves - waves.min()) / np.ptp(waves)


def jpeg(rgb: np.ndarray, quality: int = 90) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(np.round(rgb * 255).astype(np.uint8)).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream)) / 255


def ranks(values: np.ndarray) -> np.ndarray:
    return values.ravel().argsort().argsort().astype(float)


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(ranks(first), ranks(second))[0, 1])


@pytest.mark.parametrize("name", _KNOWN)
@settings(max_examples=10)
@given(seed=st.integers(0, 30))
def test_known_palettes_finer_than_their_steps(name, seed):
    scene = heat(seed)
    painted = np.stack([np.interp(scene * 255, np.arange(256), c) for c in colormaps[name](range(256))[:, :3].T], -1)
    values, found = unpaint(painted)
    assert found == name
    error = np.abs(values - scene)
    assert np.median(error) < 1e-5
    assert error.max() < 0.015  # some have the same colour twice


@pytest.mark.parametrize("name", ["inferno", "jet", "turbo", "hot", "plasma", "magma", "viridis"])
def test_known_palettes_through_jpeg(name):
    scene = heat(3)
    values, found = unpaint(jpeg(colormaps[name](scene)[..., :3]))
    assert found == name
    assert likeness(values, scene) > 0.995
    assert np.abs(values - scene).mean() < 0.01


@pytest.mark.parametrize("name", ["coolwarm", "RdYlBu_r", "cubehelix", "YlOrRd_r", "afmhot"])
def test_palettes_that_nobody_told_us_are_found_in_the_picture(name):
    scene = heat(1)
    values, found = unpaint(colormaps[name](scene)[..., :3])
    assert found == "its own"
    assert likeness(values, scene) > 0.99
    assert 0 <= values.min() < 0.05
    assert 0.95 < values.max() <= 1


@pytest.mark.parametrize("name", ["gray", "bone", "copper", "pink"])
def test_palettes_with_little_colour_need_no_turning_back(name):
    """Their luma has the same order."""
    scene = heat(2)
    painted = colormaps[name](scene)[..., :3]
    assert unpaint(painted) == (None, "")
    assert likeness(split_luma(painted)[0], scene) > 0.999


def test_photographs_are_left_alone():
    photo = colour_pair()[1][..., :3] / 255
    assert unpaint(photo) == (None, "")
    rng = np.random.default_rng(0)
    assert unpaint(rng.random((64, 64, 3))) == (None, "")
    assert unpaint(np.broadcast_to([0.9, 0.2, 0.1], (32, 32, 3))) == (None, "")  # one colour is no scale


@settings(max_examples=5)
@given(st.integers(0, 20))
def test_a_mirrored_picture_gives_the_mirrored_scale(seed):
    painted = colormaps["turbo"](heat(seed))[..., :3]
    np.testing.assert_array_equal(unpaint(painted[:, ::-1])[0], unpaint(painted)[0][:, ::-1])


def test_real_pictures_of_cameras(data_dir):
    folder = data_dir / "thermal16_flir/rjpeg"
    if not folder.is_dir():
        pytest.skip(f"the thermal images are not in {folder}")
    for name in ("001", "003", "009", "011", "013", "015", "017"):  # 005 is a photograph for the most part
        values, found = unpaint(read_image(folder / f"{name}.jpg") / 255)
        assert found in ("iron", "its own"), name
        counts = read_radiometric(folder / f"{name}.jpg").counts
        small = np.asarray(Image.fromarray(values.astype(np.float32)).resize(counts.shape[::-1]))
        assert likeness(small, counts) > 0.75, name  # their texts and logos are no heat


def test_real_photographs_are_left_alone(data_dir):
    for path in [*sorted((data_dir / "roadscene/vi").glob("*"))[::12], *sorted((data_dir / "msrs/vi").glob("*"))[::6]]:
        picture = read_image(path)
        if picture.ndim == 3:
            assert unpaint(picture[..., :3] / 255) == (None, ""), path
