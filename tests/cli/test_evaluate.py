"""``irvisfuse evaluate``: tables on stdout and in files, and what becomes of images that cannot be measured."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import napari_irvisfuse as nif
from napari_irvisfuse import metrics
from napari_irvisfuse.evaluation import evaluate_folder
from napari_irvisfuse.metrics.base import Metric, MetricInfo

SOURCES = ("evaluate", "--ir", "ir", "--vis", "vi")
FUSED = ("--fused", "a=a", "--fused", "b=b")
CALLS: list[str] = []


def _metric(name: str, function, higher: bool = True) -> Metric:
    def counted(*images):
        CALLS.append(name)
        return function(*images)

    return Metric(MetricInfo(name, name.title(), "One line.", higher, (0.0, 1.0)), counted)


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    CALLS.clear()
    bright = _metric("bright", lambda f, a, b: f.mean())
    error = _metric("error", lambda f, a, b: (f - b).square().mean(), higher=False)
    listed = {"standard": {"bright": bright, "error": error}, "other": {"bright": bright}}
    monkeypatch.setattr(metrics, "_registry", lambda: listed)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with ``ir``, ``vi`` and the fused images of two methods, three of each."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for folder in ("ir", "vi", "a", "b"):
        Path(folder).mkdir()
        for number in (1, 2, 3):
            nif.write_image(f"{folder}/{number}.png", rng.integers(0, 256, (32, 32), dtype=np.uint8))
    return tmp_path


def _expected(**options):
    return evaluate_folder("ir", "vi", **{"fused": {"a": "a", "b": "b"}, **options})


def test_means_with_ranks(run):
    result = run(*SOURCES, *FUSED)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["Metric", "a", "b"]
    expected = _expected()
    means, ranks = expected.means(), expected.ranks()
    for line, (name, arrow) in zip(lines[2:4], (("bright", "↑"), ("error", "↓")), strict=True):
        numbers = [part for method in "ab" for part in (f"{means[method][name]:.4f}", f"({ranks[method][name]})")]
        assert line.split() == [name, arrow, *numbers]
    assert lines[-1].startswith("Profile standard, means over 3 images; ↑ higher is better")
    assert {path.name for path in Path().iterdir()} == {"ir", "vi", "a", "b"}


def test_values_of_every_image_if_wanted(run):
    assert "Image" not in run(*SOURCES, *FUSED).stdout
    lines = run(*SOURCES, *FUSED, "--per-image").stdout.splitlines()
    values = _expected().values["b"]["2"]
    assert ["2", "b", f"{values['bright']:.4f}", f"{values['error']:.4f}"] in [line.split() for line in lines]


def test_an_alignment_for_all_pairs(run, refused):
    matrix = [[1, 0, 0], [0, 1, 4], [0, 0, 1]]
    Path("rig.json").write_text(json.dumps({"ir_to_visible": matrix, "ir_shape": [32, 32]}))
    document = json.loads(run(*SOURCES, *FUSED, "--methods", "max", "--align", "rig.json", "--json").stdout)
    expected = _expected(methods=["max"], ir_to_visible=matrix)
    assert document["means"] == json.loads(expected.to_json())["means"]
    assert expected.means()["max"] != _expected(methods=["max"]).means()["max"]
    assert "There is no alignment file nowhere.json: name one, or say" in refused(
        *SOURCES, *FUSED, "--align", "nowhere.json"
    )
    assert "grid is one of" in refused(*SOURCES, *FUSED, "--grid", "moon")


def test_what_was_not_measured_is_said_in_options(run):
    nif.write_image("ir/2.png", np.zeros((40, 40), np.uint8), overwrite=True)
    assert "say --align fit if both show the same view, or --align FILE" in run(*SOURCES, *FUSED).stderr


def test_methods_are_fused_here(run):
    document = json.loads(run(*SOURCES, "--methods", "average, max", "--json").stdout)
    assert document["methods"] == ["average", "max"]
    assert document["values"] == _expected(fused={}, methods=["average", "max"]).values
    assert document["ranks"]["max"]["bright"] == 1
    assert len(document["images"]) == 3


def test_profile_metrics_and_workers(run):
    result = run(*SOURCES, *FUSED, "--profile", "other", "--workers", "2", "--json")
    assert list(json.loads(result.stdout)["metrics"]) == ["bright"]
    result = run(*SOURCES, *FUSED, "--which", "error", "--json")
    assert list(json.loads(result.stdout)["metrics"]) == ["error"]


@pytest.mark.parametrize("ending", ["csv", "json", "md"])
def test_tables_are_written(run, ending):
    result = run(*SOURCES, *FUSED, "-o", f"table.{ending}")
    assert result.exit_code == 0
    assert f"Written to table.{ending}." in result.stdout
    expected = _expected()
    text = Path(f"table.{ending}").read_text(encoding="utf-8")
    assert text == {"csv": expected.to_csv, "json": expected.to_json, "md": expected.to_markdown}[ending]()


def test_a_second_run_measures_nothing_again(run):
    run(*SOURCES, *FUSED, "-o", "table.csv")
    assert Path("table.csv.finished.jsonl").is_file()
    before = Path("table.csv").read_bytes()
    CALLS.clear()
    result = run(*SOURCES, *FUSED, "-o", "table.csv", "--overwrite")
    assert CALLS == []
    assert "12 values are of an earlier run" in result.stdout
    assert Path("table.csv").read_bytes() == before
    assert run(*SOURCES, *FUSED, "-o", "table.csv", "--overwrite", "--no-resume").exit_code == 0
    assert len(CALLS) == 12


def test_no_resume_keeps_nothing(run):
    run(*SOURCES, *FUSED, "-o", "table.csv", "--no-resume")
    assert {path.name for path in Path().iterdir()} == {"ir", "vi", "a", "b", "table.csv"}


def test_a_broken_image_is_reported_and_the_rest_is_measured(run):
    Path("a/2.png").write_text("no picture")
    Path("ir/3.png").write_bytes(b"")
    Path("b/7.png").write_bytes(b"")
    result = run(*SOURCES, *FUSED, "-o", "table.csv")
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("Not measured: 2, a: ")
    assert lines[1].startswith("Not measured: 3: ")
    assert lines[2] == "Note: Without its sources: 1 b fused image (7)."
    assert "means over 1 image of 3 (where every method has a value)" in " ".join(result.stdout.split())
    with Path("table.csv").open(encoding="utf-8", newline="") as file:
        assert [row["image"] for row in csv.DictReader(file) if row["kind"] == "value"] == ["1", "1", "2"]


def test_quiet_tells_of_failures_only(run):
    Path("a/2.png").write_text("no picture")
    Path("b/7.png").write_bytes(b"")
    result = run(*SOURCES, *FUSED, "-q", "-o", "table.csv")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("Not measured: 2, a: ")
    assert result.stderr.count("\n") == 1
    assert Path("table.csv").is_file()


def test_nothing_measured_is_an_error_and_writes_nothing(run):
    for number in (1, 2, 3):
        Path(f"a/{number}.png").write_bytes(b"")
    result = run(*SOURCES, "--fused", "a=a", "-o", "table.csv")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1] == "irvisfuse: No image could be measured."
    assert result.stderr.count("Not measured: ") == 3
    assert not Path("table.csv").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "Say what to measure: --fused NAME=FOLDER, or --methods A,B."),
        (["--fused", "a"], "--fused takes NAME=FOLDER; got 'a'."),
        (["--fused", "=a"], "--fused takes NAME=FOLDER; got '=a'."),
        (["--fused", "a=a", "--fused", "a=b"], "--fused names 'a' twice"),
        (["--fused", "a=nowhere"], "There is no folder nowhere with the a fused images."),
        (["--fused", "max=a", "--methods", "max"], "'max' names both a folder and a method"),
        (["--methods", "magic"], "There is no method 'magic'"),
        (["--methods", ","], "Give names with commas between them"),
        ([*FUSED, "--profile", "magic"], "There is no metric profile 'magic'"),
        ([*FUSED, "--which", "magic"], "has no metric 'magic'"),
        ([*FUSED, "--device", "abacus"], "There is no device 'abacus'"),
        ([*FUSED, "--workers", "0"], "workers is a whole number from 1; got 0."),
        ([*FUSED, "-o", "table.xls"], "tables are written as .csv, .json, .md"),
        ([*FUSED, "-o", "no/table.csv"], "There is no folder no to write table.csv into."),
    ],
)
def test_refusals(refused, options, sentence):
    assert sentence in refused(*SOURCES, *options)
    assert CALLS == []


def test_an_existing_table_is_refused_before_anything_is_measured(refused):
    Path("table.csv").write_text("precious")
    assert "exists already: choose another name or add --overwrite" in refused(*SOURCES, *FUSED, "-o", "table.csv")
    assert Path("table.csv").read_text() == "precious"
    assert CALLS == []


def test_folders_of_sources_are_needed(run, refused):
    assert run("evaluate", "--ir", "ir", *FUSED).exit_code == 2
    assert "There is no folder no with the infrared images." in refused("evaluate", "--ir", "no", "--vis", "vi", *FUSED)


def test_ctrl_c_keeps_what_is_finished(run, monkeypatch):
    from napari_irvisfuse.evaluation import work

    real, finished = work.evaluate, []

    def interrupted(*args, cancelled, **kwargs):
        if len(finished) == 2:
            signal.raise_signal(signal.SIGINT)
            while not cancelled():
                pass
        values = real(*args, cancelled=cancelled, **kwargs)
        finished.append(values)
        return values

    monkeypatch.setattr(work, "evaluate", interrupted)
    result = run(*SOURCES, *FUSED, "-o", "table.csv", "--workers", "1")
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == (
        "What is finished is kept in table.csv.finished.jsonl: the same command continues.\nirvisfuse: cancelled.\n"
    )
    assert not Path("table.csv").exists()
    monkeypatch.setattr(work, "evaluate", real)
    CALLS.clear()
    result = run(*SOURCES, *FUSED, "-o", "table.csv")
    assert result.exit_code == 0
    assert len(CALLS) == 8
    assert "4 values are of an earlier run" in result.stdout


@pytest.mark.parametrize("command", ["metrics", "evaluate"])
def test_help_loads_nothing_heavy(command):
    code = (
        "import sys\n"
        "from napari_irvisfuse.cli import main\n"
        f"sys.argv = ['irvisfuse', {command!r}, '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "sys.exit(', '.join({'torch', 'numpy', 'napari'} & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
