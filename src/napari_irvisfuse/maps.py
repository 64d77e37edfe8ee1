"""Map: an image of numbers that were computed on the way, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar

from .types import MapKind

__all__ = ["Map", "MapGroup"]

MapGroup: TypeAlias = Literal["base", "detail", "saliency", "weight", "level", "feature", "quality"]
DataT = TypeVar("DataT")


@dataclass(frozen=True, eq=False)
class Map(Generic[DataT]):
    """An intermediate result worth looking at, at its native resolution.

    Parameters
    ----------
    data
        ``(N, 1, h, w)`` tensor inside a method; ``(h, w)`` array in a result. Numbers that belong to no place, one per
        channel for example: ``(N, C)``, and ``(C,)`` in a result; they become a file and a plot, but no layer.
    kind
        What the numbers mean; decides colormap and contrast limits.
    title
        For people: ``"IR detail"``.
    group
        What it belongs to; decides which maps "base and detail" adds.
    stride
        Image pixels per map pixel. Map pixel i covers image pixels ``i·stride`` to ``(i+1)·stride``.
    labels
        For ``index`` maps: the name of value 1, 2, …
    """

    data: DataT
    kind: MapKind
    title: str
    group: MapGroup
    stride: int = 1
    labels: tuple[str, ...] = ()
