"""ResNet-152: against a deliberately naive float64 reference, and against the published outputs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import napari_irvisfuse as nif
from napari_irvisfuse.algorithms import resnet152 as module
from napari_irvisfuse.algorithms.resnet152 import ResNet152
from napari_irvisfuse.devices import choose
from napari_irvisfuse.errors import Cancelled, ParameterError, WeightsError
from napari_irvisfuse.images.files import read_image
from napari_irvisfuse.networks import torchvision_models
from napari_irvisfuse.runtime import Runtime

STRIDES = (2, 4, 8, 16, 32)
METHOD = ResNet152()


class SeededFeatures:
    """Stands in for the network: seeded random features of the right sizes."""

    strides = STRIDES

    def __init__(self, height: int, width: int, channels: int = 3) -> None:
        generator = torch.Generator().manual_seed(7)
        self.features = [
            torch.randn(2, channels, -(-height // s), -(-width // s), dtype=torch.float64, generator=generator)
            for s in STRIDES
        ]
        self.passes = 0
        self.offset = 0

    def run(self, image, level, tick) -> None:
        self.passes += 1
        for number, features in enumerate(self.features, start=1):
            tick(number - 1, 5)
            level(number, features[self.offset : self.offset + len(image)])
        self.offset = (self.offset + len(image)) % 2


def _runtime(**kwargs) -> Runtime:
    return Runtime(choose("cpu", "float64"), **kwargs)


def _pair(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(11)
    return tuple(torch.rand(1, 1, height, width, dtype=torch.float64, generator=generator) for _ in range(2))


# -- the naive reference: loops over the equations, NumPy, float64 ------------------------------------------------


def _mean_reflect(image: np.ndarray, window: int) -> np.ndarray:
    r = window // 2
    padded = np.pad(image, r, mode="reflect")
    out = np.empty_like(image)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            out[y, x] = padded[y : y + window, x : x + window].mean()
    return out


def _tikhonov(image: np.ndarray, lam: float) -> np.ndarray:
    padded = np.pad(image, 16, mode="symmetric")
    rows, columns = np.zeros_like(padded), np.zeros_like(padded)
    rows[0, 0], rows[1, 0] = -1, 1
    columns[0, 0], columns[0, 1] = -1, 1
    response = 1 + lam * (np.abs(np.fft.fft2(rows)) ** 2 + np.abs(np.fft.fft2(columns)) ** 2)
    return np.real(np.fft.ifft2(np.fft.fft2(padded) / response))[16:-16, 16:-16]


def _smooth(t: np.ndarray) -> np.ndarray:
    kernel = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
    padded = np.pad(t, 1)
    out = np.zeros_like(t)
    for y in range(t.shape[0]):
        for x in range(t.shape[1]):
            out[y, x] = (padded[y : y + 3, x : x + 3] * kernel).sum()
    return out


def _bilinear(w: np.ndarray, factor: int, height: int, width: int) -> np.ndarray:
    out = np.empty((height, width))
    for y in range(height):
        for x in range(width):
            v = min(max((y + 0.5) / factor - 0.5, 0), w.shape[0] - 1)
            u = min(max((x + 0.5) / factor - 0.5, 0), w.shape[1] - 1)
            y0, x0 = int(v), int(u)
            y1, x1 = min(y0 + 1, w.shape[0] - 1), min(x0 + 1, w.shape[1] - 1)
            a, b = v - y0, u - x0
            out[y, x] = (1 - a) * ((1 - b) * w[y0, x0] + b * w[y0, x1]) + a * ((1 - b) * w[y1, x0] + b * w[y1, x1])
    return out


def _repeat(w: np.ndarray, factor: int, height: int, width: int) -> np.ndarray:
    out = np.full((height, width), np.nan)
    for y in range(min(height, w.shape[0] * factor)):
        for x in range(min(width, w.shape[1] * factor)):
            out[y, x] = w[y // factor, x // factor]
    return out


def _reference(ir: np.ndarray, visible: np.ndarray, features: list[np.ndarray], preset: str) -> dict[str, np.ndarray]:
    height, width = ir.shape
    if preset == "paper":
        bases = [_mean_reflect(ir, 31), _mean_reflect(visible, 31)]
        fused_base = 0.6 * bases[0] + 0.4 * bases[1]
    else:
        bases = [_tikhonov(ir, 5.0), _tikhonov(visible, 5.0)]
        fused_base = (bases[0] + bases[1]) / 2
    details = [ir - bases[0], visible - bases[1]]
    activity = {i: [np.abs(f[k]).sum(axis=0) for k in range(2)] for i, f in enumerate(features, start=1)}
    if preset == "authors":
        activity[0] = [np.abs(d) for d in details]
        activity = {i: [t**2 for t in pair] for i, pair in activity.items()}
    best = [np.zeros((height, width)), np.zeros((height, width))]
    for i in sorted(activity):
        smooth = [_smooth(t) for t in activity[i]]
        total = smooth[0] + smooth[1]
        for k in range(2):
            weight = np.where(total > 0, smooth[k] / np.where(total > 0, total, 1), 0.5)
            if i == 0:
                large = weight
            elif preset == "paper":
                large = _bilinear(weight, 2**i, height, width)
            else:
                large = _repeat(weight, 31 if i == 5 else 2**i, height, width)
            best[k] = np.fmax(best[k], large)
    fused_detail = best[0] * details[0] + best[1] * details[1]
    return {
        "fused": fused_base + fused_detail,
        "fused_base": fused_base,
        "fused_detail": fused_detail,
        "ir_weight": best[0],
        "visible_weight": best[1],
        "ir_detail": details[0],
    }


@pytest.mark.parametrize("preset", ["paper", "authors"])
@pytest.mark.parametrize("size", [(32, 32), (37, 51), (65, 40)])
def test_agrees_with_the_naive_reference(monkeypatch, preset: str, size: tuple[int, int]) -> None:
    ir, visible = _pair(*size)
    network = SeededFeatures(*size)
    monkeypatch.setattr(module, "_network", lambda parameters, runtime: network)
    ours = METHOD.fuse(ir, visible, METHOD.parameters(preset=preset), _runtime())
    expected = _reference(ir[0, 0].numpy(), visible[0, 0].numpy(), [f.numpy() for f in network.features], preset)
    np.testing.assert_allclose(ours.fused[0, 0], expected.pop("fused"), atol=1e-6)
    for name, value in expected.items():
        np.testing.assert_allclose(ours.maps[name].data[0, 0], value, atol=1e-6, err_msg=name)


def test_without_maps_the_image_is_the_same(monkeypatch) -> None:
    ir, visible = _pair(37, 51)
    monkeypatch.setattr(module, "_network", lambda parameters, runtime: SeededFeatures(37, 51))
    whole, bare = (METHOD.fuse(ir, visible, METHOD.parameters(), _runtime(maps=maps)) for maps in (True, False))
    assert whole.maps
    assert bare.maps == {}
    assert torch.equal(bare.fused, whole.fused)


def test_winning_level_names_the_map_that_gave_the_weight(monkeypatch) -> None:
    size = (64, 96)
    monkeypatch.setattr(module, "_network", lambda *_: SeededFeatures(*size))
    fusion = METHOD.fuse(*_pair(*size), METHOD.parameters(upsampling="nearest"), _runtime())
    winner, best = fusion.maps["ir_level"].data[0, 0], fusion.maps["ir_weight"].data[0, 0]
    assert fusion.maps["ir_level"].kind == "index"
    assert set(winner.unique().tolist()) <= {1, 2, 3, 4, 5}
    for level in range(1, 6):
        stride = fusion.maps[f"ir_weight_{level}"].stride
        weight = fusion.maps[f"ir_weight_{level}"].data[0, 0]
        large = weight.repeat_interleave(stride, 0).repeat_interleave(stride, 1)[: size[0], : size[1]]
        assert torch.equal(best[winner == level], large[winner == level])
        assert (large <= best).all()


@pytest.mark.parametrize("preset", ["paper", "authors"])
def test_detail_is_shared_or_boosted_never_lost(monkeypatch, preset: str) -> None:
    monkeypatch.setattr(module, "_network", lambda *_: SeededFeatures(48, 48))
    fusion = METHOD.fuse(*_pair(48, 48), METHOD.parameters(preset=preset), _runtime())
    w1, w2 = (fusion.maps[f"{k}_weight"].data for k in ("ir", "visible"))
    assert ((w1 >= 0) & (w1 <= 1) & (w2 >= 0) & (w2 <= 1)).all()
    assert (w1 + w2 >= 1 - 1e-12).all()


def test_no_activity_at_all_is_shared_equally(monkeypatch) -> None:
    network = SeededFeatures(32, 32)
    network.features = [torch.zeros_like(f) for f in network.features]
    monkeypatch.setattr(module, "_network", lambda *_: network)
    fusion = METHOD.fuse(*_pair(32, 32), METHOD.parameters(), _runtime())
    assert (fusion.maps["ir_weight"].data == 0.5).all()


def test_live_parameters_do_not_run_the_network_again(monkeypatch) -> None:
    network = SeededFeatures(40, 40)
    monkeypatch.setattr(module, "_network", lambda *_: network)
    ir, visible = _pair(40, 40)
    state = METHOD.analyse(ir, visible, METHOD.parameters(), _runtime())
    results = [
        METHOD.combine(state, METHOD.parameters(**change), _runtime()).fused
        for change in ({}, {"base_weight_ir": 0.2}, {"levels": (1, 2)}, {"kernel": "none"}, {"upsampling": "nearest"})
    ]
    assert network.passes == 1
    assert all(not torch.equal(results[0], other) for other in results[1:])
    live = {info.name for info in METHOD.info().parameters if info.live}
    assert live >= {"base_weight_ir", "levels", "kernel", "upsampling"}


def test_low_memory_gives_the_same_result_in_two_passes(monkeypatch) -> None:
    network = SeededFeatures(33, 47)
    monkeypatch.setattr(module, "_network", lambda *_: network)
    ir, visible = _pair(33, 47)
    both = METHOD.fuse(ir, visible, METHOD.parameters(), _runtime())
    one_by_one = METHOD.fuse(ir, visible, METHOD.parameters(), _runtime(low_memory=True))
    assert network.passes == 3
    assert torch.equal(both.fused, one_by_one.fused)


def test_parameters_that_do_not_go_together() -> None:
    with pytest.raises(ParameterError, match="choose first or last blocks"):
        METHOD.parameters(backbone="vgg19", blocks="published")
    with pytest.raises(ParameterError, match="V2 weights are offered for resnet152 only"):
        METHOD.parameters(backbone="resnet50", imagenet="V2")
    with pytest.raises(ParameterError, match="window takes a whole number from 3 to 255 in steps of 2; got 30"):
        METHOD.parameters(window=30)


def test_a_window_too_large_for_the_image_says_so(monkeypatch) -> None:
    monkeypatch.setattr(module, "_network", lambda *_: SeededFeatures(32, 32))
    with pytest.raises(ParameterError, match="too large for an image of 32 pixels: choose 63 or less"):
        METHOD.fuse(*_pair(32, 32), METHOD.parameters(window=65), _runtime())
    METHOD.fuse(*_pair(32, 32), METHOD.parameters(window=63), _runtime())


# -- end to end, with a randomly initialised network standing in for the pretrained one ----------------------------


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory) -> Path:
    """Seeded, untrained ResNet-50 weights: what comes out is well-defined, but means nothing."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet50-random.pt"
    torch.save(torchvision_models().resnet50().state_dict(), path)
    return path


