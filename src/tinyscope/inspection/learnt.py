"""What small networks, trained for it, say of a data set: labels, hard classes, augmentations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyscope.data.dataset import Splits
from tinyscope.data.families import named_as_cifar100
from tinyscope.errors import DataError
from tinyscope.inspection.augmentation_checks import augmentation_check, augmentation_table
from tinyscope.inspection.easy_and_hard import easy_and_hard
from tinyscope.inspection.findings import Outcome
from tinyscope.inspection.image_map import image_map, pixel_features
from tinyscope.inspection.label_checks import label_check
from tinyscope.inspection.label_probabilities import label_probabilities
from tinyscope.inspection.linear_probe import probe_answers
from tinyscope.inspection.out_of_sample import out_of_sample
from tinyscope.inspection.valid_augmentations import measure
from tinyscope.report.pictures import Album, sprite_sheet

UNTRAINED = "because no model was trained for it, as --no-training asks; a study trains none either"

_NOT_ASKED = (
    "The backbone that comes along was not asked: it knows the labels of CIFAR-100's training "
    "images by heart, and these classes are named as CIFAR-100's are."
)

_FEWEST = 4
"""Images of a map: of fewer, who the neighbours are says nothing."""

_COLUMNS = 40
_TILE = 32  # pixels


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What networks have shown, ready for a summary; None where there was none."""

    outcomes: dict[str, Outcome]
    """Of TS015 and TS017."""
    easy_and_hard: dict[str, Any] | None = None
    augmentations: list[dict[str, Any]] | None = None
    map: dict[str, Any] | None = None


def untrained() -> Learnt:
    """What there is to say without a network."""
    nothing = Outcome(not_applicable=UNTRAINED)
    return Learnt(outcomes={"TS015": nothing, "TS017": nothing})


def learn(splits: Splits, album: Album, on_stage: Callable[[str], None]) -> Learnt:
    """Trains small networks and asks them.

    Args:
        splits: as loaded.
        album: takes the pictures.
        on_stage: is told what is trained next.
    """
    on_stage("training networks that judge labels they have not learnt")
    try:
        seen = out_of_sample(splits)
    except DataError as error:
        why = str(error).removesuffix(".")
        nothing = Outcome(not_applicable=f"because there is too little to learn: {why}")
        basis = "the pixels alone: images of like colours and outlines lie together"
        features = pixel_features(splits.train.images)
        return Learnt(
            outcomes={"TS015": nothing, "TS017": nothing}, map=_map(splits, features, basis)
        )
    probe = None
    if not named_as_cifar100(splits.train.class_names):
        on_stage("asking the backbone that comes along, which knows other images")
        probe = probe_answers(splits)
    probabilities = label_probabilities(splits, seen, probe)
    on_stage("training networks that judge augmentations")
    measured = measure(splits.train)
    on_stage("drawing the map")
    basis = "what a network trained on some of them sees: images that it finds alike lie together"
    features = seen.answers["train"].features
    return Learnt(
        outcomes={
            "TS015": label_check(splits, probabilities, told="" if probe else _NOT_ASKED),
            "TS017": augmentation_check(measured),
        },
        easy_and_hard=easy_and_hard(splits, seen, album),
        augmentations=augmentation_table(splits, measured, album),
        map=_map(splits, features, basis),
    )


def _map(splits: Splits, features: np.ndarray, basis: str) -> dict[str, Any] | None:
    train = splits.train
    if len(train) < _FEWEST:
        return None
    rows, places = image_map(features, train.labels)
    return {
        "points": [
            {"x": round(x, 4), "y": round(y, 4), "class": k, "split": "train", "row": row}
            for row, k, (x, y) in zip(
                rows.tolist(), train.labels[rows].tolist(), places.tolist(), strict=True
            )
        ],
        "sheet": sprite_sheet(train.images[rows], columns=_COLUMNS, tile=_TILE),
        "columns": _COLUMNS,
        "tile": _TILE,
        "basis": basis,
    }
