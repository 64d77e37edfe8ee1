"""Stacks into files, one frame at a time; like an image, a stack appears whole or not at all."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import OutputError

from .files import write_image
from .ranges import Window, to_dtype
from .scale import Scale
from .video import DEFAULT_RATE, VideoWriter, require_av
from .zarr_files import ZarrWriter, require_zarr

__all__ = ["STACKS", "StackWriter", "check_stack_output", "open_writer"]

FILMS = (".mp4", ".mov", ".mkv")
STACKS = (".tif", ".tiff", ".zarr", *FILMS)
_BIG = 2**31  # bytes; the old TIFF ends at twice as much


class StackWriter(Protocol):
    """Takes the frames of a stack in order."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None: ...

    def add(self, frame: npt.NDArray[Any]) -> None:
        """Write the next frame."""


def check_stack_output(path: str | Path, *, overwrite: bool = False) -> Path:
    """Refuse early what could not be written at the end of a long job.

    Parameters
    ----------
    path
        ``.tif``, ``.tiff``, ``.mp4``, ``.mov``, ``.mkv``, ``.zarr``, or a name without an ending: a folder of images.
    overwrite
        Replace a file that exists; a folder, and so an OME-Zarr, is never replaced.

    Raises
    ------
    OutputError
        If it cannot be written there.
    FusionError
        If a package for the format is missing.
    """
    path = Path(path).expanduser()
    if path.suffix and path.suffix.lower() not in STACKS:
        raise OutputError(
            f"{path.name} cannot hold a stack: end the name in {', '.join(STACKS)}, or in nothing (a folder)."
        )
    if not path.parent.is_dir():
        raise OutputError(f"There is no folder {path.parent} to write {path.name} into.")
    if path.is_dir():
        raise OutputError(f"{path} is a folder that exists: choose another name.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already: choose another name or say overwrite.")
    # better missed now than after the first frame
    if path.suffix.lower() in FILMS:
        require_av()
    if path.suffix.lower() == ".zarr":
        require_zarr()
    return path


@contextmanager
def open_writer(
    path: str | Path,
    shape: tuple[int, ...],
    frame_shape: tuple[int, ...],
    dtype: np.dtype[Any],
    *,
    rate: float | None = None,
    window: Window | None = None,
    names: tuple[str, ...] = (),
    scale: Scale | None = None,
    overwrite: bool = False,
) -> Iterator[StackWriter]:
    """Write a stack under another name, renamed when it is whole; whatever is raised meanwhile, nothing is left behind.

    Parameters
    ----------
    path
        As for :func:`check_stack_output`.
    shape, frame_shape, dtype
        As of :class:`~napari_irvisfuse.images.frames.Frames`.
    rate
        Frames per second of a film, 25 if None; TIFF and OME-Zarr keep it as the time between two frames.
    window
        Which values a film shows as black and white; 8 bit is shown as it is. None: the data type's range.
    names
        Of the files in a folder, without their endings; numbers if there are none.
    scale
        Size of the pixels; TIFF and OME-Zarr keep it.
    overwrite
        Replace what is there.

    Raises
    ------
    OutputError
        If it cannot be written there.
    FusionError
        If a package for the format is missing.
    """
    path = check_stack_output(path, overwrite=overwrite)
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(8)}{path.suffix}")
    scale = replace(scale or Scale(), interval=1 / rate if rate else None)
    try:
        with _saying(path):
            writer = _writer(temporary, path.stem, shape, frame_shape, dtype, scale, window, names)
        with _Announced(path, prod(shape), writer) as announced:
            yield announced
        with _saying(path):
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def _saying(path: Path) -> Iterator[None]:
    """Say in a sentence what the system refuses."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error}).") from error


class _Announced:
    """Hands on as many frames as were announced; what goes wrong between them is not the writer's fault."""

    def __init__(self, path: Path, count: int, writer: StackWriter) -> None:
        self._path, self._count, self._writer = path, count, writer
        self._written = 0

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        short = kind is None and self._written < self._count
        with _saying(self._path):
            self._writer.__exit__(OutputError if short else kind, error, trace)
        if short:
            self._refuse(f"only {self._written}")

    def add(self, frame: npt.NDArray[Any]) -> None:
        if self._written == self._count:
            self._refuse("more")
        with _saying(self._path):
            self._writer.add(frame)
        self._written += 1

    def _refuse(self, came: str) -> None:
        raise OutputError(f"{self._path} is not written: {self._count} frames were announced, and {came} came.")


