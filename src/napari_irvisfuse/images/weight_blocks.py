"""Where each of two images has texture and intensity worth keeping: gradients and the weight blocks of both inputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

__all__ = ["BLOCK", "WeightBlocks", "sobel", "sobel_magnitude", "weight_blocks"]

BLOCK = 8
"""Side of the blocks in pixels."""
_SHARPNESS = 5.0
_FLAT = 0.05  # a block whose mean gradient is far below it counts as flat in both images


@dataclass(frozen=True, eq=False)
class WeightBlocks:
    """Shares of infrared; those of the visible image are 1 minus them. All ``(N, 1, H, W)`` in [0, 1].

    Parameters
    ----------
    texture
        W_I, by the activity of the gradients in blocks.
    intensity
        M_I, by brightness.
    """

    texture: torch.Tensor
    intensity: torch.Tensor


def sobel(image: torch.Tensor) -> torch.Tensor:
    """Return Sobel_x ∗ X and Sobel_y ∗ X of ``(N, 1, H, W)`` as ``(N, 2, H, W)``, border replicated; differentiable.

    A step of height 1 gives ±4.
    """
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
    rows = padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]
    columns = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    return torch.cat([rows[..., 2:] - rows[..., :-2], columns[..., 2:, :] - columns[..., :-2, :]], 1)


def sobel_magnitude(image: torch.Tensor) -> torch.Tensor:
    """Return g = ``|Sobel_x ∗ X| + |Sobel_y ∗ X|`` of ``(N, 1, H, W)``, ``(N, 1, H, W)``."""
    return sobel(image).abs().sum(1, keepdim=True)


def weight_blocks(ir: torch.Tensor, visible: torch.Tensor) -> WeightBlocks:
    """Weigh two images against each other.

    Parameters
    ----------
    ir, visible
        ``(N, 1, H, W)`` in [0, 1].

    Notes
    -----
    Li et al. 2023 extract weight blocks from the inputs; their form is not public and is our choice: activity is the
    mean gradient over 8×8 blocks, brought back bilinearly and divided, pixel by pixel, by the larger of the two; the
    weights are the softmax over the two images of 5 × activity, and of 5 × brightness for the intensity, so that hot
    targets survive. Both are local: dividing by the largest activity of a whole patch, or weighing by a histogram's
    saliency, asks for what a network without a view of the whole cannot tell.
    """
    of_ir, of_visible = _activity(ir), _activity(visible)
    # a softmax over two is a sigmoid of their difference
    texture = torch.sigmoid(_SHARPNESS * (of_ir - of_visible) / (torch.maximum(of_ir, of_visible) + _FLAT))
    intensity = torch.sigmoid(_SHARPNESS * (ir - visible))
    return WeightBlocks(texture, intensity)


def _activity(image: torch.Tensor) -> torch.Tensor:
    blocks = F.avg_pool2d(sobel_magnitude(image), BLOCK, ceil_mode=True)
    height, width = image.shape[-2:]
    # by the block's size and not to the image's, which would slide the map on sizes that are no multiple of 8
    return F.interpolate(blocks, scale_factor=BLOCK, mode="bilinear", align_corners=False)[..., :height, :width]
