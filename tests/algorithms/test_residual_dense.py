from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import napari_irvisfuse as nif
from napari_irvisfuse.algorithms import residual_dense
from napari_irvisfuse.devices import choose
from napari_irvisfuse.errors import Cancelled, WeightsError
from napari_irvisfuse.networks.residual_dense import ResidualDenseConfig, ResidualDenseNetwork
from napari_irvisfuse.samples.scene import colour_pair, grey_pair, radiometric_pair
from napari_irvisfuse.weights import store
from napari_irvisfuse.weights.shipped import SHIPPED_FOLDER

METHOD = "rdn"
REACH = 19


def noise(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    ir, visible = (rng.integers(0, 256, (height, width), dtype=np.uint8) for _ in range(2))
    return ir, visible


def fuse(ir: Any, visible: Any, precision: str = "float32", **options: Any) -> nif.FusionResult:
    return nif.fuse(ir, visible, METHOD, device="cpu", precision=precision, **options)


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    ir, visible = grey_pair()
    return ir, visible


@pytest.fixture(scope="module")
def result(scene) -> nif.FusionResult:
    return fuse(*scene)


def test_fuses_at_once_and_offline(scene, monkeypatch):
    monkeypatch.setattr(store, "download", lambda *_, **__: pytest.fail("nothing is fetched"))
    found = nif.fuse(*scene, METHOD, device="cpu")
    assert found.fused.shape == scene[1].shape
    assert found.recipe.weights == "rdn"
    path = store.find("rdn")
    assert path is not None
    assert found.recipe.weights_sha256 == store.sha256_of(path)
    assert not found.notes


def test_the_default_of_everything(scene):
    assert nif.fuse(*scene, device="cpu").recipe.method == METHOD


def test_the_map_of_what_happened(scene, result):
    assert list(result.maps) == [
        "ir_texture_weight", "visible_texture_weight", "ir_intensity_weight", "visible_intensity_weight",
        "ir_gradient", "visible_gradient", "fused_gradient", "ir_difference", "visible_difference",
        "shallow_energy", "block_1_energy", "block_2_energy", "block_3_energy", "residual_dense_energy", "deep_energy",
    ]  # fmt: skip
    for kind in ("texture", "intensity"):
        total = result.maps[f"ir_{kind}_weight"].data + result.maps[f"visible_{kind}_weight"].data
        np.testing.assert_allclose(total, 1, atol=1e-6)
    unit = result.fused / 255
    for image, name in zip(scene, ("ir", "visible"), strict=True):
        np.testing.assert_allclose(result.maps[f"{name}_difference"].data, np.abs(unit - image / 255), atol=0.003)
    for name, item in result.maps.items():
        assert item.data.std() > 0, f"{name} shows nothing"


def test_the_fused_image_is_what_the_gates_ask(scene, result):
    """The gates on the synthetic street; benchmarks/gates.py has them on real data."""
    ir, visible = scene
    hot = ir >= np.quantile(ir, 0.98)
    assert result.fused[hot].mean() >= 0.8 * ir[hot].mean()
    for source in scene:
        assert nif.evaluate(result.fused, source, source, "standard", ["SSIM"])["SSIM"] < 0.98
    average = ((ir.astype(float) + visible) / 2).round().astype(np.uint8)
    quality, plain = (
        nif.evaluate(image, ir, visible, "zhang2022", ["Qabf"])["Qabf"] for image in (result.fused, average)
    )
    assert quality > plain


@settings(max_examples=10)
@given(st.integers(16, 70), st.integers(16, 70), st.integers(0, 99))
def test_every_size(height, width, seed):
    found = fuse(*noise(height, width, seed))
    assert found.fused.shape == (height, width)
    assert all(item.data.shape == (height, width) for item in found.maps.values())


@pytest.mark.parametrize("tile", [48, 100])
def test_tiles_leave_no_seam(scene, monkeypatch, tile):
    pair = nif.ImagePair.from_images(*(image[:160, :230] for image in scene))
    whole = nif.FusionSession(pair, device="cpu", precision="float64").fuse(METHOD)
    monkeypatch.setitem(residual_dense._TILE, "cpu", tile)
    tiled = nif.FusionSession(pair, device="cpu", precision="float64").fuse(METHOD)
    for name, item in whole.maps.items():
        np.testing.assert_allclose(tiled.maps[name].data, item.data, atol=1e-5, err_msg=name)
    assert np.array_equal(whole.fused, tiled.fused)


def test_memory_that_runs_out_is_met_with_smaller_tiles(scene, monkeypatch):
    monkeypatch.setitem(residual_dense._TILE, "low_memory", 64)
    forward = ResidualDenseNetwork.forward

    def small_only(self: ResidualDenseNetwork, images: torch.Tensor, *rest: Any) -> torch.Tensor:
        if images.shape[-1] > 64 + 2 * REACH:
            raise MemoryError
        return forward(self, images, *rest)

    whole = fuse(*scene)
    monkeypatch.setattr(ResidualDenseNetwork, "forward", small_only)
    found = fuse(*scene)
    assert found.notes == ("Memory was short: computed in smaller pieces.",)
    assert np.abs(found.fused.astype(int) - whole.fused).max() <= 1


@settings(max_examples=8)
@given(st.integers(1, 9), st.integers(1, 9))
def test_shifted_scene_shifted_result(down, right):
    ir, visible = noise(80, 90)
    fused = fuse(ir[:-10, :-10], visible[:-10, :-10], precision="float64").fused.astype(int)
    moved_pair = (image[down : down + 70, right : right + 80] for image in (ir, visible))
    moved = fuse(*moved_pair, precision="float64").fused.astype(int)
    overlap = fused[REACH + down : 70 - REACH, REACH + right : 80 - REACH]
    assert np.array_equal(overlap, moved[REACH : 70 - REACH - down, REACH : 80 - REACH - right])


def test_an_intensity_window_is_only_a_scale(scene):
    """The same scene in 16 bit, in a window that says so, is the same fusion in 16 bit."""
    ir, visible = scene
    deep = [image.astype(np.uint16) * 40 + 1000 for image in scene]
    window = (1000.0, 1000.0 + 255 * 40)
    found = fuse(*deep, ir_window=window, visible_window=window).fused
    expected = fuse(ir, visible).fused.astype(float) * 40 + 1000
    np.testing.assert_allclose(found, expected, atol=25)


def test_a_dimmer_scene_is_a_dimmer_result(scene, result):
    """Half the light of both: darker, and still a fusion of both."""
    half = fuse(*scene, ir_window=(0, 510), visible_window=(0, 510)).maps
    for name in ("ir", "visible"):
        assert half[f"{name}_difference"].data.max() < 0.75
    image = half["fused_gradient"].data
    full = result.maps["fused_gradient"].data
    assert np.corrcoef(image.ravel(), full.ravel())[0, 1] > 0.9


def test_bfloat16_is_within_a_level(scene, result):
    found = fuse(*scene, precision="bfloat16").fused
    assert (np.abs(found.astype(int) - result.fused) <= 1).mean() >= 0.999


def test_colour_and_degrees(tmp_path):
    ir, visible = colour_pair()
    assert fuse(ir, visible).fused.shape == visible.shape
    thermal, scene = radiometric_pair()
    assert fuse(thermal, scene).fused.dtype == scene.dtype


def test_stops_between_layers(scene):
    asked = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 6

    with pytest.raises(Cancelled):
        nif.fuse(*scene, METHOD, device="cpu", cancelled=cancelled)


def weights(path: Path, sizes: ResidualDenseConfig, **metadata: str) -> Path:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    said = {"network": "rdn", "config": json.dumps(sizes.to_dict()), **metadata}
    save_file(ResidualDenseNetwork(sizes).state_dict(), path, said)
    return path


SMALL = ResidualDenseConfig(features=4, growth=2, blocks=1, convolutions=1, skip=False)


def test_other_sizes_come_from_the_file(tmp_path):
    found = fuse(*noise(20, 30), weights=weights(tmp_path / "small.safetensors", SMALL))
    assert "block_2_energy" not in found.maps
    assert found.recipe.weights_sha256 == store.sha256_of(tmp_path / "small.safetensors")


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"network": "vgg19"}, "no residual dense network"),
        ({"config": "{"}, "does not state the sizes"),
        ({"config": "[]"}, "does not state the sizes"),
        ({"config": '{"features": 3}'}, "no sizes of the residual dense network"),
        ({"config": json.dumps({**SMALL.to_dict(), "features": 5})}, "does not fit the sizes"),
        ({"config": json.dumps({**SMALL.to_dict(), "blocks": 2})}, "does not fit the sizes"),
    ],
)
def test_files_that_do_not_fit(tmp_path, metadata, said):
    path = weights(tmp_path / "w.safetensors", SMALL, **metadata)
    with pytest.raises(WeightsError, match=said):
        fuse(*noise(20, 30), weights=path)


