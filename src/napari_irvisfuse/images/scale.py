"""What a file says besides its pixels: how large they are, the time between them, and the unit of their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Scale", "read_scale"]

_CENTIMETRES = {
    **{"nm": 1e-7, "µm": 1e-4, "mm": 0.1, "cm": 1.0, "m": 100.0, "km": 1e5, "inch": 2.54},
    **{"um": 1e-4, "micron": 1e-4, "microns": 1e-4, "μm": 1e-4, "\\u00b5m": 1e-4, "in": 2.54, "centimeter": 1.0},
}
_SECONDS = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
# names of lengths in OME-XML and in OME-Zarr, by their size
_OME = {1e-7: "nm", 1e-4: "µm", 0.1: "mm", 1.0: "cm", 2.54: "in", 100.0: "m", 1e5: "km"}
_NGFF = {
    **{1e-7: "nanometer", 1e-4: "micrometer", 0.1: "millimeter", 1.0: "centimeter", 2.54: "inch"},
    **{100.0: "meter", 1e5: "kilometer"},
}
_TAG_UNITS = {1: "", 2: "inch", 3: "cm"}
_OME_RATIO = "pixel"
_TIMED = ("time", "second")
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
    interval
        Seconds from one frame of a stack to the next, None if unknown.
    """

    pixel_size: tuple[float, float] | None = None
    pixel_unit: str = ""
    value_unit: str = ""
    interval: float | None = None

    def tiff_options(self) -> dict[str, Any]:
        """Return keyword arguments for ``tifffile.imwrite``; lengths become centimetres, which every reader knows."""
        options: dict[str, Any] = {"metadata": {_VALUE_UNIT: self.value_unit}} if self.value_unit else {}
        factor = _CENTIMETRES.get(self.pixel_unit.lower()) if self.pixel_unit else 1.0
        if self.pixel_size is not None and factor is not None:
            height, width = self.pixel_size
            options["resolution"] = (1 / (width * factor), 1 / (height * factor))
            options["resolutionunit"] = "CENTIMETER" if self.pixel_unit else "NONE"
        return options

    def ome_options(self) -> dict[str, Any]:
        """Return attributes of ``Pixels`` in OME-XML; a bare ratio is counted in pixels."""
        options: dict[str, Any] = {}
        unit = _OME.get(_CENTIMETRES.get(self.pixel_unit.lower(), 0.0)) if self.pixel_unit else _OME_RATIO
        if self.pixel_size is not None and unit is not None:
            for axis, size in zip("YX", self.pixel_size, strict=True):
                options |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": unit}
        if self.interval is not None:
            options |= {"TimeIncrement": self.interval, "TimeIncrementUnit": "s"}
        return options

    @property
    def ngff_unit(self) -> str | None:
        """The unit of the pixels as OME-Zarr has it, None if it has none."""
        return _NGFF.get(_CENTIMETRES.get(self.pixel_unit.lower(), 0.0))

    @classmethod
    def from_ngff(cls, axes: Sequence[Mapping[str, Any]], factors: Sequence[float]) -> Scale:
        """Return what OME-Zarr says about its axes, of which the last two are those of the image."""
        units = [str(axis.get("unit") or "") for axis in axes]
        names = {name: _OME[size].replace("in", "inch") for size, name in _NGFF.items()}
        same = len(set(units[-2:])) == 1 and (units[-1] in names or not units[-1])
        size, unit = _checked(*factors[-2:], unit=names.get(units[-1], "")) if same else (None, "")
        timed = [
            factor for axis, factor in zip(axes, factors, strict=True) if (axis.get("type"), axis.get("unit")) == _TIMED
        ]
        return cls(size, unit, interval=timed[0] if timed else None)


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
        return Scale(size, unit, str(shaped.get(_VALUE_UNIT, "")), _interval(tiff))
    return Scale()


def _interval(tiff: Any) -> float | None:
    seconds = float((tiff.imagej_metadata or {}).get("finterval", 0))
    if tiff.is_ome:
        pixels = _ome_pixels(tiff)
        seconds = float(pixels.get("TimeIncrement", 0)) * _SECONDS.get(pixels.get("TimeIncrementUnit", "s"), 0)
    return seconds if 0 < seconds < float("inf") else None


def _ome_pixels(tiff: Any) -> dict[str, Any]:
    import tifffile

    image = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
    pixels: dict[str, Any] = (image[0] if isinstance(image, list) else image)["Pixels"]
    return pixels


def _ome_size(tiff: Any) -> tuple[tuple[float, float] | None, str]:
    pixels = _ome_pixels(tiff)
    sizes = [float(pixels[key]) for key in ("PhysicalSizeY", "PhysicalSizeX") if key in pixels]
    units = {str(pixels.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "YX"}
    if len(sizes) != 2 or len(units) != 1:
        return None, ""
    return _checked(*sizes, unit=units.pop().replace(_OME_RATIO, ""))


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
