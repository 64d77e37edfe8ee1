"""Luma and chroma: what is taken apart goes together again, inside the gamut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from napari_irvisfuse.images.color import LUMA_WEIGHTS, lift_chroma, merge_luma, split_luma

WIDTH = {np.float32: 32, np.float64: 64}


def colours(dtype=np.float32, side: int = 4) -> st.SearchStrategy[np.ndarray]:
    return npst.arrays(dtype, (side, side, 3), elements=st.floats(0, 1, width=WIDTH[dtype]))


def greys(dtype=np.float32, side: int = 4) -> st.SearchStrategy[np.ndarray]:
    return npst.arrays(dtype, (side, side), elements=st.floats(0, 1, width=WIDTH[dtype]))


@given(colours())
def test_luma_is_the_weighted_sum(rgb):
    luma, chroma = split_luma(rgb)
    assert luma.dtype == chroma.dtype == np.float32
    np.testing.assert_allclose(luma, rgb @ np.array(LUMA_WEIGHTS), atol=1e-6)
    assert luma.min() >= 0
    assert luma.max() <= 1


@given(colours())
def test_together_again_it_is_the_same_colour(rgb):
    np.testing.assert_allclose(merge_luma(*split_luma(rgb)), rgb, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_grey_is_its_own_luma_to_the_last_bit(dtype):
    grey = np.random.default_rng(5).random((50, 40)).astype(dtype)
    grey[0] = 1
    luma, chroma = split_luma(np.stack([grey] * 3, axis=-1))
    np.testing.assert_array_equal(luma, grey)
    assert not chroma.any()


@given(greys(), colours())
def test_merged_colours_have_the_luma_asked_for_and_stay_in_the_gamut(luma, rgb):
    merged = merge_luma(luma, split_luma(rgb)[1])
    assert merged.dtype == np.float32
    assert merged.min() >= 0
    assert merged.max() <= 1
    np.testing.assert_allclose(merged.astype(np.float64) @ np.array(LUMA_WEIGHTS), luma, atol=1e-6)


@given(greys(np.float64), colours(np.float64))
def test_the_hue_stays(luma, rgb):
    """The new colour differences are the old ones times one factor per pixel, at most 1."""
    chroma = split_luma(rgb)[1]
    new = merge_luma(luma, chroma) - luma[..., None]
    np.testing.assert_allclose(np.cross(new, chroma), 0, atol=1e-12)
    assert ((new * chroma).sum(-1) >= -1e-15).all()
    assert (np.abs(new) <= np.abs(chroma) + 1e-15).all()


@given(greys())
def test_no_chroma_gives_grey(luma):
    np.testing.assert_array_equal(
        merge_luma(luma, np.zeros((*luma.shape, 3), luma.dtype)), luma[..., None].repeat(3, -1)
    )


def test_black_and_white_have_no_room_for_colour():
    chroma = np.broadcast_to(np.float32([0.4, -0.1, -0.2]), (2, 3))
    np.testing.assert_array_equal(merge_luma(np.float32([0, 1]), chroma), [[0, 0, 0], [1, 1, 1]])


def test_colour_is_kept_whole_where_there_is_room():
    chroma = split_luma(np.float32([[0.5, 0.4, 0.3]]))[1]
    np.testing.assert_allclose(merge_luma(np.float32([0.6]), chroma) - 0.6, chroma, atol=1e-7)


# -- lifted along with the luma ---------------------------------------------------------------------------------


def natural(rgb: np.ndarray, luma: np.ndarray) -> np.ndarray:
    old, chroma = split_luma(rgb)
    return merge_luma(luma, lift_chroma(chroma, old, luma))


@given(colours())
def test_where_the_luma_stays_nothing_is_lifted(rgb):
    luma, chroma = split_luma(rgb)
    np.testing.assert_array_equal(lift_chroma(chroma, luma, luma), chroma)


@given(greys(), colours())
def test_lifted_colours_have_the_luma_asked_for_and_stay_in_the_gamut(luma, rgb):
    lifted = natural(rgb, luma)
    assert lifted.dtype == np.float32
    assert lifted.min() >= 0
    assert lifted.max() <= 1
    np.testing.assert_allclose(lifted.astype(np.float64) @ np.array(LUMA_WEIGHTS), luma, atol=1e-6)


@given(greys(np.float64), colours(np.float64))
def test_lifting_keeps_the_hue(luma, rgb):
    chroma = split_luma(rgb)[1]
    new = natural(rgb, luma) - luma[..., None]
    np.testing.assert_allclose(np.cross(new, chroma), 0, atol=1e-12)
    assert ((new * chroma).sum(-1) >= -1e-15).all()


def encoded(light: np.ndarray) -> np.ndarray:
    return 1.055 * light ** (1 / 2.4) - 0.055


@given(st.floats(0.2, 8), colours(np.float64))
def test_it_is_what_more_light_on_the_same_surface_gives(more, rgb):
    """Held against sRGB itself: decoded, multiplied, encoded."""
    light = ((rgb + 0.055) / 1.055) ** 2.4 * more
    expected = encoded(light)
    rows = (expected > 0).all(-1) & (expected < 1).all(-1) & (more ** (1 / 2.4) < 4)
    lifted = natural(rgb[rows], split_luma(expected[rows])[0])
    np.testing.assert_allclose(lifted, expected[rows], atol=1e-9)


@given(greys(), greys())
def test_grey_is_lifted_to_grey(old, new):
    rgb = np.repeat(old[..., None], 3, axis=-1)
    np.testing.assert_array_equal(natural(rgb, new), new[..., None].repeat(3, -1))


def test_what_was_nearly_black_does_not_glow():
    noise = np.float32([[[2, 0, 5]]]) / 255
    assert np.ptp(natural(noise, np.float32([[0.7]]))) < 0.1
