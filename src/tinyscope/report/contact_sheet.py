"""Contact sheets: many small images with a caption each on one picture, for the eye to judge."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyscope.files import replacing

MOST = 200
"""Entries of a sheet; where there are more, as many are drawn at random."""

_SIDE = 96  # pixels that images are brought near, in whole multiples
_GAP, _LINE = 6, 13
_WIDTH = 1600


class Entry(NamedTuple):
    """Images that are looked at together, and what is said of them."""

    images: Sequence[np.ndarray]
    """uint8 (H, W, C) each, one or more."""
    caption: str


def drawn_rows(count: int, *, seed: int = 0) -> list[int]:
    """Which of `count` entries, sorted by score, a sheet shows: all, or `MOST` at random, in order.

    The draw is the same for the same count and seed.
    """
    if count <= MOST:
        return list(range(count))
    return sorted(np.random.default_rng(seed).choice(count, MOST, replace=False).tolist())


def write_contact_sheet(path: Path, entries: Sequence[Entry]) -> None:
    """Writes a PNG of rows of entries, each with its number and caption below its images.

    Raises:
        StorageError: the file cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont

    height, width = entries[0].images[0].shape[:2]
    zoom = max(1, round(_SIDE / max(height, width)))
    beside = max(len(entry.images) for entry in entries)
    cell_width = beside * (width * zoom + 2) + _GAP
    cell_height = height * zoom + 2 * _LINE + _GAP
    columns = max(1, (_WIDTH - _GAP) // cell_width)
    rows = -(-len(entries) // columns)
    sheet = Image.new("RGB", (columns * cell_width + _GAP, rows * cell_height + _GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=10)
    letters = max(4, (cell_width - _GAP) // 6)
    for number, entry in enumerate(entries):
        left = _GAP + number % columns * cell_width
        top = _GAP + number // columns * cell_height
        for place, pixels in enumerate(entry.images):
            plain = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
            enlarged = plain.resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
            sheet.paste(enlarged, (left + place * (width * zoom + 2), top))
        words = f"{number + 1}  {entry.caption}"
        for line in (0, 1):
            text = words[line * letters : (line + 1) * letters]
            pen.text((left, top + height * zoom + line * _LINE), text, fill="black", font=font)
    with replacing(path) as file:
        sheet.save(file, format="PNG")
