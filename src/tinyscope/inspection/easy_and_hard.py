"""What a quick model finds easy and hard: classes, pairs, single images, families."""

from typing import Any

import numpy as np

from tinyscope.data.dataset import Splits
from tinyscope.data.families import families_of
from tinyscope.evaluation.evaluation import Evaluation
from tinyscope.inspection.out_of_sample import OutOfSample
from tinyscope.report.pictures import Album

_PAIRS, _PICTURES, _GALLERY = 8, 4, 12


def easy_and_hard(splits: Splits, seen: OutOfSample, album: Album) -> dict[str, Any]:
    """Tables of the training images, each answered by a network that was not trained on it.

    Args:
        splits: as loaded.
        seen: the answers.
        album: takes the pictures.
    """
    train = splits.train
    logits = seen.answers["train"].logits / seen.temperature
    found = Evaluation("train", logits, train.labels, train.class_names)
    pairs = found.confused_pairs(limit=_PAIRS)
    for pair in pairs:
        rows = pair.pop("rows")
        pair["pictures"] = [album.place(train, row) for row in rows[:_PICTURES]]
    galleries = {
        kind: [
            {
                "picture": album.place(train, shot["row"]),
                "class": shot["true"],
                "answer": shot["predicted"],
                "probability": shot["probability"],
            }
            for shot in found.gallery(kind, limit=_GALLERY)
        ]
        for kind in ("confident right", "confident wrong")
    }
    classes = [
        {"class": row["class"], "accuracy": row["recall"], "images": row["support"]}
        for row in found.per_class()
        if row["support"]
    ]
    return {
        "recipe": "sprint",
        "epochs": seen.recipe.epochs,
        "folds": seen.folds,
        "images": len(train),
        "accuracy": found.accuracy,
        "interval": list(found.image_interval),
        "train_seconds": seen.seconds,
        "train_flop": seen.flop,
        "classes": sorted(classes, key=lambda row: row["accuracy"]),
        "pairs": pairs,
        "easiest": galleries["confident right"],
        "hardest": galleries["confident wrong"],
        "families": _families(found, families_of(train.class_names)),
    }


def _families(found: Evaluation, families: tuple[str, ...]) -> dict[str, Any] | None:
    """How errors fall within and across families; None where classes have none."""
    if not families:
        return None
    names = sorted(set(families))
    family = np.array([names.index(name) for name in families])
    true, answered = family[found.labels], family[found.predicted]
    wrong = ~found.right
    within = float((true == answered)[wrong].mean()) if wrong.any() else 0.0
    rows = []
    for k, name in enumerate(names):
        members = true == k
        if members.any():
            rows.append(
                {
                    "family": name,
                    "classes": [
                        one
                        for one, its in zip(found.class_names, families, strict=True)
                        if its == name
                    ],
                    "accuracy": float(found.right[members].mean()),
                    "family_accuracy": float((answered[members] == k).mean()),
                }
            )
    return {
        "within": within,
        "across": 1 - within,
        "errors": int(wrong.sum()),
        "rows": sorted(rows, key=lambda row: row["accuracy"]),
    }
