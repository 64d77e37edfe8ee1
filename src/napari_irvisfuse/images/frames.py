"""Frames: a stack of images read one at a time, wherever it is: an array, a TIFF, a folder, a film."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import ImageError, ParameterError

from .checks import as_image
from .listing import IMAGES, natural
from .radiometric import infrared_unit
from .scale import Scale, read_scale

__all__ = ["Frames", "Index", "common_shape", "is_stack", "open_frames", "parse_frames"]

Index: TypeAlias = tuple[int, ...]
VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
_TIFF = (".tif", ".tiff")


@dataclass(frozen=True, eq=False)
class Frames:
    """A stack of images of one size, of which only the frames asked for are in memory.

    Parameters
    ----------
    shape
        Of the axes before those of the image: ``(T,)``, ``(T, Z)`` …; ``()`` for a single image.
    frame_shape
        ``(H, W)`` or ``(H, W, 3 or 4)``.
    dtype
        Of every frame.
    read
        Returns the frame of one index.
    rate
        Frames per second, where the source knows.
    names
        Of the files that the frames come from, where each is a file.
    unit
        Of the values, for example ``"°C"``, where the source says so.
    scale
        Size of the pixels, where the source says so.
    """

    shape: tuple[int, ...]
    frame_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[Index], npt.NDArray[Any]]
    rate: float | None = None
    names: tuple[str, ...] = ()
    unit: str = ""
    scale: Scale = field(default_factory=Scale)

    def __len__(self) -> int:
        return prod(self.shape)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.frame_shape[0], self.frame_shape[1]

    def __getitem__(self, index: Index) -> npt.NDArray[Any]:
        return self.read(index)

    def indices(self) -> Iterator[Index]:
        """Go through all frames, the last axis fastest."""
        return np.ndindex(*self.shape)

    def spread(self, shape: tuple[int, ...]) -> Frames:
        """Repeat along axes of length 1 and new axes in front, as NumPy broadcasts; nothing is read."""
        own = self.shape

        kept: list[npt.NDArray[Any]] = []  # a single image, so that it is read once for all frames

        def read(index: Index) -> npt.NDArray[Any]:
            last = index[len(index) - len(own) :]
            if kept:
                return kept[0]
            frame = self.read(tuple(0 if side == 1 else i for i, side in zip(last, own, strict=True)))
            if prod(own) == 1:
                kept.append(frame)
            return frame

        return self if shape == own else replace(self, shape=shape, read=read)

    def select(self, frames: slice | Sequence[int]) -> Frames:
        """Keep some frames along the first axis.

        Raises
        ------
        ParameterError
            If there are none, or none of these.
        """
        if not self.shape:
            return self
        count = self.shape[0]
        try:
            chosen = (
                list(range(count))[frames] if isinstance(frames, slice) else [operator.index(frame) for frame in frames]
            )
        except (TypeError, ValueError):
            raise ParameterError(f"Frames are a slice or a list of whole numbers; got {frames!r}.") from None
        wrong = [frame for frame in chosen if not -count <= frame < count]
        if wrong or not chosen:
            what = f"no frame {wrong[0]}" if wrong else "none of these frames"
            raise ParameterError(f"The stack has {count} frames, 0 to {count - 1}, and {what}.")
        names = tuple(self.names[frame] for frame in chosen) if self.names else ()
        first = [frame % count for frame in chosen]
        shape = (len(first), *self.shape[1:])
        return replace(self, shape=shape, names=names, read=lambda index: self.read((first[index[0]], *index[1:])))


def common_shape(ir: tuple[int, ...], visible: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of the stack that two stacks make together: equal ones, or a single one repeated.

    Raises
    ------
    ImageError
        With both numbers of frames.
    """
    try:
        return np.broadcast_shapes(ir, visible)
    except ValueError:
        counts = [f"{' × '.join(str(side) for side in shape)} frames" for shape in (ir, visible)]
        raise ImageError(
            f"The infrared stack has {counts[0]} and the visible stack {counts[1]}: give both the same number of"
            " frames, or one of them a single image."
        ) from None


def parse_frames(text: str) -> slice | list[int]:
    """Read which frames are meant: ``"10:50"``, ``"::2"`` (as in Python, the end is left out), or ``"0,4,7"``.

    Raises
    ------
    ParameterError
        If it is neither.
    """
    try:
        if ":" not in text:
            return [int(part) for part in text.split(",")]
        parts = [int(part) if part.strip() else None for part in text.split(":")]
        if len(parts) <= 3 and 0 not in parts[2:]:
            return slice(*parts)
    except ValueError:
        pass
    raise ParameterError(f"Frames are given as FROM:TO, FROM:TO:STEP or numbers with commas; got {text!r}.")


def is_stack(source: object) -> bool:
    """Tell whether this is more than one image; of files only the header is read, and what is broken is no stack."""
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if path.is_dir() or path.suffix.lower() in VIDEOS:
            return True
        try:
            return _holds_pages(path)
        except ImageError:
            return False
    if isinstance(source, list | tuple):
        return bool(source) and (isinstance(source[0], str | Path) or np.ndim(source[0]) >= 2)
    if isinstance(source, Frames):
        return bool(source.shape)
    shape = tuple(getattr(source, "shape", ()))
    if hasattr(source, "detach") and len(shape) == 3 and shape[0] in (1, 3, 4):
        return False  # channels first
    return len(shape) - (len(shape) >= 3 and shape[-1] in (3, 4)) > 2


