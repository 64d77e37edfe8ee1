"""What a TIFF says besides its pixels: how large they are, and the unit of their values."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Scale", "read_scale"]

_CENTIMETRES = {
    **{"nm": 1e-7, "µm": 1e-4, "mm": 0.1, "cm": 1.0, "m": 100.0, "km": 1e5, "inch": 2.54},
    **{"um": 1e-4, "micron": 1e-4, "microns": 1e-4, "μm": 1e-4, "\\u00b5m": 1e-4, "in": 2.54, "centimeter": 1.0},
}
_TAG_UNITS = {1: "", 2: "inch", 3: "cm"}
_VALUE_UNIT = "value_unit"  # our key in the description that tifffile writes as JSON


@dataclass(frozen=True)
class Scale:
    """The scale of an image.

    Parameters
    ----------
    pixel_size
        Height and width of a pixel, None if unknown.
    pixel_unit
        Of these, for example ``"mm"``; empty for a bare ratio.
    value_unit
        Of what the pixels hold, for example ``"°C"``; empty if unknown.
    """

    pixel_size: tuple[float, float] | None = None
    pixel_unit: str = ""
    value_unit: str = ""

    def tiff_options(self) -> dict[str, Any]:
        """Return keyword arguments for ``tifffile.imwrite``; lengths become centimetres, which every reader knows."""
        options: dict[str, Any] = {"metadata": {_VALUE_UNIT: self.value_unit}} if self.value_unit else {}
        factor = _CENTIMETRES.get(self.pixel_unit.lower()) if self.pixel_unit else 1.0
        if self.pixel_size is not None and factor is not None:
            height, width = self.pixel_size
            options["resolution"] = (1 / (width * factor), 1 / (height * factor))
            options["resolutionunit"] = "CENTIMETER" if self.pixel_unit else "NONE"
        return options


def read_scale(path: str | Path) -> Scale:
    """Read the scale of a TIFF: OME, ImageJ or plain resolution tags.

    Anything that is no TIFF, or says nothing, has no scale; this never fails.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in (".tif", ".tiff"):
        return Scale()
    import tifffile

    with suppress(Exception), tifffile.TiffFile(path) as tiff:  # whatever other programs wrote there
        shaped = (tiff.shaped_metadata or ({},))[0]
        size, unit = _ome_size(tiff) if tiff.is_ome else _tagged_size(tiff)
        return Scale(size, unit, str(shaped.get(_VALUE_UNIT, "")))
    return Scale()


def _ome_size(tiff: Any) -> tuple[tuple[float, float] | None, str]:
    import tifffile

    image = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
    pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
    sizes = [pixels.get(f"PhysicalSize{axis}") for axis in "YX"]
    units = {str(pixels.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "YX"}
    if None in sizes or len(units) != 1:
        return None, ""
    return _checked(*(float(size) for size in sizes), unit=units.pop())


def _tagged_size(tiff: Any) -> tuple[tuple[float, float] | None, str]:
    tags = tiff.pages.first.tags
    if "XResolution" not in tags or "YResolution" not in tags:
        return None, ""
    across, down = (tags[name].value[0] / tags[name].value[1] for name in ("XResolution", "YResolution"))
    unit = _TAG_UNITS[int(tags["ResolutionUnit"].value)] if "ResolutionUnit" in tags else "inch"
    unit = str((tiff.imagej_metadata or {}).get("unit", unit))
    return _checked(1 / down, 1 / across, unit=unit)


def _checked(height: float, width: float, *, unit: str) -> tuple[tuple[float, float] | None, str]:
    if not (0 < height < float("inf") and 0 < width < float("inf")) or (not unit and height == width == 1):
        return None, ""
    return (height, width), unit
