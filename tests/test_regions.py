"""Regions from one end to the other: the part of an image is what it is in the whole, or a note says otherwise."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import napari_irvisfuse as nif
from napari_irvisfuse.algorithms import get_method
from napari_irvisfuse.errors import ParameterError, RecipeError

HEIGHT, WIDTH = 110, 130
TURNED = np.array([[1.6, -0.3, 12.0], [0.3, 1.6, -8.0], [0, 0, 1]])
LOCAL = ["average", "max", "cbf", "rdn", "jsr", "jsrsd"]
SMALL = {"jsr": {"sparsity": 2}, "jsrsd": {"sparsity": 2, "window": 3}, "cbf": {"window": 5}}


def scene(height=HEIGHT, width=WIDTH, dtype="f4", colour=(), seed=0):
    """Return smooth shapes and noise: something for every method to find."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 20
    image = 0.5 + 0.3 * np.sin(y + seed) * np.cos(x * (1 + seed)) + 0.1 * rng.standard_normal((height, width))
    image = np.clip(image if not colour else image[..., None] * rng.uniform(0.6, 1, colour), 0, 1)
    return image.astype(dtype) if dtype == "f4" else (image * np.iinfo(dtype).max).astype(dtype)


@st.composite
def regions(draw, height=HEIGHT, width=WIDTH):
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return nif.Region(
        top, left, draw(st.integers(top + 1, height)), draw(st.integers(left + 1, min(width, left + 50)))
    )


def assert_part_of(part, whole, region, atol):
    """Check fused image and maps, at the pixels where both images have a value."""
    rows, columns = region.slices
    valid = np.ones(region.shape, bool) if part.valid is None else part.valid
    np.testing.assert_array_equal(valid, True if whole.valid is None else whole.valid[rows, columns])
    np.testing.assert_allclose(part.fused, whole.fused[rows, columns], rtol=0, atol=atol)
    assert part.maps.keys() == whole.maps.keys()
    for name, item in part.maps.items():
        expected = whole.maps[name].data[region.at_stride(item.stride).slices]
        assert item.data.shape == expected.shape
        if valid.all():
            np.testing.assert_allclose(item.data, expected, rtol=1e-4, atol=atol, err_msg=name)


# -- the law ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", LOCAL)
@given(region=regions())
@settings(max_examples=8)
def test_a_region_is_what_it_is_in_the_whole_image(method, region):
    source = nif.PairSource.from_images(scene(seed=1), scene(), dtype=np.float64)
    options = {"method": method, **SMALL.get(method, {})}
    whole = WHOLES.setdefault(method, None) or nif.FusionSession(source, precision="float64").fuse(**options)
    WHOLES[method] = whole
    part = nif.FusionSession(source, device="cpu", precision="float64").fuse(region=region, **options)
    assert part.region == region
    assert part.notes == whole.notes
    assert_part_of(part, whole, region, 2e-6)


WHOLES = {}


@pytest.mark.parametrize("grid", ["visible", "ir"])
@given(region=regions(), holes=st.booleans())
@settings(max_examples=15)
def test_a_region_is_what_it_is_in_the_whole_image_on_any_grid(grid, region, holes):
    ir, visible = scene(90, 80, seed=1), scene(colour=(3,))
    if holes:
        ir[20:40, 30:45] = np.nan
        visible[60:70, 20:90] = np.nan
        visible[0, 0] = np.nan
    options = {"method": "cbf", "window": 5, "ir_to_visible": TURNED, "grid": grid, "precision": "float64"}
    whole = nif.fuse(ir, visible, **options)
    try:
        region = region.clipped(whole.fused.shape[:2])
    except ParameterError:
        return
    part = nif.fuse(ir, visible, region=region, **options)
    assert part.grid == whole.grid
    assert_part_of(part, whole, region, 2e-6)
