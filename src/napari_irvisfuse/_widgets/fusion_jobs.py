"""What the fuse widget does in its jobs' threads: plain functions on plain values, without Qt.

torch is imported here and nowhere earlier, inside the functions: it takes seconds that the GUI thread has not got.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from napari_irvisfuse.recipe import Recipe

from .layer_stacks import frames_of
from .layers import source_from_layers
from .shown_frames import ShownFrames

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_irvisfuse.algorithms.base import MethodInfo
    from napari_irvisfuse.images.frames import Index
    from napari_irvisfuse.images.pair import Output
    from napari_irvisfuse.images.placement import GridChoice, PlacementSpec
    from napari_irvisfuse.images.ranges import Windows, WindowSpec
    from napari_irvisfuse.result import FusionResult
    from napari_irvisfuse.session import FusionSession
    from napari_irvisfuse.stacks import FusionStack
    from napari_irvisfuse.types import Cancel, Progress

    from .layer_regions import Part

__all__ = ["Catalogue", "Facts", "Outcome", "Request", "Wanted", "follow", "load_catalogue", "look_up", "run", "show"]


Wanted: TypeAlias = "tuple[ShownFrames, tuple[Index, ...]]"


@dataclass(frozen=True)
class Catalogue:
    """What can be chosen: the methods by name, and the devices of this machine."""

    methods: Mapping[str, MethodInfo]
    default_method: str
    devices: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """What a choice means here: the device in words, and where the method's weights are (empty: it needs none)."""

    device: str
    weights: str


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
        planes = (self.ir_step[:-2], self.visible_step[:-2]) if self.frames == "this" else (self.frames, self.windows)
        grids = self.ir_to_visible, self.grid if self.ir_to_visible is not None else None
        windows = self.ir_window, self.visible_window
        return self.ir, self.visible, planes, grids, windows, self.device, self.precision

    @property
    def key(self) -> tuple[Any, ...]:
        """What has to be equal for the results to be equal."""
        shown = self.part, self.with_maps
        return self.scene, shown, self.method, dict(self.parameters), self.weights, self.output, self.smoothing

    def looks_like(self, other: Request) -> bool:
        """Tell whether both look at a part of the same layers in the same way: one result can become the other."""
        kinds = [request.part.kind if request.part is not None else "" for request in (self, other)]
        frames = self.frames, other.frames
        same_layers = self.ir is other.ir and self.visible is other.visible
        return same_layers and frames == ("this", "this") and kinds[0] == kinds[1] != ""

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
        return code.removesuffix(")\n") + lines + ")\n"


@dataclass(frozen=True)
class Outcome:
    """A result, and what can answer the next small change: a session, or the frames that are fused when shown."""

    request: Request
    session: FusionSession | None
    result: FusionResult
    seconds: float
    shown: ShownFrames | None = None


def load_catalogue(progress: Progress, cancelled: Cancel) -> Catalogue:
    """Import what takes long, and list methods and devices."""
    progress(0, 0, "Loading methods")
    from napari_irvisfuse.algorithms import methods
    from napari_irvisfuse.devices import available_devices
    from napari_irvisfuse.session import DEFAULT_METHOD

    return Catalogue(methods(), DEFAULT_METHOD, tuple(available_devices()))


def look_up(
    method: str,
    parameters: Mapping[str, Any],
    weights: str | None,
    device: str,
    precision: str,
    progress: Progress,
    cancelled: Cancel,
) -> Facts:
    """Say what device, precision and weights mean on this machine."""
    from napari_irvisfuse.algorithms import get_method
    from napari_irvisfuse.devices import choose
    from napari_irvisfuse.errors import DeviceError

    try:
        explanation = choose(device, precision).explanation
    except DeviceError as error:
        explanation = str(error)
    chosen = get_method(method)
    name = chosen.weights_name(chosen.parameters(**parameters))
    given = chosen.needs_weights or chosen.accepts_dictionary
    return Facts(explanation, _describe_weights(name, weights) if given else "")


def run(request: Request, progress: Progress, cancelled: Cancel) -> Outcome:
    """Read the layers and fuse them: the displayed frame, all, or those that will be shown."""
    if request.frames != "this":
        return _run_stack(request, progress, cancelled)
    from napari_irvisfuse.session import FusionSession

    start = time.perf_counter()
    progress(0, 0, "Reading the layers")
    source = source_from_layers(
        request.ir,
        request.visible,
        ir_window=request.ir_window,
        visible_window=request.visible_window,
        step=request.ir_step,
        visible_step=request.visible_step,
        grid=request.grid,
        dtype="float64" if request.precision == "float64" else "float32",  # as nif.fuse does
    )
    session = FusionSession(source, device=request.device, precision=request.precision)
    result = _fuse(session, request, progress, cancelled)
    return Outcome(request, session, result, time.perf_counter() - start)


