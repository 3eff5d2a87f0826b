"""Checks of pictures: blank (TS009), too dark or bright (TS010), blurred (TS011), empty (TS012)."""

from collections.abc import Callable, Mapping

import numpy as np

from tinyscope.data.dataset import Splits
from tinyscope.data.image_quality import (
    Detection,
    ImageProperties,
    blank,
    blurred,
    low_information,
    too_bright,
    too_dark,
)
from tinyscope.inspection.findings import Item, Outcome, Place

_STRUCTURE = 0.5  # correlation of neighbouring pixels, above that of noise
_LEVELS = 1.0  # of spread; below, an image is of one colour for everybody


def _blank(properties: ImageProperties) -> Detection:
    """Blank, and not a picture that is merely much too dark or too bright to be seen."""
    found = blank(properties)
    seen = (properties.correlation > _STRUCTURE) & (properties.spread > _LEVELS)
    ends = too_dark(properties).flagged | too_bright(properties).flagged
    return Detection(found.score, found.flagged & ~(ends & seen))


_DETECTORS: tuple[tuple[str, Callable[[ImageProperties], Detection], str, str], ...] = (
    ("TS009", _blank, "exclude", "of one colour, within {spread:.1f} levels"),
    ("TS010", too_dark, "exclude", "nearly black: 99% of it below level {brightest:.0f} of 255"),
    ("TS010", too_bright, "exclude", "nearly white: 99% of it above level {darkest:.0f} of 255"),
    (
        "TS012",
        low_information,
        "exclude",
        "little to be seen: {flat_share:.0%} of it within nine grey levels, neighbouring pixels "
        "alike to {correlation:.2f}",
    ),
    (
        "TS011",
        blurred,
        "keep",
        "fine detail is missing: {blur:.1f} deviations beyond usual photos",
    ),
)
"""In the order in which an image is named: once, by what is worst."""


def picture_checks(splits: Splits, properties: Mapping[str, ImageProperties]) -> dict[str, Outcome]:
    """The outcomes of TS009, TS010, TS011 and TS012.

    Args:
        splits: as loaded.
        properties: of the images of each split.
    """
    parts = splits.parts()
    places = [Place(part.split, row) for part in parts for row in range(len(part))]
    joined = ImageProperties(
        *(
            np.concatenate(field)
            for field in zip(*(properties[p.split] for p in parts), strict=True)
        )
    )
    items: dict[str, list[Item]] = {"TS009": [], "TS010": [], "TS011": [], "TS012": []}
    named = np.zeros(len(places), bool)
    for code, detector, action, words in _DETECTORS:
        found = detector(joined)
        for row in np.flatnonzero(found.flagged & ~named).tolist():
            values = {name: float(field[row]) for name, field in joined._asdict().items()}
            items[code].append(
                Item(
                    detail=words.format(**values),
                    score=float(found.score[row]),
                    place=places[row],
                    action="keep" if places[row].split == "test" else action,
                )
            )
        named |= found.flagged
    return {code: Outcome(items=found) for code, found in items.items()}
