"""What the thermal widget does in its jobs' thread: plain functions on plain values, without Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import Cancelled
from napari_irvisfuse.images.thermography import Conditions, temperatures_of

from .thermal_layers import limits_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer

    from napari_irvisfuse.images.radiometric import RadiometricImage
    from napari_irvisfuse.types import Cancel, Progress

__all__ = ["Request", "Temperatures", "check", "compute"]

_BAND = 1 << 20  # pixels between two questions whether to stop; eight times as much is held in double precision


@dataclass(frozen=True)
class Request:
    """A layer, what it shows now, what its sensor counted, and the conditions that the user wants."""

    layer: Layer
    shown: npt.NDArray[np.float32]
    image: RadiometricImage
    conditions: Conditions


@dataclass(frozen=True)
class Temperatures:
    """The answer: ``(H, W)`` °C, and the contrast limits of what was shown and of these."""

    request: Request
    celsius: npt.NDArray[np.float32]
    before: tuple[float, float]
    limits: tuple[float, float]
    sentence: str


def check(image: RadiometricImage, conditions: Conditions) -> None:
    """Raise ParameterError if there is no temperature under these conditions, whatever was counted; takes no time."""
    temperatures_of(image.counts[:0], image.planck, image.atmosphere, conditions.checked())


def compute(requests: Sequence[Request], progress: Progress, cancelled: Cancel) -> list[Temperatures]:
    """Compute the temperatures of some layers, all or none.

    Raises
    ------
    ParameterError
        As :func:`check`.
    Cancelled
        If ``cancelled`` answered True.
    """
    return [_compute(request, progress, cancelled) for request in requests]


def _compute(request: Request, progress: Progress, cancelled: Cancel) -> Temperatures:
    image = request.image
    celsius = np.empty(image.counts.shape, np.float32)
    rows = max(1, _BAND // max(1, celsius.shape[1]))
    for top in range(0, len(celsius), rows):
        _stop_if(cancelled)
        if top:  # most images are done before this could be read
            progress(top, len(celsius), "Computing temperatures")
        band = slice(top, top + rows)
        celsius[band] = temperatures_of(image.counts[band], image.planck, image.atmosphere, request.conditions)
    limits = []
    for shown in (request.shown, celsius):
        _stop_if(cancelled)
        limits.append(limits_of(shown))
    _stop_if(cancelled)
    return Temperatures(request, celsius, *limits, _in_words(celsius))


def _stop_if(cancelled: Cancel) -> None:
    if cancelled():
        raise Cancelled


def _in_words(celsius: npt.NDArray[np.float32]) -> str:
    finite = celsius[np.isfinite(celsius)]
    if not finite.size:
        return "No pixel has a temperature under these conditions."
    missing = celsius.size - finite.size
    without = f" {missing} of {celsius.size} pixels have no temperature." if missing else ""
    return f"Temperatures from {finite.min():.1f} to {finite.max():.1f} °C.{without}".replace("-", "−")
