"""The check of shortcuts (TS016): properties, of files and of pixels, that give a label away."""

import math
from collections.abc import Mapping

import numpy as np

from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.data.file_facts import FileFacts
from tinyscope.data.image_quality import ImageProperties
from tinyscope.inspection.associations import associations
from tinyscope.inspection.findings import Item, Outcome, Place
from tinyscope.inspection.pixel_shortcuts import odd_levels, shared_marks
from tinyscope.inspection.shortcuts import Shortcut, property_shortcuts
from tinyscope.wording import listed

_OF_PIXELS = (
    *("brightness", "contrast", "colourfulness", "red", "green", "blue"),
    *("border_top", "border_bottom", "border_left", "border_right", "border_contrast"),
    *("black_share", "white_share", "entropy", "detail", "blur"),
)
_FORMAT, _QUANTIZATION = "file format", "JPEG quantization"
_TOLD = 5  # classes that are named where a property gives several away
_NAMED = 5  # associations that stand in the table


def shortcut_check(
    splits: Splits,
    facts: Mapping[str, FileFacts],
    properties: Mapping[str, ImageProperties],
) -> Outcome:
    """The outcome of TS016; of the training images, which is where a model finds shortcuts.

    An item is an image that carries a property, of the class that the property gives away; the
    table says how much the strongest properties tell of the label, remarkable or not.

    Args:
        splits: as loaded.
        facts: of all files that were found, by split; empty where there are none.
        properties: of the images of each split.
    """
    train = splits.train
    numeric = {name: getattr(properties["train"], name).astype(float) for name in _OF_PIXELS}
    categorical: dict[str, list[str | None]] = {}
    if facts:
        of_files, of_headers = _of_files(train, facts["train"])
        numeric |= of_files
        categorical |= of_headers
    labels, names = train.labels, train.class_names
    of_properties = property_shortcuts(labels, names, numeric=numeric, categorical=categorical)
    found = _each_once(of_properties, images=len(labels))
    found += [[one] for one in shared_marks(train.images, labels, names)]
    found += [[one] for one in odd_levels(train.images, labels, names)]
    items = []
    for together in found:
        shortcut = together[0]
        rows = shortcut.rows
        if shortcut.classes:
            rows = rows[np.isin(labels[rows], [names.index(name) for name in shortcut.classes])]
        carried = listed([f"{one.property} {one.value}" for one in together])
        items += [
            Item(
                detail=f"{carried}: {shortcut.strength}",
                score=1.0,
                place=Place("train", int(row)),
                action="keep",
            )
            for row in rows.tolist()
        ]
    strongest = associations(labels, names, numeric=numeric, categorical=categorical)[:_NAMED]
    table = [
        {
            "property": one.property,
            "class told from the rest": one.class_name,
            "area under the ROC curve": round(one.auc, 3),
            "class guessed from it alone": round(one.balanced_accuracy, 3),
            "by chance": round(one.chance, 3),
        }
        for one in strongest
    ]
    told = "; ".join(
        listed([f"{one.property} ({one.value})" for one in together])
        + f" {'gives' if len(together) == 1 else 'give'} "
        + f"{listed(together[0].classes, most=_TOLD) or 'the classes'} away"
        for together in found
    )
    return Outcome(items=items, summary=told and f"{told}.", table=table)


def _each_once(found: list[Shortcut], *, images: int) -> list[list[Shortcut]]:
    """Together what the same images carry, as a camera's make and model.

    JPEG tables are left out where they only say again which images are of JPEG files and which are
    not.
    """
    told: set[bytes] = set()
    for one in found:
        if one.property == _FORMAT:
            others = np.setdiff1d(np.arange(images), one.rows)
            told |= {one.rows.tobytes(), others.tobytes()}
    together: dict[tuple[tuple[str, ...], bytes], list[Shortcut]] = {}
    for one in found:
        if one.property != _QUANTIZATION or one.rows.tobytes() not in told:
            together.setdefault((one.classes, one.rows.tobytes()), []).append(one)
    return list(together.values())


def _of_files(
    train: ImageDataset, facts: FileFacts
) -> tuple[dict[str, np.ndarray], dict[str, list[str | None]]]:
    """Numbers and texts that stand in the headers of the files, by name."""
    at = facts.positions(train)
    width, height = facts.width[at].astype(float), facts.height[at].astype(float)
    numbers = {
        "width": width,
        "height": height,
        "width over height": width / height,
        "size in bytes": facts.size_bytes[at].astype(float),
    }
    texts: dict[str, list[str | None]] = {
        _FORMAT: facts.format[at].tolist(),
        "colour mode": facts.mode[at].tolist(),
    }
    steps = facts.quantization[at].tolist()
    if not all(map(math.isnan, steps)):
        texts[_QUANTIZATION] = [
            None if math.isnan(step) else f"steps of {step:.2f} on average" for step in steps
        ]
    for tag in ("Make", "Model", "Software", "DateTimeOriginal", "Orientation"):
        values = [facts.exif[position].get(tag) for position in at.tolist()]
        if any(value is not None for value in values):
            texts[f"EXIF {tag}"] = [None if value is None else str(value) for value in values]
    return numbers, texts
