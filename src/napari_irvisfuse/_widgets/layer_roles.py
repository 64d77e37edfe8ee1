"""Guess which of the open layers is infrared and which is visible."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import permutations
from typing import Any

import numpy as np
from napari.layers import Image

from .layer_geometry import plane_shape

__all__ = ["TAG", "guess_pair"]

TAG = "irvisfuse"
"""Key in ``layer.metadata`` under which our result layers say what they are."""

# Whole words of a layer's name. The weak ones are single letters and words that also mean other things.
_IR_WORDS = frozenset((
    "ir", "infrared", "infra", "thermal", "thermo", "therm", "lwir", "mwir", "swir", "nir", "fir", "tir", "flir",
    "heat", "microbolometer",
))  # fmt: skip
_VISIBLE_WORDS = frozenset((
    "vis", "visible", "visual", "vi", "vl", "rgb", "color", "colour", "colored", "coloured", "optical", "eo",
    "daylight", "tv", "photo", "truecolor",
))  # fmt: skip
_IR_WEAK, _VISIBLE_WEAK = frozenset(["t", "i", "temperature", "hot"]), frozenset(["v", "camera", "cam", "day"])
_HEAT_COLORMAPS = frozenset(["inferno", "magma", "plasma", "hot", "fire", "turbo", "gray_r", "ice_fire"])

_WORD, _RGB, _WEAK, _LOOK = 4.0, 2.0, 1.5, 1.0
_SAME_SIZE, _SAME_SCENE = 3.0, 1.0


def guess_pair(layers: Iterable[Any]) -> tuple[Image | None, Image | None]:
    """Choose the infrared and the visible layer.

    Parameters
    ----------
    layers
        Any layers, in the viewer's order; other than images, and results of ours, are passed over.

    Returns
    -------
    infrared, visible
        Never the same layer twice. None where there is no candidate: a single image gets the role that its name
        or look suggests, infrared if nothing does.

    Notes
    -----
    Evidence: whole words of the names (``"FLIR_0012_rgb"`` speaks for visible: the last word counts most), the rgb
    flag, heat colormaps, 16 bit. Images of one size, and names that differ in nothing but the role, go together.
    """
    images = [layer for layer in layers if isinstance(layer, Image) and TAG not in layer.metadata]
    if not images:
        return None, None
    lean = {image: _visible_evidence(image) - _ir_evidence(image) for image in images}
    if len(images) == 1:
        return (None, images[0]) if lean[images[0]] > 0 else (images[0], None)

    def score(pair: tuple[Image, ...]) -> float:
        ir, visible = pair
        same_size = _SAME_SIZE if plane_shape(ir) == plane_shape(visible) else 0.0
        return lean[visible] - lean[ir] + same_size + _SAME_SCENE * _scene_overlap(ir.name, visible.name)

    # max keeps the first of equals: of two unnamed layers the one that was opened first is infrared
    ir, visible = max(permutations(images, 2), key=score)
    return ir, visible


def _words(name: str) -> list[str]:
    """Split at everything but letters, at digits and between lower and upper case: ``"visImage_01"`` → vis, image."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    return [word.lower() for word in re.findall(r"[^\W\d_]+", spaced)]


def _name_evidence(name: str, strong: frozenset[str], weak: frozenset[str]) -> float:
    words = _words(name)
    # later words a little more: cameras begin every name with their make, people add the kind at the end
    scores = [_WORD + 0.1 * i if word in strong else _WEAK if word in weak else 0.0 for i, word in enumerate(words)]
    return max(scores, default=0.0)


def _ir_evidence(image: Image) -> float:
    evidence = _name_evidence(image.name, _IR_WORDS, _IR_WEAK)
    if image.rgb:
        return evidence
    if image.colormap.name.lower() in _HEAT_COLORMAPS:
        evidence += _LOOK
    if np.dtype(image.dtype).itemsize == 2:  # radiometric counts
        evidence += _LOOK
    return evidence


def _visible_evidence(image: Image) -> float:
    return _name_evidence(image.name, _VISIBLE_WORDS, _VISIBLE_WEAK) + (_RGB if image.rgb else 0.0)


def _scene_overlap(first: str, second: str) -> float:
    """Share of what the names say besides the roles: ``"a_01_ir"`` goes with ``"a_01_vis"``, not ``"a_02_vis"``."""
    roles = _IR_WORDS | _VISIBLE_WORDS | _IR_WEAK | _VISIBLE_WEAK
    a, b = ({*_words(name), *re.findall(r"\d+", name)} - roles for name in (first, second))
    return len(a & b) / len(a | b) if a | b else 0.0
