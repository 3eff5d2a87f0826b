"""A folder of class folders, with or without train, validation and test folders around them.

Where a folder holds `train/` and no other folder but `val/` and `test/`, its class folders lie
inside of those; otherwise its own folders are the classes (`split_folders` knows other names of
splits). Images may lie deeper below a class folder. Classes are sorted by name as strings, images
by their path.
"""

import os
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from tinyscope.data.class_spelling import composed, seen
from tinyscope.data.dataset import LeftOut, Preprocessing, Splits
from tinyscope.data.decoded_cache import decode_found, measure_all
from tinyscope.data.encoded import Encoded, Found, class_faults, usual_side
from tinyscope.data.file_tree import contents, files_below, printable
from tinyscope.data.split_folders import split_folders
from tinyscope.errors import DataError, nearest

_VERBS = {"train": "train on", "validation": "validate on", "test": "test on"}
IN_NO_CLASS = "in no class folder"
"""Why a file that lies beside the class folders is left out."""

_MEASURED = 20_000  # images; half a million would take 40 s


def load(folder: Path, *, size: int | None = None, trainable: bool = True) -> Splits:
    """The images of a folder as RGB arrays, decoded once and then read from the cache.

    Args:
        folder: holds class folders, or `train/` with class folders.
        size: the side of the images; None for 64 where the median of the training images' shorter
            sides is above 48, else 32; of more than 20,000 images, that many evenly spread.
        trainable: whether a single class, and classes with too few images, are refused.

    Returns:
        The splits that the folder has. What cannot be decoded, and images that lie in no class
        folder, are listed in `left_out`.

    Raises:
        DataError: no images, one class, a class with too few images, classes that differ only in
            case or in what cannot be seen, a class to validate or test on that the training images
            lack, folders beside `train/` that are no splits, folders that look like splits by other
            names. All faults that are seen before decoding are in one line.
    """
    there = found(folder, trainable=trainable)
    train = there.parts[0]

    def choose() -> Preprocessing:
        step = -(-len(train.files) // _MEASURED)
        side = size or usual_side(measure_all(islice(train.sources(), 0, None, step)))
        return Preprocessing(side, side, 3)

    datasets = decode_found(there, origin=folder, size=size, choose=choose, trainable=trainable)
    return Splits(printable(folder.resolve().name), **{data.split: data for data in datasets})


def found(folder: Path, *, trainable: bool = True) -> Found:
    """The images of a folder, none of them opened.

    Raises:
        DataError: as `load`, all but what only decoding can tell.
    """
    source = f"{printable(folder.resolve().name)}/"
    classes: dict[str, dict[str, list[str]]] = {}
    odd: dict[str, list[LeftOut]] = {}
    for split, below in split_folders(folder, source).items():
        odd[split] = []
        classes[split] = _classes(folder, below, odd[split])
    faults = _name_faults(classes)
    named = {split: _by_name(folders) for split, folders in classes.items()}
    class_names = tuple(sorted(named["train"]))
    parts = [_encoded(folder, split, named[split], class_names) for split in named]

    empty = [part.split for part in parts if not part.files]
    for split in empty:
        stray = len(odd[split])
        faults.append(
            f"no images to {_VERBS[split]} in class folders"
            + (f" ({stray} in none)" if stray else "")
            + "; expected <class>/<image> or train/<class>/<image>"
        )
    if "train" not in empty and trainable:
        faults += class_faults(class_names, {part.split: part.labels for part in parts})
    if faults:
        raise DataError(f"{source}: {'; '.join(faults)}.")
    told = {
        split: [LeftOut(printable(file), reason) for file, reason in listed]
        for split, listed in odd.items()
    }

    def files() -> Iterator[str]:  # not as paths: half a million of them take seconds
        root = os.path.join(folder, "")
        for below in named.values():
            for name in class_names:
                yield from (root + file for file in below.get(name, ()))

    return Found(source, class_names, parts, told, files)


def _encoded(
    folder: Path, split: str, found: dict[str, list[str]], class_names: tuple[str, ...]
) -> Encoded:
    """The images of the classes that are trained on, ordered by class."""
    rows = [(k, file) for k, name in enumerate(class_names) for file in found.get(name, ())]
    names = [file for _, file in rows]
    labels = np.array([k for k, _ in rows], np.int64)
    files = tuple(map(printable, names))
    return Encoded(split, files, labels, lambda: (folder / name for name in names))


def _classes(folder: Path, below: str, odd: list[LeftOut]) -> dict[str, list[str]]:
    """The images of every class folder, and in `odd` what is neither clutter nor in a class."""
    names, stray = contents(folder, below, odd)
    odd += [LeftOut(file, IN_NO_CLASS) for file in stray]
    return {name: files_below(folder, f"{below}/{name}" if below else name, odd) for name in names}


def _by_name(folders: dict[str, list[str]]) -> dict[str, list[str]]:
    """The images of every class, whose name is its folder's with accents joined to their letters.

    The splits of one data set may come from disks and archives that spell them in another way.
    """
    named: dict[str, list[str]] = {}
    for name, files in folders.items():
        named.setdefault(composed(name), []).extend(files)
    return named


def _name_faults(found: dict[str, dict[str, list[str]]]) -> list[str]:
    """Names that are no text, that hardly differ, or that the training images lack."""
    faults = [
        f"{split}: the class name {printable(name)!r} is not UTF-8; rename its folder"
        for split, classes in found.items()
        for name in classes
        if name != printable(name)
    ]
    if faults:
        return faults
    train = set(map(composed, found["train"]))
    for split, classes in found.items():
        faults += _twin_faults(split, classes)
        if split == "train":
            continue
        for name in sorted(classes):
            if classes[name] and composed(name) not in train:
                faults.append(
                    f"{split}: the class {_unlike(name, train)} is not among those of train"
                )
                if like := _like(name, train):
                    faults[-1] += f", which has {_unlike(like, [name])}"
    return faults


def _twin_faults(split: str, classes: Iterable[str]) -> list[str]:
    faults = []
    alike: dict[str, list[str]] = {}
    for name in sorted(classes):
        alike.setdefault(seen(name).casefold(), []).append(name)
    for names in alike.values():
        if len(names) < 2:
            continue
        if len({name.casefold() for name in names}) == 1:
            same = " and ".join(f"{name}/" for name in names)
            faults.append(f"{split}: {same} are one class in different case; join them")
        else:
            same = " and ".join(map(ascii, names))
            faults.append(f"{split}: the folders {same} look like one class; join or rename them")
    return faults


def _like(name: str, names: Collection[str]) -> str | None:
    same = [each for each in sorted(names) if seen(each) == seen(name)]
    return same[0] if same else nearest(name, names)


def _unlike(name: str, others: Iterable[str]) -> str:
    """A name in quotes, spelled out where one of the others looks the same."""
    twin = any(seen(each) == seen(name) for each in others)
    return ascii(name) if twin else f'"{name}"'
