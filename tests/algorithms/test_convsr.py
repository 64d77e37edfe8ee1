"""ConvSR: against a naive NumPy version written from its description, and against the published images."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import napari_irvisfuse as nif
from napari_irvisfuse.algorithms.convsr import ConvSR
from napari_irvisfuse.devices import choose
from napari_irvisfuse.errors import Cancelled, WeightsError
from napari_irvisfuse.images.files import read_image
from napari_irvisfuse.runtime import Runtime
from napari_irvisfuse.sparse.dictionaries import load_dictionary, write_dictionary

METHOD = ConvSR()
FEW = {"iterations": 8}  # enough to see what a parameter does
QUICK_PAIRS = (5, 11)  # the small ones of the ten; all of them take some minutes


def runtime(precision: str = "float64", **kwargs) -> Runtime:
    return Runtime(choose("cpu", precision), **kwargs)


def random_pair(n: int = 1, height: int = 24, width: int = 29, seed: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ir, visible = (torch.rand(n, 1, height, width, dtype=torch.float64, generator=generator) for _ in range(2))
    ir[..., width // 2 :] *= 0.1  # so that each image has the more detail somewhere
    visible[..., : width // 2] *= 0.1
    return ir, visible


# -- the naive version: NumPy, float64, Fourier transforms of everything ----------------------------------------


def _lowpass(image: np.ndarray, lam: float) -> np.ndarray:
    padded = np.pad(image, 16, mode="symmetric")
    v, h = (2 - 2 * np.cos(2 * np.pi * np.fft.fftfreq(n)) for n in padded.shape)
    return np.fft.ifft2(np.fft.fft2(padded) / (1 + lam * (v[:, None] + h))).real[16:-16, 16:-16]


def _code(filters: np.ndarray, image: np.ndarray, lam: float, iterations: int) -> np.ndarray:
    rho = 100 * lam + 0.5
    d, s = np.fft.fft2(filters, image.shape), np.fft.fft2(image)
    y = u = np.zeros((len(filters), *image.shape))
    target = 1 + 18.3 ** (np.log10(lam) + 1)
    for k in range(1, iterations + 1):
        b = d.conj() * s + rho * np.fft.fft2(y - u)
        x = np.fft.ifft2((b - d.conj() * (d * b).sum(0) / (rho + (abs(d) ** 2).sum(0))) / rho).real
        before, z = y, 1.8 * x - 0.8 * y + u
        y = np.sign(z) * np.maximum(abs(z) - lam / rho, 0)
        u = z - y
        r = np.linalg.norm(x - y) / max(np.linalg.norm(x), np.linalg.norm(y))
        t = np.linalg.norm(before - y) / np.linalg.norm(u)
        if r < 1e-3 and t < 1e-3:
            break
        if k > 1 and t > 0:
            ratio = r / (target * t)
            factor = np.sqrt(ratio) if ratio > 1.2 or ratio < 1 / 1.2 else 1.0
            rho, u = rho * factor, u / factor
    return y


def naive_convsr(ir, visible, filters, window=7, base_rule="mean", sparsity=0.01, iterations=500, lowpass=5.0):
    bases = [_lowpass(x, lowpass) for x in (ir, visible)]
    codes = [_code(filters, x - b, sparsity, iterations) for x, b in zip((ir, visible), bases, strict=True)]
    smooth = []
    for code in codes:
        padded = np.pad(abs(code).sum(0), window // 2)
        smooth.append(np.lib.stride_tricks.sliding_window_view(padded, (window, window)).mean((-2, -1)))
    chosen = smooth[0] > smooth[1]
    detail = (np.fft.fft2(filters, ir.shape) * np.fft.fft2(np.where(chosen, *codes))).sum(0)
    base = np.where(chosen, *bases) if base_rule == "decision" else sum(bases) / 2
    return base + np.fft.ifft2(detail).real


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"preset": "multi-focus"},
        {"window": 3, "base_rule": "decision", "sparsity": 0.05, "iterations": 20, "lowpass": 2.0},
    ],
    ids=str,
)
def test_is_the_naive_version(parameters):
    ir, visible = random_pair()
    result = METHOD.fuse(ir, visible, METHOD.parameters(**parameters), runtime())
    if "preset" in parameters:
        parameters = METHOD.presets[parameters["preset"]]
    naive = naive_convsr(
        ir[0, 0].numpy(), visible[0, 0].numpy(), load_dictionary("convsr").double().numpy(), **parameters
    )
    np.testing.assert_allclose(result.fused[0, 0].numpy(), naive, rtol=0, atol=1e-8)


# -- the published images ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published_method(data_dir) -> ConvSR:
    file = data_dir / "dictionaries" / "convsr_8x8x32.mat"
    if not file.is_file():
        pytest.skip(f"there is no {file}")
    return ConvSR(torch.from_numpy(np.moveaxis(scipy.io.loadmat(file)["D"], 2, 0).astype(np.float32)))


@pytest.mark.parametrize("number", QUICK_PAIRS)
def test_is_near_the_published_images(published_method, data_dir, number):
    """With the authors' filters and the setting of their run, which is the one for multi-focus images."""
    name = f"{number:03d}.png"
    ir, visible, reference = (data_dir / part / name for part in ("tno/ir", "tno/vi", "tno_reference/convsr"))
    for path in (ir, visible, reference):
        if not path.is_file():
            pytest.skip(f"there is no {path}")
    images = (torch.from_numpy(read_image(path).astype(np.float32) / 255)[None, None] for path in (ir, visible))
    with torch.inference_mode():
        parameters = published_method.parameters(preset="multi-focus")
        fused = published_method.fuse(*images, parameters, runtime("float32")).fused
    difference = (fused[0, 0].clamp(0, 1) * 255).round().numpy() - read_image(reference)
    assert 10 * np.log10(255**2 / np.mean(difference**2)) >= 70  # 95 dB here; 50 are asked for
    assert (difference != 0).mean() <= 1e-3


