"""The fine search: from a start to the nearest best place, by SciPy's L-BFGS-B, coarse to fine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from napari_irvisfuse.images.grids import Matrix

from .features import edges, similarity
from .models import DEGREES, Model
from .planes import Plane, sample

__all__ = ["Comparison", "correction"]

_STEPS = 40
_FURTHEST = 0.1  # change of scale, and shift in half sides: more than the steps of the coarse search


class Comparison:
    """Two images at one working size, whose edges can be compared under any transform.

    They are compared not at the pixels of the visible image but each up to half a pixel beside one. Halfway between
    pixels interpolation smooths the most, which alone makes images more alike: by so much, if it happens to all of
    them at once, that every half pixel would be a little peak for the search to stop at. Beside them it happens
    to some, wherever the other image lies.

    Parameters
    ----------
    ir, visible
        The images.
    longer_side
        Working size in pixels.
    """

    def __init__(self, ir: Plane, visible: Plane, longer_side: int) -> None:
        self.ir, self.visible = ir.shrunk(longer_side), visible.shrunk(longer_side)
        generator = torch.Generator().manual_seed(0)
        self._beside = torch.rand(2, *self.visible.shape, generator=generator) - 0.5
        self._moving = edges(self.ir.luma, self.ir.valid)
        fixed, valid = edges(self.visible.luma, self.visible.valid), self.visible.valid
        self._fixed, self._known = sample(fixed, valid, torch.eye(3), self.visible.shape, self._beside)

    def plainness(self, transform: Matrix) -> float:
        """Return the similarity over what both images show, times the root of its share: little is alike by chance."""
        moving, seen = self._look(torch.from_numpy(self._to_ir(transform)).float())
        return float(similarity(self._fixed, moving, seen) * seen.mean().sqrt())

    def similarities(self, one: Matrix, other: Matrix) -> tuple[float, float]:
        """Compare two transforms where both of them show both images: else a smaller overlap would have it easier."""
        views = [self._look(torch.from_numpy(self._to_ir(matrix)).float()) for matrix in (one, other)]
        seen = views[0][1] * views[1][1]
        first, second = (float(similarity(self._fixed, moving, seen)) for moving, _ in views)
        return first, second

    def refine(self, start: Matrix, model: Model, check: Callable[[], None]) -> Matrix:
        """Return the best transform near a start, or the start if there is none better.

        Parameters
        ----------
        start
            Infrared to visible image.
        model
            What may be changed about it.
        check
            Called before every comparison; may raise.
        """
        from scipy.optimize import minimize

        height, width = self.visible.shape
        size = max(height, width) / 2
        normal = np.array([[1 / size, 0, (1 - height) / 2 / size], [0, 1 / size, (1 - width) / 2 / size], [0, 0, 1]])
        before = torch.from_numpy(self._to_ir(start) @ np.linalg.inv(normal)).float()
        centred = torch.from_numpy(normal).float()

        def cost(numbers: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
            check()
            parameters = torch.from_numpy(numbers).float().requires_grad_()
            moving, seen = self._look(before @ correction(model, parameters) @ centred)
            value = -similarity(self._fixed, moving, seen)
            value.backward()  # type: ignore[no-untyped-call]
            assert parameters.grad is not None
            return float(value.detach()), parameters.grad.double().numpy()

        with torch.enable_grad():
            best = minimize(
                cost,
                np.zeros(DEGREES[model]),
                jac=True,
                method="L-BFGS-B",
                bounds=[(-_FURTHEST, _FURTHEST)] * DEGREES[model],  # or a hasty step may lead out of the image
                options={"maxiter": _STEPS, "ftol": 1e-7},
            )
        change = correction(model, torch.from_numpy(best.x)).numpy()
        visible_to_ir = self._to_ir(start) @ np.linalg.inv(normal) @ change @ normal
        matrix: Matrix = self.visible.to_source @ np.linalg.inv(visible_to_ir) @ np.linalg.inv(self.ir.to_source)
        matrix /= matrix[2, 2]
        as_was, as_found = self.similarities(start, matrix)
        return matrix if as_found > as_was else start

    def _to_ir(self, matrix: Matrix) -> Matrix:
        """Return the transform from the visible plane's pixels to those of the infrared plane."""
        inverse: Matrix = np.linalg.inv(matrix @ self.ir.to_source) @ self.visible.to_source
        return inverse

    def _look(self, visible_to_ir: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        moving, seen = sample(self._moving, self.ir.valid, visible_to_ir, self.visible.shape, self._beside)
        return moving, seen * self._known


def correction(model: Model, numbers: torch.Tensor) -> torch.Tensor:
    """Return the ``(3, 3)`` matrix of a small correction, the identity for zeros; differentiable.

    Parameters
    ----------
    model
        Which matrices there are.
    numbers
        ``(DEGREES[model],)``, meant for coordinates centred in the image and of the order of 1.
    """
    zero, one = torch.zeros_like(numbers[0]), torch.ones_like(numbers[0])
    if model == "translation":
        entries = [one, zero, numbers[0], zero, one, numbers[1], zero, zero, one]
    elif model == "similarity":
        grow, turn, down, right = numbers
        entries = [one + grow, -turn, down, turn, one + grow, right, zero, zero, one]
    else:
        a, b, c, d, e, f = numbers[:6]
        last = [numbers[6], numbers[7]] if model == "homography" else [zero, zero]
        entries = [one + a, b, c, d, one + e, f, *last, one]
    return torch.stack(entries).reshape(3, 3)