def show(wanted: Sequence[Wanted], progress: Progress, cancelled: Cancel) -> None:
    """Fuse frames that the viewer misses; they are kept, and the layers have only to be refreshed."""
    for shown, indices in wanted:
        for index in indices:
            shown.fusion.fuse(index, progress, cancelled)


def _run_stack(request: Request, progress: Progress, cancelled: Cancel) -> Outcome:
    from napari_irvisfuse.stacks import FusionStack, gather

    start = time.perf_counter()
    progress(0, 0, "Reading the layers")
    stack = FusionStack(
        frames_of(request.ir),
        frames_of(request.visible),
        ir_window=request.ir_window,
        visible_window=request.visible_window,
        windows=request.windows,
        ir_to_visible=request.ir_to_visible,
        grid=request.grid,
        device=request.device,
        precision=request.precision,
        progress=progress,
        cancelled=cancelled,
    )
    options = {"weights": request.weights, "output": request.output, **request.parameters}
    if request.frames == "shown":
        return _show_first(request, stack, options, start, progress, cancelled)
    results = stack.run(
        request.method,
        smoothing=request.smoothing,
        maps=request.maps,
        progress=progress,
        cancelled=cancelled,
        **options,
    )
    return Outcome(request, None, gather(stack, results, None), time.perf_counter() - start)


def _show_first(
    request: Request,
    stack: FusionStack,
    options: dict[str, Any],
    start: float,
    progress: Progress,
    cancelled: Cancel,
) -> Outcome:
    from napari_irvisfuse.images.ranges import resolve_window
    from napari_irvisfuse.stacks import LazyFusion

    fusion = LazyFusion(stack, request.method, **options)
    steps = request.ir_step if request.ir.ndim > request.visible.ndim else request.visible_step
    displayed = steps[-2 - len(stack.shape) : -2]
    first = tuple(min(max(place, 0), side - 1) for place, side in zip(displayed, stack.shape, strict=True))
    frame = fusion.fuse(first, progress, cancelled)
    window = resolve_window(frame.fused, request.visible_window, "visible")
    shown = ShownFrames(fusion, first)
    if stack.windows is not None:
        window = stack.windows[1]
    result = replace(frame, fused=shown, maps={}, visible_window=window, axes=stack.shape)
    return Outcome(request, None, result, time.perf_counter() - start, shown)


def follow(request: Request, session: FusionSession | None, progress: Progress, cancelled: Cancel) -> Outcome:
    """Answer a change of live parameters, or of the part that is looked at, with a session that is kept.

    Without one the layers are read again.
    """
    if session is None:
        return run(request, progress, cancelled)
    start = time.perf_counter()
    result = _fuse(session, request, progress, cancelled)
    return Outcome(request, session, result, time.perf_counter() - start)


def _describe_weights(name: str | None, own_file: str | None) -> str:
    from napari_irvisfuse.errors import WeightsError
    from napari_irvisfuse.weights import store

    try:
        if own_file is not None:
            store.resolve(name or "", own_file)
            return "Your own file is used."
        if name is None:
            return "Its dictionary is part of this package."
        here = store.find(name)
    except WeightsError as error:
        return str(error)
    entry = store.entries()[name]
    if entry.shipped:
        return f"{entry.title}: part of this package."
    if here is not None:
        return f"{entry.title}: on this computer."
    return f"{entry.title}: {entry.size_bytes / 1e6:.0f} MB will be downloaded in the first run."


def _fuse(session: FusionSession, request: Request, progress: Progress, cancelled: Cancel) -> FusionResult:
    return session.fuse(
        request.method,
        weights=request.weights,
        region=request.part and request.part.region,
        inside=request.part and request.part.mask(),
        maps=request.with_maps,
        output=request.output,
        progress=progress,
        cancelled=cancelled,
        **request.parameters,
    )


def _expression(layer: Image, step: tuple[int, ...]) -> str:
    """Return Python for the plane of a layer that is fused."""
    name = json.dumps(layer.name, ensure_ascii=False)  # a Python string too, in double quotes
    data = f"viewer.layers[{name}].data"
    if layer.multiscale:
        data += "[0]"
    plane = step[-layer.ndim : -2]
    return f"{data}[{', '.join(str(index) for index in plane)}]" if plane else data
