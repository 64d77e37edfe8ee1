"""What the metrics widget does in its jobs' threads: plain functions on plain values, without Qt.

torch is imported here and nowhere earlier, inside the functions: it takes seconds that the GUI thread has not got.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_irvisfuse.errors import ImageError

from .layer_geometry import matrix_between, plane_shape
from .layer_pairs import place_layers, plane_of, problem_with, same_grid
from .metrics_report import Report

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari.layers import Image

    from napari_irvisfuse.images.placement import GridName
    from napari_irvisfuse.maps import Map
    from napari_irvisfuse.metrics.base import MetricInfo
    from napari_irvisfuse.types import Cancel, Progress

__all__ = [
    "Catalogue",
    "Measurement",
    "Request",
    "Subject",
    "index_at",
    "load_catalogue",
    "map_quality",
    "measure",
    "problem_with_subject",
]


@dataclass(frozen=True)
class Catalogue:
    """What can be chosen: the metrics of every profile by name, and which of them have values per pixel."""

    profiles: Mapping[str, Mapping[str, MetricInfo]]
    mapped: Mapping[str, frozenset[str]]
    default_profile: str


@dataclass(frozen=True)
class Subject:
    """A fused layer and its sources, under a name."""

    name: str
    fused: Image
    ir: Image
    visible: Image

    @property
    def layers(self) -> tuple[Image, Image, Image]:
        """All three."""
        return self.fused, self.ir, self.visible

    @property
    def place(self) -> tuple[float, ...]:
        """How the three lie on each other; the same if all of them are moved together."""
        matrices = matrix_between(self.ir, self.visible), matrix_between(self.fused, self.visible)
        # rounded, and no −0: transforms that are the same come out a little different
        return tuple(round(float(number), 5) + 0.0 for matrix in matrices for number in matrix.ravel())

    @property
    def frames(self) -> int:
        """How many frames the fused layer has; 1 for a single plane."""
        data = self.fused.data[0] if self.fused.multiscale else self.fused.data
        return int(data.shape[0]) if self.fused.ndim > 2 else 1


@dataclass(frozen=True)
class Request:
    """Everything that decides the numbers.

    Parameters
    ----------
    subjects
        What to measure.
    point
        ``viewer.dims.point``: where the viewer stands, in world coordinates.
    profile, which
        The metrics.
    all_frames
        Every frame along the first axis of the fused layers that are stacks, not only the displayed one.
    device
        Where to compute.
    places
        How the layers of each subject lie on each other, see :attr:`Subject.place`.
    """

    subjects: tuple[Subject, ...]
    point: tuple[float, ...]
    profile: str
    which: tuple[str, ...]
    all_frames: bool = False
    device: str = "auto"
    places: tuple[tuple[float, ...], ...] = ()

    def points(self, subject: Subject) -> Iterator[tuple[float, ...]]:
        """Yield the places to measure, one after the other; the axes of a layer are the viewer's last ones."""
        if not self.all_frames or subject.frames == 1:
            yield self.point
            return
        fused = subject.fused
        outside, here = self.point[: -fused.ndim], index_at(fused, self.point)
        for frame in range(subject.frames):
            yield (*outside, *fused.data_to_world((frame, *here[1:])))

    @property
    def key(self) -> tuple[Any, ...]:
        """What has to be equal for the numbers to be equal."""
        several = self.all_frames and any(subject.frames > 1 for subject in self.subjects)
        return self.layers, self.planes, several, self.profile, frozenset(self.which)

    @property
    def layers(self) -> tuple[tuple[Image, Image, Image], ...]:
        """Those of every subject."""
        return tuple(subject.layers for subject in self.subjects)

    @property
    def planes(self) -> tuple[tuple[int, ...], ...]:
        """Which plane of each layer is measured, or measured first."""
        first = [(subject, next(self.points(subject))) for subject in self.subjects]  # says it for all frames
        return tuple(index_at(layer, point)[:-2] for subject, point in first for layer in subject.layers)


@dataclass(frozen=True)
class Measurement:
    """The numbers, and what was asked for."""

    request: Request
    report: Report


def index_at(layer: Image, point: tuple[float, ...]) -> tuple[int, ...]:
    """Return a layer's own index of a place in the world, for ``plane_of``."""
    return tuple(round(float(index)) for index in layer.world_to_data(point))


