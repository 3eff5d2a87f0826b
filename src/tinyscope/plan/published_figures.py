"""What others published of a study's variations: single figures, and tables in a folder."""

import csv
import io
import math
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from tinyscope.errors import InputError, nearest
from tinyscope.files import path_of
from tinyscope.plan.spelling import spelled


@dataclass(frozen=True, kw_only=True)
class PublishedFigures:
    """What was published of one variation; plain values, of which any may be missing."""

    figures: Mapping[str, float] = field(default_factory=dict)
    """Keys of `FIGURES`: accuracies as fractions, losses in nats, parameters, epochs, minutes."""
    differs: tuple[str, ...] = ()
    """Sentences: where the published method differs from the one here."""
    curves: tuple[Mapping[str, Any], ...] = ()
    """A row for each epoch that was shown, in the table's order: epoch (from 1), accuracy and loss
    in training, val_accuracy, val_loss; None where a figure is missing."""
    per_class: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """By class name: precision, recall, f1; None where a figure is missing."""
    confusion: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Images by true, then by predicted class name; pairs that are missing are 0."""


_Test = Callable[[float], bool]


def _whole(value: float) -> bool:
    return value == int(value) and value >= 1


_SHARE: tuple[_Test, str] = (lambda value: 0 <= value <= 1, "an accuracy between 0 and 1")
_LOSS: tuple[_Test, str] = (lambda value: value >= 0, "a loss of 0 or more")
_COUNT: tuple[_Test, str] = (_whole, "a whole number from 1")
_TIME: tuple[_Test, str] = (lambda value: value > 0, "a number above 0")

FIGURES: dict[str, tuple[_Test, str]] = {
    "test_accuracy": _SHARE,
    "test_loss": _LOSS,
    "val_accuracy": _SHARE,
    "val_loss": _LOSS,
    "train_accuracy": _SHARE,
    "parameters": _COUNT,
    "epochs": _COUNT,
    "minutes": _TIME,
}
"""What `[published.VARIATION]` may hold beside `differs`, each with what a value has to be."""


def figure_fault(place: str, key: str, value: Any) -> str | None:
    """What is wrong with one entry of a variation's published figures, as a sentence, or None.

    Args:
        place: of the variation in a study file, such as "published.model-1".
        key: one of `FIGURES`, or "differs".
        value: as TOML gives it.
    """
    given = f"{place}.{key} = {spelled(value)}"
    if key == "differs":
        texts = isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value)
        return None if texts else f"{given} is not a list of sentences."
    if key not in FIGURES:
        guess = nearest(key, (*FIGURES, "differs"))
        hint = f'Did you mean "{guess}"? ' if guess else ""
        known = ", ".join((*FIGURES, "differs"))
        return f"{place}.{key} is no published figure. {hint}The figures are {known}."
    fits, meaning = FIGURES[key]
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    finite = number and abs(value) <= sys.float_info.max  # an integer may be beyond all floats
    return None if finite and fits(value) else f"{given} is not {meaning}."


_OPTIONAL: dict[str, tuple[_Test, str]] = {
    "accuracy": _SHARE,
    "loss": _LOSS,
    "val_accuracy": _SHARE,
    "val_loss": _LOSS,
    "precision": (_SHARE[0], "a share between 0 and 1"),
    "recall": (_SHARE[0], "a share between 0 and 1"),
    "f1": (_SHARE[0], "a share between 0 and 1"),
}
"""Columns whose cells may be empty."""

_COUNTS: dict[str, tuple[_Test, str]] = {
    "epoch": _COUNT,
    "count": (lambda value: value == int(value) and value >= 0, "a whole number from 0"),
}

_CLASSES = ("class", "true", "predicted")

_TABLES: dict[str, tuple[tuple[str, ...], int]] = {
    "histories.csv": (("variation", "epoch", "accuracy", "loss", "val_accuracy", "val_loss"), 2),
    "per-class.csv": (("variation", "class", "precision", "recall", "f1"), 2),
    "confusion.csv": (("variation", "true", "predicted", "count"), 3),
}
"""The files of a folder: their columns, and how many of the first ones tell rows apart."""

_TOLD = 3
"""Faults of one file that are told; a file that is wrong throughout has one in every line."""

_Row = dict[str, Any]


def built_in_tables() -> list[str]:
    """The names of the folders that come along."""
    return sorted(each.name for each in _folder().iterdir() if each.is_dir())


def _folder() -> Traversable:
    return resources.files("tinyscope.plan") / "published"


def with_tables(
    published: Mapping[str, Any],
    tables: str,
    *,
    variations: Collection[str],
    class_names: Sequence[str] | None = None,
) -> dict[str, PublishedFigures]:
    """Everything that was published of each variation.

    Args:
        published: figures by variation, as a study file gives them, sound; a single number is the
            test accuracy.
        tables: a folder that comes along, by name, or the path of one; empty for none.
        variations: the names that tables may speak of.
        class_names: those that tables may speak of; None where they are not known yet.

    Returns:
        Those variations of which something was published, in the order of `variations`.

    Raises:
        InputError: there is no such folder, or a table of it has faults, told with their lines.
    """
    parts: dict[str, dict[str, Any]] = {}
    for name, given in published.items():
        body = dict(given) if isinstance(given, Mapping) else {"test_accuracy": given}
        differs = tuple(body.pop("differs", ()))
        parts[name] = {"figures": body, "differs": differs}
    for file, rows in _read(tables, variations, class_names).items() if tables else ():
        for row in rows:
            _add(parts.setdefault(row.pop("variation"), {}), file, row)
    return {name: PublishedFigures(**parts[name]) for name in variations if name in parts}


def _add(part: dict[str, Any], file: str, row: _Row) -> None:
    """Puts a row of a table where `PublishedFigures` has it."""
    if file == "histories.csv":
        part["curves"] = (*part.get("curves", ()), row)
    elif file == "per-class.csv":
        part.setdefault("per_class", {})[row.pop("class")] = row
    else:
        counts = part.setdefault("confusion", {}).setdefault(row["true"], {})
        counts[row["predicted"]] = row["count"]


def _read(
    tables: str, variations: Collection[str], class_names: Sequence[str] | None
) -> dict[str, list[_Row]]:
    """The rows of each file of the folder."""
    here: Path | Traversable
    if tables in built_in_tables():
        here, shown = _folder() / tables, f"{tables}/"
    else:
        here, shown = path_of(tables), f"{Path(tables)}/"
    if not here.is_dir():
        raise InputError(
            f"published_tables = {spelled(tables)} is neither a folder nor one of those that come "
            f"along: {', '.join(built_in_tables())}."
        )
    found = {file: here.joinpath(file) for file in _TABLES if here.joinpath(file).is_file()}
    if not found:
        raise InputError(
            f"published_tables = {spelled(tables)} holds none of {', '.join(_TABLES)}."
        )
    rows: dict[str, list[_Row]] = {}
    problems: list[str] = []
    for file, path in found.items():
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{shown}{file} cannot be read as UTF-8 text: {error}.")
            continue
        try:
            rows[file], faults = _rows(text, *_TABLES[file], variations, class_names)
        except csv.Error as error:
            problems.append(f"{shown}{file} is no table: {error}.")
            continue
        told = [f"{shown}{file}:{line}: {fault}" for line, fault in faults[:_TOLD]]
        left = len(faults) - len(told)
        problems += told + ([f"{shown}{file} has {left} faults more."] if left else [])
    if problems:
        raise InputError(" ".join(problems))
    return rows


def _rows(
    text: str,
    columns: tuple[str, ...],
    keys: int,
    variations: Collection[str],
    class_names: Sequence[str] | None,
) -> tuple[list[_Row], list[tuple[int, str]]]:
    """A table's rows with their values, and what is wrong with them, by line."""
    reader = csv.reader(io.StringIO(text, newline=""))
    header = next(reader, [])
    if header != list(columns):
        return [], [(1, f"the columns are {','.join(header)}; expected {','.join(columns)}.")]
    rows: list[_Row] = []
    faults: list[tuple[int, str]] = []
    first: dict[tuple[str, ...], int] = {}
    for cells in reader:
        line = reader.line_num
        if not cells:
            continue
        if len(cells) != len(columns):
            faults.append((line, f"{len(cells)} cells; expected {len(columns)}."))
            continue
        texts = dict(zip(columns, cells, strict=True))
        wrong = list(_cell_faults(texts, variations, class_names))
        before = first.setdefault(tuple(cells[:keys]), line)
        if before != line and not wrong:
            told = ", ".join(f"{column} {texts[column]}" for column in columns[:keys])
            wrong.append(f"{told} stands in line {before} already.")
        faults += [(line, fault) for fault in wrong]
        if not wrong:
            rows.append({column: _value(column, cell) for column, cell in texts.items()})
    return rows, faults


def _cell_faults(
    texts: Mapping[str, str], variations: Collection[str], class_names: Sequence[str] | None
) -> Iterator[str]:
    for column, text in texts.items():
        known = {"variation": (variations, "the name of no variation of this study")}
        if class_names is not None:
            known |= dict.fromkeys(_CLASSES, (class_names, "no class of the data"))
        if column in known and text not in known[column][0]:
            names, meaning = known[column]
            guess = nearest(text, names)
            yield f'{column} "{text}" is {meaning}.' + (f' Did you mean "{guess}"?' * bool(guess))
        limits = (_OPTIONAL if text else {}) | _COUNTS
        if column in limits and not _fits(text, limits[column][0]):
            yield f'{column} "{text}" is not {limits[column][1]}.'


def _fits(text: str, test: _Test) -> bool:
    try:
        value = float(text)
    except ValueError:
        return False
    return math.isfinite(value) and test(value)


def _value(column: str, text: str) -> Any:
    if column in _COUNTS:
        return int(float(text))
    if column in _OPTIONAL:
        return float(text) if text else None
    return text
