"""The check of augmentations (TS017), and the table of those that are valid for the data."""

from typing import Any

from tinyscope.data.dataset import Splits
from tinyscope.inspection.augmentation_judgements import Measured
from tinyscope.inspection.candidate_augmentations import augmentations, changed
from tinyscope.inspection.findings import Item, Outcome
from tinyscope.report.pictures import Album, data_uri

_PICTURES = 4
_USED = ("horizontal_flip", "shift")
"""Keys that all fast recipes switch on; cut-out, which the largest do, is in the table only."""


def augmentation_check(measured: Measured) -> Outcome:
    """The outcome of TS017: of what the fast recipes do, what does not fit this data."""
    if measured.not_applicable:
        return Outcome(not_applicable=measured.not_applicable)
    used = [one for one in measured.judgements if set(one.settings) & set(_USED)]
    if used and all(one.verdict == "unclear" for one in used):
        names = " and ".join(one.name for one in used)
        return Outcome(not_applicable=f"because there are too few images to tell of {names}")
    items = [
        Item(
            detail=f"{one.name} is {one.verdict}: {one.reason}",
            score=1 - one.kept,
            class_name=", ".join(effect.class_name for effect in one.classes[:3]),
        )
        for one in used
        if one.verdict == "invalid"
    ]
    called = {
        verdict: [one.name for one in measured.judgements if one.verdict == verdict]
        for verdict in ("invalid", "unclear")
    }
    summary = f"Not valid for this data: {', '.join(called['invalid']) or 'none of those tried'}."
    if called["unclear"]:
        summary += f" Too few images to tell: {', '.join(called['unclear'])}."
    return Outcome(items=items, summary=summary)


def augmentation_table(
    splits: Splits, measured: Measured, album: Album
) -> list[dict[str, Any]] | None:
    """All augmentations with verdict, figures and pictures; None where none could be judged.

    Args:
        splits: the images; those of the training split were judged by.
        measured: what came of them.
        album: takes the pictures, before and after.
    """
    if measured.not_applicable:
        return None
    train = splits.train
    by_name = {one.name: one for one in augmentations(*train.images.shape[1:])}
    rows = []
    for judgement in measured.judgements:
        shown = judgement.examples[:_PICTURES]
        after = changed(train.images[[row for row, _ in shown]], by_name[judgement.name])
        pictures: list[dict[str, Any]] = []
        for pixels, (row, answer) in zip(after, shown, strict=True):
            key = f"{judgement.name}/{row}"
            album.pictures[key] = data_uri(pixels)
            pictures.append(
                {
                    "before": album.place(train, row),
                    "after": key,
                    "class": train.class_names[train.labels[row]],
                    "answer": answer,
                }
            )
        rows.append(
            {
                "name": judgement.name,
                "recipe_key": ", ".join(judgement.settings),
                "verdict": judgement.verdict,
                "accuracy": judgement.accuracy,
                "unchanged_accuracy": measured.accuracy,
                "drop": -judgement.difference,
                "interval": [-end for end in reversed(judgement.interval)],
                "reason": judgement.reason,
                "classes": [
                    {"class": one.class_name, "taken_for": one.taken_for, "share": one.taken}
                    for one in judgement.classes
                ],
                "pictures": pictures,
            }
        )
    return rows
