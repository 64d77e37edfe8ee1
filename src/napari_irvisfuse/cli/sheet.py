"""The page of a contact sheet: what a title, a picture with its caption, and a row of pictures look like."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from .colormaps import Coloured

__all__ = ["GAP", "MARGIN", "WIDTH", "Block", "Cell", "Sheet"]

WIDTH, MARGIN, GAP = 1920, 64, 24
_BACKGROUND, _PANEL, _LINE = (14, 16, 21), (23, 26, 33), (44, 49, 60)
_BRIGHT, _SOFT, _FAINT, _ACCENT = (240, 242, 246), (178, 184, 196), (126, 133, 147), (255, 179, 92)
_TALLEST = 1.2  # height of a cell in widths; a taller image leaves room at its sides
_BAR = (56, 7)
# The font that comes with Pillow is small: what it lacks is written in other words.
_SPELT = str.maketrans({"×": "x", "–": "-", "−": "-", "λ": "lambda", "σ": "sigma", "→": "to"})

Colour = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Cell:
    """One picture and what is written below it.

    Parameters
    ----------
    picture, title, caption
        At its own resolution; the bar or legend belongs to it.
    crisp
        Its colours are names and must not be mixed when it shrinks.
    """

    picture: Coloured
    title: str
    caption: str
    crisp: bool = False


@dataclass(frozen=True, eq=False)
class Block:
    """A group of cells under one heading, in rows, and the column of the sheet where it starts."""

    heading: str
    rows: Sequence[Sequence[Cell]]
    column: int

    @property
    def breadth(self) -> int:
        """Cells in its longest row."""
        return max(len(row) for row in self.rows)


class Sheet:
    """A pen that moves down a page; the page grows with it.

    Parameters
    ----------
    aspect
        Height of the images in widths: the shape of all cells.
    """

    def __init__(self, aspect: float) -> None:
        self._aspect = aspect
        self._page = Image.new("RGB", (WIDTH, 512), _BACKGROUND)
        self._pen = ImageDraw.Draw(self._page)
        self._y = MARGIN

    def space(self, pixels: int) -> None:
        """Leave room."""
        self._reserve(self._y + pixels)
        self._y += pixels

    def title(self, title: str, line: str, chips: Sequence[str]) -> None:
        """Write the head of the page: a title, a line below it, and short facts at the right."""
        self._text(MARGIN, self._y - 6, title, 44, _BRIGHT)
        right = WIDTH - MARGIN
        for chip in reversed(chips):
            left = right - _length(chip, 18) - 32
            self._pen.rounded_rectangle((left, self._y, right, self._y + 36), 18, fill=_PANEL, outline=_LINE)
            self._text((left + right) // 2, self._y + 18, chip, 18, _SOFT, anchor="mm")
            right = left - 12
        self._text(MARGIN, self._y + 56, line, 18, _FAINT, WIDTH - 2 * MARGIN)
        self._y += 82

    def pictures(self, cells: Sequence[Cell]) -> None:
        """Draw a row of large pictures over the full width; the last one is what it is all about."""
        box = self._box(len(cells))
        self._reserve(self._y + box[1] + 60)
        for number, cell in enumerate(cells):
            x = _column(number, len(cells))
            self._paste(cell, x, box, radius=10)
            y = self._y + box[1] + 14
            self._text(x, y, cell.title, 24, _ACCENT if number == len(cells) - 1 else _BRIGHT)
            self._text(x + box[0], y + 6, cell.caption, 17, _FAINT, anchor="ra")
        self._y += box[1] + 44

    def band(self, blocks: Sequence[Block], columns: int) -> None:
        """Draw groups of maps side by side."""
        top = bottom = self._y
        for block in blocks:
            self._y = top
            self._heading(block, columns)
            for number, row in enumerate(block.rows):
                self.space(22 if number else 0)
                self._row(row, columns, block.column)
            bottom = max(bottom, self._y)
        self._y = bottom

    def finish(self) -> npt.NDArray[np.uint8]:
        """Return the page down to where the pen is, ``(h, 1920, 3)``."""
        return np.array(self._page.crop((0, 0, WIDTH, self._y)), dtype=np.uint8)

    def _heading(self, block: Block, columns: int) -> None:
        left = _column(block.column, columns)
        right = _column(block.column + block.breadth - 1, columns) + self._box(columns)[0]
        self._reserve(self._y + 40)
        self._text(left, self._y, block.heading, 20, _SOFT)
        start = left + _length(block.heading, 20) + 16
        if start < right:
            self._pen.line((start, self._y + 13, right, self._y + 13), fill=_LINE)
        self._y += 38

    def _row(self, cells: Sequence[Cell], columns: int, first: int) -> None:
        box = self._box(columns)
        bottoms = []
        for number, cell in enumerate(cells):
            x, y = _column(first + number, columns), self._y + box[1] + 9
            self._reserve(y + 60 + 20 * len(cell.picture.legend))
            self._paste(cell, x, box, radius=6)
            self._text(x, y, cell.title, 17, _BRIGHT, box[0])
            bar = self._bar(cell.picture, x + box[0], y + 22)
            self._text(x, y + 22, cell.caption, 14, _FAINT, box[0] - bar)
            bottoms.append(self._legend(cell.picture, x, y + 46, box[0]))
        self._y = max(bottoms)

    def _paste(self, cell: Cell, x: int, box: tuple[int, int], radius: int) -> None:
        picture = _fit(cell.picture.rgb, box, cell.crisp)
        panel = Image.new("RGB", box, _PANEL)
        panel.paste(picture, ((box[0] - picture.width) // 2, (box[1] - picture.height) // 2))
        self._page.paste(panel, (x, self._y), _rounded(box, radius))

    def _bar(self, picture: Coloured, right: int, y: int) -> int:
        """Draw the colour bar between its limits, and return how much room that took."""
        if picture.bar is None:
            return 0
        self._text(right, y, picture.high, 14, _FAINT, anchor="ra")
        x = right - _length(picture.high, 14) - 7 - _BAR[0]
        ramp = Image.fromarray(picture.bar[None]).resize(_BAR, Image.Resampling.BOX)
        self._page.paste(ramp, (x, y + 5), _rounded(_BAR, 3))
        self._text(x - 7, y, picture.low, 14, _FAINT, anchor="ra")
        return right - x + 7 + _length(picture.low, 14) + 12

    def _legend(self, picture: Coloured, x: int, y: int, width: int) -> int:
        if not picture.legend:
            return y
        left = x
        for colour, name in picture.legend:
            needed = _length(name, 14) + 18
            if left > x and left + needed > x + width:
                left, y = x, y + 21
            self._pen.rounded_rectangle((left, y + 2, left + 11, y + 13), 3, fill=colour)
            self._text(left + 18, y, name, 14, _SOFT, width - 18)
            left += needed + 16
        return y + 21

    def _text(self, x: int, y: int, text: str, size: int, colour: Colour, room: int = 0, anchor: str = "la") -> None:
        text = _spell(text)
        if room and _length(text, size) > room:
            while text and _length(text + "…", size) > room:
                text = text[:-1]
            text = text.rstrip() + "…"
        self._pen.text((x, y), text, font=_font(size), fill=colour, anchor=anchor)

    def _box(self, columns: int) -> tuple[int, int]:
        width = (WIDTH - 2 * MARGIN - (columns - 1) * GAP) // columns
        return width, max(1, round(width * min(self._aspect, _TALLEST)))

    def _reserve(self, bottom: int) -> None:
        if bottom > self._page.height:
            larger = Image.new("RGB", (WIDTH, bottom + 1024), _BACKGROUND)
            larger.paste(self._page, (0, 0))
            self._page, self._pen = larger, ImageDraw.Draw(larger)


def _column(number: int, columns: int) -> int:
    # from exact fractions, so that the last column ends on the margin
    return round(MARGIN + number * (WIDTH - 2 * MARGIN + GAP) / columns)


def _fit(rgb: npt.NDArray[np.uint8], box: tuple[int, int], crisp: bool) -> Image.Image:
    height, width = rgb.shape[:2]
    scale = min(box[0] / width, box[1] / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if scale > 1:
        # whole repeats first, so that all pixels are of one size and only their edges are smoothed
        times = int(np.ceil(scale))
        rgb = rgb.repeat(times, axis=0).repeat(times, axis=1)
        return Image.fromarray(rgb).resize(size, Image.Resampling.BOX)
    return Image.fromarray(rgb).resize(size, Image.Resampling.NEAREST if crisp else Image.Resampling.LANCZOS)


def _rounded(box: tuple[int, int], radius: int) -> Image.Image:
    mask = Image.new("L", (box[0] * 4, box[1] * 4), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, box[0] * 4 - 1, box[1] * 4 - 1), radius * 4, fill=255)
    return mask.resize(box, Image.Resampling.BOX)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def _length(text: str, size: int) -> int:
    return round(_font(size).getlength(_spell(text)))


def _spell(text: str) -> str:
    text = unicodedata.normalize("NFC", text.translate(_SPELT))
    return "".join(letter if letter.isascii() or letter in "·±…°" else _nearest(letter) for letter in text)


def _nearest(letter: str) -> str:
    return unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
