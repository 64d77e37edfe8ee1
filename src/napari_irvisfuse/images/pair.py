"""ImagePair: two images of one scene on one grid. After it exists nothing needs checking again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import ImageError

from .color import merge_luma, split_luma
from .files import read_image
from .ranges import FloatArray, Role, Window, WindowSpec, parse_window, resolve_window, to_dtype

__all__ = ["MIN_SIZE", "ImagePair", "Output"]

MIN_SIZE = 16
"""Smallest height and width that every method can work on, in pixels."""

Output: TypeAlias = Literal["visible", "luma"]
_DTYPES = ("bool", "uint8", "uint16", "float16", "float32", "float64")  # by name, so of either byte order
_NAMES: dict[Role, str] = {"ir": "infrared", "visible": "visible"}


@dataclass(frozen=True, eq=False)
class ImagePair:
    """Two images of one scene on one grid, checked and normalised.

    Build it with :meth:`from_images`.

    Parameters
    ----------
    ir, visible
        Luma, ``(H, W)`` float32 (float64 if asked for) in [0, 1]. Where an image had no value (NaN, infinity) the
        nearest value stands in.
    chroma
        Colour differences of the visible image, ``(H, W, 3)``, or None if it is grey.
    valid
        ``(H, W)`` bool, False where either image had no value, or None if everything is valid.
    source
        The visible image as given (a view, never written to), ``(H, W)`` or ``(H, W, 3 or 4)``.
    ir_window, visible_window
        Which values became 0 and 1.
    windows
        The two windows as they were asked for, for the recipe.
    """

    ir: FloatArray
    visible: FloatArray
    chroma: FloatArray | None
    valid: npt.NDArray[np.bool_] | None
    source: npt.NDArray[Any]
    ir_window: Window
    visible_window: Window
    windows: tuple[WindowSpec, WindowSpec] = ("auto", "auto")

    @classmethod
    def from_images(
        cls,
        ir: object,
        visible: object,
        *,
        ir_window: WindowSpec | str = "auto",
        visible_window: WindowSpec | str = "auto",
        dtype: npt.DTypeLike = np.float32,
    ) -> ImagePair:
        """Check and normalise two images.

        Parameters
        ----------
        ir, visible
            Array, torch tensor or path of an image file. ``(H, W)`` grey or ``(H, W, 3 or 4)`` RGB(A) (tensors also
            channels first); bool, uint8, uint16 or float; at least 16×16 and both of one size. An infrared
            image in colour is reduced to its luma; alpha is ignored for fusion and passed on in the result.
        ir_window, visible_window
            Which values become 0 and 1, see :func:`~napari_irvisfuse.images.ranges.resolve_window`.
        dtype
            Of the luma: float32, or float64 to repeat a published result to the last bit.

        Raises
        ------
        ImageError
            With one sentence that says what is wrong and what to do.
        ParameterError
            If a window is none.
        """
        ir_window, visible_window = parse_window(ir_window), parse_window(visible_window)
        ir_array, visible_array = _as_image(ir, "ir"), _as_image(visible, "visible")
        if ir_array.shape[:2] != visible_array.shape[:2]:
            raise ImageError(
                f"The infrared image is {_size(ir_array)} and the visible image {_size(visible_array)} pixels"
                " (width × height): resample one onto the grid of the other first."
            )
        ir_luma, _, ir_valid, ir_used = _normalise(ir_array, ir_window, "ir", dtype)
        luma, chroma, visible_valid, visible_used = _normalise(visible_array, visible_window, "visible", dtype)
        valid = ir_valid & visible_valid
        return cls(
            ir=ir_luma,
            visible=luma,
            chroma=chroma,
            valid=None if valid.all() else valid,
            source=visible_array,
            ir_window=ir_used,
            visible_window=visible_used,
            windows=(ir_window, visible_window),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.visible.shape
        return height, width

    def restore(self, fused: FloatArray, output: Output = "visible") -> npt.NDArray[Any]:
        """Bring a fused luma back to the visible image's data type, range and colour.

        Parameters
        ----------
        fused
            ``(H, W)``, clipped to [0, 1] here.
        output
            ``"visible"``: colour and alpha of the visible image; ``"luma"``: grey ``(H, W)`` even if it had colour.

        Returns
        -------
        ndarray
            Of the visible image's dtype. Pixels that are not valid, and those whose luma the fusion
            left exactly as it was, are the visible image's own, bit for bit.
        """
        luma = np.clip(fused.astype(self.visible.dtype), 0.0, 1.0)
        changed = luma != self.visible
        if self.valid is not None:
            changed &= self.valid
        if self.chroma is None or output == "luma":
            result = self.source.copy() if self.chroma is None else self._own_luma()
            np.copyto(result, self._encode(luma), where=changed)
        else:
            result = self.source.copy()
            np.copyto(result[..., :3], self._encode(merge_luma(luma, self.chroma)), where=changed[..., None])
        return result

    def _own_luma(self) -> npt.NDArray[Any]:
        """Luma of a colour source as given: not cut to the window, NaN where a channel has no value."""
        with np.errstate(invalid="ignore"):
            return to_dtype(split_luma(self.source[..., :3].astype(np.float64))[0], self.source.dtype)

    def _encode(self, unit: FloatArray) -> npt.NDArray[Any]:
        return to_dtype(self.visible_window.from_unit(unit), self.source.dtype)


def _size(array: npt.NDArray[Any]) -> str:
    return f"{array.shape[1]}×{array.shape[0]}"


def _as_image(image: object, role: Role) -> npt.NDArray[Any]:
    """Turn what a user gave into a checked ``(H, W)`` or ``(H, W, 3 or 4)`` array, not copied if it can be helped."""
    name = _NAMES[role]
    if isinstance(image, str | Path):
        image = read_image(image)
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
            f"The {name} image is {_size(array)} pixels: at least {MIN_SIZE}×{MIN_SIZE} are needed to fuse it."
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


def _normalise(
    array: npt.NDArray[Any], spec: WindowSpec, role: Role, dtype: npt.DTypeLike
) -> tuple[FloatArray, FloatArray | None, npt.NDArray[np.bool_], Window]:
    """Return luma, chroma, validity and window of one checked image."""
    values = array[..., :3] if array.ndim == 3 else array
    if np.issubdtype(values.dtype, np.floating):
        finite = np.isfinite(values)
        valid = finite.all(axis=-1) if array.ndim == 3 else finite
        if not valid.any():
            raise ImageError(f"The {_NAMES[role]} image has no finite value: every pixel is NaN or infinite.")
        if not valid.all():
            values = _fill_from_nearest(values, valid)
    else:
        valid = np.ones(array.shape[:2], dtype=np.bool_)
    window = resolve_window(values, spec, role)
    unit = window.to_unit(values, dtype)
    if array.ndim == 2:
        return unit, None, valid, window
    luma, chroma = split_luma(unit)
    return luma, chroma, valid, window


def _fill_from_nearest(values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Replace invalid pixels by the nearest valid one: a constant there would be an edge that no camera saw."""
    from scipy.ndimage import distance_transform_edt

    rows, columns = distance_transform_edt(~valid, return_distances=False, return_indices=True)
    filled: npt.NDArray[Any] = values[rows, columns]
    return filled
