"""Stacks: time, depth and other axes, fused frame by frame; at once, one after the other, or when a frame is shown."""

from __future__ import annotations

from .lazy import LazyFusion, lazy_stack
from .options import StackOptions
from .run import fuse_stack, gather, iter_fused
from .session import FusionStack
from .windows import stack_window

__all__ = [
    "FusionStack",
    "LazyFusion",
    "StackOptions",
    "fuse_stack",
    "gather",
    "iter_fused",
    "lazy_stack",
    "stack_window",
]
