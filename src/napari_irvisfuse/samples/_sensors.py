"""The two cameras: what optics and detectors make of the light and the heat that arrive."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ._texture import Array, smoothstep

__all__ = ["NETD", "infrared", "srgb", "visible"]

NETD = 0.06  # °C: the thermal camera's noise per pixel
COLUMN_NOISE = 0.045  # °C: what is left of its columns' offsets after calibration
WELL = 9000.0  # photoelectrons at white
READ_NOISE = 4.0  # electrons
EXPOSURE = 1.25


def infrared(temperature: Array, frame: int) -> Array:
    """Blur as germanium optics and the pixel do, then add column offsets and temporal noise (°C)."""
    height, width = temperature.shape
    scale = height / 480
    sharp = ndimage.gaussian_filter(temperature, max(0.85 * scale, 0.3), mode="nearest")
    haze = ndimage.gaussian_filter(temperature, 4.5 * scale, mode="nearest")
    columns = np.random.default_rng(11).standard_normal((1, width))
    rows = 0.35 * np.random.default_rng(12).standard_normal((height, 1))
    noise = np.random.default_rng((13, frame)).standard_normal((height, width))
    image = 0.94 * sharp + 0.06 * haze + COLUMN_NOISE * (columns + rows) + NETD * noise
    out: Array = image.astype(np.float32)
    return out


def visible(radiance: Array, frame: int) -> Array:
    """Bloom, vignette, photon and read noise, a film-like tone curve and sRGB, in this order."""
    height, width = radiance.shape[:2]
    light = _bloom(radiance) * np.float32(EXPOSURE)
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height - 0.5
    x = (np.arange(width, dtype=np.float32)[None, :] + 0.5) / width - 0.5
    light *= (1 / (1 + 0.75 * (x * x + y * y)) ** 2)[..., None]
    electrons = np.minimum(light, 4.0) * WELL
    noise = np.random.default_rng((14, frame)).standard_normal(radiance.shape, dtype=np.float32)
    # a shot-noise variance equals the signal, in electrons; many photons, so a normal distribution will do
    electrons += noise * np.sqrt(electrons + READ_NOISE**2)
    out: Array = srgb(_tone(np.maximum(electrons, 0.0) / WELL)).astype(np.float32)
    return out


def _bloom(radiance: Array) -> Array:
    """Spread a little of the light far, as lenses do: a narrow core and three ever wider, ever weaker skirts."""
    height = radiance.shape[0]
    scale = height / 480
    out: Array = 0.843 * ndimage.gaussian_filter(radiance, (max(0.55 * scale, 0.25),) * 2 + (0.0,), mode="nearest")
    for sigma, share in ((2.2, 0.085), (9.0, 0.042), (42.0, 0.030)):
        out += np.float32(share) * _wide_blur(radiance, sigma * scale)
    return out


def _wide_blur(image: Array, sigma: float) -> Array:
    """Gaussian blur; a wide one is done on a coarser grid, where it costs next to nothing."""
    step = max(int(sigma / 2.0), 1)
    if step == 1:
        out: Array = ndimage.gaussian_filter(image, (sigma, sigma, 0.0), mode="nearest")
        return out
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, -height % step), (0, -width % step), (0, 0)), mode="edge")
    h, w = padded.shape[0] // step, padded.shape[1] // step
    coarse = padded.reshape(h, step, w, step, 3).mean(axis=(1, 3))
    coarse = ndimage.gaussian_filter(coarse, (sigma / step, sigma / step, 0.0), mode="nearest")
    for axis, size in ((0, height), (1, width)):
        position = (np.arange(size) + 0.5) / step - 0.5
        low = np.clip(np.floor(position).astype(int), 0, coarse.shape[axis] - 1)
        high = np.minimum(low + 1, coarse.shape[axis] - 1)
        share = np.clip(position - low, 0.0, 1.0).astype(np.float32)
        share = share.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        coarse = np.take(coarse, low, axis) * (1 - share) + np.take(coarse, high, axis) * share
    out = coarse.astype(np.float32)
    return out


def _tone(light: Array) -> Array:
    """Compress highlights as a camera's picture style does: straight in the dark, a long shoulder at the top."""
    shoulder = light * (1 + light / 9.0) / (1 + 0.85 * light)
    # bright colours go towards white instead of staying at one saturated hue
    peak = shoulder.max(axis=-1, keepdims=True)
    mix = 0.5 * smoothstep(0.85, 1.8, peak)
    out: Array = np.clip(shoulder + mix * (peak - shoulder), 0.0, 1.0)
    return out


def srgb(linear: Array) -> Array:
    """Encode linear light in [0, 1] as sRGB (IEC 61966-2-1)."""
    out: Array = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-6) ** (1 / 2.4) - 0.055)
    return out
