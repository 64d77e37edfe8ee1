"""Fuse an infrared and a visible image of one scene, and look inside.

>>> import napari_irvisfuse as nif
>>> result = nif.fuse("ir.png", "visible.png", method="wls")  # doctest: +SKIP

Importing this package imports neither torch nor napari: each name below loads what it needs when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .algorithms import methods
    from .algorithms.base import MethodInfo, ParameterInfo
    from .alignment.automatic import AlignmentResult, align
    from .alignment.detect import AlignmentCheck, check_alignment
    from .alignment.points import PointsResult, align_points
    from .errors import Cancelled, FusionError
    from .evaluation import evaluate_folder
    from .images.alignment_files import Alignment, read_alignment, write_alignment
    from .images.files import read_image, write_image
    from .images.grids import Grid
    from .images.pair import ImagePair
    from .images.pair_source import PairSource
    from .images.radiometric import RadiometricImage, read_radiometric
    from .images.regions import Region
    from .maps import Map
    from .metrics import describe_metrics, evaluate, quality_maps
    from .metrics.base import MetricInfo
    from .pipeline import fuse
    from .recipe import Recipe
    from .result import FusionResult
    from .session import FusionSession
    from .stacks import fuse_stack, iter_fused, lazy_stack, stack_window
    from .training import train

__all__ = [
    "Alignment",
    "AlignmentCheck",
    "AlignmentResult",
    "Cancelled",
    "FusionError",
    "FusionResult",
    "FusionSession",
    "Grid",
    "ImagePair",
    "Map",
    "MethodInfo",
    "MetricInfo",
    "PairSource",
    "ParameterInfo",
    "PointsResult",
    "RadiometricImage",
    "Recipe",
    "Region",
    "align",
    "align_points",
    "check_alignment",
    "describe_metrics",
    "evaluate",
    "evaluate_folder",
    "fuse",
    "fuse_stack",
    "iter_fused",
    "lazy_stack",
    "methods",
    "quality_maps",
    "read_alignment",
    "read_image",
    "read_radiometric",
    "stack_window",
    "train",
    "write_alignment",
    "write_image",
]

_HOME = {
    "Alignment": "images.alignment_files",
    "AlignmentCheck": "alignment.detect",
    "AlignmentResult": "alignment.automatic",
    "Cancelled": "errors",
    "FusionError": "errors",
    "FusionResult": "result",
    "FusionSession": "session",
    "Grid": "images.grids",
    "ImagePair": "images.pair",
    "Map": "maps",
    "MethodInfo": "algorithms.base",
    "MetricInfo": "metrics.base",
    "PairSource": "images.pair_source",
    "ParameterInfo": "algorithms.base",
    "PointsResult": "alignment.points",
    "RadiometricImage": "images.radiometric",
    "Recipe": "recipe",
    "Region": "images.regions",
    "align": "alignment.automatic",
    "align_points": "alignment.points",
    "check_alignment": "alignment.detect",
    "describe_metrics": "metrics",
    "evaluate": "metrics",
    "evaluate_folder": "evaluation",
    "fuse": "pipeline",
    "fuse_stack": "stacks",
    "iter_fused": "stacks",
    "lazy_stack": "stacks",
    "methods": "algorithms",
    "quality_maps": "metrics",
    "read_alignment": "images.alignment_files",
    "read_image": "images.files",
    "read_radiometric": "images.radiometric",
    "stack_window": "stacks",
    "train": "training",
    "write_alignment": "images.alignment_files",
    "write_image": "images.files",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("napari-irvisfuse")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
