"""Figures from the tables of a summary, as matplotlib figures; `drawing.svg` puts one on a page."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tinyscope.report.drawing import INK, blank, in_house_style, label, shortened
from tinyscope.report.whole_cost import whole_costs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito 2008: told apart with every common colour blindness; line styles do it in print.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
STYLES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (7, 2, 1.5, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
DURATIONS = [
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30),
    *(60 * n for n in (1, 2, 5, 10, 20, 30)),
    *(3600 * n for n in (1, 2, 5, 10, 20, 50, 100)),
]  # seconds at which the time axis may have a mark

_LEARNT = {"train": "training", "val": "validation"}


@in_house_style
def training_curves(
    runs: Sequence[Mapping[str, Any]],
    quantity: str,
    published: Sequence[Mapping[str, Any]] = (),
) -> "Figure":
    """How training went, epoch by epoch: the lowest seed in full lines, other seeds faint.

    Beside published curves, which are dashed, the measured ones are solid, and those of validation
    have dots.

    Args:
        runs: the "runs" of one variation, each with its "history".
        quantity: "loss" (nats) or "accuracy".
        published: rows of `plan.published_figures.PublishedFigures.curves`; none are drawn where
            the quantity is missing from all of them.
    """
    figure, axes = blank(4.6, 3.1)
    for place in reversed(range(len(runs))):
        history = runs[place]["history"]
        epochs = [row["epoch"] for row in history]
        for colour, (key, name) in enumerate(_LEARNT.items()):
            values = [row[f"{key}_{quantity}"] for row in history]
            if all(value is None for value in values):
                continue
            axes.plot(
                epochs,
                _gapped(values),
                color=COLOURS[colour],
                linestyle=STYLES[0 if published else colour],
                linewidth=1.9 if place == 0 else 0.9,
                alpha=1 if place == 0 else 0.4,
                marker="o" if len(epochs) == 1 or (published and colour and not place) else None,
                markersize=3 if published else None,
                label=(f"{name}, measured" if published else name) if place == 0 else None,
            )
    for colour, (key, name) in enumerate(_LEARNT.items()):
        column = quantity if key == "train" else f"val_{quantity}"
        rows = [row for row in published if row[column] is not None]
        if rows:
            axes.plot(
                [row["epoch"] for row in rows],
                [row[column] for row in rows],
                color=COLOURS[colour],
                linestyle=STYLES[1],
                linewidth=1.5,
                marker="o" if colour or len(rows) == 1 else None,
                markersize=3,
                label=f"{name}, published",
            )
    best = runs[0]["best_epoch"]
    if best is not None and best != runs[0]["epochs_run"]:
        axes.axvline(
            best, color=INK, linewidth=0.8, linestyle=STYLES[2], label="lowest validation loss"
        )
    label(axes, "epoch", "loss, nats" if quantity == "loss" else "accuracy")
    _whole_epochs(axes)
    if quantity == "accuracy":
        _percent(axes.yaxis)
    if published:
        _legend_below(figure, axes, columns=2)
    else:
        _legend(axes)
    return figure


@in_house_style
def model_curves(
    variations: Sequence[Mapping[str, Any]], against: str, places: Sequence[int] | None = None
) -> "Figure":
    """Validation accuracy of every model on one plot (the lowest seed of each).

    Without validation images it is training accuracy, and the axis says so. The seconds of a model
    that goes on from another begin where that one's ended; its epochs begin anew.

    Args:
        variations: the "variations" of a summary.
        against: "epoch", or "seconds" of training.
        places: of the variations that have a curve; None for all.
    """
    figure, axes = blank(4.6, 3.1)
    key = "val_accuracy" if variations[0]["validation"] else "train_accuracy"
    costs, names = whole_costs(variations), _names(variations)
    for place in range(len(variations)) if places is None else places:
        variation = variations[place]
        history = variation["runs"][0]["history"]
        seconds, clock = [], costs[variation["name"]].seconds_before
        for row in history:
            clock += row["seconds"]
            seconds.append(clock)
        axes.plot(
            seconds if against == "seconds" else [row["epoch"] for row in history],
            _gapped([row[key] for row in history]),
            markevery=max(1, len(history) // 8),
            **_series(place),
            label=names[place],
        )
    label(
        axes,
        "seconds of training" if against == "seconds" else "epoch",
        "validation accuracy" if key == "val_accuracy" else "training accuracy",
    )
    if against == "epoch":
        _whole_epochs(axes)
    _percent(axes.yaxis)
    _legend_below(figure, axes)
    return figure


@in_house_style
def accuracies(variations: Sequence[Mapping[str, Any]]) -> "Figure":
    """Test accuracy of every model: dot and 95% whisker of the lowest seed, other seeds as ticks.

    An open diamond is a published figure.
    """
    figure, axes = blank(5.6, 1.05 + 0.42 * len(variations))
    for row, variation in enumerate(variations):
        test = variation["test"]
        low, high = test["image_interval"]
        colour = COLOURS[0]
        axes.plot([low, high], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot(
            test["lowest_seed_accuracy"], row, "o", color=colour, markersize=7, label="lowest seed"
        )
        others = [run["test_accuracy"] for run in variation["runs"][1:]]
        axes.plot(
            others,
            [row + 0.24] * len(others),
            "|",
            color=INK,
            markersize=6,
            markeredgewidth=1.2,
            label="other seeds",
        )
        published = (variation["published"] or {"figures": {}})["figures"].get("test_accuracy")
        if published is not None:
            axes.plot(
                published,
                row,
                "D",
                markerfacecolor="none",
                markeredgecolor=COLOURS[1],
                markersize=7,
                markeredgewidth=1.6,
                label="published",
            )
    names = _names(variations)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.06)
    label(axes, "test accuracy; whisker: 95% interval over images", "")
    _percent(axes.xaxis)
    shown = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    if not any(len(variation["runs"]) > 1 for variation in variations):
        del shown["other seeds"]
    _legend_below(figure, axes, list(shown.values()), list(shown))
    return figure


@in_house_style
def accuracy_against_cost(variations: Sequence[Mapping[str, Any]]) -> "Figure":
    """Mean test accuracy of every model against its mean training seconds (logarithmic).

    Those of the trainings that a model goes on from are counted in.
    """
    figure, axes = blank(4.6, 3.1)
    costs, names, spent = whole_costs(variations), _names(variations), []
    for place, variation in enumerate(variations):
        if not variation["train_seconds"]:  # it diverged before an epoch was over
            continue
        series = _series(place) | {"linestyle": "none", "markersize": 8}
        spent.append(costs[variation["name"]].seconds)
        axes.plot(
            spent[-1],
            variation["test"]["accuracy"],
            **series,
            label=names[place],
        )
    seconds = spent or [1.0]
    axes.set_xscale("log")
    axes.set_xlim(min(seconds) / 1.5, max(seconds) * 1.5)
    shown = [value for value in DURATIONS if min(seconds) / 1.5 <= value <= max(seconds) * 1.5]
    shown = shown[:: -(-len(shown) // 6)] if len(shown) > 1 else sorted(set(seconds))[:2]
    axes.set_xticks(shown, [_duration(value) for value in shown])
    axes.set_xticks([], minor=True)
    axes.margins(y=0.15)
    means = ", mean over seeds" if any(len(one["runs"]) > 1 for one in variations) else ""
    label(axes, f"training{means}", f"test accuracy{means}")
    _percent(axes.yaxis)
    _legend_below(figure, axes)
    return figure


def _names(variations: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the models are called in every figure."""
    return shortened([variation["name"] for variation in variations], 26)


