"""Figures of an inspection, as matplotlib figures; `drawing.svg` puts one on a page."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tinyscope.report.drawing import INK, blank, in_house_style, label, short
from tinyscope.report.figures import COLOURS, STYLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLASSES = 20
"""Classes up to which a figure shows all; of more, the ends of the range."""

_VERDICTS = {
    "valid": ("o", COLOURS[2]),
    "costly": ("s", COLOURS[4]),
    "invalid": ("X", COLOURS[1]),
    "unclear": ("D", INK),
}
"""Marker and colour; what can be told by shape needs no colour."""


@in_house_style
def spread(values: Mapping[str, Any], quantity: str) -> "Figure":
    """How many images have which brightness or contrast, and where 1, 50 and 99% of them lie.

    Args:
        values: with "histogram" and "quantiles".
        quantity: its name for the axis.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = blank(4.6, 2.6)
    histogram = values["histogram"]
    axes.stairs(histogram["counts"], histogram["edges"], fill=True, color=COLOURS[0], alpha=0.75)
    marks = (("0.01", "1%", STYLES[2]), ("0.5", "median", STYLES[0]), ("0.99", "99%", STYLES[1]))
    for key, name, style in marks:
        line = values["quantiles"][key]
        axes.axvline(line, color=INK, linewidth=1.1, linestyle=style, label=name)
    axes.set_xlim(histogram["edges"][0], histogram["edges"][-1])
    axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))  # images are whole
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    label(axes, quantity, "images")
    _legend_below(figure, *axes.get_legend_handles_labels())
    return figure


@in_house_style
def class_spread(rows: Sequence[Mapping[str, Any]], quantity: str) -> "Figure":
    """Mean and deviation of brightness or contrast of every class, the lowest mean on top.

    Of many classes the ten lowest and the ten highest are drawn, with a gap between.

    Args:
        rows: the classes, each with `quantity` and the key `quantity` + "_deviation".
        quantity: "brightness" or "contrast".
    """
    from matplotlib.ticker import MaxNLocator

    ranked = sorted(rows, key=lambda row: row[quantity])
    half = CLASSES // 2
    drawn = ranked if len(ranked) <= CLASSES else [*ranked[:half], *ranked[-half:]]
    places = [place + (len(drawn) < len(ranked) and place >= half) for place in range(len(drawn))]
    figure, axes = blank(4.6, 0.9 + 0.25 * len(drawn))
    for place, row in zip(places, drawn, strict=True):
        mean, deviation = row[quantity], row[f"{quantity}_deviation"]
        axes.plot(
            [mean - deviation, mean + deviation],
            [place, place],
            color=COLOURS[0],
            linewidth=2,
            alpha=0.55,
            solid_capstyle="butt",
        )
        axes.plot(mean, place, "o", color=COLOURS[0], markersize=6)
    names = [short(row["class"], 22) for row in drawn]
    axes.set_yticks(places, names, parse_math=False)
    axes.set_ylim(places[-1] + 0.6, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(visible=False, axis="y")
    label(axes, f"{quantity}, mean and deviation", "")
    return figure


@in_house_style
def drops(augmentations: Sequence[Mapping[str, Any]]) -> "Figure":
    """What every augmentation costs in accuracy, in percentage points, with 95% whiskers.

    Args:
        augmentations: each with "name", "drop", "interval" of the drop, and "verdict".
    """
    figure, axes = blank(5.6, 1.1 + 0.32 * len(augmentations))
    for row, one in enumerate(augmentations):
        marker, colour = _VERDICTS[one["verdict"]]
        low, high = one["interval"]
        axes.plot(
            [100 * low, 100 * high], [row, row], color=colour, linewidth=2, solid_capstyle="butt"
        )
        axes.plot(
            100 * one["drop"],
            row,
            marker,
            color=colour,
            markersize=7,
            linestyle="none",
            label=one["verdict"],
        )
    axes.axvline(0, color=INK, linewidth=0.8)
    names = [short(one["name"], 26) for one in augmentations]
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    label(axes, "accuracy lost, percentage points; whisker: 95% interval", "")
    handles, labels = axes.get_legend_handles_labels()
    of = dict(zip(labels, handles, strict=True))
    verdicts = [verdict for verdict in _VERDICTS if verdict in of]
    _legend_below(figure, [of[verdict] for verdict in verdicts], verdicts)
    return figure


def _legend_below(figure: "Figure", handles: Sequence[Any], labels: Sequence[str]) -> None:
    figure.legend(
        handles,
        labels,
        loc="outside lower left",
        ncols=3,
        frameon=False,
        fontsize=10,
        labelcolor=INK,
        handlelength=2.4,
    )
