"""Alignment: whether two images lie on each other, and how the infrared one has to be moved until they do."""

from __future__ import annotations

from .automatic import AlignmentResult, align
from .detect import AlignmentCheck, check_alignment
from .points import PointsResult, align_points

__all__ = ["AlignmentCheck", "AlignmentResult", "PointsResult", "align", "align_points", "check_alignment"]
