"""From what a thermal sensor counts to degrees Celsius, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import ParameterError

from .ranges import FloatArray

__all__ = ["Atmosphere", "Conditions", "Planck", "counts_of", "temperatures_of"]

ZERO_CELSIUS = 273.15
_SHARES = ("emissivity", "window_transmission")  # that something is divided by


@dataclass(frozen=True)
class Planck:
    """Calibration of a sensor, by the constants' usual names: counts = R1 / (R2 · (exp(B / T) − F)) − O."""

    r1: float
    b: float
    f: float
    o: float
    r2: float

    def signal(self, celsius: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return what a black body of this temperature adds up to, counts + O, float64."""
        kelvin = np.asarray(celsius, np.float64) + ZERO_CELSIUS
        with np.errstate(over="ignore", divide="ignore"):  # at absolute zero there is no signal
            signal: npt.NDArray[np.float64] = self.r1 / (self.r2 * (np.exp(self.b / kelvin) - self.f))
        return signal

    def celsius(self, signal: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the temperature of a black body of this signal, NaN where no body could have it."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = self.r1 / (self.r2 * np.asarray(signal, np.float64)) + self.f
            kelvin: npt.NDArray[np.float64] = np.where(ratio > 1, self.b / np.log(ratio), np.nan)
        return kelvin - ZERO_CELSIUS


@dataclass(frozen=True)
class Atmosphere:
    """How a camera models the air in front of it."""

    alpha1: float
    alpha2: float
    beta1: float
    beta2: float
    x: float

    def transmission(self, distance: float, celsius: float, relative_humidity: float) -> float:
        """Return the share of radiation that arrives from ``distance`` metres, in [0, 1]."""
        # grams of water in a cubic metre of saturated air
        exponent = 1.5587 + 6.939e-2 * celsius - 2.7816e-4 * celsius**2 + 6.8455e-7 * celsius**3
        water = math.sqrt(relative_humidity * math.exp(min(exponent, 50.0)))
        path = math.sqrt(distance)
        # hot, humid air is beyond what the formula is for; what it gives there must be a number all the same
        first, second = (
            math.exp(min(-path * (alpha + beta * water), 700.0))
            for alpha, beta in ((self.alpha1, self.beta1), (self.alpha2, self.beta2))
        )
        return min(max(self.x * first + (1 - self.x) * second, 0.0), 1.0)


@dataclass(frozen=True)
class Conditions:
    """What else reached the sensor.

    Parameters
    ----------
    emissivity
        Of what is looked at, above 0, at most 1.
    distance
        To it, in metres.
    reflected_temperature
        Of what is mirrored in it, °C.
    atmospheric_temperature, relative_humidity
        Of the air between, °C and a share of 1.
    window_temperature, window_transmission
        Of a window or filter in front of the lens, °C and a share above 0, at most 1 (1: there is none).
    """

    emissivity: float = 0.95
    distance: float = 1.0
    reflected_temperature: float = 20.0
    atmospheric_temperature: float = 20.0
    relative_humidity: float = 0.5
    window_temperature: float = 20.0
    window_transmission: float = 1.0

    def changed(self, **changes: float | None) -> Conditions:
        """Return these conditions with some of them replaced; None leaves one as it is.

        Raises
        ------
        ParameterError
            For an unknown name, or a value that cannot be.
        """
        names = [item.name for item in fields(self)]
        for name in changes:
            if name not in names:
                raise ParameterError(f"There is no condition {name!r}: they are {', '.join(names)}.")
        return replace(self, **{name: value for name, value in changes.items() if value is not None}).checked()

    def checked(self) -> Conditions:
        """Return the same with plain floats, or raise ParameterError with the value that cannot be."""
        values: dict[str, float] = {}
        for item in fields(self):
            given = getattr(self, item.name)
            try:
                value = values[item.name] = float(given)
            except (TypeError, ValueError, OverflowError):
                raise ParameterError(f"{item.name} is a number; got {given!r}.") from None
            if item.name in _SHARES:
                allowed, good = "above 0, at most 1", 0 < value <= 1
            elif item.name == "relative_humidity":
                allowed, good = "a share from 0 to 1", 0 <= value <= 1
            elif item.name == "distance":
                allowed, good = "metres, 0 or more", value >= 0
            else:
                allowed, good = "in °C, not below −273.15", value >= -ZERO_CELSIUS
            if not (good and math.isfinite(value)):
                raise ParameterError(f"{item.name} is {allowed}; got {value:g}.")
        return Conditions(**values)


def temperatures_of(
    counts: npt.NDArray[Any], planck: Planck, atmosphere: Atmosphere, conditions: Conditions
) -> npt.NDArray[np.float32]:
    """Convert counts to temperatures.

    Parameters
    ----------
    counts
        ``(…)``, as the sensor gave them.
    planck, atmosphere
        The camera's constants.
    conditions
        What the sensor saw besides.

    Returns
    -------
    ndarray
        ``(…)`` float32, °C; NaN where what is left for the object is less than nothing can radiate.

    Raises
    ------
    ParameterError
        If nothing of the object's radiation arrives through so much air.

    Notes
    -----
    The measurement formula of the manuals of FLIR's cameras, with a window next to the lens:
    S = τ_w · (ε τ S_object + (1 − ε) τ S_reflected + (1 − τ) S_air) + (1 − τ_w) S_window, where S is counts + O
    and a black body of temperature T gives S(T) = R1 / (R2 · (exp(B / T) − F)).
    """
    share, rest = _balance(planck, atmosphere, conditions)
    if share <= 0:
        raise ParameterError(
            f"From {conditions.distance:g} m through this air nothing of the object arrives:"
            " give its distance in metres."
        )
    celsius = planck.celsius((counts.astype(np.float64) + planck.o - rest) / share)
    return celsius.astype(np.float32)


def counts_of(celsius: npt.NDArray[Any], planck: Planck, atmosphere: Atmosphere, conditions: Conditions) -> FloatArray:
    """Convert temperatures to what the sensor would have counted, float64: the inverse of :func:`temperatures_of`."""
    share, rest = _balance(planck, atmosphere, conditions)
    return planck.signal(celsius) * share + rest - planck.o


def _balance(planck: Planck, atmosphere: Atmosphere, conditions: Conditions) -> tuple[float, float]:
    """Return the share of the object in the signal, and the signal that is not the object's."""
    given = conditions
    air = atmosphere.transmission(given.distance, given.atmospheric_temperature, given.relative_humidity)
    surroundings = (given.reflected_temperature, given.atmospheric_temperature, given.window_temperature)
    reflected, of_air, window = (float(planck.signal(value)) for value in surroundings)
    arriving = given.window_transmission * air
    rest = (
        arriving * (1 - given.emissivity) * reflected
        + given.window_transmission * (1 - air) * of_air
        + (1 - given.window_transmission) * window
    )
    return arriving * given.emissivity, rest
