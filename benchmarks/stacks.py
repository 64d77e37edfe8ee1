"""What smoothing does to a real film, and how fast a stack is fused.

``python benchmarks/stacks.py FOLDER`` with aligned frames in ``FOLDER/ir`` and ``FOLDER/vi``. Prints three tables:

1. flicker with and without smoothing, and what smoothing does where the sources move (ghosts) and where they do not;
2. frames a second of ``fuse_stack``, of one ``fuse`` call a frame, and of frames smoothed;
3. a method's own time for frames one by one and as one batch ``(N, 1, H, W)``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import napari_irvisfuse as nif
from _measure import in_turn, machine, ratio
from napari_irvisfuse.algorithms import get_method
from napari_irvisfuse.devices import choose
from napari_irvisfuse.images.frames import open_frames
from napari_irvisfuse.metrics.flicker import flicker
from napari_irvisfuse.runtime import Runtime
from napari_irvisfuse.weights import store

MOVING = 0.05  # of full scale: change of a source from the last frame, counted as motion
METHODS = ("average", "max", "wls", "cbf", "rdn")


def luma(path: Path, count: int) -> np.ndarray:
    """Return the frames of a folder as luma ``(T, H, W)`` in [0, 1]."""
    frames = open_frames(path)
    pairs = [nif.ImagePair.from_images(frames[(t,)], frames[(t,)]) for t in range(count)]
    return np.stack([pair.visible for pair in pairs])


def smoothing_table(ir: np.ndarray, visible: np.ndarray, methods: tuple[str, ...], strengths: list[float]) -> None:
    """Print flicker, and the difference to the unsmoothed frames where something moves and where nothing does."""
    change = np.maximum(np.abs(np.diff(ir, axis=0)), np.abs(np.diff(visible, axis=0)))
    moving, still = change > MOVING, change < MOVING / 10
    print(f"moving: {moving.mean():.1%} of the pixels, still: {still.mean():.1%}\n")
    print("| method | smoothing | flicker | difference where it moves | 99.9 % | where it is still |")
    print("|---|---|---|---|---|---|")
    for method in methods:
        films = {s: nif.fuse_stack(ir, visible, method, smoothing=s).fused for s in (0.0, *strengths)}
        for strength, film in films.items():
            value = float(flicker(*(torch.from_numpy(part) for part in (film, ir, visible))))
            difference = 255 * np.abs(film - films[0.0])[1:]
            moved = difference[moving]
            print(
                f"| {method} | {strength:g} | {value:.3f} | {moved.mean():.3f} | {np.quantile(moved, 0.999):.2f} |"
                f" {difference[still].mean():.3f} |"
            )


def speed_table(ir: np.ndarray, visible: np.ndarray, methods: tuple[str, ...], rounds: int) -> None:
    """Print frames a second, of everything from arrays to arrays."""
    print("\n| method | frames/s, fuse_stack | one fuse() a frame | smoothed | stack against single calls |")
    print("|---|---|---|---|---|")
    for method in methods:

        def one_by_one(method: str = method) -> list[object]:
            return [nif.fuse(*frame, method, maps=False) for frame in zip(ir, visible, strict=True)]

        candidates: dict[str, Callable[[], object]] = {
            "stack": lambda method=method: nif.fuse_stack(ir, visible, method),
            "single": one_by_one,
            "smooth": lambda method=method: nif.fuse_stack(ir, visible, method, smoothing=0.8),
        }
        seconds = in_turn(candidates, rounds)
        rates = {name: len(ir) / float(np.median(values)) for name, values in seconds.items()}
        times = ratio(seconds["single"], seconds["stack"])
        print(
            f"| {method} | {rates['stack']:.2f} | {rates['single']:.2f} | {rates['smooth']:.2f} | {times:.2f} times |"
        )


def batch_table(ir: np.ndarray, visible: np.ndarray, methods: tuple[str, ...], size: int, rounds: int) -> None:
    """Print what a method gains from several frames at once."""
    compute = choose()
    print(f"\n{compute.explanation}\n\n| method | batch of {size} against one by one | equal to the last bit |")
    print("|---|---|---|")
    images = [torch.from_numpy(film[:size, None]).to(compute.device) for film in (ir, visible)]
    for name in methods:
        method = get_method(name)
        parameters = method.parameters()
        weights = method.weights_name(parameters)
        runtime = Runtime(compute, weights=store.resolve(weights, None) if weights else None, maps=False)

        def fuse(start: int, stop: int) -> torch.Tensor:
            with torch.inference_mode():
                return method.fuse(*(film[start:stop] for film in images), parameters, runtime).fused  # noqa: B023

        def singly() -> torch.Tensor:
            return torch.cat([fuse(n, n + 1) for n in range(size)])

        seconds = in_turn({"one": singly, "batch": lambda: fuse(0, size)}, rounds)
        equal = torch.equal(singly(), fuse(0, size))
        print(f"| {name} | {ratio(seconds['one'], seconds['batch']):.2f} times as fast | {'yes' if equal else 'no'} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--smoothing", type=float, nargs="+", default=[0.5, 0.8, 0.95])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    ir, visible = (luma(arguments.folder / kind, arguments.frames) for kind in ("ir", "vi"))
    methods = tuple(arguments.methods)
    print(f"{machine()}; {len(ir)} frames of {ir.shape[2]}×{ir.shape[1]}\n")
    smoothing_table(ir, visible, methods, arguments.smoothing)
    few = slice(0, min(5, len(ir)))
    speed_table(ir[few], visible[few], methods, arguments.rounds)
    batch_table(ir, visible, methods, min(4, len(ir)), arguments.rounds)


if __name__ == "__main__":
    main()
