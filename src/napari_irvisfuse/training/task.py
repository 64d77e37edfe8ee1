"""What is trained: a network, its losses and its file. One loop serves every task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, TypeAlias, TypeVar

import torch
from torch import nn

from napari_irvisfuse.algorithms.base import Parameters, option
from napari_irvisfuse.errors import ParameterError

__all__ = ["Context", "Pictures", "Task", "TrainingParameters"]

Pictures: TypeAlias = Literal["pairs", "images"]
ParametersT = TypeVar("ParametersT", bound="TrainingParameters")
NetworkT = TypeVar("NetworkT", bound=nn.Module)


@dataclass(frozen=True)
class TrainingParameters(Parameters):
    """What every training has to know."""

    steps: int = option(7000, "Updates of the weights.", bounds=(1, 10_000_000))
    batch: int = option(8, "Crops in one update.", bounds=(1, 4096))
    crop: int = option(64, "Side of the square crops in pixels.", bounds=(32, 4096))
    learning_rate: float = option(1e-3, "Of Adam, at the start.", bounds=(1e-8, 1))
    final_learning_rate: float = option(1e-5, "At the end; a cosine leads there.", bounds=(0, 1))
    seed: int = option(0, "Of the first weights, the crops and which pairs are held out.", bounds=(0, 2**31 - 1))
    held_out: int = option(6, "Pictures kept for validation, at most a quarter of them.", bounds=(0, 1000))
    save_every: int = option(200, "Steps from one checkpoint and validation to the next.", bounds=(1, 1_000_000))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.final_learning_rate > self.learning_rate:
            raise ParameterError("The learning rate falls: final_learning_rate cannot be above learning_rate.")


@dataclass(frozen=True)
class Context:
    """Of one evaluation of the losses.

    Parameters
    ----------
    autocast
        Enter it around the network, so that it runs in the precision of the device; losses are float32.
    random
        Generator on the CPU that depends on seed and step alone.
    """

    autocast: Callable[[], AbstractContextManager[object]]
    random: torch.Generator


class Task(ABC, Generic[ParametersT, NetworkT]):
    """A network, its losses and its file.

    Attributes
    ----------
    name
        Of the training; of the method if it has a single stage.
    network
        Of the method that reads the weights.
    pictures
        Whether it learns from pairs or from single images.
    parameters_type
        How it can be trained.
    """

    name: ClassVar[str]
    network: ClassVar[str]
    pictures: ClassVar[Pictures]
    parameters_type: ClassVar[type[TrainingParameters]]

    @abstractmethod
    def build(self, parameters: ParametersT) -> NetworkT:
        """Return the network with its first weights; torch's random numbers are seeded."""

    @abstractmethod
    def losses(
        self, network: NetworkT, images: torch.Tensor, parameters: ParametersT, context: Context
    ) -> Mapping[str, torch.Tensor]:
        """Return the terms, the sum that is minimised under ``"loss"``.

        Parameters
        ----------
        images
            ``(N, 2, H, W)``, infrared and visible, or ``(N, 1, H, W)``, in [0, 1].
        """

    def trained(self, network: NetworkT) -> Iterable[nn.Parameter]:
        """Return what the optimiser may change."""
        return network.parameters()

    @abstractmethod
    def config(self, network: NetworkT) -> Mapping[str, object]:
        """Return the sizes that are stored with the weights."""
