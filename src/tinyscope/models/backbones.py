"""The table of backbones: networks whose layers are good features of images they never saw."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import torch
from torch import nn

from tinyscope.errors import InputError, nearest
from tinyscope.models import vgg
from tinyscope.models.feature_tap import FeatureTap, drop_unused, unknown_layer
from tinyscope.models.initializers import initialize
from tinyscope.models.timm_network import POOLED, TimmNetwork
from tinyscope.models.whitened_cnn import EPSILON_BEFORE, Levels, WhitenedCNN

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_DEVIATION = (58.395, 57.12, 57.375)
"""0.485, 0.456, 0.406 and 0.229, 0.224, 0.225 of 255: what torchvision's weights, and most others,
were trained with."""


class Stored(NamedTuple):
    """What a file of weights may hold under one name."""

    name: str
    """Of the tensor in the network; "" where the layer needs none."""
    shape: tuple[int, ...]
    """In the file; its values lie in the network's order, whatever the shape is there."""


@dataclass(frozen=True)
class Backbone:
    """A network cut at one of its layers, and what must be known to use it."""

    name: str
    """"vgg16", "timm:resnet50" ..."""
    layer: str
    """Where it is cut."""
    layers: tuple[str, ...]
    """Where it can be cut, from input to output."""
    network: nn.Module
    """Normalized float32 (N, 3, H, W) to maps (N, F, h, w) or vectors (N, F); in evaluation mode,
    channels-last, without the parameters that the layer does not need."""
    mean: tuple[float, ...]
    """Of each channel, 0 to 255, by which images are normalized, as they were for its weights."""
    deviation: tuple[float, ...]
    """Likewise."""
    smallest: int
    """Side in pixels of the smallest image that the layer takes."""
    blocks: tuple[tuple[str, ...], ...]
    """Names of modules, or of single parameters, block by block from input to output; each
    parameter of the network lies in exactly one block."""
    stored: Mapping[str, Stored] = field(repr=False)
    """Every name that a file of the whole network's weights may hold."""


class Architecture(NamedTuple):
    """A row of the table."""

    build: Callable[[str], Backbone]
    """From a layer to the backbone, with random weights."""
    layer: str
    """Where it is cut when nothing is said."""
    summary: str


def _vgg16(layer: str) -> Backbone:
    if layer not in vgg.LAYERS:
        raise InputError(unknown_layer(layer, vgg.LAYERS))
    network = vgg.VGG16(layer)
    initialize(network, "he-normal")
    return Backbone(
        name="vgg16",
        layer=layer,
        layers=vgg.LAYERS,
        network=network,
        mean=IMAGENET_MEAN,
        deviation=IMAGENET_DEVIATION,
        smallest=vgg.smallest_image(layer),
        blocks=vgg.parameter_blocks(layer),
        stored=_stored_vgg16(network),
    )


def _stored_vgg16(network: nn.Module) -> dict[str, Stored]:
    used = set(network.state_dict())
    shapes = {name: (name, shape) for name, shape in _vgg16_shapes().items()} | vgg.TIMM_NAMES
    return {
        name: Stored(target if target in used else "", shape)
        for name, (target, shape) in shapes.items()
    }


@cache
def _vgg16_shapes() -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):  # shapes without half a gigabyte of numbers
        state = vgg.VGG16().state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _timm(name: str, layer: str) -> Backbone:
    network = TimmNetwork(name, layer)
    used = {key.removeprefix("network.") for key in network.state_dict()}
    return Backbone(
        name=TIMM + name,
        layer=layer,
        layers=network.layers,
        network=network,
        mean=tuple(255 * value for value in network.settings["mean"]),
        deviation=tuple(255 * value for value in network.settings["std"]),
        smallest=network.smallest,
        blocks=network.blocks(),
        stored={
            key: Stored(f"network.{key}" if key in used else "", shape)
            for key, shape in network.shapes.items()
        },
    )


CIFAR100_WIDTHS, CIFAR100_DEPTH = (64, 256, 304), 3
CIFAR100_MEAN = (129.304, 124.070, 112.434)
CIFAR100_DEVIATION = (68.170, 65.392, 70.418)
"""Of CIFAR-100's 50,000 training images."""
LEVELS = "levels"
_CIFAR100_LAYERS = (*(f"groups.{place}" for place in range(len(CIFAR100_WIDTHS))), LEVELS)


def _cifar100(layer: str) -> Backbone:
    if layer not in _CIFAR100_LAYERS:
        raise InputError(unknown_layer(layer, _CIFAR100_LAYERS))
    whole = WhitenedCNN(CIFAR100_WIDTHS, depth=CIFAR100_DEPTH, channels=3, classes=100)
    whole.epsilon = EPSILON_BEFORE  # the one that its file was trained with
    shapes = {
        name: tuple(each.shape)
        for name, each in whole.state_dict().items()
        if not name.startswith("head.")
    }
    network = Levels(whole) if layer == LEVELS else FeatureTap(whole, layer)
    network.eval()
    drop_unused(network, torch.zeros(1, 3, 8, 8))
    used = {key.removeprefix("network.") for key in network.state_dict()}
    blocks = ["whitening", *_CIFAR100_LAYERS[:-1]]
    return Backbone(
        name="cifar100-backbone",
        layer=layer,
        layers=_CIFAR100_LAYERS,
        network=network,
        mean=CIFAR100_MEAN,
        deviation=CIFAR100_DEVIATION,
        smallest=8,
        blocks=tuple(
            (f"network.{block}",)
            for block in blocks
            if any(name.startswith(f"{block}.") for name in used)
        ),
        stored={
            name: Stored(f"network.{name}" if name in used else "", shape)
            for name, shape in shapes.items()
        },
    )


BACKBONES: dict[str, Architecture] = {
    "cifar100-backbone": Architecture(
        _cifar100,
        LEVELS,
        "comes along: a whitened CNN trained on CIFAR-100, 3.8 million parameters",
    ),
    "vgg16": Architecture(
        _vgg16, "block5", "VGG16, Simonyan and Zisserman 2014: ImageNet, 138 million parameters"
    ),
}
"""The backbones that need no further package."""

TIMM = "timm:"
"""Before the name of a network of the timm package."""


def build_backbone(name: str, layer: str = "") -> Backbone:
    """A backbone with random weights.

    Args:
        name: of the table, or "timm:NAME" for any network of the timm package.
        layer: where it is cut; "" is its default: `block5` of vgg16, `pooled` of timm's.

    Raises:
        InputError: there is no such backbone or layer, or timm is not installed.
    """
    if name.startswith(TIMM):
        backbone = _timm(name.removeprefix(TIMM), layer or POOLED)
    elif name in BACKBONES:
        row = BACKBONES[name]
        backbone = row.build(layer or row.layer)
    else:
        guess = nearest(name, BACKBONES)
        hint = f'Did you mean "{guess}"? ' if guess else ""
        raise InputError(
            f'Unknown backbone "{name}". {hint}Expected one of: {", ".join(BACKBONES)}, timm:NAME.'
        )
    backbone.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    backbone.network.eval()
    return backbone
