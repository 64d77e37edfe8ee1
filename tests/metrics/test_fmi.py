"""FMI: features and joint distributions by loops, window by window, and the laws of the measure."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dctn

from napari_irvisfuse.metrics import fmi as module
from napari_irvisfuse.metrics.fmi import fmi, fmi_map, fmi_quality
from napari_irvisfuse.metrics.fmi_features import _MEYER, FEATURES, dct, edges, gradient, meyer_wavelet

SPATIAL = ("edge", "gradient", "pixel")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """On a busy machine, waking a second thread for each small operation takes longer than the operation."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def images(height: int = 17, width: int = 20, *, seed: int = 0, levels: int = 255) -> torch.Tensor:
    random = np.random.default_rng(seed).integers(0, levels + 1, (3, height, width)) / levels
    return torch.from_numpy(random)


# -- the definition, by loops --------------------------------------------------------------------------------------


def edges_by_loops(image: np.ndarray) -> np.ndarray:
    height, width = image.shape
    padded = np.pad(image, 1, mode="edge")
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    x, y = np.zeros_like(image), np.zeros_like(image)
    for i, j in np.ndindex(image.shape):
        window = padded[i : i + 3, j : j + 3]
        x[i, j], y[i, j] = (window * kernel).sum(), (window * kernel.T).sum()
    b = x**2 + y**2
    result = np.zeros_like(image)
    for i, j in np.ndindex(image.shape):

        def smaller(di: int, dj: int, strictly: bool, i: int = i, j: int = j) -> bool:
            if not (0 <= i + di < height and 0 <= j + dj < width):
                return True
            return bool(b[i + di, j + dj] < b[i, j] or (not strictly and b[i + di, j + dj] == b[i, j]))

        across = abs(x[i, j]) >= abs(y[i, j]) and smaller(0, -1, False) and smaller(0, 1, True)
        along = abs(y[i, j]) >= abs(x[i, j]) and smaller(-1, 0, False) and smaller(1, 0, True)
        result[i, j] = b[i, j] > 4 * b.mean() and (across or along)
    return result


