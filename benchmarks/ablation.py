"""What each part of a network or its training is good for: the same short training without it, measured side by side.

    python benchmarks/ablation.py [--method rdn] [--steps 600] [--folder FOLDER]
    python benchmarks/ablation.py --method transfusion --start FOLDER/stage-1/weights.safetensors --steps 300

Every variant is trained on ``tno_train`` with the same seed and the same number of steps, then measured on the pairs
of ``tno`` (``IRVISFUSE_DATA``, or else ``../shared/data`` beside this repository); of TransFusion it is the second
stage, from the same first one. The runs are short, far from what a training for use needs: read the differences, not
the values. An interrupted run is resumed.
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

VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "rdn": {
        "complete": {},
        "without gradient loss": {"gradient_weight": 0.0},
        "gradient loss on magnitudes": {"gradient": "magnitude"},
        "weight blocks W = ½": {"texture_weights": "half"},
        "without residual dense blocks": {"dense": False},
        "without the shallow skip": {"skip": False},
    },
    "transfusion": {
        "complete": {},
        "without mutual information": {"information_weight": 0.0},
        "without guidance": {"guidance": "none"},
        "without either": {"information_weight": 0.0, "guidance": "none"},
        "without the gradient term": {"gradient_weight": 0.0},
    },
}
METRICS = {
    "rdn": {"zhang2022": ("AG", "Qabf", "FMI_w", "SSIM_sum", "EN")},
    "transfusion": {"zhang2022": ("AG", "Qabf", "SSIM_sum", "EN"), "standard": ("MI", "VIF")},
}
FUSED_WITH = ("guidance", "preset")  # the parameters of a training that the method has too


def train(name: str, changes: dict[str, Any], data: Path, args: argparse.Namespace) -> Path:
    """Train a variant, or find it trained."""
    output = args.folder / name.replace(" ", "-").replace("½", "half")
    staged = args.method == "transfusion"
    made = output / "stage-2" if staged else output
    weights = made / "weights.safetensors"
    if not weights.exists():

        def show(done: int, total: int, message: str) -> None:
            if sys.stderr.isatty():
                print(f"\r{name}: {done}/{total} {message:80.80}", end="", file=sys.stderr, flush=True)

        sources = data / "tno_train/ir", data / "tno_train/vi"
        resume = (made / "checkpoint.pt").exists()
        options = {"stage": "2", "start": args.start, "learning_rate": 2e-4} if staged else {}
        nif.train(args.method, *sources, output, resume=resume, progress=show, steps=args.steps, **options, **changes)
    return weights


def measure(weights: Path, changes: dict[str, Any], data: Path, args: argparse.Namespace) -> dict[str, float]:
    """Return the mean of each metric over the pairs."""
    rows: list[dict[str, float]] = []
    pairs = pair_files(data / "tno/ir", data / "tno/vi", {}).pairs
    options = {name: value for name, value in changes.items() if name in FUSED_WITH}
    for files in pairs[:: max(1, len(pairs) // args.most)]:
        pair = nif.ImagePair.from_images(files.ir, files.visible)
        session = nif.FusionSession(pair)
        fused = session.fuse(args.method, weights=weights, output="luma", maps=False, **options).fused
        image = pair.visible_window.to_unit(fused)
        values: dict[str, float] = {}
        for profile, which in METRICS[args.method].items():
            values |= nif.evaluate(image, pair.ir, pair.visible, profile, which)
        hot = pair.ir >= np.quantile(pair.ir, 0.98)
        values["hot"] = float(image[hot].mean() / pair.ir[hot].mean())
        rows.append(values)
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", choices=tuple(VARIANTS), default="rdn")
    parser.add_argument("--start", type=Path, help="weights of the first stage of TransFusion")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--most", type=int, default=21, help="pairs to measure")
    parser.add_argument("--folder", type=Path, default=Path("ablation"))
    args = parser.parse_args()
    data = Path(os.environ.get("IRVISFUSE_DATA", Path(__file__).parents[2] / "shared/data"))
    if not data.is_dir():
        print(f"There is no data folder {data}: set IRVISFUSE_DATA.", file=sys.stderr)
        return 2
    if args.method == "transfusion" and args.start is None:
        print("Say where the first stage's weights are: --start FILE.", file=sys.stderr)
        return 2
    heads = (*(name for which in METRICS[args.method].values() for name in which), "hot")
    print(
        f"{args.steps} steps each\n\n| variant | " + " | ".join(heads) + " |\n|" + "---|" * (len(heads) + 1), flush=True
    )
    for name, changes in VARIANTS[args.method].items():
        found = measure(train(name, changes, data, args), changes, data, args)
        print(f"| {name} | " + " | ".join(f"{found[head]:.3f}" for head in heads) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
