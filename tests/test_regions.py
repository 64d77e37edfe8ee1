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
BENT = np.array([[1.6, 0, 1], [0, 1.6, 2], [6e-3, -1e-3, 1]])  # grows at the top and shrinks at the bottom
LOCAL = ["average", "max", "cbf", "rdn", "jsr", "jsrsd"]
SMALL = {"jsr": {"sparsity": 2}, "jsrsd": {"sparsity": 2, "window": 3}, "cbf": {"window": 5, "covariance_window": 31}}


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
    return nif.Region(top, left, draw(st.integers(top + 1, height)), draw(st.integers(left + 1, min(width, left + 50))))


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
        if item.data.ndim == 2:
            there = valid if item.stride == 1 else np.full(expected.shape, valid.all())
            np.testing.assert_allclose(item.data[there], expected[there], rtol=1e-4, atol=atol, err_msg=name)


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


@pytest.mark.parametrize(("grid", "shape"), [("visible", (HEIGHT, WIDTH)), ("ir", (90, 80))])
@pytest.mark.parametrize("matrix", [TURNED, BENT], ids=["turned", "bent"])
@given(data=st.data(), holes=st.booleans())
@settings(max_examples=8)
def test_a_region_is_what_it_is_in_the_whole_image_on_any_grid(grid, shape, matrix, data, holes):
    ir, visible, region = scene(90, 80, seed=1), scene(colour=(3,)), data.draw(regions(*shape))
    if holes:
        ir[20:40, 30:45] = np.nan
        visible[60:70, 20:90] = np.nan
        visible[0, 0] = np.nan
    options = {"method": "cbf", "window": 5, "ir_to_visible": matrix, "grid": grid, "precision": "float64"}
    whole, part = (nif.fuse(ir, visible, region=where, **options) for where in (None, region))
    assert whole.fused.shape[:2] == shape
    assert part.grid == whole.grid
    assert_part_of(part, whole, region, 2e-6)


@pytest.mark.parametrize("method", ["wls", "convsr"])
def test_methods_that_look_everywhere_come_close_and_say_so(method):
    options = {"method": method, **({"iterations": 20} if method == "convsr" else {})}
    size = (480, 500) if method == "wls" else (200, 220)
    ir, visible, region = scene(*size, seed=1), scene(*size), nif.Region(80, 90, 120, 130)
    whole, part = (nif.fuse(ir, visible, region=where, **options) for where in (None, region))
    away = np.abs(part.fused - whole.fused[region.slices])
    assert 0 < away.mean() < 0.02
    assert f"{get_method(method).title} {get_method(method).looks_everywhere}" in part.notes[0]
    everything = nif.fuse(ir, visible, region=(0, 0, *size), **options)
    assert everything.notes == ()
    np.testing.assert_array_equal(everything.fused, whole.fused)


def test_every_method_says_how_far_it_looks():
    for name in nif.methods():
        method = get_method(name)
        parameters = method.parameters()
        reach = method.receptive_field(parameters)
        assert reach == {"average": 0, "max": 0, "cbf": 20, "rdn": 20, "jsr": 6, "jsrsd": 8}.get(name)
        if reach is not None:
            assert method.halo(parameters) == reach
        else:
            assert method.halo(parameters) >= 32


def test_a_learnt_dictionary_is_that_of_the_region_and_it_is_said():
    options = {"method": "jsr", "dictionary": "pair", "learning_steps": 1, "sparsity": 1}
    part = nif.fuse(scene(150, 160, seed=1), scene(150, 160), region=(60, 60, 70, 70), **options)
    assert "learns its dictionary from the whole pair" in part.notes[0]


