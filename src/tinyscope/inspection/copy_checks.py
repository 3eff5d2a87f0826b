"""Checks of copies: in a class (TS005, TS006), across classes (TS007), across splits (TS008)."""

from bisect import bisect_right
from collections import defaultdict
from itertools import accumulate

from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.data.duplicates import Copies
from tinyscope.inspection.findings import Item, Outcome, Place, image_name

_KEPT = ("train", "validation", "test")
"""Of two copies in different splits, the one further right here stays."""


def copy_checks(splits: Splits, copies: Copies) -> dict[str, Outcome]:
    """The outcomes of TS005, TS006, TS007 and TS008.

    An item is the image that can go: of two in one split the later one, of two in different splits
    the one that is trained on; the image that it copies is among its others. Where labels differ,
    each of the two is an item.

    Args:
        splits: as loaded.
        copies: pairs of rows over all splits one after another, as in `Splits.parts()`.
    """
    parts = {part.split: part for part in splits.parts()}
    places = _Places(splits)
    items: dict[str, list[Item]] = {code: [] for code in ("TS005", "TS006", "TS007", "TS008")}
    twins: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for left, right, mirrored, score, exact in zip(
        *(part.tolist() for part in copies), strict=True
    ):
        kept, gone = sorted((places[left], places[right]), key=_stays_first)
        how = f"{'same pixels as' if exact else 'near copy of'}{' the mirror image of' * mirrored}"
        if kept.split != gone.split:
            items["TS008"].append(_item(parts, gone, kept, how, score, "exclude"))
            twins[kept.split, gone.split].add(kept.row)
        if _class(parts, kept) != _class(parts, gone):
            items["TS007"] += [
                _item(parts, kept, gone, how, score, "exclude"),
                _item(parts, gone, kept, how, score, "exclude"),
            ]
        elif kept.split == gone.split and exact:
            items["TS005"].append(_item(parts, gone, kept, how, score, "exclude"))
        elif kept.split == gone.split:
            items["TS006"].append(_item(parts, gone, kept, how, score, "keep"))
    outcomes = {code: Outcome(items=found) for code, found in items.items()}
    told = [
        f"{len(rows):,} of {len(parts[kept]):,} {kept} images "
        f"({len(rows) / len(parts[kept]):.1%}) have a copy among the {gone} images"
        for (kept, gone), rows in sorted(twins.items())
    ]
    if told:
        outcomes["TS008"] = Outcome(items=items["TS008"], summary="; ".join(told) + ".")
    if len(parts) == 1:
        outcomes["TS008"] = Outcome(not_applicable="because there is one split only")
    return outcomes


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


def _item(
    parts: dict[str, ImageDataset], image: Place, other: Place, how: str, score: float, action: str
) -> Item:
    label = _class(parts, other)
    differs = "" if label == _class(parts, image) else f", which is labelled {label}"
    return Item(
        detail=f"{how} {image_name(parts[other.split], other.row)}{differs}",
        score=score,
        place=image,
        others=(other,),
        action="keep" if image.split == "test" else action,
    )
