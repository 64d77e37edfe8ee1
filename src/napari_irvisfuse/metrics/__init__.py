"""Fusion quality metrics, one family a file, in profiles that say exactly whose definition is meant.

A file lists what it offers in ``PROFILES``: profile name to the metrics it adds to it, in the order of the table.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from napari_irvisfuse.errors import ParameterError
from napari_irvisfuse.types import Cancel, Progress

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_irvisfuse.images.placement import GridChoice
    from napari_irvisfuse.maps import Map

    from .base import Metric, MetricInfo

__all__ = ["DEFAULT_PROFILE", "describe_metrics", "evaluate", "metrics_of", "profiles", "quality_maps"]

DEFAULT_PROFILE = "standard"


@cache
def _registry() -> dict[str, dict[str, Metric]]:
    found: dict[str, dict[str, Metric]] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        listed: Mapping[str, Iterable[Metric]] = getattr(importlib.import_module(module.name), "PROFILES", {})
        for profile, metrics in listed.items():
            found.setdefault(profile, {}).update({metric.info.name: metric for metric in metrics})
    return found


def profiles() -> list[str]:
    """List the names of the profiles, the default first."""
    return sorted(_registry(), key=lambda name: (name != DEFAULT_PROFILE, name))


def metrics_of(profile: str = DEFAULT_PROFILE, which: Iterable[str] | None = None) -> dict[str, Metric]:
    """Return the metrics of a profile by name, all or those asked for.

    Raises
    ------
    ParameterError
        If there is no such profile or metric.
    """
    registry = _registry()
    if profile not in registry:
        raise ParameterError(f"There is no metric profile {profile!r}: choose one of {', '.join(profiles())}.")
    metrics = registry[profile]
    if which is None:
        return dict(metrics)
    names = [which] if isinstance(which, str) else list(which)
    for name in names:
        if name not in metrics:
            raise ParameterError(f"Profile {profile!r} has no metric {name!r}: it has {', '.join(metrics)}.")
    return {name: metrics[name] for name in names}


def describe_metrics(profile: str = DEFAULT_PROFILE) -> dict[str, MetricInfo]:
    """Describe the metrics of a profile.

    Returns
    -------
    dict
        Name to :class:`~napari_irvisfuse.metrics.base.MetricInfo`, in the order of the table.
    """
    return {name: metric.info for name, metric in metrics_of(profile).items()}


def evaluate(
    fused: object,
    ir: object,
    visible: object,
    profile: str = DEFAULT_PROFILE,
    which: Iterable[str] | None = None,
    *,
    ir_to_visible: object = None,
    grid: GridChoice = "visible",
    device: str = "auto",
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
) -> dict[str, float]:
    """Measure how good a fusion is.

    Parameters
    ----------
    fused, ir, visible
        Arrays, torch tensors or image files, as for :func:`napari_irvisfuse.fuse`. Colour is reduced to
        luma; the fused image is read with the window of the visible one, unless its data type has another range.
    profile
        Whose definitions: ``"standard"`` (textbook) or a published tool's, see :func:`profiles`.
    which
        Names of metrics; all of the profile if not given.
    ir_to_visible, grid
        As for ``fuse``, if the sources have other pixels than each other. Measured is then the rectangle around what
        both see.
    device
        Where to compute; always in float64 (on Apple GPUs, which have none, the CPU is taken).
    progress, cancelled
        Called between metrics, as for ``fuse``.

    Returns
    -------
    dict
        Metric name to value, in the order of the profile.

    Raises
    ------
    ParameterError
        For an unknown profile or metric.
    ImageError
        If the three images do not fit together.
    Cancelled
        If ``cancelled`` answered True.
    """
    from .inputs import as_tensors, runtime_for

    metrics = metrics_of(profile, which)
    runtime = runtime_for(device, progress, cancelled)
    images = as_tensors(fused, ir, visible, runtime.compute.device, ir_to_visible=ir_to_visible, grid=grid, whole=False)
    values: dict[str, float] = {}
    for number, (name, metric) in enumerate(metrics.items()):
        runtime.step(number, len(metrics), f"Measuring {name}")
        values[name] = float(metric.function(*images))
    runtime.step(len(metrics), len(metrics), "Done")
    return values


def quality_maps(
    fused: object,
    ir: object,
    visible: object,
    profile: str = DEFAULT_PROFILE,
    which: Iterable[str] | None = None,
    *,
    ir_to_visible: object = None,
    grid: GridChoice = "visible",
    device: str = "auto",
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
) -> dict[str, Map[npt.NDArray[Any]]]:
    """Show where a fusion is good: the values of those metrics that exist per pixel, before they are averaged.

    Parameters and errors as for :func:`evaluate`; metrics without values per pixel are left out, unless they are named
    in ``which``. Maps are of the whole fused image, whatever part of it both sources see.

    Returns
    -------
    dict
        Map name to :class:`~napari_irvisfuse.maps.Map` of an ``(h, w)`` array, group ``"quality"``.
    """
    from .inputs import as_tensors, map_to_array, runtime_for

    metrics = metrics_of(profile, which)
    without = [name for name, metric in metrics.items() if metric.quality is None]
    if which is not None and without:
        having = ", ".join(name for name, metric in metrics_of(profile).items() if metric.quality is not None)
        raise ParameterError(f"{without[0]} has no value per pixel: choose among {having}.")
    runtime = runtime_for(device, progress, cancelled)
    images = as_tensors(fused, ir, visible, runtime.compute.device, ir_to_visible=ir_to_visible, grid=grid)
    maps: dict[str, Map[npt.NDArray[Any]]] = {}
    for number, (name, metric) in enumerate(metrics.items()):
        if metric.quality is not None:
            runtime.step(number, len(metrics), f"Mapping {name}")
            maps.update({key: map_to_array(item) for key, item in metric.quality(*images).items()})
    runtime.step(len(metrics), len(metrics), "Done")
    return maps
