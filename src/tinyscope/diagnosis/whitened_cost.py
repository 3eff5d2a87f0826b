"""What the training of a whitened CNN will cost, from its recipe alone.

`training.cost` counts what a network that was built has to multiply, and needs torch; a report has
neither. Here the same is summed from widths, depth and sizes, before anything is built.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import ceil
from typing import Any

_PATCH = 2  # side in pixels of the patches that are whitened
_STEPS_BETWEEN = 4  # after which a proxy learns again
_SMALLEST = 3  # side in pixels that training shrinks an image to, at most


def training_flop(
    recipe: Mapping[str, Any], *, shape: Sequence[int], classes: int, images: int
) -> float:
    """FLOP of a whole training, within a percent of what `training.cost.training_flop` will count.

    Batches are taken as equally large, and a proxy as taught at each size as often as at others.

    Args:
        recipe: all its keys; the model is one of `recipe_book.WHITENED`.
        shape: (H, W, C) of the images.
        classes: outputs.
        images: in the training split.
    """
    steps = recipe["epochs"] * ceil(images / recipe["batch_size"])
    seen = recipe["epochs"] * images
    batch = seen / steps
    learnt = seen * min(1.0, max(2.0, batch * recipe["hardest_share"]) / batch)
    own = {
        "widths": recipe["widths"],
        "depth": recipe["depth"],
        "folded": recipe["model"] == "whitened-cnn-folded",
        "channels": shape[2],
        "classes": classes,
    }
    # As `training.proxy` builds it.
    proxy = {**own, "widths": recipe["proxy_widths"], "depth": 2, "folded": False}
    chosen, taught = recipe["hardest_share"] < 1, ceil(steps / _STEPS_BETWEEN)
    flop = 0.0
    for size, part in _sizes(recipe["training_sizes"], steps):
        flop += part * learnt * sum(_of_image(seen_sides(shape, size), **own))
        if chosen:
            sides = seen_sides(shape, min(size, recipe["proxy_size"]))
            forward, backward = _of_image(sides, **proxy)
            flop += part * (seen * forward + taught / steps * learnt * (forward + backward))
    if recipe["optimizer"] == "muon":
        flop += steps * _turning(**own)
    return flop + chosen * taught * _turning(**proxy)


def seen_sides(shape: Sequence[int], share: float) -> tuple[int, int]:
    """Height and width of images (H, W, ...) as training sees them at a share of their side."""
    height, width = (min(side, max(_SMALLEST, round(share * side))) for side in shape[:2])
    return height, width


def _sizes(shares: Sequence[float], steps: int) -> Iterator[tuple[float, float]]:
    """Shares of the images' side, each with the part of the steps that see them so."""
    stages = len(shares) or 1
    for stage, share in enumerate(shares or [1.0]):
        first, after = (ceil(each * steps / stages) for each in (stage, stage + 1))
        yield share, (after - first) / steps


def _of_image(
    sides: tuple[int, int],
    *,
    widths: Sequence[int],
    depth: int,
    folded: bool,
    channels: int,
    classes: int,
) -> tuple[float, float]:
    """FLOP forward and backward for an image; the gradient ends at the first trained kernel."""
    directions = channels * _PATCH**2
    height, width = (side - _PATCH + 1 for side in sides)
    forward = backward = 0.0
    if not folded:
        forward += 2 * height * width * 2 * directions * directions
    before = 0
    for place, maps in enumerate(widths):
        pooled = min(height, width) > 1
        kernel = 9 * (before or 2 * directions)
        if folded and place == 0:
            kernel = channels * (_PATCH + 2) ** 2
        # What a 2x2 pool would leave out is not computed.
        high, wide = (side - side % 2 if pooled else side for side in (height, width))
        first = 2 * high * wide * maps * kernel
        if pooled:
            height, width = height // 2, width // 2
        others = (depth - 1) * 2 * height * width * maps * 9 * maps
        forward += first + others
        backward += (first if place == 0 else 2 * first) + 2 * others
        before = maps
    head = 2 * before * classes
    return forward + head, backward + 2 * head


def _turning(
    *, widths: Sequence[int], depth: int, folded: bool, channels: int, classes: int
) -> float:
    """FLOP of Muon's step: those of `training.muon.flop` for every kernel."""
    flop = 0.0
    for outputs, inputs in _kernels(widths, depth, (1 if folded else 2) * channels * _PATCH**2):
        small, large = sorted((outputs, 9 * inputs))
        flop += 2 * small * small * (2 * large + 9 * small)
    return flop


def _kernels(widths: Sequence[int], depth: int, first: int) -> Iterator[tuple[int, int]]:
    """Outputs and inputs of every 3x3 kernel."""
    for before, width in pairwise((first, *widths)):
        yield width, before
        yield from [(width, width)] * (depth - 1)