@pytest.fixture
def colour_pair() -> SimpleNamespace:
    rng = np.random.default_rng(5)
    return SimpleNamespace(
        ir=rng.integers(0, 256, (70, 90), dtype=np.uint8), visible=rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)
    )


def test_from_a_local_file(random_weights: Path, colour_pair: SimpleNamespace) -> None:
    messages: list[str] = []
    result = nif.fuse(
        colour_pair.ir,
        colour_pair.visible,
        "resnet152",
        backbone="resnet50",
        weights=random_weights,
        precision="float32",
        progress=lambda done, total, message: messages.append(message),
    )
    assert result.fused.shape == (70, 90, 3)
    assert result.fused.dtype == np.uint8
    assert result.maps["ir_norm_5"].data.shape == (3, 3)
    assert result.maps["ir_norm_5"].stride == 32
    assert result.recipe.weights == "resnet50"
    assert len(result.recipe.weights_sha256) == 64
    assert "Running resnet50" in messages


def test_a_region_has_the_whole_images_map_pixels(random_weights: Path) -> None:
    rng = np.random.default_rng(5)
    ir, visible = (rng.integers(0, 256, (400, 430), dtype=np.uint8) for _ in range(2))
    options = {"backbone": "resnet50", "weights": random_weights, "precision": "float32", "device": "cpu"}
    region = nif.Region(171, 205, 203, 237)
    whole = nif.fuse(ir, visible, "resnet152", **options)
    part = nif.fuse(ir, visible, "resnet152", region=region, **options)
    assert "sees hundreds of pixels far" in part.notes[0]
    for name, item in part.maps.items():
        expected = whole.maps[name].data[region.at_stride(item.stride).slices]
        assert item.data.shape == expected.shape
        if name.endswith(("base", "detail", "norm_1", "norm_2", "norm_3")) and "fused" not in name:  # see no farther
            np.testing.assert_allclose(item.data, expected, rtol=1e-3, atol=1e-4, err_msg=name)
    assert part.maps["ir_norm_5"].data.shape == (2, 2)


