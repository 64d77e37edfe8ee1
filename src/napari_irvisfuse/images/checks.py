"""One image: what it must satisfy, and its luma in [0, 1]."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import ImageError

from .color import split_luma
from .false_colour import unpaint
from .files import read_image
from .radiometric import read_infrared
from .ranges import FloatArray, Role, Window, WindowSpec, resolve_window
from .resampling import fill_from_nearest

__all__ = ["MIN_SIZE", "as_image", "has_value", "normalise", "size_of", "window_of", "without_colour"]

MIN_SIZE = 16
"""Smallest height and width that every method can work on, in pixels."""
_VIVID, _SPECKS = 0.15, 0.02  # difference of channels, share of pixels: a picture in colour, not one with noise
_DTYPES = ("bool", "uint8", "uint16", "float16", "float32", "float64")  # by name, so of either byte order


def size_of(array: npt.NDArray[Any]) -> str:
    """Say the size of an image, width × height."""
    return f"{array.shape[1]}×{array.shape[0]}"


def as_image(image: object, name: str) -> npt.NDArray[Any]:
    """Turn what a user gave into a checked ``(H, W)`` or ``(H, W, 3 or 4)`` array, not copied if it can be helped.

    Parameters
    ----------
    image
        Array, torch tensor or path. What is masked in an array of floats has no value.
    name
        What the errors call it: ``"infrared"`` (read in °C from a radiometric JPEG) or ``"visible"``.

    Raises
    ------
    ImageError
        If it is no image that can be fused.
    """
    if isinstance(image, str | Path):
        image = read_infrared(image) if name == "infrared" else read_image(image)
    if isinstance(image, np.ma.MaskedArray) and np.ma.is_masked(image):
        if not np.issubdtype(image.dtype, np.floating):
            raise ImageError(
                f"The {name} image is a masked array of {image.dtype}, which has no number for nothing:"
                " give image.astype(float).filled(nan)."
            )
        image = image.filled(np.nan)
    try:  # a torch tensor is recognised without importing torch
        array = _from_tensor(image) if hasattr(image, "detach") else np.asarray(image)
    except (TypeError, ValueError) as error:
        raise ImageError(f"The {name} image is not an array of numbers ({error}).") from error

    if array.dtype.name not in _DTYPES:
        raise ImageError(
            f"The {name} image has data type {array.dtype}: convert it to uint8, uint16 or float32 (in [0, 1]) first."
        )
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ImageError(
            f"The {name} image has shape {array.shape}: give one plane (height, width)"
            " or colour (height, width, 3 or 4), one frame at a time."
        )
    if min(array.shape[:2]) < MIN_SIZE:
        raise ImageError(
            f"The {name} image is {size_of(array)} pixels: at least {MIN_SIZE}×{MIN_SIZE} are needed to fuse it."
        )
    return array


def _from_tensor(tensor: Any) -> npt.NDArray[Any]:
    tensor = tensor.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":  # NumPy has none
        tensor = tensor.float()
    array: npt.NDArray[Any] = tensor.numpy()
    # Tensors come channels first by convention, arrays channels last.
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (3, 4):
        array = array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, -1)
    return array


def without_colour(array: npt.NDArray[Any], window: WindowSpec) -> tuple[npt.NDArray[Any], WindowSpec, str]:
    """Turn a checked infrared image in colour into one plane, if it was painted with a palette or is grey all the same.

    Parameters
    ----------
    array
        ``(H, W)`` or ``(H, W, 3 or 4)``.
    window
        In the array's values.

    Returns
    -------
    array
        ``(H, W)`` where possible. In false colour: shares of the palette in [0, 1], float64, with NaN where the image
        had no value.
    window
        In the values of the returned array.
    note
        What was done, in a sentence for the user; empty if nothing was.
    """
    if array.ndim == 2:
        return array, window, ""
    rgb = array[..., :3]
    if (rgb[..., :1] == rgb).all():
        return rgb[..., 0], window, ""
    top = float(np.iinfo(array.dtype).max) if np.issubdtype(array.dtype, np.integer) else 1.0
    unit = rgb.astype(np.float64) / top
    finite = np.isfinite(unit).all(axis=-1)
    unit[~finite] = 0
    if unit.min() < 0 or unit.max() > 1:  # no picture
        return array, window, ""
    values, palette = unpaint(unit)
    if values is None:
        vivid = (np.ptp(unit, axis=-1) > _VIVID).mean() > _SPECKS
        said = "The infrared image is in colour that follows no palette: its luma is fused." if vivid else ""
        return array, window, said
    values[~finite] = np.nan
    scaled: WindowSpec = window if isinstance(window, str) else (window[0] / top, window[1] / top)
    note = (
        f"The infrared image is in false colour (palette: {palette}): it was turned back into a scale from cold to hot."
    )
    return values, scaled, note


def normalise(
    array: npt.NDArray[Any], name: str, spec: WindowSpec, role: Role, dtype: npt.DTypeLike
) -> tuple[FloatArray, FloatArray | None, npt.NDArray[np.bool_], Window]:
    """Return luma, chroma, validity and window of one checked image; the nearest value stands in where it has none.

    Raises
    ------
    ImageError
        If no pixel has a value.
    """
    window, valid = window_of(array, name, spec, role), has_value(array)
    values = array[..., :3] if array.ndim == 3 else array
    unit = window.to_unit(values if valid.all() else fill_from_nearest(values, valid), dtype)
    if array.ndim == 2:
        return unit, None, valid, window
    luma, chroma = split_luma(unit)
    return luma, chroma, valid, window


def window_of(array: npt.NDArray[Any], name: str, spec: WindowSpec, role: Role) -> Window:
    """Return the window of one checked image: of all its pixels that have a value.

    Raises
    ------
    ImageError
        If no pixel has a value.
    """
    valid = has_value(array)
    if not valid.any():
        raise ImageError(f"The {name} image has no finite value: every pixel is NaN or infinite.")
    values = array[..., :3] if array.ndim == 3 else array
    return resolve_window(values if valid.all() else values[valid], spec, role)


def has_value(array: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Tell which pixels of an image are numbers, all of their colours."""
    if not np.issubdtype(array.dtype, np.floating):
        return np.ones(array.shape[:2], dtype=np.bool_)
    finite = np.isfinite(array)
    valid: npt.NDArray[np.bool_] = finite[..., :3].all(axis=-1) if array.ndim == 3 else finite
    return valid
