"""The few types that every floor shares. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

__all__ = ["Cancel", "MapKind", "Progress"]

Progress: TypeAlias = Callable[[int, int, str], None]
"""``progress(done, total, message)``: called often, from the thread that computes. ``total`` is 0 while unknown."""

Cancel: TypeAlias = Callable[[], bool]
"""``cancelled()``: asked often; once it answers True the job stops by raising ``Cancelled``."""

MapKind: TypeAlias = Literal["intensity", "signed", "weight", "index", "energy"]
"""What the numbers of a map mean, which decides how it is shown.

``intensity``: image values in [0, 1]; ``signed``: differences around 0; ``weight``: shares in [0, 1];
``index``: whole numbers naming a choice (0 = none); ``energy``: non-negative, unbounded.
"""
