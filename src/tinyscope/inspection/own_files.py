"""Which files of a folder an inspection may replace: those that an earlier one has written."""

import os
from pathlib import Path

from tinyscope.errors import InputError, StorageError
from tinyscope.files import read_json

_OF_A_SUMMARY = {"format", "fingerprint", "findings", "pictures"}  # in those of all versions
_OF_A_PAGE = b"Tinyscope on the data"  # its title ends with it


def refuse_foreign(folder: Path) -> None:
    """Refuses a folder with files of somebody else under the names of an inspection's.

    Raises:
        InputError: `data.json` or `data.html` is there, and no inspection has written it.
        StorageError: it cannot be read.
    """
    for name, is_own in (("data.json", _is_summary), ("data.html", _is_page)):
        path = folder / name
        if os.path.isfile(path) and not is_own(path):
            raise InputError(
                f'{path} is there already, and "tinyscope data" has not written it. Move it away, '
                "or choose another folder with --out."
            )


def _is_summary(path: Path) -> bool:
    try:
        return set(read_json(path)) >= _OF_A_SUMMARY
    except StorageError:
        return False


def _is_page(path: Path) -> bool:
    try:
        return _OF_A_PAGE in path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}.") from None
