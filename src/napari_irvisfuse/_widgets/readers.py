"""Files that napari opens through us: radiometric JPEGs, infrared and photograph over each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from napari_irvisfuse.images.radiometric import RadiometricImage, is_radiometric, read_radiometric

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
    return [layer for item in _paths(path) for layer in layers_of(read_radiometric(item), Path(item).stem)]


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
    """
    celsius = image.celsius()
    finite = celsius[np.isfinite(celsius)]
    limits = np.percentile(finite, (0.1, 99.9)) if finite.size else np.zeros(2)
    options: dict[str, Any] = {
        "name": f"{name} infrared",
        "rgb": False,
        "colormap": "inferno",
        "contrast_limits": (float(limits[0]), float(max(limits[1], limits[0] + 0.1))),
        "metadata": {"unit": "°C", "camera": image.camera, "conditions": asdict(image.conditions)},
    }
    if image.visible is None:
        return [(celsius, options, "image")]
    if image.ir_to_visible is not None:
        options |= {"affine": image.ir_to_visible, "opacity": _OPACITY}
    return [(image.visible, {"name": f"{name} visible", "rgb": True}, "image"), (celsius, options, "image")]
