"""Findings: what a check says of a data set, image by image, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tinyscope.data.dataset import Splits
from tinyscope.inspection.checks import CHECKS


class Place(NamedTuple):
    """Where an image stands."""

    split: str
    """ "train", "validation" or "test"."""
    row: int
    """Of the split's `ImageDataset`."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that a check has found: mostly an image, else a class or the whole data set."""

    detail: str
    """What is the matter, as a phrase."""
    score: float = 0.0
    """How strong, by the check's own measure; items are sorted by it, the highest first."""
    place: Place | None = None
    """The image; None for a file that could not be read, and for what is no image."""
    file: str = ""
    """Name of a file that has no place among the images."""
    split: str = ""
    """Of that file, or of the class; an image's own is in its place."""
    class_name: str = ""
    """Of what is no image."""
    others: tuple[Place, ...] = ()
    """Images that it is about as well: the copy's original."""
    action: str = ""
    """What a review proposes: "keep", "exclude" or "relabel"; empty where there is nothing to do
    with a single training image."""
    new_class: str = ""
    """The class that "relabel" proposes."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a check."""

    items: Sequence[Item] = ()
    summary: str = ""
    """A sentence with the figures behind the items, or the figures that were fine."""
    not_applicable: str = ""
    """Why the check says nothing of this data: "because …" completes the sentence."""
    table: Sequence[dict[str, Any]] = field(default=())
    """Rows of plain values with the same keys, for the page."""


def as_findings(outcomes: dict[str, Outcome], splits: Splits) -> list[dict[str, Any]]:
    """Every check's outcome as plain values, in the order of the codes.

    Args:
        outcomes: by code.
        splits: the images that the places are in.

    Returns:
        Dictionaries with "code", "severity", "title", "why", "remedy", "status" ("found", "clear"
        or "not applicable"), "summary", "reason", "table", and "items": dictionaries with "file",
        "split", "row", "class", "detail", "score", "action", "new_class" and "others" (of "file",
        "split", "row" and "class").
    """
    parts = {part.split: part for part in splits.parts()}

    def image(place: Place) -> dict[str, Any]:
        part = parts[place.split]
        return {
            "file": part.name_of(place.row),
            "split": place.split,
            "row": place.row,
            "class": part.class_names[part.labels[place.row]],
        }

    def plain(item: Item) -> dict[str, Any]:
        about = {"file": item.file, "split": item.split, "row": None, "class": item.class_name}
        if item.place is not None:
            about = image(item.place)
        return {
            **about,
            "detail": item.detail,
            "score": round(float(item.score), 4),
            "action": item.action,
            "new_class": item.new_class,
            "others": [image(other) for other in item.others],
        }

    found = []
    for code, check in CHECKS.items():
        outcome = outcomes[code]
        items = sorted(outcome.items, key=lambda item: -item.score)
        status = "not applicable" if outcome.not_applicable else "found" if items else "clear"
        found.append(
            {
                "code": code,
                "severity": check.severity,
                "title": check.title,
                "why": check.why,
                "remedy": check.remedy,
                "status": status,
                "summary": outcome.summary,
                "reason": outcome.not_applicable,
                "table": list(outcome.table),
                "items": [plain(item) for item in items],
            }
        )
    return found
