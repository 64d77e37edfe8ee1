"""How two images lie on each other, to be seen: squares of one and of the other, in which edges have to meet."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from napari_irvisfuse.alignment.detect import AlignmentCheck
from napari_irvisfuse.alignment.planes import Plane, plane_of, sample
from napari_irvisfuse.images.grids import Matrix

from .colormaps import NOTHING, colourise

__all__ = ["draw_alignment", "draw_check"]

Picture = npt.NDArray[np.uint8]
_SQUARES = 10  # along the longer side
_GAP = 8
_WARM = (1.0, 0.72, 0.42)  # infrared squares are told apart by their colour


def draw_alignment(ir: npt.NDArray[Any], visible: npt.NDArray[Any], before: Matrix, after: Matrix) -> Picture:
    """Return ``(h, w, 3)``: squares before and after, side by side, at most 640 pixels wide each."""
    planes = plane_of(ir, "infrared"), plane_of(visible, "visible")
    return _beside(_squares(*planes, before), _squares(*planes, after))


def draw_check(
    ir: npt.NDArray[Any], visible: npt.NDArray[Any], ir_to_visible: Matrix, found: AlignmentCheck
) -> Picture:
    """Return ``(h, w, 3)``: squares, and beside them by how much each part is off, grey where that is not known."""
    planes = plane_of(ir, "infrared"), plane_of(visible, "visible")
    left = _squares(*planes, ir_to_visible)
    item = found.maps["offset_size"]
    colours = np.where(np.isnan(item.data)[..., None], np.array(NOTHING), colourise(item).rgb).astype(np.uint8)
    height, width = planes[1].source_shape
    # a part may reach beyond the image, or not quite to its edge
    parts = Image.fromarray(colours).resize(
        (colours.shape[1] * item.stride, colours.shape[0] * item.stride), Image.Resampling.NEAREST
    )
    whole = np.pad(np.asarray(parts), ((0, item.stride), (0, item.stride), (0, 0)), mode="edge")[:height, :width]
    size = left.shape[1], left.shape[0]
    return _beside(left, np.asarray(Image.fromarray(whole).resize(size, Image.Resampling.BOX)))


def _squares(ir: Plane, visible: Plane, ir_to_visible: Matrix) -> Picture:
    to_ir = np.linalg.inv(ir_to_visible @ ir.to_source) @ visible.to_source
    moved, seen = sample(ir.luma[None], ir.valid, torch.from_numpy(to_ir).float(), visible.shape)
    height, width = visible.shape
    side = max(8, -(-max(height, width) // _SQUARES))
    rows, columns = np.mgrid[:height, :width] // side
    chosen = ((rows + columns) % 2 == 1) & (seen.numpy() > 0)
    warm = moved[0].numpy()[..., None] * np.array(_WARM)
    grey = np.repeat(visible.luma.numpy()[..., None], 3, axis=-1)
    return np.round(255 * np.clip(np.where(chosen[..., None], warm, grey), 0, 1)).astype(np.uint8)


def _beside(left: Picture, right: Picture) -> Picture:
    gap = np.zeros((left.shape[0], _GAP, 3), np.uint8)
    return np.concatenate([left, gap, right], axis=1)
