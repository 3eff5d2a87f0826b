"""How figures look here: blank axes, labels, and SVG in the colours and fonts of its page."""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from html import escape
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, LINE = "#26282d", "#d8dae0"  # a page puts its own text and rule colours in their place
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def _own_settings(**own: Any) -> Iterator[None]:
    """Matplotlib as it comes, but for `own`: a matplotlibrc, or a notebook's, changes no report.

    With `text.usetex`, say, a page would fail after all training where there is no TeX.
    """
    from matplotlib import rc_context, rcParamsDefault

    settings: dict[Any, Any] = {**rcParamsDefault, **own}
    del settings["backend"]  # which stays as it is in any case
    with rc_context(settings):
        yield


def in_house_style(figure: Callable[P, T]) -> Callable[P, T]:
    """A function that makes a figure, which the user's settings of matplotlib no longer reach."""

    @wraps(figure)
    def made(*args: P.args, **kwargs: P.kwargs) -> T:
        with _own_settings():
            return figure(*args, **kwargs)

    return made


def blank(width: float, height: float) -> "tuple[Figure, Axes]":
    """Figure and axes in the house's style; sizes in inches, fonts in points."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(visible=True, color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(LINE)
    axes.tick_params(colors=INK, labelsize=10, length=0, pad=5)
    return figure, axes


def label(axes: "Axes", x: str, y: str) -> None:
    """Names the axes."""
    axes.set_xlabel(x, fontsize=10, color=INK, labelpad=7)
    axes.set_ylabel(y, fontsize=10, color=INK, labelpad=7)


def short(name: str, length: int) -> str:
    """The name on one line, cut in the middle where it is too long for a figure."""
    line = "".join(c if c.isprintable() else " " for c in name)
    if len(line) <= length:
        return line
    return line[: length - length // 3 - 1].rstrip() + "…" + line[-(length // 3) :].lstrip()


def shortened(names: Sequence[str], length: int) -> list[str]:
    """Different names, each cut as by `short`, and still different from one another.

    Points of a grid ("epochs=5,shift=2") that are too long lose what all of them share, then
    letters of their keys, so that every value is seen. Others that would look alike are numbered.
    """
    points = [_settings(name) for name in names]
    grid = [each for each, name in zip(points, names, strict=True) if each and len(name) > length]
    if grid:
        every = [set(each) for each in points if each]
        shared = set.intersection(*every) if len(every) > 1 else set()
        points = [[part for part in each if part not in shared] for each in points]
    cut = [
        _squeezed(each, length) if grid and each else short(name, length)
        for each, name in zip(points, names, strict=True)
    ]
    if len(set(cut)) == len(names):
        return cut
    numbers = [f"{place}. " for place in range(1, len(names) + 1)]
    return [n + short(name, length - len(n)) for n, name in zip(numbers, names, strict=True)]


def _settings(name: str) -> list[str]:
    """The parts "key=value" that a point of a grid is named by; none of any other name."""
    parts = name.split(",")
    return parts if all("=" in part for part in parts) else []


def _squeezed(parts: Sequence[str], length: int) -> str:
    """Parts "key=value" with keys cut so that all values fit, if they do."""
    if len(whole := ",".join(parts)) <= length:
        return short(whole, length)
    room = (length - len(parts) + 1) // len(parts)
    told = []
    for part in parts:
        key, _, value = part.partition("=")
        letters = max(1, room - len(value) - 2)
        told.append(part if len(part) <= room else f"{key[:letters]}…={value}")
    return short(",".join(told), length)


def svg(figure: "Figure", *, label: str, name: str) -> str:
    """The figure as an `<svg>` element for an HTML page: the same bytes for the same figure.

    Text stays text, in the reader's own font; ink and rules take the page's colours
    (`currentColor` and `--line`). It scales to its container, up to its own size.

    Args:
        figure: from `figures`, or any other.
        label: what the figure shows, for people who do not see it.
        name: letters and digits, different for every figure of a page; its ids begin with it.
    """
    file = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    settings = _own_settings(**{"svg.fonttype": "none", "svg.hashsalt": name})
    with settings, warnings.catch_warnings():
        # A name in another script is drawn by the reader's fonts, not by the one measured here.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(file, format="svg", metadata=nothing, transparent=True)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    view_box = text.split('viewBox="')[1].split('"')[0]
    width = float(view_box.split()[2])
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    text = text.replace("xlink:href", "href").replace(INK, "currentColor")
    text = text.replace(LINE, f"var(--line, {LINE})")
    text = re.sub(r"'DejaVu Sans'[^;\"<]*", FONTS, text)
    head = (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="{view_box}" '
        f'style="width:100%;max-width:{width * 4 / 3:.0f}px">'
    )
    return re.sub(r"\s*\n\s*", "\n", head + text[text.index(">") + 1 :]).strip()
