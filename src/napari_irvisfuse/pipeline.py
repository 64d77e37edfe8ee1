"""The corridor: two images in, one :class:`FusionResult` out. API, command line and widgets all walk through here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from .algorithms import get_method
from .algorithms.base import Fusion, Parameters
from .devices import Compute, choose, is_out_of_memory, release_memory
from .errors import DeviceError, OutputError, ParameterError
from .images.checks import MIN_SIZE
from .images.files import write_atomically
from .images.frames import is_stack
from .images.pair import ImagePair, Output, check_output_rule
from .images.pair_source import PairSource
from .images.placement import GridChoice, GridName
from .images.ranges import FloatArray, Window, Windows, WindowSpec, check_windows
from .images.regions import Region, parse_region
from .images.temporal import check_smoothing
from .maps import Map
from .recipe import Recipe
from .runtime import Runtime
from .types import Cancel, Progress

__all__ = ["DEFAULT_METHOD", "FusionResult", "FusionSession", "fuse"]

DEFAULT_METHOD = "rdn"
"""Its weights are a part of this package, so it works everywhere at once."""


@dataclass(frozen=True, eq=False)
class FusionResult:
    """A fused image and what happened inside.

    Parameters
    ----------
    fused
        Size, dtype and colour of the visible image (grey if ``output="luma"`` was asked for); the infrared image's size
        if it was fused on that grid.
    maps
        Name to :class:`~napari_irvisfuse.maps.Map`, each an ``(h, w)`` array at its native resolution, or ``(n,)`` for
        numbers that belong to no place.
        Not writable but for ``index`` maps: the session that made them goes on computing with the same memory.
    recipe
        How to make it again.
    notes
        Sentences about how it came about, for example that the GPU's memory was too small.
    grid
        Whose pixels these are: ``"visible"`` or ``"ir"``.
    valid
        ``(H, W)`` bool, False where an image had no value, so that ``fused`` is the visible image there; None if both
        have one everywhere.
    ir_window, visible_window
        Which values were 0 and 1, in their units: ``result.ir_window.from_unit(map)`` is a map of infrared intensities
        in °C, if the infrared image was.
    axes
        Lengths of the axes in front of the image's, empty but for a stack.
    region
        Which pixels of that grid these are, maps included; None: all. A map of stride s begins at pixel
        ``region.at_stride(s).top · s``, which is the region's first row or lies up to s − 1 before it.
    """

    fused: npt.NDArray[Any]
    maps: Mapping[str, Map[npt.NDArray[Any]]]
    recipe: Recipe
    notes: tuple[str, ...] = ()
    grid: GridName = "visible"
    valid: npt.NDArray[np.bool_] | None = None
    ir_window: Window | None = None
    visible_window: Window | None = None
    axes: tuple[int, ...] = ()
    region: Region | None = None

    def map_files(self) -> dict[str, str]:
        """Return the file that :meth:`save_maps` gives each map: TIFF, or CSV for what is no image."""
        plane = 2 + len(self.axes)
        return {name: f"{name}.tif" if item.data.ndim >= plane else f"{name}.csv" for name, item in self.maps.items()}

    def windows(self) -> dict[str, dict[str, Any]]:
        """Return ``low``, ``high`` and ``unit`` of both windows, as plain values for files and metadata."""
        known = {"ir": self.ir_window, "visible": self.visible_window}
        return {name: asdict(window) for name, window in known.items() if window is not None}

    def save_maps(self, folder: str | Path, *, overwrite: bool = True) -> Path:
        """Write every map, with ``maps.json`` beside them: title, kind, group, stride, labels, and the windows.

        Parameters
        ----------
        folder
            Created if it is not there.
        overwrite
            Replace files of the same names.

        Raises
        ------
        OutputError
            If a file exists and may not be replaced (nothing is written then), or the system refuses.
        """
        import json

        import tifffile

        folder = Path(folder).expanduser()
        files = self.map_files()
        for file in (*files.values(), "maps.json"):
            if not overwrite and (folder / file).exists():
                raise OutputError(f"{folder / file} exists already: choose another folder or say overwrite.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"The folder {folder} cannot be made ({error.strerror or error}).") from error
        listing: dict[str, Any] = {}
        for name, item in self.maps.items():
            data = item.data

            def write(target: Path, data: npt.NDArray[Any] = data) -> None:
                if target.suffix == ".csv":
                    np.savetxt(target, data.reshape(-1, data.shape[-1]) if self.axes else data, fmt="%.9g")
                else:
                    tifffile.imwrite(target, data, photometric="minisblack", compression="zlib")

            write_atomically(folder / files[name], write)
            listing[name] = {
                "file": files[name],
                "title": item.title,
                "kind": item.kind,
                "group": item.group,
                "stride": item.stride,
                "labels": list(item.labels),
            }
        region = {"region": astuple(self.region)} if self.region is not None else {}
        document = {"maps": listing, "windows": self.windows(), **region, "recipe": self.recipe.to_dict()}
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        write_atomically(folder / "maps.json", lambda target: target.write_text(text, encoding="utf-8"))
        return folder


class FusionSession:
    """One pair, or parts of it, fused again and again with changing parameters.

    What a method finds out in its long first step is kept, so that a change of a ``live`` parameter costs
    milliseconds. :func:`fuse` is a session used once.

    Parameters
    ----------
    pair
        The images; as a :class:`~napari_irvisfuse.PairSource` if only regions of them are wanted, since then nothing
        but these is resampled and normalised.
    device, precision
        As for :func:`fuse`.

    Notes
    -----
    Not safe for use from two threads at once.
    """

    def __init__(self, pair: ImagePair | PairSource, *, device: str = "auto", precision: str = "auto") -> None:
        self.pair = pair
        self.compute = choose(device, precision)
        self._attempts = _attempts(self.compute)
        self._attempt = 0
        self._key: tuple[Any, ...] | None = None
        self._state: Any = None
        self._state_notes: tuple[str, ...] = ()
        self._seen: Region | None = None  # what was fused last, with its surroundings
        self._part: ImagePair  # and its pixels

    def is_live(
        self,
        method: str,
        parameters: Mapping[str, Any],
        weights: str | Path | None = None,
        *,
        region: object = None,
        maps: bool = True,
    ) -> bool:
        """Tell whether :meth:`fuse` with these arguments would be answered from what is kept."""
        checked = get_method(method).parameters(**parameters)
        return self._key == self._key_of(method, checked, weights, parse_region(region), maps)

    def forget(self) -> None:
        """Drop what is kept and give the device's memory back."""
        if self._key is not None:
            get_method(self._key[0]).release()
        self._key = self._state = None
        release_memory(self.compute.device)

    def fuse(
        self,
        method: str = DEFAULT_METHOD,
        *,
        weights: str | Path | None = None,
        region: object = None,
        inside: npt.NDArray[np.bool_] | None = None,
        output: Output = "visible",
        maps: bool = True,
        finish: Callable[[FloatArray], FloatArray] | None = None,
        progress: Progress | None = None,
        cancelled: Cancel | None = None,
        **parameters: Any,
    ) -> FusionResult:
        """Fuse the pair; arguments as for :func:`fuse`.

        ``inside``, bool of the region's shape, is False where the visible image should stay as it is. ``finish`` may
        change the fused luma ``(H, W)``, still as the method left it, before colour and data type come back: smoothing
        over time for one.
        """
        check_output_rule(output)
        wanted = parse_region(region)
        shown = Region.whole(self.pair.shape) if wanted is None else wanted.clipped(self.pair.shape)
        if inside is not None and inside.shape != shown.shape:
            raise ParameterError(f"inside has the shape of the region, {shown.shape}; got {inside.shape}.")
        chosen = get_method(method)
        checked = chosen.parameters(**parameters)
        runtime = Runtime(self.compute, maps=maps, progress=progress, cancelled=cancelled)
        runtime.step(0, 0, "Preparing")
        name = chosen.weights_name(checked)
        if name is not None or (weights is not None and chosen.accepts_dictionary):
            from .weights import store

            runtime.weights = store.resolve(name or "", weights, progress=progress, cancelled=cancelled)
        elif weights is not None:
            raise ParameterError(f"Method {method!r} uses no weights: leave the weights file out.")

        seen, halo = self._look_at(shown, chosen, checked, runtime)
        with torch.inference_mode():
            fusion = self._run(chosen, checked, self._key_of(method, checked, weights, wanted, maps), runtime)
            runtime.step(1, 1, "Done")
            part = shown.within(seen)
            pair, luma = self._part.cut(part), _to_array(fusion.fused)[part.slices]
            fused = pair.restore(luma if finish is None else finish(luma), output, inside=inside)
            found = {name: _map_to_array(item, part) for name, item in fusion.maps.items()} if maps else {}
        partly = () if seen.shape == self.pair.shape else _partly_seen(chosen, checked, runtime, halo)

        where = None if wanted is None else pair.region or shown
        compute = runtime.compute
        precision = compute.network if name is not None else compute.arithmetic
        ir_window, visible_window = pair.windows
        ir_to_visible, grid = pair.placement.asked
        return FusionResult(
            fused=fused,
            maps=MappingProxyType(found),
            recipe=Recipe(
                method=method,
                parameters=checked.to_dict(),
                device=str(compute.device),
                precision=str(precision).removeprefix("torch."),
                weights=name,
                weights_sha256=_hash_of(runtime.weights),
                ir_window=ir_window,
                visible_window=visible_window,
                ir_to_visible=ir_to_visible,
                grid=grid,
                region=None if where is None else astuple(where),
                output=output,
                versions={p: version(p) for p in ("napari-irvisfuse", "torch", "numpy")},
            ),
            notes=(*pair.notes, *partly, *self._state_notes, *runtime.notes),
            grid=pair.placement.grid,
            valid=pair.valid,
            ir_window=pair.ir_window,
            visible_window=pair.visible_window,
            region=where,
        )

    def _key_of(
        self, method: str, parameters: Parameters, weights: str | Path | None, region: Region | None, maps: bool
    ) -> tuple[Any, ...]:
        return (method, str(weights), _stamp(weights), maps, region, *parameters.analysis_key())

    def _look_at(self, region: Region, method: Any, parameters: Parameters, runtime: Runtime) -> tuple[Region, int]:
        """Choose how much of the surroundings a region is fused with, and have a pair of that size ready."""
        whole = Region.whole(self.pair.shape)
        halo = 0 if region == whole else method.halo(parameters, runtime.weights)
        seen = region.grown(halo, whole.shape, multiple=method.stride, least=MIN_SIZE)
        if seen != self._seen:
            self._seen = None
            self._part = self.pair.cut(seen, halo=halo, cancelled=runtime.cancelled)
            self._seen = seen
        return seen, halo

    def _run(self, method: Any, parameters: Parameters, key: tuple[Any, ...], runtime: Runtime) -> Fusion:
        """Take the second step, and the first if its result is not kept; with less at once where memory runs out."""
        if key != self._key:
            self._key = self._state = None
            self._attempt = 0
        while self._attempt < len(self._attempts):
            runtime.compute, runtime.low_memory, note = self._attempts[self._attempt]
            runtime.notes = []
            try:
                if self._key is None:
                    self._state = method.analyse(*self._images(runtime.compute), parameters, runtime)
                    self._state_notes = (*runtime.notes, *note)
                    self._key, runtime.notes = key, []
                return cast(Fusion, method.combine(self._state, parameters, runtime))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            # outside the except clause, where the traceback no longer holds the tensors
            self._key = self._state = None
            release_memory(runtime.compute.device)
            self._attempt += 1
        height, width = self._part.shape
        raise DeviceError(f"There is not enough memory to fuse {width}×{height} pixels: crop or shrink the images.")

    def _images(self, compute: Compute) -> list[torch.Tensor]:
        images = (self._part.ir, self._part.visible)
        return [torch.from_numpy(image)[None, None].to(compute.device, compute.arithmetic) for image in images]


