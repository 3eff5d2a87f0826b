"""Images of pets with findings, and review files of them as a person edits them."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinyscope.data.dataset import ImageDataset, LeftOut, Splits
from tinyscope.data.review_table import COLUMNS

NAMES = ("cat", "dog", "horse")


def part(split: str, count: int, *, files: bool = True) -> ImageDataset:
    draw = np.random.default_rng(count)
    labels = np.arange(count) % 3
    names = tuple(f"{split}/{NAMES[k]}/{n}.png" for n, k in enumerate(labels)) if files else ()
    return ImageDataset(
        images=draw.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8),
        labels=labels,
        class_names=NAMES,
        split=split,
        source="pets/",
        left_out=(LeftOut("train/cat/torn.png", "truncated"),) if split == "train" else (),
        files=names,
    )


def make_pets() -> Splits:
    """Twelve training and six test images."""
    return Splits("pets", part("train", 12), None, part("test", 6))


def item(split: str, row: int, action: str, **more: object) -> dict[str, object]:
    file = f"{split}/{NAMES[row % 3]}/{row}.png"
    known = {"file": file, "split": split, "row": row, "class": NAMES[row % 3], "detail": "why"}
    return {**known, "action": action, "new_class": "", **more}


def finding(*items: dict[str, object], code: str = "TS005") -> dict[str, object]:
    return {"code": code, "items": list(items)}


def edited(path: Path, **changes: str) -> None:
    """Rewrites the first row of a review file, as a person with a spreadsheet would."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    rows[0] |= changes
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)


def without(pets: Splits, *rows: int) -> Splits:
    """The training images after some of their files were deleted."""
    keep = np.setdiff1d(np.arange(len(pets.train)), rows)
    return replace(pets, train=pets.train.select(keep, split="train", with_left_out=True))


def renamed(pets: Splits, row: int, name: str) -> Splits:
    files = list(pets.train.files)
    files[row] = name
    return replace(pets, train=replace(pets.train, files=tuple(files)))