def load_catalogue(progress: Progress, cancelled: Cancel) -> Catalogue:
    """Import what takes long, and list profiles and metrics."""
    progress(0, 0, "Loading metrics")
    from napari_irvisfuse.metrics import DEFAULT_PROFILE, metrics_of, profiles

    found = {profile: metrics_of(profile) for profile in profiles()}
    return Catalogue(
        {profile: {name: metric.info for name, metric in metrics.items()} for profile, metrics in found.items()},
        {
            profile: frozenset(name for name, metric in metrics.items() if metric.quality is not None)
            for profile, metrics in found.items()
        },
        DEFAULT_PROFILE,
    )


def problem_with_subject(fused: Image | None, ir: Image | None, visible: Image | None) -> str | None:
    """Say in one sentence why these layers cannot be measured, or return None; nothing is computed."""
    if fused is None:
        return "Choose a fused layer."
    problem = problem_with(ir, visible)
    if problem is not None:
        return problem
    if fused in (ir, visible):
        return "The fused layer is one of its sources: choose the fusion of the two."
    assert ir is not None
    assert visible is not None
    problem = problem_with(fused, visible)
    if problem is None and _grid_of_fused(fused, ir, visible) is None:
        height, width = plane_shape(fused)
        return (
            f"{fused.name!r}, {width}×{height} pixels, does not lie on the pixels of one of its sources:"
            " choose the layers that it was made from."
        )
    return problem


def _grid_of_fused(fused: Image, ir: Image, visible: Image) -> GridName | None:
    """Tell whose pixels the fused layer has, None if nobody's."""
    if same_grid(fused, visible):
        return "visible"
    return "ir" if same_grid(fused, ir) else None


def measure(request: Request, progress: Progress, cancelled: Cancel) -> Measurement:
    """Compute the metrics of every subject and frame."""
    from napari_irvisfuse.metrics import describe_metrics, evaluate

    plan = [(subject, point) for subject in request.subjects for point in request.points(subject)]
    values: dict[Subject, list[list[float]]] = {subject: [] for subject in request.subjects}
    for number, (subject, point) in enumerate(plan):
        label = subject.name if len(request.subjects) > 1 else ""
        if request.all_frames and subject.frames > 1:
            label += f" frame {len(values[subject]) + 1} of {subject.frames}"
        report = partial(_within, progress, number, len(plan), label)
        found = _of_planes(evaluate, request, subject, point, report, cancelled)
        values[subject].append([found[name] for name in request.which])
    infos = describe_metrics(request.profile)
    measured = Report(
        _unlike([subject.name for subject in request.subjects]),
        tuple(infos[name] for name in request.which),
        tuple(np.array(frames, dtype=np.float64) for frames in values.values()),
    )
    return Measurement(request, measured)


def map_quality(
    request: Request, progress: Progress, cancelled: Cancel
) -> list[tuple[Subject, dict[str, Map[npt.NDArray[Any]]]]]:
    """Compute the values per pixel of every subject's displayed plane."""
    from napari_irvisfuse.metrics import quality_maps

    maps = []
    for number, subject in enumerate(request.subjects):
        report = partial(_within, progress, number, len(request.subjects), subject.name)
        maps.append((subject, _of_planes(quality_maps, request, subject, request.point, report, cancelled)))
    return maps


def _of_planes(
    function: Callable[..., Any],
    request: Request,
    subject: Subject,
    point: tuple[float, ...],
    progress: Progress,
    cancelled: Cancel,
) -> Any:
    placement, _ = place_layers(subject.ir, subject.visible).asked
    try:
        return function(
            *(plane_of(layer, index_at(layer, point)) for layer in subject.layers),
            request.profile,
            request.which,
            ir_to_visible=placement,
            grid=_grid_of_fused(*subject.layers) or "visible",
            device=request.device,
            progress=progress,
            cancelled=cancelled,
        )
    except ImageError as error:
        if len(request.subjects) == 1:
            raise
        raise ImageError(f"{subject.fused.name}: {error}") from error


def _within(progress: Progress, number: int, parts: int, label: str, done: int, total: int, message: str) -> None:
    """Report the progress of one part of several as progress of the whole."""
    total = max(total, 1)
    words = f"{message} ({label.strip()})" if label else message
    progress(number * total + done, parts * total, words)


def _unlike(names: list[str]) -> tuple[str, ...]:
    """Add numbers to names that occur twice."""
    return tuple(
        f"{name} ({names[:index].count(name) + 1})" if names.count(name) > 1 else name
        for index, name in enumerate(names)
    )
