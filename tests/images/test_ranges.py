"""Intensity windows: the way to [0, 1] and back loses nothing that was inside."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from napari_irvisfuse.errors import FusionError, ImageError, ParameterError
from napari_irvisfuse.images.ranges import (
    NAMED_WINDOWS,
    PERCENTILES,
    Window,
    parse_window,
    resolve_window,
    to_dtype,
)

ROLES = ("ir", "visible")
FINITE = st.floats(-1e30, 1e30)


def every_level(dtype) -> np.ndarray:
    return np.arange(np.iinfo(dtype).max + 1, dtype=dtype)


@pytest.mark.parametrize("unit", [np.float32, np.float64])
@pytest.mark.parametrize("spec", ["auto", "full", "data"])
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2"])
def test_every_level_comes_back(dtype, role, spec, unit):
    levels = every_level(dtype)
    window = resolve_window(levels, spec, role)
    back = to_dtype(window.from_unit(window.to_unit(levels, unit)), levels.dtype)
    assert back.dtype == levels.dtype
    np.testing.assert_array_equal(back, levels)


@given(st.integers(0, 65534), st.integers(1, 65535))
def test_levels_inside_any_window_come_back(low, width):
    high = min(low + width, 65535)
    window = Window(float(low), float(high))
    levels = every_level(np.uint16)
    back = to_dtype(window.from_unit(window.to_unit(levels)), levels.dtype)
    np.testing.assert_array_equal(back, np.clip(levels, low, high))


def test_true_and_false_come_back():
    both = np.array([False, True])
    window = resolve_window(both, "auto", "visible")
    np.testing.assert_array_equal(to_dtype(window.from_unit(window.to_unit(both)), both.dtype), both)


@given(
    npst.arrays(np.float64, st.integers(1, 20), elements=FINITE),
    st.sampled_from(ROLES),
    st.sampled_from(["auto", "data"]),
)
def test_floats_come_back_in_float64(values, role, spec):
    window = resolve_window(values, spec, role)
    assert window.high > window.low
    unit = window.to_unit(values, np.float64)
    assert unit.min() >= 0
    assert unit.max() <= 1
    scale = max(abs(window.low), abs(window.high))
    np.testing.assert_allclose(window.from_unit(unit), values, rtol=0, atol=4e-16 * scale)


@given(FINITE, FINITE, npst.arrays(np.float64, 5, elements=FINITE))
def test_a_window_keeps_the_order_and_cuts_at_its_ends(low, high, values):
    assume(low < high)
    unit = Window(low, high).to_unit(np.sort(values))
    assert unit.dtype == np.float32
    assert (np.diff(unit) >= 0).all()
    assert (unit[np.sort(values) <= low] == 0).all()
    assert (unit[np.sort(values) >= high] == 1).all()


def test_the_input_is_left_alone():
    values = np.array([1.0, 5.0])
    values.flags.writeable = False
    Window(0, 2).to_unit(values, np.float64)
    Window(0, 2).from_unit(values)
    np.testing.assert_array_equal(values, [1.0, 5.0])


@pytest.mark.parametrize(
    ("values", "role", "expected"),
    [
        (np.array([3, 9], np.uint8), "ir", (0, 255)),
        (np.array([3, 9], np.uint8), "visible", (0, 255)),
        (np.array([True]), "ir", (0, 1)),
        (np.array([7000, 9000], np.uint16), "ir", (7000, 9000)),
        (np.array([7, 200], np.uint16), "visible", (0, 255)),
        (np.array([7, 4095], np.uint16), "visible", (0, 4095)),
        (np.array([7, 4096], np.uint16), "visible", (0, 8191)),
        (np.array([7, 65535], np.uint16), "visible", (0, 65535)),
        (np.array([0, 0], np.uint16), "visible", (0, 255)),
        (np.array([0.2, 0.7]), "ir", (0, 1)),
        (np.array([0.2, 0.7]), "visible", (0, 1)),
        (np.array([-4.0, 31.5]), "ir", (-4, 31.5)),
        (np.array([-0.5, 0.5]), "visible", (-0.5, 1)),
        (np.array([20.0, 200.0]), "visible", (0, 200)),
        (np.array([20.0, np.nan, np.inf, 30.0], np.float16), "ir", (20, 30)),
        (np.array([300.0, 300.0]), "ir", (300, 301)),
        (np.array([500, 500], np.uint16), "ir", (500, 501)),
    ],
)
def test_automatic_windows(values, role, expected):
    window = resolve_window(values, "auto", role)
    assert (window.low, window.high) == expected


@pytest.mark.parametrize("role", ROLES)
def test_named_windows_mean_the_same_for_both_images(role):
    values = np.arange(1000, 3001, dtype=np.uint16)
    assert resolve_window(values, "full", role) == Window(0, 65535)
    assert resolve_window(values, "data", role) == Window(1000, 3000)
    assert resolve_window(values, "percentile", role) == Window(*np.percentile(values, PERCENTILES))
    assert resolve_window(values, (7.5, 9.0), role) == Window(7.5, 9.0)
    assert resolve_window(values / 3.0, "full", role) == Window(0, 1)


@given(st.floats(-1e300, 1e300), st.sampled_from(["data", "percentile"]))
def test_a_constant_becomes_black_and_comes_back(value, spec):
    values = np.full(4, value)
    window = resolve_window(values, spec, "ir")
    assert window.high > window.low  # even where one more is no different number
    assert (window.to_unit(values) == 0).all()
    np.testing.assert_array_equal(window.from_unit(np.zeros(4)), values)


@pytest.mark.parametrize("name", NAMED_WINDOWS)
def test_names_are_windows(name):
    assert parse_window(name) == name


@given(FINITE, FINITE)
def test_two_numbers_are_a_window_in_every_spelling(low, high):
    assume(low < high)
    for spec in [(low, high), [low, high], np.array([low, high]), f"{low!r},{high!r}", f" {low!r} , {high!r} "]:
        assert parse_window(spec) == (low, high)
        assert parse_window(parse_window(spec)) == (low, high)


@pytest.mark.parametrize(
    "spec",
    [
        *["", "bright", "1", "1,2,3", "a,b", "2,1", "1,1", "nan,1", "0,inf", "-1e400,1"],
        *[None, 5, (), (1,), (1, 2, 3), (2, 1), (math.nan, 1), (0, 10**400), (-1e308, 1e308), [[0, 1]], object()],
    ],
)
def test_what_is_no_window_is_refused_in_one_sentence(spec):
    with pytest.raises(ParameterError) as caught:
        parse_window(spec)
    assert isinstance(caught.value, FusionError)
    assert str(caught.value).startswith("An intensity window")
    assert "\n" not in str(caught.value)


@given(npst.arrays(np.float64, st.integers(1, 20), elements=st.floats(-1e6, 1e6)), st.sampled_from(["u1", "u2", ">u2"]))
def test_casting_rounds_half_up_and_saturates(values, dtype):
    dtype = np.dtype(dtype)
    expected = [min(max(math.floor(value + 0.5), 0), np.iinfo(dtype).max) for value in values]
    result = to_dtype(values, dtype)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "f8"])
def test_casting_to_floats_does_not_cut(dtype):
    values = np.array([-3.5, 0.25, 1000.0])
    result = to_dtype(values, np.dtype(dtype))
    assert result.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(result, values)


@pytest.mark.parametrize("spec", ["auto", "data"])
def test_values_too_far_apart_to_subtract_are_refused(spec):
    with pytest.raises(ImageError, match=r"infrared image has values from -1\.7e\+308"):
        resolve_window(np.array([-1.7e308, 1.7e308]), spec, "ir")
