"""Intensity windows: which values of an image are black (0) and white (1), and the way back.

A window is resolved once per image and remembered, so that a fused image returns to the range of the
visible image and a recipe can say which window was used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import ImageError, ParameterError

__all__ = [
    "FloatArray",
    "Window",
    "WindowSpec",
    "Windows",
    "check_windows",
    "parse_window",
    "resolve_window",
    "shared_window",
    "to_dtype",
]

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
Role: TypeAlias = Literal["ir", "visible"]
Windows: TypeAlias = Literal["shared", "frame"]
WindowSpec: TypeAlias = Literal["auto", "full", "data", "percentile"] | tuple[float, float]

NAMED_WINDOWS = ("auto", "full", "data", "percentile")
_NAMES = {"ir": "infrared", "visible": "visible"}
# What thermal cameras clip in their own automatic gain: enough to lose a few dead pixels, not a small hot target.
PERCENTILES = (0.1, 99.9)


@dataclass(frozen=True)
class Window:
    """The values shown as 0 and 1.

    Parameters
    ----------
    low, high
        In the image's own units, ``high > low``.
    unit
        Its name, for example ``"°C"``; empty if unknown.
    """

    low: float
    high: float
    unit: str = ""

    def to_unit(self, array: npt.NDArray[Any], dtype: npt.DTypeLike = np.float32) -> FloatArray:
        """Map ``low … high`` to 0 … 1, clipped to [0, 1]; the input is not modified."""
        # float64 in between: a 16-bit level divided in float32 would not come back as the same level
        inside = np.clip(array.astype(np.float64), self.low, self.high)
        unit: FloatArray = ((inside - self.low) / (self.high - self.low)).astype(dtype)
        return unit

    def from_unit(self, unit: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Map 0 … 1 back to ``low … high``, float64, not clipped."""
        return unit.astype(np.float64) * (self.high - self.low) + self.low


def parse_window(spec: object) -> WindowSpec:
    """Check a window given by a user: a name, two numbers (also as text, ``"280,320"``), or a :class:`Window`.

    Raises
    ------
    ParameterError
        If it is neither.
    """
    if isinstance(spec, str):
        if spec in NAMED_WINDOWS:
            return spec  # type: ignore[return-value]
        parts: Any = spec.split(",")
    else:
        parts = (spec.low, spec.high) if isinstance(spec, Window) else spec
    try:
        low, high = (float(part) for part in parts)
    except (TypeError, ValueError, OverflowError):
        names = ", ".join(NAMED_WINDOWS)
        raise ParameterError(f"An intensity window is one of {names}, or two numbers low,high; got {spec!r}.") from None
    if not (math.isfinite(high - low) and high > low):
        raise ParameterError(f"An intensity window needs low < high, both finite; got {low:g}, {high:g}.")
    return low, high


def check_windows(windows: object) -> None:
    """Refuse what is no rule for the windows of a stack.

    Raises
    ------
    ParameterError
        If it is neither ``"shared"`` nor ``"frame"``.
    """
    if windows not in ("shared", "frame"):
        raise ParameterError(f"windows is shared (one for all frames) or frame (each its own); got {windows!r}.")


def resolve_window(array: npt.NDArray[Any], spec: WindowSpec, role: Role) -> Window:
    """Choose the window of one image.

    Parameters
    ----------
    array
        The image, any shape, bool, uint8, uint16 or float; values that are not finite are ignored,
        at least one is finite.
    spec
        ``"full"``: the whole range of the data type ([0, 1] for floats); ``"data"``: smallest to largest value;
        ``"percentile"``: the 0.1 and 99.9 percentiles; two numbers: exactly those; ``"auto"``: the full range for
        8 bit and for floats that lie within [0, 1]. Otherwise, for infrared, the data's range, since counts and
        temperatures have no meaningful zero; for visible 16 bit, 0 to the smallest bit depth that holds the data
        (a 12-bit camera uses 0 … 4095), and for visible floats the data's range extended to include 0 and 1.
    role
        Which of the two images it is; matters for ``"auto"`` only.

    Returns
    -------
    Window
        With ``high > low`` always; a constant image has ``low`` at its value and so becomes 0.

    Raises
    ------
    ImageError
        If smallest and largest value are farther apart than a number can say.
    """
    if not isinstance(spec, str):
        return Window(*spec)
    dtype = array.dtype
    if dtype == np.bool_:
        return Window(0.0, 1.0)
    is_float = np.issubdtype(dtype, np.floating)
    full = Window(0.0, 1.0) if is_float else Window(0.0, float(np.iinfo(dtype).max))
    if spec == "full" or (spec == "auto" and dtype == np.uint8):
        return full

    finite = array[np.isfinite(array)] if is_float else array
    if spec == "percentile":
        low, high = (float(v) for v in np.percentile(finite, PERCENTILES))
    else:
        low, high = float(finite.min()), float(finite.max())
    if spec == "auto":
        if is_float and low >= 0.0 and high <= 1.0:
            return full
        if role == "visible":
            if is_float:
                low, high = min(low, 0.0), max(high, 1.0)
            else:
                low, high = 0.0, float(2 ** max(8, int(high).bit_length()) - 1)
    if not math.isfinite(high - low):
        raise ImageError(
            f"The {_NAMES[role]} image has values from {low:g} to {high:g}, too far apart for a number to say:"
            " give an intensity window."
        )
    # a constant: one unit, or the next number where one unit is too little to make a difference
    return Window(low, high) if high > low else Window(low, max(low + 1.0, math.nextafter(low, math.inf)))


def shared_window(
    frames: Iterable[npt.NDArray[Any]], dtype: np.dtype[Any], spec: WindowSpec, role: Role, *, every: int = 1
) -> Window:
    """Choose one window for all frames of a sequence, so that they do not pump.

    Parameters
    ----------
    frames
        ``(H, W)`` or ``(H, W, 3 or 4)``, one at a time; not even asked for where the data type decides alone.
    dtype
        Of the frames.
    spec, role
        As for :func:`resolve_window`, of which this is what it would answer for all frames as one array.
    every
        For percentiles, which need all values at once: only every so-manieth value of a frame is kept.

    Raises
    ------
    ImageError
        If no frame has a finite value.
    """
    if not isinstance(spec, str) or dtype == np.bool_ or spec == "full" or (spec == "auto" and dtype == np.uint8):
        return resolve_window(np.empty(0, dtype), spec, role)
    found = []
    for frame in frames:
        values = frame[..., :3] if frame.ndim == 3 else frame
        if np.issubdtype(dtype, np.floating):
            finite = np.isfinite(values)
            values = values[finite.all(axis=-1) if values.ndim == 3 else finite]
        if values.size:
            found.append(values.ravel()[::every] if spec == "percentile" else np.array([values.min(), values.max()]))
    if not found:
        raise ImageError(f"The {_NAMES[role]} stack has no finite value: every pixel is NaN or infinite.")
    return resolve_window(np.concatenate(found), spec, role)


def to_dtype(values: FloatArray, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Cast to the data type of an image: integers rounded half up and saturated, bool thresholded at one half."""
    if dtype == np.bool_:
        return np.greater_equal(values, 0.5)
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        values = np.floor(np.clip(values, limits.min, limits.max) + 0.5)
    result: npt.NDArray[Any] = values.astype(dtype)
    return result
