"""Review files: what a person decided about single images, as a table that is read back.

A data set goes on while it is reviewed: files come, go and are renamed. An image is therefore found
by its name and by its pixels, and by its pixels alone where no other image had the same ones.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyscope.data.dataset import ImageDataset, LeftOut, Splits
from tinyscope.data.earlier_review import EarlierReview
from tinyscope.data.review_table import Rows, asked, class_meant, read_rows, write_rows
from tinyscope.data.reviewed_images import ReviewedImages
from tinyscope.errors import InputError, nearest
from tinyscope.files import path_of

ACTIONS = ("keep", "exclude", "relabel")


class ReviewCounts(NamedTuple):
    """What a review file has changed."""

    file: str
    """Its path as it was given; empty for none."""
    excluded: int
    """Training and validation images that were taken out."""
    relabelled: int
    """Training and validation images that were given another class."""
    gone: tuple[str, ...] = ()
    """Names of images that it was to change and that are not there: their rows count as done."""
    of_test: int = 0
    """Images that it excludes or relabels and that stayed as they are: they were cut from the
    training images to be test images."""


EXCLUDED = "excluded by review"
"""How the reason begins for which an image is left out by a review."""

NOT_REVIEWED = ReviewCounts("", 0, 0)


class ReviewRows(NamedTuple):
    """What a review file holds that was written; as text: "107 rows, 2 as decided before"."""

    rows: int
    decided: int
    """Of them, those that ask for something else than is proposed: they were decided so in the file
    that lay there before."""
    dropped: int
    """Rows of that file that asked for something and are not in this one, as their images are gone
    or have changed."""

    def __str__(self) -> str:
        said = f"{self.rows:,} row{'s' * (self.rows != 1)}"
        if self.decided:
            said += f", {self.decided:,} as decided before"
        if self.dropped:
            whose = (
                "its image is gone or has" if self.dropped == 1 else "their images are gone or have"
            )
            said += f", {self.dropped:,} dropped: {whose} changed"
        return said


def write_review(path: Path, findings: Iterable[Mapping[str, Any]], splits: Splits) -> ReviewRows:
    """Writes a review file: a row for each image of the findings that an action is proposed for.

    A spreadsheet opens it; what is edited are the first two columns. An image that several findings
    name has a row for each. Where a review file lies there already, what was decided in it stands
    (`earlier_review.EarlierReview`).

    Args:
        path: of the file.
        findings: as `inspection.findings.as_findings` gives them.
        splits: the images that they are about.

    Returns:
        How many rows it has, and how many of them stand as they were decided before.

    Raises:
        InputError: what lies there is no review file, or one of other images; it is left as it is.
        StorageError: it cannot be read or written.
    """
    earlier = EarlierReview(path, splits)
    proposed = [
        {
            "action": item["action"],
            "new_class": item["new_class"],
            "split": item["split"],
            "row": str(item["row"]),
            "file": item["file"],
            "class": item["class"],
            "finding": finding["code"],
            "detail": item["detail"],
            **earlier.parts[item["split"]].known_by(item["row"]),
        }
        for finding in findings
        for item in finding["items"]
        if item["action"]
    ]
    rows, decided = earlier.carried_over(proposed)
    write_rows(path, rows)
    return ReviewRows(len(rows), decided, earlier.dropped)


def apply_review(
    splits: Splits, path: str | Path, *, tested: ImageDataset | None = None
) -> tuple[Splits, ReviewCounts]:
    """The data set without the images that a review excludes, and with the classes that it gives.

    Only images that are learnt from or chosen by are changed. A test image is never: what it is
    examined by has to be changed in the data set itself, where everyone sees it. Excluded images
    are listed in `left_out`. Rows about files that are there no more count as done; `gone` has
    their names.

    Args:
        splits: as loaded, not cut yet.
        path: of a review file; of its columns "class" alone is not read.
        tested: the test split that `splitting.complete` cuts from these very images, for a data set
            that has none. It is the test split of what is returned, and none of its images, nor
            any with the same pixels, is in another split. What the review says of them is counted.

    Raises:
        InputError: the file is not there, is no table in UTF-8, was written for images of another
            size or of another data set, or a row cannot be carried out: all such rows in one line,
            the first three of them told.
        StorageError: it cannot be read.
    """
    parts = {part.split: ReviewedImages(part) for part in splits.parts()}
    rows = read_rows(path_of(path))
    _check_size(path, rows, parts)
    review = _Review(parts)
    for line, row in rows:
        review.take(line, row)
    if review.faults:
        more = f" ({len(review.faults) - 3} more rows like these)" if len(review.faults) > 3 else ""
        raise InputError(f"{path}: {'; '.join(review.faults[:3])}{more}.")
    gone = review.gone
    if gone and not review.decided and not any(_is_there(row, parts) for _, row in rows):
        raise InputError(
            f"{path}: none of the images that it names is there. It is of another data set, or all "
            "of it was done by hand: leave it out."
        )
    cut = None if tested is None else ReviewedImages(tested)
    excluded = relabelled = of_test = 0
    changed = {} if tested is None else {"test": tested}
    for split, images in parts.items():
        apart = set() if cut is None else images.also_in(cut)
        of_split = {row: why for (where, row), why in review.decided.items() if where == split}
        of_test += len(apart & of_split.keys())
        ours = {row: choice for row, choice in of_split.items() if row not in apart}
        out = {row: why for row, (label, why) in ours.items() if label is None}
        given = {row: label for row, (label, _) in ours.items() if label is not None}
        excluded += len(out)
        relabelled += len(given)
        changed[split] = _changed(images.part, out, given, apart)
    counts = ReviewCounts(str(path), excluded, relabelled, tuple(gone), of_test)
    return Splits(splits.name, **changed), counts


class _Review:
    """What the rows of a review come to.

    Attributes:
        decided: by split and row, the label that an image is given (None to exclude it), and why.
        faults: what is wrong with rows, as phrases.
        gone: names of images that are there no more.
    """

    def __init__(self, parts: Mapping[str, ReviewedImages]) -> None:
        self.parts = parts
        self.decided: dict[tuple[str, int], tuple[int | None, str]] = {}
        self.faults: list[str] = []
        self.gone: list[str] = []

    def take(self, line: int, row: dict[str, str]) -> None:
        """Adds a row of the file."""
        try:
            action = _action(row, self.parts)
            if action == "keep":
                return
            split = row["split"].strip()
            choice = _choice(action, row, self.parts[split].part.class_names)
            place = self.parts[split].place(row)
        except ValueError as fault:
            self.faults.append(f"line {line}: {fault}")
            return
        if place is None:
            self.gone.append(row.get("file") or f"{split} image {row['row']}")
            return
        known = self.decided.setdefault((split, place), choice)
        if known[0] != choice[0]:
            # Excluded by one finding and kept by another is excluded; two classes are a mistake.
            if None in (known[0], choice[0]):
                self.decided[split, place] = known if known[0] is None else choice
            else:
                self.faults.append(f"line {line}: {split} image {place} is given two classes")


def _check_size(path: str | Path, rows: Rows, parts: Mapping[str, ReviewedImages]) -> None:
    """Refuses a review of images of another size, of which no pixels can be known again.

    Raises:
        InputError: a row that changes an image is about such a one.
    """
    for _, row in rows:
        images, then = parts.get(row["split"].strip()), row.get("size", "").strip()
        if images is None or then in ("", images.size) or asked(row) == "keep":
            continue
        width, _, height = then.partition("x")
        way = f"set size = {width}, or write it anew" if width == height else "write it anew"
        raise InputError(
            f"{path}: it was written for images of {then} pixels, and these have {images.size}; "
            f"{way}."
        )


def _is_there(row: Mapping[str, str], parts: Mapping[str, ReviewedImages]) -> bool:
    images = parts.get(row["split"].strip())
    return images is not None and images.named(row) is not None


def _action(row: Mapping[str, str], parts: Mapping[str, ReviewedImages]) -> str:
    """What a row asks for.

    Raises:
        ValueError: it is no action, or not for an image of that split.
    """
    action, split = asked(row), row["split"].strip()
    if action not in ACTIONS:
        guess = nearest(action, ACTIONS)
        hint = f'; did you mean "{guess}"?' if guess else ""
        raise ValueError(f'action "{row["action"]}" is none of {", ".join(ACTIONS)}{hint}')
    if action == "keep":
        return action
    if split not in parts:
        raise ValueError(f'there are no images of split "{split}", only {", ".join(parts)}')
    if split == "test":
        raise ValueError(
            f"{action} of a test image; a review never changes what a model is examined by, so "
            'write "keep", or change the data set itself'
        )
    return action


def _choice(
    action: str, row: Mapping[str, str], class_names: tuple[str, ...]
) -> tuple[int | None, str]:
    """The label that a row gives (None to exclude the image), and why.

    Raises:
        ValueError: there is no such class.
    """
    if action == "exclude":
        why = f"{EXCLUDED}: {row.get('finding') or ''} {row.get('detail') or ''}".strip(" :")
        return None, why
    name = class_meant(row["new_class"], class_names)
    if name not in class_names:
        name = name.strip()
        guess = nearest(name, class_names)
        hint = f'; did you mean "{guess}"?' if guess else ""
        raise ValueError(f'new_class "{name}" is none of the {len(class_names)} classes{hint}')
    return class_names.index(name), ""


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
