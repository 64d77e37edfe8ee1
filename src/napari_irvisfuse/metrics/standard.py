"""The ``standard`` profile: textbook definitions, in the order of the table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch

from napari_irvisfuse.maps import Map
from napari_irvisfuse.types import MapKind

from .base import Metric, MetricFunction, MetricInfo, QualityFunction
from .chen import QCV_BLOCK, qcb, qcb_map, qcv, qcv_map
from .contrast import average_gradient, edge_intensity, sobel_magnitude, spatial_frequency, standard_deviation
from .correlation import correlation_coefficient
from .fidelity import SSIM_RADIUS, ms_ssim, psnr, ssim, ssim_map, ssim_sum
from .fmi import fmi, fmi_quality
from .fmi_features import FmiFeature
from .information import entropy, mutual_information, normalised_mutual_information
from .petrovic import edge_shares, labf, nabf, qabf
from .scd import scd
from .vif import vif, vif_of_pair, viff
from .windows import fill_border

__all__ = ["PROFILES"]

_INFINITE = math.inf
_WANG = (
    "Wang, Bovik, Sheikh, Simoncelli, IEEE Transactions on Image Processing 13 (2004) 600–612",
    "10.1109/TIP.2003.819861",
)
_FEATURES: dict[FmiFeature, str] = {
    "pixel": "grey levels",
    "gradient": "horizontal gradients",
    "edge": "thin Sobel edges",
    "dct": "the cosine transform",
    "wavelet": "the wavelet transform",
}


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


def _vif_ir(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    return vif_of_pair(fused, ir)


def _vif_visible(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    return vif_of_pair(fused, visible)


def _mapped(name: str, function: MetricFunction, kind: MapKind, title: str, stride: int = 1) -> QualityFunction:
    def quality(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> Mapping[str, Map[torch.Tensor]]:
        return {name: Map(function(fused, ir, visible), kind, title, "quality", stride)}

    return quality


def _ssim_maps(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> Mapping[str, Map[torch.Tensor]]:
    # windows lie inside the image: the five outermost pixels repeat their neighbours
    of_ir, of_visible = (fill_border(ssim_map(fused, source), SSIM_RADIUS) for source in (ir, visible))
    return {
        "SSIM_ir": Map(of_ir, "signed", "Similar to IR (SSIM)", "quality"),
        "SSIM_visible": Map(of_visible, "signed", "Similar to visible (SSIM)", "quality"),
    }


_FUSED_ALONE = (
    _metric(
        "EN",
        "Entropy",
        "Spread of the grey levels of the fused image, in bits; noise raises it too.",
        (0.0, 8.0),
        ("Roberts, van Aardt, Ahmed, Journal of Applied Remote Sensing 2 (2008) 023522", "10.1117/1.2945910"),
        _of_fused(entropy),
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
        "Mean sharpness, in grey levels per pixel; noise raises it too.",
        (0.0, 255.0),
        ("Cui, Feng, Xu, Li, Chen, Optics Communications 341 (2015) 199–209", "10.1016/j.optcom.2014.12.032"),
        _of_fused(average_gradient),
    ),
    _metric(
        "EI",
        "Edge intensity",
        "Mean magnitude of the Sobel gradient, in grey levels; noise raises it too.",
        (0.0, 255 * math.sqrt(20)),
        ("Rajalingam, Priya, International Journal of Engineering Science Invention 2 (2018) 52–60", ""),
        _of_fused(edge_intensity),
        _mapped("EI", _of_fused(sobel_magnitude), "energy", "Edges of the fused image (EI)"),
    ),
)

_INFORMATION = (
    _metric(
        "MI",
        "Mutual information",
        "Information shared with IR plus that shared with visible, in bits.",
        (0.0, 16.0),
        ("Qu, Zhang, Yan, Electronics Letters 38 (2002) 313–315", "10.1049/el:20020212"),
        mutual_information,
    ),
    _metric(
        "NMI",
        "Normalised mutual information",
        "Mutual information as a share of what both images of each pair hold.",
        (0.0, 2.0),
        ("Hossny, Nahavandi, Creighton, Electronics Letters 44 (2008) 1066–1067", "10.1049/el:20081754"),
        normalised_mutual_information,
    ),
    *(
        _metric(
            f"FMI_{feature}",
            f"Feature mutual information, {feature}",
            f"Information that 3×3 windows share with the sources', {of} taken for the feature.",
            (0.0, 1.0),
            ("Haghighat, Razian, AICT 2014 (Fast-FMI)", "10.1109/ICAICT.2014.7036000"),
            partial(fmi, feature=feature),
            # coefficients of a transform have no place in the image
            None if feature in ("dct", "wavelet") else fmi_quality(feature, f"FMI_{feature}"),
        )
        for feature, of in _FEATURES.items()
    ),
)

_FIDELITY = (
    _metric(
        "CC",
        "Correlation coefficient",
        "Mean correlation with the two sources.",
        (-1.0, 1.0),
        ("Deshmukh, Bhosale, International Journal of Image Processing 4 (2010) 484–508", ""),
        correlation_coefficient,
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
        "PSNR",
        "Peak signal-to-noise ratio",
        "Closeness to both sources pixel by pixel, in dB; highest for their plain mean.",
        (0.0, _INFINITE),
        ("Jagalingam, Hegde, Aquatic Procedia 4 (2015) 133–142", "10.1016/j.aqpro.2015.02.019"),
        psnr,
    ),
    _metric(
        "SSIM",
        "Structural similarity",
        "Likeness of local structure to the sources, mean of the two.",
        (-1.0, 1.0),
        _WANG,
        ssim,
        _ssim_maps,
    ),
    _metric(
        "SSIM_sum", "Structural similarity, sum", "Twice SSIM, as many tables print it.", (-2.0, 2.0), _WANG, ssim_sum
    ),
    _metric(
        "MS_SSIM",
        "Multi-scale structural similarity",
        "Likeness of structure over five scales, mean of the two; none below 161 pixels.",
        (0.0, 1.0),
        (
            "Wang, Simoncelli, Bovik, Asilomar Conference on Signals, Systems and Computers 2003, 1398–1402",
            "10.1109/ACSSC.2003.1292216",
        ),
        ms_ssim,
    ),
    *(
        _metric(
            name,
            f"Visual information fidelity{suffix}",
            f"Visual information left of {of}; none below 41 pixels.",
            (0.0, _INFINITE),
            (
                "Sheikh, Bovik, IEEE Transactions on Image Processing 15 (2006) 430–444 (pixel domain)",
                "10.1109/TIP.2005.859378",
            ),
            function,
        )
        for name, suffix, of, function in (
            ("VIF", "", "both sources, added up", vif),
            ("VIF_ir", ", IR", "the IR image", _vif_ir),
            ("VIF_visible", ", visible", "the visible image", _vif_visible),
        )
    ),
    _metric(
        "VIFF",
        "Visual information fidelity for fusion",
        "Visual information left of the source that is preserved less, window by window; none below 41 pixels.",
        (0.0, _INFINITE),
        ("Han, Cai, Cao, Xu, Information Fusion 14 (2013) 127–135", "10.1016/j.inffus.2011.08.002"),
        viff,
    ),
)

_EDGES = (
    _metric(
        "Qabf",
        "Edges kept",
        "Share of the sources' edges that the fused image has.",
        (0.0, 1.0),
        ("Xydeas, Petrović, Electronics Letters 36 (2000) 308–309", "10.1049/el:20000267"),
        qabf,
        _mapped("Qabf", lambda *images: edge_shares(*images).kept, "weight", "Edges kept (Qabf)"),
    ),
    _metric(
        "Labf",
        "Edges lost",
        "Share of the sources' edges that the fused image has lost.",
        (0.0, 1.0),
        ("Petrović, Xydeas, ICCV 2005, 1866–1871", "10.1109/ICCV.2005.175"),
        labf,
        _mapped("Labf", lambda *images: edge_shares(*images).lost, "weight", "Edges lost (Labf)"),
        lower_is_better=True,
    ),
    _metric(
        "Nabf",
        "Edges invented",
        "Share of the sources' edges that gave way to stronger ones of neither: artefacts.",
        (0.0, 1.0),
        ("Shreyamsha Kumar, Signal, Image and Video Processing 7 (2013) 1125–1143", "10.1007/s11760-012-0361-x"),
        nabf,
        _mapped("Nabf", lambda *images: edge_shares(*images).invented, "weight", "Edges invented (Nabf)"),
        lower_is_better=True,
    ),
)

_PERCEPTION = (
    _metric(
        "Qcb",
        "Perceived contrast kept",
        "Share of the visible local contrast of the sources that the fused image has.",
        (0.0, 1.0),
        ("Chen, Blum, Image and Vision Computing 27 (2009) 1421–1432", "10.1016/j.imavis.2007.12.002"),
        qcb,
        _mapped("Qcb", qcb_map, "weight", "Contrast kept (Qcb)"),
    ),
    _metric(
        "Qcv",
        "Perceived difference",
        "Squared visible difference from the sources, most where they have edges, in grey levels squared.",
        (0.0, _INFINITE),
        ("Chen, Varshney, Information Fusion 8 (2007) 193–207", "10.1016/j.inffus.2005.10.001"),
        qcv,
        _mapped("Qcv", qcv_map, "energy", "Perceived difference (Qcv)", QCV_BLOCK),
        lower_is_better=True,
    ),
)

PROFILES = {"standard": (*_FUSED_ALONE, *_INFORMATION, *_FIDELITY, *_EDGES, *_PERCEPTION)}
