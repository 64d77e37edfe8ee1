"""The one place that turns layers into image pairs and results into layers.

Our layers are known by ``layer.metadata["irvisfuse"]``, never by their names: people rename them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels, Layer

from napari_irvisfuse.errors import ImageError
from napari_irvisfuse.images.pair import MIN_SIZE, ImagePair
from napari_irvisfuse.images.ranges import WindowSpec

from .layer_geometry import leaves_its_plane, plane_shape, same_place, spatial
from .layer_roles import TAG, guess_pair
from .layer_styles import Kind, contrast_limits, label_names, look

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_irvisfuse.pipeline import FusionResult

__all__ = ["TAG", "Show", "add_result", "guess_pair", "pair_from_layers", "problem_with", "update_result"]

Show: TypeAlias = Literal["fused", "base and detail", "everything"]
_GROUPS = ("base", "detail", "saliency", "weight", "level", "feature")
_SHOWN: Mapping[str, tuple[str, ...]] = {"fused": (), "base and detail": ("base", "detail"), "everything": _GROUPS}


# -- from layers to a pair ----------------------------------------------------------------------------------------


def problem_with(ir: Image | None, visible: Image | None) -> str | None:
    """Say in one sentence why these layers cannot be fused, or return None; nothing is computed."""
    if ir is None or visible is None:
        return f"Choose {'an infrared' if ir is None else 'a visible'} layer."
    if ir is visible:
        return "Infrared and visible are the same layer: choose two different ones."
    for layer in (ir, visible):
        problem = _problem_with_one(layer)
        if problem is not None:
            return problem
    if plane_shape(ir) != plane_shape(visible):
        return (
            f"{ir.name!r} is {_size(ir)} and {visible.name!r} {_size(visible)} pixels (width × height):"
            " resample one onto the grid of the other first."
        )
    if not same_place(ir, visible):
        return (
            f"{ir.name!r} and {visible.name!r} do not lie on each other: their scale, position, rotation or units"
            " differ. Give both the same transform, or resample one onto the grid of the other first."
        )
    return None


def pair_from_layers(
    ir: Image,
    visible: Image,
    *,
    ir_window: WindowSpec = "auto",
    visible_window: WindowSpec = "auto",
    step: tuple[int, ...] = (),
    dtype: npt.DTypeLike = np.float32,
) -> ImagePair:
    """Read the displayed plane of two layers.

    Parameters
    ----------
    ir, visible
        On one grid. Of a multiscale layer the full resolution is read, of a dask array only the plane.
    ir_window, visible_window, dtype
        As for :meth:`ImagePair.from_images`.
    step
        ``viewer.dims.current_step``: which plane of stacks; the axes of a layer are the viewer's last ones.

    Raises
    ------
    ImageError
        With the sentence of :func:`problem_with`, or if a stack does not reach to this step.
    """
    problem = problem_with(ir, visible)
    if problem is not None:
        raise ImageError(problem)
    return ImagePair.from_images(
        _plane(ir, step), _plane(visible, step), ir_window=ir_window, visible_window=visible_window, dtype=dtype
    )


def _full_resolution(layer: Image) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def _size(layer: Image) -> str:
    height, width = plane_shape(layer)
    return f"{width}×{height}"


def _plane(layer: Image, step: tuple[int, ...]) -> npt.NDArray[Any]:
    data = _full_resolution(layer)
    stacked = layer.ndim - 2
    padded = (0,) * layer.ndim + tuple(step)
    index = padded[len(padded) - layer.ndim : len(padded) - 2]
    for axis in range(stacked):
        if not 0 <= index[axis] < data.shape[axis]:
            raise ImageError(
                f"{layer.name!r} has no plane {index[axis]}, only 0 to {data.shape[axis] - 1}:"
                " move the slider to where both layers have an image."
            )
    return np.asarray(data[index])  # cropped first: a lazy stack stays lazy


def _problem_with_one(layer: Image) -> str | None:
    data = _full_resolution(layer)
    dtype = np.dtype(data.dtype)
    if dtype not in (np.bool_, np.uint8, np.uint16) and not np.issubdtype(dtype, np.floating):
        return f"{layer.name!r} has data type {dtype}: convert it to uint8, uint16 or float (in [0, 1]) first."
    if not layer.rgb and data.ndim > 2 and data.shape[-1] in (3, 4):
        return f"{layer.name!r} has shape {tuple(data.shape)} but is no colour layer: add it again with rgb=True."
    if layer.ndim < 2 or min(plane_shape(layer)) < MIN_SIZE:
        return f"{layer.name!r} is {_size(layer)} pixels: at least {MIN_SIZE}×{MIN_SIZE} are needed to fuse it."
    if leaves_its_plane(layer):
        return f"{layer.name!r} is rotated or sheared out of its image plane: reset that transform first."
    return None


# -- from a result to layers --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Item:
    """One layer to be: the fused image, or a map."""

    key: str
    title: str
    data: npt.NDArray[Any]
    kind: Kind
    stride: int = 1
    labels: tuple[str, ...] = ()
    window: object = "auto"

    @property
    def rgb(self) -> bool:
        return self.data.ndim == 3

    @property
    def limits(self) -> tuple[float, float] | None:
        """Contrast limits, None where there are none to choose."""
        if self.kind == "index" or self.rgb:
            return None
        return contrast_limits(self.kind, self.data, self.window)

    def name(self, run: str) -> str:
        return f"fused · {run}" if self.kind == "fused" else f"{run} · {self.title}"

    def fits(self, layer: Layer) -> bool:
        """Tell whether the layer can show this by a mere change of its data."""
        tag = layer.metadata[TAG]
        return bool(tag["map"] == self.key and tag["kind"] == self.kind and getattr(layer, "rgb", False) == self.rgb)

    def build(self, name: str, place: dict[str, Any], metadata: dict[str, Any], *, visible: bool) -> Layer:
        shared = {"name": name, "metadata": metadata, "visible": visible, **look(self.kind, self.labels), **place}
        if self.kind == "index":
            return Labels(self.data, features=label_names(self.labels), **shared)
        return Image(self.data, rgb=self.rgb, contrast_limits=self.limits, multiscale=False, **shared)


def add_result(
    viewer: ViewerModel,
    result: FusionResult,
    ir: Image,
    visible: Image,
    *,
    show: Show = "fused",
    replace: bool = True,
    run_name: str | None = None,
) -> list[Layer]:
    """Add the fused image and its maps, where the visible layer is; maps hidden, grouped below the fused image.

    Parameters
    ----------
    viewer
        Its other layers, the inputs among them, are not touched in any way.
    result
        Of these two layers.
    ir, visible
        The inputs.
    show
        Which maps become layers.
    replace
        True: the layers of the previous run on the same two inputs change into the new ones; each stays where it
        is in the list, and visible, renamed and coloured as the user left it. False: new layers with new names.
    run_name
        Instead of the method's title in the names.

    Returns
    -------
    list of Layer
        The fused image first, then the maps as they appear in the list.
    """
    items = _items(result, show)
    pair = [str(ir.unique_id), str(visible.unique_id)]
    old = _latest(layer for layer in viewer.layers if TAG in layer.metadata and layer.metadata[TAG]["pair"] == pair)
    previous = {layer.metadata[TAG]["map"]: layer for layer in old} if replace else {}
    run = 1 + max((layer.metadata[TAG]["run"] for layer in viewer.layers if TAG in layer.metadata), default=0)
    taken = {layer.name for layer in viewer.layers} - {layer.name for layer in previous.values()}
    name = _free_name(run_name or _method_title(result), items, taken)
    selected = set(viewer.layers.selection)

    layers: list[Layer] = []
    top = 1 + max((viewer.layers.index(layer) for layer in previous.values()), default=len(viewer.layers) - 1)
    for item in items:
        tag = {
            "run": run,
            "pair": pair,
            "map": item.key,
            "kind": item.kind,
            "stride": item.stride,
            "name": item.name(name),
            "limits": item.limits,
            "recipe": result.recipe.to_dict(),
        }
        place = spatial(visible, item.stride)
        before = previous.get(item.key)
        if before is not None and item.fits(before):
            del previous[item.key]
            _renew(before, item, tag, place)
            layers.append(before)
            continue
        shown = before.visible if before is not None else item.kind == "fused"
        layer = item.build(tag["name"], place, {TAG: tag}, visible=shown)
        # below the one that precedes it, wherever that is by now
        viewer.layers.insert(viewer.layers.index(layers[-1]) if layers else top, layer)
        layers.append(layer)
    for layer in previous.values():
        viewer.layers.remove(layer)
    if replace and old:
        viewer.layers.selection = selected.intersection(viewer.layers)
    else:
        viewer.layers.selection.active = layers[0]
    return layers


def update_result(layers: ViewerModel | Iterable[Layer], result: FusionResult) -> None:
    """Show a new result in the layers of the latest run: their data and contrast limits, nothing else.

    Parameters
    ----------
    layers
        What :func:`add_result` returned, or a viewer. Layers that are not ours, and maps that the result no longer
        has in that form, stay as they are; nothing is added or removed.
    result
        Of the same pair and method, with other parameters.
    """
    items = {item.key: item for item in _items(result, "everything")}
    recipe = result.recipe.to_dict()
    for layer in _latest(layer for layer in getattr(layers, "layers", layers) if TAG in layer.metadata):
        item = items.get(layer.metadata[TAG]["map"])
        if item is not None and item.fits(layer):
            layer.metadata[TAG]["recipe"] = recipe
            _renew_data(layer, item)


def _items(result: FusionResult, show: Show) -> list[_Item]:
    fused = _Item("fused", "fused", result.fused, "fused", window=result.recipe.visible_window)
    maps = [
        _Item(key, item.title, item.data, item.kind, item.stride, item.labels)
        for group in _SHOWN[show]
        for key, item in result.maps.items()
        if item.group == group
    ]
    return [fused, *maps]


def _latest(layers: Iterable[Layer]) -> list[Layer]:
    own = list(layers)
    run = max((layer.metadata[TAG]["run"] for layer in own), default=0)
    return [layer for layer in own if layer.metadata[TAG]["run"] == run]


def _method_title(result: FusionResult) -> str:
    from napari_irvisfuse.methods import get_method

    return get_method(result.recipe.method).title


def _free_name(wanted: str, items: list[_Item], taken: set[str]) -> str:
    names = (wanted if i == 1 else f"{wanted} {i}" for i in count(1))
    return next(name for name in names if not any(item.name(name) in taken for item in items))


def _renew(layer: Layer, item: _Item, tag: dict[str, Any], place: dict[str, Any]) -> None:
    before = layer.metadata[TAG]
    _renew_data(layer, item)
    if layer.name == before["name"]:
        layer.name = tag["name"]
    for key, value in place.items():  # each change makes the viewer work, so only where there is one
        now = getattr(layer, key)
        if not np.array_equal(getattr(now, "affine_matrix", now), value):
            setattr(layer, key, value)
    layer.metadata = {**layer.metadata, TAG: tag}


def _renew_data(layer: Layer, item: _Item) -> None:
    tag = layer.metadata[TAG]
    layer.data = item.data
    # napari keeps the old limits. So do we if the user has moved them.
    limits = item.limits
    if limits is not None and tuple(layer.contrast_limits) == tuple(tag["limits"]):
        layer.contrast_limits = limits
        tag["limits"] = limits
    if isinstance(layer, Labels):
        layer.features = label_names(item.labels)
