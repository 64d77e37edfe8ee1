"""Every error a user can cause, as one small family.

A message is one clear sentence that says what is wrong and what to do about it. The command line prints
it on one line, the widget shows it inline, Python raises it.
"""

from __future__ import annotations

__all__ = [
    "AlignmentError",
    "Cancelled",
    "DeviceError",
    "DownloadError",
    "FusionError",
    "ImageError",
    "OutputError",
    "ParameterError",
    "RecipeError",
    "TrainingError",
    "WeightsError",
]


class FusionError(Exception):
    """Base of all errors that a user can put right."""


class ImageError(FusionError, ValueError):
    """An input image, or the pair, cannot be fused as it is."""


class AlignmentError(ImageError):
    """It is not known, or not in a usable form, how one image lies on the other."""


class ParameterError(FusionError, ValueError):
    """An unknown method, an unknown parameter or a value out of its bounds."""


class RecipeError(FusionError, ValueError):
    """A recipe file is malformed or does not fit this version."""


class DeviceError(FusionError, RuntimeError):
    """The device or precision asked for is not there, or has too little memory."""


class WeightsError(FusionError, RuntimeError):
    """Network weights are missing, damaged or of another network."""


class DownloadError(FusionError, OSError):
    """A file could not be downloaded, or what came is not what was expected."""


class OutputError(FusionError, OSError):
    """A result cannot be written where it was asked to go."""


class TrainingError(FusionError, RuntimeError):
    """A training cannot begin, go on or be resumed."""


class Cancelled(Exception):
    """The user stopped the job. Not an error: it says that nothing was produced, and nothing was lost."""
