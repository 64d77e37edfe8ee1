from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_irvisfuse.errors import WeightsError
from napari_irvisfuse.networks.residual_dense import PRESETS, ResidualDenseConfig, ResidualDenseNetwork

TINY = ResidualDenseConfig(features=4, growth=3, blocks=2, convolutions=2)


def build(config: ResidualDenseConfig = TINY, seed: int = 0) -> ResidualDenseNetwork:
    torch.manual_seed(seed)
    return ResidualDenseNetwork(config).double().requires_grad_(False)


def conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Correlate (C, H, W), pixel by pixel of the kernel, the border reflected."""
    size = weight.shape[-1]
    height, width = x.shape[1:]
    padded = np.pad(x, [(0, 0), *[(size // 2, size // 2)] * 2], mode="reflect")
    result = np.zeros((len(weight), height, width)) + bias[:, None, None]
    for row in range(size):
        for column in range(size):
            result += np.einsum(
                "oc,chw->ohw", weight[:, :, row, column], padded[:, row : row + height, column : column + width]
            )
    return result


def naive(network: ResidualDenseNetwork, images: np.ndarray) -> np.ndarray:
    """Compute the network as the table of its specification reads, with nothing but NumPy."""
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    config = network.config

    def layer(name: str, x: np.ndarray) -> np.ndarray:
        return conv(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def active(x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x, 0.2 * x)

    shallow = active(layer("shallow.1", active(layer("shallow.0", images))))
    x, blocks = shallow, []
    for number in range(config.blocks):
        seen = x
        for step in range(config.convolutions):
            new = active(layer(f"blocks.{number}.layers.{step}", seen))
            seen = np.concatenate([seen, new]) if config.dense else new
        x = x + layer(f"blocks.{number}.fuse", seen)
        blocks.append(x)
    gathered = layer("gather", np.concatenate(blocks))
    deep = active(layer("deep", gathered))
    if config.skip:
        deep = deep + shallow
    x = np.concatenate([shallow, gathered, deep] if config.skip else [gathered, deep])
    for number in range(3):
        x = active(layer(f"reconstruct.{number}", x))
    return (np.tanh(layer("last", x)) + 1) / 2


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("skip", [True, False])
def test_equals_its_specification(dense, skip):
    network = build(ResidualDenseConfig(4, 3, 2, 2, dense, skip))
    images = torch.rand(1, 2, 17, 22, dtype=torch.float64)
    fused = network(images)
    assert fused.shape == (1, 1, 17, 22)
    np.testing.assert_allclose(fused[0].numpy(), naive(network, images[0].numpy()), atol=1e-12)


def test_sizes_of_the_paper_preset():
    network = ResidualDenseNetwork(PRESETS["paper"])
    assert 0.19e6 < sum(value.numel() for value in network.parameters()) < 0.22e6
    assert network.config.receptive_field == 19
    large = ResidualDenseNetwork(PRESETS["large"])
    assert sum(v.numel() for v in large.parameters()) > 2 * sum(v.numel() for v in network.parameters())


@settings(max_examples=10)
@given(st.integers(16, 50), st.integers(16, 50), st.integers(1, 3))
def test_output_has_the_size_and_range(height, width, count):
    images = torch.rand(count, 2, height, width, dtype=torch.float64)
    network = build()
    fused = network(images)
    assert fused.shape == (count, 1, height, width)
    assert fused.min() >= 0
    assert fused.max() <= 1
    single = torch.cat([network(images[i : i + 1]) for i in range(count)])
    torch.testing.assert_close(fused, single, atol=1e-12, rtol=0)


def test_receptive_field_is_exact():
    network = build()
    reach = network.config.receptive_field
    images = torch.rand(1, 2, 41, 41, dtype=torch.float64)
    changed = images.clone()
    changed[..., 20, 20] += 1
    rows, columns = torch.nonzero((network(changed) != network(images))[0, 0], as_tuple=True)
    assert rows.min() == columns.min() == 20 - reach
    assert rows.max() == columns.max() == 20 + reach


@settings(max_examples=10)
@given(st.integers(0, 9), st.integers(0, 9))
def test_shifted_input_gives_shifted_output(down, right):
    network = build()
    reach = network.config.receptive_field
    images = torch.rand(1, 2, 60, 60, dtype=torch.float64)
    fused = network(images[..., :50, :50])
    shifted = network(images[..., down : down + 50, right : right + 50])
    inside = shifted[..., reach : 50 - down - reach, reach : 50 - right - reach]
    expected = fused[..., down + reach : 50 - reach, right + reach : 50 - reach]
    torch.testing.assert_close(inside, expected, atol=1e-12, rtol=0)


def test_features_are_handed_out():
    seen: dict[str, torch.Size] = {}
    build()(torch.rand(1, 2, 16, 20, dtype=torch.float64), lambda name, value: seen.update({name: value.shape}))
    assert list(seen) == ["shallow", "block_1", "block_2", "residual_dense", "deep"]
    assert set(seen.values()) == {torch.Size((1, 4, 16, 20))}


def test_sizes_go_through_json():
    for config in (*PRESETS.values(), TINY):
        assert ResidualDenseConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"features": 0}, "features"),
        ({"growth": 1.5}, "growth"),
        ({"blocks": True}, "blocks"),
        ({"convolutions": 10**6}, "convolutions"),
        ({"layers": 3}, "layers"),
    ],
)
def test_sizes_that_are_none(change, said):
    with pytest.raises(WeightsError, match=said):
        ResidualDenseConfig.from_dict({**TINY.to_dict(), **change})
    with pytest.raises(WeightsError, match="skip"):
        ResidualDenseConfig.from_dict({name: value for name, value in TINY.to_dict().items() if name != "skip"})


def test_mixed_precision_keeps_the_border_reflected():
    """Under autocast too: the border is padded in the layers' own data type."""
    network = build().float()
    images = torch.rand(1, 2, 24, 24)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network(images).float()
    torch.testing.assert_close(mixed, network(images), atol=0.02, rtol=0)


def test_the_image_itself_is_made_in_full_precision():
    """Halves of bfloat16 around 1 are a whole 8-bit level apart."""
    network = build().to_precision(torch.bfloat16, torch.float32)
    fused = network(torch.rand(1, 2, 64, 64, dtype=torch.bfloat16))
    assert fused.dtype == torch.float32
    assert (fused != fused.to(torch.bfloat16)).float().mean() > 0.9
