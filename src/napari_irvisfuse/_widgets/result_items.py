"""The layers that a result becomes, before they are layers: one for the fused image and for each map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy.typing as npt
from napari.layers import Image, Labels, Layer

from .layer_roles import TAG
from .layer_styles import Kind, contrast_limits, label_names, look
from .shown_frames import ShownFrames

if TYPE_CHECKING:
    from napari_irvisfuse.result import FusionResult

__all__ = ["FUSED", "Item", "Show", "free_name", "items_of", "maps_of"]

Show: TypeAlias = Literal["fused", "base and detail", "everything"]
FUSED = "fused · "
_GROUPS = ("base", "detail", "saliency", "weight", "level", "feature", "quality")
_SHOWN: Mapping[str, tuple[str, ...]] = {"fused": (), "base and detail": ("base", "detail"), "everything": _GROUPS}


@dataclass(frozen=True, eq=False)
class Item:
    """One layer to be: the fused image, or a map."""

    key: str
    title: str
    data: npt.NDArray[Any]
    kind: Kind
    stride: int = 1
    labels: tuple[str, ...] = ()
    window: object = "auto"
    axes: int = 0

    @property
    def rgb(self) -> bool:
        """Whether the last axis is colour."""
        return self.data.ndim - self.axes == 3

    @property
    def limits(self) -> tuple[float, float] | None:
        """Contrast limits, None where there are none to choose."""
        if self.kind == "index" or self.rgb:
            return None
        data = self.data.seen if isinstance(self.data, ShownFrames) else self.data
        return contrast_limits(self.kind, data, self.window)

    def name(self, run: str) -> str:
        """Return the layer's name in a run of that title."""
        return f"{FUSED}{run}" if self.kind == "fused" else f"{run} · {self.title}"

    def tag(self, run: str) -> dict[str, Any]:
        """Return what the layer remembers of itself."""
        return {
            "map": self.key,
            "kind": self.kind,
            "stride": self.stride,
            "name": self.name(run),
            "limits": self.limits,
        }

    def fits(self, layer: Layer) -> bool:
        """Tell whether the layer can show this by a mere change of its data."""
        tag = layer.metadata[TAG]
        alike = tag["map"] == self.key and tag["kind"] == self.kind and getattr(layer, "rgb", False) == self.rgb
        return bool(alike and layer.ndim == self.axes + 2)

    def build(self, name: str, place: dict[str, Any], *, visible: bool) -> Layer:
        """Make the layer."""
        shared = {"name": name, "visible": visible, **look(self.kind, self.labels), **place}
        if self.kind == "index":
            return Labels(self.data, features=label_names(self.labels), **shared)
        return Image(self.data, rgb=self.rgb, contrast_limits=self.limits, multiscale=False, **shared)


def maps_of(show: Show) -> tuple[str, ...]:
    """Return the groups of maps that become layers."""
    return _SHOWN[show]


def items_of(result: FusionResult, show: Show) -> list[Item]:
    """List the layers of a result, the fused image first."""
    axes = len(result.axes)
    # of a stack the window is known, and finding it out anew would mean to read it all
    # and of a region it would make the picture flicker when the view is moved
    shown = result.visible_window if axes or result.region is not None else None
    window = (shown.low, shown.high) if shown is not None else result.recipe.visible_window
    fused = Item("fused", "fused", result.fused, "fused", window=window, axes=axes)
    maps = [
        Item(key, item.title, item.data, item.kind, item.stride, item.labels, axes=axes)
        for group in _SHOWN[show]
        for key, item in result.maps.items()
        if item.group == group and item.data.ndim == 2 + axes
    ]
    return [fused, *maps]


def free_name(wanted: str, items: list[Item], taken: set[str]) -> str:
    """Return the run's name, with a number if one of its layers would have a name that is taken."""
    names = (wanted if i == 1 else f"{wanted} {i}" for i in count(1))
    return next(name for name in names if not any(item.name(name) in taken for item in items))
