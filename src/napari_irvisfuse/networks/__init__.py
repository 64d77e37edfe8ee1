"""Networks and nothing else: no weights, no images, no user. Importing this package does not import torch."""

from __future__ import annotations

from ._torchvision import torchvision_models

__all__ = ["torchvision_models"]
