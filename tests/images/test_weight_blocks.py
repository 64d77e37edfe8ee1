from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_irvisfuse.images.weight_blocks import sobel, sobel_magnitude, weight_blocks


def image(shape: tuple[int, int], seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=20)
@given(st.integers(3, 40), st.integers(3, 40), st.integers(0, 99))
def test_sobel_is_scipys(height, width, seed):
    x = image((height, width), seed)
    expected = [[ndimage.sobel(plane[0].numpy(), axis=axis, mode="nearest") for axis in (1, 0)] for plane in x]
    np.testing.assert_allclose(sobel(x).numpy(), np.array(expected), atol=1e-12)
    np.testing.assert_allclose(sobel_magnitude(x)[:, 0].numpy(), np.abs(expected).sum(1), atol=1e-12)


@settings(max_examples=20)
@given(st.integers(16, 60), st.integers(16, 60), st.integers(0, 99))
def test_weights_are_shares_and_swap_with_the_images(height, width, seed):
    a, b = image((height, width), seed), image((height, width), seed + 1)
    one, other = weight_blocks(a, b), weight_blocks(b, a)
    for name in ("texture", "intensity"):
        share = getattr(one, name)
        assert share.shape == a.shape
        assert share.min() >= 0
        assert share.max() <= 1
        torch.testing.assert_close(share + getattr(other, name), torch.ones_like(share))


def test_nothing_to_choose_from():
    flat = torch.full((1, 1, 20, 20), 0.3)
    blocks = weight_blocks(flat, flat)
    assert (blocks.texture == 0.5).all()
    assert (blocks.intensity == 0.5).all()


def test_texture_and_hot_targets_win():
    ir = torch.full((1, 1, 64, 64), 0.2)
    ir[..., 40:50, 40:50] = 1.0
    visible = torch.full((1, 1, 64, 64), 0.5)
    visible[..., :24, :24] += 0.4 * (torch.arange(24) // 2 % 2)
    blocks = weight_blocks(ir, visible)
    assert blocks.texture[..., :20, :20].max() < 0.1
    assert (blocks.texture[..., 4:20, 44:60] == 0.5).all(), "flat in both"
    assert blocks.intensity[..., 42:48, 42:48].min() > 0.9


def test_activity_is_the_mean_of_its_block():
    """The centre of an 8×8 block lies between four pixels: their weights average to the block's own."""
    a, b = image((32, 40)), image((32, 40), 1)

    def activity(x: torch.Tensor) -> torch.Tensor:
        return sobel_magnitude(x).unfold(2, 8, 8).unfold(3, 8, 8).mean((-1, -2))

    difference = 5 * (activity(a) - activity(b)) / (torch.maximum(activity(a), activity(b)) + 0.05)
    logit = torch.logit(weight_blocks(a, b).texture)
    centre = logit.unfold(2, 8, 8).unfold(3, 8, 8)[..., 3:5, 3:5].mean((-1, -2))
    inner = (..., slice(1, -1), slice(1, -1))
    step = difference[inner]
    # bilinear between neighbours: within an eighth of the difference to them
    torch.testing.assert_close(centre[inner], step, atol=0.25 * float(difference.abs().max()), rtol=0)
