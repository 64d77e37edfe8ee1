"""Tables over data sets: what belongs together, what is measured, and what a second run need not do again."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import napari_irvisfuse as nif
from napari_irvisfuse import metrics
from napari_irvisfuse.devices import Compute
from napari_irvisfuse.errors import (
    AlignmentError,
    Cancelled,
    FusionError,
    ImageError,
    OutputError,
    ParameterError,
    WeightsError,
)
from napari_irvisfuse.evaluation import Evaluation, Failure, evaluate_folder, pair_files
from napari_irvisfuse.metrics.base import Metric, MetricInfo
from napari_irvisfuse.weights import store

SCENES = ("1", "2", "10")


def info(name: str, higher: bool = True) -> MetricInfo:
    return MetricInfo(name, f"Title of {name}", "What it measures", higher, (0, math.inf), "Somebody 2000", "10.1/x")


class Spy:
    """Metrics that remember how often they were computed."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.hook: Callable[[], None] = lambda: None

    def metric(self, name: str, function: Callable[..., torch.Tensor], higher: bool = True) -> Metric:
        def counted(*images: torch.Tensor) -> torch.Tensor:
            self.calls.append(name)
            self.hook()
            return function(*images)

        return Metric(info(name, higher), counted)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    spy = Spy()
    listed = {
        "standard": [
            spy.metric("bright", lambda f, a, b: f.mean()),
            spy.metric("error", lambda f, a, b: ((f - a).square() + (f - b).square()).mean(), higher=False),
        ],
        "other": [spy.metric("bright", lambda f, a, b: f.mean() / 2)],
        "odd": [
            spy.metric("spread", lambda f, a, b: f.mean() * (f.max() - f.min()) / (f.max() - f.min()))
        ],  # 0/0 if flat
    }
    registry = {profile: {item.info.name: item for item in items} for profile, items in listed.items()}
    monkeypatch.setattr(metrics, "_registry", lambda: registry)
    return spy


