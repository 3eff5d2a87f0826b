"""The check of labels (TS015): which ones are probably wrong, by models that did not learn them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.inspection.findings import Item, Outcome, Place
from tinyscope.inspection.label_errors import LabelErrors, label_errors


def label_check(
    splits: Splits, probabilities: Mapping[str, np.ndarray], *, told: str = ""
) -> Outcome:
    """The outcome of TS015, for every split.

    Args:
        splits: as loaded.
        probabilities: of every image's class, `label_probabilities`.
        told: what else there is to say of how they were made.
    """
    items: list[Item] = []
    shares: list[str] = []
    table: list[dict[str, Any]] = []
    learnt = label_errors(splits.train.labels, probabilities["train"])
    for part in splits.parts():
        # How labels go wrong is seen in the many training images, and holds for the others too.
        errors = (
            learnt
            if part is splits.train
            else label_errors(
                part.labels,
                probabilities[part.split],
                mislabelled=learnt.mislabelled,
                unjudged=learnt.unjudged,
            )
        )
        rows = np.flatnonzero(errors.wrong)
        items += [_item(part, int(row), errors) for row in rows.tolist()]
        shares.append(
            f"{part.split}: {len(rows):,} of {len(part):,} labels ({len(rows) / len(part):.1%})"
        )
        table += _confused(part, errors)
    names = splits.train.class_names
    few = learnt.unjudged
    listed = ", ".join(names[k] for k in few)
    left = f" Too few training images to judge, in any split: {listed}." if len(few) else ""
    return Outcome(
        items=items,
        summary=f"Probably wrong, {'; '.join(shares)}.{left}{f' {told}' if told else ''}",
        table=sorted(table, key=lambda row: -row["images"])[:10],
    )


def _item(part: ImageDataset, row: int, errors: LabelErrors) -> Item:
    given = part.class_names[part.labels[row]]
    rather = part.class_names[errors.suggested[row]]
    return Item(
        detail=f"labelled {given}, looks like {rather}; wrong with a probability of "
        f"{errors.suspicion[row]:.0%}",
        score=float(errors.suspicion[row]),
        place=Place(part.split, row),
        action="keep" if part.split == "test" else "relabel",
        new_class=rather,
    )


def _confused(part: ImageDataset, errors: LabelErrors) -> list[dict[str, Any]]:
    """How often each class seems to be labelled as another."""
    rows = np.flatnonzero(errors.wrong)
    pairs = np.stack([part.labels[rows], errors.suggested[rows]], 1)
    kinds, counts = np.unique(pairs, axis=0, return_counts=True)
    return [
        {
            "split": part.split,
            "labelled": part.class_names[given],
            "looks like": part.class_names[rather],
            "images": int(count),
        }
        for (given, rather), count in zip(kinds.tolist(), counts.tolist(), strict=True)
    ]
