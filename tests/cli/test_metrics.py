"""``irvisfuse metrics`` says what ``nif.evaluate`` says."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path

import pytest

import napari_irvisfuse as nif
from napari_irvisfuse import metrics
from napari_irvisfuse.metrics.base import Metric, MetricInfo


def _metric(name: str, function, higher: bool = True, bounds=(0.0, 1.0)) -> Metric:
    return Metric(MetricInfo(name, f"Title of {name}", "One line.", higher, bounds, "Doe 1999", "10.1/x"), function)


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = {
        "standard": [
            _metric("bright", lambda f, a, b: f.mean()),
            _metric("error", lambda f, a, b: 1000 * (f - b).square().mean(), False, (0.0, math.inf)),
            _metric("change", lambda f, a, b: f.mean() / 0, True, (-math.inf, math.inf)),
        ],
        "other": [_metric("dark", lambda f, a, b: 1 - f.mean())],
    }
    listed = {profile: {item.info.name: item for item in items} for profile, items in registry.items()}
    monkeypatch.setattr(metrics, "_registry", lambda: listed)


@pytest.fixture
def three(pair: tuple[Path, Path], make) -> tuple[Path, Path, Path]:
    return make("fused.png", seed=5), *pair


def test_table_has_values_directions_and_titles(run, three):
    result = run("metrics", *three)
    assert (result.exit_code, result.stderr) == (0, "")
    values = nif.evaluate(*three)
    lines = result.stdout.splitlines()[2:]
    assert [line.split()[:2] for line in lines] == [["bright", "↑"], ["error", "↓"], ["change", "↑"]]
    assert [line.split("Title")[1].rstrip() for line in lines] == [" of bright", " of error", " of change"]
    assert float(lines[0].split()[2]) == pytest.approx(values["bright"], abs=5e-5)
    assert lines[2].split()[2] == "∞"
    assert values["error"] > 10  # so that the points show whether the numbers are aligned
    assert lines[0].index(".") == lines[1].index(".")


def test_json_has_the_exact_values(run, three):
    document = json.loads(run("metrics", *three, "--json").stdout)
    values = nif.evaluate(*three)
    assert document["profile"] == "standard"
    assert document["fused"] == str(three[0])
    assert document["values"] == {**values, "change": "inf"}


def test_profile_and_choice(run, three):
    assert list(json.loads(run("metrics", *three, "--profile", "other", "--json").stdout)["values"]) == ["dark"]
    chosen = json.loads(run("metrics", *three, "--which", "error, bright", "--json").stdout)
    assert list(chosen["values"]) == ["error", "bright"]


def test_list(run):
    text = run("metrics", "--list").stdout
    assert "Profile standard" in text
    assert "Profile other" in text
    rows = {line.split()[0]: line for line in text.splitlines() if line[:1].strip()}
    assert "↑ higher" in rows["bright"]
    assert "↓ lower" in rows["error"]
    assert "0 … 1" in rows["bright"]
    assert "0 … ∞" in rows["error"]
    assert "-∞ … ∞" in rows["change"]
    assert "Doe 1999 doi:10.1/x" in text
    one = run("metrics", "--list", "--profile", "other").stdout
    assert "dark" in one
    assert "bright" not in one


def test_list_as_json(run):
    listed = json.loads(run("metrics", "--list", "--json").stdout)
    assert list(listed) == ["standard", "other"]
    assert [item["name"] for item in listed["standard"]] == ["bright", "error", "change"]
    assert listed["standard"][1]["bounds"] == [0, None]
    assert listed["standard"][1]["higher_is_better"] is False


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--profile", "magic"], "There is no metric profile 'magic': choose one of standard, other."),
        (["--which", "magic"], "Profile 'standard' has no metric 'magic': it has bright, error, change."),
        (["--which", " , "], "Give names with commas between them"),
        (["--device", "abacus"], "There is no device 'abacus'"),
    ],
)
def test_refusals(refused, three, options, sentence):
    assert sentence in refused("metrics", *three, *options)


def test_images_that_are_missing_or_do_not_fit(refused, three, folder):
    fused, ir, visible = three
    assert "Name three images" in refused("metrics")
    assert "Name three images" in refused("metrics", fused, ir)
    assert "There is no metric profile 'magic'" in refused("metrics", "--list", "--profile", "magic")
    assert "There is no image file" in refused("metrics", folder / "no.png", ir, visible)
    nif.write_image(folder / "small.png", nif.read_image(fused)[:30])
    assert "56×30" in refused("metrics", folder / "small.png", ir, visible)


def test_ctrl_c(run, three, monkeypatch):
    real = nif.evaluate

    def interrupted(*args, **kwargs):
        signal.raise_signal(signal.SIGINT)
        return real(*args, **kwargs)

    monkeypatch.setattr(nif, "evaluate", interrupted)
    result = run("metrics", *three)
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "irvisfuse: cancelled.\n")
