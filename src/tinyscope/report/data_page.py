"""An inspection as one HTML file with no outside request: what `tinyscope data` shows."""

import base64
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyscope.files import write_text
from tinyscope.report import data_figures
from tinyscope.report.leaks import leaked_test_rows
from tinyscope.report.pictures import data_uri
from tinyscope.report.templating import (
    PICTURE,
    THUMBNAIL,
    counted,
    enlarged,
    environment,
    markup,
)

if TYPE_CHECKING:
    from markupsafe import Markup

SEVERITIES = {
    "error": "falsifies results",
    "warning": "worth mending",
    "note": "worth a look",
}
"""What a severity is called on a page, the worst first."""

MAP_COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"),
    *("#8a8f98", "#7a3e9d", "#a0522d", "#b5b800", "#e0245e", "#1f3a5f"),
)
"""Rings of a map's images, by class; of more classes than these no image has a ring."""


def render(summary: Mapping[str, Any]) -> str:
    """The page, as HTML.

    Class names, file names and every other text are escaped, no script is on the page, and its
    content policy lets it fetch nothing.

    Args:
        summary: from `inspection.inspect`, or that read back from JSON.
    """
    return environment().get_template("data.html").render(seen=inspected(summary))


def write_data_page(summary: Mapping[str, Any], path: Path) -> None:
    """Writes the page to `path`, whole or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    write_text(path, render(summary))


def inspected(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The summary and what follows from it for the layout: what the macros of a page are given.

    Args:
        summary: from `inspection.inspect`, or that read back from JSON.
    """
    worst_first = sorted(
        summary["findings"], key=lambda one: list(SEVERITIES).index(one["severity"])
    )
    of = {
        status: [one for one in worst_first if one["status"] == status]
        for status in ("found", "clear", "not applicable")
    }
    width = summary["image_shape"][1]
    leaked = leaked_test_rows(summary["findings"])
    return {
        **summary,
        "answer": answer(summary),
        "found_by": of["found"],
        "silent": sorted(of["clear"], key=lambda one: one["code"]),
        "apart": sorted(of["not applicable"], key=lambda one: one["code"]),
        "severities": SEVERITIES,
        "leaked": None if leaked is None else len(leaked),
        "many_classes": len(summary["class_names"]) > data_figures.CLASSES,
        "picture_width": enlarged(width, PICTURE),
        "thumbnail_width": enlarged(width, THUMBNAIL),
        "drawn": _drawn(summary),
        "strips": _strips(summary["map"]) if summary["map"] else (),
        "cells": math.ceil(math.sqrt(2 * len(summary["map"]["points"]))) if summary["map"] else 0,
        "colours": MAP_COLOURS if len(summary["class_names"]) <= len(MAP_COLOURS) else (),
        "limits": _limits(summary),
        "too_little": bool(summary.get("trained")) and summary["learnt"] is None,
    }


def answer(summary: Mapping[str, Any]) -> str:
    """The sentences that a reader takes away: how many images, how many findings of what weight."""
    found = [one for one in summary["findings"] if one["status"] == "found"]
    used, left_out = summary["used"], summary["found"] - summary["used"]
    images = (
        f"{counted(used, 'image')} in {counted(len(summary['class_names']), 'class', 'classes')}"
    )
    if left_out:
        images += f"; {left_out:,} more cannot be used"
    counts = {severity: 0 for severity in SEVERITIES}
    for one in found:
        counts[one["severity"]] += 1
    if not found:
        return f"{images}. No check found anything."
    errors = counts.pop("error")
    rest = [(number, SEVERITIES[severity]) for severity, number in counts.items() if number]
    said = f"{counted(errors, 'finding')} would falsify results" if errors else ""
    for number, words in rest:
        noun = "" if said else f" {'finding' if number == 1 else 'findings'}"
        said += f"{', ' if said else ''}{number}{noun} {'is' if number == 1 else 'are'} {words}"
    if not errors:
        said = f"Nothing was found that would falsify results; {said}"
    return f"{images}. {said}."


def _drawn(summary: Mapping[str, Any]) -> dict[str, "Markup"]:
    exploration = summary["exploration"]
    drawn = {}
    for quantity in ("brightness", "contrast"):
        drawn[quantity] = markup(
            data_figures.spread(exploration[quantity], quantity),
            f"Histogram of the {quantity} of all images; mean and quantiles are in the table.",
            quantity,
        )
        drawn[f"{quantity} of classes"] = markup(
            data_figures.class_spread(exploration["by_class"], quantity),
            f"Mean and deviation of the {quantity} of each class; the table below has the numbers.",
            f"{quantity}classes",
        )
    if summary["augmentations"]:
        drawn["drops"] = markup(
            data_figures.drops(summary["augmentations"]),
            "Accuracy lost by each augmentation with 95% intervals; the table has the numbers.",
            "drops",
        )
    return drawn


def _strips(sheet_of: Mapping[str, Any]) -> list[str]:
    """The map's sheet cut into its rows of tiles, as data URIs.

    A browser that prints decodes the whole of a background anew for every element that shows a
    part of it: 1,500 of them took minutes with one sheet.
    """
    import numpy as np
    from PIL import Image

    file = io.BytesIO(base64.b64decode(sheet_of["sheet"].partition(",")[2]))
    with Image.open(file) as sheet:
        pixels = np.asarray(sheet)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    tile = sheet_of["tile"]
    return [data_uri(pixels[top : top + tile]) for top in range(0, len(pixels), tile)]


def _limits(summary: Mapping[str, Any]) -> list[str]:
    """Sentences on what was not looked for; only those that are true of this data set."""
    limits = [
        "A check finds what it looks for. That nothing was found does not prove that nothing is "
        "there: a copy that was turned, cropped by more than a few pixels or drawn over can be "
        "missed, and so can an error that many images share.",
        "What is listed is proposed by programs. Look at the pictures before you exclude or "
        "relabel an image, and never do either to a test image because a model got it wrong.",
        "What the data set lacks cannot be seen in it: other cameras, light, seasons, subjects.",
    ]
    if summary["as_found"] is None:
        limits.append(
            "The images came as arrays and not as files: what formats, sizes and colour modes they "
            "had before, and what their files said of camera and time, is not known."
        )
    if summary["learnt"] is not None:
        limits.append(
            "“Easy” and “hard” are so for one small, quickly trained network. An image that it "
            "gets wrong may be labelled rightly, and only be rare."
        )
    else:
        limits.append(
            "No model was trained: labels that are probably wrong, hard classes and augmentations "
            "that do not fit were not looked for."
        )
    if (left_out := summary["found"] - summary["used"]) > 0:
        limits.append(
            f"{counted(left_out, 'image')} could not be read and "
            f"{'is' if left_out == 1 else 'are'} in no figure but the counts of what was found."
        )
    return limits
