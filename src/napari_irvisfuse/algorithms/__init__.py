"""The fusion methods, one file each. A new file with a :class:`FusionMethod` in it is found by itself."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Any

from napari_irvisfuse.errors import ParameterError

if TYPE_CHECKING:
    from .base import FusionMethod, MethodInfo

__all__ = ["get_method", "methods"]


@cache
def _registry() -> dict[str, FusionMethod[Any, Any]]:
    from .base import FusionMethod

    found: list[type[FusionMethod[Any, Any]]] = []
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for _, item in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            own = item.__module__ == module.name
            if own and issubclass(item, FusionMethod) and not inspect.isabstract(item):
                found.append(item)
    # baselines last: they are there to be beaten
    found.sort(key=lambda item: (item.baseline, item.name))
    return {item.name: item() for item in found}


def methods() -> dict[str, MethodInfo]:
    """List the fusion methods.

    Returns
    -------
    dict
        Name to :class:`~napari_irvisfuse.algorithms.base.MethodInfo`, baselines last.
    """
    return {name: method.info() for name, method in _registry().items()}


def get_method(name: str) -> FusionMethod[Any, Any]:
    """Return one method.

    Raises
    ------
    ParameterError
        If there is none of that name.
    """
    registry = _registry()
    if name not in registry:
        raise ParameterError(f"There is no method {name!r}: choose one of {', '.join(registry)}.")
    return registry[name]
