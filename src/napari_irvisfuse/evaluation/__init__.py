"""Tables over data sets: several methods, measured on every image of a folder, with means and ranks."""

from __future__ import annotations

from .files import ImageFiles, PairListing, pair_files
from .results import Evaluation, Failure
from .run import evaluate_folder

__all__ = ["Evaluation", "Failure", "ImageFiles", "PairListing", "evaluate_folder", "pair_files"]
