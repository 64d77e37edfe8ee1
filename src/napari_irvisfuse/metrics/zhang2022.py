"""The ``zhang2022`` profile: the code published with the ResNet-152 paper, number for number.

Table 1 of the paper is ``FMI_pixel, FMI_dct, FMI_w, N_abf`` and the sum of two SSIM, here ``SSIM_sum``. Names are
those of the published code, also where they mislead: its "FMI_pixel" compares edges, not pixels, and what it calls
"MS_SSIM" is MEF-SSIM, here ``MEF_MS_SSIM``. Its "MI" is left out: it compares the fused image with itself and so equals
twice the entropy, whatever the sources are; ``MI_true`` is what it should have been.

The code was written for 8-bit images, given as k/255. Values then agree with it to 5·10⁻⁷, all six digits that it
prints, except where the last bit of a square root decides which of two gradients is larger (N_abf and Qabf: 2·10⁻⁵), or
where a window holds nothing but rounding, which FMI stretches to its full range (FMI_w, FMI_gradient: 2·10⁻⁵).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch

from .base import Metric, MetricFunction, MetricInfo, QualityFunction
from .contrast import spatial_frequency, standard_deviation
from .correlation import correlation_coefficient
from .fmi import fmi, fmi_quality
from .information import entropy, mutual_information
from .mef_ssim import mef_ms_ssim, mef_ssim_quality
from .nabf import nabf, nabf_quality
from .qabf import qabf, qabf_quality
from .scd import scd
from .ssim_matlab import ssim, ssim_quality, ssim_sum

__all__ = ["PROFILES", "wrapped_average_gradient"]

_HAGHIGHAT = ("Haghighat, Razian, AICT 2014 (Fast-FMI)", "10.1109/ICAICT.2014.7036000")
_WANG = (
    "Wang, Bovik, Sheikh, Simoncelli, IEEE Transactions on Image Processing 13 (2004) 600–612",
    "10.1109/TIP.2003.819861",
)
_KUMAR = ("Shreyamsha Kumar, Signal, Image and Video Processing 7 (2013) 1125–1143", "10.1007/s11760-012-0361-x")


def wrapped_average_gradient(fused: torch.Tensor) -> torch.Tensor:
    """Mean gradient of an image whose right border is joined to its left one, and its lower to its upper one.

    Parameters
    ----------
    fused
        ``(…, H, W)`` in [0, 1].

    Returns
    -------
    torch.Tensor
        ``(…)``, grey levels, 0 to 255·√2.

    Notes
    -----
    Mean of √(Δx² + Δy²) with forward differences, not of √((Δx² + Δy²)/2) as in the textbook.
    """
    across, down = (fused.roll(-1, axis) - fused for axis in (-1, -2))
    return (across * across + down * down).sqrt().mean((-2, -1)) * 255


def _metric(
    name: str,
    title: str,
    summary: str,
    bounds: tuple[float, float],
    source: tuple[str, str],
    function: MetricFunction,
    quality: QualityFunction | None = None,
    *,
    lower_is_better: bool = False,
) -> Metric:
    """Shorthand; ``source`` is reference and DOI."""
    return Metric(MetricInfo(name, title, summary, not lower_is_better, bounds, *source), function, quality)


def _of_fused(function: Callable[[torch.Tensor], torch.Tensor]) -> MetricFunction:
    return lambda fused, ir, visible: function(fused)


def _fmi_metric(name: str, title: str, of: str, function: MetricFunction, quality: QualityFunction | None) -> Metric:
    summary = f"Information that 3×3 windows share with the sources', {of}."
    return _metric(name, title, summary, (0.0, 1.0), _HAGHIGHAT, function, quality)


_TABLE_1 = (
    _fmi_metric(
        "FMI_pixel",
        "Feature mutual information, edges",
        "of thin Sobel edges",
        partial(fmi, feature="edge"),
        fmi_quality("edge", "FMI_pixel"),
    ),
    # coefficients of a transform have no place in the image, and so no map
    _fmi_metric(
        "FMI_dct", "Feature mutual information, DCT", "of the cosine transform", partial(fmi, feature="dct"), None
    ),
    _fmi_metric(
        "FMI_w", "Feature mutual information, wavelet", "of the Meyer wavelet", partial(fmi, feature="wavelet"), None
    ),
    _metric(
        "N_abf",
        "Artefacts",
        "Edges of the fused image that are stronger than in both sources and unlike them.",
        (0.0, 1.0),
        _KUMAR,
        nabf,
        nabf_quality,
        lower_is_better=True,
    ),
    _metric(
        "SSIM_sum",
        "Structural similarity, sum",
        "Likeness of local structure to the sources, added up: the SSIM of the paper's table.",
        (-2.0, 2.0),
        _WANG,
        ssim_sum,
    ),
)

_FURTHER = (
    _metric("SSIM", "Structural similarity", "Half of SSIM_sum.", (-1.0, 1.0), _WANG, ssim, ssim_quality),
    _metric(
        "EN",
        "Entropy",
        "Spread of the grey levels of the fused image, in bits; noise raises it too.",
        (0.0, 8.0),
        ("Roberts, van Aardt, Ahmed, Journal of Applied Remote Sensing 2 (2008) 023522", "10.1117/1.2945910"),
        _of_fused(entropy),
    ),
    _metric(
        "Qabf",
        "Edges kept",
        "Share of the sources' edges that the fused image has.",
        (0.0, 1.0),
        ("Xydeas, Petrović, Electronics Letters 36 (2000) 308–309", "10.1049/el:20000267"),
        qabf,
        qabf_quality,
    ),
    _metric(
        "SCD",
        "Sum of the correlations of differences",
        "Does what is left after taking one source off look like the other?",
        (-2.0, 2.0),
        (
            "Aslantas, Bendes, AEÜ International Journal of Electronics and Communications 69 (2015) 1890–1896",
            "10.1016/j.aeue.2015.09.004",
        ),
        scd,
    ),
    _metric(
        "MEF_MS_SSIM",
        "Multi-exposure fusion similarity",
        "Likeness to the structure that is locally the strongest of both sources, over three scales.",
        (0.0, 1.0),
        ("Ma, Zeng, Wang, IEEE Transactions on Image Processing 24 (2015) 3345–3356", "10.1109/TIP.2015.2442920"),
        mef_ms_ssim,
        mef_ssim_quality,
    ),
    _fmi_metric(
        "FMI_gradient",
        "Feature mutual information, gradient",
        "of horizontal gradients",
        partial(fmi, feature="gradient"),
        fmi_quality("gradient", "FMI_gradient"),
    ),
    _fmi_metric(
        "FMI_none",
        "Feature mutual information, grey levels",
        "of the grey levels themselves",
        partial(fmi, feature="pixel"),
        fmi_quality("pixel", "FMI_none"),
    ),
    _metric(
        "N_abf_255",
        "Artefacts, 8-bit scale",
        "N_abf as it was meant, of grey levels 0 to 255: strong edges count most.",
        (0.0, 1.0),
        _KUMAR,
        partial(nabf, data_range=255.0),
        lower_is_better=True,
    ),
    _metric(
        "MI_true",
        "Mutual information",
        "Information shared with IR plus that shared with visible, in bits.",
        (0.0, 16.0),
        ("Qu, Zhang, Yan, Electronics Letters 38 (2002) 313–315", "10.1049/el:20020212"),
        mutual_information,
    ),
    _metric(
        "CC",
        "Correlation coefficient",
        "Mean correlation with the two sources.",
        (-1.0, 1.0),
        ("Deshmukh, Bhosale, International Journal of Image Processing 4 (2010) 484–508", ""),
        correlation_coefficient,
    ),
    _metric(
        "SD",
        "Standard deviation",
        "Global contrast of the fused image, in grey levels.",
        (0.0, 127.5),
        ("Rao, Measurement Science and Technology 8 (1997) 355–375", "10.1088/0957-0233/8/4/002"),
        _of_fused(standard_deviation),
    ),
    _metric(
        "SF",
        "Spatial frequency",
        "Root mean square difference of neighbouring pixels, in grey levels; noise raises it too.",
        (0.0, 255 * math.sqrt(2)),
        ("Eskicioglu, Fisher, IEEE Transactions on Communications 43 (1995) 2959–2965", "10.1109/26.477498"),
        _of_fused(spatial_frequency),
    ),
    _metric(
        "AG",
        "Average gradient",
        "Mean sharpness, in grey levels per pixel, opposite borders joined; noise raises it too.",
        (0.0, 255 * math.sqrt(2)),
        ("Cui, Feng, Xu, Li, Chen, Optics Communications 341 (2015) 199–209", "10.1016/j.optcom.2014.12.032"),
        _of_fused(wrapped_average_gradient),
    ),
)

PROFILES: dict[str, tuple[Metric, ...]] = {"zhang2022": (*_TABLE_1, *_FURTHER)}
