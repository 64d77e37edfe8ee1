"""Layers in °C that can be computed anew: what the sensor counted stays with them, in their metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image

from napari_irvisfuse.errors import ParameterError
from napari_irvisfuse.images.radiometric import RadiometricImage
from napari_irvisfuse.images.thermography import Conditions

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["conditions_of", "image_of", "limits_of", "metadata_of", "renew"]

_IMAGE, _CONDITIONS = "radiometric", "conditions"
_NARROWEST = 0.1  # °C


def metadata_of(image: RadiometricImage) -> dict[str, Any]:
    """Return what a layer of an image's temperatures says about itself.

    The counts go with it, two bytes a pixel: half of what the temperatures take. The photograph has its own layer.
    """
    return {
        "unit": "°C",
        "camera": image.camera,
        _CONDITIONS: asdict(image.conditions),
        _IMAGE: replace(image, visible=None),
    }


def image_of(layer: Layer | None) -> RadiometricImage | None:
    """Return what a layer's temperatures are computed from, None if it has nothing, or by now shows something else."""
    if not isinstance(layer, Image) or not isinstance(layer.data, np.ndarray):
        return None
    image = layer.metadata.get(_IMAGE)
    return image if isinstance(image, RadiometricImage) and layer.data.shape == image.counts.shape else None


def conditions_of(layer: Layer, image: RadiometricImage) -> Conditions:
    """Return the conditions under which a layer's temperatures hold; the camera's if the layer does not say."""
    said = layer.metadata.get(_CONDITIONS)
    try:
        return image.conditions.changed(**said) if isinstance(said, Mapping) else image.conditions
    except (ParameterError, TypeError):  # somebody else wrote something there
        return image.conditions


def limits_of(celsius: npt.NDArray[Any]) -> tuple[float, float]:
    """Return contrast limits that leave out a thousandth of the pixels at either end; NaN takes no part."""
    finite = celsius[np.isfinite(celsius)]
    low, high = np.percentile(finite, (0.1, 99.9)) if finite.size else np.zeros(2)
    return float(low), float(max(high, low + _NARROWEST))


def renew(
    layer: Any,
    celsius: npt.NDArray[np.float32],
    conditions: Conditions,
    before: tuple[float, float],
    limits: tuple[float, float],
) -> None:
    """Put other temperatures into a layer, and the conditions under which they hold.

    Parameters
    ----------
    layer
        Of a radiometric image.
    celsius
        ``(H, W)``, as many pixels as it has.
    conditions
        Of these temperatures.
    before, limits
        :func:`limits_of` what the layer shows, and of what it is to show. The layer's own limits follow unless the user
        has moved them; those stay, within a range that reaches to the new ones.
    """
    follows = tuple(layer.contrast_limits) == before
    layer.metadata = {**layer.metadata, _CONDITIONS: asdict(conditions)}  # first: who hears of the data reads these
    layer.data = celsius
    if follows:
        layer.contrast_limits_range = layer.contrast_limits = limits
    else:
        low, high = layer.contrast_limits_range
        layer.contrast_limits_range = (min(low, limits[0]), max(high, limits[1]))
