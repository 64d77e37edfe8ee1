"""TIFF stacks in, one frame at a time."""

from __future__ import annotations

import weakref
from math import prod
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import ImageError

from .frames import Frames, Index

__all__ = ["open_tiff", "tiff_axes"]


def tiff_axes(path: Path) -> tuple[int, ...]:
    """Return the axes of a TIFF before those of the image, ``()`` for a single one; only the header is read.

    Raises
    ------
    ImageError
        If it is no TIFF.
    """
    tiff = _open(path)
    axes, _ = _split(tiff.series[0])
    tiff.close()
    return axes


def open_tiff(path: Path) -> Frames:
    """Open a stack, its pages read when they are asked for.

    Raises
    ------
    ImageError
        If it is no TIFF.
    """
    tiff = _open(path)
    series = tiff.series[0]
    leading, frame_shape = _split(series)
    by_page = len(series.pages) == prod(leading)
    lock = Lock()  # one file, one place in it

    def read(index: Index) -> npt.NDArray[Any]:
        import tifffile

        page = int(np.ravel_multi_index(index, leading))
        try:
            if not by_page:  # one block for all, as ImageJ writes large stacks
                return np.asarray(tifffile.memmap(path)[index])
            with lock:
                return np.asarray(series.asarray(key=page))
        except (OSError, ValueError) as error:
            raise ImageError(f"Frame {page} of {path} cannot be read ({error}).") from error

    weakref.finalize(read, tiff.close)  # when nobody can ask for a frame any more
    return Frames(leading, frame_shape, np.dtype(series.dtype), read)


def _open(path: Path) -> Any:
    import tifffile

    try:
        tiff = tifffile.TiffFile(path)
    except (OSError, ValueError, tifffile.TiffFileError) as error:
        raise ImageError(f"{path} cannot be read as an image ({error}).") from error
    try:
        _ = tiff.series[0].keyframe
    except (OSError, ValueError, IndexError, tifffile.TiffFileError) as error:
        tiff.close()
        raise ImageError(f"{path} cannot be read as an image ({error}).") from error
    return tiff


def _split(series: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the axes of the stack, and those of a frame."""
    shape = tuple(int(side) for side in series.shape)
    split = len(shape) - (3 if str(series.axes).endswith("S") else 2)
    return shape[:split], shape[split:]
