"""What a fusion gives back: the fused image, every map computed on the way, and how to make it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import OutputError
from .images.files import write_atomically
from .images.placement import GridName
from .images.ranges import Window
from .images.regions import Region
from .maps import Map
from .recipe import Recipe

__all__ = ["FusionResult"]


@dataclass(frozen=True, eq=False)
class FusionResult:
    """A fused image and what happened inside.

    Parameters
    ----------
    fused
        Size, dtype and colour of the visible image (grey if ``output="luma"`` was asked for); the infrared image's size
        if it was fused on that grid.
    maps
        Name to :class:`~napari_irvisfuse.maps.Map`, each an ``(h, w)`` array at its native resolution, or ``(n,)`` for
        numbers that belong to no place.
        Not writable but for ``index`` maps: the session that made them goes on computing with the same memory.
    recipe
        How to make it again.
    notes
        Sentences about how it came about, for example that the GPU's memory was too small.
    grid
        Whose pixels these are: ``"visible"`` or ``"ir"``.
    valid
        ``(H, W)`` bool, False where an image had no value, so that ``fused`` is the visible image there; None if both
        have one everywhere.
    ir_window, visible_window
        Which values were 0 and 1, in their units: ``result.ir_window.from_unit(map)`` is a map of infrared intensities
        in °C, if the infrared image was.
    axes
        Lengths of the axes in front of the image's, empty but for a stack.
    region
        Which pixels of that grid these are, maps included; None: all. A map of stride s begins at pixel
        ``region.at_stride(s).top · s``, which is the region's first row or lies up to s − 1 before it.
    """

    fused: npt.NDArray[Any]
    maps: Mapping[str, Map[npt.NDArray[Any]]]
    recipe: Recipe
    notes: tuple[str, ...] = ()
    grid: GridName = "visible"
    valid: npt.NDArray[np.bool_] | None = None
    ir_window: Window | None = None
    visible_window: Window | None = None
    axes: tuple[int, ...] = ()
    region: Region | None = None

    def map_files(self) -> dict[str, str]:
        """Return the file that :meth:`save_maps` gives each map: TIFF, or CSV for what is no image."""
        plane = 2 + len(self.axes)
        return {name: f"{name}.tif" if item.data.ndim >= plane else f"{name}.csv" for name, item in self.maps.items()}

    def windows(self) -> dict[str, dict[str, Any]]:
        """Return ``low``, ``high`` and ``unit`` of both windows, as plain values for files and metadata."""
        known = {"ir": self.ir_window, "visible": self.visible_window}
        return {name: asdict(window) for name, window in known.items() if window is not None}

    def save_maps(self, folder: str | Path, *, overwrite: bool = True) -> Path:
        """Write every map, with ``maps.json`` beside them: title, kind, group, stride, labels, and the windows.

        Parameters
        ----------
        folder
            Created if it is not there.
        overwrite
            Replace files of the same names.

        Raises
        ------
        OutputError
            If a file exists and may not be replaced (nothing is written then), or the system refuses.
        """
        import tifffile

        folder = Path(folder).expanduser()
        files = self.map_files()
        for file in (*files.values(), "maps.json"):
            if not overwrite and (folder / file).exists():
                raise OutputError(f"{folder / file} exists already: choose another folder or say overwrite.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"The folder {folder} cannot be made ({error.strerror or error}).") from error
        listing: dict[str, Any] = {}
        for name, item in self.maps.items():
            data = item.data

            def write(target: Path, data: npt.NDArray[Any] = data) -> None:
                if target.suffix == ".csv":
                    np.savetxt(target, data.reshape(-1, data.shape[-1]) if self.axes else data, fmt="%.9g")
                else:
                    tifffile.imwrite(target, data, photometric="minisblack", compression="zlib")

            write_atomically(folder / files[name], write)
            listing[name] = {
                "file": files[name],
                "title": item.title,
                "kind": item.kind,
                "group": item.group,
                "stride": item.stride,
                "labels": list(item.labels),
            }
        region = {"region": astuple(self.region)} if self.region is not None else {}
        document = {"maps": listing, "windows": self.windows(), **region, "recipe": self.recipe.to_dict()}
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        write_atomically(folder / "maps.json", lambda target: target.write_text(text, encoding="utf-8"))
        return folder
