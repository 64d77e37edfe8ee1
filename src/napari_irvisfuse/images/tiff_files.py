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

# photometric interpretations: numbers of the format
_WHITE_IS_0, _PALETTE, _CMYK, _CIELAB = 0, 3, 5, 8


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
        If it is no TIFF, or its first frame cannot be read.
    """
    stack = _Stack(path)
    first = stack.read((0,) * len(stack.axes))
    return Frames(stack.axes, first.shape, first.dtype, stack.read)


class _Stack:
    """An open TIFF of many frames: as a rule one a page, but a page may hold a block of them."""

    def __init__(self, path: Path) -> None:
        tiff = _open(path)
        weakref.finalize(self, tiff.close)  # when nobody can ask for a frame any more
        self._path, self._series = path, tiff.series[0]
        self.axes, self._frame_axes = _split(self._series)
        self._page = self._series.keyframe
        _check_colours(self._page, path)
        self._depth = prod(self.axes) // len(self._series.pages)
        self._blocks = _mapped(path) if self._depth > 1 else None
        self._block: tuple[int, npt.NDArray[Any]] | None = None  # the last one that was read, where none is mapped
        self._lock = Lock()  # one file, one place in it

    def read(self, index: Index) -> npt.NDArray[Any]:
        """Read one frame: grey, or colour with its channels last."""
        number = int(np.ravel_multi_index(index, self.axes))
        try:
            with self._lock:
                return self._as_image(self._stored(index, number), number // self._depth)
        except Exception as error:  # every codec has its own exceptions
            raise ImageError(f"Frame {number} of {self._path} cannot be read ({error}).") from error

    def _stored(self, index: Index, number: int) -> npt.NDArray[Any]:
        if self._blocks is not None:
            return np.array(self._blocks[index])
        page, place = divmod(number, self._depth)
        if self._depth == 1:
            return np.asarray(self._series.asarray(key=page))
        if self._block is None or self._block[0] != page:
            frame_shape = self._series.shape[len(self.axes) :]
            self._block = page, self._series.asarray(key=page).reshape(self._depth, *frame_shape)
        return np.array(self._block[1][place])

    def _as_image(self, frame: npt.NDArray[Any], page: int) -> npt.NDArray[Any]:
        if self._frame_axes == "SYX":  # colour in planes
            frame = np.moveaxis(frame, 0, -1)
        if frame.shape[2:] == (2,):  # grey with alpha
            frame = frame[..., 0]
        if self._page.photometric == _WHITE_IS_0:
            top: np.generic = frame.dtype.type(2**self._page.bitspersample - 1)
            return np.asarray(frame ^ top)
        if self._page.photometric == _PALETTE:
            colours = self._series.pages[page].aspage().colormap >> 8  # pages may have one each
            return np.moveaxis(np.asarray(colours, np.uint8)[:, frame], 0, -1)
        return frame


def _open(path: Path) -> Any:
    import tifffile

    tiff = None
    try:
        tiff = tifffile.TiffFile(path)
        _ = tiff.series[0].keyframe
    except Exception as error:  # whatever damaged bytes lead to
        if tiff is not None:
            tiff.close()
        raise ImageError(f"{path} cannot be read as an image ({error}).") from error
    return tiff


def _mapped(path: Path) -> Any:
    """Map what is stored in one piece, as ImageJ writes large stacks; None if it is not, or compressed."""
    import tifffile

    try:
        return tifffile.memmap(path, mode="r")
    except ValueError:
        return None


def _split(series: Any) -> tuple[tuple[int, ...], str]:
    """Return the axes of the stack, and the names of those of a frame."""
    axes = str(series.axes)
    frame = axes[-3:] if axes.endswith(("YXS", "SYX")) else axes[-2:]
    return tuple(int(side) for side in series.shape[: -len(frame)]), frame


def _check_colours(page: Any, path: Path) -> None:
    if page.photometric in (_CMYK, _CIELAB):
        raise ImageError(f"{path} is a stack in CMYK or CIELAB: save it as grey or RGB.")
    if page.photometric == _WHITE_IS_0 and page.dtype.kind not in "ub":
        raise ImageError(
            f"{path} says that white is 0 and holds {page.dtype} numbers, of which none is black:"
            " save it with black as 0 (BlackIsZero)."
        )
