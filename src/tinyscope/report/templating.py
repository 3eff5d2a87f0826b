"""What the pages are made with: templates, figures as markup, values as people write them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyscope.plan.spelling import NONE, spelled
from tinyscope.report import drawing
from tinyscope.wording import (
    as_published,
    between,
    certainty,
    count,
    counted,
    duration,
    flop,
    moment,
    p_value,
    percent,
    points,
    size,
)

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup
    from matplotlib.figure import Figure

PICTURE, THUMBNAIL = 96, 56
"""CSS pixels that the widths of single and of listed pictures are brought near."""


def environment() -> "Environment":
    """The templates of this package: they escape what they are given, and know the filters here."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": percent,
        "certainty": certainty,
        "between": between,
        "points": points,
        "moment": moment,
        "count": count,
        "counted": counted,
        "duration": duration,
        "p_value": p_value,
        "short": short,
        "file_name": drawing.short,
        "flop": flop,
        "choice": choice_text,
        "size": size,
        "cell": cell,
        "as_published": as_published,
        "setting": setting,
        "network": network,
    }
    return made


def markup(figure: "Figure", label: str, name: str) -> "Markup":
    """The figure as an `<svg>` element for a template; arguments as of `drawing.svg`."""
    from markupsafe import Markup

    return Markup(drawing.svg(figure, label=label, name=name))  # it escapes what it holds


def enlarged(pixels: int, near: int) -> int:
    """The whole multiple of an image's width, in pixels, that is nearest to `near`."""
    return max(1, round(near / pixels)) * pixels


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


def setting(value: Any) -> str:
    """The value of a recipe key as a study file has it: True is "true", None is '"none"'."""
    return spelled(NONE if value is None else value)


def network(recipe: Mapping[str, Any]) -> str:
    """The model of a recipe for people; of a transfer what it consists of, by name."""
    if recipe["model"] != "transfer":
        return str(recipe["model"])
    backbone = str(recipe["backbone"]).replace("\\", "/").rstrip("/").rpartition("/")[2]
    classifier = str(recipe["classifier"])
    what = "dense layer" if classifier == "dense" else classifier.replace("-", " ")
    return f"{what} on {backbone}"


def cell(value: Any) -> str:
    """A value of a table whose columns are not known beforehand: fractions with three digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return choice_text(value)
    return count(value) if isinstance(value, int) else f"{value:.3g}"
