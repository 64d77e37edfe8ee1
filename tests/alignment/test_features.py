"""The description of edges: blind to contrast and its sign, turning as the image turns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from napari_irvisfuse.alignment.features import edges, rotate, similarity
from napari_irvisfuse.alignment.planes import Plane, plane_of, sample

from .conftest import scene

ONES = torch.ones(180, 240)


def test_inverted_and_faint_images_are_the_same():
    luma = torch.from_numpy(scene()[1].astype(np.float32) / 255)
    described = edges(luma, ONES)
    np.testing.assert_allclose(edges(1 - luma, ONES), described, atol=1e-4)
    assert similarity(described, edges(0.3 + luma / 5, ONES), ONES) > 0.9
    assert similarity(described, described, ONES) == pytest.approx(1)
    assert abs(similarity(described, described.flip(1, 2), ONES)) < 0.15
    assert described.norm(dim=0).max() < 1


@pytest.mark.parametrize("degrees", [-30.0, 7.0, 45.0])
def test_channels_turn_as_the_image_turns(degrees):
    luma = torch.from_numpy(scene()[1].astype(np.float32) / 255)
    angle = math.radians(degrees)
    cosine, sine = math.cos(angle), math.sin(angle)
    turned = np.eye(3)
    turned[:2, :2] = [[cosine, -sine], [sine, cosine]]
    turned[:2, 2] = (90, 120) - turned[:2, :2] @ (90, 120)
    back = torch.from_numpy(np.linalg.inv(turned)).float()
    image, seen = sample(luma[None], ONES, back, (180, 240))
    channels, known = sample(edges(luma, ONES), ONES, back, (180, 240))
    wanted, both = edges(image[0], seen), seen * known
    assert similarity(wanted, rotate(channels, angle), both) > 0.8
    assert similarity(wanted, rotate(channels, -angle), both) < similarity(wanted, rotate(channels, angle), both) - 0.1


def test_what_is_not_valid_has_no_edges():
    valid = ONES.clone()
    valid[60:100, 80:140] = 0
    described = edges(torch.from_numpy(scene()[0].astype(np.float32) / 255), valid)
    assert float(described[:, 75:85, 100:120].abs().max()) == 0
    assert torch.isfinite(described).all()


def test_planes_shrink_without_their_holes():
    image = np.full((100, 200), 0.5, np.float32)
    image[:, ::2] = 0.7
    image[:50] = np.nan
    plane = plane_of(image, "infrared").shrunk(50)
    assert isinstance(plane, Plane)
    assert plane.shape == (25, 50)
    assert plane.source_shape == (100, 200)
    np.testing.assert_array_equal(plane.valid[14:], 1)
    np.testing.assert_array_equal(plane.valid[:12], 0)
    assert float(plane.luma[14:].std()) < 0.05
    np.testing.assert_allclose(plane.to_source @ (0, 0, 1), (1.5, 1.5, 1))
