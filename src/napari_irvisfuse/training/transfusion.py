"""Training of TransFusion (Qian et al. 2025): first to draw what the encoder sees, then to fuse what it sees of two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from napari_irvisfuse.algorithms.base import option
from napari_irvisfuse.images.weight_blocks import sobel
from napari_irvisfuse.networks.transfusion import Guidance, TransFusion
from napari_irvisfuse.networks.transfusion_config import PRESETS

from .losses import ms_ssim, mutual_information, per_image
from .task import Context, Task, TrainingParameters

__all__ = ["FusionStage", "ReconstructionStage", "TransFusionTraining"]

_CHANNELS, _PIXELS = 16, 512  # of a level's features, drawn anew in each step: what the mutual information is of
_EPSILON = 1e-3


@dataclass(frozen=True)
class TransFusionTraining(TrainingParameters):
    """How either stage of TransFusion is trained."""

    learning_rate: float = option(4e-4, "Of Adam, at the start.", bounds=(1e-8, 1))
    final_learning_rate: float = option(1e-6, "At the end; a cosine leads there.", bounds=(0, 1))
    preset: str = option("compact", "Sizes of the network.", choices=tuple(PRESETS))
    train_encoder: str = option(
        "auto",
        "Whether stage 1 trains the encoder along with the decoder; auto: for compact, not for full.",
        choices=("auto", "yes", "no"),
    )
    structure_weight: float = option(100.0, "Stage 1: factor on 1 − MS-SSIM.", bounds=(0, 10_000))
    intensity_weight: float = option(
        400.0, "Stage 2: factor on the squared error to max(I, V); 100 as published.", bounds=(0, 10_000)
    )
    information_weight: float = option(
        1.0,
        "Stage 2: λ over the mutual information of the features; 100 as published, where it has no effect. 0: without.",
        bounds=(0, 10_000),
    )
    gradient_weight: float = option(
        2.0,
        "Stage 2: factor on the difference to the stronger of both gradients; 0 as published, where fine detail "
        "has little weight: the finest scale of MS-SSIM counts least.",
        bounds=(0, 10_000),
    )
    train_decoder: bool = option(
        False, "Stage 2 trains the decoder along with the fusion blocks; as published it stays as it is."
    )
    guidance: str = option(
        "paper",
        "Stage 2: whether deeper levels guide the spatial attention of finer ones, or none.",
        choices=("paper", "none"),
    )


class ReconstructionStage(Task[TransFusionTraining, TransFusion]):
    """Stage 1: the decoder learns to draw an image from its features."""

    name = "transfusion-1"
    network = "transfusion"
    pictures = "images"
    parameters_type = TransFusionTraining

    def build(self, parameters: TransFusionTraining) -> TransFusion:
        """Build the network; its encoder is loaded afterwards."""
        network = TransFusion(PRESETS[parameters.preset])
        # as published the last layer ends in a ReLU, which answers nothing and learns nothing from below zero
        nn.init.constant_(network.last.bias, 0.5)  # type: ignore[arg-type]
        _begin_with_the_mean(network)
        network.fusion.requires_grad_(False)
        network.encoder.requires_grad_(_trains_encoder(parameters))
        return network

    def trained(self, network: TransFusion) -> Iterable[nn.Parameter]:
        """Return the decoder's weights, and the encoder's if it learns too."""
        return (value for value in network.parameters() if value.requires_grad)

    def losses(
        self, network: TransFusion, images: torch.Tensor, parameters: TransFusionTraining, context: Context
    ) -> Mapping[str, torch.Tensor]:
        """Compare what the decoder draws of ``(N, 1, H, W)`` images with them."""
        with context.autocast():
            drawn = network.reconstruct(images)
        drawn = drawn.float()
        error = per_image((drawn - images).square()).mean()
        structure = (1 - ms_ssim(drawn, images)).mean()
        return {"loss": error + parameters.structure_weight * structure, "error": error, "structure": structure}

    def config(self, network: TransFusion) -> Mapping[str, object]:
        """Return the sizes of the network."""
        return network.config.to_dict()


class FusionStage(Task[TransFusionTraining, TransFusion]):
    """Stage 2: the fusion blocks learn; encoder and decoder stay as they are, unless the decoder is to learn too."""

    name = "transfusion-2"
    network = "transfusion"
    pictures = "pairs"
    parameters_type = TransFusionTraining

    def build(self, parameters: TransFusionTraining) -> TransFusion:
        """Build the network; the weights of stage 1 are loaded afterwards."""
        network = TransFusion(PRESETS[parameters.preset]).requires_grad_(False)
        for part in (network.fusion, *((network.decoder, network.last) if parameters.train_decoder else ())):
            part.requires_grad_()
        return network

    def trained(self, network: TransFusion) -> Iterable[nn.Parameter]:
        """Return the fusion blocks' weights, and the decoder's if it goes on learning."""
        return (value for value in network.parameters() if value.requires_grad)

    def losses(
        self, network: TransFusion, images: torch.Tensor, parameters: TransFusionTraining, context: Context
    ) -> Mapping[str, torch.Tensor]:
        """Compare the fused image with the brighter source, with both structures, and its features with theirs."""
        with context.autocast():
            a, b, levels, fused = _fused(network, images, cast(Guidance, parameters.guidance))
        fused = fused.float()
        ir, visible = images[:, :1], images[:, 1:]
        intensity = per_image((fused - torch.maximum(ir, visible)).square())
        both = ms_ssim(fused.repeat(2, 1, 1, 1), torch.cat([ir, visible]))
        structure = torch.stack((1 - both).chunk(2)).mean(0)
        information = _information(levels, (a, b), context.random)
        gradient = per_image((sobel(fused) - _stronger_gradient(ir, visible)).abs().sum(1))
        loss = parameters.intensity_weight * intensity + structure + parameters.gradient_weight * gradient
        loss = loss + parameters.information_weight / (_EPSILON + information)
        terms = {
            "loss": loss,
            "intensity": intensity,
            "structure": structure,
            "information": information,
            "gradient": gradient,
        }
        return {name: term.mean() for name, term in terms.items()}

    def config(self, network: TransFusion) -> Mapping[str, object]:
        """Return the sizes of the network."""
        return network.config.to_dict()


def _trains_encoder(parameters: TransFusionTraining) -> bool:
    chosen = parameters.train_encoder
    return parameters.preset == "compact" if chosen == "auto" else chosen == "yes"


def _begin_with_the_mean(network: TransFusion) -> None:
    """Let the fusion blocks pass about the mean of both features on: the decoder knows what to do with that.

    Random output convolutions would have to learn the decoder's language first, which takes longer than all the rest.
    """
    for block in network.fusion:
        for number, layer in enumerate(cast(nn.ModuleList, block.output)):
            nn.init.dirac_(cast(torch.Tensor, layer.weight))
            nn.init.zeros_(cast(torch.Tensor, layer.bias))
            if number == 1:
                # gates and attention are about 0.6 at first, and enlarge what they let through by 1.6 each
                with torch.no_grad():
                    cast(torch.Tensor, layer.weight).mul_(0.4)


def _fused(
    network: TransFusion, images: torch.Tensor, guidance: Guidance
) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
    """Return the features of either source and of the fusion, and the fused image."""
    height, width = images.shape[-2:]
    with torch.no_grad():
        both = network.encode(network.pad(images.transpose(0, 1).flatten(0, 1)[:, None]))
    a, b = ([level.chunk(2)[number] for level in both] for number in range(2))
    found = network.fuse_levels(a, b, guidance, valid=(height, width))
    return a, b, found.levels, network.decode(found.levels)[..., :height, :width]


def _stronger_gradient(ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Return the Sobel components ``(N, 2, H, W)``, each with its sign, of whichever source has the larger."""
    first, second = sobel(ir), sobel(visible)
    return torch.where(first.abs() > second.abs(), first, second)


def _information(
    fused: list[torch.Tensor], sources: tuple[list[torch.Tensor], ...], random: torch.Generator
) -> torch.Tensor:
    """Return the mutual information of fused features with either source's, finest and deepest level, ``(N,)``."""
    found = []
    for level in (0, -1):
        channels = torch.randperm(fused[level].shape[1], generator=random)[:_CHANNELS]
        pixels = torch.randperm(fused[level][0, 0].numel(), generator=random)[:_PIXELS]

        def sampled(features: torch.Tensor, c: torch.Tensor = channels, p: torch.Tensor = pixels) -> torch.Tensor:
            return features[:, c.to(features.device)].flatten(2)[..., p.to(features.device)].float()

        found += [mutual_information(sampled(fused[level]), sampled(source[level])) for source in sources]
    return torch.stack(found).sum(0)
