"""Review files: what a person decided about single images, as a table that is read back."""

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyscope.data.dataset import ImageDataset, LeftOut, Splits
from tinyscope.errors import InputError, StorageError, nearest
from tinyscope.files import write_text

COLUMNS = ("action", "new_class", "split", "row", "file", "class", "finding", "detail", "pixels")
ACTIONS = ("keep", "exclude", "relabel")


class ReviewCounts(NamedTuple):
    """What a review file has changed."""

    file: str
    """Its path as it was given; empty for none."""
    excluded: int
    """Training and validation images that were taken out."""
    relabelled: int
    """Training and validation images that were given another class."""
    of_test: int = 0
    """Images that it excludes or relabels and that stayed as they are: they were cut from the
    training images to be test images."""


EXCLUDED = "excluded by review"
"""How the reason begins for which an image is left out by a review."""
_MARK = "px-"  # or spreadsheets take digests for numbers, as of 123456789012 and 12345678e901

NOT_REVIEWED = ReviewCounts("", 0, 0)


def write_review(path: Path, findings: Iterable[Mapping[str, Any]], splits: Splits) -> int:
    """Writes a review file: a row for each image of the findings that an action is proposed for.

    A spreadsheet opens it; what is edited are the first two columns. An image that several findings
    name has a row for each.

    Args:
        path: of the file.
        findings: as `inspection.findings.as_findings` gives them.
        splits: the images that they are about.

    Returns:
        How many rows it has.

    Raises:
        StorageError: it cannot be written.
    """
    parts = {part.split: part for part in splits.parts()}
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    count = 0
    for finding in findings:
        for item in finding["items"]:
            if not item["action"]:
                continue
            table.writerow(
                [
                    item["action"],
                    item["new_class"],
                    item["split"],
                    item["row"],
                    item["file"],
                    item["class"],
                    finding["code"],
                    item["detail"],
                    _MARK + pixels_digest(parts[item["split"]].images[item["row"]]),
                ]
            )
            count += 1
    write_text(path, text.getvalue())
    return count


def apply_review(
    splits: Splits, path: str | Path, *, tested: ImageDataset | None = None
) -> tuple[Splits, ReviewCounts]:
    """The data set without the images that a review excludes, and with the classes that it gives.

    Only images that are learnt from or chosen by are changed. A test image is never: what it is
    examined by has to be changed in the data set itself, where everyone sees it. Excluded images
    are listed in `left_out`.

    Args:
        splits: as loaded, not cut yet.
        path: of a review file; columns beyond "action", "new_class", "split", "row" and "pixels"
            are not read.
        tested: the test split that `splitting.complete` cuts from these very images, for a data set
            that has none. It is the test split of what is returned, and none of its images, nor
            any with the same pixels, is in another split. What the review says of them is counted.

    Raises:
        InputError: the file is not there, or a row cannot be carried out: all such rows in one
            line, the first three of them told.
    """
    parts = {part.split: part for part in splits.parts()}
    decided, faults = _decisions(_rows(Path(path)), parts)
    if faults:
        more = f" ({len(faults) - 3} more rows like these)" if len(faults) > 3 else ""
        raise InputError(f"{path}: {'; '.join(faults[:3])}{more}.")
    cut = set() if tested is None else {pixels_digest(image) for image in tested.images}
    excluded = relabelled = of_test = 0
    changed = {} if tested is None else {"test": tested}
    for split, part in parts.items():
        apart = _rows_with(part, cut)
        of_split = {row: choice for (where, row), choice in decided.items() if where == split}
        of_test += len(apart & of_split.keys())
        ours = {row: choice for row, choice in of_split.items() if row not in apart}
        gone = {row: why for row, (label, why) in ours.items() if label is None}
        given = {row: label for row, (label, _) in ours.items() if label is not None}
        excluded += len(gone)
        relabelled += len(given)
        changed[split] = _changed(part, gone, given, apart)
    counts = ReviewCounts(str(path), excluded, relabelled, of_test)
    return Splits(splits.name, **changed), counts


def pixels_digest(image: np.ndarray) -> str:
    """12 hexadecimal digits of an image's pixels, by which a review knows it again."""
    return hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()[:12]


