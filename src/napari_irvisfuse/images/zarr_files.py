"""OME-Zarr stacks (NGFF 0.5), one chunk a frame; the format's few lines of metadata are written here."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import FusionError, ImageError

from .frames import Frames, Index, from_array

__all__ = ["ZarrWriter", "open_zarr", "require_zarr"]

_KINDS = {"t": "time", "z": "space", "y": "space", "x": "space", "c": "channel"}
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
        if not hasattr(node, "shape"):
            attributes = dict(node.attrs)
            image = attributes.get("ome", attributes)["multiscales"][0]
            node = node[image["datasets"][0]["path"]]
            axes = [axis["name"] for axis in image["axes"]]
        else:
            axes = []
    except Exception as error:  # stores, codecs and formats each have their own exceptions
        raise ImageError(f"{path} cannot be read as an OME-Zarr image ({error}).") from error
    if "c" in axes and axes[-3:] == ["c", "y", "x"] and node.shape[-3] in (3, 4):
        height, width = node.shape[-2:]

        def read(index: Index) -> npt.NDArray[Any]:
            return np.moveaxis(np.asarray(node[index]), 0, -1)

        return Frames(node.shape[:-3], (height, width, node.shape[-3]), np.dtype(node.dtype), read)
    return from_array(node)


class ZarrWriter:
    """An OME-Zarr image that is written frame by frame.

    Parameters
    ----------
    path
        The folder to make.
    shape, frame_shape, dtype
        As of :class:`~napari_irvisfuse.images.frames.Frames`; colour becomes a channel axis, as the format has it.
    rate
        Frames per second, for the scale of the time axis.
    """

    def __init__(
        self, path: Path, shape: tuple[int, ...], frame_shape: tuple[int, ...], dtype: np.dtype[Any], rate: float | None
    ) -> None:
        zarr = require_zarr()
        height, width, *colour = frame_shape
        full = (*shape, *colour, height, width)
        chunks = (*(1,) * len(shape), *colour, height, width)
        group = zarr.open_group(str(path), mode="w", zarr_format=3)
        group.attrs["ome"] = _metadata(path.stem, len(shape), bool(colour) and colour[0], rate)
        names = _axes(len(shape), bool(colour))
        self._array = group.create_array("0", shape=full, chunks=chunks, dtype=dtype, dimension_names=names)
        self._indices = np.ndindex(*shape)

    def __enter__(self) -> ZarrWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        pass

    def add(self, frame: npt.NDArray[Any]) -> None:
        """Write the next frame."""
        self._array[next(self._indices)] = np.moveaxis(frame, -1, 0) if frame.ndim == 3 else frame


def _axes(stacked: int, colour: bool) -> list[str]:
    # what the format has no name for is called "a", "b" …
    leading = {0: [], 1: ["t"], 2: ["t", "z"]}.get(stacked) or [*"abdefgh"[: stacked - 2], "t", "z"]
    return [*leading[:stacked], *(["c"] if colour else []), "y", "x"]


def _metadata(name: str, stacked: int, colours: int, rate: float | None) -> dict[str, Any]:
    axes: list[dict[str, Any]] = [
        {"name": axis, **({"type": _KINDS[axis]} if axis in _KINDS else {})} for axis in _axes(stacked, bool(colours))
    ]
    scale = [1.0] * len(axes)
    for number, axis in enumerate(axes):
        if axis["name"] == "t" and rate:
            axis["unit"], scale[number] = "second", 1 / rate
    dataset = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    metadata: dict[str, Any] = {
        "version": "0.5",
        "multiscales": [{"name": name, "axes": axes, "datasets": [dataset]}],
    }
    if colours:
        channels = [{"label": key, "color": value, "active": key != "A"} for key, value in _COLOURS.items()]
        metadata["omero"] = {"channels": channels[:colours]}
    return json.loads(json.dumps(metadata))  # type: ignore[no-any-return]
