"""ImageDataset: the images and labels of one split, and what was left out of it."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from tinyscope.data.mapped_rows import MappedRows, taken
from tinyscope.errors import DataError

_SPLITS = ("train", "validation", "test")
_PIECE = 2**26  # values of images that are read at a time


class LeftOut(NamedTuple):
    """An image that was found and is not used."""

    file: str
    """Its name below the data set's root, or `shard.parquet[row]`."""
    reason: str
    """Why, as a phrase: "truncated", "not an image"."""


class Preprocessing(NamedTuple):
    """What was done to every image before it became an array, and is done again to a photo.

    `decoding.decode` carries it out.
    """

    height: int
    width: int
    channels: int
    """3 for RGB, 1 for grey."""


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """The images and labels of one split.

    Attributes:
        images: uint8 (N, H, W, C), in memory or memory-mapped; `mapped_rows.MappedRows` where they
            are a selection of memory-mapped ones, to be read in pieces like those.
        labels: int64 (N,), in 0 … K-1.
        class_names: K names, kept as a tuple; the label is an index into them.
        split: "train", "validation" or "test".
        source: where it came from, for people: "cifar10", "photos/".
        left_out: images that were found and are not used, with reasons.
        files: N names below the source's root, or empty where images have none.

    Raises:
        DataError: shapes, dtypes or labels do not fit one another, a name is no text that UTF-8
            can spell, or there is no such split.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    split: str
    source: str
    left_out: tuple[LeftOut, ...] = ()
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if fault := _text_fault((self.source,)):
            raise DataError(f"source has {fault}; expected a text, such as photos/.")
        if self.split not in _SPLITS:
            raise DataError(f'{self.source}: split "{self.split}" is none of {", ".join(_SPLITS)}.')
        for key in ("class_names", "files", "left_out"):
            object.__setattr__(self, key, self._as_tuple(key))
        for key, kind in (("images", "uint8 (N, H, W, C)"), ("labels", "int64 (N,)")):
            if not isinstance(getattr(self, key), np.ndarray | MappedRows):
                raise DataError(
                    f"{self.source}: {key} are of the type {type(getattr(self, key)).__name__}; "
                    f"expected a numpy array, {kind}."
                )
        if self.images.ndim != 4 or self.images.dtype != np.uint8:
            raise DataError(
                f"{self.source}: images are {self.images.dtype} {self.images.shape}; "
                "expected uint8 (N, H, W, C)."
            )
        if self.images.shape[3] not in (1, 3):
            raise DataError(f"{self.source}: {self.images.shape[3]} channels; expected 1 or 3.")
        if 0 in self.images.shape[1:3]:
            raise DataError(
                f"{self.source}: images are {self.images.shape}; expected sides of 1 pixel or more."
            )
        if self.labels.shape != self.images.shape[:1] or self.labels.dtype != np.int64:
            raise DataError(
                f"{self.source}: labels are {self.labels.dtype} {self.labels.shape}; "
                f"expected int64 ({len(self.images)},)."
            )
        if self.files and len(self.files) != len(self.images):
            raise DataError(
                f"{self.source}: {len(self.files)} file names for {len(self.images)} images."
            )
        repeated = [name for name, times in Counter(self.class_names).items() if times > 1]
        if repeated:
            raise DataError(f'{self.source}: the class name "{repeated[0]}" stands twice.')
        outside = (self.labels < 0) | (self.labels >= len(self.class_names))
        if outside.any():
            row = int(outside.argmax())
            raise DataError(
                f"{self.source}: label {self.labels[row]} of image {row} ({self.split}) is not in "
                f"0 to {len(self.class_names) - 1}, the {len(self.class_names)} classes."
            )

    def _as_tuple(self, key: str) -> tuple[Any, ...]:
        """Names, or what was left out, as a tuple.

        Raises:
            DataError: they are something else, or texts that no file could keep.
        """
        given = getattr(self, key)
        wanted = "of LeftOut" if key == "left_out" else "of texts"
        if isinstance(given, str) or not isinstance(given, Iterable):
            shown = ascii(given) if isinstance(given, str | None) else type(given).__name__
            raise DataError(f"{self.source}: {key} is {shown}; expected a tuple {wanted}.")
        values = tuple(given)
        if key != "left_out":
            fault = _text_fault(values)
        elif strangers := [each for each in values if not isinstance(each, LeftOut)]:
            fault = f"{strangers[0]!a} in it"
        else:
            fault = _text_fault([text for each in values for text in each])
        if fault:
            raise DataError(f"{self.source}: {key} has {fault}; expected a tuple {wanted}.")
        return values

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        height, width, channels = self.images.shape[1:]
        return (
            f"ImageDataset({self.source!r}, {self.split}: {len(self):,} images of "
            f"{width}x{height}x{channels}, {len(self.class_names)} classes, "
            f"{len(self.left_out)} left out)"
        )

    @property
    def found(self) -> int:
        """How many images were found, those left out included."""
        return len(self) + len(self.left_out)

    @property
    def preprocessing(self) -> Preprocessing:
        """What makes a photo fit for a model that was trained on these images."""
        return Preprocessing(*self.images.shape[1:])

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with any pixel, label, class name or their order."""
        digest = hashlib.sha256()
        digest.update(repr((self.images.shape, self.class_names)).encode())
        digest.update(np.ascontiguousarray(self.labels).data)
        self._digest_pixels(digest)
        return digest.hexdigest()[:16]

    @cached_property
    def pixels_fingerprint(self) -> str:
        """16 hexadecimal digits that change with any pixel or the order of images only."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        self._digest_pixels(digest)
        return digest.hexdigest()[:16]

    def _digest_pixels(self, digest: "hashlib._Hash") -> None:
        step = max(1, _PIECE // max(1, math.prod(self.images.shape[1:])))
        for start in range(0, len(self), step):  # a memory-mapped array is never held whole
            digest.update(np.ascontiguousarray(self.images[start : start + step]).data)

    def name_of(self, row: int) -> str:
        """The image's file below the source's root, or "train[5]" where images have no files."""
        return self.files[row] if self.files else f"{self.split}[{row}]"

    def counts(self) -> list[int]:
        """Images of each class, in the order of `class_names`."""
        return np.bincount(self.labels, minlength=len(self.class_names)).tolist()

    def select(
        self, rows: np.ndarray, *, split: str, with_left_out: bool = False
    ) -> "ImageDataset":
        """The images at `rows` (int (M,)) as a data set of the given split.

        Images in memory are copied; memory-mapped ones stay where they are.

        Args:
            with_left_out: whether the list of images left out goes along; it belongs to one part
                only, or counts would be wrong.
        """
        files: Sequence[str] = [self.files[row] for row in rows] if self.files else ()
        return replace(
            self,
            images=taken(self.images, rows),
            labels=self.labels[rows],
            split=split,
            files=tuple(files),
            left_out=self.left_out if with_left_out else (),
        )


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set as its splits.

    As loaded, `validation` and `test` are None where the source has none; after
    `splitting.complete` only a validation split of share 0 is.

    Raises:
        DataError: a part is called as another split, or has other classes, or images of another
            size, than the training images.
    """

    name: str
    train: ImageDataset
    validation: ImageDataset | None = None
    test: ImageDataset | None = None

    def __post_init__(self) -> None:
        if fault := _text_fault((self.name,)):
            raise DataError(f"The name of a data set has {fault}; expected a text.")
        for split in _SPLITS:
            part: ImageDataset | None = getattr(self, split)
            if part is None and split != "train":
                continue
            if not isinstance(part, ImageDataset):
                raise DataError(
                    f"{self.name}: {split} is of the type {type(part).__name__}; expected an "
                    "ImageDataset."
                )
            if part.split != split:
                raise DataError(
                    f'{self.name}: the {split} images are of the split "{part.split}"; '
                    f'select(rows, split="{split}") gives them another.'
                )
            if part.class_names != self.train.class_names:
                raise DataError(
                    f"{self.name}: the {split} images have other classes than the training images, "
                    "or in another order."
                )
            if part.preprocessing != self.train.preprocessing:
                raise DataError(
                    f"{self.name}: the {split} images are {tuple(part.preprocessing)}, the "
                    f"training images {tuple(self.train.preprocessing)} (height, width, channels)."
                )

    def __repr__(self) -> str:
        return f"Splits({self.name!r}, {', '.join(map(repr, self.parts()))})"

    def parts(self) -> list[ImageDataset]:
        """The splits that exist, in the order train, validation, test."""
        return [part for part in (self.train, self.validation, self.test) if part is not None]

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of all splits together."""
        joined = " ".join(f"{part.split}:{part.fingerprint}" for part in self.parts())
        return hashlib.sha256(joined.encode()).hexdigest()[:16]


def _text_fault(texts: Sequence[object]) -> str | None:
    """What among them is no text that a file can keep; None where nothing is."""
    try:
        "".join(texts).encode()  # type: ignore[arg-type]  # half a million at once, in no time
        return None
    except (TypeError, UnicodeEncodeError):
        pass
    for text in texts:
        if not isinstance(text, str):
            return f"{text!a}, which is no text"
        try:
            text.encode()
        except UnicodeEncodeError:
            return f"{text!a}, which is no Unicode"
    raise AssertionError("texts of which each can be kept, and not all together")
