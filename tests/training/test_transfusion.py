from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import napari_irvisfuse as nif
from napari_irvisfuse.errors import Cancelled, ImageError, OutputError, ParameterError, TrainingError, WeightsError
from napari_irvisfuse.images.weight_blocks import sobel
from napari_irvisfuse.networks.transfusion import TransFusion
from napari_irvisfuse.training.losses import ms_ssim
from napari_irvisfuse.training.task import Context
from napari_irvisfuse.training.transfusion import (
    FusionStage,
    ReconstructionStage,
    TransFusionTraining,
    _stronger_gradient,
)
from napari_irvisfuse.weights import store

QUICK: dict[str, Any] = {
    "steps": 3,
    "batch": 2,
    "crop": 32,
    "save_every": 2,
    "held_out": 1,
    "device": "cpu",
    "precision": "float32",
}
ENCODER = ("conv1_1", (64, 3)), ("conv1_2", (64, 64)), ("conv2_1", (128, 64)), ("conv2_2", (128, 128))


def context(seed: int = 0) -> Context:
    return Context(nullcontext, torch.Generator().manual_seed(seed))


def images(channels: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.rand(2, channels, 36, 40, generator=torch.Generator().manual_seed(seed))


def built(task: ReconstructionStage | FusionStage, **parameters: Any) -> TransFusion:
    torch.manual_seed(0)
    return task.build(TransFusionTraining(**parameters))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    """Return a file with the first convolutions of a "VGG-19" in Caffe's form."""
    generator = torch.Generator().manual_seed(0)
    arrays = {}
    for name, (outputs, inputs) in (*ENCODER, ("conv3_1", (256, 128))):
        weight = torch.randn(outputs, inputs, 3, 3, generator=generator) * (2 / 9 / inputs) ** 0.5
        arrays |= {f"{name}_weight": weight.numpy(), f"{name}_bias": np.zeros(outputs, np.float32)}
    path = tmp_path_factory.mktemp("encoder") / "vgg19.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    for name in ("ir", "vis"):
        (folder / name).mkdir()
        for number in range(4):
            nif.write_image(folder / name / f"{number}.png", rng.integers(0, 256, (40, 44), dtype=np.uint8))
    return folder / "ir", folder / "vis"


@pytest.fixture(scope="module")
def trained(pairs, encoder, tmp_path_factory) -> nif.training.TrainingResult:
    return nif.train("transfusion", *pairs, tmp_path_factory.mktemp("out"), encoder=encoder, **QUICK)


def state_of(result: nif.training.TrainingResult) -> dict[str, torch.Tensor]:
    return store.load_state_dict(result.weights)


def test_stage_1_compares_what_is_drawn_with_the_image():
    task = ReconstructionStage()
    network, image = built(task), images(1)
    found = task.losses(network, image, TransFusionTraining(structure_weight=7), context())
    drawn = network.reconstruct(image)
    error, structure = (drawn - image).square().mean(), (1 - ms_ssim(drawn, image)).mean()
    torch.testing.assert_close(found["error"], error)
    torch.testing.assert_close(found["loss"], error + 7 * structure)


@pytest.mark.parametrize(
    ("parameters", "learns"),
    [({}, True), ({"train_encoder": "no"}, False), ({"preset": "full"}, False)],
)
def test_stage_1_trains_the_decoder_and_a_small_network_s_encoder(parameters, learns):
    task = ReconstructionStage()
    with torch.device("meta"):
        network = task.build(TransFusionTraining(**parameters))
    trained = {id(value) for value in task.trained(network)}
    for name, value in network.named_parameters():
        part = name.split(".")[0]
        assert (id(value) in trained) == (part in ("decoder", "last") or (part == "encoder" and learns)), name


def test_stage_2_trains_the_fusion_blocks_and_each_of_their_weights():
    task = FusionStage()
    network = built(ReconstructionStage()).requires_grad_(False)
    network.fusion.requires_grad_()
    found = task.losses(network, images(), TransFusionTraining(), context())
    found["loss"].backward()
    trained = {id(value) for value in task.trained(network)}
    for name, value in network.named_parameters():
        assert (id(value) in trained) == name.startswith("fusion")
        assert (value.grad is not None and bool(value.grad.abs().sum() > 0)) == name.startswith("fusion"), name


def test_the_decoder_goes_on_learning_in_stage_2_if_asked():
    task = FusionStage()
    for learns in (False, True):
        network = built(task, train_decoder=learns)
        parts = {name.split(".")[0] for name, value in network.named_parameters() if value.requires_grad}
        assert parts == ({"fusion", "decoder", "last"} if learns else {"fusion"})
        assert {id(value) for value in task.trained(network)} == {
            id(value) for value in network.parameters() if value.requires_grad
        }


def test_stage_2_terms_as_specified():
    task = FusionStage()
    network, both = built(ReconstructionStage()), images()
    network.requires_grad_(False)
    parameters = TransFusionTraining(intensity_weight=50, information_weight=20, gradient_weight=0)
    found = task.losses(network, both, parameters, context())
    ir, visible = both[:, :1], both[:, 1:]
    fused = network(ir, visible)
    intensity = (fused - torch.maximum(ir, visible)).square().mean()
    structure = 0.5 * ((1 - ms_ssim(fused, ir)) + (1 - ms_ssim(fused, visible))).mean()
    torch.testing.assert_close(found["intensity"], intensity, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found["structure"], structure, rtol=1e-4, atol=1e-6)
    rest = found["loss"] - 50 * intensity - structure
    assert float(rest) == pytest.approx(20 / float(found["information"]), rel=0.2)  # a mean of quotients
    alone = task.losses(network, both, TransFusionTraining(information_weight=0), context())
    gradient = 2 * found["gradient"]
    assert float(alone["loss"]) == pytest.approx(float(400 * intensity + structure + gradient), rel=1e-3)


def test_the_gradient_term_asks_for_the_stronger_source_s_edge():
    """An edge in one image alone is wanted in full and with its sign; where both have it, the stronger one's."""
    ir, visible = torch.zeros(1, 1, 36, 40), torch.zeros(1, 1, 36, 40)
    ir[..., 10:] = 0.4
    visible[..., 10:] = -0.2
    visible[..., 30:] = 0.8
    wanted = torch.zeros(1, 1, 36, 40)
    wanted[..., 10:], wanted[..., 30:] = 0.4, 1.4
    stronger = _stronger_gradient(ir, visible)
    torch.testing.assert_close(stronger, sobel(wanted))
    torch.testing.assert_close(_stronger_gradient(visible, ir), stronger)


def test_the_gradient_term_counts_as_told():
    task, both = FusionStage(), images()
    network = built(ReconstructionStage())
    with torch.no_grad():
        without, with_it = (
            task.losses(network, both, TransFusionTraining(gradient_weight=weight), context()) for weight in (0, 3)
        )
    assert float(with_it["gradient"]) == float(without["gradient"]) > 0
    assert float(with_it["loss"] - without["loss"]) == pytest.approx(3 * float(without["gradient"]), rel=1e-4)


def test_the_mutual_information_alone_teaches():
    """What the published code detaches: with nothing else in the loss, the fusion blocks have a gradient."""
    task = FusionStage()
    network, both = built(ReconstructionStage()).requires_grad_(False), images()
    network.fusion.requires_grad_()
    parameters = TransFusionTraining(intensity_weight=0, information_weight=100, gradient_weight=0)
    found = task.losses(network, both, parameters, context())
    (found["loss"] - found["structure"]).backward()
    for level in (network.fusion[0], network.fusion[-1]):
        assert float(level.output[1].weight.grad.abs().sum()) > 0
    before = float(found["information"].detach())
    with torch.no_grad():
        slopes = [(value, value.grad) for value in network.fusion.parameters() if value.grad is not None]
        steepness = sum(float(slope.square().sum()) for _, slope in slopes)
        for value, slope in slopes:
            value -= 0.01 / steepness * slope  # the loss should fall by a hundredth
    after = float(task.losses(network, both, parameters, context())["information"].detach())
    assert after > before


def test_the_step_decides_where_information_is_measured():
    task, network, both = FusionStage(), built(ReconstructionStage()), images()
    values = [
        float(task.losses(network, both, TransFusionTraining(), context(seed))["information"]) for seed in (0, 0, 1)
    ]
    assert values[0] == values[1] != values[2]


def test_begins_with_about_the_mean_of_the_features():
    network, both = built(ReconstructionStage()), images()
    with torch.inference_mode():
        a, b = (network.encode(network.pad(both[:, number : number + 1])) for number in range(2))
        levels = network.fuse_levels(a, b).levels
    for x, y, level in zip(a, b, levels, strict=True):
        mean = (x + y) / 2
        correlation = torch.corrcoef(torch.stack([mean.flatten(), level.flatten()]))[0, 1]
        assert float(correlation) > 0.95
        assert 0.5 < float(level.norm() / mean.norm()) < 1.5


def test_both_stages(trained, encoder):
    assert trained.folder.name == "stage-2"
    first = trained.folder.with_name("stage-1")
    one, two = store.load_state_dict(first / "weights.safetensors"), state_of(trained)
    for name in one:
        assert torch.equal(one[name], two[name]) != name.startswith("fusion"), name
    configs = [json.loads((folder / "config.json").read_text(encoding="utf-8")) for folder in (first, trained.folder)]
    assert configs[0]["start_sha256"] == store.sha256_of(encoder)
    assert configs[1]["start_sha256"] == store.sha256_of(first / "weights.safetensors")
    assert len(configs[0]["training"]) == 7, "both images of each pair, one of them held out"
    assert len(configs[1]["training"]) == 3


def test_the_weights_can_be_used_at_once(trained, pairs):
    ir, visible = pairs
    options = {"preset": "compact", "weights": trained.weights, "device": "cpu"}
    fused = nif.fuse(ir / "0.png", visible / "0.png", "transfusion", **options).fused
    assert fused.shape == (40, 44)
    assert store.load_metadata(trained.weights)["network"] == "transfusion"


def test_stages_one_by_one_are_both_stages(trained, pairs, encoder, tmp_path):
    nif.train("transfusion", None, None, tmp_path, images=pairs, stage="1", encoder=encoder, **QUICK)
    result = nif.train("transfusion", *pairs, tmp_path, stage="2", **QUICK)
    for name, value in state_of(result).items():
        assert torch.equal(value, state_of(trained)[name]), name


@pytest.mark.parametrize("steps", [2, 5])
def test_interrupted_and_resumed_is_the_same(trained, pairs, encoder, tmp_path, steps):
    done: list[str] = []

    def progress(_: int, total: int, message: str) -> None:
        if total == QUICK["steps"] and "left" in message:
            done.append(message)

    stop = {"progress": progress, "cancelled": lambda: len(done) >= steps}
    with pytest.raises(Cancelled):
        nif.train("transfusion", *pairs, tmp_path, encoder=encoder, **stop, **QUICK)
    assert done[-1].startswith("Stage 1" if steps < 3 else "Stage 2")
    result = nif.train("transfusion", *pairs, tmp_path, encoder=encoder, resume=True, device="cpu")
    for name, value in state_of(result).items():
        assert torch.equal(value, state_of(trained)[name]), name


def test_a_finished_training_can_be_resumed_and_stays_as_it_is(trained, pairs, encoder):
    first = trained.folder.with_name("stage-1") / "weights.safetensors"
    before = first.read_bytes(), trained.weights.read_bytes()
    options = {**QUICK, "save_every": 1}
    nif.train("transfusion", *pairs, trained.folder.parent, encoder=encoder, resume=True, **options)
    assert (first.read_bytes(), trained.weights.read_bytes()) == before


def test_what_contradicts_a_training_is_not_resumed(trained, pairs, encoder, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(trained.folder.parent, root)
    for options in ({"start": trained.weights, "stage": "1"}, {"encoder": trained.weights}):
        with pytest.raises(TrainingError, match="was not begun with"):
            nif.train("transfusion", *pairs, root, resume=True, **options, **QUICK)
    shutil.rmtree(root / "stage-1")
    nif.train("transfusion", *pairs, root, stage="1", encoder=encoder, **{**QUICK, "seed": 1})
    with pytest.raises(TrainingError, match=r"stage-2 was not begun with .*stage-1"):
        nif.train("transfusion", *pairs, root, resume=True, device="cpu")
    (root / "stage-2" / "checkpoint.pt").unlink()
    with pytest.raises(OutputError, match=r"stage-2 holds weights\.safetensors"):
        nif.train("transfusion", *pairs, root, resume=True, device="cpu")
    for name in ("weights.safetensors", "losses.csv", "losses.png"):
        (root / "stage-2" / name).unlink()
    nif.train("transfusion", *pairs, root, resume=True, device="cpu")  # stopped before its first checkpoint


def test_starts_with_weights_that_are_there(trained, pairs, tmp_path):
    options = {**QUICK, "steps": 1, "learning_rate": 1e-8, "final_learning_rate": 0.0}
    result = nif.train("transfusion", *pairs, tmp_path, stage="2", start=trained.weights, **options)
    for name, value in state_of(result).items():
        torch.testing.assert_close(value, state_of(trained)[name], atol=1e-7, rtol=0)


def test_refusals(pairs, encoder, trained, tmp_path):
    with pytest.raises(TrainingError, match="no finished first stage"):
        nif.train("transfusion", *pairs, tmp_path / "a", stage="2", **QUICK)
    with pytest.raises(ParameterError, match="stage is 1, 2 or both"):
        nif.train("transfusion", *pairs, tmp_path / "a", stage="3", **QUICK)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="leave one of the two out"):
        nif.train("transfusion", *pairs, tmp_path / "a", start=trained.weights, encoder=encoder, **QUICK)
    with pytest.raises(ParameterError, match="Say which images"):
        nif.train("transfusion", None, None, tmp_path / "a", stage="1", encoder=encoder, **QUICK)
    with pytest.raises(ParameterError, match=r"pairs are.*, or train stage 1 alone"):
        nif.train("transfusion", None, None, tmp_path / "a", images=pairs[0], encoder=encoder, **QUICK)
    with pytest.raises(ParameterError, match="one stage"):
        nif.train("rdn", *pairs, tmp_path / "a", images=pairs[0], **QUICK)
    with pytest.raises(ParameterError, match="no parameter 'texture_weights'"):
        nif.train("transfusion", *pairs, tmp_path / "a", encoder=encoder, texture_weights="half", **QUICK)
    with pytest.raises(WeightsError, match="does not fit this network"):
        nif.train("transfusion", *pairs, tmp_path / "a", stage="2", start=trained.weights, preset="full", **QUICK)
    assert not (tmp_path / "a").exists()


def test_encoders_that_are_none(pairs, tmp_path):
    damaged = tmp_path / "vgg.npz"
    damaged.write_bytes(b"PK damaged")
    with pytest.raises(WeightsError, match="damaged or holds no arrays"):
        nif.train("transfusion", *pairs, tmp_path / "a", encoder=damaged, **QUICK)
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    with pytest.raises(WeightsError, match="not VGG-19's"):
        nif.train("transfusion", *pairs, tmp_path / "a", encoder=tmp_path / "other.npz", **QUICK)
    with pytest.raises(WeightsError, match="There is no weights file"):
        nif.train("transfusion", *pairs, tmp_path / "a", encoder=tmp_path / "none.pth", **QUICK)


def test_torchvision_s_file_is_an_encoder_too(pairs, tmp_path):
    positions = dict(zip((0, 2, 5, 7, 10), (*ENCODER, ("conv3_1", (256, 128))), strict=True))
    state = {}
    for position, (_, (outputs, inputs)) in positions.items():
        state[f"features.{position}.weight"] = torch.randn(outputs, inputs, 3, 3) / (9 * inputs) ** 0.5
        state[f"features.{position}.bias"] = torch.zeros(outputs)
    torch.save(state, tmp_path / "vgg19.pth")
    options = {**QUICK, "steps": 1, "train_encoder": "no"}
    result = nif.train("transfusion", *pairs, tmp_path / "out", stage="1", encoder=tmp_path / "vgg19.pth", **options)
    assert torch.equal(state_of(result)["encoder.0.0.weight"], state["features.0.weight"])


def test_a_folder_of_single_images_reports_what_it_leaves_out(pairs, encoder, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(1)
    nif.write_image(folder / "colour.png", rng.integers(0, 256, (50, 33, 3), dtype=np.uint8))
    nif.write_image(folder / "deep.tif", rng.integers(0, 60000, (33, 50), dtype=np.uint16))
    (folder / "broken.png").write_bytes(b"none")
    result = nif.train("transfusion", None, None, tmp_path / "out", images=folder, stage="1", encoder=encoder, **QUICK)
    assert len(result.report) == 1
    assert "broken.png" in result.report[0]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="no image in"):
        nif.train("transfusion", None, None, tmp_path / "b", images=tmp_path / "empty", stage="1", **QUICK)


def test_it_learns(pairs, encoder, tmp_path):
    options = {**QUICK, "steps": 30, "save_every": 10}
    result = nif.train("transfusion", *pairs, tmp_path, stage="1", encoder=encoder, **options)
    assert result.history[-1]["loss"] < 0.9 * result.history[0]["loss"]
    result = nif.train("transfusion", *pairs, tmp_path, stage="2", information_weight=0, **options)
    assert result.history[-1]["loss"] < result.history[0]["loss"]
