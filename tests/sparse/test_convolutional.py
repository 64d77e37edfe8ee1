"""Convolutional sparse coding: against a naive ADMM in the Fourier domain, and against the conditions of a minimum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_irvisfuse.errors import Cancelled
from napari_irvisfuse.sparse import convolutional as module
from napari_irvisfuse.sparse.convolutional import CodingOptions, FilterBank, sparse_code

OPTIONS = CodingOptions(sparsity=0.05, penalty=5.5, iterations=300, tolerance=1e-3)


def random_filters(count: int = 5, height: int = 4, width: int = 4, seed: int = 1) -> torch.Tensor:
    filters = torch.randn(count, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return filters / filters.flatten(1).norm(dim=1)[:, None, None]


def random_images(n: int = 1, height: int = 21, width: int = 26, seed: int = 2) -> torch.Tensor:
    images = torch.randn(n, 1, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return images * 0.2 * torch.linspace(0.3, 1, n, dtype=torch.float64).view(-1, 1, 1, 1)


# -- the naive versions -----------------------------------------------------------------------------------------


def convolve(filters: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Sum of circular convolutions, one tap at a time."""
    total = np.zeros(maps.shape[1:])
    for taps, plane in zip(filters, maps, strict=True):
        for (y, x), tap in np.ndenumerate(taps):
            total += tap * np.roll(plane, (y, x), (0, 1))
    return total


def naive_cbpdn(filters: np.ndarray, image: np.ndarray, options: CodingOptions) -> tuple[np.ndarray, int]:
    """ADMM as in Wohlberg's SPORCO: all maps transformed, the system solved at every frequency; y and iterations."""
    lam, rho, alpha = options.sparsity, options.penalty, options.relaxation
    d = np.fft.fft2(filters, image.shape)
    s = np.fft.fft2(image)
    y = u = np.zeros((len(filters), *image.shape))
    target = 1 + 18.3 ** (np.log10(lam) + 1)
    for k in range(1, options.iterations + 1):
        b = d.conj() * s + rho * np.fft.fft2(y - u)
        xf = (b - d.conj() * (d * b).sum(0) / (rho + (abs(d) ** 2).sum(0))) / rho
        x = np.fft.ifft2(xf).real
        relaxed = alpha * x + (1 - alpha) * y
        before = y
        y = np.sign(relaxed + u) * np.maximum(abs(relaxed + u) - lam / rho, 0)
        u = u + relaxed - y
        norm = np.linalg.norm
        r = norm(x - y) / (max(norm(x), norm(y)) or 1)
        t = norm(before - y) / (norm(u) or 1)
        if 1 < k <= options.adapting:
            ratio = r / (t * target) if r > 0 and t > 0 else np.inf
            change = min(np.sqrt(max(ratio, 1 / ratio)), 1000)
            factor = change if r > target * 1.2 * t else 1 / change if t > 1.2 / target * r else 1
            rho, u = rho * factor, u / factor
        if r < options.tolerance and t < options.tolerance:
            break
    return y, k


