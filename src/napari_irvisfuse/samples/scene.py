"""A night street for trying things out: one infrared and one visible image of it, aligned to the pixel.

The scene is computed, not photographed: nothing is downloaded, nothing is under somebody's licence, and the same
arguments give the same arrays. One pin-hole camera looks at a small world in metres; every surface has a
reflectance for the lamps and a temperature and an emissivity for the thermal camera. Each modality shows what
the other misses: people in the dark and behind smoke are plain in the infrared only, the words on the sign and
on the road, the markings and the lit windows in the visible only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import ParameterError

from ._buildings import draw_buildings
from ._cafe import SIGN, draw_sign
from ._canvas import Camera, Canvas, Crop
from ._cars import MOVING, PARKED, car_crop, draw_car
from ._furniture import furnish
from ._ground import ROAD_TEXT, draw_ground, draw_sky
from ._light import LAMPS
from ._people import PEOPLE, draw_person, figure_crop
from ._sensors import infrared, visible
from ._smoke import SMOKE_Z, draw_smoke, smoke_crop

__all__ = [
    "COUNTS_PER_KELVIN",
    "SMALLEST",
    "Scene",
    "colour_pair",
    "grey_pair",
    "radiometric_pair",
    "regions",
    "render",
    "sequence",
]

FloatArray: TypeAlias = npt.NDArray[np.float32]
U8: TypeAlias = npt.NDArray[np.uint8]
U16: TypeAlias = npt.NDArray[np.uint16]

COUNTS_PER_KELVIN = 100
"""Radiometric counts are hundredths of a kelvin: ``kelvin = counts / 100``, ``celsius = counts / 100 - 273.15``."""

SMALLEST = 64
"""The smallest height and width in pixels."""

_AGC = (8.0, 99.85)  # percentiles of the thermal camera's automatic gain
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as everywhere in this package


@dataclass(frozen=True)
class Scene:
    """What both cameras saw at one moment, on one pixel grid.

    Attributes
    ----------
    temperature
        ``(H, W)`` float32, apparent temperature in °C, after the infrared camera's optics and noise.
    visible
        ``(H, W, 3)`` float32, sRGB-encoded in [0, 1], after the visible camera's optics and noise.
    """

    temperature: FloatArray
    visible: FloatArray


def render(height: int = 480, width: int = 640, *, frame: int = 0) -> Scene:
    """Render the scene at one moment.

    Parameters
    ----------
    height, width
        Size in pixels, at least 64 each. The picture is composed for 4:3; other shapes show more of the street.
    frame
        Moment, in eighths of a second from 0: people walk, a car comes nearer, smoke drifts.

    Returns
    -------
    The two images.

    Raises
    ------
    ParameterError
        If a size is below 64, or ``frame`` is negative.
    """
    _check(height, width)
    if frame < 0:
        raise ParameterError(f"frame must be 0 or more, not {frame}.")
    canvas = _street(height, width).copy()
    _populate(canvas, frame)
    radiance, temperature = canvas.reduced()
    return Scene(infrared(temperature, frame), visible(radiance, frame))


def grey_pair(height: int = 480, width: int = 640) -> tuple[U8, U8]:
    """Return infrared and visible, both ``(H, W)`` uint8: the form most fusion papers use.

    The infrared has had a thermal camera's automatic gain control (a percentile stretch), the visible is luma.
    """
    scene = render(height, width)
    return _stretched(scene.temperature, _window(scene.temperature)), _quantised(scene.visible @ _LUMA)


def colour_pair(height: int = 480, width: int = 640) -> tuple[U8, U8]:
    """Return infrared ``(H, W)`` uint8 after automatic gain control, and visible ``(H, W, 3)`` uint8."""
    scene = render(height, width)
    return _stretched(scene.temperature, _window(scene.temperature)), _quantised(scene.visible)


def radiometric_pair(height: int = 480, width: int = 640) -> tuple[U16, U16]:
    """Return infrared ``(H, W)`` uint16 in hundredths of a kelvin, and visible ``(H, W, 3)`` uint16, full range.

    See ``COUNTS_PER_KELVIN`` for the way back to temperatures.
    """
    scene = render(height, width)
    kelvin = scene.temperature.astype(np.float64) + 273.15
    return np.round(kelvin * COUNTS_PER_KELVIN).astype(np.uint16), np.round(
        scene.visible.astype(np.float64) * 65535
    ).astype(np.uint16)


def sequence(height: int = 480, width: int = 640, frames: int = 24) -> tuple[U8, U8]:
    """Return a film at about 8 frames a second: infrared ``(T, H, W)`` and visible ``(T, H, W, 3)``, both uint8.

    One gain window, the first frame's, serves all frames: the infrared does not pump when something hot comes by.

    Raises
    ------
    ParameterError
        If a size is below 64, or ``frames`` is below 1.
    """
    _check(height, width)
    if frames < 1:
        raise ParameterError(f"frames must be 1 or more, not {frames}.")
    thermal = np.empty((frames, height, width), np.uint8)
    colour = np.empty((frames, height, width, 3), np.uint8)
    window: tuple[float, float] | None = None
    for t in range(frames):
        scene = render(height, width, frame=t)
        window = window or _window(scene.temperature)
        thermal[t] = _stretched(scene.temperature, window)
        colour[t] = _quantised(scene.visible)
    return thermal, colour


def regions(height: int = 480, width: int = 640, *, frame: int = 0) -> dict[str, Crop]:
    """Return where things are, as ``(rows, columns)`` slices of the image; what is out of the frame is left out.

    ``sign`` (its face), ``road_text``, ``lamp``, ``smoke``, ``moving_car``, and every person: ``hidden_person`` stands
    in the dark, ``smoke_person`` behind smoke, ``crossing_person`` and ``lit_person`` in lamplight.
    """
    _check(height, width)
    camera = Camera(height, width)
    (x, y, z), (road_x, road_z) = SIGN, ROAD_TEXT
    lamp = LAMPS[1]
    found = {
        "sign": camera.crop((x[0] + 0.1, x[1] - 0.1), (y[0] + 0.12, y[1] - 0.06), (z, z)),
        "road_text": camera.crop(road_x, (0.0, 0.0), road_z),
        "lamp": camera.crop((lamp.x - 0.35, lamp.x + 0.35), (lamp.y, lamp.y + 0.2), (lamp.z, lamp.z)),
        "smoke": smoke_crop(camera),
        "moving_car": car_crop(camera, MOVING, frame),
    }
    found |= {name: figure_crop(camera, person, frame) for name, person in PEOPLE.items()}
    return {name: crop for name, crop in found.items() if crop is not None}


@lru_cache(maxsize=1)
def _street(height: int, width: int) -> Canvas:
    """Everything that does not move, drawn once per size; never drawn on again."""
    canvas = Canvas.blank(height, width)
    draw_sky(canvas)
    draw_ground(canvas)
    draw_buildings(canvas)
    furnish(canvas)
    draw_sign(canvas)
    for car in PARKED:
        draw_car(canvas, car, 0)
    return canvas


def _populate(canvas: Canvas, frame: int) -> None:
    """Add what moves, far things first."""
    jobs = [(person.place(frame)[1], "person", name) for name, person in PEOPLE.items()]
    jobs += [(MOVING.at(frame), "car", ""), (SMOKE_Z, "smoke", "")]
    for _, kind, name in sorted(jobs, reverse=True):
        if kind == "person":
            draw_person(canvas, PEOPLE[name], frame)
        elif kind == "car":
            draw_car(canvas, MOVING, frame)
        else:
            draw_smoke(canvas, frame)


def _window(temperature: FloatArray) -> tuple[float, float]:
    low, high = np.percentile(temperature, _AGC)
    return float(low), float(high)


def _stretched(temperature: FloatArray, window: tuple[float, float]) -> U8:
    low, high = window
    return _quantised((temperature - np.float32(low)) / np.float32(high - low))


def _quantised(unit: FloatArray) -> U8:
    return np.round(np.clip(unit, 0.0, 1.0) * 255).astype(np.uint8)


def _check(height: int, width: int) -> None:
    if height < SMALLEST or width < SMALLEST:
        raise ParameterError(f"The sample scene needs at least {SMALLEST} × {SMALLEST} pixels, not {height} × {width}.")