def _rows_with(part: ImageDataset, digests: Set[str]) -> set[int]:
    """The rows of the images whose pixels have one of these digests."""
    if not digests:
        return set()
    return {row for row in range(len(part)) if pixels_digest(part.images[row]) in digests}


Decided = dict[tuple[str, int], tuple[int | None, str]]
"""By split and row: the label that an image is given (None to exclude it), and why."""


def _decisions(
    rows: Iterable[tuple[int, dict[str, str]]], parts: Mapping[str, ImageDataset]
) -> tuple[Decided, list[str]]:
    """What is to be done, and what is wrong with rows of the file, as phrases."""
    decided: Decided = {}
    faults = []
    for line, row in rows:
        try:
            place, choice = _decision(row, parts)
        except ValueError as fault:
            faults.append(f"line {line}: {fault}")
            continue
        if choice is None:
            continue
        known = decided.setdefault(place, choice)
        if known[0] != choice[0]:
            # Excluded by one finding and kept by another is excluded; two classes are a mistake.
            if None in (known[0], choice[0]):
                decided[place] = known if known[0] is None else choice
            else:
                faults.append(f"line {line}: {place[0]} image {place[1]} is given two classes")
    return decided, faults


def _decision(
    row: dict[str, str], parts: Mapping[str, ImageDataset]
) -> tuple[tuple[str, int], tuple[int | None, str] | None]:
    action, split = row["action"].strip().casefold(), row["split"].strip()
    if action not in ACTIONS:
        guess = nearest(action, ACTIONS)
        hint = f'; did you mean "{guess}"?' if guess else ""
        raise ValueError(f'action "{row["action"]}" is none of {", ".join(ACTIONS)}{hint}')
    if action == "keep":
        return (split, 0), None
    if split not in parts:
        raise ValueError(f'there are no images of split "{split}", only {", ".join(parts)}')
    if split == "test":
        raise ValueError(
            f"{action} of a test image; a review never changes what a model is examined by, so "
            'write "keep", or change the data set itself'
        )
    part = parts[split]
    place = int(row["row"]) if row["row"].strip().isdigit() else -1
    reviewed = row["pixels"].strip().removeprefix(_MARK)
    if not 0 <= place < len(part) or pixels_digest(part.images[place]) != reviewed:
        raise ValueError(
            f"{split} image {row['row']} is not the one that was reviewed; the data set has "
            "changed since, so write the review anew"
        )
    why = f"{EXCLUDED}: {row.get('finding') or ''} {row.get('detail') or ''}".strip(" :")
    if action == "exclude":
        return (split, place), (None, why)
    name = row["new_class"].strip()
    if name not in part.class_names:
        guess = nearest(name, part.class_names)
        hint = f'; did you mean "{guess}"?' if guess else ""
        raise ValueError(f'new_class "{name}" is none of the {len(part.class_names)} classes{hint}')
    return (split, place), (part.class_names.index(name), "")


def _changed(
    part: ImageDataset, gone: Mapping[int, str], given: Mapping[int, int], apart: Set[int]
) -> ImageDataset:
    """A split without the rows `gone`, which are listed as left out, and `apart`, which are not."""
    if given:
        labels = part.labels.copy()
        for row, label in given.items():
            labels[row] = label
        part = replace(part, labels=labels)
    if not gone and not apart:
        return part
    taken = [LeftOut(part.name_of(row), why) for row, why in gone.items()]
    keep = np.setdiff1d(np.arange(len(part)), [*gone, *apart])
    kept = part.select(keep, split=part.split, with_left_out=True)
    return replace(kept, left_out=(*part.left_out, *taken))


def _rows(path: Path) -> Iterable[tuple[int, dict[str, str]]]:
    """Line numbers and cells of a review file."""
    needed = ("action", "new_class", "split", "row", "pixels")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(
            f'There is no review file {path}. "tinyscope data D --write-review {path.name}" '
            "writes one."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path}: {error}") from None
    # A spreadsheet of some countries saves with semicolons.
    head = text.partition("\n")[0]
    table = csv.DictReader(io.StringIO(text), delimiter=";" if ";" in head else ",")
    missing = [name for name in needed if name not in (table.fieldnames or ())]
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(missing)}; expected {', '.join(COLUMNS)} in the first "
            "line, as --write-review writes them."
        )
    return [
        (table.line_num, {key: value or "" for key, value in row.items() if isinstance(key, str)})
        for row in table
    ]
