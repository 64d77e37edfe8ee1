"""How well pairs are aligned, and how well it is told whether they are; tables per data set.

    python benchmarks/alignment.py RESULTS.jsonl [--every N | --quick] [--parts check,exact,rig,align,candidates]

check       ``warped_msrs`` and ``warped_roadscene``: the original pairs are not to be flagged, the deformed ones are.
            ``tno`` and ``msrs``: the original pairs are not to be flagged; the infrared image moved by a known
            transform is; bent by a wave of 10 pixels (at 640), which no affine transform mends, it is to be called
            deformed.
exact       The visible images of ``tno`` and ``msrs`` against themselves, altered so that brightness says nothing, and
            moved by known transforms: here the truth is known. ``negative``: inverted, another gamma, blurred (σ 2);
            ``folded``: dark and bright are one, noisy, half the resolution.
rig         All ``msrs`` pairs come from one pair of cameras. Where parts of their infrared images lie, from the mutual
            information (which we do not use) of all of them together, and the similarity that fits that best: the
            rig's own alignment. As published it would be the identity.
align       ``landmarks``: the mean distance of the landmarks and of the corners from where the published transform puts
            them. ``tno`` and ``msrs``: the infrared image moved by known, seeded transforms with shifts up to 40 pixels
            (at 640), rotations up to 5° and scales of 0.9 to 1.1. These public pairs are themselves off by some pixels,
            so there are three errors: against the pair as published, against the rig's own alignment (``msrs``), and
            against the pair as we align it without having moved it. Whether the latter is the truth is judged by mutual
            information, which we do not use: is it higher there than as published, over the same pixels?
candidates  The registrations of other libraries on a third of these pairs, from where the images are and from our
            coarse search: see ``_registrations.py``. Those not installed are left out.

Errors are mean distances of the four corners, in pixels of an image whose longer side has 640. Results are appended to
RESULTS.jsonl one by one; what is there already is not computed again. The data folder is ``IRVISFUSE_DATA``, or else
``../shared/data`` beside this repository.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

import napari_irvisfuse as nif
from _registrations import SWAP, by_elastix, by_opencv, by_pystackreg, by_simpleitk
from _rig import own_alignment
from napari_irvisfuse.alignment.models import corner_distance, transform
from napari_irvisfuse.alignment.planes import plane_of
from napari_irvisfuse.alignment.search import coarse

DATA = Path(os.environ.get("IRVISFUSE_DATA", Path(__file__).parents[2] / "shared/data"))
WARPED, PUBLIC = ("warped_msrs", "warped_roadscene"), ("tno", "msrs")
SUCCESS, SIZE, WAVE = 3.0, 640, 10.0
Array = np.ndarray


def luma(path: Path) -> Array:
    image = nif.read_image(path).astype(np.float32)
    return (image[..., :3] @ np.float32([0.299, 0.587, 0.114]) if image.ndim == 3 else image) / 255


def looked_at(image: Array, rows: Array, columns: Array) -> Array:
    return map_coordinates(image, [rows, columns], order=1, mode="nearest").astype(np.float32)


def moved(image: Array, matrix: Array) -> Array:
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    place = matrix @ np.stack([rows, columns, np.ones_like(rows)]).reshape(3, -1)
    return looked_at(image, *(place[:2] / place[2]).reshape(2, *image.shape))


def bent(image: Array, pixels: float) -> Array:
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(float)
    wave = pixels * np.sin(3 * np.pi * columns / image.shape[1]) * np.cos(2 * np.pi * rows / image.shape[0])
    return looked_at(image, rows + wave, columns - wave)


def random_transform(name: str, shape: tuple[int, int]) -> Array:
    """Draw a similarity about the centre, the same for the same pair."""
    draw = np.random.default_rng([7, int(name)])
    angle, scale = math.radians(draw.uniform(-5, 5)), draw.uniform(0.9, 1.1)
    length, course = draw.uniform(0, 40) * max(shape) / SIZE, draw.uniform(0, 2 * math.pi)
    linear = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    centre = (np.array(shape) - 1) / 2
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = centre - linear @ centre + length * np.array([math.sin(course), math.cos(course)])
    return matrix


def error(found: Array, truth: Array, ir: Array, visible: Array) -> float:
    return corner_distance(found, truth, ir.shape) * SIZE / max(visible.shape)


def pairs(name: str, step: int, ir_folder: str = "ir") -> Iterator[tuple[str, Path, Path]]:
    for path in sorted((DATA / name / ir_folder).iterdir())[::step]:
        yield path.stem, path, next((DATA / name / "vi").glob(f"{path.stem}.*"))


def landmarks_of(name: str) -> tuple[Array, Array, Array]:
    """Return the published transform, and the infrared and visible landmarks, (x, y) from 1 as (row, column) from 0."""
    data = json.loads((DATA / f"landmarks/landmarks/{name}.json").read_text())
    from_one = np.array([[1, 0, 1.0], [0, 1, 1], [0, 0, 1]])
    matrix = SWAP @ np.linalg.inv(from_one) @ np.array(data["H_moving_to_fixed"]) @ from_one @ SWAP
    here, there = (np.array(data[f"landmarks_{which}"])[:, ::-1] - 1 for which in ("moving", "fixed"))
    return matrix, here, there


def mutual_information(one: Array, other: Array) -> float:
    counts = np.histogram2d(one.ravel(), other.ravel(), 32)[0]
    joint = counts / counts.sum()
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    there = joint > 0
    return float(np.sum(joint[there] * np.log2(joint[there] / apart[there])))


def information_of(ir: Array, visible: Array, ir_to_visible: Array) -> tuple[float, float]:
    """Return the mutual information as published and as aligned, over the pixels that both ways show."""
    inverse = np.linalg.inv(ir_to_visible)
    there = moved(np.ones_like(ir), np.eye(3))
    rows, columns = np.mgrid[: ir.shape[0], : ir.shape[1]]
    place = transform(inverse, np.stack([rows, columns], -1).reshape(-1, 2).astype(float)).reshape(*ir.shape, 2)
    seen = there.astype(bool) & np.all((place >= 0) & (place <= np.array(ir.shape) - 1), axis=-1)
    return mutual_information(ir[seen], visible[seen]), mutual_information(moved(ir, inverse)[seen], visible[seen])


# -- the parts: each yields a key and a function that measures it ----------------------------------------------------


def exact_cases(step: int) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    def negative(image: Array, matrix: Array) -> tuple[Array, Array]:
        return moved(gaussian_filter(1 - image**0.6, 2), matrix), np.eye(3)

    def folded(image: Array, matrix: Array) -> tuple[Array, Array]:
        there = moved(np.abs(image - np.median(image)) ** 0.7, matrix)
        there = there + np.random.default_rng(0).normal(0, 0.05, there.shape)
        height, width = (side // 2 for side in there.shape)
        half = there[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean((1, 3))
        return half.clip(0, 1).astype(np.float32), np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]])

    def measured(stem: str, visible: Array, alter: Callable[[Array, Array], tuple[Array, Array]]) -> dict[str, Any]:
        matrix = random_transform(stem, visible.shape)
        ir, to_full = alter(visible, matrix)
        truth = matrix @ to_full
        return {"error": error(nif.align(ir, visible, start=to_full).ir_to_visible, truth, ir, visible)}

    for alter in (negative, folded):
        for name in PUBLIC:
            for stem, _, path in pairs(name, step):
                image = luma(path)
                yield f"exact {name} {stem} {alter.__name__}", lambda s=stem, v=image, a=alter: measured(s, v, a)


def rig_cases(step: int) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    yield f"rig msrs every-{step} own", lambda: own_alignment((luma(i), luma(v)) for _, i, v in pairs("msrs", step))


def check_cases(step: int) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    def checked(ir: object, visible: object, wanted: str) -> dict[str, Any]:
        found = nif.check_alignment(ir, visible)
        size = max(luma(visible).shape) if isinstance(visible, Path) else max(visible.shape)
        return {
            "wanted": wanted,
            "verdict": found.verdict,
            "offset": found.offset * SIZE / size,
            "bend": found.bend * SIZE / size,
            "confidence": found.confidence,
        }

    for name in WARPED:
        for folder, wanted in (("ir", "aligned"), ("ir_warp", "flagged")):
            for stem, ir, visible in pairs(name, 1, folder):
                yield f"check {name} {stem} {wanted}", lambda i=ir, v=visible, w=wanted: checked(i, v, w)
    for name in PUBLIC:
        for stem, ir_path, visible_path in pairs(name, step):
            ir, visible = luma(ir_path), luma(visible_path)
            yield f"check {name} {stem} aligned", lambda i=ir, v=visible: checked(i, v, "aligned")
            one = moved(ir, random_transform(stem, ir.shape))
            yield f"check {name} {stem} flagged", lambda i=one, v=visible: checked(i, v, "flagged")
            wave = bent(ir, WAVE * max(ir.shape) / SIZE)
            yield f"check {name} {stem} deformed", lambda i=wave, v=visible: checked(i, v, "deformed")


def align_cases(step: int) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    def landmarks(stem: str, ir: Path, visible: Path, model: str) -> dict[str, Any]:
        truth, here, there = landmarks_of(stem)
        started = time.perf_counter()
        found = nif.align(ir, visible, model)
        seconds = time.perf_counter() - started
        off = np.linalg.norm(transform(found.ir_to_visible, here) - there, axis=1).mean()
        one, other = luma(ir), luma(visible)
        return {
            "start": error(found.start, truth, one, other),
            "published": error(found.ir_to_visible, truth, one, other),
            "landmarks": float(off) * SIZE / max(other.shape),
            "confidence": found.confidence,
            "seconds": seconds,
        }

    def known(stem: str, ir: Array, visible: Array, model: str) -> dict[str, Any]:
        truth = random_transform(stem, ir.shape)
        started = time.perf_counter()
        found = nif.align(moved(ir, truth), visible, model)
        seconds = time.perf_counter() - started
        own = nif.align(ir, visible, model).ir_to_visible
        as_published, as_aligned = information_of(ir, visible, own)
        return {
            "start": error(np.eye(3), truth, ir, visible),
            "published": error(found.ir_to_visible, truth, ir, visible),
            "own": error(found.ir_to_visible, own @ truth, ir, visible),
            "own_offset": error(own, np.eye(3), ir, visible),
            "unmoved": (found.ir_to_visible @ np.linalg.inv(truth)).tolist(),  # what it says about the pair itself
            "information": [as_published, as_aligned],
            "confidence": found.confidence,
            "seconds": seconds,
        }

    for model in ("similarity", "affine", "homography"):
        for stem, ir_path, visible_path in pairs("landmarks", 1):
            yield (
                f"align landmarks {stem} {model}",
                lambda s=stem, i=ir_path, v=visible_path, m=model: landmarks(s, i, v, m),
            )
        for name in PUBLIC if model != "homography" else ():
            for stem, ir_path, visible_path in pairs(name, step):
                ir, visible = luma(ir_path), luma(visible_path)
                yield f"align {name} {stem} {model}", lambda s=stem, i=ir, v=visible, m=model: known(s, i, v, m)


def by_us(ir: Array, visible: Array, start: Array) -> Array:
    return nif.align(ir, visible, "affine").ir_to_visible


def candidate_cases(step: int) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    candidates = {
        "SimpleITK Mattes MI": by_simpleitk,
        "itk-elastix Mattes MI": by_elastix,
        "OpenCV ECC on gradients": by_opencv,
        "pystackreg": by_pystackreg,
        "ours": by_us,
    }

    own_ones: dict[str, Array] = {}

    def measured(pair: str, ir: Array, visible: Array, run: Callable[..., Array], helped: bool) -> dict[str, Any]:
        truth = random_transform(pair.split()[1], ir.shape)
        found, seconds = timed(run, moved(ir, truth), visible, helped)
        if pair not in own_ones:
            own_ones[pair] = by_us(ir, visible, np.eye(3))
        own = own_ones[pair]
        return {
            "published": error(found, truth, ir, visible),
            "second": error(found, own @ truth, ir, visible),
            "seconds": seconds,
        }

    def landmarks(pair: str, ir: Array, visible: Array, run: Callable[..., Array], helped: bool) -> dict[str, Any]:
        truth, here, there = landmarks_of(pair.split()[1])
        found, seconds = timed(run, ir, visible, helped)
        off = np.linalg.norm(transform(found, here) - there, axis=1).mean()
        return {
            "published": error(found, truth, ir, visible),
            "second": float(off) * SIZE / max(visible.shape),
            "seconds": seconds,
        }

    def timed(run: Callable[..., Array], ir: Array, visible: Array, helped: bool) -> tuple[Array, float]:
        planes = plane_of(ir, "infrared"), plane_of(visible, "visible")
        begin = np.eye(3)
        if helped:
            begin = coarse(*planes, begin, "affine", "near", lambda done, total: None)[0]
        started = time.perf_counter()
        try:
            return run(ir, visible, begin), time.perf_counter() - started
        except Exception:  # these libraries raise their own, when they do not converge
            return begin, time.perf_counter() - started

    for title, run in candidates.items():
        try:
            run(None, None, None)
        except ImportError:
            continue
        except Exception:
            pass  # it is installed, which is all that was asked
        for helped in (False, True) if title != "ours" else (False,):
            for name in ("landmarks", *PUBLIC):
                of_name = landmarks if name == "landmarks" else measured
                for stem, ir_path, visible_path in pairs(name, 1 if name == "landmarks" else 3 * step):
                    ir, visible = luma(ir_path), luma(visible_path)
                    key = f"candidates {name} {stem} {title}{' after our coarse search' if helped else ''}"
                    pair = f"{name} {stem}"
                    yield key, lambda p=pair, i=ir, v=visible, r=run, h=helped, f=of_name: f(p, i, v, r, h)


# -- tables ------------------------------------------------------------------------------------------------------------


def share(hits: list[bool]) -> str:
    return f"{sum(hits)} of {len(hits)} ({sum(hits) / len(hits):.0%})" if hits else "–"


def tables(results: dict[str, dict[str, Any]]) -> None:
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for key, row in results.items():
        part, name, _, kind = key.split(" ", 3)
        groups.setdefault((part, name, kind), []).append(row)

    print("\n| pairs | | told right | median offset | median bend |\n|---|---|---|---|---|")
    right: list[bool] = []
    for (part, name, kind), rows in groups.items():
        if part != "check":
            continue
        flagged = [row["verdict"] in ("misaligned", "deformed") for row in rows]
        hits = [row["verdict"] == "deformed" for row in rows] if kind == "deformed" else flagged
        hits = [not hit for hit in hits] if kind == "aligned" else hits
        right += hits if kind != "deformed" else []
        offset, bend = (np.nanmedian([row[what] for row in rows]) for what in ("offset", "bend"))
        print(f"| {name} | {kind} | {share(hits)} | {offset:.1f} | {bend:.1f} |")
    print(f"| all | flagged or not | {share(right)} | | |")

    print("\n| exactly known | pairs | < 3 px | < 1 px | median | largest |\n|---|---|---|---|---|---|")
    for (part, name, kind), rows in groups.items():
        if part == "exact":
            off = np.array([row["error"] for row in rows])
            hits = [share(list(off < limit)) for limit in (SUCCESS, 1.0)]
            print(f"| {kind} | {name} | {hits[0]} | {hits[1]} | {np.median(off):.2f} | {off.max():.1f} |")

    rig = next((row for key, row in results.items() if key.startswith("rig ")), None)
    if rig:
        print(f"\nThe rig of msrs, from {rig['pairs']} pairs; pixels by which parts are off, down and right:")
        print(*(np.round(np.array(rig["offsets"])[..., axis], 1) for axis in (0, 1)), sep="\n")
        print(f"uncertain by {rig['spread']:.1f}; {rig['rms'][0]:.1f} rms, {rig['rms'][1]:.1f} after the similarity")
        off = corner_distance(np.array(rig["matrix"]), np.eye(3), (480, 640))
        print(f"scale {rig['scale']:.4f}, corners {off:.1f} off")

    print(
        "\n| pairs | model | start | as published < 3 px | own alignment < 3 px | medians | own offset | more MI | s |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for (part, name, model), rows in groups.items():
        if part != "align":
            continue
        second = "landmarks" if name == "landmarks" else "own"
        medians = [np.median([row[what] for row in rows]) for what in ("start", "published", second, "seconds")]
        own = "" if name == "landmarks" else f"{np.median([row['own_offset'] for row in rows]):.1f}"
        more = "" if name == "landmarks" else share([row["information"][1] > row["information"][0] for row in rows])
        hits = [share([row[what] < SUCCESS for row in rows]) for what in ("published", second)]
        if rig and name == "msrs":
            of_rig = [corner_distance(np.array(row["unmoved"]), np.array(rig["matrix"]), (480, 640)) for row in rows]
            hits[1] += f"; rig {share([off < SUCCESS for off in of_rig])}, median {np.median(of_rig):.1f}"
        print(
            f"| {name} | {model} | {medians[0]:.0f} | {hits[0]} | {hits[1]} | {medians[1]:.1f}, {medians[2]:.1f} |"
            f" {own} | {more} | {medians[3]:.1f} |"
        )
    print("For landmarks the second error is that of the landmarks themselves.")

    print(
        "\n| candidate | pairs | as published < 3 px | own alignment, landmarks < 3 px | medians | s |"
        "\n|---|---|---|---|---|---|"
    )
    for (part, name, title), rows in groups.items():
        if part == "candidates":
            hits = [share([row[what] < SUCCESS for row in rows]) for what in ("published", "second")]
            first, second, seconds = (
                np.median([row[what] for row in rows]) for what in ("published", "second", "seconds")
            )
            print(f"| {title} | {name} | {hits[0]} | {hits[1]} | {first:.1f}, {second:.1f} | {seconds:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="JSON lines; what is in it is not computed again")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth pair of tno and msrs")
    parser.add_argument("--quick", action="store_const", const=10, dest="every", help="every tenth")
    parser.add_argument("--parts", default="check,exact,rig,align,candidates")
    arguments = parser.parse_args()
    done: dict[str, dict[str, Any]] = {}
    if arguments.results.exists():
        lines = [json.loads(line) for line in arguments.results.read_text(encoding="utf-8").splitlines()]
        done = {line["key"]: line for line in lines}
    cases = {
        "check": check_cases,
        "exact": exact_cases,
        "rig": rig_cases,
        "align": align_cases,
        "candidates": candidate_cases,
    }
    with arguments.results.open("a", encoding="utf-8") as file:
        for part in arguments.parts.split(","):
            for key, measure in cases[part](arguments.every):
                if key not in done:
                    done[key] = {"key": key, **measure()}
                    file.write(json.dumps(done[key]) + "\n")
                    file.flush()
    tables(done)


if __name__ == "__main__":
    main()