def wavelet_by_convolution(image: np.ndarray) -> np.ndarray:
    """Do what MATLAB does: extend by 101, convolve with 102 taps, keep every second value from the second."""
    taps = np.concatenate([np.zeros(20), _MEYER[:0:-1], _MEYER, [0], np.zeros(20)])
    low, high = taps[::-1], np.where(np.arange(102) % 2, taps, -taps)

    def rows(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        extended = np.pad(x, ((0, 0), (101, 101)), mode="symmetric")
        return np.stack([np.convolve(row, kernel, mode="valid")[1::2] for row in extended])

    parts = {(h, v): rows(rows(image, high if h else low).T, high if v else low).T for h in (0, 1) for v in (0, 1)}
    tiles = np.block([[parts[0, 0], parts[0, 1]], [parts[1, 0], parts[1, 1]]])
    return (tiles - tiles.min()) / (tiles.max() - tiles.min())


def window_by_loops(a: np.ndarray, f: np.ndarray) -> float:
    if (a == f).all():
        return 1.0
    shares = []
    for window in (a, f):
        values = window.T.ravel()
        span = values.max() - values.min()
        values = (values - values.min()) / span if span else np.ones(9)
        shares.append(values / values.sum())
    p, q = shares
    if np.ptp(p) == np.ptp(q) == 0:
        return 1.0
    flat = np.ptp(p) == 0 or np.ptp(q) == 0
    c = 0.0 if flat else np.corrcoef(p, q)[0, 1]
    place = np.arange(1, 10)
    deviation = [math.sqrt(max((place**2 * s).sum() - (place * s).sum() ** 2, 0)) for s in shares]
    cumulated = [np.concatenate([[0], s.cumsum()]) for s in shares]

    def bound(i: int, j: int) -> float:
        u, v = cumulated[0][i], cumulated[1][j]
        return min(u, v) if c >= 0 else max(u + v - 1, 0)

    excess = sum(bound(i, j) - cumulated[0][i] * cumulated[1][j] for i in range(1, 10) for j in range(1, 10))
    phi = 0.0 if c == 0 or 0 in deviation else c * deviation[0] * deviation[1] / excess
    joint = 0.0
    for i in range(1, 10):
        for j in range(1, 10):
            mass = bound(i, j) - bound(i - 1, j) - bound(i, j - 1) + bound(i - 1, j - 1)
            share = phi * mass + (1 - phi) * p[i - 1] * q[j - 1]
            if abs(share) > 1e-15:
                joint -= share * math.log2(abs(share))
    alone = [-sum(x * math.log2(x) for x in s if x) for s in shares]
    return 2 * (sum(alone) - joint) / sum(alone) if sum(alone) else 0.0


def map_by_loops(fused: np.ndarray, ir: np.ndarray, visible: np.ndarray) -> np.ndarray:
    result = np.zeros((fused.shape[0] - 2, fused.shape[1] - 2))
    for i, j in np.ndindex(result.shape):
        f, a, b = (image[i : i + 3, j : j + 3] for image in (fused, ir, visible))
        result[i, j] = (window_by_loops(a, f) + window_by_loops(b, f)) / 2
    return result


BY_LOOPS = {
    "edge": edges_by_loops,
    "dct": lambda image: dctn(image, norm="ortho"),
    "wavelet": wavelet_by_convolution,
    "gradient": lambda image: np.gradient(image, axis=1),
    "pixel": lambda image: image,
}


@pytest.mark.parametrize("size", [(17, 20), (16, 16), (33, 19)])
@pytest.mark.parametrize("feature", FEATURES)
def test_features_by_definition(feature, size):
    for image in images(*size):
        expected = BY_LOOPS[feature](image.numpy())
        np.testing.assert_allclose(FEATURES[feature](image).numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("feature", FEATURES)
def test_windows_by_definition(feature):
    # the features themselves, so that windows that are all but equal stay so
    of_three = [FEATURES[feature](image)[-24:, -24:] for image in images()]
    expected = map_by_loops(*(image.numpy() for image in of_three))
    values = fmi_map(*images(), feature)
    np.testing.assert_allclose(values[-22:, -22:].numpy(), expected, rtol=0, atol=1e-10)
    assert fmi(*images(), feature) == values.mean()


@pytest.mark.parametrize("levels", [1, 2])
def test_windows_with_ties_and_flat_ones(levels):
    fused, ir, visible = images(40, 40, levels=levels)
    fused[:10], ir[:8], visible[4:12] = 1, 0, 0.5
    expected = map_by_loops(*(image.numpy() for image in (fused, ir, visible)))
    np.testing.assert_allclose(fmi_map(fused, ir, visible, "pixel").numpy(), expected, rtol=0, atol=1e-10)


def test_binary_planes_need_no_other_path():
    planes = images(30, 31, levels=1)
    torch.testing.assert_close(module._of_binary(*planes), module._of_windows(*planes), rtol=0, atol=1e-14)


# -- features ------------------------------------------------------------------------------------------------------


def test_edge_of_a_step():
    image = torch.zeros(16, 16, dtype=torch.float64)
    image[:, 8:] = 1
    found = edges(image)
    assert found.sum() == 16
    # both sides are as strong: of two equal neighbours the second is the ridge
    assert (found[:, 8] == 1).all()
    assert (edges(image.T) == found.T).all()


def test_transforms_keep_energy():
    image = images()[0]
    torch.testing.assert_close(dct(image).square().sum(), image.square().sum())
    assert dct(torch.ones(16, 18)).abs().argmax() == 0
    assert gradient(torch.arange(20.0).expand(16, 20)).eq(1).all()


def test_wavelet_of_a_constant_is_flat_in_each_band():
    tiles = meyer_wavelet(torch.full((16, 18), 0.3, dtype=torch.float64))
    assert tiles.shape == (2 * 58, 2 * 59)
    assert (tiles[:58, :59] > 1 - 1e-9).all()
    assert (tiles[58:] < 2e-3).all()  # the taps' alternating sum is not quite 0


# -- laws ----------------------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.sampled_from(sorted(FEATURES)), st.integers(0, 1000))
def test_symmetric_and_bounded(feature, seed):
    fused, ir, visible = images(16, 16, seed=seed, levels=7)
    values = fmi_map(fused, ir, visible, feature)
    assert torch.equal(fmi_map(fused, visible, ir, feature), values)
    assert values.min() > -0.2
    assert values.max() <= 1 + 1e-9


@settings(max_examples=15)
@given(st.integers(0, 1000), st.floats(0.01, 1), st.floats(0, 1))
def test_gain_and_offset_of_a_window_change_nothing(seed, gain, offset):
    fused, ir, visible = images(16, 16, seed=seed)
    of_windows = fmi_map(fused, ir, visible, "pixel")
    torch.testing.assert_close(fmi_map(gain * fused + offset, ir, visible, "pixel"), of_windows, rtol=0, atol=1e-8)


def test_half_a_turn_changes_nothing():
    turned = fmi_map(*images().flip((-1, -2)), "pixel").flip((-1, -2))
    torch.testing.assert_close(turned, fmi_map(*images(), "pixel"), rtol=0, atol=1e-12)
    # a transposed window is counted in another order: that is a property of the measure
    assert not torch.allclose(fmi_map(*images().mT, "pixel").mT, fmi_map(*images(), "pixel"), atol=1e-3)


@pytest.mark.parametrize("feature", FEATURES)
def test_a_copy_shares_everything_with_its_source(feature):
    image, other, _ = images()
    assert (fmi_map(image, image, image, feature) == 1).all()
    mixed = fmi_map(image, image, other, feature)
    assert mixed.mean() > fmi_map(other, image, image, feature).mean()
    assert mixed.min() >= 0.4


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_constants(feature, level):
    constant = torch.full((16, 17), level, dtype=torch.float64)
    assert fmi(constant, constant, constant, feature) == 1
    assert fmi_map(constant, *images(16, 17)[1:], feature).isfinite().all()
    assert fmi_map(images(16, 17)[0], constant, constant, feature).isfinite().all()


@pytest.mark.parametrize("feature", FEATURES)
def test_batch_is_loop(feature):
    batch = torch.stack([images(seed=seed) for seed in range(4)], dim=1).reshape(3, 2, 2, 17, 20)
    values, maps = fmi(*batch, feature), fmi_map(*batch, feature)
    for i, j in np.ndindex(2, 2):
        torch.testing.assert_close(maps[i, j], fmi_map(*batch[:, i, j], feature), rtol=0, atol=1e-12)
        assert values[i, j].item() == pytest.approx(fmi(*batch[:, i, j], feature).item(), abs=1e-12)


@pytest.mark.parametrize("chunk", [1, 7, 50])
@pytest.mark.parametrize("feature", ["edge", "pixel"])
def test_chunks_leave_no_seam(feature, chunk, monkeypatch):
    whole = fmi_map(*images(), feature)
    monkeypatch.setattr(module, "_CHUNK_CPU", chunk)
    torch.testing.assert_close(fmi_map(*images(), feature), whole, rtol=0, atol=1e-14)


@pytest.mark.parametrize("feature", FEATURES)
def test_float32(feature):
    single = fmi(*images(64, 64).float(), feature)
    assert single.dtype == torch.float32
    # one pixel in a thousand is an edge by a hair
    assert single.item() == pytest.approx(fmi(*images(64, 64), feature).item(), abs=2e-3)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_and_inference_mode(threads, monkeypatch):
    outside = fmi_map(*images(), "pixel")
    monkeypatch.setattr(module, "_CHUNK_CPU", 20)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    with torch.inference_mode():
        inside = fmi_map(*images(), "pixel")
    torch.testing.assert_close(inside, outside, rtol=0, atol=1e-14)


@pytest.mark.parametrize("feature", SPATIAL)
def test_quality_map(feature):
    quality = fmi_quality(feature, "name")(*images())["name"]
    assert quality.data.shape == (17, 20)
    assert (quality.kind, quality.title, quality.group) == ("weight", f"FMI ({feature})", "quality")
    assert quality.data[1:-1, 1:-1].mean().item() == pytest.approx(fmi(*images(), feature).item())
    assert torch.equal(quality.data[0], quality.data[1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("feature", FEATURES)
def test_gpu(feature):
    torch.testing.assert_close(
        fmi(*images(64, 64).cuda(), feature).cpu(), fmi(*images(64, 64), feature), rtol=0, atol=1e-6
    )
