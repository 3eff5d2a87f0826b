"""The table of a review file, in the forms that spreadsheets save it in."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tinyscope.data.class_spelling import seen
from tinyscope.errors import InputError, StorageError
from tinyscope.files import write_text

COLUMNS = (
    *("action", "new_class", "split", "row", "file", "class", "finding", "detail", "pixels"),
    *("alike", "size"),
)
"""Of a review file. "alike" is how many images of the split have these pixels, itself included;
"size" is theirs, "32x32"."""

Rows = list[tuple[int, dict[str, str]]]
"""Line numbers, and cells by column."""

_NEEDED = ("action", "new_class", "split", "row", "pixels")
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
"""How a cell begins that spreadsheets may carry out instead of showing it, or would after the
removal of one "'"."""

_MARK = "\ufeff"  # without it, spreadsheets take UTF-8 for the alphabet of their country


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Writes a review file: the columns, then the rows.

    A cell that a spreadsheet would take for a formula has a "'" before it, which `read_rows` takes
    off.

    Args:
        path: of the file.
        rows: cells by column; columns that a person has added come after the others.

    Raises:
        StorageError: it cannot be written.
    """
    text = io.StringIO()
    columns = dict.fromkeys([*COLUMNS, *(name for row in rows for name in row if name)])
    table = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows({key: _as_text(cell) for key, cell in row.items()} for row in rows)
    write_text(path, _MARK + text.getvalue())


def read_rows(path: Path) -> Rows:
    """The rows of a review file in which any cell is filled.

    Between the cells may be commas, semicolons, as some countries have it, or tabs.

    Raises:
        InputError: the file is not there, is not in UTF-8, or lacks a column.
        StorageError: it cannot be read.
    """
    try:
        return rows_of(path.read_bytes())
    except FileNotFoundError:
        raise InputError(
            f'There is no review file {path}. "tinyscope data D --write-review {path.name}" '
            "writes one."
        ) from None
    except OSError as error:
        raise StorageError(f"{path}: {error}") from None
    except ValueError as fault:
        raise InputError(f"{path}: {fault}.") from None


def rows_of(content: bytes) -> Rows:
    """As `read_rows`, of what a file holds.

    Raises:
        ValueError: it is no review file; why, as a phrase.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError('not in UTF-8. Save it from the spreadsheet as "CSV UTF-8"') from None
    head = text.partition("\n")[0]
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    rows = []
    try:
        missing = [name for name in _NEEDED if name not in (table.fieldnames or ())]
        if missing:
            raise ValueError(
                f"no column {', '.join(missing)}; expected {', '.join(COLUMNS)} in the first "
                "line, as --write-review writes them"
            )
        for row in table:
            cells = {
                key: _as_meant(value or "") for key, value in row.items() if isinstance(key, str)
            }
            if any(cell.strip() for cell in cells.values()):
                rows.append((table.line_num, cells))
    except csv.Error as error:
        raise ValueError(f"no table ({error})") from None
    return rows


def _as_text(value: object) -> str:
    """The cell with a "'" before it where a spreadsheet would take it for a formula.

    Names of files and classes are of whoever made the data set.
    """
    cell = "" if value is None else str(value)
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _as_meant(cell: str) -> str:
    """The cell before `_as_text`; one that a person wrote without the "'" stays as it is."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def asked(row: Mapping[str, str]) -> str:
    """The action that a row asks for, however it is spelt."""
    return row["action"].strip().casefold()


def class_meant(text: str, class_names: Sequence[str]) -> str:
    """The class that a cell names; the cell's text where there is no such class, or several.

    The very name comes first. A spreadsheet may drop a space, or part accents from their letters;
    it takes "007" for a number and saves 7.
    """
    if text in class_names:
        return text
    same = [each for each in class_names if seen(each) == seen(text)]
    if not same and (number := text.strip()).isdecimal():
        same = [each for each in class_names if each.isdecimal() and int(each) == int(number)]
    return same[0] if len(same) == 1 else text
