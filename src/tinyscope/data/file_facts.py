"""What image files say of themselves before they are decoded: format, size, mode, tags, tables."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image

from tinyscope.data import catalogue
from tinyscope.data.dataset import ImageDataset
from tinyscope.data.decoded_cache import in_threads
from tinyscope.data.decoding import Undecodable, reading, upright_size
from tinyscope.data.encoded import Encoded
from tinyscope.errors import DataError

_LONGEST = 80  # letters of an EXIF text that are kept; serial numbers and stories are longer


@dataclass(frozen=True, eq=False)
class FileFacts:
    """What the headers say of the N image files of one split, also of those that are left out.

    Files in no class folder, and links to nowhere, are not among them: they stand in the data set's
    `left_out` alone.

    Attributes:
        files: N names, as in `ImageDataset.files` and `LeftOut.file`, in the order of the source.
        labels: int64 (N,), in 0 … K-1.
        format: str (N,): "JPEG", "PNG" … by the file's content; "" where it cannot be read. A
            JPEG that carries further pictures (MPO, as some phones write it) is a JPEG.
        width: int64 (N,), pixels from left to right as the image is seen, EXIF orientation
            applied; 0 where the header cannot be read.
        height: int64 (N,), from top to bottom.
        mode: str (N,), Pillow's name of the kind of pixels as they are stored: "RGB", "L", "CMYK",
            "P", "I;16" …; "" where the header cannot be read.
        quantization: float64 (N,): the mean of the numbers by which a JPEG's encoder divided, over
            its tables; 1 or more, smaller for better quality. Encoders and qualities differ in it.
            NaN for other formats.
        size_bytes: int64 (N,); 0 also where the file cannot be reached.
        extension_fits: bool (N,): whether the ending of the name is one of the format's; True
            where the name has none, where images have no names, and where the format is unknown.
        animated: bool (N,): whether there is more than one frame or page.
        readable: bool (N,): whether the header can be read and states no more pixels than
            `decoding.PIXEL_LIMIT`. The rest of the file may be damaged all the same.
        exif: N tables of those tags that the file has, of Make, Model, Software, DateTime and
            DateTimeOriginal (only the day, "2019-07-30"), as text, and Orientation, 1 … 8.
    """

    files: tuple[str, ...]
    labels: np.ndarray
    format: np.ndarray
    width: np.ndarray
    height: np.ndarray
    mode: np.ndarray
    quantization: np.ndarray
    size_bytes: np.ndarray
    extension_fits: np.ndarray
    animated: np.ndarray
    readable: np.ndarray
    exif: tuple[Mapping[str, str | int], ...]

    def __len__(self) -> int:
        return len(self.files)

    def positions(self, dataset: ImageDataset) -> np.ndarray:
        """Where each image of a data set stands here; the files of those left out are skipped.

        Args:
            dataset: the same split as it was loaded, or any selection of its rows.

        Returns:
            int64 (N of the data set,).

        Raises:
            DataError: a file of the data set is not among these, because another split is meant
                or because the source has changed since it was loaded.
        """
        place = {name: position for position, name in enumerate(self.files)}
        try:
            return np.array([place[name] for name in dataset.files], np.int64)
        except KeyError as missing:
            raise DataError(
                f"{dataset.source}: {missing.args[0]} ({dataset.split}) is not among the "
                f"{len(self):,} files found. If files have changed, load the data set again."
            ) from None


def file_facts(name_or_path: str | Path) -> dict[str, FileFacts]:
    """What the headers of all image files of a data set say, by split; no pixel is decoded.

    Args:
        name_or_path: as in `catalogue.load`.

    Returns:
        "train" first. Nothing where a source has no image files but arrays: digits, CIFAR's
        official archives, a `.npz` file.

    Raises:
        InputError: no such name, file or folder.
        DataError: there are no images, or folders that cannot be told apart as splits.
    """
    found = catalogue.found(name_or_path, trainable=False)
    return {part.split: _facts(part) for part in found.parts} if found else {}


class _Header(NamedTuple):
    """The facts of one file."""

    format: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    quantization: float = math.nan
    animated: bool = False
    exif: Mapping[str, str | int] = {}


_UNREADABLE = _Header()


def _facts(part: Encoded) -> FileFacts:
    def read(chunk: list[bytes | Path]) -> list[tuple[_Header, int, bool]]:
        return [(header := _header(source), *_outside(source, header)) for source in chunk]

    count = len(part.files)
    formats, modes, exif = [""] * count, [""] * count, [_UNREADABLE.exif] * count
    width, height, size_bytes = np.zeros((3, count), np.int64)
    quantization = np.full(count, math.nan)
    fits, animated, readable = np.zeros((3, count), bool)
    position = 0
    for chunk in in_threads(read, part.sources()):
        for header, size, ending_fits in chunk:
            formats[position], modes[position] = header.format, header.mode
            exif[position], quantization[position] = header.exif, header.quantization
            width[position], height[position] = header.width, header.height
            size_bytes[position], fits[position] = size, ending_fits
            animated[position] = header.animated
            readable[position] = header is not _UNREADABLE
            position += 1
    return FileFacts(
        files=part.files,
        labels=part.labels,
        format=np.array(formats),
        width=width,
        height=height,
        mode=np.array(modes),
        quantization=quantization,
        size_bytes=size_bytes,
        extension_fits=fits,
        animated=animated,
        readable=readable,
        exif=tuple(exif),
    )


def _header(source: bytes | Path) -> _Header:
    try:
        return reading(source, _stated)
    except Undecodable:
        return _UNREADABLE


def _stated(image: Image.Image) -> _Header:
    form = "JPEG" if image.format == "MPO" else image.format or ""
    width, height = upright_size(image)
    exif = _exif(image) or _UNREADABLE.exif
    mode = image.mode  # before a GIF is asked for its second frame, which may have another one
    tables = getattr(image, "quantization", {}) if form == "JPEG" else {}
    steps = [step for table in tables.values() for step in table]
    return _Header(
        form,
        width,
        height,
        mode,
        quantization=sum(steps) / len(steps) if steps else math.nan,
        animated=form != "JPEG" and _is_animated(image),
        exif=exif,
    )


def _is_animated(image: Image.Image) -> bool:
    try:
        return getattr(image, "is_animated", False)
    except Exception:  # a GIF whose second frame is damaged; the first one may be whole
        return False


def _exif(image: Image.Image) -> dict[str, str | int]:
    """The tags that are of interest; none where the EXIF data are damaged."""
    found: dict[str, str | int] = {}
    try:
        # Not image.getexif(): a PNG's decodes the pixels in search of more.
        tags = Image.Image.getexif(image)
        if not len(tags):
            return {}
        for tag in (ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.Software):
            if text := _text(tags.get(tag)):
                found[tag.name] = text
        taken = tags.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
        for name, value in (
            ("DateTime", tags.get(ExifTags.Base.DateTime)),
            ("DateTimeOriginal", taken),
        ):
            if text := _text(value):
                found[name] = text[:10].replace(":", "-")
        stated = tags.get(ExifTags.Base.Orientation)
        if isinstance(stated, int) and 1 <= stated <= 8:
            found["Orientation"] = stated
    except Exception:  # what was read before the damage is as good as ever
        pass
    return found


def _text(value: object) -> str:
    """An EXIF text on one line, without what follows its end."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return ""
    return " ".join(value.split("\0")[0].split())[:_LONGEST]


def _outside(source: bytes | Path, header: _Header) -> tuple[int, bool]:
    """The size in bytes, and whether the name's ending fits the format."""
    if isinstance(source, bytes):
        return len(source), True
    try:
        size = os.stat(source).st_size
    except OSError:
        size = 0
    ending = source.suffix.casefold()
    return size, not ending or not header.format or ending in _endings(header.format)


@cache
def _endings(form: str) -> frozenset[str]:
    """The endings of file names that Pillow knows for a format."""
    of_format = {end for end, name in Image.registered_extensions().items() if name == form}
    return frozenset(of_format | ({".mpo"} if form == "JPEG" else set()))
