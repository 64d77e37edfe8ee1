"""ConvSR and CBF: the sparse coder against SPORCO's ConvBPDN on the same image, and both methods as a whole.

    python benchmarks/convsr.py            # 768×576
    python benchmarks/convsr.py 359 247    # another width and height

Prints ratios, asserts nothing. Says so if SPORCO is not installed (``pip install sporco``: only this script uses it)
and measures the rest.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import warnings
from collections.abc import Callable

import numpy as np
import torch

import napari_irvisfuse as nif
from _measure import in_turn, machine, own_peak_memory, peak_memory, ratio
from napari_irvisfuse.images.lowpass import tikhonov_lowpass
from napari_irvisfuse.images.pair import ImagePair
from napari_irvisfuse.samples.scene import colour_pair
from napari_irvisfuse.sparse.convolutional import CodingOptions, sparse_code
from napari_irvisfuse.sparse.dictionaries import load_dictionary

SPARSITY, PENALTY, ITERATIONS = 0.01, 1.5, 20


def image(height: int, width: int) -> torch.Tensor:
    """Return the visible sample's high frequencies, ``(1, 1, H, W)``."""
    luma = torch.from_numpy(ImagePair.from_images(*colour_pair(height, width)).visible)[None, None]
    return luma - tikhonov_lowpass(luma, 5.0)


def ours(detail: torch.Tensor, iterations: int, tolerance: float) -> Callable[[], torch.Tensor]:
    options = CodingOptions(SPARSITY, PENALTY, iterations, tolerance)
    return lambda: sparse_code(detail, load_dictionary("convsr"), options)[0].dense()


def sporco(detail: torch.Tensor, iterations: int, tolerance: float) -> Callable[[], torch.Tensor]:
    """ConvBPDN with its defaults for ρ, relaxation and residuals, and without the statistics that it can print."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sporco.admm.cbpdn import ConvBPDN

    filters = np.moveaxis(load_dictionary("convsr").numpy(), 0, 2).copy()
    options = ConvBPDN.Options(
        {"FastSolve": True, "MaxMainIter": iterations, "RelStopTol": tolerance, "rho": PENALTY, "Verbose": False}
    )

    def run() -> torch.Tensor:
        solver = ConvBPDN(filters, detail[0, 0].numpy(), SPARSITY, options)
        solver.solve()
        return torch.from_numpy(np.moveaxis(solver.Y.squeeze(), 2, 0).copy())

    return run


def objective(maps: torch.Tensor, detail: torch.Tensor) -> float:
    spectrum = torch.fft.rfft2(load_dictionary("convsr"), s=detail.shape[-2:]) * torch.fft.rfft2(maps)
    left = detail[0, 0] - torch.fft.irfft2(spectrum.sum(0), s=detail.shape[-2:])
    return float(left.square().sum() / 2 + SPARSITY * maps.abs().sum())


def only_peak_memory(which: str, height: int, width: int) -> None:
    """Run one coder once; the caller reads this process's peak memory."""
    detail = torch.rand(1, 1, height, width) * 0.1  # to make the sample takes more memory than to code it
    if which != "nothing":
        {"ours": ours, "sporco": sporco}[which](detail, 3, 0.0)()
    print(own_peak_memory())


@torch.inference_mode()
def main(height: int, width: int) -> None:
    detail = image(height, width)
    there = importlib.util.find_spec("sporco") is not None
    coders = {"ours": ours, **({"sporco": sporco} if there else {})}
    print(f"# Coding {width}×{height} with 32 filters 8×8, {ITERATIONS} iterations\n\n{machine()}\n")
    if not there:
        print("SPORCO is not installed (pip install sporco): nothing to compare with.\n")
    seconds = in_turn({name: coder(detail, ITERATIONS, 0.0) for name, coder in coders.items()}, rounds=3)
    nothing = peak_memory(__file__, f"nothing,{height},{width}")
    print("| coder | median ms per iteration | sporco / coder | peak memory above the imports, MB |\n|---|---|---|---|")
    for name, values in seconds.items():
        compared = f"{ratio(seconds['sporco'], values):.1f}" if there else "–"
        memory = peak_memory(__file__, f"{name},{height},{width}") - nothing
        print(f"| {name} | {statistics.median(values) / ITERATIONS * 1e3:.0f} | {compared} | {memory:.0f} |")
    if there:
        mine, theirs = (coder(detail, ITERATIONS, 0.0)() for coder in coders.values())
        print(f"\nthe maps differ by {(mine - theirs).norm() / theirs.norm():.1e} of their norm;", end=" ")
        print(f"objective {objective(mine, detail):.6g} and {objective(theirs, detail):.6g}")

    pair = ImagePair.from_images(*colour_pair(height, width))
    whole = in_turn(
        {
            "cbf": lambda: nif.FusionSession(pair).fuse("cbf"),
            "convsr": lambda: nif.FusionSession(pair).fuse("convsr"),
        },
        rounds=2,
    )
    print("\n# Whole methods\n")
    for name, values in whole.items():
        print(f"{name}: {statistics.median(values):.2f} s")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        which, rows, columns = sys.argv[1].split(",")
        only_peak_memory(which, int(rows), int(columns))
    else:
        main(*(int(argument) for argument in (sys.argv[2:0:-1] or (576, 768))))
