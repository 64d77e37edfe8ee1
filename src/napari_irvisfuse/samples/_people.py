"""People: jointed figures of soft capsules, walking, in winter clothes that keep most of the warmth in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._canvas import Camera, Canvas, Crop
from ._ground import shade
from ._light import AMBIENT, colour, diffuse
from ._texture import Array, fractal, sample, smoothstep

__all__ = ["PEOPLE", "Person", "draw_person", "figure_crop"]

FRAME_RATE = 8.0
BOUNCE = colour(1.0, 0.78, 0.55, 0.085)  # what the lit road throws back at whoever stands near it, even in the dark


@dataclass(frozen=True)
class Person:
    """Somebody in the street.

    Attributes
    ----------
    x, z
        Where they are in frame 0, metres.
    heading
        Direction of walking in the ground plane, as (x, z).
    speed
        Metres per second; 0 stands.
    coat, trousers
        Reflectance of the clothes.
    phase
        Where in the stride frame 0 is, radians.
    """

    x: float
    z: float
    heading: tuple[float, float]
    speed: float
    coat: tuple[float, float, float]
    trousers: tuple[float, float, float]
    tall: float = 1.75
    phase: float = 0.0
    long_coat: bool = False
    turn: float = 8.0  # metres after which they turn back

    def place(self, frame: int) -> tuple[float, float, float, float]:
        """Return (x, z, direction ±1, phase of the stride) in a frame: to and fro, so any frame number works."""
        walked = self.speed * frame / FRAME_RATE
        lap = walked % (2 * self.turn)
        direction = 1.0 if lap < self.turn else -1.0
        along = lap if lap < self.turn else 2 * self.turn - lap
        stride = self.phase + 2 * np.pi * walked / (0.82 * self.tall)
        return self.x + along * self.heading[0], self.z + along * self.heading[1], direction, stride


@dataclass(frozen=True)
class _Part:
    """A capsule from ``a`` to ``b`` (metres from the foot: side, up, towards the camera) and what it is made of."""

    a: tuple[float, float, float]
    b: tuple[float, float, float]
    radius: tuple[float, float]
    warmth: tuple[float, float]
    reflectance: tuple[float, float, float]


_DARK = (0.020, 0.021, 0.026)
_NAVY = (0.030, 0.036, 0.060)
_JEANS = (0.045, 0.055, 0.085)
_SKIN = (0.36, 0.23, 0.17)
_HAIR = (0.035, 0.025, 0.020)

PEOPLE = {
    "couple_left": Person(4.95, 30.0, (0.0, -1.0), 1.1, (0.30, 0.26, 0.20), _DARK, 1.68, 0.9, True),
    "couple_right": Person(5.65, 30.2, (0.0, -1.0), 1.1, _NAVY, _JEANS, 1.80, 2.3),
    "crossing_person": Person(0.2, 19.4, (1.0, 0.0), 1.25, (0.16, 0.035, 0.03), _JEANS, 1.76, 0.9, turn=3.6),
    "smoke_person": Person(-4.45, 18.6, (1.0, 0.05), 0.16, _NAVY, _DARK, 1.80, 0.7, turn=0.6),
    "hidden_person": Person(
        -5.0, 12.4, (0.5, -0.87), 0.20, (0.15, 0.15, 0.12), (0.24, 0.23, 0.21), 1.78, 0.8, True, 0.6
    ),
    "lit_person": Person(5.15, 11.6, (-0.55, -0.83), 0.42, (0.38, 0.30, 0.19), _JEANS, 1.72, 1.1, turn=1.6),
}


def figure_crop(camera: Camera, person: Person, frame: int) -> Crop | None:
    """Return the pixels around a person."""
    x, z, _, _ = person.place(frame)
    return camera.crop((x - 0.62, x + 0.62), (-0.02, person.tall + 0.30), (z, z))


def draw_person(canvas: Canvas, person: Person, frame: int) -> None:
    """Draw one person with the shadow at their feet."""
    crop = figure_crop(canvas.camera, person, frame)
    if crop is None:
        return
    camera = canvas.camera
    x0, z0, direction, phase = person.place(frame)
    floor = 0.13 if abs(x0) > 4.2 else 0.0
    dx, dy = camera.rays(crop)
    side, up = camera.X + dx * z0 - x0, camera.Y + dy * z0 - floor
    pixel = z0 / camera.focal
    _ground_shadow(canvas, crop, x0, z0)

    scale = person.tall / 1.75
    parts = _body(person, direction, phase)
    cover, height, nx, ny, warmth, reflectance = _blend(parts, side / scale, up / scale, pixel / scale)
    folds = sample(fractal(81, 0.9), side * 0.9 + 0.1 * person.tall, up * 0.45)
    nz = np.sqrt(np.clip(1 - nx * nx - ny * ny, 0.04, 1.0))
    # cloth is warm where it lies close and turns cooler towards the outline, where it is seen at a grazing angle
    temperature = 9.5 + (warmth - 9.5) * (0.80 + 0.20 * nz) + 0.7 * folds * smoothstep(31.0, 24.0, warmth)

    bump_x, bump_y = nx + 0.22 * folds, ny + 0.10 * folds
    length = np.sqrt(bump_x**2 + bump_y**2 + nz**2)
    lit = diffuse(x0 + side, up + floor, z0 - height, (bump_x / length, bump_y / length, -nz / length))
    lit = (lit + AMBIENT * (0.8 + 0.4 * bump_y / length)[..., None]) * shade(x0, z0) + BOUNCE
    canvas.paint(crop, cover, reflectance * lit, temperature, z0)


def _ground_shadow(canvas: Canvas, crop: Crop, x0: float, z0: float) -> None:
    """Darken and, a little, warm the ground where a body keeps the light and the cold sky off it."""
    camera = canvas.camera
    around = camera.crop((x0 - 0.8, x0 + 0.8), (0.0, 0.14), (z0 - 0.7, z0 + 0.7))
    if around is None:
        return
    dx, _ = camera.rays(around)
    z = canvas.depth[around]
    x = camera.X + dx * z
    mask = np.exp(-(((x - x0) / 0.32) ** 2) - ((z - z0) / 0.28) ** 2) * (canvas.ground[around] > 0)
    canvas.radiance[around] *= (1 - 0.6 * mask)[..., None]
    canvas.temperature[around] += 0.5 * mask


def _body(person: Person, direction: float, phase: float) -> list[_Part]:
    """Return the capsules of a figure in mid-stride, for somebody 1.75 m tall."""
    hx, hz = person.heading[0] * direction, person.heading[1] * direction
    norm = float(np.hypot(hx, hz))
    hx, hz = hx / norm, hz / norm
    swing = 0.44 if person.speed > 0.3 else 0.20

    def at(forward: float, up: float, left: float) -> tuple[float, float, float]:
        # across the picture, up, towards the camera
        return hx * forward - hz * left, up, -(hz * forward + hx * left)

    legs, drop = _legs(phase, swing)
    lift = 0.075 - drop
    hip, chest, neck = 0.93 + lift, 1.27 + lift, 1.47 + lift
    coat, trousers = person.coat, person.trousers
    parts: list[_Part] = []
    for left, (knee, ankle) in zip((0.095, -0.095), legs, strict=True):
        h, k, a = (
            at(0.0, hip - 0.02, left),
            at(knee[0], knee[1] + lift, left),
            at(ankle[0], ankle[1] + lift, left * 0.9),
        )
        toe = at(ankle[0] + 0.17, max(ankle[1] + lift - 0.045 + ankle[2], 0.035), left * 1.1)
        parts += [
            _Part(h, k, (0.098, 0.066), (22.5, 19.0), trousers),
            _Part(k, a, (0.064, 0.045), (18.6, 16.8), trousers),
            _Part(a, toe, (0.048, 0.036), (16.0, 14.2), (0.03, 0.025, 0.02)),
        ]
    parts += [
        _Part(at(0.0, hip + 0.02, 0.07), at(0.0, hip + 0.02, -0.07), (0.125, 0.125), (21.0, 21.0), coat),
        _Part(at(0.0, hip + 0.08, 0.05), at(0.03, chest, 0.07), (0.130, 0.150), (21.5, 24.0), coat),
        _Part(at(0.0, hip + 0.08, -0.05), at(0.03, chest, -0.07), (0.130, 0.150), (21.5, 24.0), coat),
        _Part(at(0.01, neck - 0.07, 0.14), at(0.01, neck - 0.07, -0.14), (0.082, 0.082), (22.5, 22.5), coat),
    ]
    if person.long_coat:
        for left in (0.075, -0.075):
            parts.append(
                _Part(at(0.02, chest - 0.1, left), at(0.0, 0.60 + lift, left), (0.13, 0.165), (22.5, 17.5), coat)
            )
    for left, turned in ((0.205, phase + np.pi), (-0.205, phase)):
        angle = 0.75 * swing * np.sin(turned)
        elbow = (0.27 * np.sin(angle), neck - 0.09 - 0.27 * np.cos(angle))
        bend = angle + 0.30 + 0.25 * swing
        hand = (elbow[0] + 0.25 * np.sin(bend), elbow[1] - 0.25 * np.cos(bend))
        shoulder, mid = at(0.01, neck - 0.08, left * 0.9), at(elbow[0], elbow[1], left * 1.12)
        end = at(hand[0], hand[1], left * 1.05)
        tip = at(hand[0] + 0.03, hand[1] - 0.06, left * 1.03)
        parts += [
            _Part(shoulder, mid, (0.066, 0.052), (21.5, 19.5), coat),
            _Part(mid, end, (0.052, 0.042), (19.5, 20.0), coat),
            _Part(end, tip, (0.040, 0.034), (29.5, 28.0), _SKIN),
        ]
    face = at(0.055, neck + 0.155, 0.0)
    parts += [
        _Part(at(0.0, neck - 0.03, 0.0), at(0.015, neck + 0.07, 0.0), (0.060, 0.056), (31.5, 33.0), _SKIN),
        _Part(at(0.035, neck + 0.11, 0.0), at(0.02, neck + 0.20, 0.0), (0.078, 0.090), (33.6, 32.8), _SKIN),
        _Part(face, at(0.06, neck + 0.12, 0.0), (0.062, 0.05), (34.2, 33.5), _SKIN),
        _Part(at(-0.03, neck + 0.16, 0.0), at(0.0, neck + 0.225, 0.0), (0.088, 0.088), (27.5, 26.0), _HAIR),
    ]
    return parts


def _legs(phase: float, swing: float) -> tuple[list[tuple[tuple[float, float], tuple[float, float, float]]], float]:
    """Return knee and ankle (forward, up; and the heel's lift) of both legs, and the height of the lower ankle."""
    legs = []
    for offset in (0.0, np.pi):
        thigh = swing * np.sin(phase + offset)
        bend = 0.10 + 1.6 * swing * max(0.0, float(np.cos(phase + offset))) ** 1.5
        knee = (0.43 * np.sin(thigh), 0.91 - 0.43 * np.cos(thigh))
        shin = thigh - bend
        ankle = (knee[0] + 0.43 * np.sin(shin), knee[1] - 0.43 * np.cos(shin), -0.10 * max(0.0, -float(np.sin(shin))))
        legs.append(((float(knee[0]), float(knee[1])), (float(ankle[0]), float(ankle[1]), float(ankle[2]))))
    return legs, min(legs[0][1][1], legs[1][1][1])


def _blend(parts: list[_Part], side: Array, up: Array, pixel: float) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Merge capsules into one soft body: coverage, relief, normal (x, y), temperature, reflectance.

    Each capsule is a height field towards the camera; where several overlap, the nearest wins, with a soft
    transition, so that cloth runs over the joints without a seam.
    """
    covers, heights, normals_x, normals_y, warmths = [], [], [], [], []
    for part in parts:
        ax, ay, az = part.a
        bx, by, bz = part.b
        square = (bx - ax) ** 2 + (by - ay) ** 2 + 1e-6
        t = np.clip(((side - ax) * (bx - ax) + (up - ay) * (by - ay)) / square, 0, 1)
        px, py = side - ax - t * (bx - ax), up - ay - t * (by - ay)
        radius = part.radius[0] + t * (part.radius[1] - part.radius[0])
        away = np.sqrt(px * px + py * py)
        covers.append(np.clip((radius - away) / pixel + 0.5, 0, 1))
        heights.append(np.sqrt(np.maximum(radius * radius - away * away, 0)) + az + t * (bz - az))
        normals_x.append(px / radius)
        normals_y.append(py / radius)
        warmths.append(part.warmth[0] + t * (part.warmth[1] - part.warmth[0]))
    cover, height = np.stack(covers), np.stack(heights)
    top = np.where(cover > 0, height, -9.0).max(axis=0)
    weight = cover * np.exp(np.clip((height - top) * 55.0, -30.0, 0.0)) + 1e-9
    weight = (weight / weight.sum(axis=0)).astype(np.float32)
    nx, ny = (weight * np.stack(normals_x)).sum(axis=0), (weight * np.stack(normals_y)).sum(axis=0)
    warmth = (weight * np.stack(warmths)).sum(axis=0)
    reflectance = np.einsum("phw,pc->hwc", weight, np.array([p.reflectance for p in parts], np.float32))
    return cover.max(axis=0), np.maximum(top, -1.0), np.clip(nx, -1, 1), np.clip(ny, -1, 1), warmth, reflectance