def _writer(
    path: Path,
    name: str,
    shape: tuple[int, ...],
    frame_shape: tuple[int, ...],
    dtype: np.dtype[Any],
    scale: Scale,
    window: Window | None,
    names: tuple[str, ...],
) -> StackWriter:
    suffix = path.suffix.lower()
    if suffix in FILMS:
        return _FilmWriter(path, frame_shape, dtype, 1 / scale.interval if scale.interval else DEFAULT_RATE, window)
    if suffix == ".zarr":
        return ZarrWriter(path, shape, frame_shape, dtype, scale, name)
    if suffix:
        return _TiffWriter(path, shape, frame_shape, dtype, scale)
    return _FolderWriter(path, shape, dtype, names)


class _FilmWriter:
    """Turns frames of any type into 8 bit, all in the same way."""

    def __init__(
        self, path: Path, frame_shape: tuple[int, ...], dtype: np.dtype[Any], rate: float, window: Window | None
    ) -> None:
        self._film = VideoWriter(path, frame_shape, rate)
        full = 1.0 if dtype.kind in "bf" else float(np.iinfo(dtype).max)
        self._window = None if dtype == np.uint8 else window or Window(0.0, full)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        self._film.__exit__(kind, error, trace)

    def add(self, frame: npt.NDArray[Any]) -> None:
        if self._window is not None:
            unit = self._window.to_unit(np.nan_to_num(frame.astype(np.float64), nan=self._window.low))
            frame = to_dtype(unit * 255, np.dtype(np.uint8))
        self._film.add(frame)


class _TiffWriter:
    """One page a frame, compressed, with the axes of the stack in the first page's description: an OME-TIFF."""

    def __init__(
        self, path: Path, shape: tuple[int, ...], frame_shape: tuple[int, ...], dtype: np.dtype[Any], scale: Scale
    ) -> None:
        import tifffile

        self._native = np.dtype(np.uint8) if dtype == np.bool_ else dtype.newbyteorder("=")
        self._bool = dtype == np.bool_
        size = int(np.prod((*shape, *frame_shape))) * self._native.itemsize
        self._tiff = tifffile.TiffWriter(path, bigtiff=size > _BIG)
        colour = len(frame_shape) == 3
        self._options: dict[str, Any] = {"photometric": "rgb" if colour else "minisblack", "compression": "zlib"}
        if colour and frame_shape[-1] == 4:
            self._options["extrasamples"] = ["unassalpha"]
        self._options |= scale.tiff_options()  # which every reader knows
        self._description: bytes | None = _description(shape, frame_shape, self._native, scale)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        self._tiff.close()

    def add(self, frame: npt.NDArray[Any]) -> None:
        frame = frame.astype(self._native) * 255 if self._bool else frame.astype(self._native, copy=False)
        self._tiff.write(np.ascontiguousarray(frame), description=self._description, metadata=None, **self._options)
        self._description = None


def _description(shape: tuple[int, ...], frame_shape: tuple[int, ...], dtype: np.dtype[Any], scale: Scale) -> bytes:
    """Return OME-XML, or where it cannot say what the axes are, tifffile's own description of a stack of pages."""
    import tifffile

    full, colour = (*shape, *frame_shape), "S" * (len(frame_shape) - 2)
    # readers of OME-XML leave axes of length 1 out
    if len(shape) > 2 or 1 in shape or dtype == np.float16:
        return json.dumps({"shape": full, "axes": f"{'Q' * len(shape)}YX{colour}"}).encode()
    height, width, *samples = frame_shape
    stored = int(np.prod(shape)), 1, 1, height, width, samples[0] if samples else 1
    ome = tifffile.OmeXml(Creator="napari-irvisfuse")
    ome.addimage(dtype, full, stored, axes=f"{'TZ'[: len(shape)]}YX{colour}", **scale.ome_options())
    return ome.tostring(declaration=True).encode()  # in the page it is UTF-8, and a str would have to be ASCII


class _FolderWriter:
    """One image file a frame: PNG where it holds the type, TIFF for floats."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], names: tuple[str, ...]) -> None:
        path.mkdir()
        self._folder, self._suffix = path, ".tif" if dtype.kind == "f" else ".png"
        count = int(np.prod(shape))
        stems = [Path(name).stem for name in names]
        whole = len(stems) == count and len(set(stems)) == count
        numbers = (f"{number:0{len(str(count - 1))}d}" for number in range(count))
        self._stems = iter(stems) if whole else numbers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        pass

    def add(self, frame: npt.NDArray[Any]) -> None:
        write_image(self._folder / f"{next(self._stems)}{self._suffix}", frame)
