"""The table of a review file, in the forms that spreadsheets save it in."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

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
_MARK = "\ufeff"  # without it, spreadsheets take UTF-8 for the alphabet of their country


def write_rows(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Writes a review file: the columns, then the rows.

    Raises:
        StorageError: it cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(rows)
    write_text(path, _MARK + text.getvalue())


def read_rows(path: Path) -> Rows:
    """The rows of a review file in which any cell is filled.

    Between the cells may be commas, semicolons, as some countries have it, or tabs.

    Raises:
        InputError: the file is not there, is not in UTF-8, or lacks a column.
        StorageError: it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(
            f'There is no review file {path}. "tinyscope data D --write-review {path.name}" '
            "writes one."
        ) from None
    except UnicodeDecodeError:
        raise InputError(
            f'{path}: not in UTF-8. Save it from the spreadsheet as "CSV UTF-8".'
        ) from None
    except OSError as error:
        raise StorageError(f"{path}: {error}") from None
    head = text.partition("\n")[0]
    table = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=head.count))
    missing = [name for name in _NEEDED if name not in (table.fieldnames or ())]
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(missing)}; expected {', '.join(COLUMNS)} in the first "
            "line, as --write-review writes them."
        )
    rows = []
    for row in table:
        cells = {key: value or "" for key, value in row.items() if isinstance(key, str)}
        if any(cell.strip() for cell in cells.values()):
            rows.append((table.line_num, cells))
    return rows
