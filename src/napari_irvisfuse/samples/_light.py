"""Lamps, and how surfaces answer them in the visible and, by their own temperature, in the thermal infrared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ._canvas import Camera
from ._texture import Array, Scalar

__all__ = [
    "AIR",
    "AMBIENT",
    "LAMPS",
    "LIGHTS",
    "Light",
    "apparent",
    "colour",
    "diffuse",
    "diffuse_coarse",
    "glossy",
    "sky_temperature",
]

Normal = tuple[Scalar, Scalar, Scalar]

AIR = 9.5  # °C
KELVIN = np.float32(273.15)


@dataclass(frozen=True)
class Light:
    """A small lamp.

    ``tint`` is its intensity in the three colours: irradiance is ``tint · cosθ / r²``. ``aim`` is the direction
    it points to and ``focus`` the exponent of its lobe; 0 shines everywhere.
    """

    x: float
    y: float
    z: float
    tint: tuple[float, float, float]
    aim: tuple[float, float, float] = (0.0, -1.0, 0.0)
    focus: float = 0.0


def colour(red: float, green: float, blue: float, gain: float = 1.0) -> Array:
    """Return a linear colour as a float32 ``(3,)``."""
    return np.array([red, green, blue], np.float32) * np.float32(gain)


AMBIENT = colour(0.55, 0.75, 1.2, 0.045)
SODIUM = (1.0, 0.66, 0.36)


def _street_lamp(x: float, z: float, gain: float = 1.0) -> Light:
    red, green, blue = (260 * gain * c for c in SODIUM)
    return Light(x, 5.5, z, (red, green, blue), focus=1.6)


# the first stands beside the camera, out of the frame, so that the foreground is not lost
LAMPS = (
    _street_lamp(3.5, 3.5, 0.55),
    _street_lamp(3.4, 14.5),
    _street_lamp(-3.3, 22.5),
    _street_lamp(3.4, 33.0),
    _street_lamp(-3.3, 44.0),
    _street_lamp(3.4, 58.0),
)
_SHOP = (
    Light(6.9, 2.0, 12.0, (13.0, 8.6, 4.6), aim=(-0.9, -0.4, 0.0), focus=1.0),
    Light(6.9, 2.0, 15.5, (13.0, 8.6, 4.6), aim=(-0.9, -0.4, 0.0), focus=1.0),
    Light(5.7, 3.4, 13.3, (7.0, 2.2, 1.6), aim=(0.0, -0.5, -0.8), focus=1.0),
)
LIGHTS = LAMPS + _SHOP


def diffuse(x: Scalar, y: Scalar, z: Scalar, normal: Normal, lights: Sequence[Light] = LIGHTS) -> Array:
    """Return the irradiance ``(…, 3)`` on a matt surface, ambient light not included."""
    shape = np.broadcast_shapes(*(np.shape(a) for a in (x, y, z, *normal)))
    total: Array = np.zeros((*shape, 3), np.float32)
    for light in lights:
        lx, ly, lz = light.x - x, light.y - y, light.z - z
        square = lx * lx + ly * ly + lz * lz + 0.02
        distance = np.sqrt(square)
        facing = np.maximum(normal[0] * lx + normal[1] * ly + normal[2] * lz, 0.0)
        strength: Array = np.asarray(facing / (square * distance), dtype=np.float32)
        if light.focus:
            lobe = np.maximum(-(light.aim[0] * lx + light.aim[1] * ly + light.aim[2] * lz) / distance, 0.0)
            strength = strength * lobe**light.focus
        total += strength[..., None] * np.array(light.tint, np.float32)
    return total


def diffuse_coarse(x: Scalar, y: Scalar, z: Scalar, normal: Normal) -> Array:
    """Return :func:`diffuse` at every other pixel, repeated: for large smooth things, at a quarter of the cost."""

    def thinned(a: Scalar) -> Scalar:
        if not isinstance(a, np.ndarray) or a.ndim < 2:
            return a
        return a[:: 2 if a.shape[0] > 1 else 1, :: 2 if a.shape[1] > 1 else 1]

    height, width = np.broadcast_shapes(*(np.shape(a) for a in (x, y, z, *normal)))
    nx, ny, nz = (thinned(n) for n in normal)
    light = diffuse(thinned(x), thinned(y), thinned(z), (nx, ny, nz))
    return np.repeat(np.repeat(light, 2, axis=0), 2, axis=1)[:height, :width]


def glossy(x: Array, z: Array, bumps: tuple[Array, Array], sharpness: float, lights: Sequence[Light] = LIGHTS) -> Array:
    """Return the mirror-like answer ``(h, w, 3)`` of a damp level ground: half-vector highlights.

    At grazing angles these stretch into the streaks that lamps draw on a wet street.
    """
    vx, vy, vz = Camera.X - x, np.float32(Camera.Y), -z
    v = np.sqrt(vx * vx + vy * vy + vz * vz)
    total: Array = np.zeros((*np.broadcast_shapes(x.shape, z.shape), 3), np.float32)
    for light in lights:
        lx, ly, lz = light.x - x, np.float32(light.y), light.z - z
        square = lx * lx + ly * ly + lz * lz
        distance = np.sqrt(square)
        hx, hy, hz = vx / v + lx / distance, vy / v + ly / distance, vz / v + lz / distance
        cosine = (hx * bumps[0] + hy + hz * bumps[1]) / np.sqrt(hx * hx + hy * hy + hz * hz)
        fresnel = 0.03 + 0.97 * (1 - np.clip(vy / v, 0, 1)) ** 5
        strength = fresnel * np.exp(sharpness * (np.minimum(cosine, 1.0) - 1.0)) / square
        if light.focus:
            lobe = -(light.aim[0] * lx + light.aim[1] * ly + light.aim[2] * lz) / distance
            strength = strength * np.clip(lobe * 2.0, 0.0, 1.0)
        total += strength[..., None].astype(np.float32) * np.array(light.tint, np.float32)
    return total


def sky_temperature(elevation: Scalar) -> Array:
    """Return the apparent temperature (°C) of a night sky: cold overhead, near the air's at the horizon."""
    rise = np.maximum(np.asarray(elevation, dtype=np.float32), 0.0)
    out: Array = -10.0 + 14.0 * np.exp(-rise / 0.22)
    return out


def apparent(temperature: Scalar, emissivity: Scalar, surroundings: Scalar) -> Array:
    """Return the temperature (°C) a thermal camera reads: own emission plus the reflected surroundings.

    Grey-body exchange: ``T_app⁴ = ε·T⁴ + (1 − ε)·T_surroundings⁴`` in kelvin.
    """
    own = (np.asarray(temperature, dtype=np.float32) + KELVIN) ** 4
    mirrored = (np.asarray(surroundings, dtype=np.float32) + KELVIN) ** 4
    out: Array = np.sqrt(np.sqrt(emissivity * own + (1 - emissivity) * mirrored)) - KELVIN
    return out
