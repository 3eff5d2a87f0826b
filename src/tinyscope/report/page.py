"""A summary as one HTML file with no outside request."""

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyscope.errors import InputError
from tinyscope.files import path_of, write_text
from tinyscope.report import figures
from tinyscope.report.beside_published import curve_rows, differences, figure_rows, mistakes
from tinyscope.report.better_recipe import better_recipe
from tinyscope.report.confusion_figure import TEXT_CELLS, confusion
from tinyscope.report.data_page import SEVERITIES, inspected
from tinyscope.report.earlier_summaries import upgraded
from tinyscope.report.known_results import ranked
from tinyscope.report.machines import on_one_machine
from tinyscope.report.templating import PICTURE, THUMBNAIL, enlarged, environment, markup
from tinyscope.report.whole_cost import whole_costs
from tinyscope.runs.kept_files import is_kept

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


def write_report(summary: Mapping[str, Any], path: str | Path) -> None:
    """Writes the page of a summary to `path`, whole or not at all.

    Raises:
        InputError: another file of a study, a run or a model is there.
        StorageError: the file cannot be written.
    """
    write_page(render(summary), path_of(path))


def write_page(page: str, path: Path) -> None:
    """Writes a page that was rendered; see `write_report`."""
    if is_kept(path) and Path(os.path.realpath(path)).name != "report.html":
        raise InputError(
            f"{path} keeps a part of a study or model; the page would replace it. Give it another "
            "name."
        )
    write_text(path, page)


def _context(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The summary and what follows from it for the layout alone."""
    summary = _laid_out(upgraded(summary))
    by_name = {variation["name"]: variation for variation in summary["variations"]}
    chosen = by_name[summary["recommended"]["variation"]]
    weakest = summary["recommended"]["weakest_classes"]
    recipes = [variation["recipe"] for variation in summary["variations"]]
    width = summary["data"]["image_shape"][1]
    better = better_recipe(summary["variations"])
    return {
        **summary,
        "chosen": chosen,
        "trained_on": next(
            one for one in summary["environments"] if chosen["runs"][0]["name"] in one["runs"]
        ),
        "missed": [row for row in weakest if "recall" in row["low"]],
        "doubtful": [row for row in weakest if "precision" in row["low"]],
        "others": [one for one in summary["variations"] if one is not chosen],
        "verdicts": {row["second"]: row["verdict"] for row in summary["comparisons"]["validation"]},
        "many_classes": len(summary["data"]["class_names"]) > TEXT_CELLS,
        "differing": [key for key in recipes[0] if len({_same(one[key]) for one in recipes}) > 1],
        "picture_width": enlarged(width, PICTURE),
        "thumbnail_width": enlarged(width, THUMBNAIL),
        "guessing": math.log(len(summary["data"]["class_names"])),
        "drawn": _drawn(summary),
        "draw_model": _model_drawer(summary),
        "leaks": chosen["test"]["leaks"],
        "expected": _expected(chosen["test"]),
        "refitted": any(one["recipe"]["refit"] for one in summary["variations"]),
        "any_leaks": any(_leaked(variation) for variation in summary["variations"]),
        "seen": None if summary["inspection"] is None else inspected(summary["inspection"]),
        "severities": SEVERITIES,
        "beside_published": {name: figure_rows(one) for name, one in by_name.items()},
        "published_any": any(one["published"] is not None for one in by_name.values()),
        "published_test": any(one["published_test"] is not None for one in by_name.values()),
        "differences": differences(summary["variations"]),
        "better": better,
        "better_compares": better is not None
        and on_one_machine(summary["environments"], _runs_behind(better, by_name)),
        "one_machine": on_one_machine(summary["environments"]),
        "known": ranked(summary),
    }


def _laid_out(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The summary with what follows of each variation and machine."""
    names = summary["data"]["class_names"]
    costs = whole_costs(summary["variations"])
    variations = []
    for one in summary["variations"]:
        published = one["published"] or {"figures": {}, "per_class": []}
        variations.append(
            {
                **one,
                "by_epochs": one["recipe"]["classifier"] == "dense",
                "published_test": published["figures"].get("test_accuracy"),
                "published_classes": {row["class"]: row for row in published["per_class"]},
                "curve_rows": curve_rows(one),
                "mistakes": mistakes(one, names),
                "whole": costs[one["name"]],
            }
        )
    environments = [
        {**one, "processor": one["machine"].get("device_name", one["machine"]["cpu"])}
        for one in summary["environments"]
    ]
    return {**summary, "environments": environments, "variations": variations}


def _runs_behind(better: Mapping[str, Any], by_name: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The runs whose seconds `better_recipe` compares."""
    sides = better["theirs"], better["ours"]
    names = [name for side in sides for name in (side["name"], *side["after"])]
    return {run["name"] for name in names for run in by_name[name]["runs"]}


def _leaked(variation: Mapping[str, Any]) -> bool:
    leaks = variation["test"]["leaks"]
    return leaks is not None and leaks["images"] > 0


def _expected(test: Mapping[str, Any]) -> list[float] | None:
    """The interval of the accuracy on images that are no copies of training images, if known."""
    leaks = test["leaks"]
    if leaks is not None and leaks["images"]:
        return leaks["image_interval_without"]  # None where an earlier version did not tell it
    interval: list[float] = test["image_interval"]
    return interval


def _same(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _drawn(summary: Mapping[str, Any]) -> dict[str, "Markup"]:
    """The figures that show all models."""
    variations = summary["variations"]
    names = ", ".join(variation["name"] for variation in variations)
    split = "validation" if variations[0]["validation"] else "training"
    drawn = {
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
    }
    if curved := [place for place, one in enumerate(variations) if one["by_epochs"]]:
        names = ", ".join(variations[place]["name"] for place in curved)
        drawn["by_epoch"] = markup(
            figures.model_curves(variations, "epoch", curved),
            f"Curves of {split} accuracy against epochs of {names}.",
            "epochs",
        )
        drawn["by_seconds"] = markup(
            figures.model_curves(variations, "seconds", curved),
            f"Curves of {split} accuracy against seconds of training of {names}.",
            "seconds",
        )
    return drawn


def _model_drawer(summary: Mapping[str, Any]) -> Callable[..., "Markup"]:
    """A function for templates: (variation, what) -> svg.

    What: "loss", "accuracy", "confusion"; "measured" and "published", two confusion matrices for
    half of the page's width each.
    """
    names = summary["data"]["class_names"]
    places = {variation["name"]: n for n, variation in enumerate(summary["variations"])}

    def draw(variation: Mapping[str, Any], what: str) -> "Markup":
        name, published = variation["name"], variation["published"]
        if what in ("loss", "accuracy"):
            rows = published["curves"] if published is not None else ()
            figure = figures.training_curves(variation["runs"], what, rows)
            label = f"Curves of training and validation {what} of {name}, epoch by epoch"
            label += ", measured and published; the table below has the numbers." if rows else "."
        elif what == "confusion":
            figure = confusion(variation["test"]["confusion"], names)
            label = (
                f"Confusion matrix of {name} on the test images: true classes in rows, predicted "
                "classes in columns. The pairs confused most often are listed below."
            )
        else:
            matrix = (variation["test"] if what == "measured" else published)["confusion"]
            figure = confusion(matrix, names, halved=True)
            label = (
                f"{what.capitalize()} confusion matrix of {name}: true classes in rows, predicted "
                "classes in columns. The largest mistakes of both are listed below."
            )
        return markup(figure, label, f"m{places[name]}{what}")

    return draw
