"""All metrics of ``zhang2022`` on a 768×576 pair: seconds, memory, and FMI against loops; all in one run.

    python benchmarks/metrics.py

Prints seconds and ratios, asserts nothing.
"""

from __future__ import annotations

import math
import statistics
import sys

import numpy as np
import torch

from _measure import in_turn, machine, own_peak_memory, peak_memory, ratio
from napari_irvisfuse.metrics import evaluate, metrics_of
from napari_irvisfuse.metrics.fmi import fmi
from napari_irvisfuse.samples.scene import grey_pair

PROFILE = "zhang2022"
SIZE = (576, 768)
SMALL = (64, 64)


def average_of_scene(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sample scene fused with the plain average, and the scene."""
    ir, visible = grey_pair(height, width)
    return np.floor((ir.astype(np.float64) + visible) / 2 + 0.5).astype(np.uint8), ir, visible


# -- the straightforward port --------------------------------------------------------------------------------------


def window_by_loops(a: np.ndarray, f: np.ndarray) -> float:
    """FMI of two 3×3 windows as one transcribes it: loops over the 81 cells of the joint distribution."""
    if (a == f).all():
        return 1.0
    shares = []
    for window in (a, f):
        values = window.T.ravel()
        low, high = values.min(), values.max()
        values = np.ones(9) if low == high else (values - low) / (high - low)
        shares.append(values / values.sum())
    p, q = shares
    x, y = p - p.mean(), q - q.mean()
    c = 0.0 if (x * y).sum() == 0 else (x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum())
    place = np.arange(1, 10)
    spread = [math.sqrt(max((place**2 * s).sum() - (place * s).sum() ** 2, 0)) for s in shares]
    u, v = (np.concatenate([[0], s.cumsum()]) for s in shares)
    bound = [[min(u[i], v[j]) if c >= 0 else max(u[i] + v[j] - 1, 0) for j in range(10)] for i in range(10)]
    excess = sum(bound[i][j] - u[i] * v[j] for i in range(1, 10) for j in range(1, 10))
    phi = 0.0 if c == 0 or 0 in spread else c * spread[0] * spread[1] / excess
    joint = 0.0
    for i in range(1, 10):
        for j in range(1, 10):
            mass = bound[i][j] - bound[i - 1][j] - bound[i][j - 1] + bound[i - 1][j - 1]
            share = phi * mass + (1 - phi) * p[i - 1] * q[j - 1]
            if share:
                joint -= share * math.log2(abs(share))
    alone = sum(-(s[s > 0] * np.log2(s[s > 0])).sum() for s in shares)
    return 2 * (alone - joint) / alone if alone else 0.0


def fmi_by_loops(fused: np.ndarray, ir: np.ndarray, visible: np.ndarray) -> float:
    """Return FMI of the grey levels, mean over all windows."""
    values = []
    for i, j in np.ndindex(fused.shape[0] - 2, fused.shape[1] - 2):
        f, a, b = (image[i : i + 3, j : j + 3] for image in (fused, ir, visible))
        values.append((window_by_loops(a, f) + window_by_loops(b, f)) / 2)
    return statistics.fmean(values)


# -- measuring -----------------------------------------------------------------------------------------------------


def only_peak_memory(which: str) -> None:
    """Evaluate once; the caller reads this process's peak memory."""
    # noise: drawing the scene needs more memory than measuring it
    images = np.random.default_rng(0).integers(0, 256, (3, *SIZE)).astype(np.uint8)
    metrics_of(PROFILE)
    evaluate(*images[:, :64, :64], PROFILE)  # what libraries load on first use
    if which != "nothing":
        evaluate(*images, PROFILE, None if which == "all" else which)
    print(own_peak_memory())


@torch.inference_mode()
def main() -> None:
    images = average_of_scene(*SIZE)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    fused, ir, visible = (torch.from_numpy(image / 255.0).to(device) for image in images)
    runs = {"everything": lambda: evaluate(*images, PROFILE)}
    runs |= {
        name: (lambda function=metric.function: function(fused, ir, visible))
        for name, metric in metrics_of(PROFILE).items()
    }
    seconds = in_turn(runs)
    print(f"# Metrics of {PROFILE}, {SIZE[1]}×{SIZE[0]}, float64\n\n{machine()}\n")
    print("| metric | median seconds | best |\n|---|---|---|")
    for name, values in seconds.items():
        print(f"| {name} | {statistics.median(values):.3f} | {min(values):.3f} |")

    nothing = peak_memory(__file__, "nothing")
    print(f"\n| metric | peak memory above the imports ({nothing:.0f} MB), MB |\n|---|---|")
    for which in ("all", "FMI_pixel", "FMI_w", "FMI_none", "MEF_MS_SSIM"):
        print(f"| {which} | {peak_memory(__file__, which) - nothing:.0f} |")

    small = [image / 255.0 for image in average_of_scene(*SMALL)]
    tensors = [torch.from_numpy(image) for image in small]
    race = in_turn({"loops": lambda: fmi_by_loops(*small), "ours": lambda: fmi(*tensors, "pixel")}, rounds=3)
    windows = (SMALL[0] - 2) * (SMALL[1] - 2)
    print(f"\nFMI_none on {SMALL[1]}×{SMALL[0]}: {statistics.median(race['loops']):.2f} s in loops,", end=" ")
    print(
        f"{statistics.median(race['ours']) * 1e3:.1f} ms ours, ratio {ratio(race['loops'], race['ours']):.0f};", end=" "
    )
    print(f"{statistics.median(race['loops']) / windows * 1e6:.0f} µs a window in loops,", end=" ")
    at_size = statistics.median(seconds["FMI_none"]) / ((SIZE[0] - 2) * (SIZE[1] - 2))
    print(f"{at_size * 1e6:.2f} µs ours at {SIZE[1]}×{SIZE[0]}")
    print(f"difference {abs(fmi_by_loops(*small) - fmi(*tensors, 'pixel').item()):.1e}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        only_peak_memory(sys.argv[1])
    else:
        main()