def fuse(
    ir: object,
    visible: object,
    method: str = DEFAULT_METHOD,
    *,
    device: str = "auto",
    precision: str = "auto",
    weights: str | Path | None = None,
    ir_window: WindowSpec | str = "auto",
    visible_window: WindowSpec | str = "auto",
    ir_to_visible: object = None,
    grid: GridChoice = "visible",
    region: object = None,
    output: Output = "visible",
    maps: bool | None = None,
    frames: slice | Sequence[int] | None = None,
    smoothing: float = 0.0,
    windows: Windows = "shared",
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
    **parameters: Any,
) -> FusionResult:
    """Fuse an infrared and a visible image of one scene, or two stacks of them.

    Parameters
    ----------
    ir, visible
        Arrays, torch tensors or image files: ``(H, W)`` or ``(H, W, 3 or 4)``; bool, uint8, uint16 or float. At least
        16×16. Never modified. Colour is fused in luma and its chroma kept. An
        infrared file that is a radiometric JPEG is read in °C; infrared in false colour is turned back into a scale.
        With more axes in front, or as a list, a folder, a film or a TIFF of many pages, they are stacks, see
        :func:`~napari_irvisfuse.fuse_stack`.
    method
        One of :func:`methods`.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    precision
        Of the networks: ``"auto"``, ``"float32"``, ``"bfloat16"``, ``"float16"``; ``"float64"`` for everything.
    weights
        A weights file of your own for methods that need one; otherwise the published one is found or fetched.
    ir_window, visible_window
        Which values count as 0 and 1: ``"auto"``, ``"full"``, ``"data"``, ``"percentile"`` or ``(low, high)``.
    ir_to_visible
        How images of other sizes or cameras lie on each other: a 3×3 matrix that takes infrared pixels
        ``(row, column, 1)`` to visible ones (for two :class:`~napari_irvisfuse.Grid` it is ``ir.onto(visible)``), an
        :class:`~napari_irvisfuse.Alignment` or its file, or ``"fit"`` if both show the same view. Not needed where
        both have the same pixels. Outside of the infrared image the visible one stays as it is.
    grid
        On whose pixels to fuse: ``"visible"``, ``"ir"``, or ``"finer"``: the ones that are smaller.
    region
        Fuse only these pixels of that grid: ``(top, left, bottom, right)``, half-open, or a
        :class:`~napari_irvisfuse.Region`. What a method has to see around it is computed too and cut off again, so that
        with most methods the result is exactly this part of the whole image's; otherwise a note says so.
    output
        Colour of the result: ``"visible"`` keeps the visible image's chroma; ``"natural"`` lifts it along with the
        luma, as more light would; ``"luma"`` is grey.
    maps
        False leaves ``result.maps`` empty, and whatever has to be computed for them alone. None: for a single pair
        only, since those of a stack take much memory.
    frames, smoothing, windows
        Of stacks, see :func:`~napari_irvisfuse.fuse_stack`; of no consequence for a single pair.
    progress
        Called as ``progress(done, total, message)``.
    cancelled
        Asked often; answer True to stop.
    **parameters
        The method's own, for example ``base_weight_ir=0.6``, and ``preset="…"`` where it has presets.

    Returns
    -------
    FusionResult
        With ``fused``, ``maps``, ``recipe`` and ``notes``.

    Raises
    ------
    FusionError
        One of its children, with one sentence that says what to do.
    Cancelled
        If ``cancelled`` answered True.

    Examples
    --------
    >>> import numpy as np, napari_irvisfuse as nif
    >>> ir = np.zeros((32, 32), np.uint8); ir[8:16, 8:16] = 255
    >>> visible = np.full((32, 32, 3), 90, np.uint8)
    >>> result = nif.fuse(ir, visible, method="average", ir_weight=0.5)
    >>> result.fused.shape, result.fused.dtype
    ((32, 32, 3), dtype('uint8'))
    """
    check_output_rule(output)
    get_method(method).parameters(**parameters)  # a typing mistake should not wait for the images to be read
    wanted = parse_region(region)
    if is_stack(ir) or is_stack(visible):
        from .stacks import fuse_stack

        if wanted is not None:
            raise ParameterError("Regions are of single images: fuse one frame, or crop the stack.")
        return fuse_stack(
            ir,
            visible,
            method,
            frames=frames,
            smoothing=smoothing,
            ir_window=ir_window,
            visible_window=visible_window,
            windows=windows,
            ir_to_visible=ir_to_visible,
            grid=grid,
            device=device,
            precision=precision,
            weights=weights,
            output=output,
            maps=bool(maps),
            progress=progress,
            cancelled=cancelled,
            **parameters,
        )
    check_smoothing(smoothing)
    check_windows(windows)
    session = FusionSession(
        PairSource.from_images(
            ir,
            visible,
            ir_window=ir_window,
            visible_window=visible_window,
            ir_to_visible=ir_to_visible,
            grid=grid,
            dtype=np.float64 if precision == "float64" else np.float32,
        ),
        device=device,
        precision=precision,
    )
    return session.fuse(
        method,
        weights=weights,
        region=wanted,
        output=output,
        maps=maps is not False,
        progress=progress,
        cancelled=cancelled,
        **parameters,
    )


