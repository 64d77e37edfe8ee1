"""The five metrics of Table 1 of Zhang et al. 2022, as the published code computes them and as we do, side by side.

    python benchmarks/table1.py [--data FOLDER] [--paper FILE] [--workers N]
    python benchmarks/table1.py --from-sources [--pairs 1,12,13,16,8] [--quick]

With ``--from-sources`` every method is run on the source images, the groups a–e of the paper's table unless other pairs
are asked for; JSR and JSRSD learn their dictionary from the pair and overlap patches as published, which takes a
minute a pair and more; ``--quick`` takes the dictionary of the package. ResNet-152 takes part if its pretrained weights
are here. Beside our values stands the reference, where it has the pair.

What is compared without it: FMI_pixel, FMI_dct, FMI_w, N_abf and SSIM (the sum over both sources) of fused images made
by the published codes of several methods, for TNO pairs. The reference is ``tno_reference/metrics.csv`` of the data
folder: values that the published metric code itself gave on these images. It is not the printed table, which this
project does not hold. Of the table's groups a–e (TNO pairs 1, 12, 13, 16 and 8), usually only a is among the reference
images; pairs that belong to a group are marked, and all others are compared as well.

Whoever has the paper can put its numbers into a CSV file with columns ``method,image,metric,value`` (``image`` may be
a group's letter, ``metric`` is named as in metrics.csv, ``SSIM_sum`` for SSIM) and give it with ``--paper``: it is then
compared in the same way.

The data folder is ``IRVISFUSE_DATA``, or else ``../shared/data`` beside this repository; it holds
``tno/ir``, ``tno/vi`` and ``tno_reference/METHOD/NNN.png``. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import sys
import time
from pathlib import Path

import napari_irvisfuse as nif
from napari_irvisfuse.evaluation import evaluate_folder

METRICS = ("FMI_pixel", "FMI_dct", "FMI_w", "N_abf", "SSIM_sum")
GROUPS = {1: "a", 12: "b", 13: "c", 16: "d", 8: "e"}
PAIRS = {letter: pair for pair, letter in GROUPS.items()}

Values = dict[tuple[str, int, str], float]
"""(method, TNO pair, metric) to value."""


def read(path: Path) -> Values:
    """Read a CSV file of reference values; rows of other metrics are passed over."""
    values: Values = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["metric"] in METRICS:
                image = row["image"].strip()
                values[row["method"], PAIRS.get(image) or int(image), row["metric"]] = float(row["value"])
    return values


def measure(data: Path, workers: int | None) -> Values:
    """Measure every reference image."""
    folders = sorted(path for path in (data / "tno_reference").iterdir() if path.is_dir())

    def show_progress(done: int, total: int, message: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{done}/{total}", end="\r", file=sys.stderr, flush=True)

    table = evaluate_folder(
        data / "tno/ir",
        data / "tno/vi",
        fused={folder.name: folder for folder in folders},
        profile="zhang2022",
        which=METRICS,
        workers=workers,
        progress=show_progress,
    )
    for failure in table.failures:
        print(f"Not measured: {failure}", file=sys.stderr)
    return {
        (method, int(image), metric): value
        for method, found in table.values.items()
        for image, row in found.items()
        for metric, value in row.items()
    }


def fuse_and_measure(data: Path, pairs: list[int], quick: bool) -> Values:
    """Run every method on the source images."""
    from napari_irvisfuse.weights import store

    joint = {} if quick else {"dictionary": "pair", "overlap": "published"}
    methods: dict[str, tuple[str, dict[str, object]]] = {
        "average": ("average", {}),
        "cbf": ("cbf", {}),
        "wls": ("wls", {}),
        "convsr": ("convsr", {"preset": "multi-focus"}),
        "jsr": ("jsr", joint),
        "jsrsd": ("jsrsd", joint),
        "rdn": ("rdn", {}),
    }
    if store.find("resnet152") is None:
        print("ResNet-152 is left out: its pretrained weights are not here (irvisfuse weights fetch resnet152).")
    else:
        methods["resnet152"] = ("resnet152", {"preset": "paper"})
        methods["resnet152_authors"] = ("resnet152", {"preset": "authors"})
    values: Values = {}
    for number in pairs:
        sources = [data / "tno" / kind / f"{number:03d}.png" for kind in ("ir", "vi")]
        for label, (method, parameters) in methods.items():
            start = time.perf_counter()
            fused = nif.fuse(*sources, method, maps=False, output="luma", **parameters).fused
            found = nif.evaluate(fused, *sources, "zhang2022", METRICS)
            values |= {(label, number, metric): value for metric, value in found.items()}
            if sys.stderr.isatty():
                print(f"pair {number}, {label}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
    return values


def show_table(values: Values, references: dict[str, Values]) -> None:
    """Print the table of the paper: a block per metric, a row per method, a column per pair, reference in brackets."""
    pairs = list(dict.fromkeys(number for _, number, _ in values))
    methods = list(dict.fromkeys(method for method, _, _ in values))
    for metric in METRICS:
        heads = [f"{GROUPS[number]} ({number})" if number in GROUPS else str(number) for number in pairs]
        print(f"\n| {metric} | {' | '.join(heads)} | mean |\n|:--{'|--:' * (len(pairs) + 1)}|")
        for method in methods:
            row = [values[method, number, metric] for number in pairs]
            cells = []
            for number, value in zip(pairs, row, strict=True):
                theirs = [
                    f"{title} {ref[key]:.4f}"
                    for title, ref in references.items()
                    if (key := (method, number, metric)) in ref
                ]
                cells.append(f"{value:.4f}" + (f" ({', '.join(theirs)})" if theirs else ""))
            print(f"| {method} | {' | '.join(cells)} | {statistics.fmean(row):.4f} |")


def show(title: str, reference: Values, ours: Values) -> None:
    """Print reference, ours and their difference, then the largest and the mean difference of each metric."""
    rows = sorted({(image, method) for method, image, _ in reference.keys() & ours.keys()})
    print(f"\n# {title}: reference / ours / difference\n")
    if not rows:
        print("No image is in both.")
        return
    print(f"| pair | group | method | {' | '.join(METRICS)} |\n|--:|:-:|:--{'|:-:' * len(METRICS)}|")
    for image, method in rows:
        cells = []
        for metric in METRICS:
            key = (method, image, metric)
            both = key in reference and key in ours
            cells.append(f"{reference[key]:.5f} / {ours[key]:.5f} / {ours[key] - reference[key]:+.5f}" if both else "–")
        print(f"| {image} | {GROUPS.get(image, '')} | {method} | {' | '.join(cells)} |")
    print("\n| metric | images | largest difference | where | mean difference | of group a, largest |")
    print("|:--|--:|--:|:--|--:|--:|")
    for metric in METRICS:
        off = {key: abs(ours[key] - value) for key, value in reference.items() if key[2] == metric and key in ours}
        if not off:
            continue
        worst = max(off, key=lambda key: off[key])
        group_a = [value for key, value in off.items() if key[1] == PAIRS["a"]]
        print(
            f"| {metric} | {len(off)} | {off[worst]:.1e} | {worst[0]}, pair {worst[1]} |"
            f" {statistics.fmean(off.values()):.1e} | {f'{max(group_a):.1e}' if group_a else '–'} |"
        )


def main() -> int:
    beside = Path(__file__).resolve().parents[2] / "shared/data"
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("IRVISFUSE_DATA") or beside, help="the data folder")
    parser.add_argument("--paper", type=Path, help="CSV with the paper's own numbers: method,image,metric,value")
    parser.add_argument("--workers", type=int, help="images measured at the same time")
    parser.add_argument("--from-sources", action="store_true", help="run the methods, do not measure given images")
    parser.add_argument("--pairs", default=",".join(map(str, GROUPS)), help="TNO pairs for --from-sources")
    parser.add_argument(
        "--quick", action="store_true", help="with --from-sources: the package's dictionary for JSR, JSRSD"
    )
    arguments = parser.parse_args()
    data = Path(arguments.data)
    if not (data / "tno_reference/metrics.csv").is_file():
        print("There is no tno_reference/metrics.csv in the data folder: say where it is with --data.", file=sys.stderr)
        return 2
    references = {"Published metric code": read(data / "tno_reference/metrics.csv")}
    if arguments.paper:
        references["Paper"] = read(arguments.paper)
    start = time.perf_counter()
    if arguments.from_sources:
        values = fuse_and_measure(data, [int(number) for number in arguments.pairs.split(",")], arguments.quick)
        print(f"{len(values)} values in {time.perf_counter() - start:.0f} s; in brackets the references")
        titles = {"Published metric code": "code", "Paper": "paper"}
        show_table(values, {titles[title]: reference for title, reference in references.items()})
        return 0
    try:
        ours = measure(data, arguments.workers)
    except nif.FusionError as error:
        print(error, file=sys.stderr)
        return 2
    seconds = time.perf_counter() - start
    print(f"{len(ours)} values of {len({key[:2] for key in ours})} fused images in {seconds:.0f} s")
    for title, reference in references.items():
        show(title, reference, ours)
    return 0


if __name__ == "__main__":
    sys.exit(main())
