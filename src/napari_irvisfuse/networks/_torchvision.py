"""The one place that imports torchvision, also where its compiled part does not fit torch.

Only tests and benchmarks come here, for the stock networks that ours are held against; nobody's fusion does.

torch from one index beside torchvision from another (usually CPU torch, CUDA torchvision) is a common accident, and
then ``import torchvision`` stops with ``operator torchvision::nms does not exist``: its compiled part cannot be loaded,
and its Python part wants to say something about the operators in it. None of our networks uses one of them. So it is
enough to declare those that the import looks for; calling one still fails, as it should.
"""

from __future__ import annotations

import importlib
import sys
import threading
from types import ModuleType
from typing import Any

from napari_irvisfuse.errors import WeightsError

__all__ = ["torchvision_models"]

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}

_lock = threading.Lock()
_declared: list[Any] = []  # torch.library forgets what is declared through a Library that nobody holds any more


def torchvision_models() -> ModuleType:
    """Import ``torchvision.models``.

    Returns
    -------
    ModuleType
        The module, with the constructors and the weights enumerations.

    Raises
    ------
    WeightsError
        If torchvision is not installed, or does not fit torch.
    """
    with _lock:
        try:
            try:
                return importlib.import_module("torchvision.models")
            except RuntimeError as error:
                if "operator torchvision::nms does not exist" not in str(error):
                    raise
            _forget_torchvision()
            _declare_operators()
            return importlib.import_module("torchvision.models")
        except ModuleNotFoundError as error:
            missing = (error.name or "torchvision").partition(".")[0]
            raise WeightsError(
                f"The pretrained networks need {missing}, which is not installed: "
                "install torch and torchvision in this environment."
            ) from error
        except (ImportError, RuntimeError) as error:
            _forget_torchvision()
            raise WeightsError(
                "The pretrained networks cannot be loaded because torchvision does not fit torch: "
                f"install both anew, from the same index ({_first_line(error)})."
            ) from error


def _declare_operators() -> None:
    import torch

    create: Any = torch.library.Library  # untyped in some versions of torch
    library = create("torchvision", "FRAGMENT")
    _declared.append(library)
    for name, schema in _SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)


def _forget_torchvision() -> None:
    """Drop what a failed import has left behind, or the next one would find half a package."""
    for name in [name for name in sys.modules if name == "torchvision" or name.startswith("torchvision.")]:
        del sys.modules[name]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
