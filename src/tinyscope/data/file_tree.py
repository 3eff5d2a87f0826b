"""The files of a folder that may be images, at any depth; nothing of it is passed over unsaid."""

import logging
import os
from collections import deque
from functools import cache
from pathlib import Path

from tinyscope.data.dataset import LeftOut

_log = logging.getLogger(__name__)

# What lies beside images and was never meant as one. Any other file that is no image is left out
# with its reason, so that a wrongly saved photo is noticed. The last two are Tinyscope's own.
_CLUTTER = {"thumbs.db", "desktop.ini", "__macosx", "@eadir", "tinyscope-runs", "tinyscope-data"}
_CLUTTER_ENDINGS = (
    *(".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".md", ".rst", ".yaml", ".yml"),
    *(".html", ".htm", ".log", ".ini", ".toml", ".py", ".ipynb", ".parquet", ".npz", ".npy"),
)


def is_apart(name: str) -> bool:
    """Whether a folder or file of that name is hidden, or a program's own."""
    return name.startswith(".") or name.casefold() in _CLUTTER


def is_clutter(name: str) -> bool:
    """Whether a file of that name is not meant as an image: it is apart, a text or a table."""
    return is_apart(name) or name.casefold().endswith(_CLUTTER_ENDINGS)


def printable(name: str) -> str:
    """The name with what is no Unicode, such as bytes that old archives leave, spelled out."""
    if name.isascii():
        return name
    try:
        stored = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a letter, which Windows allows, stands for no bytes
        stored = name.encode("utf-8", "backslashreplace")
    return stored.decode("utf-8", "backslashreplace")


def lies_among(path: Path, folder: Path) -> bool:
    """Whether files that are written to a path would be found among those of a folder.

    They are not in a folder within it that is hidden or a program's own.
    """
    place, root = (Path(os.path.realpath(each)) for each in (path, folder))
    return place.is_relative_to(root) and not any(map(is_apart, place.relative_to(root).parts))


def files_below(folder: Path, below: str, odd: list[LeftOut]) -> list[str]:
    """All files at any depth that are no clutter, sorted.

    Links to folders are followed, but every folder is read once, under its own name where it has
    one here: folders that link to one another have more names than a disk has files.

    Args:
        folder: the root, which the names that are given begin below.
        below: where to look, with "/" between its parts; empty for the root itself.
        odd: takes what cannot be read, with its reason. A link to a folder that is read already is
            none of that: its files are among the others, under the other name, and the first one
            is told in the log.
    """
    read: dict[tuple[int, int] | str, str] = {}
    parts = below.split("/") if below else []
    for count in range(len(parts)):  # what lies around it is never read as a part of it
        above = "/".join(parts[:count])
        read[_identity(folder / above)] = above
    files: list[str] = []
    repeated: list[tuple[str, str]] = []
    waiting, links = [below], deque[str]()
    while waiting or links:
        here = waiting.pop() if waiting else links.popleft()
        try:
            known = read.setdefault(_identity(folder / here), here)
        except OSError as error:  # the folder around it may be listed and not entered
            odd.append(LeftOut(f"{here}/", f"folder cannot be read: {error.strerror}"))
            continue
        if known != here:
            repeated.append((f"{here}/", f"{known or '.'}/"))
            continue
        names, found = contents(folder, here, odd)
        files += found
        for name in reversed(names):
            inner = f"{here}/{name}" if here else name
            (links if os.path.islink(folder / inner) else waiting).append(inner)
    if repeated:
        (name, known), more = repeated[0], len(repeated) - 1
        _tell_of_other_name(folder, name, known, more)
    return sorted(files)


@cache
def _tell_of_other_name(folder: Path, name: str, known: str, more: int) -> None:
    """Once, however often a folder is looked at."""
    names = map(printable, (str(folder), name, known))
    _log.warning(
        "%s: %s is %s under another name, and read once%s.",
        # A log goes to a terminal, where a name must not begin a line or move the cursor.
        *(each if each.isprintable() else ascii(each) for each in names),
        f"; so it is with {more:,} more" if more else "",
    )


def _identity(folder: Path) -> tuple[int, int] | str:
    """What tells a folder from all others; by its real place where the drive numbers none."""
    state = os.stat(folder)
    return (state.st_dev, state.st_ino) if state.st_ino else os.path.realpath(folder)


def contents(folder: Path, below: str, odd: list[LeftOut]) -> tuple[list[str], list[str]]:
    """What lies directly in a folder, sorted: names of its folders, and files below the root.

    Args:
        folder: see `files_below`.
        below: see `files_below`.
        odd: see `files_below`.
    """
    folders, files = [], []
    try:
        with os.scandir(folder / below) as entries:
            there = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        odd.append(LeftOut(f"{below}/", f"folder cannot be read: {error.strerror}"))
        return [], []
    for entry in there:
        name = entry.name
        if is_apart(name):
            continue
        file = f"{below}/{name}" if below else name
        try:
            if entry.is_dir():
                folders.append(name)
            elif is_clutter(name):
                continue
            elif entry.is_file():
                files.append(file)
            else:
                odd.append(LeftOut(file, "broken link, or no regular file"))
        except OSError as error:  # a link that ends in itself
            odd.append(LeftOut(file, f"cannot be read: {error.strerror}"))
    return folders, files
