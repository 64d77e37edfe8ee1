"""VGG-19 as the encoder that TransFusion begins with: torchvision's file, or the Caffe form as arrays."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from napari_irvisfuse.errors import WeightsError
from napari_irvisfuse.networks.transfusion_checkpoints import caffe_encoder, vgg19_encoder
from napari_irvisfuse.networks.transfusion_config import TransFusionConfig
from napari_irvisfuse.weights import store

__all__ = ["read_encoder"]


def read_encoder(path: Path, config: TransFusionConfig) -> dict[str, torch.Tensor]:
    """Read the encoder's part of a VGG-19.

    Parameters
    ----------
    path
        torchvision's ``state_dict`` (``.pth``, ``.safetensors``), or ``.npz`` with ``conv1_1_weight``,
        ``conv1_1_bias`` … in Caffe's form.
    config
        Which of its convolutions are needed.

    Raises
    ------
    WeightsError
        If the file is damaged, or a convolution is missing.
    """
    if path.suffix.lower() != ".npz":
        return vgg19_encoder(store.load_state_dict(path), config)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: torch.from_numpy(file[name]) for name in file.files}
    except (OSError, ValueError, TypeError, BadZipFile) as error:
        raise WeightsError(f"{path} is damaged or holds no arrays of weights.") from error
    return caffe_encoder(arrays, config)
