"""``nif.train``: folders in, a weights file out that can be used at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_irvisfuse.devices import choose
from napari_irvisfuse.errors import ParameterError, WeightsError
from napari_irvisfuse.images.files import write_atomically
from napari_irvisfuse.images.pair import ImagePair
from napari_irvisfuse.types import Cancel, Progress
from napari_irvisfuse.weights import store

from .checkpoint import Folder, Row
from .configuration import build_parameters
from .data import Crops, Picture, scan_pairs
from .loop import Loop
from .residual_dense import ResidualDenseTask
from .task import Task, TrainingParameters

__all__ = ["TASKS", "TrainingResult", "train"]

TASKS: Mapping[str, Task[Any, Any]] = {task.name: task for task in (ResidualDenseTask(),)}
Folders = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class TrainingResult:
    """A finished training.

    Parameters
    ----------
    weights
        The file that ``weights=`` takes.
    folder
        Where checkpoint, curves (``losses.csv``, ``losses.png``) and ``config.json`` are.
    history
        A row for each ``save_every`` steps: step, learning rate, mean losses, and those of the held-out pairs.
    report
        Sentences about pictures that did not match or could not be used.
    """

    weights: Path
    folder: Path
    history: tuple[Row, ...]
    report: tuple[str, ...]


def train(
    method: str,
    ir: Folders,
    visible: Folders,
    output: str | Path,
    *,
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
        ``"rdn"``.
    ir, visible
        A folder each, or as many of one as of the other. Files that belong together have one name; any mix of
        sizes, grey or colour, 8 or 16 bit.
    output
        Folder for ``weights.safetensors``, ``losses.csv``, ``losses.png``, ``config.json`` and the checkpoint.
    start
        Weights to begin with in place of random ones, those of the package for example: to adapt them to a camera.
    resume
        Go on with the training in ``output``, as if it had never stopped. Parameters that are not given are its own.
    device, precision
        As for :func:`~napari_irvisfuse.fuse`; below float32 the network runs in mixed precision.
    progress, cancelled
        Called as ``progress(done, total, message)``; answer True to stop. A stopped training can be resumed.
    **parameters
        Such as ``steps=20000`` or ``gradient_weight=10``.

    Raises
    ------
    FusionError
        One of its children, with one sentence that says what to do.
    Cancelled
        If ``cancelled`` answered True.
    """
    if method not in TASKS:
        raise ParameterError(f"There is no training for {method!r}: choose one of {', '.join(TASKS)}.")
    task = TASKS[method]
    folder = Folder(Path(output).expanduser())
    state = folder.load() if resume else None
    own = dict(state.parameters) if state and state.task == task.name else {}
    checked = build_parameters(task.parameters_type, {**own, **parameters}, task.name)
    if precision == "float64":
        raise ParameterError("Training computes in float32 at most: choose precision auto, float32 or a shorter one.")
    if state is not None and precision == "auto":
        precision = state.precision  # as if it had never stopped
    compute = choose(device, precision)
    begin_with = None if start is None or resume else _weights(task, checked, store.resolve("", start))
    if state is None:
        folder.check()
    scan = scan_pairs(_as_paths(ir), _as_paths(visible), progress, cancelled)
    folder.make()

    def load(number: int) -> Picture:
        pair = ImagePair.from_images(*scan.pairs[number])
        return np.stack([pair.ir, pair.visible]).astype(np.float32, copy=False)

    names = [f"{Path(*ir_file.parts[-3:])}, {Path(*other.parts[-3:])}" for ir_file, other in scan.pairs]
    training, validation = _split(len(names), checked)
    crops = Crops(load, training, validation, size=checked.crop, batch=checked.batch, seed=checked.seed)
    loop = Loop(task, checked, crops, folder, compute, names, begin_with)
    if state is not None:
        loop.restore(state)
    record = {
        "method": task.name,
        "parameters": checked.to_dict(),
        "start_sha256": loop.start_sha256,
        "training": [names[number] for number in training],
        "held_out": [names[number] for number in validation],
        "notes": list(scan.report),
        "device": compute.explanation,
        "versions": {package: version(package) for package in ("napari-irvisfuse", "torch", "numpy")},
    }
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder.config, lambda target: target.write_text(text, encoding="utf-8"))
    loop.run(progress, cancelled)
    metadata = {
        "network": task.name,
        "config": task.config(loop.network),
        "training": checked.to_dict(),
        "start_sha256": loop.start_sha256 or "",
        "pictures": str(len(training)),
    }
    weights = folder.save_weights(loop.network, metadata)
    return TrainingResult(weights, folder.path, tuple(loop.history), scan.report)


def _weights(
    task: Task[Any, Any], parameters: TrainingParameters, path: Path
) -> tuple[Mapping[str, torch.Tensor], str]:
    """Read weights to begin with, and check that they fit; with the file's hash."""
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
    return given, store.sha256_of(path)


def _as_paths(folders: Folders) -> list[Path]:
    items = [folders] if isinstance(folders, str | Path) else list(folders)
    return [Path(item).expanduser() for item in items]


def _split(count: int, parameters: TrainingParameters) -> tuple[list[int], list[int]]:
    """Choose which pictures are held out: the seed decides, and never more than a quarter are."""
    random = np.random.default_rng([parameters.seed, count])
    held_out = {int(number) for number in random.permutation(count)[: min(parameters.held_out, count // 4)]}
    return [number for number in range(count) if number not in held_out], sorted(held_out)
