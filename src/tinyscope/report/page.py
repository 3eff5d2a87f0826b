"""A summary as one HTML file with no outside request."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyscope.files import write_text
from tinyscope.report import figures
from tinyscope.report.data_page import inspected
from tinyscope.report.templating import PICTURE, THUMBNAIL, enlarged, environment, markup

if TYPE_CHECKING:
    from markupsafe import Markup


def render(summary: Mapping[str, Any]) -> str:
    """The page, as HTML.

    Class names and every other text of the summary are escaped, no script is on the page, and its
    content policy lets it fetch nothing.

    Args:
        summary: from `summary.summarise`, or that read back from JSON.
    """
    return environment().get_template("page.html").render(_context(summary))


def write_report(summary: Mapping[str, Any], path: Path) -> None:
    """Writes the page to `path`, whole or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    write_text(path, render(summary))


def _context(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The summary and what follows from it for the layout alone."""
    by_name = {variation["name"]: variation for variation in summary["variations"]}
    chosen = by_name[summary["recommended"]["variation"]]
    recipes = [variation["recipe"] for variation in summary["variations"]]
    width = summary["data"]["image_shape"][1]
    return {
        **summary,
        "chosen": chosen,
        "others": [one for one in summary["variations"] if one is not chosen],
        "verdicts": {row["second"]: row["verdict"] for row in summary["comparisons"]["validation"]},
        "test_split": next(one for one in summary["data"]["splits"] if one["split"] == "test"),
        "many_classes": len(summary["data"]["class_names"]) > figures.TEXT_CELLS,
        "differing": [key for key in recipes[0] if len({_same(one[key]) for one in recipes}) > 1],
        "picture_width": enlarged(width, PICTURE),
        "thumbnail_width": enlarged(width, THUMBNAIL),
        "guessing": math.log(len(summary["data"]["class_names"])),
        "drawn": _drawn(summary),
        "draw_model": _model_drawer(summary),
        "leaks": chosen["test"]["leaks"],
        "any_leaks": any(_leaked(variation) for variation in summary["variations"]),
        "seen": None if summary["inspection"] is None else inspected(summary["inspection"]),
    }


def _leaked(variation: Mapping[str, Any]) -> bool:
    leaks = variation["test"]["leaks"]
    return leaks is not None and leaks["images"] > 0


def _same(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _drawn(summary: Mapping[str, Any]) -> dict[str, "Markup"]:
    """The figures that show all models."""
    variations = summary["variations"]
    names = ", ".join(variation["name"] for variation in variations)
    split = "validation" if variations[0]["validation"] else "training"
    return {
        "accuracies": markup(
            figures.accuracies(variations),
            f"Test accuracy with 95% intervals of {names}; the numbers are in the table above.",
            "accuracies",
        ),
        "cost": markup(
            figures.accuracy_against_cost(variations),
            f"Test accuracy against training seconds of {names}; the numbers are in the table.",
            "cost",
        ),
        "by_epoch": markup(
            figures.model_curves(variations, "epoch"),
            f"Curves of {split} accuracy against epochs of {names}.",
            "epochs",
        ),
        "by_seconds": markup(
            figures.model_curves(variations, "seconds"),
            f"Curves of {split} accuracy against seconds of training of {names}.",
            "seconds",
        ),
    }


def _model_drawer(summary: Mapping[str, Any]) -> Callable[..., "Markup"]:
    """A function for templates: (variation, "loss" | "accuracy" | "confusion") -> svg."""
    places = {variation["name"]: n for n, variation in enumerate(summary["variations"])}

    def draw(variation: Mapping[str, Any], what: str) -> "Markup":
        name = variation["name"]
        if what == "confusion":
            figure = figures.confusion(
                variation["test"]["confusion"], summary["data"]["class_names"]
            )
            label = (
                f"Confusion matrix of {name} on the test images: true classes in rows, predicted "
                "classes in columns. The pairs confused most often are listed below."
            )
        else:
            figure = figures.training_curves(variation["runs"], what)
            label = f"Curves of training and validation {what} of {name}, epoch by epoch."
        return markup(figure, label, f"m{places[name]}{what}")

    return draw
