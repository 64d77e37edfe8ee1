"""TransFusion as a method: its maps, its files, tiles. The networks here have seeded random weights."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter

import napari_irvisfuse as nif
from napari_irvisfuse.algorithms import get_method
from napari_irvisfuse.algorithms import transfusion as module
from napari_irvisfuse.algorithms.base import Fusion, MapGroup
from napari_irvisfuse.devices import choose
from napari_irvisfuse.errors import Cancelled, ParameterError, WeightsError
from napari_irvisfuse.networks.transfusion import TransFusion
from napari_irvisfuse.networks.transfusion_config import COMPACT, FULL, TransFusionConfig
from napari_irvisfuse.runtime import Runtime
from napari_irvisfuse.types import MapKind

METHOD = get_method("transfusion")
# three levels as the compact network, but small
SMALL = TransFusionConfig((6, 8, 12), (2, 2, 1), (1, 1, 2), (8, 6), ((12, 8), (8, 8, 6)))


def _save(path: Path, sizes: TransFusionConfig, seed: int = 0, **changes: Any) -> Path:
    """Write a network of seeded weights that do not fade on the way, as training would."""
    network = TransFusion(sizes).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for value in network.parameters():
        fan = value[0].numel() if value.ndim == 4 else 50
        value.copy_(torch.randn(value.shape, generator=generator) * (1.5 / fan) ** 0.5)
    network.last.bias.fill_(0.5)
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    metadata = {"network": "transfusion", "config": json.dumps(sizes.to_dict()), **changes}
    save_file(state, path, {name: value for name, value in metadata.items() if value is not None})
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    return _save(tmp_path_factory.mktemp("weights") / "small.safetensors", SMALL)


@pytest.fixture(scope="module")
def compact(tmp_path_factory) -> Path:
    return _save(tmp_path_factory.mktemp("weights") / "compact.safetensors", COMPACT)


@pytest.fixture(autouse=True)
def _forget():
    yield
    METHOD.release()


def _pair(height: int, width: int, n: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    both = torch.rand(2, n, 1, height, width, generator=generator)
    return both[0], both[1]


def _fuse(weights: Path, ir, visible, precision: str = "float32", **options: Any) -> Fusion:
    parameters = {"preset": "compact", "guidance": "paper"}
    parameters |= {name: options.pop(name) for name in parameters if name in options}
    runtime = Runtime(choose("cpu", precision), weights=weights, **options)
    images = (x.to(runtime.compute.arithmetic) for x in (ir, visible))
    with torch.inference_mode():
        return METHOD.fuse(*images, METHOD.parameters(**parameters), runtime)


def test_every_preset_has_weights_of_its_own() -> None:
    assert METHOD.weights_name(METHOD.parameters()) == "transfusion-compact"
    assert METHOD.weights_name(METHOD.parameters(preset="full")) == "transfusion"
    with pytest.raises(ParameterError, match="preset takes one of compact, full; got 'huge'"):
        METHOD.parameters(preset="huge")
    with pytest.raises(ParameterError, match="guidance takes one of paper, none"):
        METHOD.parameters(guidance="some")


def test_the_result_is_the_network_s(small: Path) -> None:
    ir, visible = _pair(35, 42)
    fusion = _fuse(small, ir, visible, "float64")
    network = module._load.__wrapped__(small, (0, 0), torch.device("cpu"), torch.float64)
    with torch.inference_mode():
        expected = network(ir.double(), visible.double())
        alone = network(ir.double(), visible.double(), "none")
    torch.testing.assert_close(fusion.fused, expected)
    assert fusion.fused.dtype == torch.float64
    assert fusion.fused.std() > 0.01
    torch.testing.assert_close(_fuse(small, ir, visible, "float64", guidance="none").fused, alone)
    assert not torch.allclose(expected, alone, atol=1e-4)


@pytest.mark.parametrize("size", [(32, 40), (33, 47)])
def test_every_map_is_one_that_can_be_shown(compact: Path, size: tuple[int, int]) -> None:
    maps = _fuse(compact, *_pair(*size)).maps
    for key, item in maps.items():
        assert re.fullmatch(r"[a-z0-9_]+", key)
        assert item.kind in get_args(MapKind)
        assert item.group in get_args(MapGroup)
        assert item.data.dtype == torch.float32
        if "gates" in key:
            assert item.data.shape == (1, COMPACT.channels[int(key[-1]) - 1])
        else:
            assert item.data.shape == (1, 1, *(-(-side // item.stride) for side in size))
        assert item.data.min() >= 0
        assert item.kind != "weight" or item.data.max() <= 1
    assert len({item.title for item in maps.values()}) == len(maps)
    levels = (1, 2, 3)
    names = {f"{name}_{level}" for level in levels for name in ("attention", "ir_gates", "visible_gates")}
    names |= {f"{name}_energy_{level}" for level in levels for name in ("ir", "visible", "fused")}
    assert set(maps) == names | {"ir_difference", "visible_difference"}
    assert [maps[f"attention_{level}"].stride for level in levels] == [1, 2, 4]


def test_what_the_maps_say(small: Path) -> None:
    ir, visible = _pair(32, 24)
    fusion = _fuse(small, ir, visible)
    network = module._load.__wrapped__(small, (0, 0), torch.device("cpu"), torch.float32)
    with torch.inference_mode():
        a, b = network.encode(ir), network.encode(visible)
        levels = network.fuse_levels(a, b)
    for number in range(3):
        for name, features in (("ir", a), ("visible", b), ("fused", levels.levels)):
            energy = fusion.maps[f"{name}_energy_{number + 1}"].data
            torch.testing.assert_close(energy, features[number].abs().mean(1, keepdim=True), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(fusion.maps[f"attention_{number + 1}"].data, levels.attention[number])
        torch.testing.assert_close(fusion.maps[f"ir_gates_{number + 1}"].data, levels.gates[number][0])
        torch.testing.assert_close(fusion.maps[f"visible_gates_{number + 1}"].data, levels.gates[number][1])
    torch.testing.assert_close(fusion.maps["ir_difference"].data, (fusion.fused - ir).abs())
    torch.testing.assert_close(fusion.maps["visible_difference"].data, (fusion.fused - visible).abs())


@pytest.mark.parametrize("size", [(150, 97), (97, 224)])
def test_tiles_leave_no_seam(small: Path, monkeypatch, size: tuple[int, int]) -> None:
    """Also the gates, which look at everything, are those of the whole image; odd sizes are padded once."""
    ir, visible = _pair(*size, n=2)
    whole = _fuse(small, ir, visible, "float64")
    for kind in module._PIXELS:
        monkeypatch.setitem(module._PIXELS, kind, 5000)
    assert module._tile(SMALL, *size, Runtime(choose("cpu", "float64"))) < min(size)
    tiled = _fuse(small, ir, visible, "float64")
    torch.testing.assert_close(tiled.fused, whole.fused, rtol=1e-10, atol=1e-10)
    assert set(tiled.maps) == set(whole.maps)
    for name, item in whole.maps.items():
        torch.testing.assert_close(tiled.maps[name].data, item.data, rtol=1e-10, atol=1e-10, msg=name)


def test_short_memory_makes_smaller_tiles() -> None:
    compute = choose("cpu", "float32")
    usual, short = (module._tile(FULL, 3000, 4000, Runtime(compute, low_memory=low)) for low in (False, True))
    assert short < usual < 3000
    assert (usual + 2 * FULL.reach) ** 2 <= module._PIXELS["cpu"]
    assert module._tile(FULL, 480, 640, Runtime(compute)) == 640


def test_a_batch_is_its_images_one_by_one(small: Path) -> None:
    ir, visible = _pair(33, 30, n=2)
    batch = _fuse(small, ir, visible, "float64")
    for number in range(2):
        single = _fuse(small, ir[number : number + 1], visible[number : number + 1], "float64")
        torch.testing.assert_close(batch.fused[number], single.fused[0])
        for name, item in single.maps.items():
            torch.testing.assert_close(batch.maps[name].data[number], item.data[0])


def test_bfloat16_is_close_to_float32(compact: Path) -> None:
    ir, visible = _pair(64, 64)
    exact, quick = _fuse(compact, ir, visible), _fuse(compact, ir, visible, "bfloat16")
    assert quick.fused.dtype == torch.float32
    error = (quick.fused - exact.fused).abs().mean() / exact.fused.std()
    assert 0 < float(error) < 0.03
    difference = quick.maps["attention_1"].data - exact.maps["attention_1"].data
    assert float(difference.abs().mean()) < 0.005


def test_inputs_are_not_modified(small: Path) -> None:
    ir, visible = _pair(19, 22)
    before = ir.clone(), visible.clone()
    _fuse(small, ir, visible)
    assert torch.equal(ir, before[0])
    assert torch.equal(visible, before[1])


@pytest.mark.parametrize("pixels", [10**6, 5000])
def test_without_maps_the_image_is_the_same_and_nothing_is_computed_for_them(small: Path, monkeypatch, pixels) -> None:
    monkeypatch.setitem(module._PIXELS, "cpu", pixels)
    ir, visible = _pair(130, 110)
    whole = _fuse(small, ir, visible)
    monkeypatch.setattr(module, "channel_energy", None)
    bare = _fuse(small, ir, visible, maps=False)
    assert bare.maps == {}
    assert torch.equal(bare.fused, whole.fused)


@pytest.mark.parametrize("pixels", [10**6, 5000])
def test_cancelled_between_layers(small: Path, monkeypatch, pixels: int) -> None:
    monkeypatch.setitem(module._PIXELS, "cpu", pixels)
    ir, visible = _pair(130, 110)
    calls = 0

    def count() -> bool:
        nonlocal calls
        calls += 1
        return False

    steps: list[tuple[int, int]] = []
    _fuse(small, ir, visible, cancelled=count, progress=lambda done, total, _: steps.append((done, total)))
    assert calls >= SMALL.steps
    assert all(0 <= done < total for done, total in steps if total)
    for stop in (2, calls // 2, calls):
        asked = 0

        def cancelled(stop: int = stop) -> bool:
            nonlocal asked
            asked += 1
            return asked >= stop

        with pytest.raises(Cancelled):
            _fuse(small, ir, visible, cancelled=cancelled)
        assert asked == stop


# -- files ------------------------------------------------------------------------------------------------------


def test_a_network_under_the_other_preset_is_refused(compact: Path) -> None:
    with pytest.raises(WeightsError, match="holds the compact network: choose preset compact for it"):
        _fuse(compact, *_pair(16, 16), preset="full")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": None}, "holds no TransFusion network"),
        ({"network": "rdn"}, "holds no TransFusion network"),
        ({"config": None}, "does not state the sizes"),
        ({"config": "{"}, "does not state the sizes"),
        ({"config": "[3]"}, "does not state the sizes"),
        ({"config": "{}"}, "These are no sizes of TransFusion"),
        ({"config": json.dumps(COMPACT.to_dict())}, "These weights are not TransFusion of these sizes"),
    ],
)
def test_sizes_are_read_and_never_guessed(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = _save(tmp_path / "w.safetensors", SMALL, **changes)
    with pytest.raises(WeightsError, match=message):
        _fuse(path, *_pair(16, 16))


def test_torch_checkpoints_without_sizes_are_the_authors_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(TransFusion(SMALL).state_dict(), path)
    with pytest.raises(WeightsError, match="holds no TransFusion network"):
        _fuse(path, *_pair(16, 16), preset="full")
    torch.save({"lyr1_CA.ca_ir.se.0.weight": torch.zeros(64, 64, 1, 1)}, path)
    with pytest.raises(WeightsError, match=r"not the authors' TransFusion: \d+ are missing"):
        _fuse(path, *_pair(16, 16), preset="full")


def test_a_replaced_file_is_read_again(tmp_path: Path) -> None:
    path = _save(tmp_path / "w.safetensors", SMALL)
    ir, visible = _pair(16, 16)
    first = _fuse(path, ir, visible).fused
    path.unlink()
    _save(path, SMALL, seed=1)
    assert not torch.allclose(first, _fuse(path, ir, visible).fused, atol=1e-3)


def test_half_precision_weights_are_read(tmp_path: Path, small: Path) -> None:
    from safetensors.torch import load_file

    path = tmp_path / "half.safetensors"
    state = {name: value.half() for name, value in load_file(small).items()}
    save_file(state, path, {"network": "transfusion", "config": json.dumps(SMALL.to_dict())})
    ir, visible = _pair(32, 32)
    exact, half = _fuse(small, ir, visible).fused, _fuse(path, ir, visible).fused
    assert float((exact - half).abs().mean()) < 0.01 * float(exact.std())


@pytest.mark.parametrize("number", [1, 9])
def test_real_pairs_stay_finite(data_dir: Path, compact: Path, number: int) -> None:
    """Real images, untrained weights: nothing is not a number, and the result depends on both images."""
    from napari_irvisfuse.images.files import read_image

    ir, visible = (
        torch.from_numpy(read_image(data_dir / "tno" / kind / f"{number:03d}.png") / 255.0).float()[
            None, None, :101, :130
        ]
        for kind in ("ir", "vi")
    )
    fused = _fuse(compact, ir, visible).fused
    assert fused.shape == ir.shape
    assert fused.isfinite().all()
    assert fused.std() > 0.01
    for pair in ((1 - ir, visible), (ir, 1 - visible)):
        assert not torch.allclose(_fuse(compact, *pair).fused, fused, atol=1e-3)


def test_without_weights_it_says_how_to_come_by_them() -> None:
    image = np.zeros((32, 32), np.uint8)
    with pytest.raises(WeightsError, match=r"choose a weights file of your own.* or train it with irvisfuse train"):
        nif.fuse(image, image, "transfusion", preset="full", device="cpu")


def test_the_shipped_weights_fuse_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of the box: both structures are in it, the hot disc is bright, and equal images come back as they were."""
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("nothing is fetched"))
    rng = np.random.default_rng(0)
    visible = gaussian_filter(rng.standard_normal((96, 128)), 3)
    visible = np.clip(0.4 + 0.1 * visible / visible.std(), 0, 1).astype(np.float32)
    rows, columns = np.mgrid[:96, :128]
    disc = np.hypot(rows - 48, columns - 30) < 12
    ir = np.where(disc, 0.95, 0.15).astype(np.float32)
    options: dict[str, Any] = {"device": "cpu", "ir_window": (0, 1), "visible_window": (0, 1)}
    result = nif.fuse(ir, visible, "transfusion", **options)
    assert result.recipe.weights == "transfusion-compact"
    assert result.fused[disc].mean() > 0.85
    elsewhere = np.hypot(rows - 48, columns - 30) > 20
    assert np.corrcoef(result.fused[elsewhere], visible[elsewhere])[0, 1] > 0.9
    same = nif.fuse(visible, visible, "transfusion", **options).fused
    assert np.corrcoef(same.ravel(), visible.ravel())[0, 1] > 0.97


def test_a_region_has_the_whole_images_map_pixels(compact: Path) -> None:
    rng = np.random.default_rng(5)
    ir, visible = (rng.integers(0, 256, (250, 270), dtype=np.uint8) for _ in range(2))
    options = {"preset": "compact", "weights": compact, "precision": "float32", "device": "cpu"}
    region = nif.Region(107, 121, 130, 150)
    whole, part = (nif.fuse(ir, visible, "transfusion", region=where, **options) for where in (None, region))
    assert "weighs its channels by the whole image" in part.notes[0]
    for name, item in part.maps.items():
        if item.data.ndim > 1:
            assert item.data.shape == whole.maps[name].data[region.at_stride(item.stride).slices].shape
            expected = whole.maps[name].data[region.at_stride(item.stride).slices]
            if name in ("ir_energy_1", "visible_energy_1"):  # before the channels are weighed
                np.testing.assert_allclose(item.data, expected, rtol=1e-3, atol=1e-4, err_msg=name)
