"""The intensity window of a whole stack, found while its frames go by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import Cancelled
from napari_irvisfuse.images.checks import without_colour
from napari_irvisfuse.images.frames import Frames, open_frames
from napari_irvisfuse.images.ranges import Role, Window, WindowSpec, parse_window, shared_window
from napari_irvisfuse.types import Cancel, Progress

__all__ = ["stack_window"]

_NAMES = {"ir": "infrared", "visible": "visible"}
_PERCENTILE_VALUES = 1 << 24  # looked at in a whole stack: exact up to here, and never more memory than this


def stack_window(
    source: object,
    spec: WindowSpec | str = "auto",
    role: Role = "ir",
    *,
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
) -> Window:
    """Choose the one window that all frames of a stack share; a frame fused with it is that of the fused stack.

    Parameters
    ----------
    source
        As for :func:`fuse_stack`. Read only if the values decide, not for 8 bit with ``"auto"``, for example.
    spec
        As for :func:`~napari_irvisfuse.fuse`.
    role
        ``"ir"`` or ``"visible"``.
    progress, cancelled
        As for :func:`~napari_irvisfuse.fuse`.

    Raises
    ------
    ImageError
        If it is no stack, or no value of it is finite.
    ParameterError
        If there is no such window.
    Cancelled
        If ``cancelled`` answered True.
    """
    spec, frames = parse_window(spec), open_frames(source, _NAMES[role])
    plain = frames.dtype == np.uint8 and spec == "auto"
    painted = role == "ir" and len(frames.frame_shape) == 3 and isinstance(spec, str) and spec != "full" and not plain
    scale = _scale_of(frames) if painted else None

    def values() -> Iterator[npt.NDArray[Any]]:
        for number, index in enumerate(frames.indices()):
            if cancelled is not None and cancelled():
                raise Cancelled
            if progress is not None:
                progress(number, len(frames), "Choosing the intensity window")
            frame = frames[index]
            if painted:
                frame, _, _ = without_colour(frame, spec)
            # shares of a palette, for which the window is asked in the values of the colours
            yield frame if scale is None or frame.ndim == 3 else frame * scale

    size = len(frames) * int(np.prod(frames.frame_shape))
    kind = frames.dtype if scale is None else np.dtype(np.float64)
    window = shared_window(values(), kind, spec, role, every=-(-size // _PERCENTILE_VALUES))
    return replace(window, unit=frames.unit) if role == "ir" else window


def _scale_of(frames: Frames) -> float | None:
    """Return what one share of the palette is worth in false colour, None for other colours."""
    first = frames[next(frames.indices())]
    plane, _, _ = without_colour(first, "auto")
    if plane.ndim == 3 or plane.dtype == first.dtype:
        return None
    return float(np.iinfo(first.dtype).max) if np.issubdtype(first.dtype, np.integer) else 1.0
