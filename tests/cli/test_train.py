from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import napari_irvisfuse as nif

QUICK = (
    *("-p", "steps=3", "-p", "batch=2", "-p", "crop=32", "-p", "held_out=0"),
    *("--device", "cpu", "--precision", "float32"),
)


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("ir", "vis"):
        Path(name).mkdir()
        for number in range(2):
            nif.write_image(f"{name}/{number}.png", rng.integers(0, 256, (40, 44), dtype=np.uint8))


@pytest.mark.usefixtures("pairs")
def test_trains_and_the_weights_fuse(run):
    nif.write_image("ir/lonely.png", np.zeros((40, 44), np.uint8))
    done = run("train", "rdn", "--ir", "ir", "--vis", "vis", "-o", "out", *QUICK)
    assert done.exit_code == 0, done.output
    assert "weights.safetensors: 3 steps, loss " in done.stdout
    assert "Without visible image: 1 infrared image (lonely)" in done.stderr
    command = next(line for line in done.stdout.splitlines() if line.startswith("Use it: irvisfuse"))
    arguments = command.removeprefix("Use it: irvisfuse ").split()
    named = {"IR": "ir/0.png", "VISIBLE": "vis/0.png", "FILE": "fused.png"}
    done = run(*(named.get(word, word) for word in arguments), "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert nif.read_image("fused.png").shape == (40, 44)


@pytest.mark.usefixtures("pairs")
def test_json_and_quiet(run):
    arguments = ("train", "rdn", "--ir", "ir", "--vis", "vis", *QUICK)
    report = json.loads(run(*arguments, "-o", "one", "--json").stdout)
    assert report["history"][-1]["step"] == 3
    assert Path(report["weights"]).is_file()
    assert run(*arguments, "-o", "two", "--quiet").output == ""


@pytest.mark.usefixtures("pairs")
def test_the_configuration_is_a_file(run):
    shown = run("train", "rdn", "--show-config", "-p", "steps=3", "-p", "batch=2", "-p", "crop=32")
    assert shown.exit_code == 0
    Path("config.yaml").write_text(shown.stdout, encoding="utf-8")
    arguments = ("train", "rdn", "--ir", "ir", "--vis", "vis", "--config", "config.yaml", "--device", "cpu")
    assert run(*arguments, "-o", "one", "-p", "held_out=0").exit_code == 0
    config = json.loads(Path("one/config.json").read_text(encoding="utf-8"))
    assert (config["parameters"]["steps"], config["parameters"]["held_out"]) == (3, 0)
    # what a training leaves is a configuration too
    again = run("train", "rdn", "--config", "one/config.json", "--show-config")
    assert "steps: 3 " in again.stdout


@pytest.mark.usefixtures("pairs")
def test_resume(run):
    arguments = ("train", "rdn", "--ir", "ir", "--vis", "vis", "-o", "out", "--device", "cpu")
    assert run(*arguments, *QUICK).exit_code == 0
    done = run(*arguments, "--resume", "--precision", "float32")
    assert done.exit_code == 0, done.output
    assert "3 steps" in done.stdout


@pytest.mark.usefixtures("pairs")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Say what to train on"),
        (("--ir", "ir", "--vis", "vis"), "Say what to train on"),
        (("--ir", "ir", "--vis", "vis", "-o", "out", "-p", "epochs=3"), "no parameter 'epochs'"),
        (("--ir", "ir", "--vis", "vis", "-o", "out", "-p", "steps"), "name=value"),
        (("--ir", "ir", "--vis", "vis", "-o", "out", "-p", "steps=many"), "steps takes a whole number"),
        (("--ir", "ir", "--vis", "vis", "-o", "out", "-p", "output=x"), "no parameter 'output'"),
        (("--ir", "ir", "--vis", "vis", "-o", "out", "-p", "resume=false"), "no parameter 'resume'"),
        (("--ir", "ir", "--ir", "ir", "--vis", "vis", "-o", "out"), "got 2 and 1"),
        (("--ir", "none", "--vis", "vis", "-o", "out"), "no folder none"),
        (("--ir", "ir", "--vis", "vis", "-o", "out", "--resume"), "no training to resume"),
        (("--config", "none.yaml", "--show-config"), "cannot be read"),
        (("--config", "ir/0.png", "--show-config"), "no YAML or JSON"),
    ],
)
def test_refusals_are_one_line(run, arguments, said):
    done = run("train", "rdn", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not Path("out").exists()


@pytest.fixture
def encoder(pairs) -> str:
    layers = (
        ("conv1_1", 64, 3),
        ("conv1_2", 64, 64),
        ("conv2_1", 128, 64),
        ("conv2_2", 128, 128),
        ("conv3_1", 256, 128),
    )
    arrays = {f"{name}_weight": np.full((outputs, inputs, 3, 3), 1e-3, np.float32) for name, outputs, inputs in layers}
    arrays |= {f"{name}_bias": np.zeros(outputs, np.float32) for name, outputs, _ in layers}
    np.savez("vgg19.npz", **arrays)
    return "vgg19.npz"


def test_both_stages_and_the_weights_fuse(run, encoder):
    arguments = ("train", "transfusion", "--ir", "ir", "--vis", "vis", "--encoder", encoder, *QUICK)
    done = run(*arguments, "-o", "out")
    assert done.exit_code == 0, done.output
    command = next(line for line in done.stdout.splitlines() if line.startswith("Use it: irvisfuse"))
    named = {"IR": "ir/0.png", "VISIBLE": "vis/0.png", "FILE": "fused.png"}
    words = command.removeprefix("Use it: irvisfuse ").split()
    done = run(*(named.get(word, word) for word in words), "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert nif.read_image("fused.png").shape == (40, 44)


def test_stages_alone(run, encoder):
    done = run("train", "transfusion", "--stage", "1", "--images", "vis", "--encoder", encoder, "-o", "out", *QUICK)
    assert done.exit_code == 0, done.output
    assert "Use it" not in done.stdout
    done = run("train", "transfusion", "--stage", "2", "--ir", "ir", "--vis", "vis", "-o", "out", *QUICK)
    assert done.exit_code == 0, done.output
    assert Path("out/stage-2/weights.safetensors").is_file()


def test_the_preset_is_an_option(run):
    done = run("train", "transfusion", "--preset", "full", "--show-config")
    assert "preset: full" in done.stdout
    assert run("train", "transfusion", "--preset", "half", "--show-config").exit_code == 2
