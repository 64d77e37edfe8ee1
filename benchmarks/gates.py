"""The gates that weights have to pass before they ship, a table per data set.

    python benchmarks/gates.py [--method rdn] [--weights FILE] [--set NAME=IR_FOLDER,VISIBLE_FOLDER …] [-p NAME=VALUE …]

Every pair is fused, and the fused image F is held against its sources I and V and against their plain average, both F
and the average rounded to 8 bits:

i    F is neither source: SSIM(F, I) and SSIM(F, V) are below 0.98;
ii   hot targets survive: inside the hottest 2 % of the infrared pixels the mean of F is at least 0.8 (rdn) or 0.9
     (transfusion) times the mean of I;
iii  F is better than the average by Qabf and FMI_w (rdn), or by Qabf, MI and VIF (transfusion);
iv   (rdn) the mean SSIM sum is above that of the published JSR and CBF images of these pairs, where the data hold them.

Gate iii is passed on a data set if it holds on six of seven pairs. Metrics are those of the profile ``zhang2022``, MI
and VIF of ``standard``. Without ``--set``, the data folder (``IRVISFUSE_DATA``, or else ``../shared/data`` beside this
repository) is searched for ``tno``, ``msrs``, ``roadscene`` and ``video/0111_1753``; --most limits the pairs of a set.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import napari_irvisfuse as nif
from napari_irvisfuse.algorithms import get_method
from napari_irvisfuse.evaluation.files import ImageFiles, pair_files

HOT = {"rdn": 0.8, "transfusion": 0.9}
BETTER = {"rdn": ("Qabf", "FMI_w"), "transfusion": ("Qabf", "MI", "VIF")}
SETS = ("tno", "msrs", "roadscene", "video/0111_1753")
RIVALS = ("jsr", "cbf")
STANDARD = ("MI", "VIF")


@dataclass(frozen=True)
class Row:
    """What one pair showed."""

    image: str
    ssim_ir: float
    ssim_visible: float
    ssim_maximum: float  # of max(I, V) to the source it is nearer to: near 1, the pair itself asks for a copy
    hot: float
    fused: dict[str, float]
    average: dict[str, float]
    rivals: dict[str, float]

    def neither_source(self) -> bool:
        return max(self.ssim_ir, self.ssim_visible) < 0.98

    def better(self) -> bool:
        return all(self.fused[name] > self.average[name] for name in self.average)


def in_levels(image: np.ndarray) -> np.ndarray:
    """Round to 8-bit levels, as images are written: FMI tells rounded from unrounded ones, by 0.04 of 0.45."""
    return (np.floor(image * 255 + 0.5) / 255).astype(np.float32)


def measure(files: ImageFiles, args: argparse.Namespace, references: Path | None) -> Row:
    """Fuse one pair and measure it."""
    pair = nif.ImagePair.from_images(files.ir, files.visible)
    session = nif.FusionSession(pair, device=args.device, precision=args.precision)
    fused = session.fuse(args.method, weights=args.weights, output="luma", **args.parameters).fused
    ir, visible = pair.ir, pair.visible
    luma = in_levels(pair.visible_window.to_unit(fused))
    names = BETTER[args.gates]

    def metrics(image: np.ndarray) -> dict[str, float]:
        values: dict[str, float] = {}
        for profile, which in (
            ("zhang2022", [name for name in names if name not in STANDARD] + ["SSIM_sum"]),
            ("standard", [name for name in names if name in STANDARD]),
        ):
            if which:
                values |= nif.evaluate(image, ir, visible, profile, which)
        return values

    both = {
        name: nif.evaluate(luma, source, source, "standard", ["SSIM"])["SSIM"]
        for name, source in (("i", ir), ("v", visible))
    }
    brighter = in_levels(np.maximum(ir, visible))
    nearest = max(nif.evaluate(brighter, source, source, "standard", ["SSIM"])["SSIM"] for source in (ir, visible))
    hot = ir >= np.quantile(ir, 0.98)
    if args.pictures is not None:
        args.pictures.mkdir(parents=True, exist_ok=True)
        sheet = np.concatenate([ir, visible, (ir + visible) / 2, luma], axis=1)
        path = args.pictures / f"{args.title}-{files.image}.png"
        nif.write_image(path, (sheet * 255 + 0.5).astype(np.uint8), overwrite=True)
    of_average = metrics(in_levels((ir + visible) / 2))
    rivals = {}
    if references is not None:
        for name in RIVALS:
            path = references / name / f"{files.image}.png"
            if path.is_file():
                rivals[name] = nif.evaluate(path, ir, visible, "zhang2022", ["SSIM_sum"])["SSIM_sum"]
    return Row(
        files.image,
        both["i"],
        both["v"],
        nearest,
        float(luma[hot].mean() / max(float(ir[hot].mean()), 1e-6)),
        metrics(luma),
        {name: of_average[name] for name in names},
        rivals,
    )


def report(title: str, rows: list[Row], args: argparse.Namespace) -> bool:
    """Print the table of one data set; True if every gate is passed."""
    names = BETTER[args.gates]
    print(f"\n## {title}: {len(rows)} pairs\n")
    if args.per_image:
        heads = ["pair", "SSIM I", "SSIM V", "SSIM of max(I, V)", "hot", *(f"{name} (average)" for name in names)]
        print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
        for row in rows:
            cells = [
                row.image,
                f"{row.ssim_ir:.3f}",
                f"{row.ssim_visible:.3f}",
                f"{row.ssim_maximum:.3f}",
                f"{row.hot:.2f}",
            ]
            cells += [f"{row.fused[name]:.3f} ({row.average[name]:.3f})" for name in names]
            print("| " + " | ".join(cells) + " |")
        print()
    limit, needed = HOT[args.gates], -(-len(rows) * 6 // 7)
    neither = sum(row.neither_source() for row in rows)
    hot = sum(row.hot >= limit for row in rows)
    better = sum(row.better() for row in rows)
    gates = [
        ("i", "neither source", f"{neither} of {len(rows)}", neither == len(rows)),
        (
            "ii",
            f"hottest 2 %: F ≥ {limit} I",
            f"{hot} of {len(rows)}, least {min(row.hot for row in rows):.2f}",
            hot == len(rows),
        ),
        ("iii", f"{', '.join(names)} above the average", f"{better} of {len(rows)}", better >= needed),
    ]
    for name in names:
        ours, theirs = (np.mean([getattr(row, kind)[name] for row in rows]) for kind in ("fused", "average"))
        wins = sum(row.fused[name] > row.average[name] for row in rows)
        gates.append(("", f"… {name}", f"{wins} of {len(rows)}; mean {ours:.4f}, average {theirs:.4f}", None))
    both = [row for row in rows if len(row.rivals) == len(RIVALS)]
    if both and args.gates == "rdn":
        ours = float(np.mean([row.fused["SSIM_sum"] for row in both]))
        theirs = {name: float(np.mean([row.rivals[name] for row in both])) for name in RIVALS}
        listed = ", ".join(f"{name} {value:.4f}" for name, value in theirs.items())
        gates.append(("iv", f"SSIM sum on {len(both)} pairs", f"{ours:.4f}; {listed}", ours > max(theirs.values())))
    print("| gate | what | found | passed |\n|---|---|---|---|")
    for gate, what, found, passed in gates:
        print(f"| {gate} | {what} | {found} | {'' if passed is None else 'yes' if passed else '**no**'} |")
    return all(passed is not False for *_, passed in gates)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", default="rdn")
    parser.add_argument("--gates", choices=tuple(BETTER), help="whose gates; those of the method if not given")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=IR,VISIBLE")
    parser.add_argument("--sets", default=",".join(SETS), help="which of the data folder's sets")
    parser.add_argument("-p", "--parameter", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--most", type=int, default=1000, help="pairs of a set, evenly spread")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--per-image", action="store_true")
    parser.add_argument("--pictures", type=Path, help="folder for I, V, average and F of each pair, side by side")
    args = parser.parse_args()
    args.gates = args.gates or (args.method if args.method in BETTER else "rdn")
    known = {info.name: info for info in get_method(args.method).parameters_type.describe()}
    args.parameters = {}
    for text in args.parameter:
        name, _, value = text.partition("=")
        args.parameters[name] = known[name].parse(value)
    data = Path(os.environ.get("IRVISFUSE_DATA", Path(__file__).parents[2] / "shared/data"))
    sets = {}
    for text in args.set:
        name, _, folders = text.partition("=")
        sets[name] = tuple(Path(folder) for folder in folders.split(","))
    if not sets:
        sets = {
            name: (data / name / "ir", data / name / "vi") for name in args.sets.split(",") if (data / name).is_dir()
        }
    if not sets:
        print(f"No data: neither --set nor a data folder at {data}.", file=sys.stderr)
        return 2
    passed = True
    for name, (ir, visible) in sets.items():
        pairs = pair_files(ir, visible, {}).pairs
        chosen = sorted({round(i) for i in np.linspace(0, len(pairs) - 1, min(args.most, len(pairs)))})
        args.title = name.replace("/", "-")
        references = data / "tno_reference" if name == "tno" else None
        rows = []
        for number in chosen:
            try:
                rows.append(measure(pairs[number], args, references))
            except nif.FusionError as error:
                print(f"Not measured: {pairs[number].image}: {error}", file=sys.stderr)
            if sys.stderr.isatty():
                print(f"\r{name}: {len(rows)}/{len(chosen)}", end="\r", file=sys.stderr, flush=True)
        passed &= report(name, rows, args)
    print(f"\nAll gates passed: {'yes' if passed else 'no'}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
