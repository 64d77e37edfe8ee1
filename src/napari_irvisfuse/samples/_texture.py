"""Procedural texture: tileable fractal noise, hashes and lettering, all from fixed seeds."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy import fft, ndimage

__all__ = ["Array", "Scalar", "fractal", "hashed", "lettering", "sample", "smoothstep"]

Array: TypeAlias = npt.NDArray[Any]
Scalar: TypeAlias = "float | Array"

SIDE = 512


@lru_cache(maxsize=32)
def fractal(seed: int, slope: float) -> Array:
    """Noise with a power spectrum of 1/f^(2·slope), which tiles without a seam.

    Parameters
    ----------
    seed
        Which noise.
    slope
        How fast the amplitude falls with frequency: 0 is white noise, 1 cloudy, 1.5 smooth.

    Returns
    -------
    ``(512, 512)`` float32, mean 0, standard deviation 1; read-only
    """
    frequency = np.hypot(fft.fftfreq(SIDE)[:, None], fft.rfftfreq(SIDE)[None, :]) * SIDE
    frequency[0, 0] = np.inf
    white = fft.rfft2(np.random.default_rng(seed).standard_normal((SIDE, SIDE), dtype=np.float32))
    noise: Array = fft.irfft2(white * (frequency**-slope).astype(np.float32), s=(SIDE, SIDE))
    noise = (noise / noise.std()).astype(np.float32)
    noise.flags.writeable = False
    return noise


def sample(texture: Array, u: Array, v: Array) -> Array:
    """Read a tiling texture at ``(u, v)``, given in tiles; bilinear, broadcasting ``u`` against ``v``."""
    u, v = np.broadcast_arrays(u, v)
    coordinates = np.stack([v, u]).astype(np.float32) * np.float32(SIDE)
    # wrapped here: map_coordinates wraps too, but loses float32 precision far from the origin
    np.mod(coordinates, np.float32(SIDE), out=coordinates)
    out: Array = ndimage.map_coordinates(texture, coordinates, order=1, mode="grid-wrap", output=np.float32)
    return out


def hashed(i: Scalar, j: Scalar, seed: int) -> Array:
    """Return a number in [0, 1) that depends on the whole numbers ``i`` and ``j`` only, evenly spread."""
    a = np.asarray(i).astype(np.int64) * 374761393 + np.asarray(j).astype(np.int64) * 668265263 + seed * 974634541
    a = (a ^ (a >> 13)) * 1274126177 & 0x7FFFFFFF
    a = (a ^ (a >> 15)) * 1103515245 & 0x7FFFFFFF
    return ((a ^ (a >> 16)) % 65536).astype(np.float32) / np.float32(65536)


def smoothstep(low: float, high: float, x: Scalar) -> Array:
    """Rise smoothly from 0 at ``low`` to 1 at ``high`` (falls if ``low > high``)."""
    t = np.clip((np.asarray(x, dtype=np.float32) - low) / (high - low), 0.0, 1.0)
    out: Array = t * t * (3.0 - 2.0 * t)
    return out


@lru_cache(maxsize=8)
def lettering(text: str, bold: int = 2) -> Array:
    """Draw text in Pillow's own font, cropped to its ink.

    The font has no accents, so ``É`` is drawn as an E with a stroke above it.

    Returns
    -------
    ``(h, w)`` float32 coverage in [0, 1], about 100 pixels high; read-only
    """
    font = ImageFont.load_default(120)
    image = Image.new("L", (120 * len(text), 260))
    draw = ImageDraw.Draw(image)
    x = 20.0
    for letter in text:
        plain = "E" if letter == "É" else letter
        draw.text((x, 60), plain, fill=255, font=font, stroke_width=bold, stroke_fill=255)
        width = font.getlength(plain)
        if letter == "É":
            draw.line([(x + 0.42 * width, 70), (x + 0.68 * width, 48)], fill=255, width=10 + bold)
        x += width + 2 * bold + 3
    ink = image.crop(image.getbbox())
    coverage: Array = np.asarray(ink, dtype=np.float32) / np.float32(255)
    coverage.flags.writeable = False
    return coverage
