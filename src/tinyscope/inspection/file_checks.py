"""Checks of files: unreadable (TS001), odd (TS002), of odd size (TS003) or mode (TS004)."""

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from tinyscope.data.dataset import Splits
from tinyscope.data.file_facts import FileFacts
from tinyscope.data.image_folder import IN_NO_CLASS
from tinyscope.data.review import EXCLUDED
from tinyscope.inspection.findings import Item, Outcome, Place

NO_FILES = "because the images are stored as arrays, not as image files"

_USUAL = 0.9
"""Share of the files that have to be of one kind for another kind to be unusual."""
_STRETCHED = 2.0
"""Proportions this many times the usual ones: half of the picture is cut off."""
_LARGER = 8.0
"""Times the usual side, or one over it."""
_KINDS = {
    "RGB": "colour",
    "YCbCr": "colour",
    "L": "grey",
    "I;16": "grey of 16 bits",
    "I;16B": "grey of 16 bits",
    "I": "grey of 16 or 32 bits",
    "F": "grey as floating-point numbers",
    "1": "black and white",
    "P": "a palette",
    "RGBA": "colour with transparency",
    "LA": "grey with transparency",
    "PA": "a palette with transparency",
    "CMYK": "inks (CMYK)",
}


def file_checks(splits: Splits, facts: Mapping[str, FileFacts]) -> dict[str, Outcome]:
    """The outcomes of TS001, TS002, TS003 and TS004.

    Args:
        splits: as loaded.
        facts: of all files that were found, by split; empty where there are none.
    """
    stray, unreadable = _left_out(splits)
    read = sum(len(part) for part in splits.parts())
    summary = f"{read:,} of {read + len(unreadable):,} files could be read."
    outcomes = {"TS001": Outcome(items=unreadable, summary=summary)}
    if not facts:
        nothing = Outcome(not_applicable=NO_FILES)
        return outcomes | dict.fromkeys(("TS002", "TS003", "TS004"), nothing)
    rows = {part.split: _rows(part.files) for part in splits.parts()}
    return outcomes | {
        "TS002": Outcome(items=[*stray, *_misnamed(facts, rows)], summary=_told(len(stray))),
        "TS003": _odd_sizes(splits, facts, rows),
        "TS004": _odd_modes(facts, rows),
    }


Rows = Mapping[str, Mapping[str, int]]
"""By split and file, the row of the data set; files that were left out have none."""


def _rows(files: tuple[str, ...]) -> dict[str, int]:
    return {file: row for row, file in enumerate(files)}


def _told(stray: int) -> str:
    """How folders have to be laid out, where files lie beside the class folders."""
    if not stray:
        return ""
    files = (
        "1 file has no class, as it lies"
        if stray == 1
        else f"{stray:,} files have no class, as they lie"
    )
    return f"{files} in no class folder; expected <class>/<image> or train/<class>/<image>."


def _left_out(splits: Splits) -> tuple[list[Item], list[Item]]:
    """What lies in no class folder, and what cannot be read."""
    stray: list[Item] = []
    unreadable: list[Item] = []
    for part in splits.parts():
        for left in part.left_out:
            if left.reason.startswith(EXCLUDED):
                continue  # a person's choice, and no fault of the file
            item = Item(detail=left.reason, score=1.0, file=left.file, split=part.split)
            (stray if left.reason == IN_NO_CLASS else unreadable).append(item)
    return stray, unreadable


def _item(facts: FileFacts, n: int, split: str, rows: Rows, *, detail: str, score: float) -> Item:
    file = facts.files[n]
    row = rows[split].get(file)
    if row is None:
        return Item(detail=detail, score=score, file=file, split=split)
    return Item(detail=detail, score=score, place=Place(split, row), action="keep")


