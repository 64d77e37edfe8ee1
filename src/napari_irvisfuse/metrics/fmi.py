"""FMI: mutual information between features of the fused image and its sources, window by window (Haghighat et al.)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch

from napari_irvisfuse.maps import Map

from .fmi_features import FEATURES, FmiFeature
from .windows import fill_border

__all__ = ["fmi", "fmi_map", "fmi_quality"]

SIDE = 3
"""Of the windows, in pixels."""
CELLS = SIDE * SIDE
_TINY = 1e-300  # keeps log 0 away; added to any other probability it changes nothing
# Windows treated together. On a CPU so few that what is done nine times over stays in its cache, and that PyTorch does
# not hand out such small pieces of work to threads that are slower to wake than the work takes.
_CHUNK_CPU = 3200
_CHUNK_GPU = 1 << 16  # 150 MB altogether


def fmi(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor, feature: FmiFeature = "edge") -> torch.Tensor:
    """Measure how much information on a feature the fused image shares with its sources.

    Parameters
    ----------
    fused, ir, visible
        ``(…, H, W)`` in [0, 1], at least 3×3.
    feature
        What is compared: thin Sobel ``"edge"`` maps (called "pixel" in published tables), the ``"dct"`` of the whole
        image, its ``"wavelet"`` coefficients, the horizontal ``"gradient"``, or the ``"pixel"`` values themselves.

    Returns
    -------
    torch.Tensor
        ``(…)``, 0 to 1 (but for approximations of the joint distribution, which may leave the range by a little);
        higher is better; symmetric in the sources. Mean of :func:`fmi_map`.
    """
    return fmi_map(fused, ir, visible, feature).mean(dim=(-2, -1))


def fmi_map(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor, feature: FmiFeature = "edge") -> torch.Tensor:
    """Return the feature mutual information of every 3×3 window of the feature image.

    Parameters
    ----------
    fused, ir, visible, feature
        As for :func:`fmi`.

    Returns
    -------
    torch.Tensor
        ``(…, h − 2, w − 2)``, the mean over both sources. The feature image has the size of the image, except that of
        the wavelet, and is an image of the scene except those of the DCT and the wavelet.

    Notes
    -----
    The nine values of a window, min–max to [0, 1] and divided by their sum, are taken for the distribution of a place,
    counted column by column. Of two such marginals with Pearson correlation c the joint distribution is
    φ·(comonotone) + (1 − φ)·(independent) for c ≥ 0 and φ·(countermonotone) + (1 − φ)·(independent) for c < 0: the
    Fréchet bounds, with φ such that the mixture correlates as c says. FMI = 2·I/(H_a + H_f), 1 for equal windows.
    Memory is bounded: some MB on a CPU and 150 MB on a GPU beside the images.

    References
    ----------
    Haghighat, Razian: Fast-FMI: non-reference image fusion metric, AICT 2014.
    https://doi.org/10.1109/ICAICT.2014.7036000
    Haghighat, Aghagolzadeh, Seyedarabi: A non-reference image fusion metric based on mutual information of image
    features, Computers & Electrical Engineering 37 (2011). https://doi.org/10.1016/j.compeleceng.2011.07.012
    """
    compute = FEATURES[feature]
    # float64 whatever comes in: differences of entropies, of windows that may be all but flat
    images = torch.stack([compute(image.double()) for image in (fused, ir, visible)])
    planes = images.reshape(3, -1, *images.shape[-2:])
    measure = _of_binary if feature == "edge" else _of_windows
    values = torch.stack([measure(*planes[:, index]) for index in range(planes.shape[1])])
    return values.reshape(*images.shape[1:-2], *values.shape[-2:]).to(fused.dtype)


def fmi_quality(
    feature: FmiFeature, name: str
) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor], Mapping[str, Map[torch.Tensor]]]:
    """Return the function that shows where the information on a feature is kept.

    The map has the size of the image: its outermost pixels, around which there is no whole window, repeat their
    neighbours.
    """

    def quality(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> Mapping[str, Map[torch.Tensor]]:
        data = fill_border(fmi_map(fused, ir, visible, feature), SIDE // 2)
        return {name: Map(data, "weight", f"FMI ({feature})", "quality")}

    return quality


# -- windows -------------------------------------------------------------------------------------------------------


def _windows(plane: torch.Tensor) -> list[torch.Tensor]:
    """Return the nine ``(h − 2, w − 2)`` views whose values form the windows, column by column."""
    height, width = plane.shape[0] - SIDE + 1, plane.shape[1] - SIDE + 1
    return [plane[row : row + height, column : column + width] for column in range(SIDE) for row in range(SIDE)]


def _chunk(device: torch.device) -> int:
    return _CHUNK_CPU if device.type == "cpu" else _CHUNK_GPU


def _of_windows(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Return the values ``(h − 2, w − 2)`` of three planes ``(h, w)``."""
    height, width = fused.shape
    planes = [plane.flatten() for plane in (fused, ir, visible)]
    # One window per pixel of the first h − 2 rows, in one go from row to row. The last two of each row reach around
    # into the next one: they are computed for nothing, and dropped.
    count = (height - SIDE + 1) * width
    result = torch.zeros(count, dtype=fused.dtype, device=fused.device)
    offsets = [row * width + column for column in range(SIDE) for row in range(SIDE)]
    bounds = [*range(0, count - SIDE + 1, _chunk(fused.device)), count - SIDE + 1]

    def measure(first: int, last: int) -> torch.Tensor:
        f, a, b = (_marginal(torch.stack([plane[first + o : last + o] for o in offsets])) for plane in planes)
        return (_pair(f, a) + _pair(f, b)) / 2

    with ThreadPoolExecutor(torch.get_num_threads() if fused.device.type == "cpu" else 1) as pool:
        torch.cat([*pool.map(measure, bounds[:-1], bounds[1:])], out=result[: count - SIDE + 1])
    return result.view(-1, width)[:, : width - SIDE + 1]


