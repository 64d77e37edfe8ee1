from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import napari_irvisfuse as nif
from napari_irvisfuse.errors import (
    Cancelled,
    DeviceError,
    ImageError,
    OutputError,
    ParameterError,
    TrainingError,
    WeightsError,
)
from napari_irvisfuse.training import run as training_run
from napari_irvisfuse.training.residual_dense import ResidualDenseTask, ResidualDenseTraining
from napari_irvisfuse.weights import store

QUICK: dict[str, Any] = {
    "steps": 6,
    "batch": 2,
    "crop": 32,
    "save_every": 4,
    "held_out": 1,
    "device": "cpu",
    "precision": "float32",
}


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return store.load_state_dict(path)


def same(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def stop_after(count: int):
    steps: list[int] = []

    def progress(done: int, total: int, message: str) -> None:
        if total == QUICK["steps"] and "left" in message:
            steps.append(done)

    return progress, lambda: len(steps) >= count


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[tuple[Path, Path], nif.training.TrainingResult]:
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    for name in ("ir", "vis"):
        (folder / name).mkdir()
        for number in range(5):
            nif.write_image(folder / name / f"{number}.png", rng.integers(0, 256, (40, 44), dtype=np.uint8))
    pairs = folder / "ir", folder / "vis"
    return pairs, nif.train("rdn", *pairs, folder / "uninterrupted", **QUICK)


def test_what_a_training_leaves(trained):
    _, result = trained
    assert result.report == ()
    assert [row["step"] for row in result.history] == [4, 6]
    with (result.folder / "losses.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in table] == pytest.approx([row["loss"] for row in result.history], rel=1e-5)
    assert {"ssim", "intensity", "gradient", "validation_loss", "learning_rate"} <= table[0].keys()
    assert (result.folder / "losses.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((result.folder / "config.json").read_text(encoding="utf-8"))
    assert len(config["training"]) == 4
    assert len(config["held_out"]) == 1
    assert config["parameters"]["steps"] == 6
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "checkpoint.pt", "config.json", "losses.csv", "losses.png", "weights.safetensors"
    ]  # fmt: skip


def test_the_weights_can_be_used_at_once(trained):
    (ir, visible), result = trained
    fused = nif.fuse(ir / "0.png", visible / "0.png", "rdn", weights=result.weights, device="cpu").fused
    assert fused.shape == (40, 44)
    state = store.load_metadata(result.weights)
    assert state["network"] == "rdn"
    assert json.loads(state["training"])["batch"] == 2


@pytest.mark.parametrize("after", [1, 4, 5])
def test_interrupted_and_resumed_is_the_same(trained, tmp_path, after):
    pairs, whole = trained
    progress, cancelled = stop_after(after)
    with pytest.raises(Cancelled):
        nif.train("rdn", *pairs, tmp_path / "out", progress=progress, cancelled=cancelled, **QUICK)
    assert not (tmp_path / "out" / "weights.safetensors").exists()
    # what is not given is the training's own
    result = nif.train("rdn", *pairs, tmp_path / "out", resume=True, device="cpu", precision="float32")
    assert same(weights_of(result.weights), weights_of(whole.weights))
    assert result.history == whole.history


def test_the_seed_decides(trained, tmp_path):
    pairs, whole = trained
    torch.manual_seed(5)
    before = torch.get_rng_state()
    again = nif.train("rdn", *pairs, tmp_path / "again", **QUICK)
    assert torch.equal(torch.get_rng_state(), before), "random numbers of the caller are left alone"
    assert same(weights_of(again.weights), weights_of(whole.weights))
    other = nif.train("rdn", *pairs, tmp_path / "other", **{**QUICK, "seed": 1})
    assert not same(weights_of(other.weights), weights_of(whole.weights))


def test_begins_with_weights_that_are_there(trained, tmp_path):
    pairs, whole = trained
    options = {**QUICK, "steps": 1, "learning_rate": 1e-8, "final_learning_rate": 0.0}
    result = nif.train("rdn", *pairs, tmp_path / "out", start=whole.weights, **options)
    for name, value in weights_of(result.weights).items():
        torch.testing.assert_close(value, weights_of(whole.weights)[name], atol=1e-7, rtol=0)
    config = json.loads((result.folder / "config.json").read_text(encoding="utf-8"))
    assert config["start_sha256"] == store.sha256_of(whole.weights)


def test_weights_of_other_sizes_are_no_beginning(trained, tmp_path):
    pairs, whole = trained
    with pytest.raises(WeightsError, match="does not fit this network"):
        nif.train("rdn", *pairs, tmp_path / "out", start=whole.weights, **QUICK, preset="large")
    with pytest.raises(WeightsError, match="no weights file"):
        nif.train("rdn", *pairs, tmp_path / "other", start=tmp_path / "none.safetensors", **QUICK)


def test_it_learns(trained, tmp_path):
    pairs, _ = trained
    result = nif.train("rdn", *pairs, tmp_path / "out", **{**QUICK, "steps": 40, "save_every": 10})
    assert result.history[-1]["loss"] < 0.9 * result.history[0]["loss"]


def test_progress_says_losses_and_time(trained, tmp_path):
    said: list[tuple[int, int, str]] = []
    nif.train("rdn", *trained[0], tmp_path / "out", progress=lambda *args: said.append(args), **QUICK)
    assert [done for done, total, text in said if total == 6 and "left" in text] == [1, 2, 3, 4, 5, 6]
    assert "loss " in said[-1][2]
    assert "gradient " in said[-1][2]


def test_resuming_from_another_beginning_is_refused(trained, tmp_path):
    pairs, whole = trained
    progress, cancelled = stop_after(1)
    with pytest.raises(Cancelled):
        nif.train("rdn", *pairs, tmp_path / "out", progress=progress, cancelled=cancelled, **QUICK)
    with pytest.raises(TrainingError, match="was not begun with"):
        nif.train("rdn", *pairs, tmp_path / "out", resume=True, start=whole.weights, **QUICK)


@pytest.mark.parametrize("name", ["steps", "seed", "gradient_weight"])
def test_resuming_with_other_parameters_is_refused(trained, tmp_path, name):
    pairs, _ = trained
    progress, cancelled = stop_after(1)
    with pytest.raises(Cancelled):
        nif.train("rdn", *pairs, tmp_path / "out", progress=progress, cancelled=cancelled, **QUICK)
    with pytest.raises(TrainingError, match=f"begun with {name} ="):
        nif.train("rdn", *pairs, tmp_path / "out", resume=True, **{**QUICK, name: 9})


def test_resuming_with_other_pictures_is_refused(trained, tmp_path, folders):
    progress, cancelled = stop_after(1)
    with pytest.raises(Cancelled):
        nif.train("rdn", *trained[0], tmp_path / "out", progress=progress, cancelled=cancelled, **QUICK)
    (folders[0] / "0.png").unlink()
    with pytest.raises(TrainingError, match="other pictures"):
        nif.train("rdn", *folders, tmp_path / "out", resume=True, **QUICK)


def test_a_folder_in_use_is_refused(trained):
    pairs, result = trained
    with pytest.raises(OutputError, match=r"holds checkpoint\.pt already"):
        nif.train("rdn", *pairs, result.folder, **QUICK)


def test_files_of_others_are_not_replaced(trained, tmp_path):
    (tmp_path / "config.json").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match=r"holds config\.json already"):
        nif.train("rdn", *trained[0], tmp_path, **QUICK)
    assert (tmp_path / "config.json").read_text(encoding="utf-8") == "mine"


def test_resuming_keeps_the_precision_and_the_beginning(trained, tmp_path):
    pairs, whole = trained
    progress, cancelled = stop_after(1)
    options = {**QUICK, "precision": "bfloat16", "start": whole.weights}
    with pytest.raises(Cancelled):
        nif.train("rdn", *pairs, tmp_path / "out", progress=progress, cancelled=cancelled, **options)
    with pytest.raises(TrainingError, match="begun with precision = bfloat16, not float32"):
        nif.train("rdn", *pairs, tmp_path / "out", resume=True, device="cpu", precision="float32")
    result = nif.train("rdn", *pairs, tmp_path / "out", resume=True, device="cpu")
    straight = nif.train("rdn", *pairs, tmp_path / "straight", **options)
    assert same(weights_of(result.weights), weights_of(straight.weights))
    assert store.load_metadata(result.weights)["start_sha256"] == store.sha256_of(whole.weights)


def test_a_checkpoint_is_a_beginning_too(trained, tmp_path):
    pairs, whole = trained
    options = {**QUICK, "steps": 1, "learning_rate": 1e-8, "final_learning_rate": 0.0}
    result = nif.train("rdn", *pairs, tmp_path / "out", start=whole.folder / "checkpoint.pt", **options)
    torch.testing.assert_close(weights_of(result.weights), weights_of(whole.weights), atol=1e-7, rtol=0)


def test_another_save_every_changes_no_mean(trained, tmp_path):
    pairs, _ = trained
    progress, cancelled = stop_after(3)
    with pytest.raises(Cancelled):
        nif.train("rdn", *pairs, tmp_path / "out", progress=progress, cancelled=cancelled, **QUICK)
    resumed = nif.train("rdn", *pairs, tmp_path / "out", resume=True, **{**QUICK, "save_every": 5})
    straight = nif.train("rdn", *pairs, tmp_path / "straight", **{**QUICK, "save_every": 5})
    assert resumed.history == straight.history


@pytest.mark.parametrize("stopped", [False, True])
def test_weights_that_are_no_numbers_do_not_replace_the_checkpoint(trained, tmp_path, monkeypatch, stopped):
    """Gradients can overflow where the loss did not."""
    from napari_irvisfuse.training.loop import Loop

    update = Loop._update

    def overflow(self: Loop) -> Any:
        losses = update(self)
        if self.step == (4 if stopped else 5):
            with torch.no_grad():
                next(iter(self.network.parameters())).fill_(float("inf"))
        return losses

    progress, cancelled = stop_after(5 if stopped else 9)
    monkeypatch.setattr(Loop, "_update", overflow)
    expected = pytest.raises(Cancelled) if stopped else pytest.raises(TrainingError, match="last good state")
    with expected:
        nif.train("rdn", *trained[0], tmp_path / "out", progress=progress, cancelled=cancelled, **QUICK)
    assert torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)["step"] == 4
    assert not (tmp_path / "out" / "weights.safetensors").exists()


