"""Checks of copies: in a class (TS005, TS006), across classes (TS007), across splits (TS008)."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate, product
from typing import NamedTuple

from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.data.duplicates import Copies
from tinyscope.inspection.findings import Item, Outcome, Place

_KEPT = ("train", "validation", "test")
"""Of two copies in different splits, the one further right here stays."""

_ALL = 50  # equal images up to which each is named with each; of more, each with the first


def copy_checks(splits: Splits, copies: Copies) -> dict[str, Outcome]:
    """The outcomes of TS005, TS006, TS007 and TS008.

    An item is the image that can go: of two in one split the later one, of two in different splits
    the one that is trained on. The images that it copies are its others, the most alike first.
    Where labels differ, each of the two is an item.

    Args:
        splits: as loaded.
        copies: pairs of rows over all splits one after another, as in `Splits.parts()`.
    """
    parts = {part.split: part for part in splits.parts()}
    places = _Places(splits)
    twins: dict[str, defaultdict[Place, list[_Twin]]] = {
        code: defaultdict(list) for code in ("TS005", "TS006", "TS007", "TS008")
    }
    leaked: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for left, right, mirrored, score, exact in _each(copies):
        kept, gone = sorted((places[left], places[right]), key=_stays_first)
        how = f"{'same pixels as' if exact else 'near copy of'}{' the mirror image of' * mirrored}"
        if kept.split != gone.split:
            twins["TS008"][gone].append(_Twin(score, kept, how))
            leaked[kept.split, gone.split].add(kept.row)
        if _class(parts, kept) != _class(parts, gone):
            twins["TS007"][kept].append(_Twin(score, gone, how))
            twins["TS007"][gone].append(_Twin(score, kept, how))
        elif kept.split == gone.split:
            twins["TS005" if exact else "TS006"][gone].append(_Twin(score, kept, how))
    items = {
        code: [
            _item(parts, image, its, "keep" if code == "TS006" else "exclude")
            for image, its in of_code.items()
        ]
        for code, of_code in twins.items()
    }
    outcomes = {code: Outcome(items=found) for code, found in items.items()}
    told = [
        f"{len(rows):,} of {len(parts[kept]):,} {kept} images "
        f"({len(rows) / len(parts[kept]):.1%}) have a copy among the {gone} images"
        for (kept, gone), rows in sorted(leaked.items())
    ]
    if told:
        outcomes["TS008"] = Outcome(items=items["TS008"], summary="; ".join(told) + ".")
    if len(parts) == 1:
        outcomes["TS008"] = Outcome(not_applicable="because there is one split only")
    return outcomes


def _each(copies: Copies) -> Iterator[tuple[int, int, bool, float, bool]]:
    """Every pair, those too that follow from an image whose pixels are those of another.

    Of images with equal pixels only the first one was compared with others. Where two large groups
    of equal images are alike, the images of either are named with the first one of the other.
    """
    pairs = list(zip(*(part.tolist() for part in copies), strict=True))
    same = defaultdict(list)
    for left, right, _, _, exact in pairs:
        if exact:
            same[left].append(right)
    for left, right, mirrored, score, exact in pairs:
        yield left, right, mirrored, score, exact
        if exact:
            later = same[left][same[left].index(right) + 1 :] if len(same[left]) <= _ALL else []
            yield from ((right, other, False, 1.0, True) for other in later)
        else:
            first, second = [left, *same[left]], [right, *same[right]]
            if len(first) * len(second) <= _ALL**2:
                alike = list(product(first, second))
            else:
                alike = [(left, other) for other in second] + [(one, right) for one in first]
            for one, other in alike:
                if (one, other) != (left, right):
                    yield one, other, mirrored, score, False


class _Twin(NamedTuple):
    """What an image is a copy of."""

    score: float
    place: Place
    how: str


class _Places:
    """From a row over all splits to the image's place."""

    def __init__(self, splits: Splits) -> None:
        self._splits = [part.split for part in splits.parts()]
        self._first = [0, *accumulate(len(part) for part in splits.parts())]

    def __getitem__(self, row: int) -> Place:
        part = bisect_right(self._first, row) - 1
        return Place(self._splits[part], row - self._first[part])


def _stays_first(place: Place) -> tuple[int, int]:
    return -_KEPT.index(place.split), place.row


def _class(parts: dict[str, ImageDataset], place: Place) -> str:
    part = parts[place.split]
    return part.class_names[part.labels[place.row]]


def _item(parts: dict[str, ImageDataset], image: Place, twins: list[_Twin], action: str) -> Item:
    twins = sorted(twins, key=lambda twin: -twin.score)
    nearest = twins[0]
    label = _class(parts, nearest.place)
    differs = "" if label == _class(parts, image) else f", which is labelled {label}"
    more = f", and {len(twins) - 1} more" if len(twins) > 1 else ""
    name = parts[nearest.place.split].name_of(nearest.place.row)
    return Item(
        detail=f"{nearest.how} {name}{differs}{more}",
        score=nearest.score,
        place=image,
        others=tuple(twin.place for twin in twins),
        action="keep" if image.split == "test" else action,
    )