def _of_binary(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Do the same for planes of 0 and 1, of which there are only 512 windows: every pair is computed once."""
    f, *sources = (_code(plane) for plane in (fused, ir, visible))
    pairs = torch.stack([(f << CELLS) + source for source in sources])
    seen = torch.zeros(1 << 2 * CELLS, dtype=torch.bool, device=fused.device)
    seen[pairs.flatten()] = True
    found = seen.nonzero().flatten()
    table = torch.zeros(len(seen), dtype=fused.dtype, device=fused.device)
    bit = 1 << torch.arange(CELLS, device=fused.device)[:, None]
    for first in range(0, len(found), _chunk(fused.device)):
        some = found[first : first + _chunk(fused.device)]
        table[some] = _pair(*(_marginal((code & bit).ne(0).to(fused.dtype)) for code in (some >> CELLS, some)))
    return table[pairs].mean(dim=0)


def _code(plane: torch.Tensor) -> torch.Tensor:
    """Write each window of a plane of 0 and 1 as a number of nine bits, ``(h − 2, w − 2)``."""
    views = _windows(plane.long())
    code = torch.zeros_like(views[0])
    for bit, view in enumerate(views):
        code.add_(view, alpha=1 << bit)
    return code


# -- one chunk -----------------------------------------------------------------------------------------------------


class _Marginal(NamedTuple):
    """Of ``n`` windows: all ``(9, n)`` or ``(n)``."""

    values: torch.Tensor
    flat: torch.Tensor
    share: torch.Tensor
    cumulated: torch.Tensor
    centred: torch.Tensor
    energy: torch.Tensor
    spread: torch.Tensor
    entropy: torch.Tensor


def _marginal(values: torch.Tensor) -> _Marginal:
    lowest, highest = values.amin(dim=0), values.amax(dim=0)
    flat = highest == lowest
    share = torch.where(flat, 1, (values - lowest) / torch.where(flat, 1, highest - lowest))
    share /= share.sum(dim=0)
    place = torch.arange(1, CELLS + 1, dtype=values.dtype, device=values.device)[:, None]
    mean = (place * share).sum(dim=0)
    spread = ((place * place * share).sum(dim=0) - mean * mean).clamp_min(0).sqrt()
    centred = share - share.mean(dim=0)
    entropy = -(share * (share + _TINY).log2()).sum(dim=0)
    return _Marginal(values, flat, share, share.cumsum(dim=0), centred, (centred * centred).sum(dim=0), spread, entropy)


def _pair(f: _Marginal, a: _Marginal) -> torch.Tensor:
    """Return FMI(a, f) of ``n`` windows."""
    information = f.entropy + a.entropy - _joint_entropy(f, a)
    total = f.entropy + a.entropy
    # Entropies are both 0 for two single points, which share nothing.
    value = 2 * information / torch.where(total == 0, 1, total)
    # All flat windows have one and the same distribution, whatever their level: like equal windows they share all.
    return torch.where((f.values == a.values).all(dim=0) | (f.flat & a.flat), 1, value)


def _joint_entropy(f: _Marginal, a: _Marginal) -> torch.Tensor:
    """Return the entropy of the joint distribution, in bits.

    With M(i,j) = min(F_f(i), G(j)) both bounds have the form ±ΔᵢΔⱼM: the upper one with G = F_a, the lower one,
    max(F_f + F_a − 1, 0) = F_f − min(F_f, 1 − F_a), with G = 1 − F_a and a minus. G(0) belongs to an empty sum.
    """
    covariance = (f.centred * a.centred).sum(dim=0)
    energy = f.energy * a.energy
    correlation = torch.where(covariance == 0, 0, covariance / torch.where(energy == 0, 1, energy).sqrt())
    negative = correlation < 0
    start = negative.to(f.share.dtype)
    sign = 1 - 2 * start
    bound = torch.cat([start[None], torch.where(negative, 1 - a.cumulated, a.cumulated)])

    minimum = torch.empty_like(bound)
    summed = torch.zeros_like(a.share)
    for i in range(CELLS):
        summed += torch.minimum(f.cumulated[i], bound, out=minimum)[1:]
    upper = summed.sum(dim=0)
    f_sum, a_sum = f.cumulated.sum(dim=0), a.cumulated.sum(dim=0)
    extreme = torch.where(negative, CELLS * f_sum - upper, upper) - f_sum * a_sum
    spread = f.spread * a.spread
    degenerate = (spread == 0) | (extreme == 0)
    phi = torch.where(degenerate, 0, correlation * spread / torch.where(degenerate, 1, extreme))
    independent, signed = (1 - phi) * f.share, sign * phi

    before, after = torch.zeros_like(a.share), torch.empty_like(a.share)
    joint, logarithm = torch.empty_like(a.share), torch.empty_like(a.share)
    entropy = torch.zeros_like(a.share)
    for i in range(CELLS):
        torch.minimum(f.cumulated[i], bound, out=minimum)
        torch.sub(minimum[1:], minimum[:-1], out=after)
        torch.mul(a.share, independent[i], out=joint)
        before.sub_(after).mul_(signed)
        joint.sub_(before)
        torch.abs(joint, out=logarithm).add_(_TINY).log2_()
        entropy.addcmul_(joint, logarithm, value=-1)
        before, after = after, before
    return entropy.sum(dim=0)
