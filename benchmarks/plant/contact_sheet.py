"""Contact sheets: for every kind of fault, what was there before beside what is there now."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from plant.fault_set import FaultSet, Planted
from plant.image_bytes import pixels, readable

SCALE, COLUMNS, GAP, TEXT = 3, 5, 8, 38
TALLEST = 32 * SCALE
AT_MOST = 40


def write_sheets(folder: Path, made: FaultSet, target: Path) -> list[Path]:
    """One PNG a kind (a variant of shortcuts): the source on the left, the file on the right."""
    target.mkdir(parents=True, exist_ok=True)
    groups: dict[str, list[Planted]] = {}
    for each in made.planted:
        if each.file in made.before:
            shortcut = f" {each.variant}" if each.kind == "shortcut" else ""
            groups.setdefault(each.kind + shortcut, []).append(each)
    written = []
    for name, planted in groups.items():
        file = target / f"{name.replace(' ', '-')}.png"
        _sheet(folder, planted[:AT_MOST], made).save(file)
        written.append(file)
    return written


def _sheet(folder: Path, planted: Sequence[Planted], made: FaultSet) -> Image.Image:
    width, height = 2 * TALLEST + GAP, TALLEST + TEXT
    rows = -(-len(planted) // COLUMNS)
    size = COLUMNS * (width + 2 * GAP), rows * (height + GAP)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for place, each in enumerate(planted):
        left = place % COLUMNS * (width + 2 * GAP) + GAP
        top = place // COLUMNS * (height + GAP)
        sheet.paste(_shown(made.before[each.file]), (left, top))
        data = (folder / each.file).read_bytes()
        if readable(data):
            sheet.paste(_shown(pixels(data)), (left + TALLEST + GAP, top))
        else:
            corner = left + TALLEST + GAP, top
            draw.rectangle((*corner, corner[0] + TALLEST, top + TALLEST), outline="red")
            draw.text((corner[0] + 4, top + 4), f"unreadable\n{len(data)} bytes", fill="red")
        for line, text in enumerate((each.file, each.variant, each.strength)):
            draw.text((left, top + TALLEST + 12 * line), text[:36], fill="black")
    return sheet


def _shown(picture: np.ndarray) -> Image.Image:
    """Enlarged pixel by pixel, or brought down, to what the sheet has room for."""
    image = Image.fromarray(picture)
    scale = min(SCALE, TALLEST / max(image.size))
    size = tuple(max(1, round(side * scale)) for side in image.size)
    how = Image.Resampling.NEAREST if scale == SCALE else Image.Resampling.BOX
    return image.resize((size[0], size[1]), how)
