"""Which files a user means by a list of files, folders and patterns."""

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

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
    """
    for text in given:
        path = Path(text)
        if path.is_dir():
            inside = (entry for entry in path.rglob("*") if entry.suffix.lower() in SUFFIXES)
            yield from sorted(entry for entry in inside if entry.is_file())
        elif not path.exists() and glob.has_magic(text):
            matches = sorted(glob.glob(text, recursive=True))
            yield from map(Path, matches) if matches else [path]
        else:
            yield path
