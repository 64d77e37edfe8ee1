"""Registrations of other libraries on the same terms as ours: two grey images and a start in, a matrix out.

Each takes ``(ir, visible, start)``, float images in [0, 1] and infrared ``(row, column, 1)`` to visible, and returns
such a matrix; an affine one, at the library's usual settings and, where it has them, three levels.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray
SWAP = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1.0]])  # (row, column) as (x, y), and back


def by_simpleitk(ir: Array, visible: Array, start: Array) -> Array:
    import SimpleITK as sitk

    to_ir = SWAP @ np.linalg.inv(start) @ SWAP
    centre = (np.array(visible.shape[::-1]) - 1) / 2
    affine = sitk.AffineTransform(2)
    affine.SetMatrix(to_ir[:2, :2].ravel().tolist())
    affine.SetCenter(centre.tolist())
    affine.SetTranslation((to_ir[:2, 2] - (np.eye(2) - to_ir[:2, :2]) @ centre).tolist())
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.25)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 150, gradientMagnitudeTolerance=1e-6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SetInitialTransform(affine, inPlace=True)
    method.Execute(sitk.GetImageFromArray(visible), sitk.GetImageFromArray(ir))
    matrix, centre = np.array(affine.GetMatrix()).reshape(2, 2), np.array(affine.GetCenter())
    found = np.eye(3)
    found[:2, :2], found[:2, 2] = matrix, np.array(affine.GetTranslation()) + centre - matrix @ centre
    return np.linalg.inv(SWAP @ found @ SWAP)


def by_opencv(ir: Array, visible: Array, start: Array) -> Array:
    import cv2

    def strength(image: Array) -> Array:
        smooth = cv2.GaussianBlur(image, (0, 0), 1.5)
        return cv2.GaussianBlur(np.hypot(cv2.Sobel(smooth, 5, 1, 0), cv2.Sobel(smooth, 5, 0, 1)), (0, 0), 1.5)

    one, other = strength(visible), strength(ir)
    to_ir = SWAP @ np.linalg.inv(start) @ SWAP
    for level in (4, 2, 1):
        scale = np.diag([1 / level, 1 / level, 1.0])
        small, moving = (
            cv2.resize(i, None, fx=1 / level, fy=1 / level, interpolation=cv2.INTER_AREA) for i in (one, other)
        )
        guess = (scale @ to_ir @ np.linalg.inv(scale))[:2].astype(np.float32)
        stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 80, 1e-5)
        _, guess = cv2.findTransformECC(small, moving, guess, cv2.MOTION_AFFINE, stop, None, 5)
        to_ir = np.linalg.inv(scale) @ np.vstack([guess, [0, 0, 1]]) @ scale
    return np.linalg.inv(SWAP @ to_ir @ SWAP)


def by_elastix(ir: Array, visible: Array, start: Array) -> Array:
    import itk

    parameters = itk.ParameterObject.New()
    parameters.AddParameterMap(parameters.GetDefaultParameterMap("affine", 3))
    there = resampled(ir, start, visible.shape)
    _, result = itk.elastix_registration_method(
        itk.image_from_array(visible), itk.image_from_array(there), parameter_object=parameters, log_to_console=False
    )
    found = result.GetParameterMap(0)
    numbers = np.array([float(value) for value in found["TransformParameters"]])
    centre = np.array([float(value) for value in found["CenterOfRotationPoint"]])
    to_there = np.eye(3)
    to_there[:2, :2] = numbers[:4].reshape(2, 2)
    to_there[:2, 2] = numbers[4:] + centre - to_there[:2, :2] @ centre
    return np.linalg.inv(SWAP @ to_there @ SWAP) @ start


def by_pystackreg(ir: Array, visible: Array, start: Array) -> Array:
    from pystackreg import StackReg

    there = resampled(ir, start, visible.shape)
    to_there = StackReg(StackReg.AFFINE).register(visible, there)  # visible (x, y) to that of the other
    return np.linalg.inv(SWAP @ to_there @ SWAP) @ start


def resampled(ir: Array, start: Array, shape: tuple[int, int]) -> Array:
    """Lay the infrared image on the visible one, for libraries that cannot be given a start."""
    from scipy.ndimage import affine_transform

    back = np.linalg.inv(start)
    return affine_transform(ir, back[:2, :2], back[:2, 2], shape, order=1, mode="nearest").astype(np.float32)
