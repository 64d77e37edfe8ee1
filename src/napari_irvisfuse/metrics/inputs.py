"""From three images as users have them to three tensors as metrics want them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_irvisfuse.devices import choose
from napari_irvisfuse.errors import ImageError
from napari_irvisfuse.images.checks import MIN_SIZE, as_image, normalise, size_of
from napari_irvisfuse.images.pair import ImagePair
from napari_irvisfuse.images.placement import GridChoice
from napari_irvisfuse.images.ranges import WindowSpec
from napari_irvisfuse.maps import Map
from napari_irvisfuse.runtime import Runtime
from napari_irvisfuse.types import Cancel, Progress

__all__ = ["as_tensors", "map_to_array", "runtime_for"]


def runtime_for(device: str, progress: Progress | None, cancelled: Cancel | None) -> Runtime:
    """Metrics are computed in float64: published values hang on it."""
    return Runtime(choose(device, "float64"), progress=progress, cancelled=cancelled)


def as_tensors(
    fused: object,
    ir: object,
    visible: object,
    device: torch.device,
    *,
    ir_to_visible: object = None,
    grid: GridChoice = "visible",
    whole: bool = True,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return luma ``(H, W)`` in [0, 1], float64, of the three images.

    Parameters
    ----------
    ir_to_visible, grid
        How the sources lie on each other and whose grid the fused image has, as for ``fuse``.
    whole
        False: of sources that were resampled, only the rectangle around what both see. Outside of it there is no
        infrared image that a fusion could have kept.

    Raises
    ------
    ImageError
        If one of them is none, their sizes do not fit, or they have too little in common.
    """
    sources = ImagePair.from_images(ir, visible, ir_to_visible=ir_to_visible, grid=grid, dtype=np.float64)
    array = as_image(fused, "fused")
    if array.shape[:2] != sources.shape:
        height, width = sources.shape
        raise ImageError(
            f"The fused image is {size_of(array)} and its sources {width}×{height} pixels (width × height):"
            " give the sources it was made from."
        )
    luma, *_ = normalise(array, "fused", _window_for(array, sources), "visible", np.float64)
    part = (slice(None), slice(None)) if whole else _seen_by_both(sources)
    images = (torch.from_numpy(image[part].copy()).to(device) for image in (luma, sources.ir, sources.visible))
    return tuple(images)  # type: ignore[return-value]


def _seen_by_both(pair: ImagePair) -> tuple[slice, slice]:
    if pair.placement.ir_to_visible is None or pair.valid is None:
        return slice(None), slice(None)
    rows, columns = (np.flatnonzero(pair.valid.any(axis=axis)) for axis in (1, 0))
    height, width = (int(found[-1] - found[0] + 1) if found.size else 0 for found in (rows, columns))
    if min(height, width) < MIN_SIZE:
        raise ImageError(
            f"Both images see only {width}×{height} pixels: at least {MIN_SIZE}×{MIN_SIZE} are needed to measure."
        )
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _window_for(fused: npt.NDArray[Any], sources: ImagePair) -> WindowSpec:
    """Read the fused image as the visible one is, unless it clearly has a range of its own.

    Other programs hand over what a network put out, in [0, 1], beside 8-bit sources, or 8 bit beside 16: through the
    visible image's window those would be all black or all white.
    """
    window, visible = sources.visible_window, sources.source.dtype
    if np.issubdtype(fused.dtype, np.floating):
        own = not np.issubdtype(visible, np.floating) and not ((fused < 0) | (fused > 1)).any()
    else:
        own = fused.dtype.name != visible.name  # of either byte order
    return "auto" if own else (window.low, window.high)


def map_to_array(item: Map[torch.Tensor]) -> Map[npt.NDArray[Any]]:
    """Bring a quality map to NumPy, float32."""
    return Map(item.data.cpu().float().numpy(), item.kind, item.title, item.group, item.stride, item.labels)
