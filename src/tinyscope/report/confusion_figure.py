"""The confusion matrix as a figure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tinyscope.report.drawing import INK, blank, in_house_style, label, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEAT = "#1b5e9e"
TEXT_CELLS = 20  # classes up to which a confusion matrix has counts in its cells


@in_house_style
def confusion(
    matrix: Sequence[Sequence[int]], class_names: Sequence[str], *, halved: bool = False
) -> "Figure":
    """Images by true class (rows) and predicted class (columns); a cell's depth is its row's share.

    Up to 20 classes every cell bears its count; above that, shades only.

    Args:
        matrix: counts, K x K.
        class_names: K names.
        halved: whether it is drawn for half of the page's width, beside another one.
    """
    import numpy as np
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle

    counts = np.asarray(matrix)
    classes = len(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    depths = np.sqrt(shares)  # a linear scale hides mistakes of a few per cent
    side = min(4.9 if halved else 7.2, 2.2 + 0.5 * classes)
    figure, axes = blank(side, side)
    axes.grid(visible=False)
    axes.set_aspect("equal")
    if classes <= TEXT_CELLS:
        size = (10 if classes <= 10 else 7.5) * (0.8 if halved else 1)
        for true, called in np.argwhere(counts > 0):
            depth = float(depths[true, called])
            axes.add_patch(
                Rectangle(
                    (called - 0.47, true - 0.47),
                    0.94,
                    0.94,
                    linewidth=0,
                    facecolor=HEAT,
                    alpha=round(depth, 2),
                )
            )
            axes.text(
                called,
                true,
                f"{counts[true, called]}",
                ha="center",
                va="center",
                fontsize=size,
                color="white" if depth > 0.65 else INK,
                weight="bold" if true == called else None,
            )
        names = [short(name, 14) for name in class_names]
        axes.set_xticks(
            range(classes), names, rotation=45, ha="right", rotation_mode="anchor", parse_math=False
        )
        axes.set_yticks(range(classes), names, parse_math=False)
    else:
        shades = np.empty((classes, classes, 4))
        shades[:] = to_rgba(HEAT)
        shades[..., 3] = depths
        axes.imshow(shades, interpolation="none", aspect="equal")
        places = range(0, classes, 10)
        axes.set_xticks(places, [str(place + 1) for place in places])
        axes.set_yticks(places, [str(place + 1) for place in places])
    axes.set_xlim(-0.5, classes - 0.5)
    axes.set_ylim(classes - 0.5, -0.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    what = "class" if classes <= TEXT_CELLS else "class, by its number in the table"
    label(axes, f"predicted {what}", f"true {what}")
    return figure