def open_frames(source: object, name: str = "infrared") -> Frames:
    """Open an image or a stack, without reading more than the first frame.

    Parameters
    ----------
    source
        ``(…, H, W)`` or ``(…, H, W, 3 or 4)``: a NumPy, dask or Zarr array, a torch tensor; a list of images or of
        files; a TIFF with any number of pages, a folder of images (in the order of their names, numbers counted as
        numbers), a film, an OME-Zarr folder; or any single image file.
    name
        What the errors call it: ``"infrared"``.

    Raises
    ------
    ImageError
        If it is nothing of that kind, or its frames are no images that can be fused.
    """
    if isinstance(source, Frames):
        return source
    if isinstance(source, str | Path):
        frames = _open_path(Path(source).expanduser(), name)
    elif isinstance(source, list | tuple) and is_stack(source):
        frames = _from_list(source, name)
    else:
        frames = from_array(source, name)
    # no more than a shape and a type is looked at: one number, repeated
    as_image(np.broadcast_to(np.zeros((), frames.dtype), frames.frame_shape), name)
    return frames


def from_array(array: Any, name: str = "infrared") -> Frames:
    """Open anything with a shape, a data type and an index.

    Raises
    ------
    ImageError
        If it has none.
    """
    if hasattr(array, "detach"):
        array = _from_tensor(array)
    elif not all(hasattr(array, part) for part in ("shape", "dtype", "__getitem__")):
        array = as_image(array, name)
    shape = tuple(int(side) for side in array.shape)
    colour = len(shape) >= 3 and shape[-1] in (3, 4)
    split = len(shape) - (3 if colour else 2)
    if split < 0 or 0 in shape:
        as_image(np.empty(shape), name)
    return Frames(shape[:split], shape[split:], np.dtype(array.dtype), lambda index: np.asarray(array[index]))


def _from_tensor(tensor: Any) -> npt.NDArray[Any]:
    """Channels go last: they come first in tensors by convention."""
    tensor = tensor.detach().cpu()
    tensor = tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor  # NumPy has none
    array: npt.NDArray[Any] = tensor.numpy()
    first = array.ndim >= 3 and array.shape[-3] in (1, 3, 4) and array.shape[-1] not in (3, 4)
    if first and (array.ndim > 3 or array.shape[0] != 1):
        array = np.moveaxis(array, -3, -1)
        return array[..., 0] if array.shape[-1] == 1 else array
    return array


def _from_list(source: Sequence[Any], name: str) -> Frames:
    first = _item(source, 0, name)
    names = tuple(Path(item).name for item in source if isinstance(item, str | Path))

    def read(index: Index) -> npt.NDArray[Any]:
        number = index[0]
        image = first if number == 0 else _item(source, number, name)
        if image.shape != first.shape or image.dtype != first.dtype:
            raise ImageError(
                f"{_called(source, number)} of the {name} stack has shape {image.shape} and type {image.dtype},"
                f" {_called(source, 0)} {first.shape} and {first.dtype}: all frames of a stack have to be alike."
            )
        return image

    unit = infrared_unit(source[0]) if names and name == "infrared" else ""
    whole = len(names) == len(source)
    return Frames((len(source),), first.shape, first.dtype, read, names=names if whole else (), unit=unit)


def _item(source: Sequence[Any], number: int, name: str) -> npt.NDArray[Any]:
    try:
        return as_image(source[number], name)
    except ImageError as error:
        called = _called(source, number)
        if called in str(error):
            raise
        raise ImageError(f"{called}: {error}") from error


def _called(source: Sequence[Any], number: int) -> str:
    """Return what an error calls an image of a list: its file, if it is one."""
    item = source[number]
    return str(Path(item).expanduser()) if isinstance(item, str | Path) else f"Frame {number}"


def _open_path(path: Path, name: str) -> Frames:
    suffix = path.suffix.lower()
    if path.is_dir():
        if any((path / file).is_file() for file in ("zarr.json", ".zattrs")):
            from .zarr_files import open_zarr

            return open_zarr(path)
        return open_folder(path, name)
    if suffix in VIDEOS:
        from .video import open_video

        return open_video(path)
    if _holds_pages(path):
        from .tiff_files import open_tiff

        frames = open_tiff(path)
    else:  # a single image goes the way of all images, which also knows palettes and planes of colour
        frames = from_array(as_image(path, name), name)
    scale = read_scale(path)
    frames = replace(frames, scale=scale, rate=1 / scale.interval if scale.interval else None)
    return replace(frames, unit=infrared_unit(path)) if name == "infrared" else frames


def _holds_pages(path: Path) -> bool:
    if path.suffix.lower() not in _TIFF or not path.is_file():
        return False
    from .tiff_files import tiff_axes

    return bool(tiff_axes(path))


def open_folder(folder: Path, name: str = "infrared") -> Frames:
    """Open the images of a folder as frames, in the order of their names: ``2.png`` before ``10.png``.

    Raises
    ------
    ImageError
        If it holds none, or cannot be read.
    """
    try:
        files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGES and not path.name.startswith(".")]
    except OSError as error:
        raise ImageError(f"The folder {folder} cannot be read ({error.strerror or error}).") from error
    if not files:
        raise ImageError(f"The folder {folder} holds no images (PNG, TIFF, JPEG …).")
    return _from_list(sorted(files, key=lambda path: natural(path.name)), name)