def _misnamed(facts: Mapping[str, FileFacts], rows: Rows) -> Iterator[Item]:
    for split, of_split in facts.items():
        for n in np.flatnonzero(of_split.readable & ~of_split.extension_fits).tolist():
            ending = of_split.files[n].rpartition(".")[2]
            detail = f"is {of_split.format[n]}, but its name ends in .{ending}"
            yield _item(of_split, n, split, rows, detail=detail, score=1.0)
        for n in np.flatnonzero(of_split.readable & of_split.animated).tolist():
            detail = f"{of_split.format[n]} of several frames, of which the first is used"
            yield _item(of_split, n, split, rows, detail=detail, score=0.5)


def _odd_sizes(splits: Splits, facts: Mapping[str, FileFacts], rows: Rows) -> Outcome:
    """Files unlike the usual size; where there is none, unlike the median of shape or side."""
    sizes = np.concatenate(
        [np.stack([one.width, one.height], 1)[one.readable] for one in facts.values()]
    ).astype(float)
    if not len(sizes):
        return Outcome(not_applicable="because no file could be read")
    (width, height), count = Counter(map(tuple, sizes.astype(int).tolist())).most_common(1)[0]
    one_size = count >= _USUAL * len(sizes)
    usual_shape, usual_side = np.median(sizes[:, 0] / sizes[:, 1]), np.median(sizes.min(1))
    if one_size:
        summary = f"{count:,} of {len(sizes):,} files have {width}x{height} pixels."
    else:
        summary = (
            f"Sizes differ: half of the files have a shorter side of {usual_side:.0f} pixels or "
            f"more, and width over height of {usual_shape:.2f} or more."
        )
    target = min(splits.train.images.shape[1:3])
    items = []
    for split, of_split in facts.items():
        for n in np.flatnonzero(of_split.readable).tolist():
            wide, high = int(of_split.width[n]), int(of_split.height[n])
            reasons = []
            stretch = wide / high / (width / height if one_size else usual_shape)
            scale = min(wide, high) / (min(width, height) if one_size else usual_side)
            if one_size and (wide, high) != (width, height):
                reasons.append(f"where the others have {width}x{height}")
            elif not one_size:
                if max(stretch, 1 / stretch) >= _STRETCHED:
                    reasons.append("a shape by which half of the picture or more is cut off")
                if max(scale, 1 / scale) >= _LARGER:
                    reasons.append(f"{'larger' if scale > 1 else 'smaller'} by far than usual")
                if min(wide, high) < target / 2:
                    reasons.append(f"enlarged to {target} pixels")
            if reasons:
                score = float(abs(np.log(stretch)) + abs(np.log(scale)))
                detail = f"{wide}x{high} pixels, {' and '.join(reasons)}"
                items.append(_item(of_split, n, split, rows, detail=detail, score=score))
    return Outcome(items=items, summary=summary)


def _odd_modes(facts: Mapping[str, FileFacts], rows: Rows) -> Outcome:
    modes = Counter(
        mode for one in facts.values() for mode in np.array(one.mode, object)[one.readable]
    )
    if not modes:
        return Outcome(not_applicable="because no file could be read")
    (usual, count), files = modes.most_common(1)[0], modes.total()
    summary = f"{count:,} of {files:,} files are in {_kind(usual)}."
    if count < _USUAL * files:
        told = ", ".join(f"{mode} ({number:,})" for mode, number in modes.most_common())
        return Outcome(summary=f"No mode is the usual one: {told}.")
    items = [
        _item(
            of_split,
            n,
            split,
            rows,
            detail=f"in {_kind(of_split.mode[n])}, where the others are in {_kind(usual)}",
            score=1.0,
        )
        for split, of_split in facts.items()
        for n in np.flatnonzero(of_split.readable).tolist()
        if of_split.mode[n] != usual
    ]
    return Outcome(items=items, summary=summary)


def _kind(mode: str) -> str:
    return f"{_KINDS[mode]} (mode {mode})" if mode in _KINDS else f"mode {mode}"
