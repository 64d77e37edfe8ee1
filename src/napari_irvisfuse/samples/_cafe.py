"""The café on the corner: its lit front, its fascia and the sign that only a visible camera can read."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ._canvas import Canvas
from ._light import AMBIENT, apparent, colour, diffuse, sky_temperature
from ._texture import Array, hashed, lettering, smoothstep

__all__ = ["SIGN", "draw_cafe_front", "draw_sign"]

SIGN = ((4.55, 6.85), (3.05, 4.0), 13.4)  # x and y that the sign covers, and its z
FRONT = (8.0, 20.0)  # along the street
DOOR = 17.9


def draw_cafe_front(u: Array, v: Array, radiance: Array, temperature: Array, light: Array) -> None:
    """Draw the ground floor into a facade, in place; ``u`` is along the street, ``v`` the height."""
    u, v = np.broadcast_arrays(u, v)
    here = (u > FRONT[0]) & (u < FRONT[1]) & (v < 3.35)
    door = here & (np.abs(u - DOOR) < 0.62) & (v < 2.85)
    plinth = here & (v < 0.62) & ~door
    fascia = here & (v > 2.85)
    bay = (u - FRONT[0]) % 1.65
    mullion = (bay < 0.10) | (np.abs(v - 2.32) < 0.04)
    glass = (here & ~plinth & ~fascia & ~mullion) | (door & (v > 0.35) & (np.abs(u - DOOR) < 0.46))

    inside = _interior(u, v)
    panel = colour(0.025, 0.075, 0.065) * light * (1.0 + 0.5 * smoothstep(3.25, 3.3, v))[..., None]
    frame = colour(0.05, 0.085, 0.075) * light + 0.012
    radiance[here] = frame[here]
    radiance[plinth] = (0.11 * light)[plinth]
    radiance[fascia] = (panel + _spotlights(u, v)[..., None] * colour(1.0, 0.80, 0.48, 0.55))[fascia]
    radiance[glass] = inside[glass]

    pane = apparent(10.8 + 0.5 * smoothstep(2.6, 0.8, v), 0.82, sky_temperature(0.2 + 0.0 * v))
    temperature[here] = 12.2
    temperature[plinth] = 11.6
    temperature[fascia] = 11.9
    temperature[glass] = pane[glass]
    # warm air leaves above the door and from the kitchen's vent
    temperature += 3.2 * np.exp(-(((u - DOOR) / 0.5) ** 2) - ((v - 2.9) / 0.22) ** 2)
    vent = (np.abs(u - 20.9) < 0.32) & (np.abs(v - 2.6) < 0.22)
    slats = 0.5 + 0.5 * np.sin(v * 70.0)
    radiance[vent] = (0.08 + 0.12 * slats[vent])[:, None] * light[vent]
    plume = np.exp(-(((u - 20.9) / 0.45) ** 2)) * smoothstep(2.3, 2.7, v) * np.exp(-np.maximum(v - 2.7, 0) / 0.9)
    temperature += np.where(vent, 13.0 + 3.0 * slats, 4.0 * plume)


def _interior(u: Array, v: Array) -> Array:
    """Radiance of the room: pendant lamps, shelves with bottles, a counter, people sitting."""
    wall = colour(1.0, 0.50, 0.17)
    strength = 0.46 + 0.22 * (v - 1.5)
    row, column = np.floor(v / 0.32), np.floor(u / 0.11)
    shelf = (v > 1.45) & (v < 2.25) & (u > 11.5)
    bottle = hashed(column, row, 77)
    strength = np.where(shelf, strength * (0.35 + 1.3 * bottle * (v % 0.32 < 0.2)), strength)
    strength = np.where(v < 1.05, strength * 0.38, strength)
    for k in range(6):
        at = 9.1 + 1.55 * k
        strength = strength + 5.0 * np.exp(-(((u - at) / 0.16) ** 2) - ((v - 2.12) / 0.07) ** 2)
        strength = strength + 0.8 * np.exp(-(((u - at) / 0.55) ** 2) - ((v - 1.95) / 0.4) ** 2)
    for at, tall in ((9.9, 1.30), (10.7, 1.25), (13.2, 1.38), (14.9, 1.28)):
        head = np.hypot((u - at) / 0.8, v - tall) < 0.115
        body = (np.hypot((u - at) / 1.5, np.maximum(v - tall + 0.42, 0.0) * 1.3) < 0.21) & (v < tall)
        strength = np.where(head | body, 0.05, strength)
    out: Array = np.clip(strength, 0.01, None)[..., None] * wall
    return out


def _spotlights(u: Array, v: Array) -> Array:
    """Small lamps along the fascia, which wash it from above."""
    out: Array = np.exp(-(((u % 1.6) - 0.8) ** 2) / 0.05) * np.exp(-((v - 3.2) ** 2) / 0.01)
    return out


def draw_sign(canvas: Canvas) -> None:
    """Hang the lit sign out over the pavement: one temperature all over, so its words are visible light only."""
    camera = canvas.camera
    (x0, x1), (y0, y1), z = SIGN
    crop = camera.crop((x0, x1 + 0.2), (y0, y1), (z, z))
    if crop is None:
        return
    dx, dy = camera.rays(crop)
    x, y = camera.X + dx * z, camera.Y + dy * z
    pixel = z / camera.focal
    inset = np.minimum(np.minimum(x - x0, x1 - x), np.minimum(y - y0, y1 - y))
    cover = np.clip(inset / pixel + 0.5, 0, 1)
    bracket = (x >= x1) & (np.minimum(np.abs(y - y0 - 0.2), np.abs(y - y1 + 0.2)) < 0.035)
    rim = smoothstep(0.055, 0.035, inset)
    words = _words(x, y)
    face = colour(0.36, 0.030, 0.022) * (0.85 + 0.3 * smoothstep(0.5, 0.0, np.abs(y - (y0 + y1) / 2)))[..., None]
    face = face + words[..., None] * (colour(1.35, 1.12, 0.80) - face)
    metal = 0.25 * (diffuse(x, y, z, (0.0, 0.0, -1.0)) + AMBIENT) + 0.02
    radiance = np.where(bracket[..., None], metal, face + rim[..., None] * (metal - face))
    canvas.paint(crop, np.maximum(cover, bracket), radiance, 12.6, z)


def _words(x: Array, y: Array) -> Array:
    """Coverage of the lettering on the grid of ``x (1, w)`` and ``y (h, 1)``, averaged over each pixel."""
    (x0, x1), (y0, y1), _ = SIGN
    text = lettering("CAFÉ 24H", 4)
    left, right, low, high = x0 + 0.16, x1 - 0.16, y0 + 0.2, y1 - 0.13
    columns = np.flatnonzero((x[0] > left) & (x[0] < right))
    rows = np.flatnonzero((y[:, 0] > low) & (y[:, 0] < high))
    out: Array = np.zeros((y.shape[0], x.shape[1]), np.float32)
    if rows.size and columns.size:
        image = Image.fromarray((text * 255).astype(np.uint8))
        small = image.resize((columns.size, rows.size), Image.Resampling.BOX)
        out[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = np.asarray(small, np.float32) / np.float32(255)
    return out
