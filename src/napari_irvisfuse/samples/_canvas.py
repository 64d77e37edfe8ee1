"""The pin-hole camera both sensors share, and the canvas that holds what it sees before any optics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._texture import Array, Scalar

__all__ = ["SUPERSAMPLING", "Camera", "Canvas", "Crop"]

SUPERSAMPLING = 2

Crop = tuple[slice, slice]


class Camera:
    """A level camera with shifted optics, so verticals stay vertical and facing planes keep their shape.

    World coordinates are metres: ``x`` to the right, ``y`` up from the road, ``z`` along the street.

    Parameters
    ----------
    height, width
        Size of the canvas in canvas pixels. A 4:3 frame shows the whole scene; other shapes show more street,
        never less.
    """

    X = 0.4
    Y = 2.75

    def __init__(self, height: int, width: int) -> None:
        core = min(width, height * 4 / 3)
        self.height, self.width = height, width
        self.focal = 0.9 * core
        self.column = width / 2 - 0.04 * core
        self.row = height / 2 - 0.07 * core
        columns = np.arange(width, dtype=np.float32) + np.float32(0.5)
        rows = np.arange(height, dtype=np.float32) + np.float32(0.5)
        self.dx: Array = ((columns - self.column) / self.focal).astype(np.float32)[None, :]
        self.dy: Array = ((self.row - rows) / self.focal).astype(np.float32)[:, None]
        # straight along the horizon a plane is met at infinity; half a pixel away is far enough
        tiny = np.float32(0.25 / self.focal)
        self.dx[np.abs(self.dx) < tiny] = tiny
        self.dy[np.abs(self.dy) < tiny] = tiny

    def project(self, x: Scalar, y: Scalar, z: Scalar) -> tuple[Scalar, Scalar]:
        """Return the (row, column) at which a world point is seen."""
        return self.row - self.focal * (y - self.Y) / z, self.column + self.focal * (x - self.X) / z

    def crop(self, x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]) -> Crop | None:
        """Return the pixels that a world box covers, or None where it is out of the frame."""
        near = max(z[0], 0.5)
        corners = [self.project(a, b, c) for a in x for b in y for c in (near, max(z[1], near))]
        rows = [float(r) for r, _ in corners]
        columns = [float(c) for _, c in corners]
        top, bottom = max(int(min(rows)) - 1, 0), min(int(max(rows)) + 2, self.height)
        left, right = max(int(min(columns)) - 1, 0), min(int(max(columns)) + 2, self.width)
        if top >= bottom or left >= right:
            return None
        return slice(top, bottom), slice(left, right)

    def rays(self, crop: Crop) -> tuple[Array, Array]:
        """Return the slopes ``dx (1, w)`` and ``dy (h, 1)``: a pixel sees ``(X + dx·z, Y + dy·z, z)``."""
        return self.dx[:, crop[1]], self.dy[crop[0]]


@dataclass
class Canvas:
    """What arrives at the two lenses, pixel by pixel.

    Attributes
    ----------
    radiance
        ``(H, W, 3)`` linear light, about 1 for a sunlit white in this night's exposure.
    temperature
        ``(H, W)`` apparent temperature in °C.
    depth
        ``(H, W)`` metres along the street.
    ground
        ``(H, W)`` reflectance of what is seen of the ground, 0 elsewhere: what headlights and shadows fall on.
    """

    camera: Camera
    radiance: Array
    temperature: Array
    depth: Array
    ground: Array

    @classmethod
    def blank(cls, height: int, width: int) -> Canvas:
        """Return an empty canvas for an image of ``height`` × ``width``, ``SUPERSAMPLING`` times finer."""
        h, w = height * SUPERSAMPLING, width * SUPERSAMPLING
        flat = [np.zeros((h, w), np.float32) for _ in range(3)]
        flat[1] += np.float32(1e4)
        return cls(Camera(h, w), np.zeros((h, w, 3), np.float32), flat[0], flat[1], flat[2])

    def copy(self) -> Canvas:
        """Return a canvas to draw on without touching this one."""
        arrays = (self.radiance, self.temperature, self.depth, self.ground)
        return Canvas(self.camera, *(a.copy() for a in arrays))

    def paint(self, crop: Crop, cover: Array, radiance: Array, temperature: Scalar, depth: Scalar) -> None:
        """Lay a surface over the crop where ``cover`` (h, w) is above 0 and nothing nearer is there already."""
        behind = self.depth[crop]
        cover = (cover * (depth < behind)).astype(np.float32)
        self.radiance[crop] += cover[..., None] * (radiance - self.radiance[crop])
        self.temperature[crop] += cover * (temperature - self.temperature[crop])
        self.ground[crop] *= 1 - cover
        self.depth[crop] = np.where(cover > 0.5, depth, behind)

    def reduced(self) -> tuple[Array, Array]:
        """Average the supersamples: radiance ``(h, w, 3)`` and temperature ``(h, w)`` of the image."""
        return _binned(self.radiance), _binned(self.temperature)


def _binned(array: Array) -> Array:
    n = SUPERSAMPLING
    parts = [array[i::n, j::n] for i in range(n) for j in range(n)]
    out: Array = sum(parts[1:], parts[0]) * np.float32(1 / n**2)
    return out