def test_nothing_to_resume(trained, tmp_path):
    pairs, _ = trained
    with pytest.raises(TrainingError, match="no training to resume"):
        nif.train("rdn", *pairs, tmp_path, resume=True)
    (tmp_path / "checkpoint.pt").write_bytes(b"damaged")
    with pytest.raises(TrainingError, match="damaged"):
        nif.train("rdn", *pairs, tmp_path, resume=True)
    torch.save({"format": 99}, tmp_path / "checkpoint.pt")
    with pytest.raises(TrainingError, match="another version"):
        nif.train("rdn", *pairs, tmp_path, resume=True)


def test_what_is_asked_wrongly(trained, tmp_path):
    pairs, _ = trained
    with pytest.raises(ParameterError, match="no training for 'wls'"):
        nif.train("wls", *pairs, tmp_path)
    with pytest.raises(ParameterError, match="no parameter 'epochs'"):
        nif.train("rdn", *pairs, tmp_path, epochs=3)
    with pytest.raises(ParameterError, match="learning rate falls"):
        nif.train("rdn", *pairs, tmp_path, learning_rate=1e-5, final_learning_rate=1e-3)
    with pytest.raises(ImageError, match="no folder"):
        nif.train("rdn", tmp_path / "nowhere", pairs[1], tmp_path)
    assert not list(tmp_path.iterdir())