# -- what must hold for every image -----------------------------------------------------------------------------


@given(
    height=st.integers(16, 33), width=st.integers(16, 33), window=st.sampled_from((1, 7, 19)), seed=st.integers(0, 99)
)
@settings(max_examples=10)
def test_any_size_works_and_swapped_images_give_the_same(height, width, window, seed):
    ir, visible = random_pair(1, height, width, seed)
    parameters = METHOD.parameters(window=window, **FEW)
    fusion = METHOD.fuse(ir, visible, parameters, runtime())
    assert fusion.fused.shape == ir.shape
    swapped = METHOD.fuse(visible, ir, parameters, runtime())
    a, b = fusion.maps["ir_activity"].data, fusion.maps["visible_activity"].data
    if (a != b).all():
        torch.testing.assert_close(swapped.fused, fusion.fused, rtol=0, atol=1e-12)


def test_two_equal_images_give_that_image_but_for_what_coding_leaves_out():
    image = random_pair()[1]
    fusion = METHOD.fuse(image, image, METHOD.parameters(sparsity=0.001), runtime())
    torch.testing.assert_close(fusion.fused, image, rtol=0, atol=0.01)
    rough = METHOD.fuse(image, image, METHOD.parameters(sparsity=0.1), runtime())
    assert (rough.fused - image).abs().mean() > 4 * (fusion.fused - image).abs().mean()


def test_constant_images_give_their_mean():
    ir, visible = (torch.full((1, 1, 20, 24), value) for value in (0.25, 0.75))
    fusion = METHOD.fuse(ir, visible, METHOD.parameters(), runtime("float32"))
    torch.testing.assert_close(fusion.fused, torch.full_like(ir, 0.5), rtol=0, atol=1e-5)


def test_a_batch_is_its_pairs_one_by_one():
    ir, visible = random_pair(3)
    parameters = METHOD.parameters(**FEW)
    together = METHOD.fuse(ir, visible, parameters, runtime())
    for n in range(3):
        alone = METHOD.fuse(ir[n : n + 1], visible[n : n + 1], parameters, runtime())
        torch.testing.assert_close(together.fused[n : n + 1], alone.fused, rtol=0, atol=1e-12)
        for name, item in alone.maps.items():
            torch.testing.assert_close(together.maps[name].data[n : n + 1], item.data, rtol=0, atol=1e-12)


