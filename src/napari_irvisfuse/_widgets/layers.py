"""The one place that turns layers into image pairs and results into layers.

Our layers are known by ``layer.metadata["irvisfuse"]``, never by their names: people rename them.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer

from .layer_geometry import spatial
from .layer_pairs import displayed_step, pair_from_layers, place_layers, problem_with, source_from_layers
from .layer_roles import TAG, guess_pair
from .layer_styles import label_names
from .result_items import FUSED, Item, Show, free_name, items_of, maps_of

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari.components import ViewerModel

    from napari_irvisfuse.images.regions import Region
    from napari_irvisfuse.maps import Map
    from napari_irvisfuse.result import FusionResult

__all__ = [
    "TAG",
    "Show",
    "add_maps",
    "add_result",
    "displayed_step",
    "guess_pair",
    "lies_on",
    "maps_of",
    "pair_from_layers",
    "place_layers",
    "problem_with",
    "results_of",
    "run_of",
    "run_title",
    "source_from_layers",
    "update_result",
]


def add_result(
    viewer: ViewerModel,
    result: FusionResult,
    ir: Image,
    visible: Image,
    *,
    show: Show = "fused",
    replace: bool = True,
    run_name: str | None = None,
    part: str = "",
    under: Layer | None = None,
) -> list[Layer]:
    """Add the fused image and its maps, where the layer is whose pixels they have; maps hidden, below the fused image.

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
    part
        How the region was chosen, ``"view"`` or ``"shape"``: such results have layers and names of their own. Empty for
        the whole image.
    under
        A layer below which new ones come, and which stays selected: the shape that is being edited.

    Returns
    -------
    list of Layer
        The fused image first, then the maps as they appear in the list.
    """
    pair = [str(ir.unique_id), str(visible.unique_id)]
    own = _own(viewer.layers)
    alike = (layer for layer in own if _made_of(layer) == (pair, part))
    old = _latest(alike) if replace else []
    run = 1 + max((layer.metadata[TAG]["run"] for layer in own), default=0)
    tag = {"run": run, "pair": pair, "part": part, "recipe": result.recipe.to_dict(), "windows": result.windows()}
    items = items_of(result, show)
    where, stack = lies_on(result, ir, visible)
    name = f"{run_name or _method_title(result)}{f' ({part})' if part else ''}"
    selected = set(viewer.layers.selection)
    top = viewer.layers.index(under) if under in viewer.layers else len(viewer.layers)
    layers = _put(viewer, items, old, tag, name, where, stack, top=top, shown="fused", region=result.region)
    if under in viewer.layers:
        viewer.layers.selection = selected.intersection(viewer.layers)
    return layers


def add_maps(
    viewer: ViewerModel, maps: Mapping[str, Map[npt.NDArray[Any]]], reference: Image, *, show_first: bool = True
) -> list[Layer]:
    """Add maps that were computed from a layer afterwards, where it is and on top of it.

    Parameters
    ----------
    viewer
        Its other layers are not touched in any way.
    maps
        By name; each on the reference layer's image plane, at its own stride.
    reference
        The layer that the maps belong to. Maps that were added for it earlier change into these; they stay where they
        are in the list, and visible, renamed and coloured as the user left them.
    show_first
        Whether the first map is visible; new others are hidden.

    Returns
    -------
    list of Layer
        In the order of the maps.
    """
    if not maps:
        return []
    owner = str(reference.unique_id)
    old = [layer for layer in _own(viewer.layers, "of") if layer.metadata[TAG]["of"] == owner]
    items = [Item(key, item.title, item.data, item.kind, item.stride, item.labels) for key, item in maps.items()]
    top = 1 + viewer.layers.index(reference) if reference in viewer.layers else len(viewer.layers)
    shown = items[0].key if show_first else ""
    return _put(viewer, items, old, {"of": owner}, run_title(reference), reference, None, top=top, shown=shown)


def results_of(layers: Iterable[Layer]) -> list[tuple[Image, Image, Image]]:
    """List our fused images with the infrared and the visible layer they were made of, where those are still there."""
    there = {str(layer.unique_id): layer for layer in layers if isinstance(layer, Image)}
    fused = [layer for layer in _own(there.values()) if layer.metadata[TAG]["map"] == "fused"]
    pairs = [(layer, layer.metadata[TAG]["pair"]) for layer in fused]
    return [(layer, there[ir], there[visible]) for layer, (ir, visible) in pairs if ir in there and visible in there]


def run_of(layer: Layer) -> int | None:
    """Return the number of the run that a layer of ours shows, None for other layers."""
    return next((own.metadata[TAG]["run"] for own in _own([layer])), None)


def run_title(layer: Layer) -> str:
    """Return what a fused layer's run is called, any other layer's own name."""
    return layer.name.removeprefix(FUSED)


def lies_on(result: FusionResult, ir: Image, visible: Image) -> tuple[Image, Image | None]:
    """Return the layer whose pixels a result has, and the one along whose further axes it lies, if it has any."""
    where = ir if result.grid == "ir" else visible
    return where, max((where, ir, visible), key=lambda layer: layer.ndim) if result.axes else None


def update_result(
    layers: ViewerModel | Iterable[Layer],
    result: FusionResult,
    reference: Image | None = None,
    stack: Image | None = None,
) -> None:
    """Show a new result in the layers of the latest run: their data and contrast limits, nothing else.

    Parameters
    ----------
    layers
        What :func:`add_result` returned, or a viewer. Layers that are not ours, and maps that the result no longer
        has in that form, stay as they are; nothing is added or removed.
    result
        Of the same pair, with other parameters.
    reference, stack
        What it :func:`lies_on`, if its region may be another one: then the layers move there.
    """
    items = {item.key: item for item in items_of(result, "everything")}
    recipe = result.recipe.to_dict()
    for layer in _latest(_own(getattr(layers, "layers", layers))):
        item = items.get(layer.metadata[TAG]["map"])
        if item is not None and item.fits(layer):
            _renew_data(layer, item)
            _tag(layer, {"recipe": recipe})
            if reference is not None:
                _move(layer, spatial(reference, item.stride, stack, region=result.region))


def _put(
    viewer: ViewerModel,
    items: list[Item],
    old: list[Layer],
    shared_tag: dict[str, Any],
    wanted_name: str,
    reference: Image,
    stack: Image | None,
    *,
    top: int,
    shown: str,
    region: Region | None = None,
) -> list[Layer]:
    """Change the old layers into the items and add what is missing, the first at ``top`` and each below the last.

    They lie where ``reference`` does, or its region, and along further axes where ``stack`` does.
    """
    selected = set(viewer.layers.selection)
    was_visible = {layer.metadata[TAG]["map"]: layer.visible for layer in old}
    top = 1 + max((viewer.layers.index(layer) for layer in old), default=top - 1)
    kept = {item.key: layer for layer in old for item in items if item.fits(layer)}
    gone = [layer for layer in old if layer not in kept.values()]
    _remove(viewer, gone)  # before the new ones come, which may need the names
    top -= len(gone)

    taken = {layer.name for layer in viewer.layers} - {layer.name for layer in kept.values()}
    name = free_name(wanted_name, items, taken)
    layers: list[Layer] = []
    for item in items:
        tag = {**shared_tag, **item.tag(name)}
        place = spatial(reference, item.stride, stack, region=region)
        if item.key in kept:
            layer = kept[item.key]
            _renew(layer, item, tag, place)
        else:
            layer = item.build(tag["name"], place, visible=was_visible.get(item.key, item.key == shown))
            _tag(layer, tag)
            # below the one that precedes it, wherever the user has put that
            viewer.layers.insert(viewer.layers.index(layers[-1]) if layers else top, layer)
        layers.append(layer)
    if old:
        viewer.layers.selection = selected.intersection(viewer.layers)
    else:
        viewer.layers.selection.active = layers[0]
    return layers


def _tag(layer: Layer, changes: dict[str, Any]) -> None:
    # a new dictionary, since a copy that the user makes of a layer may share the old one
    tag = {**layer.metadata.get(TAG, {}), "layer": str(layer.unique_id), **changes}
    layer.metadata = {**layer.metadata, TAG: tag}


def _own(layers: Iterable[Layer], key: str = "run") -> list[Layer]:
    """Return the layers of our runs, or the maps ``"of"`` a layer.

    A copy that the user made of one has its tag, but belongs to the user.
    """
    tags = [(layer, layer.metadata.get(TAG, {})) for layer in layers]
    return [layer for layer, tag in tags if key in tag and tag.get("layer") == str(layer.unique_id)]


def _made_of(layer: Layer) -> tuple[list[str], str]:
    tag = layer.metadata[TAG]
    return tag["pair"], tag.get("part", "")


def _latest(layers: Iterable[Layer]) -> list[Layer]:
    own = list(layers)
    run = max((layer.metadata[TAG]["run"] for layer in own), default=0)
    return [layer for layer in own if layer.metadata[TAG]["run"] == run]


def _method_title(result: FusionResult) -> str:
    from napari_irvisfuse.algorithms import get_method

    return get_method(result.recipe.method).title


def _remove(viewer: ViewerModel, layers: list[Layer]) -> None:
    # napari collects all garbage for every layer that goes, a third of a second each in a process with torch in it,
    # and the window stands still meanwhile. What is frozen is passed over; one collection at the end does for all.
    once = len(layers) > 1 and gc.get_freeze_count() == 0
    if once:
        gc.freeze()
    try:
        for layer in layers:
            viewer.layers.remove(layer)
    finally:
        if once:
            gc.unfreeze()
            gc.collect()


def _renew(layer: Layer, item: Item, tag: dict[str, Any], place: dict[str, Any]) -> None:
    before = layer.metadata[TAG]
    _renew_data(layer, item)
    if layer.name == before["name"]:
        layer.name = tag["name"]
    _move(layer, place)
    _tag(layer, tag)


def _move(layer: Layer, place: dict[str, Any]) -> None:
    for key, value in place.items():  # each change makes the viewer work, so only where there is one
        now = getattr(layer, key)
        if not np.array_equal(getattr(now, "affine_matrix", now), value):
            setattr(layer, key, value)


def _renew_data(layer: Layer, item: Item) -> None:
    layer.data = item.data
    # napari keeps the old limits. So do we if the user has moved them.
    limits = item.limits
    if limits is not None and tuple(layer.contrast_limits) == tuple(layer.metadata[TAG]["limits"]):
        layer.contrast_limits = limits
        _tag(layer, {"limits": limits})
    if isinstance(layer, Labels):
        layer.features = label_names(item.labels)