class _Failing(ResidualDenseTask):
    """Fails as a GPU without memory, or gives no number, from a certain step on."""

    def __init__(self, kind: str, least: int) -> None:
        self.kind, self.least = kind, least
        self.calls = 0

    def losses(self, network: Any, images: torch.Tensor, parameters: Any, context: Any) -> Mapping[str, torch.Tensor]:
        self.calls += 1
        if self.kind == "memory" and len(images) > self.least:
            raise torch.cuda.OutOfMemoryError("out of memory")
        terms = dict(super().losses(network, images, parameters, context))
        if self.kind == "nan" and self.calls > self.least:
            terms["loss"] = terms["loss"] * float("nan")
        return terms


@contextmanager
def task(kind: str, least: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(training_run, "STAGES", {"rdn": (_Failing(kind, least),)})
    yield
    monkeypatch.undo()


def test_no_number_stops_and_keeps_the_last_good_state(trained, tmp_path, monkeypatch):
    pairs, whole = trained
    with task("nan", 5, monkeypatch), pytest.raises(TrainingError, match=r"at step 4; the last good state is kept in"):
        nif.train("rdn", *pairs, tmp_path / "out", **QUICK)  # four steps and one validation before
    assert torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)["step"] == 4
    result = nif.train("rdn", *pairs, tmp_path / "out", resume=True, device="cpu", precision="float32")
    assert same(weights_of(result.weights), weights_of(whole.weights))


def test_no_number_from_the_beginning(trained, tmp_path, monkeypatch):
    with task("nan", 0, monkeypatch), pytest.raises(TrainingError, match="nothing was learnt yet"):
        nif.train("rdn", *trained[0], tmp_path / "out", **QUICK)


@pytest.mark.parametrize(("least", "said"), [(3, "; 2 would"), (1, "; 1 would"), (0, "Not even a batch of one")])
def test_too_little_memory_says_what_would_fit(trained, tmp_path, monkeypatch, least, said):
    with task("memory", least, monkeypatch), pytest.raises(DeviceError, match=said):
        nif.train("rdn", *trained[0], tmp_path / "out", **{**QUICK, "batch": 4})


def test_other_failures_are_not_hidden(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(ResidualDenseTask, "losses", lambda *_: {}["no such thing"])
    with pytest.raises(KeyError):
        nif.train("rdn", *trained[0], tmp_path / "out", **QUICK)


def test_mixed_precision_trains_too(trained, tmp_path):
    result = nif.train("rdn", *trained[0], tmp_path / "out", **{**QUICK, "precision": "bfloat16"})
    assert all(value.dtype == torch.float32 for value in weights_of(result.weights).values())
    assert all(np.isfinite(row["loss"]) for row in result.history)


def test_pairs_of_every_kind(folders, tmp_path):
    result = nif.train("rdn", *folders, tmp_path / "out", **QUICK)
    assert result.report == ()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu(trained, tmp_path):
    result = nif.train("rdn", *trained[0], tmp_path / "out", **{**QUICK, "device": "cuda", "precision": "auto"})
    assert np.isfinite(result.history[-1]["loss"])


def test_parameters_are_all_documented():
    assert all(info.help.endswith(".") for info in ResidualDenseTraining.describe())
    assert isinstance(ResidualDenseTask().build(ResidualDenseTraining()), nn.Module)
