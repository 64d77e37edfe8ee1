"""The corridor: two images in, one :class:`FusionResult` out. API, command line and widgets all walk through here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .algorithms import get_method
from .images.frames import is_stack
from .images.pair import Output, check_output_rule
from .images.pair_source import PairSource
from .images.placement import GridChoice
from .images.ranges import Windows, WindowSpec, check_windows
from .images.regions import parse_region
from .images.temporal import check_smoothing
from .result import FusionResult
from .session import DEFAULT_METHOD, FusionSession
from .types import Cancel, Progress

__all__ = ["fuse"]


def fuse(
    ir: object,
    visible: object,
    method: str = DEFAULT_METHOD,
    *,
    device: str = "auto",
    precision: str = "auto",
    weights: str | Path | None = None,
    weights_sha256: str | None = None,
    ir_window: WindowSpec | str = "auto",
    visible_window: WindowSpec | str = "auto",
    ir_to_visible: object = None,
    grid: GridChoice = "visible",
    region: object = None,
    output: Output = "visible",
    maps: bool | None = None,
    frames: slice | Sequence[int] | None = None,
    smoothing: float = 0.0,
    windows: Windows = "shared",
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
    **parameters: Any,
) -> FusionResult:
    """Fuse an infrared and a visible image of one scene, or two stacks of them.

    Parameters
    ----------
    ir, visible
        Arrays, torch tensors or image files: ``(H, W)`` or ``(H, W, 3 or 4)``; bool, uint8, uint16 or float. At least
        16×16. Never modified. Colour is fused in luma and its chroma kept. An
        infrared file that is a radiometric JPEG is read in °C; infrared in false colour is turned back into a scale.
        With more axes in front, or as a list, a folder, a film or a TIFF of many pages, they are stacks, see
        :func:`~napari_irvisfuse.fuse_stack`.
    method
        One of :func:`methods`.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    precision
        Of the networks: ``"auto"``, ``"float32"``, ``"bfloat16"``, ``"float16"``; ``"float64"`` for everything.
    weights
        A weights file of your own for methods that need one; otherwise the published one is found or fetched.
    weights_sha256
        A recipe's: if the weights are others, a note says so.
    ir_window, visible_window
        Which values count as 0 and 1: ``"auto"``, ``"full"``, ``"data"``, ``"percentile"`` or ``(low, high)``.
    ir_to_visible
        How images of other sizes or cameras lie on each other: a 3×3 matrix that takes infrared pixels
        ``(row, column, 1)`` to visible ones (for two :class:`~napari_irvisfuse.Grid` it is ``ir.onto(visible)``), an
        :class:`~napari_irvisfuse.Alignment` or its file, or ``"fit"`` if both show the same view. Not needed where
        both have the same pixels. Outside of the infrared image the visible one stays as it is.
    grid
        On whose pixels to fuse: ``"visible"``, ``"ir"``, or ``"finer"``: the ones that are smaller.
    region
        Fuse only these pixels of that grid: ``(top, left, bottom, right)``, half-open, or a
        :class:`~napari_irvisfuse.Region`. What a method has to see around it is computed too and cut off again, so that
        with most methods the result is exactly this part of the whole image's; otherwise a note says so.
    output
        Colour of the result: ``"visible"`` keeps the visible image's chroma; ``"natural"`` lifts it along with the
        luma, as more light would; ``"luma"`` is grey.
    maps
        False leaves ``result.maps`` empty, and whatever has to be computed for them alone. None: for a single pair
        only, since those of a stack take much memory.
    frames, smoothing, windows
        Of stacks, see :func:`~napari_irvisfuse.fuse_stack`; of no consequence for a single pair.
    progress
        Called as ``progress(done, total, message)``.
    cancelled
        Asked often; answer True to stop.
    **parameters
        The method's own, for example ``base_weight_ir=0.6``, and ``preset="…"`` where it has presets.

    Returns
    -------
    FusionResult
        With ``fused``, ``maps``, ``recipe`` and ``notes``.

    Raises
    ------
    FusionError
        One of its children, with one sentence that says what to do.
    Cancelled
        If ``cancelled`` answered True.

    Examples
    --------
    >>> import numpy as np, napari_irvisfuse as nif
    >>> ir = np.zeros((32, 32), np.uint8); ir[8:16, 8:16] = 255
    >>> visible = np.full((32, 32, 3), 90, np.uint8)
    >>> result = nif.fuse(ir, visible, method="average", ir_weight=0.5)
    >>> result.fused.shape, result.fused.dtype
    ((32, 32, 3), dtype('uint8'))
    """
    check_output_rule(output)
    get_method(method).parameters(**parameters)  # a typing mistake should not wait for the images to be read
    wanted = parse_region(region)
    if is_stack(ir) or is_stack(visible):
        from .stacks import fuse_stack

        return fuse_stack(
            ir,
            visible,
            method,
            region=wanted,
            frames=frames,
            smoothing=smoothing,
            ir_window=ir_window,
            visible_window=visible_window,
            windows=windows,
            ir_to_visible=ir_to_visible,
            grid=grid,
            device=device,
            precision=precision,
            weights=weights,
            weights_sha256=weights_sha256,
            output=output,
            maps=bool(maps),
            progress=progress,
            cancelled=cancelled,
            **parameters,
        )
    check_smoothing(smoothing)
    check_windows(windows)
    session = FusionSession(
        PairSource.from_images(
            ir,
            visible,
            ir_window=ir_window,
            visible_window=visible_window,
            ir_to_visible=ir_to_visible,
            grid=grid,
            dtype=np.float64 if precision == "float64" else np.float32,
        ),
        device=device,
        precision=precision,
    )
    return session.fuse(
        method,
        weights=weights,
        weights_sha256=weights_sha256,
        region=wanted,
        output=output,
        maps=maps is not False,
        progress=progress,
        cancelled=cancelled,
        **parameters,
    )
