"""Which images a page of an inspection shows: samples, class means, and those of findings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.data.exploration import sample_rows
from tinyscope.report.contact_sheet import Entry
from tinyscope.report.pictures import Album, data_uri, spread

FINDING = 24
"""Pictured items of a finding."""

_OTHERS = 2  # images that are shown beside one that copies them


def samples(splits: Splits, means: np.ndarray, album: Album) -> dict[str, Any]:
    """The first images of classes, some images in even steps, some at random, and class means.

    Classes are all, or `report.pictures.SHOWN_CLASSES` that are spread evenly where there are more.

    Args:
        splits: the images; of the training split are those shown.
        means: uint8 (K, H, W, C), the mean image of each class.
        album: takes the pictures.
    """
    train = splits.train
    rows = sample_rows(train)
    classes = [(k, train.class_names[k]) for k in spread(len(train.class_names))]
    album.pictures |= {f"mean/{k}": data_uri(means[k]) for k, _ in classes}
    return {
        "by_class": [
            {"class": name, "pictures": [album.place(train, row) for row in rows["first"][name]]}
            for _, name in classes
        ],
        "every_nth": {
            "n": rows["every"]["step"],
            "pictures": [_pictured(train, row, album) for row in rows["every"]["rows"]],
        },
        "random": {
            "seed": rows["random"]["seed"],
            "pictures": [_pictured(train, row, album) for row in rows["random"]["rows"]],
        },
        "means": [{"class": name, "picture": f"mean/{k}"} for k, name in classes],
    }


def _pictured(dataset: ImageDataset, row: int, album: Album) -> dict[str, Any]:
    return {
        "picture": album.place(dataset, row),
        "class": dataset.class_names[dataset.labels[row]],
        "row": row,
    }


def shown(finding: Mapping[str, Any], splits: Splits, album: Album) -> list[dict[str, Any]]:
    """The pictures of a finding's strongest items, those that it is about beside their others."""
    parts = {part.split: part for part in splits.parts()}
    found = []
    for place, item in enumerate(finding["items"]):
        if item["row"] is None:
            continue
        images = [item, *item["others"][:_OTHERS]]
        found.append(
            {
                "pictures": [album.place(parts[one["split"]], one["row"]) for one in images],
                "caption": _caption(item),
                "item": place,
            }
        )
        if len(found) == FINDING:
            break
    return found


def sheet_entries(
    items: Sequence[Mapping[str, Any]], rows: Sequence[int], splits: Splits
) -> list[Entry]:
    """Items as entries of a contact sheet: the image, what it is most like, score and classes.

    Args:
        items: of a finding, each with an image.
        rows: which of them.
        splits: the images.
    """
    parts = {part.split: part for part in splits.parts()}
    return [
        Entry(
            [parts[one["split"]].images[one["row"]] for one in (item, *item["others"][:1])],
            f"{item['score']:.2f} {_caption(item)}",
        )
        for item in (items[row] for row in rows)
    ]


def _caption(item: Mapping[str, Any]) -> str:
    names = [one["class"] for one in (item, *item["others"][:1])]
    if item["new_class"]:
        return f"{item['class']} or {item['new_class']}?"
    return " | ".join(names)