def test_bfloat16_is_close_to_float32(random_weights: Path, colour_pair: SimpleNamespace) -> None:
    def run(precision: str) -> nif.FusionResult:
        return nif.fuse(
            colour_pair.ir, colour_pair.visible, "resnet152", backbone="resnet50", weights=random_weights,
            precision=precision, output="luma",
        )  # fmt: skip

    exact, quick = run("float32"), run("bfloat16")
    levels = np.abs(exact.fused.astype(int) - quick.fused.astype(int))
    assert (levels <= 1).mean() >= 0.999
    assert np.abs(exact.maps["ir_weight"].data - quick.maps["ir_weight"].data).mean() <= 0.003


def test_cancelled_between_blocks(random_weights: Path, colour_pair: SimpleNamespace) -> None:
    calls = 0

    def cancelled() -> bool:
        nonlocal calls
        calls += 1
        return calls > 12

    with pytest.raises(Cancelled):
        nif.fuse(
            colour_pair.ir, colour_pair.visible, "resnet152", backbone="resnet50", weights=random_weights,
            cancelled=cancelled,
        )  # fmt: skip
    assert calls == 13


def test_weights_of_another_network_are_refused(random_weights: Path, colour_pair: SimpleNamespace) -> None:
    with pytest.raises(WeightsError, match="These weights are not resnet152's"):
        nif.fuse(colour_pair.ir, colour_pair.visible, "resnet152", weights=random_weights)