def test_a_bare_state_dict_is_not_guessed(tmp_path):
    torch.save(ResidualDenseNetwork(SMALL).state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="no residual dense network"):
        fuse(*noise(20, 30), weights=tmp_path / "w.pth")


def test_what_is_shipped_says_where_it_comes_from():
    path = store.find("rdn")
    assert path is not None
    assert path.stat().st_size < 2e6
    metadata = store.load_metadata(path)
    training = json.loads(metadata["training"])
    card = (SHIPPED_FOLDER / "rdn.md").read_text(encoding="utf-8")
    assert f"{training['steps']} steps" in card
    assert f"seed {training['seed']}" in card
    assert metadata["network"] == "rdn"
    assert ResidualDenseConfig.from_dict(json.loads(metadata["config"])).receptive_field == REACH


def test_real_pairs(data_dir):
    """Three of the 21 evaluation pairs; the whole table is in the documentation."""
    for number in (1, 11, 18):
        ir, visible = (nif.read_image(data_dir / f"tno/{kind}/{number:03d}.png") for kind in ("ir", "vi"))
        pair = nif.ImagePair.from_images(ir, visible)
        fused = nif.FusionSession(pair, device="cpu").fuse(METHOD, output="luma").fused / 255
        hot = pair.ir >= np.quantile(pair.ir, 0.98)
        assert fused[hot].mean() >= 0.8 * pair.ir[hot].mean()
        average = (pair.ir + pair.visible) / 2
        ours, plain = (
            nif.evaluate(image.astype(np.float32), pair.ir, pair.visible, "zhang2022", ["Qabf"])["Qabf"]
            for image in (fused, average)
        )
        assert ours > plain


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu_it_is_the_same(scene, result):
    found = nif.fuse(*scene, METHOD, device="cuda").fused
    assert (np.abs(found.astype(int) - result.fused) <= 1).mean() >= 0.999


def test_the_network_is_kept_and_released(scene):
    residual_dense._load.cache_clear()
    session = nif.FusionSession(nif.ImagePair.from_images(*scene), device="cpu")
    session.fuse(METHOD)
    session.fuse(METHOD)
    assert residual_dense._load.cache_info().misses == 1
    session.forget()
    assert residual_dense._load.cache_info().currsize == 0
    assert choose("cpu").device.type == "cpu"
