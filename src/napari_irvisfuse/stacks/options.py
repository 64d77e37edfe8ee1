"""What decides a fused stack besides its images: checked once, and handed on as one value."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.algorithms import get_method
from napari_irvisfuse.images.pair import Output, check_output_rule
from napari_irvisfuse.images.placement import GridChoice, check_grid
from napari_irvisfuse.images.ranges import Windows, WindowSpec, check_windows, parse_window
from napari_irvisfuse.images.regions import Region, parse_region
from napari_irvisfuse.images.temporal import check_smoothing
from napari_irvisfuse.session import DEFAULT_METHOD

__all__ = ["StackOptions", "takes_options"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True, eq=False)
class StackOptions:
    """The options of :func:`fuse_stack`, :func:`iter_fused` and :func:`lazy_stack`, where each is described.

    Parameters
    ----------
    method, parameters, weights, weights_sha256, output, region, smoothing
        How a frame is fused.
    inside
        Bool, of the region's shape: False where the visible image should stay as it is. None: nowhere.
    frames, ir_window, visible_window, windows, ir_to_visible, grid, device, precision
        Which frames, and on what they are fused: these belong to a :class:`FusionStack` for good.

    Raises
    ------
    ParameterError
        If one of them cannot be. That should not wait for the stacks to be read.
    """

    method: str = DEFAULT_METHOD
    parameters: Mapping[str, Any] = field(default_factory=dict)
    weights: str | Path | None = None
    weights_sha256: str | None = None
    output: Output = "visible"
    region: Region | Sequence[int] | str | None = None
    inside: npt.NDArray[np.bool_] | None = None
    smoothing: float = 0.0
    frames: slice | Sequence[int] | None = None
    ir_window: WindowSpec | str = "auto"
    visible_window: WindowSpec | str = "auto"
    windows: Windows = "shared"
    ir_to_visible: object = None
    grid: GridChoice = "visible"
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        get_method(self.method).parameters(**self.parameters)
        check_output_rule(self.output)
        check_smoothing(self.smoothing)
        check_windows(self.windows)
        check_grid(self.grid)
        parse_region(self.region)
        _ = self.asked

    @classmethod
    def of(cls, method: str = DEFAULT_METHOD, **keywords: Any) -> StackOptions:
        """Take keyword arguments as users give them: what is no option is a parameter of the method.

        Raises
        ------
        ParameterError
            As the class does.
        """
        parameters = {name: value for name, value in keywords.items() if name not in _KEYWORDS}
        own = {name: value for name, value in keywords.items() if name in _KEYWORDS}
        return cls(method, parameters, **own)

    @property
    def asked(self) -> tuple[WindowSpec, WindowSpec]:
        """Both windows, infrared first."""
        return parse_window(self.ir_window), parse_window(self.visible_window)

    @property
    def of_frame(self) -> dict[str, Any]:
        """How a frame is fused: keyword arguments for :meth:`FusionSession.fuse`."""
        own = {
            name: getattr(self, name) for name in ("method", "weights", "weights_sha256", "output", "region", "inside")
        }
        return {**own, **self.parameters}


_KEYWORDS = {item.name: item for item in fields(StackOptions) if item.name not in ("method", "parameters")}


def takes_options(function: _Function) -> _Function:
    """Let the signature of a function that takes ``**options`` name them all, for help and completion."""
    signature = inspect.signature(function)
    *own, _ = signature.parameters.values()
    named = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=item.default, annotation=item.type)
        for name, item in _KEYWORDS.items()
        if name not in signature.parameters
    ]
    rest = inspect.Parameter("parameters", inspect.Parameter.VAR_KEYWORD, annotation=Any)
    function.__signature__ = signature.replace(parameters=[*own, *named, rest])  # type: ignore[attr-defined]
    return function
