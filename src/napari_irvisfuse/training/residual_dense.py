"""Training of the residual dense network with gradient loss (after Li et al. 2023)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from napari_irvisfuse.algorithms.base import option
from napari_irvisfuse.images.weight_blocks import sobel, weight_blocks
from napari_irvisfuse.networks.residual_dense import PRESETS, ResidualDenseNetwork

from .losses import per_image, ssim
from .task import Context, Task, TrainingParameters

__all__ = ["ResidualDenseTask", "ResidualDenseTraining"]


@dataclass(frozen=True)
class ResidualDenseTraining(TrainingParameters):
    """How the residual dense network is trained."""

    preset: str = option("paper", "Sizes of the network.", choices=tuple(PRESETS))
    intensity_weight: float = option(50.0, "Factor on L_int.", bounds=(0, 1000))
    gradient_weight: float = option(5.0, "Factor on L_grad; 0 leaves it out.", bounds=(0, 1000))
    gradient: str = option(
        "signed",
        "L_grad compares the two components of the gradient with their signs, or the magnitude |∂x| + |∂y|.",
        choices=("signed", "magnitude"),
    )
    texture_weights: str = option(
        "inputs",
        "The weight blocks W: extracted from the inputs, or half (the ablation, 0.5 everywhere).",
        choices=("inputs", "half"),
    )
    dense: bool = option(True, "Residual dense blocks; false is the ablation with plain convolutions.")
    skip: bool = option(True, "Shallow features are merged at the end; false is the ablation without.")


class ResidualDenseTask(Task[ResidualDenseTraining, ResidualDenseNetwork]):
    """End to end, without a reference image: the two sources are what the fused image is compared with."""

    name = network = "rdn"
    pictures = "pairs"
    parameters_type = ResidualDenseTraining

    def build(self, parameters: ResidualDenseTraining) -> ResidualDenseNetwork:
        """Build the network with torch's default initialisation."""
        config = dataclasses.replace(PRESETS[parameters.preset], dense=parameters.dense, skip=parameters.skip)
        return ResidualDenseNetwork(config)

    def losses(
        self, network: ResidualDenseNetwork, images: torch.Tensor, parameters: ResidualDenseTraining, context: Context
    ) -> Mapping[str, torch.Tensor]:
        """Compare the fused image with both sources, each weighted where it has something to show."""
        with context.autocast():
            fused = network(images)
        fused = fused.float()
        ir, visible = images[:, :1], images[:, 1:]
        with torch.no_grad():
            blocks = weight_blocks(ir, visible)
            texture = torch.full_like(ir, 0.5) if parameters.texture_weights == "half" else blocks.texture
            g_ir, g_visible = _gradient(torch.cat([ir, visible]), parameters).chunk(2)
        share = per_image(texture)
        both = fused.repeat(2, 1, 1, 1)
        ssim_ir, ssim_visible = ssim(both, torch.cat([ir, visible])).chunk(2)
        l_ssim = share * (1 - ssim_ir) + (1 - share) * (1 - ssim_visible)
        l_intensity = per_image(
            blocks.intensity * (fused - ir).square() + (1 - blocks.intensity) * (fused - visible).square()
        )
        g_fused = _gradient(fused, parameters)
        off_ir, off_visible = ((g_fused - g).abs().sum(1, keepdim=True) for g in (g_ir, g_visible))
        l_gradient = per_image(texture * off_ir + (1 - texture) * off_visible)
        loss = l_ssim + parameters.intensity_weight * l_intensity + parameters.gradient_weight * l_gradient
        terms = {"loss": loss, "ssim": l_ssim, "intensity": l_intensity, "gradient": l_gradient}
        return {name: term.mean() for name, term in terms.items()}

    def config(self, network: ResidualDenseNetwork) -> Mapping[str, object]:
        """Return the sizes of the network."""
        return network.config.to_dict()


def _gradient(image: torch.Tensor, parameters: ResidualDenseTraining) -> torch.Tensor:
    components = sobel(image)
    return components if parameters.gradient == "signed" else components.abs().sum(1, keepdim=True)
