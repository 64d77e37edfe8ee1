"""What the fine search climbs has one top, where the images lie."""

from __future__ import annotations

import numpy as np
import pytest

from napari_irvisfuse.alignment.planes import plane_of
from napari_irvisfuse.alignment.refine import Comparison

from .conftest import scene


@pytest.mark.parametrize("direction", [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_between_pixels_nothing_is_more_alike(direction):
    # noise of each camera's own is what interpolation takes away, most of it halfway between pixels
    draw = np.random.default_rng(3)
    noisy = [(image / 255 + draw.normal(0, 0.05, image.shape)).astype(np.float32) for image in scene()]
    comparison = Comparison(plane_of(noisy[0], "infrared"), plane_of(noisy[1], "visible"), 240)
    alike = []
    for step in np.arange(-2, 2.01, 0.25):
        there = np.eye(3)
        there[:2, 2] = step * np.array(direction)
        alike.append(comparison.plainness(there))
    top = int(np.argmax(alike))
    assert abs(top - 8) <= 1
    rises = np.diff(alike)
    assert (rises[:top] > 0).all()
    assert (rises[top:] < 0).all()