@given(
    height=st.integers(8, 24),
    width=st.integers(8, 24),
    size=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    count=st.integers(1, 6),
)
@settings(max_examples=20)
def test_the_bank_convolves_and_its_adjoint_and_inverse_fit(height, width, size, count):
    filters = random_filters(count, *size)
    bank = FilterBank(filters, (height, width))
    maps = torch.randn(count, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    image = random_images(1, height, width)[0, 0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CPU_STRIP", 1)  # strips as low as the filters are high
        made = bank.synthesise(lambda rows: maps[:, rows])
        extended = bank.extend(image)
        back = torch.cat(
            [(bank.taps @ bank.correlate(extended, rows)).view(count, -1, width) for rows in bank.strips()], dim=1
        )
    np.testing.assert_allclose(made.numpy(), convolve(filters.numpy(), maps.numpy()), rtol=0, atol=1e-12)
    torch.testing.assert_close((made * image).sum(), (maps * back).sum(), rtol=0, atol=1e-10)
    solved = bank.invert(image, 0.3)
    again = 0.3 * solved + bank.synthesise(
        lambda rows: (bank.taps @ bank.correlate(bank.extend(solved), rows)).view(count, -1, width)
    )
    torch.testing.assert_close(again, image, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "options",
    [
        OPTIONS,
        CodingOptions(sparsity=0.05, penalty=5.5, iterations=7, tolerance=1e-3),
        CodingOptions(sparsity=0.01, penalty=1e-3, iterations=40, tolerance=1e-3),  # the penalty has far to go
        CodingOptions(sparsity=0.2, penalty=300.0, iterations=200, tolerance=1e-4, relaxation=1.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(21, 26), (16, 17)], ids=str)
def test_is_the_naive_version(options, shape):
    filters, images = random_filters(), random_images(1, *shape)
    (found,) = sparse_code(images, filters, options)
    expected, iterations = naive_cbpdn(filters.numpy(), images[0, 0].numpy(), options)
    assert found.iterations == iterations
    np.testing.assert_allclose(found.dense().numpy(), expected, rtol=0, atol=1e-11)
    assert len(found.values) == np.count_nonzero(expected)


def test_it_finds_the_minimum():
    """There, no filter correlates with what is left by more than λ, and those in use by exactly λ."""
    filters, images = random_filters(), random_images()
    options = CodingOptions(sparsity=0.05, penalty=5.5, iterations=5000, tolerance=1e-9)
    (found,) = sparse_code(images, filters, options)
    assert found.iterations < 5000
    maps = found.dense()
    bank = FilterBank(filters, (21, 26))
    left = images[0, 0] - bank.synthesise(lambda rows: maps[:, rows])
    slope = (bank.taps @ bank.correlate(bank.extend(left), slice(0, 21))).view_as(maps)
    assert slope.abs().max() <= 0.05 * (1 + 1e-6)
    used = maps != 0
    assert 0.01 < used.double().mean() < 0.9
    torch.testing.assert_close(slope[used], 0.05 * maps[used].sign(), rtol=0, atol=1e-7)


def test_very_sparse_images_do_not_keep_it_swinging():
    """A penalty that follows the residuals for ever never finds the minimum of such images."""
    generator = torch.Generator().manual_seed(2)
    filters = random_filters(4, 5, 5, seed=2)
    bank = FilterBank(filters, (48, 48))
    where = torch.rand(4, 48, 48, generator=generator) < 0.004
    made = where * torch.randn(4, 48, 48, dtype=torch.float64, generator=generator) * 0.3
    image = bank.synthesise(lambda rows: made[:, rows])

    def steepest(adapting: int) -> float:
        options = CodingOptions(0.02, 2.5, iterations=800, tolerance=1e-5, adapting=adapting)
        maps = sparse_code(image[None, None], filters, options)[0].dense()
        left = image - bank.synthesise(lambda rows: maps[:, rows])
        return float((bank.taps @ bank.correlate(bank.extend(left), slice(0, 48))).abs().max()) / 0.02

    assert steepest(OPTIONS.adapting) < 1.01
    assert steepest(800) > 2


def test_float32_is_near_float64():
    filters, images = random_filters(), random_images()
    exact, quick = (
        sparse_code(images.to(t), filters.to(t), OPTIONS)[0].dense() for t in (torch.float64, torch.float32)
    )
    torch.testing.assert_close(quick.double(), exact, rtol=0, atol=1e-4)


def test_a_batch_is_its_images_one_by_one():
    filters, images = random_filters(), random_images(3)
    together = sparse_code(images, filters, OPTIONS)
    for n, item in enumerate(together):
        (alone,) = sparse_code(images[n : n + 1], filters, OPTIONS)
        assert alone.iterations == item.iterations
        torch.testing.assert_close(item.dense(), alone.dense(), rtol=0, atol=0)
    assert len({item.iterations for item in together}) > 1, "each image should have stopped on its own"


def test_strips_make_no_difference(monkeypatch):
    filters, images = random_filters(), random_images()
    whole = sparse_code(images, filters, OPTIONS)[0].dense()
    monkeypatch.setattr(module, "_CPU_STRIP", 26 * 5)
    torch.testing.assert_close(sparse_code(images, filters, OPTIONS)[0].dense(), whole, rtol=0, atol=1e-12)


def test_nothing_is_coded_by_nothing():
    (found,) = sparse_code(torch.zeros(1, 1, 16, 16), random_filters().float(), OPTIONS)
    assert found.iterations == 1
    assert len(found.values) == 0
    assert not found.dense().any()
    assert not found.activity().any()


def test_more_cost_means_fewer_coefficients():
    counts = []
    for sparsity in (0.01, 0.05, 0.2):
        options = CodingOptions(sparsity, 100 * sparsity + 0.5)
        counts.append(len(sparse_code(random_images(), random_filters(), options)[0].values))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


def test_the_inputs_stay_as_they_are():
    filters, images = random_filters(), random_images()
    before = filters.clone(), images.clone()
    sparse_code(images, filters, OPTIONS)
    torch.testing.assert_close((filters, images), before, rtol=0, atol=0)


def test_sparse_maps_are_the_dense_ones_without_zeros():
    (found,) = sparse_code(random_images(), random_filters(), OPTIONS)
    dense = found.dense()
    assert (found.values != 0).all()
    assert (found.index.diff() > 0).all()
    torch.testing.assert_close(found.activity(), dense.abs().sum(0), rtol=0, atol=1e-12)
    mask = torch.rand(21, 26, generator=torch.Generator().manual_seed(0)) > 0.5
    torch.testing.assert_close(found.kept(mask).dense(), dense * mask, rtol=0, atol=0)


def test_it_reports_and_can_be_stopped_anywhere():
    seen = []
    found = sparse_code(
        random_images(2), random_filters(), OPTIONS, tick=lambda done, total: seen.append((done, total))
    )
    first = found[0].iterations
    assert [done for done, _ in seen] == [*range(first), *range(300, 300 + found[1].iterations)]
    assert {total for _, total in seen} == {600}

    asked = []

    def stop() -> None:
        asked.append(1)
        if len(asked) > 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        sparse_code(random_images(), random_filters(), OPTIONS, check=stop)
    assert len(asked) == 5