# -- the published outputs ------------------------------------------------------------------------------------------

REFERENCES = (1, 2, 3, 4, 5, 6, 7, 9, 10, 11)


def _two_scales(data_dir: Path, number: int) -> tuple[np.ndarray, ...]:
    """Our authors' base and details, and the published fused image, float64 in [0, 1]."""
    ir, visible = (
        torch.from_numpy(read_image(data_dir / "tno" / kind / f"{number:03d}.png") / 255.0)[None, None]
        for kind in ("ir", "vi")
    )
    parameters = METHOD.parameters(preset="authors")
    bases = module._base(torch.stack([ir, visible]), parameters)
    d1, d2 = ir - bases[0], visible - bases[1]
    w1 = module._weights(torch.stack([d1, d2]).abs(), parameters)[0]
    published = read_image(data_dir / "tno_reference" / "resnet152_authors" / f"{number:03d}.png") / 255.0
    return ((bases[0] + bases[1]) / 2)[0, 0].numpy(), d1[0, 0].numpy(), d2[0, 0].numpy(), w1[0, 0].numpy(), published


@pytest.mark.parametrize("number", REFERENCES)
def test_published_output_is_in_reach_whatever_the_network_said(data_dir: Path, number: int) -> None:
    base, d1, d2, _, published = _two_scales(data_dir, number)
    # w1·D1 + w2·D2 with 0 ≤ w ≤ 1 and w1 + w2 ≥ 1 spans the interval of D1, D2 and D1 + D2
    corners = np.stack([d1, d2, d1 + d2])
    low, high = np.clip(base + corners.min(0), 0, 1), np.clip(base + corners.max(0), 0, 1)
    inside = (published >= low - 1.5 / 255) & (published <= high + 1.5 / 255)
    assert inside.mean() >= 0.9999


@pytest.mark.parametrize("number", REFERENCES)
def test_published_output_respects_the_weight_of_level_0(data_dir: Path, number: int) -> None:
    base, d1, d2, w1, published = _two_scales(data_dir, number)
    low = base + np.minimum(w1 * d1, d1) + np.minimum((1 - w1) * d2, d2)
    high = base + np.maximum(w1 * d1, d1) + np.maximum((1 - w1) * d2, d2)
    unclipped = (published > 0) & (published < 1)
    inside = (published >= low - 1.5 / 255) & (published <= high + 1.5 / 255)
    assert inside[unclipped].all()


def test_the_paper_s_mean_filter_is_not_what_was_published(data_dir: Path) -> None:
    """The two tests above can fail: with the paper's decomposition they do."""
    ir, visible = (
        torch.from_numpy(read_image(data_dir / "tno" / kind / "001.png") / 255.0)[None, None] for kind in ("ir", "vi")
    )
    bases = module._base(torch.stack([ir, visible]), METHOD.parameters())
    base = (0.6 * bases[0] + 0.4 * bases[1])[0, 0].numpy()
    corners = np.stack([(ir - bases[0])[0, 0], (visible - bases[1])[0, 0]])
    corners = np.concatenate([corners, corners.sum(0, keepdims=True)])
    published = read_image(data_dir / "tno_reference" / "resnet152_authors" / "001.png") / 255.0
    low, high = np.clip(base + corners.min(0), 0, 1), np.clip(base + corners.max(0), 0, 1)
    inside = (published >= low - 1.5 / 255) & (published <= high + 1.5 / 255)
    assert inside.mean() < 0.95
