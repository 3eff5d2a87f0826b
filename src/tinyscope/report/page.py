"""A summary as one HTML file with no outside request."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyscope.files import write_text
from tinyscope.report import figures
from tinyscope.report.drawing import svg

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup
    from matplotlib.figure import Figure

PICTURE, THUMBNAIL = 96, 56  # CSS pixels that widths are brought near, in whole multiples


def render(summary: Mapping[str, Any]) -> str:
    """The page, as HTML.

    Class names and every other text of the summary are escaped, no script is on the page, and its
    content policy lets it fetch nothing.

    Args:
        summary: from `summary.summarise`, or that read back from JSON.
    """
    return _environment().get_template("page.html").render(_context(summary))


def write_report(summary: Mapping[str, Any], path: Path) -> None:
    """Writes the page to `path`, whole or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    write_text(path, render(summary))


def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "certainty": certainty,
        "between": between,
        "points": points,
        "moment": moment,
        "count": count,
        "duration": duration,
        "p_value": p_value,
        "short": short,
        "flop": flop,
        "choice": choice_text,
    }
    return environment


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
        "picture_width": max(1, round(PICTURE / width)) * width,
        "thumbnail_width": max(1, round(THUMBNAIL / width)) * width,
        "guessing": math.log(len(summary["data"]["class_names"])),
        "drawn": _drawn(summary),
        "draw_model": _model_drawer(summary),
    }


def _same(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _drawn(summary: Mapping[str, Any]) -> dict[str, "Markup"]:
    """The figures that show all models."""
    variations = summary["variations"]
    names = ", ".join(variation["name"] for variation in variations)
    split = "validation" if variations[0]["validation"] else "training"
    return {
        "accuracies": _markup(
            figures.accuracies(variations),
            f"Test accuracy with 95% intervals of {names}; the numbers are in the table above.",
            "accuracies",
        ),
        "cost": _markup(
            figures.accuracy_against_cost(variations),
            f"Test accuracy against training seconds of {names}; the numbers are in the table.",
            "cost",
        ),
        "by_epoch": _markup(
            figures.model_curves(variations, "epoch"),
            f"Curves of {split} accuracy against epochs of {names}.",
            "epochs",
        ),
        "by_seconds": _markup(
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
        return _markup(figure, label, f"m{places[name]}{what}")

    return draw


def _markup(figure: "Figure", label: str, name: str) -> "Markup":
    from markupsafe import Markup

    return Markup(svg(figure, label=label, name=name))  # it escapes what it holds


def percent(share: float | None, digits: int = 1) -> str:
    """A share as per cent: 0.912 is "91.2%"; None is an en dash."""
    return "–" if share is None else f"{100 * share:.{digits}f}%"


def certainty(probability: float) -> str:
    """A model's probability as per cent, never rounded up to 100%: 0.9999 is "> 99.9%"."""
    return ">\N{NO-BREAK SPACE}99.9%" if probability >= 0.9995 else percent(probability)


def between(interval: Sequence[float] | None, digits: int = 1) -> str:
    """An interval of shares: [0.906, 0.918] is "90.6–91.8%"; None is an en dash."""
    if interval is None:
        return "–"
    low, high = interval
    return f"{100 * low:.{digits}f}–{100 * high:.{digits}f}%"


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign: 0.013 is "+1.30"."""
    text = f"{100 * difference:+.2f}"
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def moment(time: str) -> str:
    """An ISO time in UTC, to the minute: "2026-01-31 09:05 UTC"."""
    return f"{time[:10]} {time[11:16]} UTC"


def count(number: float) -> str:
    """A whole number with commas: 10000 is "10,000"."""
    return f"{number:,.0f}"


def duration(seconds: float) -> str:
    """Seconds for people: 151 is "2 min 31 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def flop(number: float) -> str:
    """Floating-point operations for people: 284300000000000 is "284 TFLOP"; three digits."""
    units = ((1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"))
    size, unit = next((entry for entry in units if number >= entry[0]), units[-1])
    return f"{number / size:.3g} {unit}"


def p_value(value: float) -> str:
    """A p-value as far as it means anything: 0.0002 is "< 0.001"."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def short(name: str, length: int = 48) -> str:
    """A name cut to a length that a sentence bears."""
    return name if len(name) <= length else name[: length - 1].rstrip() + "…"


def choice_text(value: Any) -> str:
    """The value of a recipe key as a study file would have it, without quotes."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " · ".join(str(part) for part in value) or "–"
    return "–" if value is None else str(value)
