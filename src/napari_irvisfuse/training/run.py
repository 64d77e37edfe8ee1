"""``nif.train``: folders in, a weights file out that can be used at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import nn

from napari_irvisfuse.devices import Compute, choose
from napari_irvisfuse.errors import ParameterError, TrainingError, WeightsError
from napari_irvisfuse.images.files import write_atomically
from napari_irvisfuse.networks.transfusion import TransFusion
from napari_irvisfuse.networks.transfusion_checkpoints import load_encoder
from napari_irvisfuse.types import Cancel, Progress
from napari_irvisfuse.weights import store

from .checkpoint import Folder, Row
from .configuration import build_parameters
from .data import Crops, Scan, scan_images, scan_pairs
from .encoders import read_encoder
from .loop import Loop, Start
from .residual_dense import ResidualDenseTask
from .task import Task, TrainingParameters
from .transfusion import FusionStage, ReconstructionStage

__all__ = ["STAGES", "Stage", "TrainingResult", "train"]

STAGES: Mapping[str, tuple[Task[Any, Any], ...]] = {
    "rdn": (ResidualDenseTask(),),
    "transfusion": (ReconstructionStage(), FusionStage()),
}
"""What is trained for each method, one after the other."""

Stage: TypeAlias = Literal["1", "2", "both"]
Folders = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class TrainingResult:
    """A finished training.

    Parameters
    ----------
    weights
        The file that ``weights=`` takes.
    folder
        Where checkpoint, curves (``losses.csv``, ``losses.png``) and ``config.json`` are; of the last stage.
    history
        A row for each ``save_every`` steps: step, learning rate, mean losses, and those of the held-out pictures.
    report
        Sentences about pictures that did not match or could not be used.
    """

    weights: Path
    folder: Path
    history: tuple[Row, ...]
    report: tuple[str, ...]


def train(
    method: str,
    ir: Folders | None,
    visible: Folders | None,
    output: str | Path,
    *,
    images: Folders | None = None,
    stage: Stage = "both",
    encoder: str | Path | None = None,
    start: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    precision: str = "auto",
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
    **parameters: Any,
) -> TrainingResult:
    """Train a network on pairs of images.

    Parameters
    ----------
    method
        ``"rdn"`` or ``"transfusion"``.
    ir, visible
        A folder each, or as many of one as of the other. Files that belong together have one name; any mix of
        sizes, grey or colour, 8 or 16 bit. The first stage of TransFusion needs none if it has ``images``.
    output
        Folder for ``weights.safetensors``, ``losses.csv``, ``losses.png``, ``config.json`` and the checkpoint; those of
        TransFusion's stages go into ``stage-1`` and ``stage-2`` in it.
    images
        Folders of single images for the first stage of TransFusion; the infrared and the visible ones if None.
    stage
        Of TransFusion: ``"1"`` trains the decoder, ``"2"`` the fusion blocks, from ``start`` or the first stage in
        ``output``.
    encoder
        A VGG-19 for the first stage of TransFusion: torchvision's file, or Caffe's arrays as ``.npz``; torchvision's
        is found or fetched if None.
    start
        Weights to begin with in place of random ones, those of the package for example: to adapt them to a camera.
    resume
        Go on with the training in ``output``, as if it had never stopped. Parameters that are not given are its own.
    device, precision
        As for :func:`~napari_irvisfuse.fuse`; below float32 the network runs in mixed precision.
    progress, cancelled
        Called as ``progress(done, total, message)``; answer True to stop. A stopped training can be resumed.
    **parameters
        Such as ``steps=20000`` or ``gradient_weight=10``; for both stages if there are two.

    Raises
    ------
    FusionError
        One of its children, with one sentence that says what to do.
    Cancelled
        If ``cancelled`` answered True.
    """
    if method not in STAGES:
        raise ParameterError(f"There is no training for {method!r}: choose one of {', '.join(STAGES)}.")
    if precision == "float64":
        raise ParameterError("Training computes in float32 at most: choose precision auto, float32 or a shorter one.")
    tasks = STAGES[method]
    several = len(tasks) > 1
    if not several and (stage != "both" or images is not None or encoder is not None):
        raise ParameterError(f"Training {method} has one stage, of pairs alone: leave stage, images and encoder out.")
    pictures = _Pictures(_as_paths(ir), _as_paths(visible), _as_paths(images), progress, cancelled)
    root = Path(output).expanduser()
    folders = [Folder(root / f"stage-{number + 1}" if several else root) for number in range(len(tasks))]
    chosen = _chosen(stage, len(tasks))
    pictures.check([tasks[number] for number in chosen])
    for number in chosen if not resume else chosen[1:]:  # what comes later, before the first stage takes its time
        if not (resume and folders[number].checkpoint.is_file()):
            folders[number].check(begun=resume)
    result = None
    for number in chosen:
        folder = folders[number]
        if result is not None:  # the first stage's, which the second goes on with
            start = result.weights
            if resume and not folder.checkpoint.is_file():
                resume, begun = False, folders[0].load()
                parameters = {**begun.parameters, **parameters}
                precision = begun.precision if precision == "auto" else precision
        elif number and start is None and not resume:
            start = _weights_of_first_stage(root)
        first = result
        run = _Run(tasks[number], folder, pictures, device, precision, several)
        result = run.train(start, None if number else encoder, resume, parameters)
        if first is not None:
            result = replace(result, report=tuple(dict.fromkeys((*first.report, *result.report))))
    assert result is not None  # there is at least one stage
    return result


def _chosen(stage: str, count: int) -> range:
    if stage not in ("1", "2", "both"):
        raise ParameterError(f"stage is 1, 2 or both; got {stage!r}.")
    return range(count) if stage == "both" else range(int(stage) - 1, int(stage))


def _weights_of_first_stage(root: Path) -> Path:
    weights = Folder(root / "stage-1").weights
    if not weights.is_file():
        raise TrainingError(
            f"There is no finished first stage in {root}: train it first, or say which weights to start with."
        )
    return weights


@dataclass(frozen=True)
class _Pictures:
    """Where pictures are, and who wants to know how finding them goes on."""

    ir: list[Path]
    visible: list[Path]
    images: list[Path]
    progress: Progress | None
    cancelled: Cancel | None

    def check(self, tasks: Sequence[Task[Any, Any]]) -> None:
        """Refuse to begin if a stage would find no folders when its turn comes."""
        kinds = {task.pictures for task in tasks}
        if "pairs" in kinds and not (self.ir and self.visible):
            alone = ", or train stage 1 alone" if "images" in kinds else ""
            raise ParameterError(f"Say where the pairs are, infrared and visible images, to fuse{alone}.")
        if not (self.ir or self.visible or self.images):
            raise ParameterError("Say which images to train on: folders of images, or of infrared and visible ones.")

    def scan(self, kind: str) -> Scan:
        """Find the pictures of a kind."""
        if kind == "pairs":
            return scan_pairs(self.ir, self.visible, self.progress, self.cancelled)
        if self.images:
            return scan_images(self.images, self.progress, self.cancelled)
        return scan_images(self.ir, self.progress, self.cancelled, visible=self.visible)


@dataclass(frozen=True)
class _Run:
    """One stage of a training."""

    task: Task[Any, Any]
    folder: Folder
    pictures: _Pictures
    device: str
    precision: str
    staged: bool

    def train(
        self,
        start: str | Path | None,
        encoder: str | Path | None,
        resume: bool,
        parameters: Mapping[str, Any],
    ) -> TrainingResult:
        """Train to the end, and write the weights."""
        task, folder = self.task, self.folder
        state = folder.load() if resume else None
        own = dict(state.parameters) if state and state.task == task.name else {}
        checked = build_parameters(task.parameters_type, {**own, **parameters}, task.network)
        # as if it had never stopped
        precision = state.precision if state is not None and self.precision == "auto" else self.precision
        compute = choose(self.device, precision)
        for file in (start, encoder):
            if file is None:
                continue
            path = store.resolve("", file)  # a typing mistake should not wait for the pictures to be read
            if state is not None and store.sha256_of(path) != state.start_sha256:
                raise TrainingError(
                    f"The training in {folder.path} was not begun with {file}:"
                    " resume it as it was, or begin a new one in another folder."
                )
        scan = self.pictures.scan(task.pictures)
        begin_with = None if resume else self._start(checked, start, encoder)
        folder.make()
        training, validation = _split(len(scan.pictures), checked)
        crops = Crops(scan.load, training, validation, size=checked.crop, batch=checked.batch, seed=checked.seed)
        loop = Loop(task, checked, crops, folder, compute, scan.names, begin_with)
        if state is not None:
            loop.restore(state)
        self._write_config(loop, scan, training, validation, compute)
        finished = loop.step == checked.steps and folder.weights.is_file()
        loop.run(self._progress(), self.pictures.cancelled)
        metadata = {
            "network": task.network,
            "config": task.config(loop.network),
            "training": checked.to_dict(),
            "start_sha256": loop.start_sha256 or "",
            "pictures": str(len(training)),
        }
        # written again they would have another hash, and the second stage would not know what it was begun with
        weights = folder.weights if finished else folder.save_weights(loop.network, metadata)
        return TrainingResult(weights, folder.path, tuple(loop.history), scan.report)

    def _start(
        self, parameters: TrainingParameters, start: str | Path | None, encoder: str | Path | None
    ) -> Start | None:
        """Find what to begin with, and check that it fits."""
        progress, cancelled = self.pictures.progress, self.pictures.cancelled
        if start is not None:
            if encoder is not None:
                raise ParameterError("The weights to start with have an encoder: leave one of the two out.")
            path = store.resolve("", start)
            state = _fitting(self.task, parameters, path)
            return Start(lambda network: network.load_state_dict(state), store.sha256_of(path))
        if not isinstance(self.task, ReconstructionStage):
            return None
        path = store.resolve("vgg19", encoder, progress=progress, cancelled=cancelled)
        with torch.device("meta"):
            config = self.task.build(parameters).config  # type: ignore[arg-type]
        entries = read_encoder(path, config)

        def load(network: nn.Module) -> None:
            assert isinstance(network, TransFusion)
            load_encoder(network, entries)

        return Start(load, store.sha256_of(path))

    def _progress(self) -> Progress | None:
        progress = self.pictures.progress
        if progress is None or not self.staged:
            return progress
        stage = self.task.name.rpartition("-")[2]
        return lambda done, total, message: progress(done, total, f"Stage {stage}: {message}")

    def _write_config(
        self, loop: Loop, scan: Scan, training: list[int], validation: list[int], compute: Compute
    ) -> None:
        names = scan.names
        record = {
            "method": self.task.name,
            "parameters": loop.parameters.to_dict(),
            "start_sha256": loop.start_sha256,
            "training": [names[number] for number in training],
            "held_out": [names[number] for number in validation],
            "notes": list(scan.report),
            "device": compute.explanation,
            "versions": {package: version(package) for package in ("napari-irvisfuse", "torch", "numpy")},
        }
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        write_atomically(self.folder.config, lambda target: target.write_text(text, encoding="utf-8"))


def _fitting(task: Task[Any, Any], parameters: TrainingParameters, path: Path) -> Mapping[str, torch.Tensor]:
    """Read weights to begin with, and check that they fit."""
    with torch.device("meta"):
        wanted = task.build(parameters).state_dict()
    given = store.load_state_dict(path)
    wrong = sorted(
        name
        for name in wanted.keys() | given.keys()
        if name not in wanted or name not in given or wanted[name].shape != given[name].shape
    )
    if wrong:
        raise WeightsError(
            f"{path} does not fit this network ({', '.join(wrong[:4])}):"
            " choose the sizes it was made with, or another file."
        )
    return given


def _as_paths(folders: Folders | None) -> list[Path]:
    if folders is None:
        return []
    items = [folders] if isinstance(folders, str | Path) else list(folders)
    return [Path(item).expanduser() for item in items]


def _split(count: int, parameters: TrainingParameters) -> tuple[list[int], list[int]]:
    """Choose which pictures are held out: the seed decides, and never more than a quarter are."""
    random = np.random.default_rng([parameters.seed, count])
    held_out = {int(number) for number in random.permutation(count)[: min(parameters.held_out, count // 4)]}
    return [number for number in range(count) if number not in held_out], sorted(held_out)
