from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_irvisfuse.errors import Cancelled, WeightsError
from napari_irvisfuse.networks import torchvision_models
from napari_irvisfuse.networks.backbones import IMAGENET_STD, build_backbone

SIZES = [(64, 64), (37, 50)]


def _randomise(model: nn.Module) -> nn.Module:
    """Seeded weights and batch norm statistics: the values torchvision starts with would hide a wrong fold."""
    generator = torch.Generator().manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
            module.weight.data.copy_(torch.rand(module.num_features, generator=generator) * 0.5 + 0.25)
            module.bias.data.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
    return model.double().eval()


@pytest.fixture(scope="module")
def resnet50() -> nn.Module:
    torch.manual_seed(0)
    return _randomise(torchvision_models().resnet50())


def _stock_levels(model, blocks: str, grey: torch.Tensor) -> list[torch.Tensor]:
    """Hook the stock model, as a straightforward port would."""
    found: dict[int, torch.Tensor] = {}
    hooks = []

    def watch(module: nn.Module, number: int, before_relu: bool = False) -> None:
        def hook(_module, inputs, output):
            found.setdefault(number, (inputs[0] if before_relu else output).clone())

        hooks.append(module.register_forward_hook(hook))

    watch(model.relu, 1)
    for number, stage in enumerate((model.layer1, model.layer2, model.layer3, model.layer4), start=2):
        if blocks == "first":
            watch(stage[0], number)
        elif blocks == "last":
            watch(stage[-1], number)
        elif number == 2:
            watch(stage[0].downsample, number)
        else:

            def last_relu_input(module, inputs, number=number):
                found[number] = inputs[0].clone()  # called three times; the last is the sum

            hooks.append(stage[-1].relu.register_forward_pre_hook(last_relu_input))
    with torch.inference_mode():
        model(grey.expand(-1, 3, -1, -1))
    for hook in hooks:
        hook.remove()
    return [found[number] for number in range(1, 6)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("blocks", ["first", "last", "published"])
def test_levels_are_those_of_the_stock_model(resnet50: nn.Module, blocks: str, size: tuple[int, int]) -> None:
    image = torch.rand(2, 1, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) - 0.5
    backbone = build_backbone("resnet50", blocks, resnet50.state_dict())
    ours: list[torch.Tensor] = []
    with torch.inference_mode():
        backbone.run(image, lambda number, features: ours.append(features.clone()), lambda done, steps: None)
    stock = _stock_levels(resnet50, blocks, image)
    assert len(ours) == 5
    for level, (mine, theirs) in enumerate(zip(ours, stock, strict=True), start=1):
        stride = backbone.strides[level - 1]
        assert mine.shape[-2:] == tuple(-(-n // stride) for n in size)
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


def test_scaling_is_folded_into_the_first_convolution(resnet50: nn.Module) -> None:
    image = torch.rand(1, 1, 48, 48, dtype=torch.float64) - 0.5
    backbone = build_backbone("resnet50", "first", resnet50.state_dict(), divisor=IMAGENET_STD)
    found: list[torch.Tensor] = []
    with torch.inference_mode():
        backbone.run(image, lambda _, features: found.append(features.clone()), lambda done, steps: None)
        scaled = image.expand(-1, 3, -1, -1) / torch.tensor(IMAGENET_STD, dtype=torch.float64).view(1, 3, 1, 1)
        expected = torch.relu(resnet50.bn1(resnet50.conv1(scaled)))
    torch.testing.assert_close(found[0], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("blocks", ["first", "last"])
def test_vgg19_levels(blocks: str) -> None:
    torch.manual_seed(0)
    with torch.device("meta"):
        skeleton = torchvision_models().vgg19()
    features = skeleton.features.to_empty(device="cpu")
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            layer.reset_parameters()
    state = {f"features.{key}": value for key, value in features.state_dict().items()}
    backbone = build_backbone("vgg19", blocks, state)
    image = torch.rand(1, 1, 48, 32)
    ours: dict[int, torch.Tensor] = {}
    with torch.inference_mode():
        backbone.run(image, lambda number, f: ours.setdefault(number, f.clone()), lambda done, steps: None)
        x = image.expand(-1, 3, -1, -1)
        group, relus = 1, {}
        for layer in features:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                relus.setdefault(group, []).append(x.clone())
            group += isinstance(layer, nn.MaxPool2d)
    for number in range(1, 6):
        torch.testing.assert_close(ours[number], relus[number][0 if blocks == "first" else -1], rtol=1e-4, atol=1e-5)


def test_only_what_is_used_is_built() -> None:
    with torch.device("meta"):
        shapes = torchvision_models().resnet152().state_dict()
    state = {key: torch.zeros(value.shape, dtype=value.dtype) for key, value in shapes.items()}
    # the paper's preset looks at the first block of stage 5 only: 3 + 8 + 36 + 1 blocks and the stem
    assert build_backbone("resnet152", "first", state).steps == 49
    assert build_backbone("resnet152", "last", state).steps == 51


def test_ticks_count_up_and_can_stop(resnet50: nn.Module) -> None:
    backbone = build_backbone("resnet50", "first", resnet50.state_dict())
    image = torch.zeros(1, 1, 32, 32, dtype=torch.float64)
    ticks: list[tuple[int, int]] = []
    with torch.inference_mode():
        backbone.run(image, lambda *_: None, lambda done, steps: ticks.append((done, steps)))
    assert [done for done, _ in ticks] == list(range(backbone.steps))

    def stop(done: int, steps: int) -> None:
        if done == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        backbone.run(image, lambda *_: None, stop)


def test_other_networks_weights_are_refused_with_a_list(resnet50: nn.Module) -> None:
    state = dict(resnet50.state_dict())
    del state["layer1.0.conv1.weight"]
    state["something.else"] = torch.zeros(1)
    with pytest.raises(WeightsError, match=r"not resnet50's: 1 .*layer1\.0\.conv1\.weight.* 1 are .*something\.else"):
        build_backbone("resnet50", "first", state)
    with pytest.raises(WeightsError, match="not resnet101's"):
        build_backbone("resnet101", "first", resnet50.state_dict())


def test_wrong_shapes_are_refused(resnet50: nn.Module) -> None:
    state = dict(resnet50.state_dict())
    state["conv1.weight"] = torch.zeros(64, 1, 7, 7, dtype=torch.float64)
    with pytest.raises(WeightsError, match=r"do not fit resnet50: conv1\.weight is \(64, 1, 7, 7\)"):
        build_backbone("resnet50", "first", state)
