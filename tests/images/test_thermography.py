"""Counts and degrees: one to the other and back, to the last count, whatever the camera and the weather."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_irvisfuse.errors import ParameterError
from napari_irvisfuse.images.thermography import Atmosphere, Conditions, Planck, counts_of, temperatures_of

T540 = Planck(r1=16850.5078125, b=1433.300048828125, f=1.0, o=-5151, r2=0.011617250740528107)
T640 = Planck(r1=17835.5703125, b=1483.5, f=1.75, o=-5804, r2=0.12109975516796112)
AIR = Atmosphere(alpha1=0.006569, alpha2=0.01262, beta1=-0.002276, beta2=-0.00667, x=1.9)
BLACK_BODY = Conditions(emissivity=1.0, distance=0.0)

weather = st.builds(
    Conditions,
    emissivity=st.floats(0.3, 1),
    distance=st.floats(0, 100),
    reflected_temperature=st.floats(-30, 60),
    atmospheric_temperature=st.floats(-30, 50),
    relative_humidity=st.floats(0, 1),
    window_temperature=st.floats(-30, 60),
    window_transmission=st.floats(0.5, 1),
)


@given(st.sampled_from([T540, T640]), weather)
def test_every_count_comes_back_from_float32_degrees(planck, conditions):
    counts = np.arange(12000, 25000, dtype=np.uint16)
    celsius = temperatures_of(counts, planck, AIR, conditions)
    assert celsius.dtype == np.float32
    there = np.isfinite(celsius)
    back = counts_of(celsius[there].astype(np.float64), planck, AIR, conditions)
    np.testing.assert_array_equal(np.rint(back), counts[there])


@given(weather)
def test_more_counts_are_hotter(conditions):
    celsius = temperatures_of(np.arange(12000, 60000, dtype=np.uint16), T540, AIR, conditions)
    finite = np.isfinite(celsius)
    assert (np.diff(celsius[finite]) > 0).all()
    assert (np.diff(finite.astype(int)) >= 0).all()  # too little for any temperature: the lowest counts, and no others


def test_a_black_body_without_air_is_planck_alone():
    counts = np.array([12000, 17000, 40000], np.uint16)
    signal = counts - 5151.0
    expected = T540.b / np.log(T540.r1 / (T540.r2 * signal) + T540.f) - 273.15
    np.testing.assert_allclose(temperatures_of(counts, T540, AIR, BLACK_BODY), expected, rtol=1e-6)


@given(st.floats(0.3, 1), st.floats(0, 50), st.floats(0.5, 1), st.floats(-20, 60))
def test_where_everything_is_equally_warm_nothing_has_to_be_corrected(emissivity, distance, transmission, warm):
    """Whatever share of the radiation is reflected, of the air or of the window: it is that of a black body."""
    everything = Conditions(emissivity, distance, warm, warm, 0.5, warm, transmission)
    counts = counts_of(np.array(float(warm)), T540, AIR, BLACK_BODY)
    np.testing.assert_allclose(temperatures_of(counts, T540, AIR, everything), warm, atol=1e-4)


def test_a_poor_emitter_is_hotter_than_it_looks():
    counts = counts_of(np.array([80.0]), T540, AIR, BLACK_BODY)
    shiny = Conditions(emissivity=0.5, distance=0)
    assert temperatures_of(counts, T540, AIR, shiny)[0] > 110


def test_less_than_nothing_is_no_temperature():
    counts = np.array([0, 5000, 5150], np.uint16)  # less than the offset
    assert np.isnan(temperatures_of(counts, T540, AIR, BLACK_BODY)).all()


@given(st.floats(0, 1000), st.floats(0, 1000), st.floats(-30, 50), st.floats(0, 1))
def test_air_only_takes_away(near, far, celsius, humidity):
    near, far = sorted((near, far))
    through = AIR.transmission(near, celsius, humidity)
    assert AIR.transmission(0, celsius, humidity) == 1
    assert 0 <= AIR.transmission(far, celsius, humidity) <= through <= 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("emissivity", value) for value in (0, -1, 1.01, math.nan)],
        *[("window_transmission", value) for value in (0, 2)],
        *[("relative_humidity", value) for value in (-0.1, 50)],
        *[("distance", value) for value in (-1, math.inf)],
        *[("reflected_temperature", value) for value in (-300, math.nan)],
    ],
)
def test_conditions_that_cannot_be_are_named(name, value):
    with pytest.raises(ParameterError, match=name):
        Conditions().changed(**{name: value})


@pytest.mark.parametrize("value", ["x", [1], 10**400])
def test_a_condition_is_a_number(value):
    with pytest.raises(ParameterError, match="emissivity is a number"):
        Conditions().changed(emissivity=value)
    with pytest.raises(ParameterError, match="emissivity is a number"):
        Conditions(emissivity=value).checked()


def test_from_where_nothing_arrives_nothing_is_measured():
    with pytest.raises(ParameterError, match=r"From 1e\+06 m through this air nothing"):
        temperatures_of(np.full((2, 2), 17000, np.uint16), T540, AIR, Conditions(distance=1e6))


@pytest.mark.parametrize("celsius", [100.0, 380.0, 1e6])
@pytest.mark.parametrize("distance", [1.0, 1e6])
def test_hot_and_humid_air_is_a_number_too(celsius, distance):
    assert 0 <= AIR.transmission(distance, celsius, 1.0) <= 1


def test_an_unknown_condition_is_refused():
    with pytest.raises(ParameterError, match="emissivity, distance"):
        Conditions().changed(emisivity=0.9)


def test_none_leaves_a_condition_alone():
    assert Conditions().changed(emissivity=None, distance=3) == Conditions(distance=3.0)