def _stamp(weights: str | Path | None) -> tuple[int, int]:
    """Tell one content of a weights file from the next, such as that of another training."""
    try:
        stat = Path(weights).expanduser().stat() if weights is not None else None
    except OSError:
        return 0, 0
    return (stat.st_mtime_ns, stat.st_size) if stat is not None else (0, 0)


def _attempts(compute: Compute) -> list[tuple[Compute, bool, tuple[str, ...]]]:
    """List where to compute, whether in pieces, and what to say about it: the next is tried when memory runs out."""
    attempts: list[tuple[Compute, bool, tuple[str, ...]]] = [
        (compute, False, ()),
        (compute, True, ("Memory was short: computed in smaller pieces.",)),
    ]
    if compute.device.type != "cpu":
        attempts.append((compute.on_cpu(), True, (f"{compute.device} had too little memory: computed on the CPU.",)))
    return attempts


def _to_array(tensor: torch.Tensor) -> FloatArray:
    array: FloatArray = tensor[0, 0].cpu().numpy()
    return array


def _partly_seen(method: Any, parameters: Parameters, runtime: Runtime, halo: int) -> tuple[str, ...]:
    """Say that a region is not exactly what it is in the whole image, if so."""
    if method.receptive_field(parameters, runtime.weights) is not None:
        return ()
    return (
        f"{method.title} {method.looks_everywhere}; here it saw the region and {halo} pixels around it, so the result"
        " may differ from that of the whole image.",
    )


def _map_to_array(item: Map[torch.Tensor], part: Region) -> Map[npt.NDArray[Any]]:
    image = item.data.ndim == 4
    tensor = (item.data[0, 0][part.at_stride(item.stride).slices] if image else item.data[0]).cpu()
    data: npt.NDArray[Any]
    if item.kind == "index":  # becomes a layer that people paint in
        data = tensor.numpy().copy()
    else:
        data = tensor.float().numpy()
        data.flags.writeable = False
    return Map(data, item.kind, item.title, item.group, item.stride, item.labels)


def _hash_of(weights: Path | None) -> str | None:
    if weights is None:
        return None
    from .weights import store

    return store.sha256_of(weights)
