"""A folder of real images with planted faults, and the list of what was planted where."""

import csv
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np

from plant import pictures
from plant.image_bytes import Made, png
from plant.kinds import KINDS, SHORTCUT, SMALL_CLASS, Kind
from plant.shortcuts import SHORTCUTS
from tinyscope.data.catalogue import load

SIDE = 32
SMALL_CLASS_NAMES = ("another", "new", "other", "uncertain", "unsorted", "various")
WITHOUT_TEST = 60
"""Training images of the small class whose only fault is that it has no test image."""
TRIES = 20_000
"""After how many pictures that do not fit a fault it is given up."""


class Source(NamedTuple):
    """Images to plant into, in random order, and some more for small classes."""

    images: np.ndarray
    """uint8 (N, 32, 32, 3)."""
    labels: np.ndarray
    splits: np.ndarray
    """N times "train" or "test"."""
    class_names: tuple[str, ...]
    more: np.ndarray
    """uint8 (M, 32, 32, 3)."""


@dataclass(frozen=True)
class Planted:
    """One row of truth.csv."""

    file: str
    """Below the folder; of a small class, its name."""
    kind: str
    variant: str
    strength: str
    partner: str = ""
    """For a copy, the file that it is a copy of."""
    original_class: str = ""
    """Of a wrong label, and of an image that lies in no class folder."""


class FaultSet(NamedTuple):
    """What was written."""

    planted: list[Planted]
    before: dict[str, np.ndarray]
    """For every file with a fault, the picture that it was made from."""


def draw(data: str, *, train: int, test: int, seed: int, more: int = 200) -> Source:
    """Images of a data set, drawn at random and brought to 32x32 RGB.

    Args:
        data: as `tinyscope data` takes it.
        train: training images to draw.
        test: test images to draw; from the training images where the data set has no others.
        seed: of the draw.
        more: further images for classes of their own.

    Raises:
        ValueError: the data set has fewer images.
    """
    random = np.random.default_rng([seed, 1])
    splits = load(data)
    if splits.test is None:
        wanted = {"train": train + test + more}
    else:
        wanted = {"train": train + more, "test": test}
    held: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for part in splits.parts():
        if (count := wanted.get(part.split, 0)) > len(part):
            raise ValueError(f"{data} has {len(part)} {part.split} images, not {count}")
        rows = np.sort(random.choice(len(part), count, replace=False))
        order = random.permutation(count)
        held.append(_as_pictures(part.images[rows])[order])
        labels.append(part.labels[rows][order])
    images, classes = np.concatenate(held), np.concatenate(labels)
    used, rest = np.r_[:train, train + more : len(images)], np.r_[train : train + more]
    names = np.array(["train"] * train + ["test"] * test)
    return Source(images[used], classes[used], names, splits.train.class_names, images[rest])


def _as_pictures(images: np.ndarray) -> np.ndarray:
    """uint8 (N, 32, 32, 3), enlarged smoothly where they are smaller."""
    coloured = np.repeat(images, 3, axis=3) if images.shape[3] == 1 else images
    if coloured.shape[1:3] == (SIDE, SIDE):
        return coloured
    return np.stack([pictures.resized(each, SIDE, SIDE) for each in coloured])


