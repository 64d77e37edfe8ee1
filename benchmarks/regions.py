"""How long it takes until a part of a large image is fused, against all of it, and how far the two differ.

    python benchmarks/regions.py [--size 4096] [--view 512] [--methods rdn,wls] [--rounds 3] [--pairs FOLDER]

On the synthetic scene, tiled to the size asked for, with the infrared image at half the resolution, so that it has to
be resampled. Printed per method: seconds for the whole image; for a view as the first thing that is fused (both images
are looked at for their windows); for the view after it was moved (the session knows the windows), also with its maps;
and for another value of a live parameter. ``--pairs`` names a folder with ``ir`` and ``vi``: then the differences of
regions to the same part of the whole image are printed, of all methods that can be run here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import napari_irvisfuse as nif
from _measure import in_turn, machine, ratio
from napari_irvisfuse.algorithms import get_method
from napari_irvisfuse.evaluation.files import pair_files
from napari_irvisfuse.samples.scene import colour_pair
from napari_irvisfuse.weights import store

LIVE = {
    "wls": ("detail_gain", (1.0, 1.5)),
    "cbf": ("covariance_window", (5, 7)),
    "resnet152": ("base_weight_ir", (0.6, 0.5)),
}


def large_pair(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return infrared ``(size/2, size/2)`` and visible ``(size, size, 3)``, uint8."""
    ir, visible = colour_pair()
    times = [-(-size // side) for side in visible.shape[:2]]
    visible, ir = np.tile(visible, (*times, 1))[:size, :size], np.tile(ir, times)[:size, :size]
    return ir[::2, ::2].copy(), visible.copy()


def time_views(method: str, size: int, view: int, rounds: int) -> None:
    """Print one line of seconds and ratios."""
    ir, visible = large_pair(size)
    middle = (size - view) // 2

    def source() -> nif.PairSource:
        return nif.PairSource.from_images(ir, visible, ir_to_visible="fit")

    def at(shift: int) -> nif.Region:
        return nif.Region(middle, middle, middle + view, middle + view).moved(shift, shift)

    session, moves, live = nif.FusionSession(source()), iter(range(10_000)), nif.FusionSession(source())
    name, values = LIVE.get(method, ("", ()))
    live.fuse(method, region=at(0))
    candidates = {
        "whole": lambda: nif.FusionSession(source()).fuse(method, maps=False),
        "first": lambda: nif.FusionSession(source()).fuse(method, region=at(0), maps=False),
        "moved": lambda: session.fuse(method, region=at(32 * (next(moves) % 8)), maps=False),
        "with maps": lambda: session.fuse(method, region=at(32 * (next(moves) % 8))),
    }
    if name:
        candidates["live"] = lambda: live.fuse(method, region=at(0), **{name: values[next(moves) % 2]})
    seconds = in_turn(candidates, rounds)
    print(f"{method}:", end="")
    for key, found in seconds.items():
        times = "" if key == "whole" else f" (1/{ratio(seconds['whole'], found):.0f})"
        print(f"  {key} {min(found):.3f} s{times}", end="")
    print(flush=True)


def differences(folder: Path, count: int) -> None:
    """Print how far regions are from the same part of the whole image, in levels of 255."""
    files = pair_files(folder / "ir", folder / "vi", {}).pairs[:count]
    for method in nif.methods():
        chosen = get_method(method)
        weights = chosen.weights_name(chosen.parameters())
        if weights is not None and store.find(weights) is None:
            continue
        off = []
        for pair in files:
            source = nif.PairSource.from_images(pair.ir, pair.visible)
            height, width = source.shape
            session = nif.FusionSession(source)
            whole = session.fuse(method, output="luma", maps=False).fused.astype(float)
            for top, left in ((height // 5, width // 5), (height // 2, width // 2)):
                region = nif.Region(top, left, top + 128, left + 128).clipped(source.shape)
                part = session.fuse(method, output="luma", maps=False, region=region).fused.astype(float)
                off.append(np.abs(part - whole[region.slices]).ravel())
        away = np.concatenate(off)
        print(f"{method}: rms {np.sqrt((away**2).mean()):.2f}, 99 % within {np.quantile(away, 0.99):.0f}, largest"
              f" {away.max():.0f} of 255, halo {chosen.halo(chosen.parameters())} pixels", flush=True)  # fmt: skip


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--view", type=int, default=512)
    parser.add_argument("--methods", default="rdn,wls")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--count", type=int, default=4)
    arguments = parser.parse_args()
    print(machine())
    for method in filter(None, arguments.methods.split(",")):
        time_views(method, arguments.size, arguments.view, arguments.rounds)
    if arguments.pairs:
        differences(arguments.pairs, arguments.count)


if __name__ == "__main__":
    main()
