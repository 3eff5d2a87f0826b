"""Whether a mean accuracy can be told from a published figure, or from that of another model."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tinyscope.evaluation.intervals import wilson

Position = Literal["above", "below", "level"]


def spans(block: Mapping[str, Any]) -> list[Sequence[float]]:
    """The 95% intervals of a split's mean accuracy: over images, and over seeds if there is one.

    Args:
        block: "test" or "validation" of a variation of a summary.
    """
    if block["seed_interval"] is None:
        return [block["image_interval"]]
    # Means of several seeds vary less with the images than a single one, so this is wide enough.
    images = block["images"]
    return [wilson(round(block["accuracy"] * images), images), block["seed_interval"]]


def position(block: Mapping[str, Any], others: Sequence[Sequence[float]]) -> Position:
    """Where a mean accuracy lies: above or below all others, or level, where an interval holds one.

    Args:
        block: as of `spans`.
        others: pairs of a low and a high end, such as the `spans` of another; of a figure without
            an interval both are the figure.
    """
    ours = spans(block)
    if min(low for low, _ in ours) > max(high for _, high in others):
        return "above"
    if max(high for _, high in ours) < min(low for low, _ in others):
        return "below"
    return "level"
