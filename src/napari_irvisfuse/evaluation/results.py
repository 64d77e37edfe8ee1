"""What an evaluation found: values of every image, means, ranks, and what could not be measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_irvisfuse.errors import OutputError
from napari_irvisfuse.images.files import check_file, write_atomically
from napari_irvisfuse.metrics.base import MetricInfo

__all__ = ["FORMATS", "Evaluation", "Failure", "check_table"]

FORMATS = (".csv", ".json", ".md")


@dataclass(frozen=True)
class Failure:
    """An image that could not be measured.

    Parameters
    ----------
    image
        Its name.
    method
        Whose fused image it is, or None if its sources are at fault.
    reason
        A sentence.
    """

    image: str
    method: str | None
    reason: str

    def __str__(self) -> str:
        where = self.image if self.method is None else f"{self.image}, {self.method}"
        return f"{where}: {self.reason}"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A table over a data set.

    Parameters
    ----------
    profile
        Whose definitions of the metrics.
    metrics
        Metric name to its description, in the order of the table.
    methods, images
        What was asked for, whether it could be measured or not.
    values
        ``values[method][image][metric]``; NaN where a metric is not defined, nothing where an image failed.
    failures
        What could not be measured.
    unmatched
        Sentences about files that have no partner.
    reused
        How many of the values come from an earlier run.
    """

    profile: str
    metrics: Mapping[str, MetricInfo]
    methods: tuple[str, ...]
    images: tuple[str, ...]
    values: Mapping[str, Mapping[str, Mapping[str, float]]]
    failures: tuple[Failure, ...] = ()
    unmatched: tuple[str, ...] = ()
    reused: int = 0

    @property
    def measured(self) -> tuple[str, ...]:
        """Images that have a value from at least one method."""
        return tuple(image for image in self.images if any(image in found for found in self.values.values()))

    def compared(self, metric: str) -> tuple[str, ...]:
        """Return the images that the means of this metric are taken over: those where every method has a value.

        A method that failed on the hardest images would otherwise win. Methods without a single value do not count.
        """
        defined = [
            {image for image, values in found.items() if not math.isnan(values[metric])}
            for found in self.values.values()
        ]
        common = set.intersection(*alive) if (alive := [images for images in defined if images]) else set()
        return tuple(image for image in self.images if image in common)

    def means(self) -> dict[str, dict[str, float]]:
        """Return ``[method][metric]``, NaN where there is nothing to average."""
        compared = {metric: self.compared(metric) for metric in self.metrics}
        return {
            method: {
                metric: _mean([found[image][metric] for image in images if image in found])
                for metric, images in compared.items()
            }
            for method, found in self.values.items()
        }

    def ranks(self) -> dict[str, dict[str, int | None]]:
        """Return ``[method][metric]``: 1 is the best mean, equal means share a rank, None stands for no mean."""
        means = self.means()
        ranks: dict[str, dict[str, int | None]] = {method: {} for method in means}
        for metric, info in self.metrics.items():
            sign = 1 if info.higher_is_better else -1
            scores = {method: sign * found[metric] for method, found in means.items()}
            for method, score in scores.items():
                # NaN is neither better nor worse than anything
                better = sum(other > score for other in scores.values())
                ranks[method][metric] = None if math.isnan(score) else 1 + better
        return ranks

    def to_csv(self) -> str:
        """Return one table with a row for everything and a column for every metric.

        Column ``kind`` says what a row is: ``mean``, ``rank`` and ``n`` (images in the mean) of a method, or ``value``
        of one image.
        """
        from .formats import to_csv

        return to_csv(self)

    def to_json(self) -> str:
        """Return everything as JSON; what is not finite is the text ``"nan"``, ``"inf"`` or ``"-inf"``."""
        from .formats import to_json

        return to_json(self)

    def to_markdown(self, *, per_image: bool = True) -> str:
        """Return a table of means with ranks, the best in bold, then the values of every image if wanted."""
        from .formats import to_markdown

        return to_markdown(self, per_image=per_image)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the table in the format that the name ends in: ``.csv``, ``.json`` or ``.md``.

        Raises
        ------
        OutputError
            If it cannot be written there; what was there stays.
        """
        path = check_table(path, overwrite=overwrite)
        write = {".csv": self.to_csv, ".json": self.to_json, ".md": self.to_markdown}[path.suffix.lower()]
        text = write()
        return write_atomically(path, lambda target: target.write_text(text, encoding="utf-8", newline="\n"))


def check_table(path: str | Path, *, overwrite: bool) -> Path:
    """Refuse early a table that could not be written at the end.

    Raises
    ------
    OutputError
        If the format is none, the folder is not there, or the file is and may not be replaced.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"{path.name}: tables are written as {', '.join(FORMATS)}; end the name in one of them.")
    return check_file(path, overwrite=overwrite)


def _mean(values: list[float]) -> float:
    if not values:
        return math.nan
    if not all(map(math.isfinite, values)):
        return sum(values) / len(values)  # fsum refuses infinities of both signs
    return math.fsum(values) / len(values)
