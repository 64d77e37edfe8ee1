"""Regions: rectangles of pixels, for when only a part of an image is looked at."""

from __future__ import annotations

import operator
from dataclasses import astuple, dataclass

from napari_irvisfuse.errors import ParameterError

from .grids import Shape

__all__ = ["Region", "parse_region"]

_WANTED = "A region is four whole numbers: top,left,bottom,right, in pixels, the last two the first ones outside"


@dataclass(frozen=True)
class Region:
    """The pixels ``image[top:bottom, left:right]``.

    Parameters
    ----------
    top, left
        First row and first column.
    bottom, right
        The row and the column after the last ones.

    Raises
    ------
    ParameterError
        If it is empty or upside down, or an edge is no whole number.

    Examples
    --------
    >>> Region(10, 20, 40, 60).shape
    (30, 40)
    """

    top: int
    left: int
    bottom: int
    right: int

    def __post_init__(self) -> None:
        try:
            for name in ("top", "left", "bottom", "right"):  # NumPy's whole numbers cannot go into a recipe
                object.__setattr__(self, name, operator.index(getattr(self, name)))
        except TypeError:
            raise ParameterError(f"{_WANTED}; got {self}.") from None
        if self.top >= self.bottom or self.left >= self.right:
            raise ParameterError(f"{_WANTED}; got {self}, in which there is no pixel.")

    def __str__(self) -> str:
        return ",".join(str(edge) for edge in astuple(self))

    @classmethod
    def whole(cls, shape: Shape) -> Region:
        """Return all of an image."""
        return cls(0, 0, *shape)

    @property
    def shape(self) -> Shape:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of an array ``(H, W, …)``."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def in_words(self) -> str:
        """Where it is: ``"rows 10 to 39, columns 20 to 59"``."""
        return f"rows {self.top} to {self.bottom - 1}, columns {self.left} to {self.right - 1}"

    def clipped(self, shape: Shape) -> Region:
        """Return the part of it that lies in an image.

        Raises
        ------
        ParameterError
            If none does.
        """
        top, left = max(self.top, 0), max(self.left, 0)
        bottom, right = min(self.bottom, shape[0]), min(self.right, shape[1])
        if top >= bottom or left >= right:
            raise ParameterError(
                f"The region {self} lies outside of the image, which has {shape[0]} rows and {shape[1]} columns."
            )
        return Region(top, left, bottom, right)

    def grown(self, by: int, shape: Shape, *, multiple: int = 1, least: int = 1) -> Region:
        """Return it with its surroundings, as far as the image has any.

        Parameters
        ----------
        by
            Pixels on each side, at least.
        shape
            Of the image.
        multiple
            Edges within the image lie on multiples of it, counted from the image's first pixel.
        least
            Smallest height and width, if the image is that large.
        """
        top, bottom = _grown(self.top, self.bottom, by, shape[0], multiple, least)
        left, right = _grown(self.left, self.right, by, shape[1], multiple, least)
        return Region(top, left, bottom, right)

    def within(self, other: Region) -> Region:
        """Return the same pixels, counted from the first one of another region."""
        return self.moved(-other.top, -other.left)

    def moved(self, rows: int, columns: int) -> Region:
        """Return the region of the same shape that lies further down and further right."""
        return Region(self.top + rows, self.left + columns, self.bottom + rows, self.right + columns)

    def at_stride(self, stride: int) -> Region:
        """Return the pixels of a map that show some of it, where map pixel i covers pixels i·stride to (i+1)·stride."""
        return Region(self.top // stride, self.left // stride, -(-self.bottom // stride), -(-self.right // stride))


def parse_region(value: object) -> Region | None:
    """Check a region given by a user: a :class:`Region`, four numbers, the same as text, or None for everything.

    Raises
    ------
    ParameterError
        If it is none.
    """
    if value is None or isinstance(value, Region):
        return value
    try:
        parts = [int(part) for part in value.split(",")] if isinstance(value, str) else list(value)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        parts = []
    if len(parts) != 4:
        raise ParameterError(f"{_WANTED}; got {value!r}.")
    return Region(*parts)


def _grown(start: int, stop: int, by: int, length: int, multiple: int, least: int) -> tuple[int, int]:
    start, stop = max(0, start - by), min(length, stop + by)
    stop = min(length, max(stop, start + least))
    start = max(0, min(start, stop - least))  # at the far border there is room on the near side only
    return start // multiple * multiple, min(length, -(-stop // multiple) * multiple)
