"""Smoothing over time: flicker goes where nothing moves, and what moves is left alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import napari_irvisfuse as nif
from napari_irvisfuse.errors import ParameterError
from napari_irvisfuse.images.temporal import TemporalSmoother, check_smoothing
from napari_irvisfuse.metrics.flicker import flicker

SIZE = (24, 30)


def noise(seed: int, count: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((count, *SIZE)).astype(np.float32)


def smoothed(strength: float, fused: np.ndarray, ir: np.ndarray, visible: np.ndarray) -> np.ndarray:
    smoother = TemporalSmoother(strength)
    return np.stack([smoother(*frame) for frame in zip(fused, ir, visible, strict=True)])


@settings(max_examples=25)
@given(st.floats(0.01, 0.98), st.integers(1, 9), st.integers(0, 99))
def test_still_sources_give_a_recursive_mean(strength, count, seed):
    fused = noise(seed, count)
    ir, visible = (np.repeat(noise(seed + n), count, axis=0) for n in (1, 2))
    found = smoothed(strength, fused, ir, visible)
    mean = fused[0]
    for t in range(count):
        mean = fused[t] + strength * (mean - fused[t]) if t else mean
        np.testing.assert_allclose(found[t], mean, atol=2e-6)


@settings(max_examples=25)
@given(st.floats(0, 0.98), st.integers(0, 99))
def test_what_does_not_change_stays(strength, seed):
    still = [np.repeat(noise(seed + n), 6, axis=0) for n in range(3)]
    np.testing.assert_allclose(smoothed(strength, *still), still[0], atol=1e-6)


@settings(max_examples=25)
@given(st.floats(0.1, 0.98), st.integers(0, 99))
def test_a_new_scene_is_followed_at_once_to_the_last_bit(strength, seed):
    fused, ir, visible = noise(seed, 5), noise(seed + 1, 5), noise(seed + 2, 5)  # everything changes every time
    np.testing.assert_array_equal(smoothed(strength, fused, ir, visible), fused)


def test_only_what_moves_is_followed():
    count, height = 12, SIZE[0]
    ir = np.full((count, *SIZE), 0.2, np.float32)
    for t in range(count):
        ir[t, 4:10, 2 * t : 2 * t + 6] = 0.9  # something hot goes by
    visible = np.full_like(ir, 0.4)
    jumps = 0.1 * (-1.0) ** np.arange(count, dtype=np.float32)[:, None, None]
    fused = np.maximum(ir, visible) + jumps
    found = smoothed(0.8, fused, ir, visible)
    for t in range(1, count):
        now, before = (slice(2 * s, 2 * s + 6) for s in (t, t - 1))
        np.testing.assert_array_equal(found[t, 4:10, now][:, -2:], fused[t, 4:10, now][:, -2:])  # where it came to
        np.testing.assert_array_equal(found[t, 4:10, before][:, :2], fused[t, 4:10, before][:, :2])  # what it left
    still = slice(height - 8, height)
    assert np.abs(np.diff(found[:, still], axis=0)).mean() < 0.35 * np.abs(np.diff(fused[:, still], axis=0)).mean()


def test_inputs_are_not_modified():
    parts = noise(0), noise(1), noise(2)
    copies = [part.copy() for part in parts]
    smoother = TemporalSmoother(0.9)
    for _ in range(3):
        smoother(*(part[0] for part in parts))
    for part, copy in zip(parts, copies, strict=True):
        np.testing.assert_array_equal(part, copy)


@pytest.mark.parametrize("strength", [-0.1, 0.99, 1, float("nan"), "much", None, True])
def test_no_other_strengths(strength):
    with pytest.raises(ParameterError, match=r"smoothing takes a number from 0 to 0\.98"):
        check_smoothing(strength)


@pytest.mark.parametrize("method", ["max", "cbf"])
def test_a_real_film_flickers_less_and_has_no_ghosts(data_dir, method):
    folder = data_dir / "video" / "0111_1753"
    part = np.s_[150:330, 200:440]
    ir, visible = (
        np.stack([nif.read_image(path)[..., 0][part] for path in sorted((folder / kind).iterdir())[:10]])
        for kind in ("ir", "vi")
    )
    plain, calm = (nif.fuse_stack(ir, visible, method, smoothing=s, device="cpu").fused for s in (0.0, 0.8))
    sources = [torch.from_numpy(film).float() / 255 for film in (ir, visible)]
    flickers = [float(flicker(torch.from_numpy(film).float() / 255, *sources)) for film in (plain, calm)]
    assert flickers[1] < 0.99 * flickers[0]
    change = np.maximum(*(np.abs(np.diff(film.astype(int), axis=0)) for film in (ir, visible)))
    moving = change > 40
    assert moving.sum() > 500
    assert np.abs(calm[1:].astype(int) - plain[1:])[moving].mean() < 0.5  # grey levels, of more than 40
