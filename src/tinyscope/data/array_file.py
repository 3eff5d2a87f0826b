"""A `.npz` file of images and labels, with splits as Keras spells them or with none.

`x_train, y_train[, x_val, y_val][, x_test, y_test]`, or `images, labels`; and optionally
`class_names`. Without names, the classes are called "0" to the highest training label.
"""

import math
import os
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.data.encoded import class_faults
from tinyscope.data.file_tree import printable
from tinyscope.errors import DataError

_KEYS = {
    "train": (("x_train", "y_train"), ("images", "labels")),
    "validation": (("x_val", "y_val"),),
    "test": (("x_test", "y_test"),),
}


def load(path: Path, *, trainable: bool = True) -> Splits:
    """The splits of a `.npz` file, with the channels that it has.

    Images are uint8 (N, H, W), (N, H, W, 1) or (N, H, W, 3); labels integers (N,) or (N, 1).

    Args:
        path: of the file.
        trainable: whether a single class, and classes with too few images, are refused.

    Raises:
        DataError: not such a file, or more than the memory holds; arrays of other names, dtypes or
            shapes; sizes that differ between splits; labels without images; one class, or a class
            with too few images.
    """
    arrays = _read(path)
    pairs = _pairs(arrays)
    images = {split: _images(path, name, arrays[name]) for split, (name, _) in pairs.items()}
    labels = {split: _labels(path, name, arrays[name]) for split, (_, name) in pairs.items()}
    for split, found in images.items():
        if found.shape[1:] != images["train"].shape[1:]:
            raise DataError(
                f"{path}: {split} images are {found.shape[1:]} but those to train on "
                f"{images['train'].shape[1:]} (height, width, channels)."
            )
        if len(found) != len(labels[split]) or not len(found):
            raise DataError(
                f"{path}: {split} has {len(found)} images, {len(labels[split])} labels."
            )
    class_names = _class_names(path, arrays.get("class_names"), labels["train"])
    parts = {
        split: ImageDataset(images[split], labels[split], class_names, split, printable(path.name))
        for split in pairs
    }
    faults = class_faults(class_names, labels)
    if faults and trainable:
        raise DataError(f"{path}: {'; '.join(faults)}.")
    return Splits(printable(path.stem), **parts)


