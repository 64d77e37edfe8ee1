"""Smoke that drifts over the left pavement: a wall to visible light, all but nothing to long-wave infrared."""

from __future__ import annotations

import numpy as np

from ._canvas import Camera, Canvas, Crop
from ._light import AMBIENT, colour, diffuse_coarse
from ._texture import Array, fractal, sample, smoothstep

__all__ = ["SMOKE_Z", "draw_smoke", "smoke_crop"]

SMOKE_Z = 16.6
_X, _TALL = (-8.4, 1.8), 4.6
THERMAL_SHARE = 0.055  # how much of its visible opacity is left at 8–14 µm: droplets far smaller than the wave


def smoke_crop(camera: Camera) -> Crop | None:
    """Return the pixels the smoke can reach."""
    return camera.crop(_X, (0.0, _TALL), (SMOKE_Z, SMOKE_Z))


def draw_smoke(canvas: Canvas, frame: int) -> None:
    """Lay the smoke over what is behind it, lit by the lamps around."""
    crop = smoke_crop(canvas.camera)
    if crop is None:
        return
    camera = canvas.camera
    dx, dy = camera.rays(crop)
    x, y = camera.X + dx * SMOKE_Z, camera.Y + dy * SMOKE_Z
    opacity, relief = _density(x, y, frame / 8.0)
    # where the ground in front is nearer than the smoke, the smoke's foot would cut it off: let it thin out there
    nx, ny = -0.6 * relief, 0.35 + 0.3 * relief
    length = np.sqrt(nx**2 + ny**2 + 0.5)
    lit = diffuse_coarse(x, np.maximum(y, 0.05), SMOKE_Z, (nx / length, ny / length, -0.7 / length))
    volume = diffuse_coarse(x, np.maximum(y, 0.05), SMOKE_Z, (0.0, 0.75, 0.65))
    radiance = colour(0.30, 0.31, 0.33) * (0.55 * lit + 0.55 * volume + 2.2 * AMBIENT)

    behind = canvas.depth[crop]
    seen = opacity * smoothstep(-0.6, 0.8, behind - SMOKE_Z)
    canvas.radiance[crop] += seen[..., None] * (radiance - canvas.radiance[crop])
    canvas.temperature[crop] += THERMAL_SHARE * seen * (13.0 - canvas.temperature[crop])


def _density(x: Array, y: Array, seconds: float) -> tuple[Array, Array]:
    """Return opacity and relief of the cloud; three layers of noise drift at their own pace, so it also changes."""
    wind = 0.42 * seconds
    bend = 0.25 * sample(fractal(91, 1.3), x / 13.0 - 0.02 * seconds, y / 11.0 - 0.03 * seconds)
    big = sample(fractal(92, 1.3), (x - wind) / 11.0 + 0.05 * bend, (y - 0.35 * seconds) / 9.0)
    mid = sample(fractal(93, 1.1), (x - 1.25 * wind) / 6.0 + 0.05 * bend, (y - 0.55 * seconds) / 5.0)
    fine = sample(fractal(94, 0.95), (x - 1.5 * wind) / 3.2, (y - 0.7 * seconds) / 2.7)
    middle = -3.6 + 0.25 * wind
    across = (x - middle + 0.18 * big) / (1.45 + 0.25 * np.maximum(y, 0.0))
    shape = np.exp(-(across**2) * 1.15) * smoothstep(_TALL, 1.4, y + 0.5 * mid) * smoothstep(-0.25, 0.35, y)
    thickness = shape * np.clip(1.30 + 0.22 * big + 0.24 * mid + 0.11 * fine, 0.4, None)
    opacity = 1 - np.exp(-5.5 * thickness**1.6)
    return opacity.astype(np.float32), (0.6 * mid + 0.5 * fine).astype(np.float32)
