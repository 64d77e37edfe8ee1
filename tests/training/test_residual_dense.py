from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from napari_irvisfuse.images.weight_blocks import sobel, weight_blocks
from napari_irvisfuse.training.losses import ssim
from napari_irvisfuse.training.residual_dense import ResidualDenseTask, ResidualDenseTraining
from napari_irvisfuse.training.task import Context

TASK = ResidualDenseTask()


def losses(fused: torch.Tensor, images: torch.Tensor, **parameters: object) -> dict[str, float]:
    """Return the terms for a "network" that gives a certain image."""
    context = Context(nullcontext, torch.Generator())
    found = TASK.losses(lambda _: fused, images, ResidualDenseTraining(**parameters), context)  # type: ignore[arg-type]
    return {name: float(value) for name, value in found.items()}


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 2, 32, 40, generator=torch.Generator().manual_seed(1))


def test_terms_as_specified(images):
    """Written once more, with both weights spelt out and one image at a time."""
    fused = torch.rand(3, 1, 32, 40)
    terms: dict[str, list[float]] = {"ssim": [], "intensity": [], "gradient": []}
    for f, i, v in zip(fused[:, None], images[:, None, :1], images[:, None, 1:], strict=True):
        blocks = weight_blocks(i, v)
        w_i, w_v, m_i, m_v = blocks.texture, 1 - blocks.texture, blocks.intensity, 1 - blocks.intensity
        terms["ssim"].append(float(w_i.mean() * (1 - ssim(f, i)) + w_v.mean() * (1 - ssim(f, v))))
        terms["intensity"].append(float((m_i * (f - i) ** 2 + m_v * (f - v) ** 2).mean()))
        of_ir, of_visible = ((sobel(f) - sobel(x)).abs().sum(1, keepdim=True) for x in (i, v))
        terms["gradient"].append(float((w_i * of_ir + w_v * of_visible).mean()))
    found = losses(fused, images, intensity_weight=7, gradient_weight=3)
    for name, values in terms.items():
        assert found[name] == pytest.approx(np.mean(values), rel=1e-5)
    assert found["loss"] == pytest.approx(found["ssim"] + 7 * found["intensity"] + 3 * found["gradient"], rel=1e-5)


def test_nothing_to_learn_where_both_are_the_same(images):
    same = images[:, :1].repeat(1, 2, 1, 1)
    assert losses(same[:, :1], same)["loss"] == pytest.approx(0, abs=1e-5)


def test_ablations_change_what_they_say(images):
    fused = 0.7 * images[:, :1] + 0.3 * images[:, 1:]
    usual = losses(fused, images)
    assert losses(fused, images, gradient_weight=0)["loss"] < usual["loss"]
    half = losses(fused, images, texture_weights="half")
    assert half["gradient"] != usual["gradient"]
    assert half["intensity"] == usual["intensity"]
    assert losses(fused, images, gradient="magnitude")["gradient"] < usual["gradient"], "triangle inequality"
    plain = TASK.build(ResidualDenseTraining(dense=False))
    assert not hasattr(plain.blocks[0].layers[1], "growth")
    assert plain.blocks[0].layers[1].weight.shape == (32, 32, 3, 3)
    assert TASK.build(ResidualDenseTraining(skip=False)).reconstruct[0].weight.shape[1] == 64


def test_every_weight_learns(images):
    network = TASK.build(ResidualDenseTraining())
    context = Context(nullcontext, torch.Generator())
    TASK.losses(network, images, ResidualDenseTraining(), context)["loss"].backward()
    for name, value in network.named_parameters():
        assert value.grad is not None, name
        assert value.grad.abs().max() > 0, name
