from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_irvisfuse.images.lowpass import tikhonov_lowpass


def _dense_solution(image: np.ndarray, regularisation: float, margin: int) -> np.ndarray:
    """Solve (I + λ(GᵣᵀGᵣ + G꜀ᵀG꜀)) b = I on the symmetric extension with periodic differences, as a linear system."""
    padded = np.pad(image, margin, mode="symmetric")
    rows, columns = padded.shape

    def differences(n: int) -> np.ndarray:
        return np.roll(np.eye(n), 1, axis=1) - np.eye(n)

    vertical = np.kron(differences(rows), np.eye(columns))
    horizontal = np.kron(np.eye(rows), differences(columns))
    system = np.eye(padded.size) + regularisation * (vertical.T @ vertical + horizontal.T @ horizontal)
    solution = np.linalg.solve(system, padded.ravel()).reshape(padded.shape)
    return solution[margin : rows - margin, margin : columns - margin]


@pytest.mark.parametrize("size", [(9, 12), (8, 7)])
def test_solves_the_linear_system(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(size)
    ours = tikhonov_lowpass(torch.from_numpy(image), 5.0, margin=4)
    np.testing.assert_allclose(ours, _dense_solution(image, 5.0, 4), atol=1e-12)


@given(level=st.floats(0, 1), regularisation=st.floats(0.01, 100))
def test_constant_images_stay(level: float, regularisation: float) -> None:
    image = torch.full((2, 1, 17, 20), level, dtype=torch.float64)
    torch.testing.assert_close(tikhonov_lowpass(image, regularisation), image, rtol=0, atol=1e-12)


def test_more_regularisation_is_smoother() -> None:
    image = torch.rand(1, 1, 40, 41, generator=torch.Generator().manual_seed(0))
    roughness = [float(tikhonov_lowpass(image, value).diff(dim=-1).abs().mean()) for value in (0.1, 1, 10)]
    assert roughness[0] > roughness[1] > roughness[2]


def test_float32_is_close_and_the_input_is_not_written_to() -> None:
    image = torch.rand(1, 1, 33, 47, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before = image.clone()
    exact = tikhonov_lowpass(image, 5.0)
    assert torch.equal(image, before)
    torch.testing.assert_close(tikhonov_lowpass(image.float(), 5.0).double(), exact, rtol=0, atol=2e-6)
