"""Measured values of one or several results: what is best, how they compare, and the table as text."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari_irvisfuse.metrics.base import MetricInfo

__all__ = ["Report", "arrow", "describe", "formatted"]

Floats = npt.NDArray[np.float64]
_DIGITS = 4
_SMALL, _TINY = 0.01, 1e-4


@dataclass(frozen=True, eq=False)
class Report:
    """Some metrics of some results.

    Parameters
    ----------
    results
        Their names, no two equal.
    metrics
        What was measured.
    frames
        For each result ``(frames, metrics)``; one frame for a single plane.
    """

    results: tuple[str, ...]
    metrics: tuple[MetricInfo, ...]
    frames: tuple[Floats, ...]

    @property
    def values(self) -> Floats:
        """``(results, metrics)``: the mean over those frames that have a value, NaN where none has."""
        means = np.full((len(self.results), len(self.metrics)), np.nan)
        for mean, frames in zip(means, self.frames, strict=True):
            there = ~np.isnan(frames)
            some = there.any(axis=0)
            mean[some] = np.nansum(frames, axis=0)[some] / there.sum(axis=0)[some]
        return means

    @property
    def scores(self) -> Floats:
        """``(results, metrics)``: 1 for the best of the results, 0 for the worst; NaN stays NaN."""
        return np.column_stack([_scores(column) for column in self._signed().T])

    @property
    def best(self) -> npt.NDArray[np.bool_]:
        """``(results, metrics)``: where the value is the best of several; nowhere if all are equal or there is one."""
        signed = self._signed()
        if len(signed) < 2:
            return np.zeros(signed.shape, dtype=np.bool_)
        top = signed == np.fmax.reduce(signed)
        result: npt.NDArray[np.bool_] = top & ~top.all(axis=0)
        return result

    def texts(self) -> list[list[str]]:
        """Return the values as people read them, ``[result][metric]``, with equally many decimals within a metric."""
        columns = [formatted(column) for column in self.values.T]
        return [[column[row] for column in columns] for row in range(len(self.results))]

    def as_csv(self) -> str:
        """Return one line per result, at full precision."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["result", *(info.name for info in self.metrics)])
        writer.writerows([name, *map(float, row)] for name, row in zip(self.results, self.values, strict=True))
        return text.getvalue()

    def as_markdown(self) -> str:
        """Return a table with a line per metric, as shown, the best in bold."""
        names = [name.replace("|", "\\|") for name in self.results]
        lines = [f"| metric | {' | '.join(names)} |", "|---" + "|---:" * len(names) + "|"]
        texts, best = self.texts(), self.best
        for index, info in enumerate(self.metrics):
            cells = (f"**{row[index]}**" if bold[index] else row[index] for row, bold in zip(texts, best, strict=True))
            lines.append(f"| {info.name} {arrow(info)} | {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"

    def _signed(self) -> Floats:
        signs = np.array([1.0 if info.higher_is_better else -1.0 for info in self.metrics])
        signed: Floats = self.values * signs
        return signed


def _scores(column: Floats) -> Floats:
    finite = column[np.isfinite(column)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    beyond = (high - low) or 1.0  # a perfect PSNR is infinite: one more span away
    ends = np.nan_to_num(column, nan=np.nan, posinf=high + beyond, neginf=low - beyond)
    low, high = float(np.fmin.reduce(ends)), float(np.fmax.reduce(ends))
    return (ends - low) / (high - low) if high > low else np.where(np.isnan(ends), np.nan, 1.0)


def arrow(info: MetricInfo) -> str:
    """Return the direction in which a metric gets better."""
    return "↑" if info.higher_is_better else "↓"


def describe(info: MetricInfo) -> str:
    """Return what a tooltip says about a metric."""
    low, high = info.bounds
    if math.isfinite(low) and math.isfinite(high):
        bounds = f", from {low:g} to {high:g}"
    elif math.isfinite(low) or math.isfinite(high):
        bounds = f", at least {low:g}" if math.isfinite(low) else f", at most {high:g}"
    else:
        bounds = ""
    lines = [
        f"{info.title} ({info.name})",
        info.summary,
        f"{'Higher' if info.higher_is_better else 'Lower'} is better{bounds}.",
        info.reference,
        f"doi:{info.doi}" if info.doi else "",
    ]
    return "\n".join(line for line in lines if line)


def formatted(values: Sequence[float] | Floats) -> list[str]:
    """Format numbers that stand beside each other: four digits for the largest, the same decimals for all."""
    sizes = [abs(value) for value in values if math.isfinite(value)]
    largest = max(sizes, default=0.0)
    before_point = max(math.floor(math.log10(largest)) + 1, 0) if largest > 0 else 0
    decimals = max(_DIGITS - before_point, 0) + (0 < largest < _SMALL)
    return [_formatted(value, decimals) for value in values]


def _formatted(value: float, decimals: int) -> str:
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value and abs(value) < _TINY:
        return f"{value:.2e}".replace("-", "−")
    return f"{value:.{decimals}f}".replace("-", "−")
