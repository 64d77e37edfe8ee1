"""Files that napari opens through us: radiometric JPEGs, infrared and photograph over each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from napari_irvisfuse.errors import ImageError, ParameterError
from napari_irvisfuse.images.radiometric import RadiometricImage, is_radiometric, read_radiometric

from .thermal_layers import limits_of, metadata_of

__all__ = ["layers_of", "radiometric_reader"]

LayerData: TypeAlias = tuple[Any, dict[str, Any], str]

_OPACITY = 0.6  # both are seen


def radiometric_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Return what reads a radiometric JPEG of a FLIR camera, None for any other JPEG.

    Parameters
    ----------
    path
        One file or several. Of each only the heads of its segments are looked at.
    """
    return _read if all(map(is_radiometric, _paths(path))) else None


def _read(path: str | Sequence[str]) -> list[LayerData]:
    return [layer for item in _paths(path) for layer in _read_one(item)]


def _read_one(path: str) -> list[LayerData]:
    image = read_radiometric(path)
    try:
        return layers_of(image, Path(path).stem)
    except ParameterError as error:
        raise ImageError(
            f"{path}, as its camera was set: {error} Put it right with irvisfuse thermal,"
            " or nif.read_radiometric(path).celsius(…)."
        ) from error


def _paths(path: str | Sequence[str]) -> list[str]:
    return [path] if isinstance(path, str | Path) else list(path)


def layers_of(image: RadiometricImage, name: str) -> list[LayerData]:
    """Return the photograph, and on it the temperatures where the camera says that they lie.

    Parameters
    ----------
    image
        What the camera wrote.
    name
        With which the layers' names begin.

    Raises
    ------
    ParameterError
        If what was set in the camera cannot be.
    """
    celsius = image.celsius()
    options: dict[str, Any] = {
        "name": f"{name} infrared",
        "rgb": False,
        "colormap": "inferno",
        "contrast_limits": limits_of(celsius),
        "metadata": metadata_of(image),
    }
    if image.visible is None:
        return [(celsius, options, "image")]
    if image.ir_to_visible is not None:
        options |= {"affine": image.ir_to_visible, "opacity": _OPACITY}
    return [(image.visible, {"name": f"{name} visible", "rgb": True}, "image"), (celsius, options, "image")]