def test_inputs_and_what_is_kept_stay_as_they_are():
    ir, visible = random_pair()
    before = ir.clone(), visible.clone()
    parameters = METHOD.parameters(**FEW)
    state = METHOD.analyse(ir, visible, parameters, runtime())
    first = METHOD.combine(state, parameters, runtime()).fused
    METHOD.combine(state, METHOD.parameters(window=19, base_rule="decision", detail_gain=3.0), runtime())
    torch.testing.assert_close(METHOD.combine(state, parameters, runtime()).fused, first, rtol=0, atol=0)
    torch.testing.assert_close((ir, visible), before, rtol=0, atol=0)


def test_live_parameters_do_not_code_again(monkeypatch):
    calls = []
    analyse = ConvSR.analyse
    monkeypatch.setattr(ConvSR, "analyse", lambda self, *args: calls.append(1) or analyse(self, *args))
    images = [(x[0, 0] * 255).byte().numpy() for x in random_pair()]
    session = nif.FusionSession(nif.ImagePair.from_images(*images), device="cpu")
    session.fuse("convsr", **FEW)
    for live in ({"window": 19}, {"base_rule": "decision"}, {"detail_gain": 2.0}):
        again = session.fuse("convsr", **FEW, **live)
        fresh = nif.fuse(*images, method="convsr", device="cpu", **FEW, **live)
        np.testing.assert_array_equal(again.fused, fresh.fused)
    assert calls == [1] * 4  # one of the session, three of the fresh ones
    assert not session.is_live("convsr", {"sparsity": 0.02})


def test_the_maps_are_the_steps():
    ir, visible = random_pair()
    fusion = METHOD.fuse(ir, visible, METHOD.parameters(base_rule="decision"), runtime())
    maps = {name: item.data for name, item in fusion.maps.items()}
    close = {"rtol": 0, "atol": 1e-12}
    for name, image in (("ir", ir), ("visible", visible)):
        torch.testing.assert_close(maps[f"{name}_base"] + maps[f"{name}_detail"], image, **close)
    torch.testing.assert_close(maps["fused_base"] + maps["fused_detail"], fusion.fused, **close)
    chosen = maps["decision"] == 1
    assert 0.2 < chosen.double().mean() < 0.8
    assert (chosen == (maps["ir_activity"] > maps["visible_activity"])).all()
    torch.testing.assert_close(maps["fused_base"], torch.where(chosen, maps["ir_base"], maps["visible_base"]), **close)
    unsmoothed = METHOD.fuse(ir, visible, METHOD.parameters(window=1), runtime()).maps
    torch.testing.assert_close(unsmoothed["ir_activity"].data, maps["ir_energy"], **close)


def test_other_filters_come_from_python_or_from_a_file(tmp_path):
    ir, visible = random_pair()
    parameters = METHOD.parameters(**FEW)
    filters = torch.randn(6, 5, 5, generator=torch.Generator().manual_seed(0))
    filters /= filters.flatten(1).norm(dim=1)[:, None, None]
    write_dictionary(tmp_path / "own.safetensors", filters)
    given_ = ConvSR(filters).fuse(ir, visible, parameters, runtime()).fused
    read = METHOD.fuse(ir, visible, parameters, runtime(weights=tmp_path / "own.safetensors")).fused
    torch.testing.assert_close(read, given_, rtol=0, atol=0)
    assert not torch.equal(given_, METHOD.fuse(ir, visible, parameters, runtime()).fused)


@pytest.mark.parametrize("shape", [(49, 256), (4, 17, 17)], ids=str)
def test_what_are_no_filters_is_refused(tmp_path, shape):
    write_dictionary(tmp_path / "own.safetensors", torch.ones(shape))
    with pytest.raises(WeightsError, match=r"own\.safetensors is no convolutional dictionary"):
        METHOD.fuse(*random_pair(), METHOD.parameters(), runtime(weights=tmp_path / "own.safetensors"))


def test_it_reports_and_can_be_stopped():
    seen = []
    METHOD.fuse(*random_pair(), METHOD.parameters(**FEW), runtime(progress=lambda *args: seen.append(args)))
    assert [item[:2] for item in seen] == [(done, 16) for done in range(16)]
    asked = []
    with pytest.raises(Cancelled):
        METHOD.fuse(*random_pair(), METHOD.parameters(), runtime(cancelled=lambda: asked.append(1) or len(asked) > 9))
    assert len(asked) == 10
