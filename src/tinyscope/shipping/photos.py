"""Which files a user means by a list of files, folders and patterns."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tinyscope.errors import DataError

SUFFIXES = {
    *(".avif", ".bmp", ".dib", ".gif", ".ico", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm"),
    *(".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
}
"""Of the files in a folder that are taken for photos; a file named by itself is taken as it is."""


def find_photos(given: Iterable[str]) -> Iterator[Path]:
    """The files that are meant, in the given order; those of a folder by name, at any depth.

    A file that does not exist is given out too: reading it then says so, and the others are
    answered all the same.

    Args:
        given: files, folders and patterns ("photos/*.jpg", "photos/**/*.png").

    Raises:
        DataError: a folder holds no photos.
    """
    for text in given:
        matches = [text]
        if glob.has_magic(text) and not os.path.exists(text):
            matches = sorted(glob.glob(text, recursive=True)) or [text]
        for match in matches:
            yield from _below(Path(match)) if os.path.isdir(match) else [Path(match)]


def _below(folder: Path) -> list[Path]:
    inside = (entry for entry in folder.rglob("*") if entry.suffix.lower() in SUFFIXES)
    photos = sorted(entry for entry in inside if entry.is_file())
    if not photos:
        kinds = " ".join(sorted(SUFFIXES))
        raise DataError(f"{folder} holds no photos: expected files ending in {kinds}.")
    return photos
