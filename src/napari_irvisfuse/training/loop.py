"""The one training loop: same seed, same numbers, also when it was interrupted on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from napari_irvisfuse.devices import Compute, is_out_of_memory, release_memory
from napari_irvisfuse.errors import Cancelled, DeviceError, TrainingError
from napari_irvisfuse.types import Cancel, Progress

from .checkpoint import Checkpoint, Folder, Row
from .data import Crops
from .task import Context, Task, TrainingParameters

__all__ = ["Loop", "Start"]


@dataclass(frozen=True)
class Start:
    """Weights to begin with.

    Parameters
    ----------
    load
        Puts them into the network.
    sha256
        Of their file.
    """

    load: Callable[[nn.Module], object]
    sha256: str


class Loop:
    """Minimises a task's loss with Adam and a cosine schedule.

    Parameters
    ----------
    task, parameters
        What is trained, and how.
    crops
        What it is trained on.
    folder
        Where checkpoints go.
    compute
        Where it runs; a network data type below float32 means mixed precision.
    pictures
        Names of the files, for the checkpoint.
    start
        What to begin with in place of random weights.
    """

    def __init__(
        self,
        task: Task[Any, Any],
        parameters: TrainingParameters,
        crops: Crops,
        folder: Folder,
        compute: Compute,
        pictures: list[str],
        start: Start | None = None,
    ) -> None:
        self.task, self.parameters, self.crops = task, parameters, crops
        self.folder, self.compute, self.pictures = folder, compute, pictures
        kept = torch.get_rng_state()  # the user's random numbers are theirs, and those of GPUs are not touched
        try:
            torch.default_generator.manual_seed(parameters.seed)
            network: nn.Module = task.build(parameters)
        finally:
            torch.set_rng_state(kept)
        self.start_sha256: str | None = None
        if start is not None:
            self.start_sha256 = start.sha256
            start.load(network)
        self.network = network.to(compute.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.Adam(list(task.trained(self.network)), lr=parameters.learning_rate)
        self.scaler = torch.amp.GradScaler(compute.device.type, enabled=compute.network == torch.float16)
        self.step = 0
        self.history: list[Row] = []
        self._sums: dict[str, torch.Tensor] = {}  # of the losses since the last row

    def restore(self, state: Checkpoint) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        TrainingError
            If it is of another task, of other parameters or of other pictures.
        """
        now = self.parameters.to_dict()
        if state.task != self.task.name:
            raise TrainingError(f"{self.folder.path} holds a training of {state.task}, not of {self.task.name}.")
        now["precision"], then = self._precision, {**state.parameters, "precision": state.precision}
        for name, value in now.items():
            if name != "save_every" and name in then and then[name] != value:
                raise TrainingError(
                    f"This training was begun with {name} = {then[name]}, not {value}:"
                    " resume it as it was, or begin a new one in another folder."
                )
        if list(state.pictures) != self.pictures:
            other = next(iter(sorted(set(state.pictures) ^ set(self.pictures))), "their order")
            raise TrainingError(
                f"This training was begun with other pictures (see {other}):"
                " resume it with the same folders, or begin a new one."
            )
        self.network.load_state_dict(state.state_dict)
        self.optimiser.load_state_dict(dict(state.optimiser))
        if state.scaler:
            self.scaler.load_state_dict(dict(state.scaler))
        self.start_sha256 = state.start_sha256
        self.step, self.history, self._sums = state.step, list(state.history), dict(state.sums)

    def run(self, progress: Progress | None, cancelled: Cancel | None) -> None:
        """Train to the end.

        Raises
        ------
        Cancelled
            If the user wants to stop; what was reached is saved, unless weights are no numbers any more.
        TrainingError
            If the loss becomes no number; the last checkpoint stays.
        DeviceError
            If a batch does not fit into memory; says which would.
        """
        steps, every = self.parameters.steps, self.parameters.save_every
        started, begun_at = time.monotonic(), self.step
        while self.step < steps:
            if cancelled is not None and cancelled():
                if self._is_sound():
                    self.save()
                raise Cancelled
            losses = self._update()
            self.step += 1
            for name, value in losses.items():
                self._sums[name] = self._sums[name] + value.cpu() if name in self._sums else value.cpu()
            if self.step % every == 0 or self.step == steps:
                self._finish_row()
                self.save()
            if progress is not None:
                left = (time.monotonic() - started) / (self.step - begun_at) * (steps - self.step)
                terms = ", ".join(f"{name} {float(value):.4f}" for name, value in losses.items())
                progress(self.step, steps, f"{terms}; {_duration(left)} left")

    @property
    def _precision(self) -> str:
        return str(self.compute.network).removeprefix("torch.")

    def save(self) -> None:
        """Write a checkpoint."""
        self.folder.save(
            Checkpoint(
                task=self.task.name,
                parameters=self.parameters.to_dict(),
                pictures=self.pictures,
                precision=self._precision,
                start_sha256=self.start_sha256,
                step=self.step,
                state_dict=self.network.state_dict(),
                optimiser=self.optimiser.state_dict(),
                scaler=self.scaler.state_dict(),
                history=self.history,
                sums=self._sums,
            )
        )

    def _finish_row(self) -> None:
        """Write down the mean losses since the last row and those of the held-out pictures."""
        if not self._is_sound():
            self._refuse_nan()  # before a checkpoint would take the place of the last good one
        count = self.step - (int(self.history[-1]["step"]) if self.history else 0)
        means = {name: float(value) / count for name, value in self._sums.items()}
        self._sums = {}
        row = {"step": float(self.step), "learning_rate": self._learning_rate(self.step), **means}
        held_out = self.crops.validation()
        if held_out:
            terms: dict[str, float] = {}
            with torch.inference_mode():
                for images in held_out:
                    share = len(images) / sum(len(batch) for batch in held_out)
                    for name, value in self._losses(images, 0).items():
                        terms[name] = terms.get(name, 0.0) + float(value) * share
            row.update({f"validation_{name}": value for name, value in terms.items()})
        self.history.append(row)

    def _is_sound(self) -> bool:
        return all(bool(value.isfinite().all()) for value in self.network.parameters())

    def _refuse_nan(self) -> None:
        kept = f"the last good state is kept in {self.folder.checkpoint}" if self.history else "nothing was learnt yet"
        raise TrainingError(
            f"The loss is no number any more at step {self.step}; {kept}: begin again with a lower learning rate"
            f"{', with --start from there' if self.history else ''}."
        )

    def _learning_rate(self, step: int) -> float:
        high, low = self.parameters.learning_rate, self.parameters.final_learning_rate
        return low + (high - low) * (1 + math.cos(math.pi * step / self.parameters.steps)) / 2

    def _update(self) -> dict[str, torch.Tensor]:
        """Take one step of the optimiser."""
        for group in self.optimiser.param_groups:
            group["lr"] = self._learning_rate(self.step)
        try:
            losses = self._backward(self.crops.batch(self.step))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            losses = {}
        if not losses:  # outside the except clause, where the traceback no longer holds the tensors
            raise DeviceError(self._what_would_fit())
        if not math.isfinite(float(losses["loss"])):
            self._refuse_nan()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return losses

    def _backward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        self.optimiser.zero_grad(set_to_none=True)
        losses = self._losses(images, self.step)
        torch.autograd.backward(self.scaler.scale(losses["loss"]))
        return {name: value.detach() for name, value in losses.items()}

    def _losses(self, images: torch.Tensor, step: int) -> dict[str, torch.Tensor]:
        random = torch.Generator().manual_seed((self.parameters.seed << 32) + step)
        moved = images.to(self.compute.device).contiguous(memory_format=torch.channels_last)
        return dict(self.task.losses(self.network, moved, self.parameters, Context(self._autocast, random)))

    def _autocast(self) -> AbstractContextManager[object]:
        dtype = self.compute.network
        mixed = dtype in (torch.bfloat16, torch.float16)
        return torch.autocast(self.compute.device.type, dtype) if mixed else nullcontext()

    def _what_would_fit(self) -> str:
        """Try smaller batches until one fits."""
        batch = self.parameters.batch
        smaller = batch // 2
        while smaller:
            self.optimiser.zero_grad(set_to_none=True)
            release_memory(self.compute.device)
            try:
                self._backward(self.crops.batch(self.step, smaller))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                smaller //= 2
            else:
                return f"A batch of {batch} does not fit into the memory of {self.compute.device}; {smaller} would."
        return (
            f"Not even a batch of one fits into the memory of {self.compute.device}:"
            f" use a crop below {self.parameters.crop} pixels or another device."
        )


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
