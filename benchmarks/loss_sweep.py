"""What a loss asks for, without any network: the fused image itself is what is optimised.

    python benchmarks/loss_sweep.py [--pairs 5] [--steps 150]

A network can at best do what its loss asks for. For each choice of the losses' weights, the pixels of the fused image
are optimised with Adam for crops of pairs of ``tno`` (``IRVISFUSE_DATA``, or else ``../shared/data`` beside this
repository), from the plain average on, and the result is measured. Minutes, where training a network takes hours.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

import napari_irvisfuse as nif
from napari_irvisfuse.evaluation.files import pair_files
from napari_irvisfuse.training.residual_dense import ResidualDenseTask, ResidualDenseTraining
from napari_irvisfuse.training.task import Context

CHOICES: dict[str, dict[str, Any]] = {
    **{f"λ = {weight}": {"gradient_weight": float(weight)} for weight in (0, 1, 2, 5, 10, 20)},
    "λ = 5, magnitudes": {"gradient": "magnitude"},
    "λ = 5, W = ½": {"texture_weights": "half"},
    "λ = 5, 20 L_int": {"intensity_weight": 20.0},
}
METRICS = ("Qabf", "FMI_w", "SSIM_sum", "AG")
CROP = 256


def crops(data: Path, count: int) -> list[torch.Tensor]:
    """Return the middle of some pairs, ``(1, 2, h, w)``."""
    files = pair_files(data / "tno/ir", data / "tno/vi", {}).pairs
    found = []
    for number in np.linspace(0, len(files) - 1, count).round().astype(int):
        pair = nif.ImagePair.from_images(files[number].ir, files[number].visible)
        tops = [max(0, (side - CROP) // 2) for side in pair.shape]
        both = np.stack([pair.ir, pair.visible])[:, tops[0] : tops[0] + CROP, tops[1] : tops[1] + CROP]
        found.append(torch.from_numpy(both.copy())[None])
    return found


def optimise(images: torch.Tensor, changes: dict[str, Any], steps: int) -> torch.Tensor:
    """Return the image that the losses are smallest for."""
    task, parameters = ResidualDenseTask(), ResidualDenseTraining(**changes)
    context = Context(nullcontext, torch.Generator())
    fused = images.mean(1, keepdim=True).requires_grad_()
    optimiser = torch.optim.Adam([fused])
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 0.01 * (1 - step / steps) + 1e-4
        optimiser.zero_grad()
        task.losses(lambda _: fused, images, parameters, context)["loss"].backward()  # type: ignore[arg-type]
        optimiser.step()
    return fused.detach().clamp(0, 1)


def measure(images: torch.Tensor, fused: torch.Tensor) -> dict[str, float]:
    ir, visible, image = (plane.numpy() for plane in (images[0, 0], images[0, 1], fused[0, 0]))
    image = (np.floor(image * 255 + 0.5) / 255).astype(np.float32)  # as it would be written: FMI tells the difference
    hot = ir >= np.quantile(ir, 0.98)
    values = nif.evaluate(image, ir, visible, "zhang2022", METRICS)
    return {**values, "hot": float(image[hot].mean() / ir[hot].mean())}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=150)
    args = parser.parse_args()
    data = Path(os.environ.get("IRVISFUSE_DATA", Path(__file__).parents[2] / "shared/data"))
    if not data.is_dir():
        print(f"There is no data folder {data}: set IRVISFUSE_DATA.", file=sys.stderr)
        return 2
    pairs = crops(data, args.pairs)
    heads = [*METRICS, "hot", "least hot"]
    print("| losses | " + " | ".join(heads) + " |\n|" + "---|" * (len(heads) + 1))
    for name, changes in {"the plain average": None, **CHOICES}.items():
        rows = [
            measure(pair, pair.mean(1, keepdim=True) if changes is None else optimise(pair, changes, args.steps))
            for pair in pairs
        ]
        means = [float(np.mean([row[head] for row in rows])) for head in heads[:-1]]
        means.append(min(row["hot"] for row in rows))
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in means) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
