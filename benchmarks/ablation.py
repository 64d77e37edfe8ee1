"""What each part of the residual dense network is good for: the same short training without it, measured side by side.

    python benchmarks/ablation.py [--steps 600] [--folder FOLDER]

Every variant is trained on ``tno_train`` with the same seed and the same number of steps, then measured on the pairs
of ``tno`` (``IRVISFUSE_DATA``, or else ``../shared/data`` beside this repository). The runs are short, far from what a
training for use needs: read the differences, not the values. An interrupted run is resumed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

import napari_irvisfuse as nif
from napari_irvisfuse.evaluation.files import pair_files

VARIANTS: dict[str, dict[str, Any]] = {
    "complete": {},
    "without gradient loss": {"gradient_weight": 0.0},
    "gradient loss on magnitudes": {"gradient": "magnitude"},
    "weight blocks W = ½": {"texture_weights": "half"},
    "without residual dense blocks": {"dense": False},
    "without the shallow skip": {"skip": False},
}
METRICS = ("AG", "Qabf", "FMI_w", "SSIM_sum", "EN")


def train(name: str, changes: dict[str, Any], data: Path, folder: Path, steps: int) -> Path:
    """Train a variant, or find it trained."""
    output = folder / name.replace(" ", "-").replace("½", "half")
    weights = output / "weights.safetensors"
    if not weights.exists():

        def show(done: int, total: int, message: str) -> None:
            if sys.stderr.isatty():
                print(f"\r{name}: {done}/{total} {message:80.80}", end="", file=sys.stderr, flush=True)

        sources = data / "tno_train/ir", data / "tno_train/vi"
        resume = (output / "checkpoint.pt").exists()
        nif.train("rdn", *sources, output, resume=resume, progress=show, steps=steps, **changes)
    return weights


def measure(weights: Path, data: Path, most: int) -> dict[str, float]:
    """Return the mean of each metric over the pairs."""
    rows: list[dict[str, float]] = []
    pairs = pair_files(data / "tno/ir", data / "tno/vi", {}).pairs
    for files in pairs[:: max(1, len(pairs) // most)]:
        pair = nif.ImagePair.from_images(files.ir, files.visible)
        fused = nif.FusionSession(pair).fuse("rdn", weights=weights, output="luma", maps=False).fused
        values = nif.evaluate(pair.visible_window.to_unit(fused), pair.ir, pair.visible, "zhang2022", METRICS)
        hot = pair.ir >= np.quantile(pair.ir, 0.98)
        values["hot"] = float(pair.visible_window.to_unit(fused)[hot].mean() / pair.ir[hot].mean())
        rows.append(values)
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--most", type=int, default=21, help="pairs to measure")
    parser.add_argument("--folder", type=Path, default=Path("ablation"))
    args = parser.parse_args()
    data = Path(os.environ.get("IRVISFUSE_DATA", Path(__file__).parents[2] / "shared/data"))
    if not data.is_dir():
        print(f"There is no data folder {data}: set IRVISFUSE_DATA.", file=sys.stderr)
        return 2
    heads = (*METRICS, "hot")
    print(
        f"{args.steps} steps each\n\n| variant | " + " | ".join(heads) + " |\n|" + "---|" * (len(heads) + 1), flush=True
    )
    for name, changes in VARIANTS.items():
        found = measure(train(name, changes, data, args.folder, args.steps), data, args.most)
        print(f"| {name} | " + " | ".join(f"{found[head]:.3f}" for head in heads) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
