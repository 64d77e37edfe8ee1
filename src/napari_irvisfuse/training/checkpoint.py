"""The files of a training: the checkpoint it goes on from, its curves, and the weights it ends in."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from napari_irvisfuse.errors import OutputError, TrainingError
from napari_irvisfuse.images.files import write_atomically

__all__ = ["Checkpoint", "Folder", "Row"]

Row = dict[str, float]
_FORMAT = 1


@dataclass
class Checkpoint:
    """All that decides how a training goes on.

    Parameters
    ----------
    task, parameters, pictures
        What is trained, how, and on which files, in this order.
    precision
        Data type of the network's layers while it is trained.
    start_sha256
        Of the weights that it began with, if it did not with random ones.
    step
        Updates that are done.
    state_dict, optimiser, scaler
        Of the network, so that the file can be used as weights to begin with, of Adam and of the loss scaler.
    history
        A row of mean losses for each ``save_every`` steps.
    sums
        The losses since the last row.
    """

    task: str
    parameters: Mapping[str, Any]
    pictures: Sequence[str]
    precision: str
    start_sha256: str | None
    step: int
    state_dict: Mapping[str, Any]
    optimiser: Mapping[str, Any]
    scaler: Mapping[str, Any]
    history: list[Row] = field(default_factory=list)
    sums: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Folder:
    """Where a training keeps its files, each replaced as a whole.

    Parameters
    ----------
    path
        The folder.
    """

    path: Path

    @property
    def checkpoint(self) -> Path:
        """What it goes on from."""
        return self.path / "checkpoint.pt"

    @property
    def weights(self) -> Path:
        """What it ends in."""
        return self.path / "weights.safetensors"

    @property
    def config(self) -> Path:
        """How it is trained, for people and for ``--config``."""
        return self.path / "config.json"

    @property
    def losses(self) -> Path:
        """The history as a table; a picture of it lies beside."""
        return self.path / "losses.csv"

    def check(self, *, begun: bool = False) -> None:
        """Refuse a folder in which something would be replaced.

        Parameters
        ----------
        begun
            The training may have stopped before its first checkpoint, which is written after the configuration.

        Raises
        ------
        OutputError
            If there is a training in it, or a file of a training's names.
        """
        there = (self.checkpoint, self.weights, self.config, self.losses, self.losses.with_suffix(".png"))
        found = [path.name for path in there if path.exists() and not (begun and path == self.config)]
        if found:
            resume = "" if begun else "resume it, or "
            raise OutputError(
                f"{self.path} holds {found[0]} already, perhaps of a training: {resume}choose another folder."
            )

    def make(self) -> None:
        """Make the folder.

        Raises
        ------
        OutputError
            If the system refuses.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"The folder {self.path} cannot be made ({error.strerror or error}).") from error

    def load(self) -> Checkpoint:
        """Read the checkpoint; nothing in it is run.

        Raises
        ------
        TrainingError
            If there is none, or it is damaged or of another version.
        """
        if not self.checkpoint.is_file():
            raise TrainingError(f"There is no training to resume in {self.path}: leave out resume to begin one.")
        try:
            content = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            if content.pop("format") != _FORMAT:
                raise TrainingError(f"{self.checkpoint} was made by another version: begin a new training.")
            return Checkpoint(**content)
        except TrainingError:
            raise
        except OSError as error:
            raise TrainingError(f"{self.checkpoint} cannot be read ({error.strerror or error}).") from error
        except Exception as error:  # torch raises whatever the damaged bytes lead to
            raise TrainingError(f"{self.checkpoint} is damaged: begin a new training in another folder.") from error

    def save(self, state: Checkpoint) -> None:
        """Write checkpoint, curves and configuration."""
        # into memory first: torch has errors of its own for a full disk
        content = io.BytesIO()
        torch.save({"format": _FORMAT, **vars(state)}, content)
        write_atomically(self.checkpoint, lambda target: target.write_bytes(content.getbuffer()))
        if state.history:
            table = io.StringIO()
            writer = csv.DictWriter(table, list(state.history[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows({name: f"{value:.7g}" for name, value in row.items()} for row in state.history)
            write_atomically(self.losses, lambda target: target.write_text(table.getvalue(), encoding="utf-8"))
            self._draw(state.history)

    def save_weights(self, network: nn.Module, metadata: Mapping[str, object]) -> Path:
        """Write the weights as a method reads them: float32, with what belongs to them as metadata."""
        from safetensors.torch import save

        state = {name: value.detach().cpu().float().contiguous() for name, value in network.state_dict().items()}
        texts = {
            name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for name, value in metadata.items()
        }
        content = save(state, texts)
        return write_atomically(self.weights, lambda target: target.write_bytes(content))

    def _draw(self, history: Sequence[Row]) -> None:
        """Draw the losses over the steps, validation dashed."""
        from matplotlib.figure import Figure

        names = [name for name in history[0] if name not in ("step", "learning_rate") and "validation" not in name]
        columns = min(2, len(names))
        rows = -(-len(names) // columns)
        figure = Figure(figsize=(5.2 * columns, 3 * rows), layout="constrained")
        steps = [row["step"] for row in history]
        for name, axes in zip(names, figure.subplots(rows, columns, squeeze=False).flat, strict=False):
            axes.plot(steps, [row[name] for row in history], label="training")
            if f"validation_{name}" in history[0]:
                axes.plot(steps, [row[f"validation_{name}"] for row in history], "--", label="validation")
            axes.set(title=name, xlabel="step")
            axes.grid(alpha=0.3)
            axes.legend()
        picture = self.losses.with_suffix(".png")
        write_atomically(picture, lambda target: figure.savefig(target, dpi=110))