def picture(seed: int, size: tuple[int, int] = (32, 32)) -> Any:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with ``ir``, ``vi`` and the fused images of two methods, ``a`` and ``b``."""
    for number, folder in enumerate(("ir", "vi", "a", "b")):
        (tmp_path / folder).mkdir()
        for scene in SCENES:
            nif.write_image(tmp_path / folder / f"{scene}.png", picture(10 * number + int(scene)))
    return tmp_path


def fused(data: Path, *names: str) -> dict[str, Path]:
    return {name: data / name for name in names or ("a", "b")}


def run(data: Path, *names: str, **options: Any) -> Evaluation:
    return evaluate_folder(data / "ir", data / "vi", fused=fused(data, *names), **options)


def table(values: Mapping[str, Mapping[str, Iterable[float]]]) -> Evaluation:
    """Make a table from ``values[method][image]``, of the metrics up and down."""
    images = tuple(sorted({image for found in values.values() for image in found}))
    return Evaluation(
        "standard",
        {"up": info("up"), "down": info("down", False)},
        tuple(values),
        images,
        {
            method: {image: dict(zip(("up", "down"), numbers, strict=True)) for image, numbers in found.items()}
            for method, found in values.items()
        },
    )


# -- files that belong together ------------------------------------------------------------------------------------


def test_files_are_matched_by_name_whatever_the_format(data):
    (data / "vi/2.png").unlink()
    nif.write_image(data / "vi/2.tif", picture(5))
    (data / "vi/index.csv").write_text("a list, no image")
    (data / "vi/._1.png").write_bytes(b"left by another system")
    listing = pair_files(data / "ir", str(data / "vi"), fused(data))
    assert [files.image for files in listing.pairs] == ["1", "2", "10"]
    assert listing.pairs[1].visible == data / "vi/2.tif"
    assert listing.pairs[1].fused == {"a": data / "a/2.png", "b": data / "b/2.png"}
    assert listing.unmatched == ()


def test_what_does_not_match_is_told(data):
    (data / "ir/1.png").unlink()
    (data / "a/2.png").unlink()
    shutil.copy(data / "b/2.png", data / "b/2.tif")
    for number in range(20, 28):
        shutil.copy(data / "ir/2.png", data / f"ir/{number}.png")
    listing = pair_files(data / "ir", data / "vi", fused(data))
    assert [(files.image, set(files.fused)) for files in listing.pairs] == [("2", set()), ("10", {"a", "b"})]
    assert set(listing.unmatched) == {
        "Which is the b fused image: 2.png and 2.tif? They are left out.",
        "Without visible image: 8 infrared images (20, 21, 22, 23, 24, 25 and 2 more).",
        "Without infrared image: 1 visible image (1).",
        "Without its sources: 1 a fused image (1).",
        "Without its sources: 1 b fused image (1).",
        "Not in the folder of a: 1 fused image (2).",
        "Not in the folder of b: 1 fused image (2).",
    }


def test_folders_that_cannot_be_matched(data):
    (data / "empty").mkdir()
    with pytest.raises(ImageError, match=r"There is no folder .*nowhere with the visible images"):
        pair_files(data / "ir", data / "nowhere", {})
    with pytest.raises(ImageError, match=r"There is no image in .*empty, the folder of the a fused images"):
        pair_files(data / "ir", data / "vi", {"a": data / "empty"})
    (data / "empty/else.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"No image in .*ir has the name of one in .*empty .*1\.png, and else\.png"):
        pair_files(data / "ir", data / "empty", {})


# -- values, means and ranks ---------------------------------------------------------------------------------------


def test_values_are_those_of_evaluate(data, spy):
    found = run(data)
    assert (found.profile, found.methods, found.images) == ("standard", ("a", "b"), SCENES)
    for method in "ab":
        for scene in SCENES:
            paths = [data / folder / f"{scene}.png" for folder in (method, "ir", "vi")]
            assert found.values[method][scene] == pytest.approx(nif.evaluate(*paths), rel=1e-12)
    means = found.means()["a"]
    assert means["bright"] == pytest.approx(np.mean([found.values["a"][scene]["bright"] for scene in SCENES]))
    assert (found.failures, found.unmatched, found.reused, found.measured) == ((), (), 0, SCENES)


def test_radiometric_jpegs_are_measured_in_degrees(data, spy, write_rjpeg):
    (data / "ir/2.png").unlink()
    path = write_rjpeg(data / "ir/2.jpg", (17000 + np.arange(1024).reshape(32, 32)).astype(np.uint16))
    celsius = nif.read_radiometric(path).celsius()
    expected = nif.evaluate(data / "a/2.png", celsius, data / "vi/2.png")
    assert run(data, "a").values["a"]["2"] == pytest.approx(expected)


def test_profile_and_metrics_are_chosen(data, spy):
    assert list(run(data, which=["error"]).metrics) == ["error"]
    assert set(spy.calls) == {"error"}
    twice = run(data, which=["bright"]).means()["a"]["bright"]
    assert run(data, profile="other").means()["a"]["bright"] == pytest.approx(twice / 2)


def test_rank_one_is_best_in_the_metrics_direction():
    ranks = table({"a": {"1": (3, 3)}, "b": {"1": (1, 1)}, "c": {"1": (2, 2)}}).ranks()
    assert ranks == {"a": {"up": 1, "down": 3}, "b": {"up": 3, "down": 1}, "c": {"up": 2, "down": 2}}


def test_equal_means_share_a_rank_and_the_next_is_left_out():
    ranks = table({"a": {"1": (5, 5)}, "b": {"1": (5, 5)}, "c": {"1": (1, 9)}, "d": {"1": (9, 1)}}).ranks()
    assert [ranks[method]["up"] for method in "abcd"] == [2, 2, 4, 1]
    assert [ranks[method]["down"] for method in "abcd"] == [2, 2, 4, 1]


def test_methods_are_compared_on_the_same_images():
    found = table({"a": {"1": (1, 0), "2": (9, 0)}, "b": {"1": (2, 0)}})
    assert found.compared("up") == ("1",)
    assert found.means()["a"]["up"] == 1  # its best image is one that b has not
    assert found.ranks()["b"]["up"] == 1


def test_undefined_values_are_left_out_and_do_not_rank():
    nan = math.nan
    found = table({"a": {"1": (1, nan), "2": (nan, nan)}, "b": {"1": (2, 4), "2": (7, 6)}})
    assert (found.compared("up"), found.compared("down")) == (("1",), ("1", "2"))
    assert found.means()["b"] == {"up": 2, "down": 5}
    assert math.isnan(found.means()["a"]["down"])
    assert found.ranks() == {"a": {"up": 2, "down": None}, "b": {"up": 1, "down": 1}}


def test_infinite_values_rank():
    found = table({"a": {"1": (math.inf, 1), "2": (1, 1)}, "b": {"1": (5, -math.inf), "2": (5, math.inf)}})
    assert found.means()["a"]["up"] == math.inf
    assert found.ranks()["a"]["up"] == 1
    assert math.isnan(found.means()["b"]["down"])


# -- what goes wrong -----------------------------------------------------------------------------------------------


def test_a_broken_image_is_reported_and_skipped(data, spy):
    (data / "a/2.png").write_text("not a picture")
    (data / "ir/10.png").write_bytes(b"")
    found = run(data)
    assert {(failure.image, failure.method) for failure in found.failures} == {("2", "a"), ("10", None)}
    reasons = {failure.image: failure.reason for failure in found.failures}
    assert "2.png cannot be read as an image" in reasons["2"]
    assert "10.png cannot be read as an image" in reasons["10"]
    assert str(next(item for item in found.failures if item.method)).startswith("2, a: ")
    assert set(found.values["a"]) == {"1"}
    assert set(found.values["b"]) == {"1", "2"}
    assert found.compared("bright") == ("1",)
    assert found.measured == ("1", "2")


def test_sizes_that_do_not_fit_are_failures_of_their_image(data, spy):
    nif.write_image(data / "a/1.png", picture(1, (40, 32)), overwrite=True)
    nif.write_image(data / "vi/2.png", picture(1, (32, 40)), overwrite=True)
    found = run(data)
    reasons = {(failure.image, failure.method): failure.reason for failure in found.failures}
    assert set(reasons) == {("1", "a"), ("2", None)}
    assert "32×40" in reasons["1", "a"]
    assert "40×32" in reasons["2", None]
    assert found.compared("bright") == ("10",)


def test_short_memory_is_a_failure_and_a_mistake_of_ours_is_none(data, spy):
    def short() -> None:
        raise MemoryError

    spy.hook = short
    found = run(data, "a", which=["bright"])
    assert {failure.reason for failure in found.failures} == {"There is not enough memory to measure it."}
    assert len(found.failures) == 3

    def mistake() -> None:
        raise ZeroDivisionError

    spy.hook = mistake
    with pytest.raises(ZeroDivisionError):
        run(data, "a")


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"fused": {}}, ParameterError, "There is nothing to measure"),
        ({"profile": "magic"}, ParameterError, "There is no metric profile 'magic'"),
        ({"which": ["magic"]}, ParameterError, "has no metric 'magic'"),
        ({"methods": ["magic"]}, ParameterError, "There is no method 'magic'"),
        ({"workers": 0}, ParameterError, "workers is a whole number from 1; got 0"),
        ({"device": "abacus"}, FusionError, "There is no device 'abacus'"),
    ],
)
def test_what_is_refused_before_anything_is_measured(data, spy, options, error, sentence):
    with pytest.raises(error, match=sentence):
        evaluate_folder(data / "ir", data / "vi", **{"fused": fused(data), **options})
    assert spy.calls == []


def test_a_name_stands_for_one_thing(data, spy):
    with pytest.raises(ParameterError, match="'max' names both a folder and a method"):
        evaluate_folder(data / "ir", data / "vi", fused={"max": data / "a"}, methods=["max"])


def test_fused_images_of_other_scenes(data, spy):
    for scene in SCENES:
        (data / f"a/{scene}.png").rename(data / f"a/x{scene}.png")
    with pytest.raises(ImageError, match="No fused image has the name"):
        run(data, "a")


def test_missing_weights_end_it_before_the_first_image(data, spy, monkeypatch):
    from napari_irvisfuse.weights import store

    def nowhere(*args: object, **kwargs: object) -> Path:
        raise WeightsError("They are nowhere.")

    monkeypatch.setattr(store, "resolve", nowhere)
    with pytest.raises(WeightsError):
        evaluate_folder(data / "ir", data / "vi", methods=["average", "resnet152"])
    assert spy.calls == []


# -- methods -------------------------------------------------------------------------------------------------------


def test_measuring_a_method_is_measuring_what_it_would_write(data, spy):
    found = evaluate_folder(data / "ir", data / "vi", fused=fused(data, "a"), methods=["max", "average"])
    assert found.methods == ("a", "max", "average")
    (data / "written").mkdir()
    for scene in SCENES:
        result = nif.fuse(data / f"ir/{scene}.png", data / f"vi/{scene}.png", "max")
        nif.write_image(data / f"written/{scene}.png", result.fused)
    assert found.values["max"] == run(data, "written").values["written"]
    assert found.values["max"] != found.values["average"]
    assert found.ranks()["max"]["bright"] == 1


def test_every_pair_is_fused_and_only_fused_pairs_are_measured(data, spy):
    (data / "a/1.png").unlink()
    assert run(data, "a").images == ("2", "10")
    found = evaluate_folder(data / "ir", data / "vi", fused=fused(data, "a"), methods=["max"])
    assert found.images == SCENES
    assert (set(found.values["a"]), set(found.values["max"])) == ({"2", "10"}, set(SCENES))
    assert found.failures == ()


@pytest.fixture
def rig(data: Path) -> nif.Alignment:
    """Make the infrared images smaller than the visible ones, all in one way; fused images lie on the visible ones."""
    for scene in SCENES:
        nif.write_image(data / f"ir/{scene}.png", picture(int(scene), (20, 24)), overwrite=True)
    matrix = np.array([[1.5, 0, 0.5], [0.1, 1.25, 1], [0, 0, 1]])
    return nif.Alignment(matrix, "affine", (20, 24), (32, 32))


@pytest.mark.parametrize("grid", ["visible", "ir"])
def test_one_alignment_for_all_pairs_of_a_rig(data, spy, rig, grid):
    path = nif.write_alignment(data / "rig.json", rig)
    options = {"ir_to_visible": rig, "grid": grid}
    for scene in SCENES:
        sources = data / f"ir/{scene}.png", data / f"vi/{scene}.png"
        nif.write_image(data / f"a/{scene}.png", nif.fuse(*sources, "max", **options).fused, overwrite=True)
    found = evaluate_folder(
        data / "ir", data / "vi", fused=fused(data, "a"), methods=["max"], ir_to_visible=path, grid=grid
    )
    assert found.failures == ()
    for scene in SCENES:
        paths = [data / folder / f"{scene}.png" for folder in ("a", "ir", "vi")]
        expected = nif.evaluate(*paths, **options)
        assert found.values["a"][scene] == found.values["max"][scene] == pytest.approx(expected, rel=1e-12)


def test_pairs_of_other_sizes_than_the_rig_are_failures(data, spy, rig):
    nif.write_image(data / "ir/2.png", picture(2, (32, 32)), overwrite=True)
    found = evaluate_folder(data / "ir", data / "vi", methods=["max"], ir_to_visible=rig)
    assert found.measured == ("1", "10")
    assert "was found on an infrared image of 24×20 pixels, and this one has 32×32" in str(found.failures[0])


def test_what_is_no_alignment_is_refused_at_once(data, spy):
    with pytest.raises(AlignmentError, match="There is no alignment file"):
        evaluate_folder(data / "ir", data / "vi", methods=["max"], ir_to_visible=data / "nowhere.json")
    with pytest.raises(ParameterError, match="grid is one of"):
        run(data, grid="moon")
    assert spy.calls == []


# -- threads -------------------------------------------------------------------------------------------------------


def test_parallel_is_serial(data, spy):
    # large enough for torch to split its sums between threads
    for folder in ("ir", "vi", "a", "b"):
        nif.write_image(data / folder / "3.png", picture(len(folder), (300, 300)))
    serial, parallel = (run(data, workers=workers, methods=["max"]) for workers in (1, 3))
    assert parallel.images == serial.images == ("1", "2", "3", "10")
    for method in serial.methods:
        for image in serial.images:
            assert parallel.values[method][image] == pytest.approx(serial.values[method][image], rel=1e-12)


def test_several_images_at_once(data, spy):
    meeting = threading.Barrier(3, timeout=20)  # breaks unless three threads are in it together
    spy.hook = lambda: meeting.wait() and None
    assert run(data, "a", which=["bright"], workers=3).failures == ()
    assert len(spy.calls) == 3


def test_threads_of_torch_are_shared_out_and_given_back(data, spy):
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        seen = set()
        spy.hook = lambda: seen.add(torch.get_num_threads())
        run(data, workers=1)
        assert seen == {4}
        seen.clear()
        run(data, workers=2)
        assert seen == {2}
        seen.clear()
        fresh = threading.Thread(target=lambda: seen.add(torch.get_num_threads()))
        fresh.start()
        fresh.join()
        assert seen == {4}
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


def test_progress_counts_methods_in_the_callers_thread(data, spy):
    told: list[tuple[int, int, str, int]] = []
    run(data, progress=lambda done, total, message: told.append((done, total, message, threading.get_ident())))
    assert told[-1][:2] == (6, 6)
    assert told[-1][2] in {f"Measured {scene}" for scene in SCENES}
    assert [step[0] for step in told] == sorted(step[0] for step in told)
    assert {step[3] for step in told} == {threading.get_ident()}


def test_a_failure_counts_as_done(data, spy):
    (data / "ir/1.png").write_bytes(b"")
    told: list[int] = []
    run(data, progress=lambda done, total, message: told.append(done))
    assert told[-1] == 6


def test_cancelling_stops_soon_and_keeps_what_is_finished(data, spy):
    kept = data / "kept.jsonl"
    reached, asked = threading.Event(), threading.Event()

    def fifth() -> None:
        if len(spy.calls) == 5:
            reached.set()
            assert asked.wait(20)
            time.sleep(0.3)  # between the answer and the end of the wait for it

    def cancelled() -> bool:
        if reached.is_set():
            asked.set()
        return reached.is_set()

    spy.hook = fifth
    with pytest.raises(Cancelled):
        run(data, workers=1, resume=kept, cancelled=cancelled)
    assert len(spy.calls) == 5
    finished = len(kept.read_text().splitlines()) - 1
    assert finished == 2
    spy.calls.clear()
    spy.hook = lambda: None
    assert run(data, resume=kept).reused == 2 * finished
    assert len(spy.calls) == 12 - 2 * finished
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("irvisfuse")]


# -- continuing ----------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(data: Path) -> Path:
    return data / "kept.jsonl"


def test_nothing_is_measured_twice(data, spy, kept):
    options: dict[str, Any] = {"methods": ["max"], "resume": kept}
    first = run(data, **options)
    assert len(spy.calls) == 18
    spy.calls.clear()
    second = run(data, **options)
    assert spy.calls == []
    assert second.values == first.values
    assert (first.reused, second.reused) == (0, 18)


def test_what_is_new_is_added(data, spy, kept):
    run(data, "a", which=["bright"], resume=kept)
    spy.calls.clear()
    found = run(data, "a", resume=kept)
    assert spy.calls == ["error"] * 3
    assert list(found.values["a"]["1"]) == ["bright", "error"]
    spy.calls.clear()
    assert run(data, resume=kept).values["a"] == found.values["a"]
    assert len(spy.calls) == 6
    spy.calls.clear()
    run(data, resume=kept, profile="other")
    assert len(spy.calls) == 6


@pytest.mark.parametrize(("changed", "again"), [("a/2.png", 2), ("ir/2.png", 6), ("vi/2.png", 6)])
def test_a_changed_file_is_measured_again(data, spy, kept, changed, again):
    options: dict[str, Any] = {"methods": ["max"], "resume": kept}
    before = run(data, **options)
    spy.calls.clear()
    nif.write_image(data / changed, picture(99), overwrite=True)
    after = run(data, **options)
    assert len(spy.calls) == again
    assert after.values["a"]["2"] != before.values["a"]["2"]
    assert after.values["a"]["1"] == before.values["a"]["1"]


def test_a_copied_file_is_not(data, spy, kept):
    run(data, resume=kept)
    spy.calls.clear()
    (data / "a").rename(data / "c")
    shutil.copytree(data / "c", data / "a", copy_function=shutil.copyfile)
    assert run(data, resume=kept).reused == 12
    assert spy.calls == []


def test_another_alignment_is_measured_again(data, spy, kept, rig):
    options: dict[str, Any] = {"methods": ["max"], "resume": kept, "which": ["bright"]}
    moved = nif.Alignment(rig.ir_to_visible @ np.diag([1, 1.1, 1]), "affine", (20, 24), (32, 32))
    for expected, placed in ((9, rig), (0, rig), (9, "fit"), (9, moved), (0, rig.ir_to_visible.tolist())):
        spy.calls.clear()
        run(data, ir_to_visible=placed, **options)
        assert len(spy.calls) == expected


def test_other_weights_devices_and_precisions_are_another_method(data, spy, kept, monkeypatch):
    from napari_irvisfuse.evaluation import run as evaluation_run

    def reused() -> int:
        found = run(data, "a", methods=["rdn", "average"], resume=kept, device="cpu")
        assert not found.failures
        return found.reused

    compute = Compute(torch.device("cpu"), torch.float32, torch.float32, "")
    for change, again in (({}, 12), ({"network": torch.float16}, 6), ({"device": torch.device("meta")}, 12)):
        changed = dataclasses.replace(compute, **change)
        monkeypatch.setattr(evaluation_run, "choose", lambda *_, changed=changed: changed)
        assert reused() == (0 if not change else 18 - again)  # the average has no network, what was fused no device
        assert reused() == 18
    ours, other = store.fetch("rdn"), data / "other.safetensors"
    save_file(store.load_state_dict(ours), other, {**store.load_metadata(ours), "pictures": "others"})
    monkeypatch.setattr(store, "resolve", lambda *_, **__: other)
    assert reused() == 12


def test_other_parameters_are_another_method(data, spy, kept, monkeypatch):
    from napari_irvisfuse.algorithms import get_method

    run(data, "a", methods=["average"], resume=kept)
    spy.calls.clear()
    method = get_method("average")
    changed = method.parameters(ir_weight=0.1)
    monkeypatch.setattr(type(method), "parameters", lambda self, **values: changed)
    run(data, "a", methods=["average"], resume=kept)
    assert len(spy.calls) == 6


def test_failures_are_tried_again(data, spy, kept):
    good = (data / "a/2.png").read_bytes()
    (data / "a/2.png").write_bytes(good[:50])
    assert len(run(data, resume=kept).failures) == 1
    (data / "a/2.png").write_bytes(good)
    spy.calls.clear()
    assert run(data, resume=kept).failures == ()
    assert len(spy.calls) == 2


def test_a_run_that_was_killed_in_the_middle_of_a_line(data, spy, kept):
    whole = run(data, workers=1, resume=kept)
    text = kept.read_text(encoding="utf-8")
    kept.write_text(text[:-40], encoding="utf-8")
    spy.calls.clear()
    assert run(data, resume=kept).values == whole.values
    assert len(spy.calls) == 2
    spy.calls.clear()
    assert run(data, resume=kept).reused == 12
    assert spy.calls == []


def test_values_that_are_no_numbers_are_kept_too(data, spy, kept):
    nif.write_image(data / "a/1.png", np.full((32, 32), 7, np.uint8), overwrite=True)
    first = run(data, "a", profile="odd", resume=kept)
    assert math.isnan(first.values["a"]["1"]["spread"])
    assert first.compared("spread") == ("2", "10")
    spy.calls.clear()
    assert math.isnan(run(data, "a", profile="odd", resume=kept).values["a"]["1"]["spread"])
    assert spy.calls == []


def test_another_file_is_left_alone(data, spy):
    other = data / "thesis.jsonl"
    other.write_text('{"chapter": 1}\n')
    with pytest.raises(OutputError, match="holds something else"):
        run(data, resume=other)
    assert other.read_text() == '{"chapter": 1}\n'
    with pytest.raises(OutputError, match="There is no folder"):
        run(data, resume=data / "no/kept.jsonl")
    with pytest.raises(OutputError, match="cannot be read"):
        run(data, resume=data / "a")
    assert spy.calls == []


def test_values_that_cannot_be_kept_end_it(data, spy, kept, monkeypatch):
    from napari_irvisfuse.evaluation.finished import Finished

    def full(self: object, path: Path) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Finished, "_open", full)
    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\)"):
        run(data, resume=kept)


# -- tables --------------------------------------------------------------------------------------------------------


@pytest.fixture
def found(data: Path, spy: Spy) -> Evaluation:
    (data / "b/2.png").write_bytes(b"")
    (data / "a/11.png").write_bytes(b"")
    return run(data)


def test_csv_holds_every_number_exactly(found):
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    values = {(row["method"], row["image"]): row for row in rows if row["kind"] == "value"}
    assert set(values) == {("a", "1"), ("a", "2"), ("a", "10"), ("b", "1"), ("b", "10")}
    for (method, image), row in values.items():
        assert {name: float(row[name]) for name in found.metrics} == found.values[method][image]
    for kind, expected in (("mean", found.means()), ("rank", found.ranks())):
        got = {row["method"]: {name: float(row[name]) for name in found.metrics} for row in rows if row["kind"] == kind}
        assert got == expected
    assert [row["bright"] for row in rows if row["kind"] == "n"] == ["2", "2"]
    assert len(rows) == 11


def test_json_holds_everything(found):
    document = json.loads(found.to_json())
    assert document["profile"] == "standard"
    assert document["values"] == found.values
    assert document["means"] == found.means()
    assert document["ranks"] == found.ranks()
    assert document["compared"]["bright"] == ["1", "10"]
    assert document["metrics"]["error"]["higher_is_better"] is False
    assert document["metrics"]["error"]["bounds"] == [0, None]
    assert document["metrics"]["error"]["url"] == "https://doi.org/10.1/x"
    (failure,) = document["failures"]
    assert Failure(**failure) == found.failures[0]
    assert document["unmatched"] == ["Without its sources: 1 a fused image (11)."]


def test_json_is_strict_about_numbers():
    text = table({"a": {"1": (math.inf, math.nan)}}).to_json()
    values = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))["values"]["a"]["1"]
    assert values == {"up": "inf", "down": "nan"}
    assert float(values["up"]) == math.inf


def _markdown_rows(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("|")
    ]


def test_markdown_shows_means_ranks_and_images(found):
    rows = _markdown_rows(found.to_markdown())
    assert rows[0] == ["Metric", "a", "b"]
    means, ranks = found.means(), found.ranks()
    for row, (name, arrow) in zip(rows[2:4], (("bright", "↑"), ("error", "↓")), strict=True):
        assert row[0] == f"{name} {arrow}"
        for cell, method in zip(row[1:], "ab", strict=True):
            value, rank = cell.split(" ")
            assert float(value.strip("*")) == pytest.approx(means[method][name], abs=5e-5)
            assert rank == f"({ranks[method][name]})"
            assert value.startswith("**") == (ranks[method][name] == 1)
    assert rows[4] == ["Image", "Method", "bright ↑", "error ↓"]
    assert [row[:2] for row in rows[6:]] == [["1", "a"], ["1", "b"], ["2", "a"], ["10", "a"], ["10", "b"]]
    assert "means over 2 images of 3 (where every method has a value)" in found.to_markdown()
    assert "## Not measured\n\n- 2, b: " in found.to_markdown()
    assert "- Without its sources: 1 a fused image (11)." in found.to_markdown()
    assert len(_markdown_rows(found.to_markdown(per_image=False))) == 4


def test_one_method_has_no_rank_and_odd_numbers_are_readable():
    one = table({"a|b": {"1": (math.nan, 0.00012345), "2": (math.nan, 0.00012345)}})
    assert _markdown_rows(one.to_markdown(per_image=False))[2:] == [["up ↑", "–"], ["down ↓", "0.000123"]]
    assert r"| a\|b |" in one.to_markdown(per_image=False)
    assert "means over 2 images, up over 0;" in one.to_markdown()
    assert "12.0000" in table({"a": {"1": (12, 1)}}).to_markdown()
    assert "∞" in table({"a": {"1": (math.inf, 1)}}).to_markdown()
    assert "1.23457e+06" in table({"a": {"1": (1234567.8, 1)}}).to_markdown()


@pytest.mark.parametrize("ending", ["csv", "json", "md"])
def test_tables_are_saved_by_the_name(found, tmp_path, ending):
    path = found.save(tmp_path / f"table.{ending}")
    text = {"csv": found.to_csv, "json": found.to_json, "md": found.to_markdown}[ending]()
    assert path.read_bytes().decode() == text
    with pytest.raises(OutputError, match="exists already"):
        found.save(path)
    path.write_text("old")
    found.save(path, overwrite=True)
    assert path.read_bytes().decode() == text


def test_tables_that_cannot_be_saved(found, tmp_path):
    with pytest.raises(OutputError, match=r"tables are written as \.csv, \.json, \.md"):
        found.save(tmp_path / "table.xls")
    with pytest.raises(OutputError, match="There is no folder"):
        found.save(tmp_path / "no/table.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        found.save(tmp_path / "folder.csv")
