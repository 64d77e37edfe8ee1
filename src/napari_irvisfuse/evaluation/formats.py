"""An evaluation as text: CSV, JSON, Markdown, and the cells of the table on the terminal."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_irvisfuse.metrics.base import MetricInfo

    from .results import Evaluation

__all__ = [
    "caption",
    "image_table",
    "info_to_dict",
    "mean_table",
    "number",
    "plain",
    "to_csv",
    "to_json",
    "to_markdown",
]

Table = tuple[list[str], list[list[str]]]
"""Headings, and rows of as many cells."""


def number(value: float) -> str:
    """Write a value for people: four decimals, and fewer or more where that would say nothing."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    size = abs(value)
    return f"{value:.4f}" if size == 0 or 0.01 <= size < 1e4 else f"{value:.3g}" if size < 1 else f"{value:.6g}"


def mean_table(evaluation: Evaluation, *, mark_best: str = "{}") -> Table:
    """Return means as text, a row for each metric and a column for each method, with ranks if there are several.

    Parameters
    ----------
    evaluation
        The numbers.
    mark_best
        How the best of a row is written, for example ``"**{}**"``.
    """
    means, ranks = evaluation.means(), evaluation.ranks()
    ranked = len(evaluation.methods) > 1

    def cell(method: str, metric: str) -> str:
        text, rank = number(means[method][metric]), ranks[method][metric]
        if not ranked or rank is None:
            return text
        return f"{mark_best.format(text) if rank == 1 else text} ({rank})"

    rows = [
        [arrowed(info), *(cell(method, metric) for method in evaluation.methods)]
        for metric, info in evaluation.metrics.items()
    ]
    return ["Metric", *evaluation.methods], rows


def image_table(evaluation: Evaluation) -> Table:
    """Return the values of every image as text, a row for each image and method and a column for each metric."""
    rows = [
        [image, method, *(number(values[metric]) for metric in evaluation.metrics)]
        for image, method, values in _values(evaluation)
    ]
    return ["Image", "Method", *map(arrowed, evaluation.metrics.values())], rows


def arrowed(info: MetricInfo) -> str:
    """Return a metric's name with its direction."""
    return f"{info.name} {'↑' if info.higher_is_better else '↓'}"


def caption(evaluation: Evaluation) -> str:
    """Say in a line what the means are taken over."""
    counts = {metric: len(evaluation.compared(metric)) for metric in evaluation.metrics}
    most, total = max(counts.values(), default=0), len(evaluation.images)
    text = f"Profile {evaluation.profile}, means over {most} image{'s' if most != 1 else ''}"
    if most < total:
        text += f" of {total}" + (" (where every method has a value)" if len(evaluation.methods) > 1 else "")
    if fewer := [f"{metric} over {count}" for metric, count in counts.items() if count != most]:
        text += f", {', '.join(fewer)}"
    return f"{text}; ↑ higher is better, ↓ lower is better{'; (1) is best' if len(evaluation.methods) > 1 else ''}."


def to_csv(evaluation: Evaluation) -> str:
    """Write means, ranks, numbers of images and all values in one table; see :meth:`Evaluation.to_csv`."""
    metrics = list(evaluation.metrics)
    means, ranks = evaluation.means(), evaluation.ranks()
    counts = [len(evaluation.compared(metric)) for metric in metrics]
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n").writerow
    write(["kind", "image", "method", *metrics])
    for method in evaluation.methods:
        write(["mean", "", method, *(means[method][metric] for metric in metrics)])
    for method in evaluation.methods:
        write(["rank", "", method, *(ranks[method][metric] for metric in metrics)])
    for method in evaluation.methods:
        write(["n", "", method, *(counts if evaluation.values[method] else [0] * len(metrics))])
    for image, method, values in _values(evaluation):
        write(["value", image, method, *(values[metric] for metric in metrics)])
    return text.getvalue()


def to_json(evaluation: Evaluation) -> str:
    """Write everything; see :meth:`Evaluation.to_json`."""
    document = {
        "irvisfuse_evaluation": 1,
        "version": version("napari-irvisfuse"),
        "profile": evaluation.profile,
        "metrics": {name: info_to_dict(info) for name, info in evaluation.metrics.items()},
        "methods": list(evaluation.methods),
        "images": list(evaluation.images),
        "means": evaluation.means(),
        "ranks": evaluation.ranks(),
        "compared": {metric: list(evaluation.compared(metric)) for metric in evaluation.metrics},
        "values": evaluation.values,
        "failures": [dataclasses.asdict(failure) for failure in evaluation.failures],
        "unmatched": list(evaluation.unmatched),
        "reused": evaluation.reused,
    }
    return json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_markdown(evaluation: Evaluation, *, per_image: bool) -> str:
    """Write tables for a page; see :meth:`Evaluation.to_markdown`."""
    parts = [_markdown(*mean_table(evaluation, mark_best="**{}**"), text_columns=1), caption(evaluation) + "\n"]
    if per_image:
        parts += ["## Every image\n", _markdown(*image_table(evaluation), text_columns=2)]
    if evaluation.failures:
        parts += ["## Not measured\n", "".join(f"- {failure}\n" for failure in evaluation.failures)]
    if evaluation.unmatched:
        parts += ["## Left out\n", "".join(f"- {sentence}\n" for sentence in evaluation.unmatched)]
    return "\n".join(parts)


def info_to_dict(info: MetricInfo) -> dict[str, Any]:
    """Return a metric's description for JSON; a side without bound is None."""
    bounds = [bound if math.isfinite(bound) else None for bound in info.bounds]
    return {**dataclasses.asdict(info), "bounds": bounds, "url": f"https://doi.org/{info.doi}" if info.doi else ""}


def plain(value: Any) -> Any:
    """Return what JSON can hold: it has no word for numbers that are not finite, so they become text."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _values(evaluation: Evaluation) -> Iterable[tuple[str, str, Mapping[str, float]]]:
    for image in evaluation.images:
        for method in evaluation.methods:
            if image in evaluation.values[method]:
                yield image, method, evaluation.values[method][image]


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: int) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"

    rule = [":--" if number < text_columns else "--:" for number in range(len(headings))]
    return "".join(map(line, [headings, rule, *rows]))
