"""Facades: brick, windows lit and dark, the café with its sign, and the skyline at the end of the street."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._cafe import draw_cafe_front
from ._canvas import Canvas
from ._light import AMBIENT, apparent, colour, diffuse_coarse, sky_temperature
from ._texture import Array, fractal, hashed, sample, smoothstep

__all__ = ["SIDE", "draw_buildings"]

SIDE = 7.0  # where the right-hand facades stand, metres


@dataclass(frozen=True)
class Wall:
    """One facade: a plane that faces the street (``facing`` ±1, at ``x = at``) or the camera (0, at ``z = at``).

    ``span`` is its extent along the street, or across it for a wall that faces the camera. Lengths in metres,
    temperatures in °C.
    """

    facing: int
    at: float
    span: tuple[float, float]
    height: float
    seed: int
    paint: tuple[float, float, float]
    brick: bool = True
    lit: float = 0.3
    pitch: float = 2.7
    storey: float = 3.1
    window: tuple[float, float] = (1.15, 1.75)
    ground_floor: float = 3.5
    warmth: float = 11.0
    cafe: bool = False


_BRICK = (0.30, 0.17, 0.12)
_STONE = (0.34, 0.31, 0.27)
_PLASTER = (0.36, 0.33, 0.30)
_DARK = (0.20, 0.18, 0.18)

# from far to near, each painted over the last
WALLS = (
    Wall(0, 96.0, (-34.0, -17.0), 15.0, 21, _DARK, lit=0.35, warmth=9.5),
    Wall(0, 92.0, (-17.0, -6.0), 21.0, 22, _PLASTER, lit=0.40, warmth=9.0),
    Wall(0, 88.0, (-6.0, 2.0), 12.5, 23, _BRICK, lit=0.45, warmth=10.0),
    Wall(0, 90.0, (2.0, 30.0), 17.0, 24, _STONE, lit=0.35, warmth=9.5),
    Wall(1, -14.0, (52.0, 88.0), 14.0, 31, _BRICK, lit=0.4),
    Wall(0, 52.0, (-30.0, -14.0), 14.0, 31, _BRICK, lit=0.3),
    Wall(0, 34.0, (-26.0, -14.0), 10.5, 32, _PLASTER, lit=0.35, warmth=10.2),
    Wall(1, -14.0, (34.0, 50.0), 10.5, 33, _PLASTER, brick=False, lit=0.4, warmth=10.6),
    Wall(-1, SIDE, (62.0, 90.0), 13.5, 41, _STONE, brick=False, lit=0.4),
    Wall(0, 31.0, (SIDE, 24.0), 11.5, 42, _PLASTER, brick=False, lit=0.3, warmth=10.3),
    Wall(-1, SIDE, (45.0, 62.0), 15.0, 43, _BRICK, lit=0.35, warmth=11.4),
    Wall(0, 45.0, (SIDE, 24.0), 15.0, 43, _BRICK, lit=0.25, warmth=11.2),
    Wall(-1, SIDE, (31.0, 45.0), 11.5, 44, _PLASTER, brick=False, lit=0.4, warmth=9.4),
    Wall(-1, SIDE, (2.0, 26.0), 19.0, 45, _BRICK, lit=0.42, warmth=12.4, cafe=True),
)


def draw_buildings(canvas: Canvas) -> None:
    """Draw every wall, far ones first."""
    for wall in WALLS:
        _draw_wall(canvas, wall)


def _draw_wall(canvas: Canvas, wall: Wall) -> None:
    camera = canvas.camera
    if wall.facing:
        crop = camera.crop((wall.at, wall.at), (0.0, wall.height), wall.span)
    else:
        crop = camera.crop(wall.span, (0.0, wall.height), (wall.at, wall.at))
    if crop is None:
        return
    dx, dy = camera.rays(crop)
    with np.errstate(divide="ignore"):
        z = (wall.at - camera.X) / dx if wall.facing else np.full_like(dx, wall.at)
    u = z if wall.facing else camera.X + dx * z
    ahead = np.clip(z, 0.5, 400.0)
    v = camera.Y + dy * ahead
    pixel_v = ahead / camera.focal
    pixel_u = pixel_v * ahead / abs(wall.at - camera.X) if wall.facing else pixel_v
    cover = np.clip((wall.height - v) / pixel_v + 0.5, 0, 1) * np.clip((v - 0.1) / pixel_v + 0.5, 0, 1)
    cover = cover * ((z > 0.5) & (u >= wall.span[0]) & (u <= wall.span[1]))
    radiance, temperature = _facade(wall, u, v, pixel_u, pixel_v, ahead)
    canvas.paint(crop, cover, radiance, temperature, ahead)


def _facade(wall: Wall, u: Array, v: Array, pixel_u: Array, pixel_v: Array, z: Array) -> tuple[Array, Array]:
    """Return radiance ``(h, w, 3)`` and apparent temperature ``(h, w)`` of a facade."""
    reflectance, relief, warmth = _masonry(wall, u, v, pixel_u, pixel_v)
    x = np.full_like(u, wall.at) if wall.facing else u
    normal = (float(wall.facing), 0.0, 0.0 if wall.facing else -1.0)
    light = diffuse_coarse(x, v, z, normal) + AMBIENT
    tint = np.array(wall.paint, np.float32)
    radiance = (reflectance * relief)[..., None] * tint * light
    temperature = apparent(warmth, 0.94, 6.0)
    radiance, temperature = _windows(wall, u, v, radiance, temperature, light)
    if wall.cafe:
        draw_cafe_front(u, v, radiance, temperature, light)
    return radiance, temperature


def _masonry(wall: Wall, u: Array, v: Array, pixel_u: Array, pixel_v: Array) -> tuple[Array, Array, Array]:
    """Brick rows or plaster: reflectance factor, relief shading and surface temperature."""
    stain = sample(fractal(wall.seed, 1.3), u / 19.0, v / 19.0)
    grain = sample(fractal(wall.seed + 50, 0.5), u / 4.0, v / 4.0)
    warmth = wall.warmth + 0.55 * stain + 0.22 * grain - 0.05 * v
    relief = np.ones_like(stain)
    if wall.brick:
        course = np.floor(v / 0.085)
        along = u / 0.26 + 0.5 * (course % 2)
        sharp = np.clip(0.10 / pixel_v - 1.0, 0.0, 1.0) * np.clip(0.26 / pixel_u - 1.0, 0.0, 1.0)
        tone = hashed(np.floor(along), course, wall.seed) - 0.5
        joint = (np.abs(v / 0.085 - course - 0.5) > 0.39) | (np.abs(along - np.floor(along) - 0.5) > 0.46)
        relief = relief * (1 + sharp * (0.5 * tone + np.where(joint, 0.35, 0.0)))
        warmth = warmth + sharp * (0.25 * tone + 0.15 * joint)
    # floor slabs leak heat, and stand out as pale string courses
    level = (v - wall.ground_floor) / wall.storey
    band = smoothstep(0.10, 0.06, np.abs(level - np.round(level)) * wall.storey) * (v > wall.ground_floor - 0.3)
    warmth = warmth + 0.9 * band
    relief = relief * (1 + 0.35 * band) * (1 - 0.3 * smoothstep(0.1, 0.2, v - wall.height + 0.45))
    reflectance = np.clip(1 + 0.20 * stain + 0.10 * grain, 0.3, 1.7) * (0.75 + 0.25 * smoothstep(0.0, 1.2, v))
    return reflectance, relief, warmth


def _windows(wall: Wall, u: Array, v: Array, radiance: Array, temperature: Array, light: Array) -> tuple[Array, Array]:
    """Set windows into the wall: some lit, all of them cool mirrors of the sky to a thermal camera."""
    width, tall = wall.window
    i = np.floor(u / wall.pitch)
    j = np.floor((v - wall.ground_floor) / wall.storey)
    a = u - (i + 0.5) * wall.pitch
    b = v - wall.ground_floor - j * wall.storey - 0.75
    usable = (j >= (0 if wall.cafe else -1)) & (wall.ground_floor + (j + 1) * wall.storey < wall.height + 0.4)
    half = width / 2
    glass = (np.abs(a) < half) & (b > 0) & (b < tall) & usable
    sill = (np.abs(a) < half + 0.10) & (b > -0.12) & (b <= 0) & usable
    head = (np.abs(a) < half + 0.10) & (b >= tall) & (b < tall + 0.16) & usable
    bars = (np.minimum(half - np.abs(a), np.minimum(b, tall - b)) < 0.07) | (np.abs(a) < 0.03)
    bars = glass & (bars | (np.abs(b - 0.68 * tall) < 0.03))
    # the far jamb of the opening is seen edge on: a strip of wall, brighter where the room is lit
    jamb = glass & (a > half - 0.16) if wall.facing else np.zeros_like(glass)

    chance = hashed(i, j, wall.seed)
    on = chance < wall.lit
    glow = _room(a / half, b / tall, i, j, wall.seed)
    pane = np.where((on & glass)[..., None], glow, 0.0)
    # a dark pane mirrors the sky's glow and whatever lamp is near
    dark = colour(0.010, 0.013, 0.024) * (0.6 + 0.8 * b / tall)[..., None] + 0.010 * light
    inside = np.where(on[..., None], pane, dark)
    stone = 0.30 * light
    out = np.where(glass[..., None], inside, radiance)
    out = np.where(bars[..., None], 0.10 * light + 0.04 * pane, out)
    out = np.where(jamb[..., None], 0.16 * light + 0.22 * pane, out)
    out = np.where((sill | head)[..., None], stone + 0.03 * np.where(on[..., None], 0.4, 0.0), out)

    warm = 8.2 + 2.2 * on + 2.0 * (hashed(i, j, wall.seed + 9) - 0.5)
    mirrored = apparent(warm, 0.74, sky_temperature(0.15 + 0.02 * v))
    temperature = np.where(glass, mirrored, temperature)
    temperature = np.where(bars, 11.0 + 0.8 * on, temperature)
    temperature = temperature + 1.3 * head * on + 0.5 * sill
    return out.astype(np.float32), temperature.astype(np.float32)


def _room(a: Array, b: Array, i: Array, j: Array, seed: int) -> Array:
    """Radiance of a lit room behind a pane: warm or cold light, brighter near the ceiling, curtains or a blind."""
    kind, level = hashed(i, j, seed + 1), hashed(i, j, seed + 2)
    warm, cold = colour(1.0, 0.60, 0.26), colour(0.80, 0.92, 1.0)
    tint = np.where((kind > 0.8)[..., None], cold, warm)
    strength = (0.22 + 0.75 * level**2) * (0.45 + 0.65 * np.clip(b, 0, 1))
    lampspot = np.exp(-((a - 0.6 * (level - 0.5)) ** 2) / 0.12 - (b - 0.86) ** 2 / 0.012)
    strength = strength + 0.9 * lampspot * (kind < 0.5)
    folds = 0.62 + 0.16 * np.sin(a * 26.0 + 9.0 * level) + 0.08 * np.sin(a * 61.0)
    curtain = np.abs(a) > 0.45 + 0.35 * hashed(i, j, seed + 3)
    strength = np.where(curtain & (kind < 0.65), strength * folds * 0.75, strength)
    drawn = 1.0 - 0.75 * hashed(i, j, seed + 4)
    blind = (b > drawn) & (kind > 0.6) & (kind < 0.8)
    strength = np.where(blind, strength * (0.42 + 0.10 * np.sin(b * 90.0)), strength)
    furniture = (b < 0.22 + 0.16 * level) & (np.abs(a - 0.4 + level) < 0.5)
    strength = np.where(furniture & ~curtain, strength * 0.45, strength)
    out: Array = strength[..., None] * tint
    return out
