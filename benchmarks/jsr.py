"""JSR: matching pursuit against scikit-learn's on the same patches, and a whole 768×576 pair; all in one run.

    python benchmarks/jsr.py [--small]

Prints ratios, asserts nothing. Needs scikit-learn. ``--small`` leaves the whole pair out.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from itertools import pairwise

import numpy as np
import torch
from sklearn.linear_model import orthogonal_mp_gram

import napari_irvisfuse as nif
from _measure import in_turn, machine, own_peak_memory, peak_memory, ratio
from napari_irvisfuse.algorithms import get_method
from napari_irvisfuse.devices import choose
from napari_irvisfuse.images.pair import ImagePair
from napari_irvisfuse.runtime import Runtime
from napari_irvisfuse.samples.scene import colour_pair
from napari_irvisfuse.sparse.dictionaries import load_dictionary
from napari_irvisfuse.sparse.omp import joint_omp
from napari_irvisfuse.sparse.patches import sample

SIZE = (576, 768)
PATCHES, SPARSITY = 4000, 16


def patches(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    pair = ImagePair.from_images(*colour_pair(*SIZE), dtype=np.float64)
    both = (torch.from_numpy(image).to(dtype) for image in (pair.ir, pair.visible))
    first, second = (sample(image, 7, PATCHES, torch.Generator().manual_seed(0)) for image in both)
    return first, second


def joint_dictionary(atoms: np.ndarray) -> np.ndarray:
    half, nothing = atoms / math.sqrt(2), np.zeros_like(atoms)
    return np.block([[half, half], [atoms, nothing], [nothing, atoms]])


def matching_pursuit() -> None:
    atoms = load_dictionary("jsr").flatten(1).double()
    atoms /= atoms.norm(dim=1, keepdim=True)
    first, second = patches(torch.float64)
    joint = joint_dictionary(atoms.numpy())
    gram, signals = joint @ joint.T, torch.cat([first, second], 1).numpy()

    def theirs() -> np.ndarray:
        return orthogonal_mp_gram(gram, joint @ signals.T, n_nonzero_coefs=SPARSITY).T

    def ours(dtype: torch.dtype = torch.float64) -> torch.Tensor:
        a, b, c = (item.to(dtype) for item in (first, second, atoms))
        return joint_omp(a, b, c, SPARSITY).dense(3 * len(atoms))

    seconds = in_turn({"scikit-learn": theirs, "float64": ours, "float32": lambda: ours(torch.float32)})
    print(f"# Matching pursuit, {PATCHES} pairs of patches, {SPARSITY} of {len(joint)} atoms\n\n{machine()}\n")
    print("| path | median seconds | scikit-learn / path |\n|---|---|---|")
    for name, values in seconds.items():
        print(f"| {name} | {statistics.median(values):.3f} | {ratio(seconds['scikit-learn'], values):.1f} |")
    reference = theirs() @ joint
    for name, dtype in (("float64", torch.float64), ("float32", torch.float32)):
        # codes that are equal but for rounding errors are told apart by nothing but what they mean
        difference = np.abs(ours(dtype).double().numpy() @ joint - reference).max(1)
        print(f"{name}: {(difference < 1e-5).mean():.2%} of the coded patches are scikit-learn's within 1e-5")


def whole_pair() -> None:
    pair = ImagePair.from_images(*colour_pair(*SIZE))
    print(
        f"\n# Whole pair, {SIZE[1]}×{SIZE[0]}\n\n| method | to code, s | to weigh again, s | longest wait to stop, s |"
    )
    print("|---|---|---|---|")
    for name in ("jsr", "jsrsd"):
        method, times = get_method(name), []

        def asked(times: list[float] = times) -> bool:
            times.append(time.perf_counter())
            return False

        runtime = Runtime(choose("cpu", "float32"), cancelled=asked)
        ir, visible = (torch.from_numpy(image)[None, None] for image in (pair.ir, pair.visible))
        with torch.inference_mode():
            start = time.perf_counter()
            state = method.analyse(ir, visible, method.parameters(), runtime)
            coded = time.perf_counter()
            method.combine(state, method.parameters(), runtime)
            done = time.perf_counter()
        wait = max(b - a for a, b in pairwise(times))
        print(f"| {name} | {coded - start:.1f} | {done - coded:.2f} | {wait:.2f} |")
    nothing = peak_memory(__file__, "nothing")
    print(f"\npeak memory of jsr above the imports ({nothing:.0f} MB): {peak_memory(__file__, 'jsr') - nothing:.0f} MB")


def only_peak_memory(which: str) -> None:
    """Run one path once; the caller reads this process's peak memory."""
    pair = ImagePair.from_images(*colour_pair(*SIZE))
    if which != "nothing":
        nif.FusionSession(pair, device="cpu").fuse(which)
    print(own_peak_memory())


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] != "--small":
        only_peak_memory(sys.argv[1])
    else:
        matching_pursuit()
        if "--small" not in sys.argv:
            whole_pair()
