"""The sample scene: repeatable, the right types, and each camera sees what the other misses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_irvisfuse.errors import ParameterError
from napari_irvisfuse.samples import scene as sample
from napari_irvisfuse.samples._cars import MOVING
from napari_irvisfuse.samples._people import PEOPLE

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@pytest.fixture(scope="module")
def big() -> sample.Scene:
    return sample.render(360, 480)


@pytest.fixture(scope="module")
def where() -> dict[str, tuple[slice, slice]]:
    return sample.regions(360, 480)


@pytest.fixture(scope="module")
def film() -> tuple[np.ndarray, np.ndarray]:
    return sample.sequence(120, 160, 6)


def figure(scene: sample.Scene, crop: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
    """Masks of a person and of what is right beside them in a crop, from the heat alone."""
    body = scene.temperature[crop] > 16.5
    return body, ndimage.binary_dilation(body, iterations=7) & ~ndimage.binary_dilation(body, iterations=2)


def test_same_arguments_give_the_same_bits_even_without_the_cache():
    first = sample.render(96, 128, frame=3)
    sample._street.cache_clear()
    sample.render(96, 128, frame=5)  # drawing another frame must leave nothing behind in the background
    second = sample.render(96, 128, frame=3)
    np.testing.assert_array_equal(first.temperature, second.temperature)
    np.testing.assert_array_equal(first.visible, second.visible)


@settings(max_examples=8, deadline=None)
@given(height=st.integers(64, 160), width=st.integers(64, 160), frame=st.integers(0, 200))
def test_every_size_has_its_shape_type_and_range(height, width, frame):
    scene = sample.render(height, width, frame=frame)
    assert scene.temperature.shape == (height, width)
    assert scene.visible.shape == (height, width, 3)
    assert scene.temperature.dtype == scene.visible.dtype == np.float32
    assert np.isfinite(scene.temperature).all()
    assert scene.temperature.min() > -30
    assert scene.temperature.max() < 100
    assert scene.visible.min() >= 0
    assert scene.visible.max() <= 1
    for rows, columns in sample.regions(height, width, frame=frame).values():
        assert 0 <= rows.start < rows.stop <= height
        assert 0 <= columns.start < columns.stop <= width


def test_the_pairs_are_encodings_of_the_same_scene():
    scene = sample.render(96, 128)
    grey_ir, grey = sample.grey_pair(96, 128)
    colour_ir, colour = sample.colour_pair(96, 128)
    counts, deep = sample.radiometric_pair(96, 128)
    assert [a.dtype for a in (grey_ir, grey, colour_ir, colour)] == [np.uint8] * 4
    assert counts.dtype == deep.dtype == np.uint16
    assert grey_ir.shape == grey.shape == colour_ir.shape == counts.shape == (96, 128)
    assert colour.shape == deep.shape == (96, 128, 3)
    np.testing.assert_array_equal(grey_ir, colour_ir)
    np.testing.assert_allclose(grey, colour @ LUMA, atol=1.1)
    np.testing.assert_allclose(deep / 65535, scene.visible, atol=1 / 65535)
    np.testing.assert_allclose(counts / sample.COUNTS_PER_KELVIN - 273.15, scene.temperature, atol=0.006)
    assert grey_ir.min() == 0
    assert grey_ir.max() == 255


@pytest.mark.parametrize(("name", "limit"), [("hidden_person", 0.035), ("smoke_person", 0.09)])
def test_people_out_of_the_light_show_in_the_infrared_only(big, where, name, limit):
    body, around = figure(big, where[name])
    assert body.sum() > 60
    heat, luma = big.temperature[where[name]], (big.visible @ LUMA)[where[name]]
    assert heat[body].mean() - heat[around].mean() > 6
    assert abs(luma[body].mean() - luma[around].mean()) < limit


def test_a_person_in_the_light_shows_in_both(big, where):
    body, around = figure(big, where["lit_person"])
    luma = (big.visible @ LUMA)[where["lit_person"]]
    assert abs(luma[body].mean() - luma[around].mean()) > 0.09


@pytest.mark.parametrize(("name", "contrast"), [("sign", 0.15), ("road_text", 0.08)])
def test_words_can_be_read_in_the_visible_only(big, where, name, contrast):
    rows, columns = where[name]
    # without the corners, where the crop shows the cooler pavement
    wide = columns.stop - columns.start
    crop = (rows, slice(columns.start + wide // 5, columns.stop - wide // 4))
    assert (big.visible @ LUMA)[crop].std() > contrast
    # what varies inside is noise, texture and blur: well below what a person's heat does
    assert big.temperature[crop].std() < 0.9


def test_sign_letters_leave_no_trace_of_heat(big, where):
    rows, columns = where["sign"]
    inner = (slice(rows.start + 4, rows.stop - 4), slice(columns.start + 4, columns.stop - 4))
    luma, heat = (big.visible @ LUMA)[inner].ravel(), big.temperature[inner].ravel()
    assert heat.std() < 0.2
    assert abs(np.corrcoef(luma, heat)[0, 1]) < 0.2


def test_the_lamp_is_the_brightest_and_its_halo_falls_off(big, where):
    luma = big.visible @ LUMA
    rows, columns = where["lamp"]
    assert luma[rows, columns].max() > 0.95
    above = luma[max(rows.start - 40, 0) : rows.start, (columns.start + columns.stop) // 2]
    assert above[-4:].mean() > above[:10].mean() + 0.03


def test_the_sky_is_coldest_and_glass_is_cooler_than_brick(big):
    assert big.temperature[:20, 150:300].mean() < 0
    assert big.temperature.min() == big.temperature[:180].min()
    # the café's panes, and the brick above them
    pane, brick = big.temperature[160:190, 436:466], big.temperature[98:108, 440:475]
    assert np.median(pane) < np.median(brick) - 2


def test_only_what_moves_changes_but_for_noise():
    first, later = sample.render(240, 320), sample.render(240, 320, frame=9)
    moving = np.zeros((240, 320), bool)
    for frame in (0, 9):
        for name, (rows, columns) in sample.regions(240, 320, frame=frame).items():
            if name in {*PEOPLE, "smoke", "moving_car"}:
                moving[max(rows.start - 14, 0) : rows.stop + 14, max(columns.start - 14, 0) : columns.stop + 14] = True
    still = ~moving
    still[130:, :240] = False  # the road ahead of the car lies in its beams
    change = np.abs(later.temperature - first.temperature)
    assert still.mean() > 0.3
    assert change[still].max() < 1.0
    assert 0.01 < change[still].mean() < 0.12
    assert change[moving].max() > 8
    assert np.abs(later.visible - first.visible)[still].mean() < 0.03


def test_a_film_moves_under_one_gain_window(film):
    thermal, colour = film
    assert thermal.shape == (6, 120, 160)
    assert colour.shape == (6, 120, 160, 3)
    assert thermal.dtype == colour.dtype == np.uint8
    assert all((thermal[t] != thermal[t + 1]).any() for t in range(5))
    np.testing.assert_array_equal(thermal[0], sample.colour_pair(120, 160)[0])
    low, high = sample._window(sample.render(120, 160).temperature)
    last = sample.render(120, 160, frame=5).temperature
    np.testing.assert_allclose(thermal[5], np.clip((last - low) / (high - low), 0, 1) * 255, atol=0.6)


def test_people_and_cars_move_at_a_street_s_pace():
    for person in PEOPLE.values():
        track = np.array([person.place(frame)[:2] for frame in range(24)])
        steps = np.hypot(*np.diff(track, axis=0).T) * 8
        assert steps.max() <= 2.0
    assert 2.0 < (MOVING.at(0) - MOVING.at(1)) * 8 < 14.0


@pytest.mark.parametrize("size", [(63, 64), (64, 63), (0, 0)])
def test_sizes_too_small_are_refused(size):
    for call in (sample.render, sample.grey_pair, sample.regions, sample.sequence):
        with pytest.raises(ParameterError, match="at least 64"):
            call(*size)


def test_numbers_of_frames_that_make_no_film_are_refused():
    with pytest.raises(ParameterError, match="frames must be 1 or more"):
        sample.sequence(64, 64, 0)
    with pytest.raises(ParameterError, match="frame must be 0 or more"):
        sample.render(64, 64, frame=-1)
