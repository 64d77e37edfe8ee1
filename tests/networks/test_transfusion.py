"""The TransFusion network by its laws; the published network itself is in ``test_transfusion_checkpoints.py``."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from napari_irvisfuse.errors import Cancelled, WeightsError
from napari_irvisfuse.networks import _convolutions
from napari_irvisfuse.networks.transfusion import TransFusion
from napari_irvisfuse.networks.transfusion_config import COMPACT, FULL, PRESETS, TransFusionConfig

SMALL = TransFusionConfig((6, 8, 12), (2, 1, 2), (1, 2, 3), (6, 5), ((9, 8), (7, 6, 5)))


def _network(config: TransFusionConfig = SMALL, seed: int = 0) -> TransFusion:
    """Seeded weights in float64 that do not fade on the way, as torch's own would."""
    network = TransFusion(config).double().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for value in network.parameters():
        fan = value[0].numel() if value.ndim == 4 else 50
        value.copy_(torch.randn(value.shape, generator=generator, dtype=value.dtype) * (1.5 / fan) ** 0.5)
    network.last.bias.fill_(0.5)
    return network


def _images(height: int, width: int, n: int = 1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    both = torch.rand(2, n, 1, height, width, dtype=torch.float64, generator=generator)
    return both[0], both[1]


# -- sizes ----------------------------------------------------------------------------------------------------------


def _count(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def test_the_full_network_has_as_many_weights_as_the_paper_s() -> None:
    with torch.device("meta"):
        network = TransFusion(FULL)
    assert _count(network.encoder) == 20_024_384  # VGG-19 without its classifier
    assert _count(network.fusion) == 11_725_791
    assert _count(network.decoder) + _count(network.last) == 21_386_209


def test_the_compact_network_fits_into_the_package() -> None:
    with torch.device("meta"):
        network = TransFusion(COMPACT)
    assert 2 * _count(network) < 6.5e6  # bytes in half precision
    assert [len(level) for level in network.encoder] == [2, 2, 1]


@pytest.mark.parametrize("config", [*PRESETS.values(), SMALL])
def test_sizes_survive_json(config: TransFusionConfig) -> None:
    assert TransFusionConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": (6, 8)}, "do not go together"),
        ({"ups": (6, 5, 4)}, "do not go together"),
        ({"channels": (6, 8, 0)}, "whole numbers from 1"),
        ({"decoder": ((9, 8), ())}, "whole numbers from 1"),
        ({"convolutions": (2, True, 2)}, "whole numbers from 1"),
        ({"channels": (6.0, 8, 12)}, "whole numbers from 1"),
        ({"kernel": 4}, "odd"),
        ({"reductions": (1, 3, 3)}, "divide"),
    ],
)
def test_sizes_that_make_no_network(change: dict, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        dataclasses.replace(SMALL, **change)


def test_sizes_that_are_no_sizes() -> None:
    values = SMALL.to_dict()
    with pytest.raises(WeightsError, match=r"no sizes of TransFusion: depth, kernel\."):
        TransFusionConfig.from_dict({**{k: v for k, v in values.items() if k != "kernel"}, "depth": 3})
    with pytest.raises(WeightsError, match="no list"):
        TransFusionConfig.from_dict({**values, "channels": 5})
    with pytest.raises(WeightsError, match="no list"):
        TransFusionConfig.from_dict({**values, "decoder": (5, 6)})


# -- laws -----------------------------------------------------------------------------------------------------------


@given(height=st.integers(16, 40), width=st.integers(16, 40))
@example(16, 16)
@example(17, 31)
@settings(max_examples=12)
def test_every_size_comes_back_and_each_level_covers_the_image(height: int, width: int) -> None:
    found: dict[str, tuple[int, ...]] = {}
    network = _network()
    with torch.inference_mode():
        fused = network(*_images(height, width), seen=lambda name, level, x: found.update({f"{name}{level}": x.shape}))
    assert fused.shape == (1, 1, height, width)
    assert fused.isfinite().all()
    assert (fused >= 0).all()
    for level, (channels, stride) in enumerate(zip(SMALL.channels, SMALL.strides, strict=True), start=1):
        area = (-(-height // stride), -(-width // stride))
        assert found[f"attention{level}"] == (1, 1, *area)
        assert found[f"ir{level}"] == found[f"visible{level}"] == found[f"fused{level}"] == (1, channels, *area)
        assert found[f"ir_gates{level}"] == found[f"visible_gates{level}"] == (1, channels)


@pytest.mark.parametrize("guidance", ["paper", "none"])
def test_a_batch_is_its_images_one_by_one(guidance: str) -> None:
    network = _network()
    ir, visible = _images(21, 26, n=3)
    with torch.inference_mode():
        batch = network(ir, visible, guidance)
        single = torch.cat([network(a[None], b[None], guidance) for a, b in zip(ir, visible, strict=True)])
    torch.testing.assert_close(batch, single, rtol=1e-12, atol=1e-12)


def test_the_modalities_play_the_same_part() -> None:
    """Swap the images and the branches of the channel perception: nothing changes but the gates' names."""
    network = _network()
    swapped = _network()
    for block in swapped.fusion:
        block.ir, block.visible = block.visible, block.ir
    ir, visible = _images(24, 20)
    gates: list[dict[str, torch.Tensor]] = [{}, {}]

    def keep(found: dict[str, torch.Tensor]):
        return lambda name, level, x: found.update({f"{name}{level}": x.clone()})

    with torch.inference_mode():
        one = network(ir, visible, seen=keep(gates[0]))
        other = swapped(visible, ir, seen=keep(gates[1]))
        unswapped = network(visible, ir)
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    for level in (1, 2, 3):
        torch.testing.assert_close(gates[0][f"ir_gates{level}"], gates[1][f"visible_gates{level}"])
        assert not torch.equal(gates[0][f"ir_gates{level}"], gates[0][f"visible_gates{level}"])
    assert not torch.allclose(one, unswapped, atol=1e-6)


def test_gates_see_the_valid_area_only() -> None:
    network = _network()
    ir, visible = _images(32, 24)
    valid = (18, 21)  # of which each level's last feature pixels are valid in part
    with torch.inference_mode():
        features = [network.encode(x) for x in (ir, visible)]
        gates = network.gates(*features, valid)
        for number, stride in enumerate(SMALL.strides):
            rows, columns = -(-valid[0] // stride), -(-valid[1] // stride)
            for levels in features:
                levels[number][..., rows:, :] = 1e3
                levels[number][..., columns:] = -1e3
        again = network.gates(*features, valid)
        everything = network.gates(*features)
    for (a, b), (c, d), (e, f) in zip(gates, again, everything, strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)
        assert not torch.allclose(a, e)
        assert not torch.allclose(b, f)


def test_forward_is_its_parts() -> None:
    network = _network()
    ir, visible = _images(26, 30)
    found: dict[str, torch.Tensor] = {}
    with torch.inference_mode():
        whole = network(ir, visible, seen=lambda name, level, x: found.update({f"{name}{level}": x.clone()}))
        a, b = (network.encode(network.pad(x)) for x in (ir, visible))
        parts = network.fuse_levels(a, b, valid=(26, 30))
        given = network.fuse_levels(a, b, gates=parts.gates)
    torch.testing.assert_close(network.decode(parts.levels)[..., :26, :30], whole)
    torch.testing.assert_close(network(ir, visible, gates=parts.gates), whole)
    for level in (1, 2, 3):
        torch.testing.assert_close(parts.gates[level - 1][0], found[f"ir_gates{level}"])
        assert torch.equal(parts.levels[level - 1], given.levels[level - 1])
        seen = found[f"attention{level}"]
        torch.testing.assert_close(parts.attention[level - 1][..., : seen.shape[-2], : seen.shape[-1]], seen)
    alone = network.reconstruct(ir)
    assert alone.shape == ir.shape
    torch.testing.assert_close(alone, network.decode(a)[..., :26, :30])


def test_guidance_changes_all_levels_but_the_deepest_and_needs_no_weights_of_its_own() -> None:
    network = _network()
    a, b = (network.encode(x) for x in _images(16, 20))
    guided, alone = network.fuse_levels(a, b, "paper"), network.fuse_levels(a, b, "none")
    assert torch.equal(guided.attention[2], alone.attention[2])
    large = F.interpolate(alone.attention[2], scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(guided.attention[1], torch.sigmoid(alone.attention[1] + large))
    large = F.interpolate(guided.attention[1], scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(guided.attention[0], torch.sigmoid(alone.attention[0] + large))
    assert not torch.allclose(guided.levels[0], alone.levels[0])


def test_inputs_are_not_modified() -> None:
    network = _network()
    for size in ((16, 16), (19, 22)):
        ir, visible = _images(*size)
        before = ir.clone(), visible.clone()
        network(ir, visible)
        network.reconstruct(ir)
        assert torch.equal(ir, before[0])
        assert torch.equal(visible, before[1])


# -- how it is computed ---------------------------------------------------------------------------------------------


def test_large_convolutions_in_pieces_are_the_same(monkeypatch) -> None:
    network = _network()
    ir, visible = _images(37, 29, n=2)
    ticks: list[int] = []
    with torch.inference_mode():
        whole = network(ir, visible, tick=lambda: ticks.append(1))
        assert len(ticks) == SMALL.steps
        monkeypatch.setattr(_convolutions, "_PIECE", 20_000)
        pieces = network(ir, visible, tick=lambda: ticks.append(2))
    assert ticks.count(2) > 3 * SMALL.steps
    torch.testing.assert_close(pieces, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("stop", [1, 4, SMALL.steps])
def test_a_tick_may_stop_it(stop: int) -> None:
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        if ticks == stop:
            raise Cancelled

    with pytest.raises(Cancelled), torch.inference_mode():
        _network()(*_images(16, 16), tick=tick)


@pytest.mark.parametrize("guidance", ["paper", "none"])
def test_a_tile_has_to_see_as_far_as_the_reach_and_no_farther(guidance: str) -> None:
    """Given the gates: what stands beyond it changes nothing, a pixel nearer it does."""
    network = _network()
    reach, stride = SMALL.reach, SMALL.stride
    inner = stride * 4
    side = 2 * -(-reach // stride) * stride + inner + 4 * stride
    start = -(-reach // stride) * stride + 2 * stride
    ir, visible = _images(side, side)
    with torch.inference_mode():
        gates = network.gates(network.encode(ir), network.encode(visible))
        whole = network(ir, visible, guidance, gates)
        window = slice(start, start + inner)
        for cut, same in ((reach, True), (reach - 1, False)):
            changed = torch.zeros_like(ir)
            keep = slice(start - cut, start + inner + cut)
            changed[..., keep, keep] = ir[..., keep, keep]
            other = network(changed, visible, guidance, gates)
            assert torch.equal(other[..., window, window], whole[..., window, window]) == same


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("part", ["encoder", "fusion", "decoder"])
def test_every_part_can_be_trained(part: str, autocast: bool) -> None:
    network = _network().float().train().requires_grad_(True)
    ir, visible = (x.float() for x in _images(16, 16, n=2))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        image = network(ir, visible) if part == "fusion" else network.reconstruct(ir)
    image.float().square().mean().backward()
    gradients = {name: value.grad for name, value in getattr(network, part).named_parameters()}
    assert all(value is not None and value.isfinite().all() for value in gradients.values())
    touched = sum(bool(value.any()) for value in gradients.values())
    assert touched == len(gradients)


def test_gradients_are_right() -> None:
    """In place where it may be: a wrong one would show in the numbers."""
    tiny = TransFusionConfig((2, 2), (1, 1), (1, 1), (2,), ((2,),))
    network = _network(tiny)
    ir, visible = (x.requires_grad_(True) for x in _images(6, 6))
    assert torch.autograd.gradcheck(network, (ir, visible), atol=1e-6)
    network.requires_grad_(True)
    weight = network.fusion[0].output[0].weight
    network(ir.detach(), visible.detach()).sum().backward()
    analytic = float(weight.grad[0, 1, 1, 1])
    values = []
    with torch.no_grad():
        for step in (1e-5, -2e-5):
            weight[0, 1, 1, 1] += step
            values.append(float(network(ir.detach(), visible.detach()).sum()))
    assert analytic == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5)


def test_bfloat16_is_close_to_float64() -> None:
    network = _network()
    ir, visible = _images(40, 44)
    with torch.inference_mode():
        exact = network(ir, visible)
        half = _network().to(torch.bfloat16, memory_format=torch.channels_last)
        quick = half(ir.bfloat16(), visible.bfloat16()).double()
    error = (quick - exact).abs()
    assert float(error.mean()) < 0.02 * float(exact.std())
    assert float(error.mean()) > 0
