"""OME-Zarr stacks (NGFF 0.5), one chunk a frame; the format's few lines of metadata are written here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import FusionError, ImageError

from .frames import Frames, Index, from_array
from .scale import Scale

__all__ = ["ZarrWriter", "open_zarr", "require_zarr"]

_KINDS = {"t": "time", "z": "space", "y": "space", "x": "space", "c": "channel"}
# by the number of axes before those of the image, and whether it has colour; the format wants time, then channels or
# one axis of no kind, then space, and no more than five of them
_AXES = {
    **{(0, False): "yx", (1, False): "tyx", (2, False): "tzyx", (3, False): "tazyx"},
    **{(0, True): "cyx", (1, True): "tcyx", (2, True): "tczyx"},
}
_COLOURS = {"R": "FF0000", "G": "00FF00", "B": "0000FF", "A": "FFFFFF"}


def require_zarr() -> Any:
    """Import Zarr.

    Raises
    ------
    FusionError
        If it is not installed.
    """
    try:
        import zarr
    except ImportError as error:
        raise FusionError("OME-Zarr needs the package zarr: pip install 'napari-irvisfuse[zarr]'.") from error
    return zarr


def open_zarr(path: Path) -> Frames:
    """Open the full resolution of an OME-Zarr image, or a plain Zarr array.

    Raises
    ------
    ImageError
        If it is neither.
    """
    zarr = require_zarr()
    try:
        node = zarr.open(str(path), mode="r")
        if hasattr(node, "shape"):
            plain = from_array(node)
            return replace(plain, read=_naming(path, plain.read))
        attributes = dict(node.attrs)
        image = attributes.get("ome", attributes)["multiscales"][0]
        dataset, axes = image["datasets"][0], image["axes"]
        node = node[dataset["path"]]
        names = [axis["name"] for axis in axes]
        factors = [step["scale"] for step in dataset["coordinateTransformations"] if step["type"] == "scale"]
        scale = Scale.from_ngff(axes, factors[0]) if factors else Scale()
    except Exception as error:  # stores, codecs and formats each have their own exceptions
        raise ImageError(f"{path} cannot be read as an OME-Zarr image ({error}).") from error
    channel = names.index("c") if "c" in names else None
    if channel is None or node.shape[channel] not in (3, 4):
        frames = from_array(node)
    else:
        *leading, height, width = (side for number, side in enumerate(node.shape) if number != channel)

        def read(index: Index) -> npt.NDArray[Any]:
            place = *index[:channel], slice(None), *index[channel:]
            return np.moveaxis(np.asarray(node[place]), 0, -1)

        frames = Frames(tuple(leading), (height, width, node.shape[channel]), np.dtype(node.dtype), read)
    frames = replace(frames, read=_naming(path, frames.read))
    return replace(frames, scale=scale, rate=1 / scale.interval if scale.interval else None)


def _naming(path: Path, read: Callable[[Index], npt.NDArray[Any]]) -> Callable[[Index], npt.NDArray[Any]]:
    def named(index: Index) -> npt.NDArray[Any]:
        try:
            return read(index)
        except Exception as error:  # of stores and codecs, as above
            where = ", ".join(str(place) for place in index)
            raise ImageError(f"Frame {where} of {path} cannot be read ({error}).") from error

    return named


class ZarrWriter:
    """An OME-Zarr image that is written frame by frame; a plain Zarr array where the format has too few axes.

    Parameters
    ----------
    path
        The folder to make.
    shape, frame_shape, dtype
        As of :class:`~napari_irvisfuse.images.frames.Frames`; colour becomes a channel axis, as the format has it.
    scale
        Size of the pixels and time between the frames.
    name
        Of the image.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        frame_shape: tuple[int, ...],
        dtype: np.dtype[Any],
        scale: Scale,
        name: str,
    ) -> None:
        zarr = require_zarr()
        height, width, *colour = frame_shape
        self._indices = np.ndindex(*shape)
        names = _AXES.get((len(shape), bool(colour)))
        self._channel = names.index("c") if names is not None and colour else None
        if names is None:
            chunks = *(1,) * len(shape), *frame_shape
            self._array = zarr.create_array(str(path), shape=(*shape, *frame_shape), chunks=chunks, dtype=dtype)
            return
        sides = dict(zip((axis for axis in names if axis not in "cyx"), shape, strict=True))
        sides |= {"c": colour[0] if colour else 1, "y": height, "x": width}
        full = [sides[axis] for axis in names]
        chunks = tuple(side if axis in "cyx" else 1 for axis, side in zip(names, full, strict=True))
        group = zarr.open_group(str(path), mode="w", zarr_format=3)
        group.attrs["ome"] = _metadata(name, names, scale, dtype, colour[0] if colour else 0)
        self._array = group.create_array("0", shape=full, chunks=chunks, dtype=dtype, dimension_names=list(names))

    def __enter__(self) -> ZarrWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        pass

    def add(self, frame: npt.NDArray[Any]) -> None:
        """Write the next frame."""
        index = next(self._indices)
        if self._channel is None:
            self._array[index] = frame
        else:
            self._array[*index[: self._channel], :, *index[self._channel :]] = np.moveaxis(frame, -1, 0)


def _metadata(name: str, names: str, scale: Scale, dtype: np.dtype[Any], colours: int) -> dict[str, Any]:
    axes: list[dict[str, Any]] = [
        {"name": axis, **({"type": _KINDS[axis]} if axis in _KINDS else {})} for axis in names
    ]
    factors = [1.0] * len(axes)
    if scale.interval is not None and names[0] == "t":
        axes[0]["unit"], factors[0] = "second", scale.interval
    if scale.pixel_size is not None and (scale.ngff_unit is not None or not scale.pixel_unit):
        factors[-2:] = scale.pixel_size
        for axis in axes[-2:]:
            axis |= {"unit": scale.ngff_unit} if scale.ngff_unit is not None else {}
    dataset = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": factors}]}
    metadata: dict[str, Any] = {
        "version": "0.5",
        "multiscales": [{"name": name, "axes": axes, "datasets": [dataset]}],
    }
    if colours:
        top = float(np.iinfo(dtype).max) if dtype.kind == "u" else 1.0
        window = {"min": 0.0, "start": 0.0, "end": top, "max": top}
        channels = [
            {"label": label, "color": colour, "active": label != "A", "window": window}
            for label, colour in _COLOURS.items()
        ]
        metadata["omero"] = {"channels": channels[:colours], "rdefs": {"model": "color"}}
    return metadata
