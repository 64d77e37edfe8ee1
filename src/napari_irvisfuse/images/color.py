"""Luma and chroma in float: colour is taken apart and put together without a detour through 8 bit."""

from __future__ import annotations

import numpy as np

from .ranges import FloatArray

__all__ = ["LUMA_WEIGHTS", "lift_chroma", "merge_luma", "split_luma"]

# ITU-R BT.601, the luma of JPEG, of MATLAB's rgb2gray and of the fusion literature.
LUMA_WEIGHTS = (0.299, 0.587, 0.114)
# sRGB (IEC 61966-2-1) encodes light x as 1.055 x^(1/2.4) − 0.055, but for the darkest shades
_SRGB_OFFSET = 0.055
_MOST_GAIN = 4.0


def split_luma(rgb: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Split R'G'B' into luma and colour differences.

    Parameters
    ----------
    rgb
        ``(…, 3)``, gamma-encoded, in [0, 1].

    Returns
    -------
    luma : ``(…)``, in [0, 1]
    chroma : ``(…, 3)``, R'−Y', G'−Y', B'−Y'; 0 for grey

    Notes
    -----
    ITU-R BT.601: Y' = 0.299 R' + 0.587 G' + 0.114 B'.
    """
    red, green, blue = np.moveaxis(rgb.astype(np.float64), -1, 0)
    of_red, _, of_blue = LUMA_WEIGHTS
    # as differences from green: the luma of a grey is that grey to the last bit, which three products do not give
    luma: FloatArray = np.asarray(green + of_red * (red - green) + of_blue * (blue - green), dtype=rgb.dtype)
    return luma, rgb - luma[..., None]


def merge_luma(luma: FloatArray, chroma: FloatArray) -> FloatArray:
    """Put a new luma under the old colour differences, inside the gamut.

    Where luma + chroma would leave [0, 1], the chroma is scaled down just enough (one factor per pixel).
    Clipping the three channels one by one would be shorter, but would change both hue and the fused luma.

    Parameters
    ----------
    luma
        ``(…)``, in [0, 1].
    chroma
        ``(…, 3)``, from :func:`split_luma`.

    Returns
    -------
    ``(…, 3)`` in [0, 1], whose luma is ``luma`` and whose hue is that of ``chroma``.
    """
    merged: FloatArray = luma[..., None] + chroma
    red, green, blue = np.moveaxis((merged < 0) | (merged > 1), -1, 0)
    outside = red | green | blue  # few pixels, and the rest of the work is for them alone
    merged[outside] = _into_gamut(luma[outside], chroma[outside])
    return merged


def lift_chroma(chroma: FloatArray, old: FloatArray, new: FloatArray) -> FloatArray:
    """Scale colour differences along with the luma, as if there were more or less light on the same surface.

    Parameters
    ----------
    chroma
        ``(…, 3)``, from :func:`split_luma`.
    old, new
        ``(…)``, in [0, 1]: luma before and after.

    Returns
    -------
    ``(…, 3)``: for :func:`merge_luma` under the new luma. Unchanged where the luma is.

    Notes
    -----
    Light multiplied by k takes an sRGB value v to s·(v + 0.055) − 0.055 with s = k^(1/2.4). Solved for the k that leads
    from the old luma to the new one, s = (new + 0.055) / (old + 0.055), and the colour differences grow by s too: hue
    and saturation stay those of the surface. At most fourfold: where more would be needed, colour is mostly noise.
    """
    gain = np.minimum((new + _SRGB_OFFSET) / (old + _SRGB_OFFSET), _MOST_GAIN)
    lifted: FloatArray = chroma * gain[..., None].astype(chroma.dtype)
    return lifted


def _into_gamut(luma: FloatArray, chroma: FloatArray) -> FloatArray:
    room = np.where(chroma > 0, 1.0 - luma[..., None], luma[..., None])
    size = np.abs(chroma)
    share = np.divide(room, size, out=np.ones_like(size), where=size > room).min(axis=-1, keepdims=True)
    inside: FloatArray = np.clip(luma[..., None] + share * chroma, 0.0, 1.0)
    return inside
