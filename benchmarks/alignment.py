"""How well pairs are aligned, and how well it is told whether they are; tables per data set.

    python benchmarks/alignment.py RESULTS.jsonl [--every N | --quick] [--parts check,align,candidates]

check       ``warped_msrs`` and ``warped_roadscene``: the original pairs are not to be flagged, the deformed ones are.
            ``tno`` and ``msrs``: the original pairs are not to be flagged; the infrared image moved by a known
            transform is; bent by a wave of 10 pixels (at 640), which no affine transform mends, it is to be called
            deformed.
align       ``landmarks``: the mean distance of the landmarks and of the corners from where the published transform puts
            them. ``tno`` and ``msrs``: the infrared image moved by known, seeded transforms with shifts up to 40 pixels
            (at 640), rotations up to 5° and scales of 0.9 to 1.1. These public pairs are themselves off by some pixels,
            so there are two errors: against the pair as published, and against the pair as we align it without having
            moved it. Whether the latter is the truth is judged by mutual information, which we do not use: is it higher
            there than as published, over the same pixels?
candidates  The registrations of other libraries on a third of these pairs, from where the images are and from our
            coarse search: SimpleITK (Mattes mutual information), OpenCV (ECC on gradient strengths). Those not
            installed are left out.

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
from scipy.ndimage import map_coordinates

import napari_irvisfuse as nif
from napari_irvisfuse.alignment.models import corner_distance, transform
from napari_irvisfuse.alignment.planes import plane_of
from napari_irvisfuse.alignment.search import coarse

DATA = Path(os.environ.get("IRVISFUSE_DATA", Path(__file__).parents[2] / "shared/data"))
WARPED, PUBLIC = ("warped_msrs", "warped_roadscene"), ("tno", "msrs")
SUCCESS, SIZE, WAVE = 3.0, 640, 10.0
SWAP = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1.0]])
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


def candidate_cases(step: int) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    candidates = {"SimpleITK Mattes MI": by_simpleitk, "OpenCV ECC on gradients": by_opencv, "ours": by_us}

    def measured(stem: str, ir: Array, visible: Array, run: Callable[..., Array], helped: bool) -> dict[str, Any]:
        truth = random_transform(stem, ir.shape)
        found, seconds = timed(run, moved(ir, truth), visible, helped)
        own = nif.align(ir, visible, "affine").ir_to_visible
        return {
            "published": error(found, truth, ir, visible),
            "second": error(found, own @ truth, ir, visible),
            "seconds": seconds,
        }

    def landmarks(stem: str, ir: Array, visible: Array, run: Callable[..., Array], helped: bool) -> dict[str, Any]:
        truth, here, there = landmarks_of(stem)
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
                    yield key, lambda s=stem, i=ir, v=visible, r=run, h=helped, f=of_name: f(s, i, v, r, h)


# -- other people's registrations -------------------------------------------------------------------------------------


def by_us(ir: Array, visible: Array, start: Array) -> Array:
    return nif.align(ir, visible, "affine").ir_to_visible


def by_simpleitk(ir: Array, visible: Array, start: Array) -> Array:
    import SimpleITK as sitk

    to_ir = SWAP @ np.linalg.inv(start) @ SWAP
    centre = (np.array(visible.shape[::-1]) - 1) / 2
    affine = sitk.AffineTransform(2)
    affine.SetMatrix(to_ir[:2, :2].ravel().tolist())
    affine.SetCenter(centre.tolist())
    affine.SetTranslation((to_ir[:2, 2] - (np.eye(2) - to_ir[:2, :2]) @ centre).tolist())
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.25)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 150, gradientMagnitudeTolerance=1e-6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SetInitialTransform(affine, inPlace=True)
    method.Execute(sitk.GetImageFromArray(visible), sitk.GetImageFromArray(ir))
    matrix, centre = np.array(affine.GetMatrix()).reshape(2, 2), np.array(affine.GetCenter())
    found = np.eye(3)
    found[:2, :2], found[:2, 2] = matrix, np.array(affine.GetTranslation()) + centre - matrix @ centre
    return np.linalg.inv(SWAP @ found @ SWAP)


def by_opencv(ir: Array, visible: Array, start: Array) -> Array:
    import cv2

    def strength(image: Array) -> Array:
        smooth = cv2.GaussianBlur(image, (0, 0), 1.5)
        return cv2.GaussianBlur(np.hypot(cv2.Sobel(smooth, 5, 1, 0), cv2.Sobel(smooth, 5, 0, 1)), (0, 0), 1.5)

    one, other = strength(visible), strength(ir)
    to_ir = SWAP @ np.linalg.inv(start) @ SWAP
    for level in (4, 2, 1):
        scale = np.diag([1 / level, 1 / level, 1.0])
        small, moving = (
            cv2.resize(i, None, fx=1 / level, fy=1 / level, interpolation=cv2.INTER_AREA) for i in (one, other)
        )
        guess = (scale @ to_ir @ np.linalg.inv(scale))[:2].astype(np.float32)
        stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 80, 1e-5)
        _, guess = cv2.findTransformECC(small, moving, guess, cv2.MOTION_AFFINE, stop, None, 5)
        to_ir = np.linalg.inv(scale) @ np.vstack([guess, [0, 0, 1]]) @ scale
    return np.linalg.inv(SWAP @ to_ir @ SWAP)


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
    parser.add_argument("--parts", default="check,align,candidates")
    arguments = parser.parse_args()
    done: dict[str, dict[str, Any]] = {}
    if arguments.results.exists():
        lines = [json.loads(line) for line in arguments.results.read_text(encoding="utf-8").splitlines()]
        done = {line["key"]: line for line in lines}
    cases = {"check": check_cases, "align": align_cases, "candidates": candidate_cases}
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
