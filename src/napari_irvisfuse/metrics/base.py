"""What a metric is: a pure function of three images, with a direction, a range and a reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch

from napari_irvisfuse.maps import Map

__all__ = ["Metric", "MetricFunction", "MetricInfo", "QualityFunction"]

MetricFunction: TypeAlias = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""``metric(fused, ir, visible)``: luma ``(…, H, W)`` in [0, 1], all of one shape, dtype and device; returns ``(…)``."""

QualityFunction: TypeAlias = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], Mapping[str, Map[torch.Tensor]]]
"""Like a metric, but returns maps ``(…, h, w)`` by name: the values before they are averaged."""


@dataclass(frozen=True)
class MetricInfo:
    """A metric as a table shows it.

    Parameters
    ----------
    name
        As the profile prints it, for example ``"FMI_pixel"``.
    title
        For people.
    summary
        One line: what it measures.
    higher_is_better
        Direction.
    bounds
        Smallest and largest possible value; infinite where there is no bound.
    reference, doi
        Where it was published.
    """

    name: str
    title: str
    summary: str
    higher_is_better: bool
    bounds: tuple[float, float]
    reference: str = ""
    doi: str = ""


@dataclass(frozen=True)
class Metric:
    """A metric in a profile.

    Parameters
    ----------
    info
        What it is.
    function
        How it is computed.
    quality
        Its values per pixel, if it has any.
    """

    info: MetricInfo
    function: MetricFunction
    quality: QualityFunction | None = None
