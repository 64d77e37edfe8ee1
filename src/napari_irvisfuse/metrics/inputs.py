"""From three images as users have them to three tensors as metrics want them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_irvisfuse.devices import choose
from napari_irvisfuse.errors import ImageError
from napari_irvisfuse.images.checks import as_image, normalise, size_of
from napari_irvisfuse.images.pair import ImagePair
from napari_irvisfuse.images.ranges import WindowSpec
from napari_irvisfuse.maps import Map
from napari_irvisfuse.runtime import Runtime
from napari_irvisfuse.types import Cancel, Progress

__all__ = ["as_tensors", "map_to_array", "runtime_for"]


def runtime_for(device: str, progress: Progress | None, cancelled: Cancel | None) -> Runtime:
    """Metrics are computed in float64: published values hang on it."""
    return Runtime(choose(device, "float64"), progress=progress, cancelled=cancelled)


def as_tensors(
    fused: object, ir: object, visible: object, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return luma ``(H, W)`` in [0, 1], float64, of the three images.

    Raises
    ------
    ImageError
        If one of them is none, or their sizes differ.
    """
    sources = ImagePair.from_images(ir, visible, dtype=np.float64)
    array = as_image(fused, "fused")
    if array.shape[:2] != sources.shape:
        height, width = sources.shape
        raise ImageError(
            f"The fused image is {size_of(array)} and its sources {width}×{height} pixels (width × height):"
            " give the sources it was made from."
        )
    luma, *_ = normalise(array, "fused", _window_for(array, sources), "visible", np.float64)
    images = (torch.from_numpy(image).to(device) for image in (luma, sources.ir, sources.visible))
    return tuple(images)  # type: ignore[return-value]


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
