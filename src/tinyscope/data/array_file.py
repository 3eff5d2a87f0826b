"""A `.npz` file of images and labels, with splits as Keras spells them or with none.

`x_train, y_train[, x_val, y_val][, x_test, y_test]`, or `images, labels`; and optionally
`class_names`. Without names, the classes are called "0" to the highest training label.
"""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.data.encoded import class_faults
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
        DataError: not such a file; arrays of other names, dtypes or shapes; sizes that differ
            between splits; labels without images; one class, or a class with too few images.
    """
    arrays = _read(path)
    pairs = {}
    for split, spellings in _KEYS.items():
        for pair in spellings:
            if split not in pairs and all(name in arrays for name in pair):
                pairs[split] = pair
    used = {name for pair in pairs.values() for name in pair} | {"class_names"}
    unused = sorted(set(arrays) - used)
    if "train" not in pairs or unused:
        fault = f"{', '.join(unused)} not understood" if unused else "no training images"
        raise DataError(
            f"{path}: {fault}. Expected x_train and y_train, or images and labels; optional are "
            "x_val, y_val, x_test, y_test, class_names."
        )
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
        split: ImageDataset(images[split], labels[split], class_names, split, path.name)
        for split in pairs
    }
    faults = class_faults(class_names, labels)
    if faults and trainable:
        raise DataError(f"{path}: {'; '.join(faults)}.")
    return Splits(path.stem, **parts)


def _read(path: Path) -> dict[str, np.ndarray]:
    """All arrays of the file; never a pickled object."""
    try:
        with path.open("rb") as file:
            stored = np.load(file, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: damaged, or no .npz file of plain arrays ({reason}).") from None


def _images(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, C)."""
    if array.dtype != np.uint8:
        hint = ""
        if array.dtype.kind == "f" and array.size and array.min() >= 0 and array.max() <= 1:
            hint = f" Store np.rint({name} * 255).astype(np.uint8)."
        raise DataError(f"{path}: {name} is {array.dtype}; expected uint8, 0 to 255.{hint}")
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
