"""Which photos a user means by a list of files, folders, patterns, zip files and parquet files."""

import glob
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from tinyscope.data.dataset import LeftOut
from tinyscope.data.file_tree import files_below
from tinyscope.data.hub_parquet import shards_in
from tinyscope.errors import DataError
from tinyscope.shipping.packed_photos import Packed, in_parquet, in_zip


class Photo(NamedTuple):
    """One image that is meant, and how it is called."""

    name: str
    """As it was given: "photos/2.png"; in a file of photos "photos.zip/cats/2.png", "a.parquet[7]"
    for a row without a path."""
    id: str
    """Its file's name without the suffix: "2"; of a parquet row without a path its number, counted
    from 0 over the shards of a folder."""
    source: Path | bytes
    """Where it lies, or the bytes of its file; empty where there is a fault."""
    fault: str = ""
    """Why it cannot be read, where that is known already."""
    within: Path | None = None
    """The zip or parquet file that it lies in, or that holds no photos."""

    @property
    def file(self) -> Path | None:
        """What is read on the disk: its own file, or that which it lies in."""
        return self.source if isinstance(self.source, Path) else self.within


def find_photos(given: Iterable[str]) -> Iterator[Photo]:
    """The photos that are meant, in the given order; those of one folder or file in natural order.

    Natural order compares numbers in names as numbers, so that 2.png stands before 10.png; the rows
    of parquet files keep their own. A file that does not exist is given out too: reading it then
    says so, and the others are answered all the same. Zip and parquet files are read piece by
    piece, and nothing is unpacked to the disk.

    Args:
        given: files, folders and patterns ("photos/*.jpg", "photos/**/*.png"), with ~ for the home
            folder. A folder stands for the photos in it, at any depth, or for its parquet shards
            where it holds no photos. As in training, every file but hidden ones, texts and tables
            is taken for a photo; what is none is given out all the same, and so is a folder that
            cannot be read.

    Raises:
        DataError: all that is given is a folder or a zip file that holds no photos; among others,
            it is given out with that fault.
    """
    meant: list[str] = []
    for text in map(os.path.expanduser, given):
        matches = [text]
        if glob.has_magic(text) and not os.path.exists(text):
            matches = sorted(glob.glob(text, recursive=True), key=natural_order) or [text]
        meant += matches
    for match in meant:
        try:
            yield from _meant_by(Path(match))
        except DataError as error:
            if len(meant) == 1:
                raise
            fault = str(error).removeprefix(f"{match} ")
            yield Photo(match, Path(match).stem, b"", fault, Path(match))


def natural_order(path: str | PurePath) -> list[Any]:
    """What to sort paths by so that numbers in names count as numbers: 2.png before 10.png."""
    parts = PurePath(path).parts
    return [[_natural(part) for part in parts], parts]  # the parts break ties, as of 1 and 01


def _natural(text: str) -> list[Any]:
    """Letters and, in every second place, numbers; by length first, which spares reading them."""
    pieces: list[Any] = re.split(r"([0-9]+)", text)
    for place in range(1, len(pieces), 2):
        digits = pieces[place].lstrip("0")
        pieces[place] = (len(digits), digits)
    return pieces


def _meant_by(path: Path) -> Iterator[Photo]:
    if os.path.isdir(path):  # which answers no where a Path would complain of permissions
        odd: list[LeftOut] = []
        files = files_below(path, "", odd)
        photos = [_of_its_own(path / file) for file in files]
        photos += [_left_out(path / file.strip("/"), reason) for file, reason in odd]
        if photos:
            yield from sorted(photos, key=lambda photo: natural_order(photo.name))
            return
        shards = sorted(shards_in(path), key=natural_order)
        if not shards:
            raise DataError(f"{path} holds no photos: expected image files, or parquet files.")
        yield from _at_least_one(_named(in_parquet(shards)), path)
    elif path.suffix.lower() == ".zip" and os.path.isfile(path):
        yield from _at_least_one(_named(in_zip(path, order=natural_order)), path)
    elif path.suffix.lower() == ".parquet" and os.path.isfile(path):
        yield from _at_least_one(_named(in_parquet([path])), path)
    else:
        yield _of_its_own(path)


def _at_least_one(photos: Iterator[Photo], path: Path) -> Iterator[Photo]:
    first = next(photos, None)
    if first is None:
        raise DataError(f"{path} holds no photos.")
    yield first
    yield from photos


def _of_its_own(path: Path) -> Photo:
    # A folder or file in this one may be called "~" or "~root", and is no home folder.
    source = path.absolute() if str(path).startswith("~") else path
    return Photo(str(path), path.stem, source)


def _left_out(path: Path, reason: str) -> Photo:
    return Photo(str(path), path.stem, b"", reason)


def _named(packed: Iterable[Packed]) -> Iterator[Photo]:
    for one in packed:
        name, key = str(one.file), one.file.stem
        if one.path:
            name, key = f"{one.file}/{one.path}", PurePath(one.path).stem
        elif one.row is not None:
            name, key = f"{one.file}[{one.row}]", str(one.number)
        yield Photo(name, key, one.content, one.fault, one.file)
