"""What a running method may ask of its surroundings: where to compute, its weights, and how to report and stop."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .devices import Compute
from .errors import Cancelled
from .types import Cancel, Progress

__all__ = ["Runtime"]


@dataclass
class Runtime:
    """Handed to every method while it runs.

    Parameters
    ----------
    compute
        Device and precision.
    weights
        File of the network's weights, resolved and verified, if the method needs any.
    maps
        False if nobody wants the maps: a method may leave out what only they need.
    low_memory
        Set on the second try after memory ran out: work in smaller pieces.
    progress, cancelled
        The caller's callables, or None.
    notes
        Sentences for the user about how the result came about, appended to by the method.
    """

    compute: Compute
    weights: Path | None = None
    maps: bool = True
    low_memory: bool = False
    progress: Progress | None = None
    cancelled: Cancel | None = None
    notes: list[str] = field(default_factory=list)

    def step(self, done: int, total: int, message: str) -> None:
        """Report progress; call it between any two pieces of work, at least a few times a second.

        Raises
        ------
        Cancelled
            If the user wants to stop.
        """
        self.check()
        if self.progress is not None:
            self.progress(done, total, message)

    def check(self) -> None:
        """Only look whether to stop; call it where there is nothing new to report.

        Raises
        ------
        Cancelled
            If the user wants to stop.
        """
        if self.cancelled is not None and self.cancelled():
            raise Cancelled