def _pairs(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The names of the images and the labels of every split that there is."""
    return {
        split: pair
        for split, spellings in _KEYS.items()
        for pair in reversed(spellings)  # the first one stands
        if set(pair) <= set(names)
    }


def _read(path: Path) -> dict[str, np.ndarray]:
    """All arrays of the file; never a pickled object.

    What is in it is judged by the names and the headers first: a file of a few kilobytes can claim,
    and unpack to, more than any memory holds.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            members = _members(path, packed)
            sizes = {name: _size(path, packed, name, one) for name, one in members.items()}
            if (whole := sum(sizes.values())) > (most := _memory()):
                raise DataError(
                    f"{path}: its arrays take {whole / 1e9:,.1f} GB and this computer has "
                    f"{most / 1e9:,.1f} GB of memory. Store fewer images, or make a folder of them."
                )
            return {name: _array(packed, name, one) for name, one in members.items()}
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: {_damaged(error)}.") from None
    except MemoryError:
        raise DataError(
            f"{path}: its arrays do not fit into the memory that is free. Store fewer images, or "
            "make a folder of them."
        ) from None


def _members(path: Path, packed: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The arrays of the file by name, none of them read.

    Raises:
        DataError: something in it has another name than these arrays have, or none to train on.
    """
    members: dict[str, zipfile.ZipInfo] = {}
    for member in packed.infolist():
        name = member.filename.removesuffix(".npy")
        if name in members:
            raise DataError(f"{path}: {name} stands twice; expected one array of each name.")
        members[name] = member
    pairs = _pairs(members)
    used = {name for pair in pairs.values() for name in pair} | {"class_names"}
    unused = sorted(set(members) - used)
    if "train" not in pairs or unused:
        fault = f"{', '.join(unused)} not understood" if unused else "no training images"
        raise DataError(
            f"{path}: {fault}. Expected x_train and y_train, or images and labels; optional are "
            "x_val, y_val, x_test, y_test, class_names."
        )
    return members


def _size(path: Path, packed: zipfile.ZipFile, name: str, member: zipfile.ZipInfo) -> int:
    """Bytes of an array, as its header states them.

    Raises:
        DataError: its content is no array, cannot be read, or is of another size than that.
    """
    if member.flag_bits & 0x1:
        raise DataError(f"{path}: {name} is encrypted; expected a file without a password.")
    try:
        with packed.open(member) as file:
            version = np.lib.format.read_magic(file)
            if version == (1, 0):
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            elif version == (2, 0):
                shape, _, dtype = np.lib.format.read_array_header_2_0(file)
            else:
                raise ValueError(f"npy format {version[0]}.{version[1]}")
            stored = member.file_size - file.tell()
    except Exception as error:  # of zlib, lzma, bz2, zipfile and numpy: each has its own
        raise DataError(f"{path}: {_damaged(error, name)}.") from None
    size = math.prod(shape) * dtype.itemsize  # Python's numbers: no product is too large
    if size != stored and not dtype.hasobject:
        raise DataError(
            f"{path}: {name} is damaged: by its header it is {dtype} {shape}, {size:,} bytes, and "
            f"it holds {stored:,}."
        )
    return size


def _array(packed: zipfile.ZipFile, name: str, member: zipfile.ZipInfo) -> np.ndarray:
    try:
        with packed.open(member) as file:
            array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
            return array
    except MemoryError:
        raise
    except Exception as error:  # as above
        raise ValueError(f"{name}: {_told(error)}") from None


def _damaged(error: Exception, name: str = "") -> str:
    told = f"{name}: {_told(error)}" if name else _told(error)
    return f"damaged, or no .npz file of plain arrays ({told})"


def _told(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _memory() -> int:
    """Bytes of memory that this computer has; as many as can be counted where it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return sys.maxsize


def _images(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, C)."""
    if array.dtype != np.uint8:
        hint = ""
        if array.dtype.kind == "f" and array.size and array.min() >= 0 and array.max() <= 1:
            hint = f" Store np.rint({name} * 255).astype(np.uint8)."
        raise DataError(f"{path}: {name} is {array.dtype}; expected uint8, 0 to 255.{hint}")
    if array.ndim >= 3 and 0 in array.shape[1:3]:
        raise DataError(
            f"{path}: {name} has the shape {array.shape}; expected images of 1 pixel or more."
        )
    if array.ndim == 3:
        return array[..., np.newaxis]
    if array.ndim == 4 and array.shape[3] in (1, 3):
        return array
    hint = ""
    if array.ndim == 4 and array.shape[1] in (1, 3):
        hint = f" Store {name}.transpose(0, 2, 3, 1)."
    raise DataError(
        f"{path}: {name} has the shape {array.shape}; expected (N, H, W), (N, H, W, 1) or "
        f"(N, H, W, 3).{hint}"
    )


def _labels(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """int64 (N,)."""
    if array.dtype.kind not in "iu":
        raise DataError(f"{path}: {name} is {array.dtype}; expected integers, 0 to K-1.")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"{path}: {name} has the shape {array.shape}; expected (N,) or (N, 1).")
    return array.astype(np.int64)


def _class_names(path: Path, names: np.ndarray | None, labels: np.ndarray) -> tuple[str, ...]:
    if names is None:
        if (largest := int(labels.max())) >= len(labels):
            raise DataError(
                f"{path}: a label is {largest}, and there are {len(labels)} training images; "
                "expected 0 to K-1 for K classes. np.unique(labels, return_inverse=True) numbers "
                "other labels so."
            )
        return tuple(str(number) for number in range(int(labels.max()) + 1))
    if names.ndim != 1 or names.dtype.kind != "U":
        raise DataError(
            f"{path}: class_names is {names.dtype} {names.shape}; expected K strings, shape (K,)."
        )
    return tuple(names.tolist())
