"""Smoothing over time that follows motion at once: what jumps where nothing moves is flicker."""

from __future__ import annotations

import numpy as np

from napari_irvisfuse.errors import ParameterError

from .ranges import FloatArray

__all__ = ["MAX_SMOOTHING", "TemporalSmoother", "check_smoothing"]

MAX_SMOOTHING = 0.98
"""Some hundred frames; with more, the first frame would stay for ever."""

# Mean change of a neighbourhood at which the past counts for a third of its share: five grey levels of 255.
# Chosen on a real film: half of it leaves much of the flicker, twice of it leaves ghosts.
_MOTION = 0.02
_NEIGHBOURHOOD = 5  # pixels
# A pixel by itself has to change by this much more, since it may be noise.
_ALONE = 2.0
# As much of the typical change is taken for noise of the sensors and not for motion. Bounded, since where the camera
# itself moves, the typical change is motion.
_NOISE = _MOTION / 2


def check_smoothing(strength: object) -> None:
    """Refuse what is no strength.

    Raises
    ------
    ParameterError
        If it is no number from 0 to 0.98.
    """
    if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength <= MAX_SMOOTHING:
        raise ParameterError(f"smoothing takes a number from 0 to {MAX_SMOOTHING}; got {strength!r}.")


class TemporalSmoother:
    """Recursive mean of the fused frames where their sources are still.

    Parameters
    ----------
    strength
        Share of the past where nothing moves, 0 … 1: 0.8 averages some nine frames.

    Notes
    -----
    What is smoothed is the fused luma f, so that it serves every method alike, whether it has weight maps or not::

        f'ₜ = k f'ₜ₋₁ + (1 − k) fₜ        k = strength · exp(−(m / 0.02)²)

    m tells, per pixel, how much the two sources differ from their own mean over the same past, in units of their
    windows: the change averaged over 5×5 pixels, less the noise (its median over the image, at most 0.01), or half the
    change of the pixel itself, whichever is more, of the source that changes more. Where something moves, k is 0 and
    the frame is what it would be alone. Smoothing only what a method decides (``f − (infrared + visible) / 2``, or its
    weights) leaves more of the flicker, and with methods that select, like ``max``, adds to it: the noise of the source
    that was not selected comes in.
    """

    def __init__(self, strength: float) -> None:
        self.strength = strength
        self._past: tuple[FloatArray, FloatArray, FloatArray] | None = None

    def __call__(self, fused: FloatArray, ir: FloatArray, visible: FloatArray) -> FloatArray:
        """Return the next frame, smoothed; all ``(H, W)`` luma in [0, 1], none modified."""
        fused = np.clip(fused, 0.0, 1.0)  # or what cannot be seen would go on into the next frames
        if self._past is None:
            self._past = (fused, ir, visible)
            return fused
        past_fused, past_ir, past_visible = self._past
        motion = np.maximum(_motion(ir, past_ir), _motion(visible, past_visible))
        keep: FloatArray = self.strength * np.exp(-np.square(motion / _MOTION))
        keep[keep < 1e-3] = 0.0  # where the past has no share, the frame stays as it is to the last bit
        smoothed: FloatArray = fused + keep * (past_fused - fused)
        self._past = (smoothed, ir + keep * (past_ir - ir), visible + keep * (past_visible - visible))
        return smoothed


def _motion(image: FloatArray, past: FloatArray) -> FloatArray:
    from scipy.ndimage import uniform_filter

    change = np.abs(image - past)
    around: FloatArray = uniform_filter(change, _NEIGHBOURHOOD)
    around -= min(float(np.median(around)), _NOISE)
    return np.maximum(around, change / _ALONE)
