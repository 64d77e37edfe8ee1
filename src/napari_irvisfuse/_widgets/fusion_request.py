"""What the fuse widget asks for, and what it gets: plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_irvisfuse.recipe import Recipe

from .shown_frames import ShownFrames

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_irvisfuse.images.pair import Output
    from napari_irvisfuse.images.placement import GridChoice, PlacementSpec
    from napari_irvisfuse.images.ranges import Windows, WindowSpec
    from napari_irvisfuse.result import FusionResult
    from napari_irvisfuse.session import FusionSession
    from napari_irvisfuse.stacks import LazyFusion, StackOptions

    from .layer_regions import Part

__all__ = ["Outcome", "Request", "SharedWindows"]

_OF_FRAMES = ("ir_window", "visible_window", "windows", "ir_to_visible", "grid", "device", "precision", "smoothing")
_HOW = ("method", "parameters", "weights", "weights_sha256", "output", "region")
_QUICK = 1 << 30  # bytes that are read again for a window without anybody noticing


@dataclass(frozen=True)
class Request:
    """Everything that decides a result, as the widget shows it when Run is pressed."""

    ir: Image
    visible: Image
    ir_step: tuple[int, ...]
    visible_step: tuple[int, ...]
    method: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None
    weights_sha256: str | None = None
    device: str = "auto"
    precision: str = "auto"
    ir_window: WindowSpec = "auto"
    visible_window: WindowSpec = "auto"
    ir_to_visible: PlacementSpec = None
    grid: GridChoice = "visible"
    output: Output = "visible"
    frames: str = "this"
    smoothing: float = 0.0
    windows: Windows = "shared"
    maps: tuple[str, ...] = ()
    part: Part | None = None

    @property
    def region(self) -> tuple[int, int, int, int] | None:
        """The region as a recipe has it."""
        return astuple(self.part.region) if self.part is not None else None

    @property
    def with_maps(self) -> bool:
        """Whether the maps are computed: of a part, which should be there at once, only if they become layers."""
        return self.part is None or bool(self.maps)

    @property
    def scene(self) -> tuple[Any, ...]:
        """What a session stands on: with another scene it is of no use."""
        planes = (self.ir_step[:-2], self.visible_step[:-2]) if self.frames == "this" else self.frames
        grids = self.ir_to_visible, self.grid if self.ir_to_visible is not None else None
        windows = self.ir_window, self.visible_window, self.windows
        return self.ir, self.visible, planes, grids, windows, self.device, self.precision

    @property
    def key(self) -> tuple[Any, ...]:
        """What has to be equal for the results to be equal."""
        shown = self.part, self.with_maps
        return self.scene, shown, self.method, dict(self.parameters), self.weights, self.output, self.smoothing

    def looks_like(self, other: Request) -> bool:
        """Tell whether both look at a part of the same layers in the same way: one result can become the other."""
        kinds = [request.part.kind if request.part is not None else "" for request in (self, other)]
        same_layers = self.ir is other.ir and self.visible is other.visible
        return same_layers and self.frames == other.frames != "all" and kinds[0] == kinds[1] != ""

    def options(self) -> StackOptions:
        """Return how the frames of both layers are fused."""
        from napari_irvisfuse.stacks import StackOptions

        return StackOptions(**self.how, **{name: getattr(self, name) for name in _OF_FRAMES})

    @property
    def how(self) -> dict[str, Any]:
        """Those of the options that may change while the frames stay what they are."""
        return {**{name: getattr(self, name) for name in _HOW}, "inside": self.part and self.part.mask()}

    def as_python(self) -> str:
        """Return code for napari's console, or for a script with a ``viewer``, that gives the same result."""
        recipe = Recipe(
            method=self.method,
            parameters=dict(self.parameters),
            device=self.device,
            precision=self.precision,
            ir_window=self.ir_window,
            visible_window=self.visible_window,
            ir_to_visible=self.ir_to_visible,
            grid=self.grid,
            region=self.region,
            output=self.output,
            smoothing=self.smoothing,
            windows=self.windows,
        )
        steps = (self.ir_step, self.visible_step) if self.frames == "this" else ((), ())
        layers = zip((self.ir, self.visible), steps, strict=True)
        ir, visible = (_expression(layer, step) for layer, step in layers)
        code = recipe.as_python(f"ir={ir}", f"visible={visible}")
        # a recipe leaves the device to whoever replays it and names no local files; this code runs here
        extra = {"device": self.device} if self.device != "auto" else {}
        extra |= {"weights": self.weights} if self.weights else {}
        lines = "".join(f"    {key}={value!r},\n" for key, value in extra.items())
        if self.frames == "this" and self.windows == "shared":
            lines += _window_lines(self)
        return code.removesuffix(")\n") + lines + ")\n"


@dataclass(frozen=True)
class Outcome:
    """A result, and what can answer the next small change: a session, or what is fused when it is shown."""

    request: Request
    session: FusionSession | None
    result: FusionResult
    seconds: float
    fusion: LazyFusion | None = None
    shown: tuple[ShownFrames, ...] = ()
    windows: SharedWindows | None = None


@dataclass(frozen=True)
class SharedWindows:
    """The windows of all frames of two layers, found out once: it may mean to read them all."""

    ir: Image
    visible: Image
    asked: tuple[WindowSpec, WindowSpec]
    found: tuple[WindowSpec, WindowSpec]

    def answers(self, request: Request) -> bool:
        """Tell whether these are the windows that a request needs."""
        same_layers = self.ir is request.ir and self.visible is request.visible
        asked = request.ir_window, request.visible_window
        return request.windows == "shared" and same_layers and self.asked == asked

    @property
    def read_quickly(self) -> bool:
        """Whether they had better be found out again, since an array may have been changed in place."""
        return all(isinstance(data, np.ndarray) and data.nbytes < _QUICK for data in (self.ir.data, self.visible.data))


def _window_lines(request: Request) -> str:
    """Return arguments that give one frame the window of all, where that is not what it has anyway."""
    lines = ""
    for role, layer, spec in (
        ("ir", request.ir, request.ir_window),
        ("visible", request.visible, request.visible_window),
    ):
        dtype = np.dtype(layer.dtype)
        fixed = not isinstance(spec, str) or spec == "full" or dtype == np.bool_ or (spec, dtype) == ("auto", np.uint8)
        if layer.ndim > 2 and not fixed:
            lines += f"    {role}_window=nif.stack_window({_expression(layer, ())}, {spec!r}, {role!r}),\n"
    return lines


def _expression(layer: Image, step: tuple[int, ...]) -> str:
    """Return Python for the plane of a layer that is fused."""
    name = json.dumps(layer.name, ensure_ascii=False)  # a Python string too, in double quotes
    data = f"viewer.layers[{name}].data"
    if layer.multiscale:
        data += "[0]"
    plane = step[-layer.ndim : -2]
    return f"{data}[{', '.join(str(index) for index in plane)}]" if plane else data
