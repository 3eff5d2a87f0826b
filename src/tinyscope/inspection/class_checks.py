"""Checks of classes: too small for their split (TS013), of unequal size (TS014)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinyscope.data.balance import is_unbalanced
from tinyscope.data.dataset import Splits
from tinyscope.inspection.findings import Item, Outcome

FEWEST = {"train": 20, "validation": 5, "test": 10}
"""Images of a class below which a split says little of it.

With 10 test images, an accuracy of 80% has a 95% interval (Wilson) of 49 to 94%.
"""


def class_checks(splits: Splits, balance: Mapping[str, Any]) -> dict[str, Outcome]:
    """The outcomes of TS013 and TS014.

    Args:
        splits: as loaded.
        balance: of the training images, as `exploration.explore` gives it.
    """
    return {"TS013": _small(splits), "TS014": _unequal(splits, balance)}


def _small(splits: Splits) -> Outcome:
    items = []
    for part in splits.parts():
        fewest = FEWEST[part.split]
        for name, count in zip(part.class_names, part.counts(), strict=True):
            if count < fewest:
                has = f"{count} image" if count == 1 else f"{count or 'no'} images"
                items.append(
                    Item(
                        detail=f"{has} in the {part.split} split; {fewest} are few",
                        score=1 - count / fewest,
                        split=part.split,
                        class_name=name,
                    )
                )
    return Outcome(items=items)


def _unequal(splits: Splits, balance: Mapping[str, Any]) -> Outcome:
    train = splits.train
    summary = balance["judgement"]
    counts = np.array(train.counts())
    if not is_unbalanced(counts.tolist()):
        return Outcome(summary=summary)
    mean = counts.mean()
    items = [
        Item(
            detail=f"{counts[k]:,} training images, {counts[k] / mean:.2f} times the mean",
            score=abs(float(np.log((counts[k] + 0.5) / (mean + 0.5)))),
            split="train",
            class_name=train.class_names[k],
        )
        for k in (int(counts.argmin()), int(counts.argmax()))
    ]
    return Outcome(items=items, summary=summary)