# -- session ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [nif.PairSource, nif.ImagePair])
def test_a_session_keeps_the_analysis_of_its_region(kind, monkeypatch):
    session = nif.FusionSession(kind.from_images(scene(seed=1), scene()), device="cpu")
    here, there = nif.Region(10, 10, 40, 50), nif.Region(60, 70, 90, 100)
    first = session.fuse("cbf", region=here)
    assert session.is_live("cbf", {"covariance_window": 31}, region=(10, 10, 40, 50))
    session.fuse("cbf", region=(-5, -5, 20, 20))
    assert session.is_live("cbf", {}, region=(0, 0, 20, 20))
    assert not session.is_live("cbf", {}, region=(500, 500, 600, 600))
    session.fuse("cbf", region=here)
    assert not session.is_live("cbf", {}, region=there)
    assert not session.is_live("cbf", {})
    monkeypatch.setattr(type(get_method("cbf")), "analyse", None)  # only the second step may be taken
    wide = session.fuse("cbf", region=here, covariance_window=31)
    monkeypatch.undo()
    assert_part_of(wide, nif.fuse(scene(seed=1), scene(), "cbf", covariance_window=31), here, 2e-6)
    session.fuse("cbf", region=there)
    again = session.fuse("cbf", region=here)
    np.testing.assert_array_equal(again.fused, first.fused)
    np.testing.assert_array_equal(session.fuse("cbf").fused, nif.fuse(scene(seed=1), scene(), "cbf").fused)


def test_outside_of_a_mask_the_visible_image_stays():
    visible = scene(dtype="u1", colour=(3,))
    region = nif.Region(30, 40, 70, 90)
    inside = np.add.outer((np.arange(40) - 20) ** 2, (np.arange(50) - 25) ** 2) < 300
    session = nif.FusionSession(nif.PairSource.from_images(scene(seed=1), visible))
    part, plain = session.fuse("max", region=region, inside=inside), session.fuse("max", region=region)
    assert np.array_equal(part.fused[~inside], visible[region.slices][~inside])
    assert np.array_equal(part.fused[inside], plain.fused[inside])
    assert not np.array_equal(part.fused, plain.fused)
    with pytest.raises(ParameterError, match="inside"):
        session.fuse("max", region=region, inside=inside[1:])


def test_a_region_of_one_pixel_and_one_that_sticks_out():
    ir, visible = scene(seed=1), scene()
    whole = nif.fuse(ir, visible, "max").fused
    assert np.array_equal(nif.fuse(ir, visible, "max", region=(5, 6, 6, 7)).fused, whole[5:6, 6:7])
    out = nif.fuse(ir, visible, "max", region=(100, -5, 300, 20))
    assert out.region == nif.Region(100, 0, 110, 20)
    assert np.array_equal(out.fused, whole[100:, :20])
    with pytest.raises(ParameterError, match="110 rows and 130 columns"):
        nif.fuse(ir, visible, "max", region=(110, 0, 120, 10))


# -- recipes and files ------------------------------------------------------------------------------------------------


def test_a_recipe_remembers_the_region(tmp_path):
    ir, visible = scene(seed=1), scene()
    part = nif.fuse(ir, visible, "max", region="20,30,60,70")
    recipe = nif.Recipe.load(part.recipe.save(tmp_path / "r.yaml"))
    assert recipe.region == (20, 30, 60, 70)
    assert "region=(20, 30, 60, 70)" in recipe.as_python()
    np.testing.assert_array_equal(nif.fuse(ir, visible, **recipe.arguments()).fused, part.fused)
    assert nif.fuse(ir, visible, "max").recipe.region is None
    with pytest.raises(RecipeError, match="In the recipe, A region is"):
        nif.Recipe.from_dict({**part.recipe.to_dict(), "region": [1, 2, 3]})


def test_saved_maps_say_where_they_lie(tmp_path):
    part = nif.fuse(scene(seed=1), scene(), "max", region=(20, 30, 60, 70))
    assert json.loads((part.save_maps(tmp_path) / "maps.json").read_text())["region"] == [20, 30, 60, 70]
    whole = nif.fuse(scene(seed=1), scene(), "max")
    assert "region" not in json.loads((whole.save_maps(tmp_path) / "maps.json").read_text())
