"""What models keep, and what transforms are called."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_irvisfuse.alignment.models import (
    DEGREES,
    corner_distance,
    describe,
    transform,
)
from napari_irvisfuse.alignment.refine import correction
from napari_irvisfuse.images.grids import fit

from .conftest import known


@pytest.mark.parametrize("model", DEGREES)
def test_no_change_is_the_identity_and_models_are_groups(model):
    """Corrections are inverted and multiplied on the way, which must not lead out of the model."""
    torch.manual_seed(0)
    np.testing.assert_array_equal(correction(model, torch.zeros(DEGREES[model])), np.eye(3))
    first, second = (correction(model, 0.1 * torch.randn(DEGREES[model]).double()).numpy() for _ in range(2))
    other = first @ np.linalg.inv(second)
    other /= other[2, 2]
    if model != "homography":
        np.testing.assert_allclose(other[2], (0, 0, 1), atol=1e-12)
    if model == "similarity":
        np.testing.assert_allclose([other[0, 0], other[0, 1]], [other[1, 1], -other[1, 0]], atol=1e-12)
    if model == "translation":
        np.testing.assert_allclose(other[:2, :2], np.eye(2), atol=1e-12)


def test_description():
    text = describe(known(6, -9, 3, 1.05), np.eye(3), (180, 240))
    assert text == "moved 6.0 px down and 9.0 px left, turned -3.00°, scaled 1.050"
    start = fit((90, 120), (180, 240))
    assert describe(known(-6, 9, -3, 0.9) @ start, start, (90, 120)).startswith("moved 6.0 px up and 9.0 px right")
    # clockwise on the screen, where rows run down: what is right of the centre goes down
    clockwise = known(0, 0, -10, 1)
    assert transform(clockwise, np.array([[89.5, 200.0]]))[0, 0] > 89.5
    assert "turned 10.00°" in describe(clockwise, np.eye(3), (180, 240))


def test_corner_distance():
    assert corner_distance(known(3, 4, 0, 1), np.eye(3), (180, 240)) == pytest.approx(5)
