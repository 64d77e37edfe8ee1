"""The authors' checkpoints: against an independent network with their names, written from the description alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from napari_irvisfuse.errors import WeightsError
from napari_irvisfuse.networks.transfusion import TransFusion
from napari_irvisfuse.networks.transfusion_checkpoints import (
    CAFFE_MEANS,
    build_transfusion,
    caffe_encoder,
    load_encoder,
    vgg19_encoder,
)
from napari_irvisfuse.networks.transfusion_config import COMPACT, FULL, TransFusionConfig

# -- the published network, plainly ---------------------------------------------------------------------------------


class SE(nn.Module):
    def __init__(self, channels: int, r: int) -> None:
        super().__init__()
        self.se = nn.Sequential(
            nn.Conv2d(channels, channels // r, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels // r, channels, 1, bias=False),
        )

    def forward(self, x):
        return torch.sigmoid(self.se(F.adaptive_max_pool2d(x, 1)) + self.se(F.adaptive_avg_pool2d(x, 1)))


class CA(nn.Module):
    def __init__(self, channels: int, r: int) -> None:
        super().__init__()
        self.ca_ir, self.ca_vis = SE(channels, r), SE(channels, r)

    def forward(self, a, b, rows: int, columns: int):
        w_ir, w_vis = self.ca_ir(a[:, :, :rows, :columns]), self.ca_vis(b[:, :, :rows, :columns])
        g_ir, g_vis = torch.sigmoid(2 * w_ir - w_vis), torch.sigmoid(2 * w_vis - w_ir)
        return (a * (1 + g_ir) + b * (1 + g_vis)) / 2


class Holder(nn.Module):
    """Holds named layers, as the published names are nested."""

    def __init__(self, **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class Published(nn.Module):
    STAGES = (
        ((1024, 768, 512), ("conv1_1_1", "conv1_1_2")),
        ((512, 512, 512, 256, 256), ("conv2_1_1", "conv2_1_2", "conv2_2_1", "conv2_2_2")),
        (
            (256, 256, 256, 128, 128, 128, 128),
            ("conv3_1_1", "conv3_1_2", "conv3_2_1", "conv3_2_2", "conv3_3_1", "conv3_3_2"),
        ),
        (
            (128, 128, 128, 128, 64, 64, 64, 32, 32, 16),
            (
                *("conv4_1_1", "conv4_1_2", "conv4_2_1", "conv4_2_2", "conv4_3_1", "conv4_3_2"),
                *("conv4_4_1", "conv4_4_2", "conv_out1"),
            ),
        ),
    )

    def __init__(self) -> None:
        super().__init__()
        before = 3
        for level, (channels, count, r) in enumerate(
            [(64, 2, 1), (128, 2, 1), (256, 4, 2), (512, 4, 4), (512, 4, 4)], start=1
        ):
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if level > 1 else []
            for _ in range(count):
                layers += [conv(before, channels), nn.ReLU()]
                before = channels
            setattr(self, f"layer{level}", nn.Sequential(*layers))
            setattr(self, f"lyr{level}_CA", CA(channels, r))
            setattr(self, f"lyr{level}_SA", Holder(sa=Holder(conv=conv(2, 1))))
            setattr(
                self,
                f"f_layer{level}_conv_out",
                Holder(conv2d1=conv(channels, channels), conv2d2=conv(channels, channels)),
            )
        for name, inputs, outputs in (
            ("upsample1_1", 512, 512),
            ("upsample2_2", 512, 256),
            ("upsample3_3", 256, 128),
            ("upsample4_4", 128, 64),
        ):
            setattr(self, name, nn.ConvTranspose2d(inputs, outputs, 2, 2))
        for widths, names in self.STAGES:
            for name, inputs, outputs in zip(names, widths, widths[1:], strict=False):
                setattr(self, name, Holder(conv2d=conv(inputs, outputs)))
        self.conv_out2 = conv(16, 1)

    def forward(self, ir, visible, guided: bool):
        height, width = ir.shape[-2:]
        pad = (0, -width % 16, 0, -height % 16)
        a, b = (F.pad(x, pad, mode="reflect").repeat(1, 3, 1, 1) for x in (ir, visible))
        merged = []
        for level in range(1, 6):
            layer = getattr(self, f"layer{level}")
            a, b = layer(a), layer(b)
            stride = 2 ** (level - 1)
            rows, columns = -(-height // stride), -(-width // stride)
            merged.append(getattr(self, f"lyr{level}_CA")(a, b, rows, columns))
        fused, deeper = [], None
        for level in range(5, 0, -1):
            m = merged[level - 1]
            both = torch.cat([m.max(1, keepdim=True).values, m.mean(1, keepdim=True)], 1)
            s = torch.sigmoid(getattr(self, f"lyr{level}_SA").sa.conv(both))
            if guided and deeper is not None:
                s = torch.sigmoid(s + F.interpolate(deeper, scale_factor=2, mode="bilinear", align_corners=False))
            deeper = s
            out = getattr(self, f"f_layer{level}_conv_out")
            fused.append(F.gelu(out.conv2d2(out.conv2d1(m * (1 + s)))))
        x = fused[0]
        for number, (_, names) in enumerate(self.STAGES, start=1):
            x = torch.cat([getattr(self, f"upsample{number}_{number}")(x), fused[number]], 1)
            for name in names:
                x = F.gelu(getattr(self, name).conv2d(x))
        return F.relu(self.conv_out2(x))[:, :, :height, :width]


@pytest.fixture(scope="module")
def published() -> Published:
    """Seeded weights that neither fade nor blow up on the way; the last bias keeps the last ReLU busy on one side."""
    with torch.device("meta"):
        network = Published()
    generator = torch.Generator().manual_seed(4)
    state = {}
    for name, value in network.state_dict().items():
        fan = value[0].numel() if value.ndim == 4 else 400
        if name.startswith("upsample") and value.ndim == 4:
            fan = value.shape[0]
        state[name] = torch.randn(value.shape, generator=generator) * (1.5 / fan) ** 0.5
    state["conv_out2.bias"][:] = 0.3
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


def _pair(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(9)
    coarse = torch.rand(2, 1, height // 6 + 2, width // 6 + 2, generator=generator)
    smooth = F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    images = (0.7 * smooth + 0.3 * torch.rand(2, 1, height, width, generator=generator)).split(1)
    return images[0], images[1]


@pytest.mark.parametrize("guidance", ["none", "paper"])
@pytest.mark.parametrize("size", [(64, 48), (16, 16), (45, 33), (16, 31)])
def test_equal_to_the_published_network(published: Published, size: tuple[int, int], guidance: str) -> None:
    ir, visible = _pair(*size)
    with torch.inference_mode():
        expected = published(ir, visible, guidance == "paper")
        other = published(ir, visible, guidance != "paper")
        ours = build_transfusion(published.state_dict(), None)(ir, visible, guidance)
    spread = float(expected.std())
    assert (expected > 0).all()  # the last ReLU hides nothing
    assert spread > 0.01 * float(expected.max())
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=0)
    assert float((ours - expected).abs().max()) < 1e-4 * spread
    assert float((other - expected).abs().max()) > 0.1 * spread  # so the two kinds of guidance can be told apart


def test_sizes_and_weights_are_the_paper_s(published: Published) -> None:
    network = build_transfusion(published.state_dict(), FULL)
    assert network.config == FULL
    assert not network.training
    assert not any(weight.requires_grad for weight in network.parameters())
    assert sum(w.numel() for w in network.parameters()) == sum(w.numel() for w in published.parameters())


def test_missing_and_unexpected_names_are_listed(published: Published) -> None:
    state = dict(published.state_dict())
    state["conv9.conv2d.weight"] = state.pop("layer1.0.weight")
    with pytest.raises(WeightsError, match=r"1 are missing \(layer1\.0\.weight\) and 1 are unexpected \(conv9"):
        build_transfusion(state, None)
    few = {name: value for name, value in published.state_dict().items() if name.startswith("lyr")}
    with pytest.raises(WeightsError, match=r"are missing \(.*\d+ more\)"):
        build_transfusion(few, None)


def test_another_shape_is_refused(published: Published) -> None:
    state = dict(published.state_dict())
    state["conv_out2.weight"] = torch.zeros(3, 16, 3, 3)
    with pytest.raises(WeightsError, match=r"last\.weight is \(3, 16, 3, 3\) and should be \(1, 16, 3, 3\)"):
        build_transfusion(state, None)


def test_the_authors_files_have_one_size(published: Published) -> None:
    with pytest.raises(WeightsError, match="authors' names and sizes that are not theirs"):
        build_transfusion(published.state_dict(), COMPACT)


# -- our own names ----------------------------------------------------------------------------------------------

SMALL = TransFusionConfig((4, 8), (1, 2), (1, 2), (4,), ((8, 4),))


def test_our_own_weights_need_their_sizes() -> None:
    torch.manual_seed(0)
    network = TransFusion(SMALL).eval()
    state = network.state_dict()
    again = build_transfusion(state, SMALL)
    ir, visible = _pair(18, 21)
    with torch.inference_mode():
        assert torch.equal(again(ir, visible), network(ir, visible))
    with pytest.raises(WeightsError, match="neither the authors' nor state the sizes"):
        build_transfusion(state, None)
    with pytest.raises(WeightsError, match="are not TransFusion of these sizes"):
        build_transfusion(state, COMPACT)
    with pytest.raises(WeightsError, match="have the wrong shape"):
        build_transfusion(state, dataclasses.replace(SMALL, channels=(4, 16)))


# -- VGG-19 ---------------------------------------------------------------------------------------------------------


def test_the_encoder_is_torchvision_s() -> None:
    from napari_irvisfuse.networks import torchvision_models

    with torch.device("meta"):
        stock = torchvision_models().vgg19().features
    generator = torch.Generator().manual_seed(2)
    state = {
        name: torch.randn(value.shape, generator=generator) * (2 / max(9, value[0].numel())) ** 0.5
        for name, value in stock.state_dict().items()
    }
    stock.load_state_dict(state, assign=True)
    stock = stock.eval().requires_grad_(False)
    network = TransFusion(FULL)
    named = {f"features.{name}": value for name, value in state.items()} | {"classifier.0.weight": torch.zeros(1)}
    load_encoder(network, vgg19_encoder(named))
    image = _pair(32, 48)[0]
    ends = (3, 8, 17, 26, 35)
    with torch.inference_mode():
        levels = network.encode(image)
        x = image.expand(-1, 3, -1, -1).clone()
        for number, layer in enumerate(stock):
            x = layer(x)
            if number in ends:
                torch.testing.assert_close(levels[ends.index(number)], x, rtol=1e-4, atol=1e-5)
            if number == ends[-1]:
                break
    with pytest.raises(WeightsError, match=r"not VGG-19's: 1 are missing \(features\.28\.bias\)"):
        vgg19_encoder({name: value for name, value in named.items() if name != "features.28.bias"})
    vgg19_encoder({name: value for name, value in named.items() if name != "features.28.bias"}, COMPACT)
    with pytest.raises(WeightsError, match="has 2 convolutions in level 1; this encoder wants 3"):
        vgg19_encoder(named, dataclasses.replace(COMPACT, convolutions=(3, 2, 1)))


def _caffe(generator: torch.Generator) -> dict[str, torch.Tensor]:
    sizes = {"conv1_1": (64, 3), "conv1_2": (64, 64), "conv2_1": (128, 64), "conv2_2": (128, 128)}
    sizes["conv3_1"] = (256, 128)
    arrays = {}
    for name, (outputs, inputs) in sizes.items():
        arrays[f"{name}_weight"] = torch.randn(outputs, inputs, 3, 3, generator=generator) * (2 / 9 / inputs) ** 0.5
        arrays[f"{name}_bias"] = torch.randn(outputs, generator=generator)
    return arrays


def _caffe_features(arrays: dict[str, torch.Tensor], image: torch.Tensor) -> list[torch.Tensor]:
    """relu1_2, relu2_2 and relu3_1 of a grey image in [0, 1], as Caffe computes them; float64."""
    x = 255 * image.double().expand(-1, 3, -1, -1) - torch.tensor(CAFFE_MEANS, dtype=torch.float64).view(1, 3, 1, 1)
    levels = []
    for name in ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1"):
        if name in ("conv2_1", "conv3_1"):
            levels.append(x)
            x = F.max_pool2d(x, 2)
        x = F.relu(F.conv2d(x, arrays[f"{name}_weight"].double(), arrays[f"{name}_bias"].double(), padding=1))
    return [*levels, x]


def _assert_caffe(arrays: dict[str, torch.Tensor]) -> None:
    network = TransFusion(COMPACT)
    load_encoder(network, caffe_encoder(arrays, COMPACT))
    network.double()
    image = _pair(48, 40)[0].double()
    with torch.inference_mode():
        ours = network.encode(image)
    # what the border differs by reaches one pixel further with every convolution
    for level, original, border in zip(ours, _caffe_features(arrays, image), (2, 3, 3), strict=True):
        expected = original / 255
        inside = (..., slice(border, -border), slice(border, -border))
        scale = float(expected.abs().max())
        torch.testing.assert_close(level[inside], expected[inside], rtol=0, atol=1e-5 * scale)


def test_caffe_s_form_is_folded_into_the_first_convolution() -> None:
    _assert_caffe(_caffe(torch.Generator().manual_seed(6)))


def test_caffe_s_channels_are_blue_first() -> None:
    """With three different channels, which our grey images never have, the order would show."""
    arrays = _caffe(torch.Generator().manual_seed(6))
    state = caffe_encoder(arrays, COMPACT)
    bgr = torch.rand(1, 3, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    shifted = 255 * bgr - torch.tensor(CAFFE_MEANS, dtype=torch.float64).view(1, 3, 1, 1)
    expected = F.conv2d(shifted, arrays["conv1_1_weight"].double(), arrays["conv1_1_bias"].double())
    ours = F.conv2d(bgr.flip(1), state["0.0.weight"].double(), state["0.0.bias"].double())
    torch.testing.assert_close(255 * ours, expected, rtol=1e-5, atol=1e-3)


def test_a_missing_layer_of_caffe_s_form_is_named() -> None:
    arrays = _caffe(torch.Generator().manual_seed(6))
    del arrays["conv2_2_bias"]
    with pytest.raises(WeightsError, match=r"Caffe's form: 1 are missing \(conv2_2_bias\)"):
        caffe_encoder(arrays, COMPACT)


def test_the_real_short_encoder(data_dir: Path) -> None:
    files = sorted((data_dir / "weights" / "vgg19_conv1_1_to_conv3_1").glob("*.npz"))
    if not files:
        pytest.skip(f"no VGG-19 in {data_dir / 'weights'}")
    with np.load(files[0]) as content:
        _assert_caffe({name: torch.from_numpy(content[name]) for name in content.files})
