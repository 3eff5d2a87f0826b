"""What the pages are made with: templates, figures as markup, numbers as people write them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyscope.plan.spelling import NONE, spelled
from tinyscope.report import drawing

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup
    from matplotlib.figure import Figure

_MORE_DIGITS = 3
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


def percent(share: float | None, digits: int = 1) -> str:
    """A share as per cent: 0.912 is "91.2%"; None is an en dash.

    What is less than all, or more than nothing, is not rounded to it: 0.9996 is "99.96%".
    """
    return "–" if share is None else f"{_hundredths(share, digits)}%"


def _hundredths(share: float, digits: int) -> str:
    """100 times a share, with at least so many digits, and more where it would seem 0 or 100."""
    for more in range(digits, digits + _MORE_DIGITS + 1):
        text = f"{100 * share:.{more}f}"
        if float(text) not in (0, 100) or share in (0, 1):
            return text
    return f"{100 * share:.{digits}f}"


def as_published(share: float | None) -> str:
    """A share as per cent, with as many digits as it was given: 0.7 is "70%", 0.6305 "63.05%"."""
    return "–" if share is None else f"{100 * share:.6g}%"


def certainty(probability: float) -> str:
    """A model's probability as per cent, never rounded up to 100%: 0.9999 is "> 99.9%"."""
    return ">\N{NO-BREAK SPACE}99.9%" if probability >= 0.9995 else percent(probability)


def between(interval: Sequence[float] | None, digits: int = 1) -> str:
    """An interval of shares: [0.906, 0.918] is "90.6–91.8%"; None is an en dash."""
    if interval is None:
        return "–"
    low, high = interval
    return f"{_hundredths(low, digits)}–{_hundredths(high, digits)}%"


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


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: 1 is "1 image", 12000 is "12,000 images"."""
    return f"{count(number)} {noun if number == 1 else plural or noun + 's'}"


def size(number: float) -> str:
    """Bytes for people: 153600000 is "154 MB"; three digits."""
    units = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "bytes"))
    unit, name = next((entry for entry in units if number >= entry[0]), units[-1])
    return f"{number / unit:.3g} {name}"


def cell(value: Any) -> str:
    """A value of a table whose columns are not known beforehand: fractions with three digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return choice_text(value)
    return count(value) if isinstance(value, int) else f"{value:.3g}"
