"""One picture of everything: both images, the fused one, and every map, labelled."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import napari_irvisfuse as nif
from napari_irvisfuse.images.ranges import WindowSpec, resolve_window
from napari_irvisfuse.maps import Map
from napari_irvisfuse.result import FusionResult

from .colormaps import Coloured, colourise
from .sheet import MARGIN, Block, Cell, Sheet

__all__ = ["contact_sheet"]

_HEADINGS = {
    "base": "Base layers",
    "detail": "Detail layers",
    "saliency": "Saliency",
    "weight": "Weights",
    "level": "Winning levels",
    "feature": "Features",
}
_IMAGES = ("ir", "visible", "fused")

Maps = Mapping[str, Map[npt.NDArray[Any]]]
# Bands down the sheet, groups along a band, rows of a group, names along a row.
Layout = list[list[tuple[str, list[list[str]]]]]


def contact_sheet(
    ir: npt.NDArray[Any], visible: npt.NDArray[Any], result: FusionResult, *, columns: int | None = None
) -> npt.NDArray[np.uint8]:
    """Draw a labelled sheet of a fusion.

    Parameters
    ----------
    ir, visible
        The two images that were fused, as arrays ``(H, W)`` or ``(H, W, 3 or 4)``.
    result
        What came out.
    columns
        How many maps stand side by side; if not given, the number from 4 to 6 that fills the sheet best.

    Returns
    -------
    ``(h, 1920, 3)`` RGB: title, the three images, then the maps by group. A map smaller than its cell is enlarged so
    that its own pixels show.
    """
    height, width = result.fused.shape[:2]
    recipe = result.recipe
    info = nif.methods().get(recipe.method)
    sheet = Sheet(height / width)
    sheet.title(
        info.title if info else recipe.method,
        (info.reference or info.summary) if info else "",
        (f"{width} × {height}", recipe.device, recipe.precision),
    )
    sheet.space(40)
    sheet.pictures(_images(ir, visible, result))
    maps = {name: item for name, item in result.maps.items() if item.data.ndim == 2}
    columns = columns or min((6, 5, 4), key=lambda number: _unused(maps, number))
    for band in _layout(maps, columns):
        sheet.space(48)
        blocks = []
        used = 0
        for group, rows in band:
            cells = [[_cell(maps[name]) for name in row] for row in rows]
            blocks.append(Block(_HEADINGS.get(group, group.capitalize()), cells, used))
            used += _breadth(rows)
        sheet.band(blocks, columns)
    sheet.space(MARGIN)
    return sheet.finish()


def _images(ir: npt.NDArray[Any], visible: npt.NDArray[Any], result: FusionResult) -> list[Cell]:
    recipe = result.recipe
    # the fused image lives in the visible image's range and is shown in the same window: they can be compared
    shown = [
        ("Infrared", ir, _to_8_bit(ir, ir, recipe.ir_window, infrared=True)),
        ("Visible", visible, _to_8_bit(visible, visible, recipe.visible_window)),
        ("Fused", result.fused, _to_8_bit(result.fused, visible, recipe.visible_window)),
    ]
    return [
        Cell(Coloured(rgb), title, f"{'colour' if array.ndim == 3 else 'grey'} · {array.dtype}")
        for title, array, rgb in shown
    ]


def _to_8_bit(
    image: npt.NDArray[Any], reference: npt.NDArray[Any], spec: WindowSpec, *, infrared: bool = False
) -> npt.NDArray[np.uint8]:
    colour = reference[..., :3] if reference.ndim == 3 else reference
    window = resolve_window(colour, spec, "ir" if infrared else "visible")
    rgb = image[..., :3] if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    unit = np.nan_to_num(window.to_unit(rgb))
    result: npt.NDArray[np.uint8] = np.floor(unit * 255 + 0.5).astype(np.uint8)
    return result


def _cell(item: Map[npt.NDArray[Any]]) -> Cell:
    caption = item.kind if item.stride == 1 else f"{item.kind} · stride {item.stride}"
    return Cell(colourise(item), item.title, caption, crisp=item.kind == "index")


def _layout(maps: Maps, columns: int) -> Layout:
    """Put groups of as many rows side by side where there is room, the others below each other."""
    groups: dict[str, list[str]] = {}
    for name, item in maps.items():
        groups.setdefault(item.group, []).append(name)
    bands: Layout = []
    for group, names in groups.items():
        rows = list(_rows(names, columns))
        for band in bands:
            used = sum(_breadth(other) for _, other in band)
            if used + _breadth(rows) <= columns and len(rows) == len(band[0][1]):
                band.append((group, rows))
                break
        else:
            bands.append([(group, rows)])
    return bands


def _rows(names: list[str], columns: int) -> Iterator[list[str]]:
    """Break a group into rows; if it needs several, one per image, with the levels below each other."""
    if len(names) <= columns:
        yield names
        return
    by_image: dict[int, list[str]] = {}
    for name in names:
        image = name.split("_", 1)[0]
        by_image.setdefault(_IMAGES.index(image) if image in _IMAGES else len(_IMAGES), []).append(name)
    for _, same in sorted(by_image.items()):
        ordered = sorted(same, key=_level)
        for start in range(0, len(ordered), columns):
            yield ordered[start : start + columns]


def _level(name: str) -> float:
    number = re.search(r"_(\d+)$", name)
    # what sums up all levels comes after them
    return int(number.group(1)) if number else float("inf")


def _breadth(rows: Sequence[Sequence[str]]) -> int:
    return max(len(row) for row in rows)


def _unused(maps: Maps, columns: int) -> float:
    """Share of the sheet that stays empty with so many columns."""
    rows = sum(len(band[0][1]) for band in _layout(maps, columns))
    return 1 - len(maps) / (rows * columns) if rows else 0.0
