"""From a name or a path to a data set."""

import os
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from types import ModuleType

from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.data.decoding import resized
from tinyscope.data.encoded import Found
from tinyscope.errors import InputError, nearest
from tinyscope.files import path_of

DATASETS = {
    "digits": "1,797 scans of handwritten digits, 8x8 grey, 10 classes; comes along.",
    "cifar10": "60,000 photos of animals and vehicles, 32x32 RGB, 10 classes; 170 MB to download.",
    "cifar100": "60,000 photos of 100 kinds of things, 32x32 RGB; 169 MB to download.",
}
"""Every data set with a name, and what it is."""

_SIZES = (8, 512)  # pixels: below, nothing is to be seen; above, this is the wrong tool
_SEE = "tinyscope list datasets"
_EXPECTED = "a folder of images, a folder of parquet shards or a .npz file"


def load(name_or_path: str | Path, *, size: int | None = None, trainable: bool = True) -> Splits:
    """A data set, with the splits that its source has.

    Args:
        name_or_path: a name of `DATASETS`; or a folder of images, a folder of parquet shards or a
            `.npz` file. A name comes first: write "./digits" for a folder called digits.
        size: the side of square images, 8 … 512 pixels. None for 64 or 32 with a folder of
            images (see `image_folder`), and for the source's own size otherwise.
        trainable: whether a single class, and classes with too few images to train on, are
            refused; without, they can be looked at.

    Returns:
        What the source has; its validation and test splits may be None.

    Raises:
        InputError: no such name, file or folder; a size out of range.
        DataError: there is something, and no model can be trained on it.
    """
    if not isinstance(name_or_path, (str, Path)):
        raise InputError(
            f"A {type(name_or_path).__name__} is no data set; expected a name or a path: "
            f"{_EXPECTED}."
        )
    if size is not None:
        size = _side(size)
    if isinstance(name_or_path, str) and name_or_path in DATASETS:
        return _resized(_named(name_or_path), size)
    path = path_of(name_or_path)
    if os.path.isdir(path):  # which answers no where a Path would complain of permissions
        splits: Splits = _reader(path).load(path, size=size, trainable=trainable)
        return splits
    if path.suffix == ".npz" and os.path.isfile(path):
        from tinyscope.data import array_file

        return _resized(array_file.load(path, trainable=trainable), size)
    raise InputError(_absent(name_or_path, path))


def _side(size: object) -> int:
    """The number of pixels, also where it is numpy's."""
    whole = isinstance(size, Integral) and not isinstance(size, bool)
    if not whole or not _SIZES[0] <= size <= _SIZES[1]:  # type: ignore[operator]
        raise InputError(
            f"size = {size!r}: expected {_SIZES[0]} to {_SIZES[1]} pixels, the side, as a whole "
            "number."
        )
    return int(size)  # type: ignore[call-overload,no-any-return]


def found(name_or_path: str | Path, *, trainable: bool = True) -> Found | None:
    """The image files of a data set, none of them decoded.

    Args:
        name_or_path: as in `load`.
        trainable: as in `load`.

    Returns:
        None where the source holds arrays and no image files: the data sets with names, `.npz`.

    Raises:
        InputError: no such name, file or folder.
        DataError: there is something, and no model can be trained on it.
    """
    if isinstance(name_or_path, str) and name_or_path in DATASETS:
        return None
    path = path_of(name_or_path)
    if os.path.isdir(path):
        there: Found = _reader(path).found(path, trainable=trainable)
        return there
    if path.suffix == ".npz" and os.path.isfile(path):
        return None
    raise InputError(_absent(name_or_path, path))


def as_text(name_or_path: str | Path) -> str:
    """The text that a study file has for a name or a path, and that `load` takes for the same.

    A `Path` never is a name: pathlib drops the "./" that tells a folder from a data set called so.
    """
    text = str(name_or_path)
    return f"./{text}" if isinstance(name_or_path, Path) and text in DATASETS else text


def _reader(folder: Path) -> ModuleType:
    """The module that reads such a folder."""
    from tinyscope.data import hub_parquet, image_folder

    return hub_parquet if hub_parquet.holds_shards(folder) else image_folder


def _named(name: str) -> Splits:
    if name == "digits":
        from tinyscope.data import bundled

        return bundled.digits()
    from tinyscope.data import cifar

    return cifar.load(name)


def _resized(splits: Splits, size: int | None) -> Splits:
    if size is None:
        return splits

    def fit(part: ImageDataset) -> ImageDataset:
        return replace(part, images=resized(part.images, height=size, width=size))

    return Splits(splits.name, **{part.split: fit(part) for part in splits.parts()})


def _absent(given: str | Path, path: Path) -> str:
    """The line for what is neither a name nor a usable path."""
    if os.path.exists(path):
        return f"{path} is a file, but no .npz. Expected {_EXPECTED}."
    text = str(given)
    beside = _possible(path.parent)
    if isinstance(given, str) and not (os.sep in text or "/" in text or path.suffix):
        if guess := nearest(text, [*DATASETS, *beside]):
            hint = f'Did you mean "{guess}"?'
        else:
            hint = f"Expected one of {len(DATASETS)} names, or {_EXPECTED} in {Path.cwd()}."
        return f'Unknown data set "{text}". {hint} Run "{_SEE}" to see all {len(DATASETS)}.'
    guess = nearest(path.name, [*beside, *DATASETS])
    meant = guess if guess in DATASETS and guess not in beside else path.parent / (guess or "")
    hint = f'Did you mean "{meant}"?' if guess else f"Expected {_EXPECTED}."
    where = "" if path.is_absolute() else f" as seen from {Path.cwd()}"
    return f'There is no "{text}"{where}. {hint} Run "{_SEE}" to see the names that need no path.'


def _possible(folder: Path) -> list[str]:
    """The names in a folder that could be a data set's: of folders, and of `.npz` files."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        return [each.name for each in entries if each.is_dir() or each.name.endswith(".npz")]
    except OSError:
        return []
