"""The table of models: name, builder, what it is, the smallest image it takes."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from tinyscope.errors import InputError, unknown
from tinyscope.models import published
from tinyscope.models.initializers import initialize
from tinyscope.models.layer_stack import LayerStack
from tinyscope.models.resnet import ResNet
from tinyscope.models.whitened_cnn import WhitenedCNN


class Entry(NamedTuple):
    """A row of the table."""

    build: Callable[..., nn.Module]
    """Takes channels, classes, height and width by name."""
    summary: str
    smallest: int
    """Side in pixels of the smallest image that it takes."""
    shaped: bool = False
    """Whether `build` also takes the recipe's widths and depth; such a network makes its own
    initial weights."""


def _stack(*layers: str, **shape: int) -> nn.Module:
    return LayerStack(layers, **shape)


def _resnet(blocks: int, *, channels: int, classes: int, height: int, width: int) -> nn.Module:
    return ResNet(blocks, channels=channels, classes=classes)


def _compact(width: int) -> Callable[..., nn.Module]:
    """Five convolutions with batch norm, from `width` to 8 x `width` channels.

    The first one has stride 2: layers at full resolution take most of a CPU's time, in memory
    traffic rather than arithmetic, and bring little at 32x32.
    """
    return partial(
        _stack,
        f"conv {width} 3x3 stride 2 same batchnorm relu",
        f"conv {2 * width} 3x3 same batchnorm relu",
        "maxpool 2",
        f"conv {4 * width} 3x3 same batchnorm relu",
        f"conv {4 * width} 3x3 same batchnorm relu",
        "maxpool 2",
        f"conv {8 * width} 3x3 same batchnorm relu",
        "globalpool",
    )


def _whitened(
    folded: bool,
    *,
    widths: Sequence[int],
    depth: int,
    channels: int,
    classes: int,
    height: int,
    width: int,
) -> nn.Module:
    return WhitenedCNN(widths, depth=depth, folded=folded, channels=channels, classes=classes)


MODELS: dict[str, Entry] = {
    "whitened-cnn": Entry(
        partial(_whitened, False),
        "Jordan's network for short trainings, of any widths and depth",
        8,
        shaped=True,
    ),
    "whitened-cnn-folded": Entry(
        partial(_whitened, True),
        "the same, whitening folded into the first convolution: less work",
        8,
        shaped=True,
    ),
    "compact-cnn": Entry(_compact(24), "5 convolutions with batch norm, 24 to 192 wide", 7),
    "compact-cnn-wide": Entry(_compact(36), "the same, half as wide again", 7),
    "resnet-20": Entry(partial(_resnet, 3), "ResNet-20 of the CIFAR paper, He et al. 2015", 8),
    "kossowska-1": Entry(partial(_stack, *published.KOSSOWSKA_1), "Kossowska 2021, model 1", 13),
    "kossowska-2": Entry(partial(_stack, *published.KOSSOWSKA_2), "Kossowska 2021, model 2", 10),
    "kossowska-3": Entry(partial(_stack, *published.KOSSOWSKA_3), "Kossowska 2021, model 3", 2),
    "brittan-1": Entry(partial(_stack, *published.BRITTAN_1), "Brittan 2024, model 1", 2),
    "brittan-improved": Entry(
        partial(_stack, *published.BRITTAN_IMPROVED), "Brittan 2024, improved model", 8
    ),
    "brittan-v3": Entry(partial(_stack, *published.BRITTAN_V3), "Brittan 2024, model V3", 32),
    "brittan-final": Entry(
        partial(_stack, *published.BRITTAN_FINAL), "Brittan 2024, final model", 32
    ),
    "workshop-simple": Entry(
        partial(_stack, *published.WORKSHOP_SIMPLE), "Deep Learning Workshop, model 1", 8
    ),
    "workshop-deeper": Entry(
        partial(_stack, *published.WORKSHOP_DEEPER), "Deep Learning Workshop, model 2", 18
    ),
}

LAYER_STACK = "layer-stack"
"""The model whose layers the recipe itself lists."""

TRANSFER = "transfer"
"""The model that is a backbone with a classifier on top; `description.network_of` builds it."""

NAMES = (*MODELS, LAYER_STACK, TRANSFER)
"""Every name that a recipe's `model` may have."""


def build(
    model: str,
    *,
    layers: Sequence[str] = (),
    widths: Sequence[int] = (64, 256, 256),
    depth: int = 2,
    initializer: str = "he-normal",
    channels: int,
    classes: int,
    height: int,
    width: int,
) -> nn.Module:
    """A new network, channels-last, in training mode, with weights from torch's generator.

    Args:
        model: a name of this table, or "layer-stack" for `layers`.
        layers: lines of `layer_stack`, where `model` is "layer-stack".
        widths: of the groups of a whitened CNN.
        depth: of each of them.
        initializer: a name of `initializers.INITIALIZERS`; a whitened CNN does not read it.
        channels: 1 or 3.
        classes: outputs.
        height: of the images, in pixels.
        width: of the images, in pixels.

    Raises:
        InputError: there is no such model, a layer is wrong, or the images are too small for it.
    """
    shape = {"channels": channels, "classes": classes, "height": height, "width": width}
    if model == LAYER_STACK:
        network = _stack(*layers, **shape)
    elif model in MODELS:
        entry = MODELS[model]
        if min(height, width) < entry.smallest:
            raise InputError(
                f"Model {model} takes images of {entry.smallest} pixels a side or more; "
                f"these are {width}x{height}. A larger size can be set: --set size=32."
            )
        network = entry.build(
            **shape, **({"widths": widths, "depth": depth} if entry.shaped else {})
        )
    else:
        raise InputError(unknown("model", model, NAMES, see="tinyscope list models"))
    if model == LAYER_STACK or not MODELS[model].shaped:
        initialize(network, initializer)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