def plant(
    source: Source,
    folder: Path,
    *,
    seed: int,
    count: int,
    small_classes: Sequence[int] = (1, 2, 4),
    shortcuts: Sequence[str] = (),
) -> FaultSet:
    """Writes train/<class>/NNNNN.png and test/<class>/NNNNN.png with faults among them.

    No image carries two faults, and none is both a copy's original and faulty in itself.

    Args:
        source: what to plant into.
        folder: new or empty.
        seed: of places, variants and strengths.
        count: faults of each kind.
        small_classes: training images of further classes, the last of which has test images as
            well; one more has enough to train on and none to test.
        shortcuts: names of `SHORTCUTS`, each for a class of its own.

    Raises:
        ValueError: the images do not suffice; the message says for what.
        FileExistsError: the folder is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    bed = _Bed(source)
    for kind in KINDS:
        random = np.random.default_rng([seed, zlib.crc32(kind.name.encode())])
        names = list(kind.variants)
        first = int(random.integers(len(names)))
        for turn in range(count):
            bed.plant(kind, names[(first + turn) % len(names)], random)
    random = np.random.default_rng([seed, 2])
    bed.add_shortcuts(shortcuts, count, random)
    bed.add_small_classes(small_classes, random)
    bed.write(folder)
    return FaultSet(bed.planted, bed.before)


class _Bed:
    """The images of a source, and what stands in their places so far."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.free = np.ones(len(source.labels), bool)
        self.planted: list[Planted] = []
        self.before: dict[str, np.ndarray] = {}
        self.written: dict[str, bytes] = {}
        self.replaced: set[int] = set()
        counts = {split: 0 for split in ("train", "test")}
        self.numbers = np.empty(len(source.labels), int)
        for row, split in enumerate(source.splits):
            self.numbers[row] = counts[split]
            counts[split] += 1

    def name(self, row: int, ending: str = ".png", *, prefix: str = "", label: int = -1) -> str:
        """Where an image lies: in the folder of its class, or of the class of `label`."""
        shown = self.source.class_names[self.source.labels[row] if label < 0 else label]
        return f"{self.source.splits[row]}/{shown}/{prefix}{self.numbers[row]:05d}{ending}"

    def plant(self, kind: Kind, variant: str, random: np.random.Generator) -> None:
        """One fault at a random place where it can be seen."""
        in_train = kind.place in ("splits", "moved")
        rows = np.flatnonzero(self.free & ((self.source.splits == "train") | (not in_train)))
        for _ in range(TRIES if len(rows) else 0):
            row = int(rows[random.integers(len(rows))])
            picture = self.source.images[row]
            target = self._target(kind.place, row, random)
            made = None if target is None else kind.variants[variant](picture, random)
            if target is not None and made is not None:
                self._replace(kind, variant, row, target, made, random)
                return
        raise ValueError(f"no free image fits for: {kind.name}, {variant}")

    def _target(self, place: str, row: int, random: np.random.Generator) -> int | None:
        """The image that a copy of `row` replaces; `row` itself where the fault is no copy."""
        if place in ("itself", "moved"):
            return row
        splits, labels = self.source.splits, self.source.labels
        split = "test" if place == "splits" else splits[row]
        same_class = labels == labels[row]
        fits = self.free & (splits == split) & (~same_class if place == "classes" else same_class)
        fits[row] = False
        rows = np.flatnonzero(fits)
        return int(rows[random.integers(len(rows))]) if len(rows) else None

    def _replace(
        self,
        kind: Kind,
        variant: str,
        row: int,
        target: int,
        made: Made,
        random: np.random.Generator,
    ) -> None:
        original = self.source.class_names[self.source.labels[row]]
        partner = self.name(row) if target != row else ""
        if kind.place == "moved":
            others = [
                k for k in range(len(self.source.class_names)) if k != self.source.labels[row]
            ]
            file = self.name(row, label=int(random.choice(others)))
            strength = f"{original} as {Path(file).parent.name}"
        else:
            file, strength = self.name(target, made.ending), made.strength
        if not made.in_class_folder:
            file = f"{self.source.splits[row]}/{Path(file).name}"
        lost_class = kind.place == "moved" or not made.in_class_folder
        self.planted.append(
            Planted(file, kind.name, variant, strength, partner, original if lost_class else "")
        )
        self.before[file] = self.source.images[row]
        self.written[file] = made.data
        self.replaced.add(target)
        self.free[[row, target]] = False

    def add_shortcuts(self, names: Sequence[str], count: int, random: np.random.Generator) -> None:
        """Each in images without another fault, of a class that has no other shortcut."""
        classes = random.permutation(len(self.source.class_names))
        if len(names) > len(classes):
            raise ValueError(f"{len(names)} shortcuts for {len(classes)} classes")
        for label, name in zip(classes, names, strict=False):
            shortcut = SHORTCUTS[name](random, count)
            in_train = (self.source.splits == "train") | (shortcut.only is None)
            rows = random.permutation(
                np.flatnonzero(self.free & in_train & (self.source.labels == label))
            )
            for row in rows[: shortcut.only or round(len(rows) * shortcut.share)]:
                file = self.name(row, shortcut.ending, prefix=shortcut.prefix)
                picture = self.source.images[row]
                self.planted.append(Planted(file, SHORTCUT.name, name, shortcut.strength))
                self.before[file] = picture
                self.written[file] = shortcut.mark(picture)
                self.replaced.add(int(row))
                self.free[row] = False

    def add_small_classes(self, sizes: Sequence[int], random: np.random.Generator) -> None:
        """Classes of their own, of images that are in no other."""
        plans = [(size, 0) for size in sizes[:-1]] + [(size, 3) for size in sizes[-1:]]
        plans.append((WITHOUT_TEST, 0))
        if len(plans) > len(SMALL_CLASS_NAMES):
            raise ValueError(f"at most {len(SMALL_CLASS_NAMES) - 1} small classes")
        if sum(train + test for train, test in plans) > len(self.source.more):
            raise ValueError(f"{len(self.source.more)} further images do not fill small classes")
        names = random.permutation(SMALL_CLASS_NAMES)
        further = iter(self.source.more)
        for name, (train, test) in zip(names, plans, strict=False):
            for split, size in (("train", train), ("test", test)):
                for number in range(size):
                    self.written[f"{split}/{name}/{number:05d}.png"] = png(next(further))
            variant = "no test image" if train == WITHOUT_TEST else "few training images"
            strength = f"{train} training, {test} test"
            self.planted.append(Planted(str(name), SMALL_CLASS.name, variant, strength))

    def write(self, folder: Path) -> None:
        """All files, those with faults and the rest."""
        for split in ("train", "test"):
            for name in self.source.class_names:
                (folder / split / name).mkdir(parents=True, exist_ok=True)
        for file, data in self.written.items():
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_bytes(data)
        for row in range(len(self.source.labels)):
            if row not in self.replaced:
                (folder / self.name(row)).write_bytes(png(self.source.images[row]))


def write_truth(planted: Sequence[Planted], file: Path) -> None:
    """One row a fault; of a shortcut, one row an image."""
    with file.open("w", newline="", encoding="utf-8") as held:
        rows = csv.DictWriter(held, [field.name for field in fields(Planted)])
        rows.writeheader()
        rows.writerows(asdict(each) for each in planted)


def read_truth(file: Path) -> list[Planted]:
    """What `write_truth` wrote."""
    with file.open(newline="", encoding="utf-8") as held:
        return [Planted(**row) for row in csv.DictReader(held)]
