"""What to put outside of the overlap, where there is no infrared image: methods see it, results do not show it.

    python benchmarks/overlap.py [--pairs 8] [--methods rdn,wls,cbf]

Of real, aligned pairs (``msrs`` in ``IRVISFUSE_DATA``, or else ``../shared/data`` beside this repository) the infrared
image is cut to its middle, filled in several ways, and fused. Printed is how far the result is, inside of the overlap,
from that of the whole image: the root of the mean square in grey levels, in the 16 pixels at the border and everywhere.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt

import napari_irvisfuse as nif
from napari_irvisfuse.evaluation.files import pair_files
from napari_irvisfuse.images.resampling import fill_from_nearest

Array = np.ndarray
BORDER = 16


def shifted(ir: Array, visible: Array, seen: Array) -> Array:
    """Return the visible luma, lifted at the border to meet the infrared image there, less so further out."""
    offset = fill_from_nearest(ir - visible, seen)
    return visible + np.exp(-distance_transform_edt(~seen) / 32) * offset


def faded(ir: Array, visible: Array, seen: Array) -> Array:
    """Return the nearest infrared value at the border, the visible luma further out."""
    share = np.exp(-distance_transform_edt(~seen) / 8)
    return share * fill_from_nearest(ir, seen) + (1 - share) * visible


FILLINGS: Mapping[str, Callable[[Array, Array, Array], Array]] = {
    "nearest value": lambda ir, visible, seen: fill_from_nearest(ir, seen),
    "visible luma": lambda ir, visible, seen: visible,
    "visible luma, shifted": shifted,
    "nearest, faded into visible": faded,
    "mean": lambda ir, visible, seen: np.full_like(ir, ir[seen].mean()),
}


def main() -> None:
    """Print one line for every method and filling."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--methods", default="rdn,wls,cbf")
    arguments = parser.parse_args()
    data = Path(os.environ.get("IRVISFUSE_DATA") or Path(__file__).resolve().parents[2] / "shared/data")
    pairs = [
        nif.ImagePair.from_images(files.ir, files.visible)
        for files in pair_files(data / "msrs/ir", data / "msrs/vi", {}).pairs[: arguments.pairs]
    ]
    print(f"{'method':10} {'outside of the overlap':28} {'at the border':>14} {'everywhere':>11}")
    for method in arguments.methods.split(","):
        errors: dict[str, list[tuple[float, float]]] = {name: [] for name in FILLINGS}
        for pair in pairs:
            height, width = pair.shape
            seen = np.zeros(pair.shape, bool)
            seen[height // 5 : -height // 5, width // 6 : -width // 4] = True
            border = seen & (distance_transform_edt(seen) <= BORDER)
            whole = nif.FusionSession(pair).fuse(method, output="luma", maps=False).fused.astype(float)
            for name, fill in FILLINGS.items():
                ir = np.where(seen, pair.ir, np.clip(fill(pair.ir, pair.visible, seen), 0, 1)).astype(np.float32)
                cut = nif.FusionSession(replace(pair, ir=ir, valid=seen)).fuse(method, output="luma", maps=False).fused
                off = (cut - whole) ** 2
                errors[name].append((float(np.sqrt(off[border].mean())), float(np.sqrt(off[seen].mean()))))
        for name, found in errors.items():
            at_border, everywhere = np.mean(found, axis=0)
            print(f"{method:10} {name:28} {at_border:14.2f} {everywhere:11.2f}", flush=True)


if __name__ == "__main__":
    main()
