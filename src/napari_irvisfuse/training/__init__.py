"""Training as a feature: one loop for every network, exact to resume."""

from __future__ import annotations

from .run import TrainingResult, train

__all__ = ["TrainingResult", "train"]