def _gapped(values: Sequence[float | None]) -> list[float]:
    """Values to draw; a training that diverged has none for an epoch, and the line a gap."""
    return [float("nan") if value is None else value for value in values]


def _whole_epochs(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _percent(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def _series(place: int) -> dict[str, Any]:
    """Colour, line and marker of the n-th model, the same in every figure."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": STYLES[place // len(COLOURS) % len(STYLES)],
        "marker": MARKERS[place % len(MARKERS)],
        "linewidth": 1.7,
        "markersize": 5.5,
    }


def _legend(axes: "Axes", **more: Any) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=10, labelcolor=INK, handlelength=2.4, **more)


def _legend_below(
    figure: "Figure",
    axes: "Axes",
    handles: Sequence[Any] = (),
    labels: Sequence[str] = (),
    columns: int | None = None,
) -> None:
    """A legend under the axes, with room added for its rows."""
    if not labels:
        handles, labels = axes.get_legend_handles_labels()
    if not labels:  # a model that diverged in its first epoch has no curve
        return
    if columns is None:
        narrow = max(map(len, labels)) > 14 and figure.get_figwidth() < 6
        columns = 1 if narrow else min(3, len(labels))
    rows = -(-len(labels) // columns)
    figure.set_figheight(figure.get_figheight() + 0.22 * rows)
    legend = figure.legend(
        handles,
        labels,
        loc="outside lower left",
        ncols=columns,
        frameon=False,
        fontsize=10,
        labelcolor=INK,
        handlelength=2.4,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
