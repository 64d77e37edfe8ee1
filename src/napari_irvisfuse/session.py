"""One pair, fused again and again: what a method found out in its long first step is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple
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
from .errors import DeviceError, ParameterError
from .images.checks import MIN_SIZE
from .images.pair import ImagePair, Output, check_output_rule
from .images.pair_source import PairSource
from .images.ranges import FloatArray
from .images.regions import Region, parse_region
from .maps import Map
from .recipe import Recipe, other_weights
from .result import FusionResult
from .runtime import Runtime
from .types import Cancel, Progress

__all__ = ["DEFAULT_METHOD", "FusionSession"]

DEFAULT_METHOD = "rdn"
"""Its weights are a part of this package, so it works everywhere at once."""


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
        wanted = parse_region(region)
        try:
            shown = self._clipped(wanted)
        except ParameterError:  # outside of the image: nothing is kept of it
            return False
        return self._key == self._key_of(method, checked, weights, shown, maps)

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
        weights_sha256: str | None = None,
        region: object = None,
        inside: npt.NDArray[np.bool_] | None = None,
        output: Output = "visible",
        maps: bool = True,
        finish: Callable[[FloatArray, ImagePair], FloatArray] | None = None,
        progress: Progress | None = None,
        cancelled: Cancel | None = None,
        **parameters: Any,
    ) -> FusionResult:
        """Fuse the pair; arguments as for :func:`fuse`.

        ``inside``, bool of the region's shape, is False where the visible image should stay as it is. ``finish`` may
        change the fused luma ``(H, W)`` of a pair, still as the method left it, before colour and data type come back:
        smoothing over time for one.
        """
        check_output_rule(output)
        wanted = parse_region(region)
        shown = self._clipped(wanted)
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
            fusion = self._run(chosen, checked, self._key_of(method, checked, weights, shown, maps), runtime)
            runtime.step(1, 1, "Done")
            part = shown.within(seen)
            pair, luma = self._part.cut(part), _to_array(fusion.fused)[part.slices]
            fused = pair.restore(luma if finish is None else finish(luma, pair), output, inside=inside)
            found = {name: _map_to_array(item, part) for name, item in fusion.maps.items()} if maps else {}
        partly = () if seen.shape == self.pair.shape else _partly_seen(chosen, checked, runtime, halo)

        digest = _hash_of(runtime.weights)
        where = None if wanted is None else pair.region or shown
        compute = runtime.compute
        precision = compute.network if name is not None else compute.arithmetic
        ir_window, visible_window = pair.windows
        return FusionResult(
            fused=fused,
            maps=MappingProxyType(found),
            recipe=Recipe(
                method=method,
                parameters=checked.to_dict(),
                device=str(compute.device),
                precision=str(precision).removeprefix("torch."),
                weights=name,
                weights_sha256=digest,
                ir_window=ir_window,
                visible_window=visible_window,
                **pair.placement.as_recipe(),
                region=None if where is None else astuple(where),
                output=output,
                versions={p: version(p) for p in ("napari-irvisfuse", "torch", "numpy")},
            ),
            notes=(*other_weights(weights_sha256, digest), *pair.notes, *partly, *self._state_notes, *runtime.notes),
            grid=pair.placement.grid,
            valid=pair.valid,
            ir_window=pair.ir_window,
            visible_window=pair.visible_window,
            region=where,
        )

    def _key_of(
        self, method: str, parameters: Parameters, weights: str | Path | None, region: Region, maps: bool
    ) -> tuple[Any, ...]:
        return (method, str(weights), _stamp(weights), maps, region, *parameters.analysis_key())

    def _clipped(self, wanted: Region | None) -> Region:
        return Region.whole(self.pair.shape) if wanted is None else wanted.clipped(self.pair.shape)

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
