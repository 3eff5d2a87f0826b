"""Descriptions of networks: plain values from which a network of the same form is built again."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from tinyscope.errors import InputError
from tinyscope.models import zoo
from tinyscope.models.backbones import Backbone, build_backbone
from tinyscope.models.feature_tap import FeatureTap, drop_unused, tap_layers, unknown_layer
from tinyscope.models.layer_stack import FeatureHead
from tinyscope.models.pixel_input import PixelInput
from tinyscope.models.transfer import TransferNetwork
from tinyscope.models.whitened_cnn import EPSILON_BEFORE, WhitenedCNN

Description = Mapping[str, Any]
"""As JSON: "model", "layers", "widths" and "depth" as in a recipe; "epsilon" of a whitened CNN's
norms; "channels", "classes", "height" and "width" of its images; of a transfer also "backbone"
(name and layer, or the description of the network that was cut), "backbone_size", "pooling",
"head", "classifier" and "features"."""

_SHAPE = ("channels", "classes", "height", "width")
_TRANSFER = ("backbone", "backbone_size", "pooling", "head", "classifier", "features")
DESCRIBED = ("model", "layers", "widths", "depth", "epsilon", *_SHAPE, *_TRANSFER)
"""Every key that a description may have."""


def network_of(description: Description) -> nn.Module:
    """The network that is described, with random weights; float images in, logits out.

    The head of a transfer with a model of scikit-learn is left open: `nn.Identity`.

    Raises:
        InputError: it cannot be built, or needs an extra that is not installed.
        KeyError: something is missing in the description.
    """
    if description["model"] != zoo.TRANSFER:
        network = zoo.build(
            description["model"],
            layers=description["layers"],
            **{key: description[key] for key in ("widths", "depth") if key in description},
            initializer="torch",
            **{key: description[key] for key in _SHAPE},
        )
        if isinstance(network, WhitenedCNN):
            network.epsilon = description.get("epsilon", EPSILON_BEFORE)
        return network
    head: nn.Module = nn.Identity()
    if description["classifier"] == "dense":
        head = FeatureHead(
            description["head"],
            features=description["features"],
            classes=description["classes"],
        )
    return TransferNetwork(
        backbone_of(description["backbone"]).network,
        head,
        size=description["backbone_size"],
        pooling=description["pooling"],
    )


def backbone_of(description: Description) -> Backbone:
    """The backbone that is described, with random weights.

    Args:
        description: "name" and "layer"; "network" where it is one that was trained before, with
            "mean" and "deviation".

    Raises:
        InputError: there is no such backbone or layer, or it needs an extra.
    """
    if "network" not in description:
        return build_backbone(description["name"], description["layer"])
    shape = description["network"]
    network = network_of(shape)
    with torch.device("cpu"):  # numbers that are read, also where the network is but shapes
        wrapped = PixelInput(network, mean=description["mean"], deviation=description["deviation"])
    return cut(wrapped, shape, name=description["name"], layer=description["layer"])


def cut(wrapped: PixelInput, shape: Description, *, name: str, layer: str) -> Backbone:
    """A trained network as a backbone: up to one of its layers, with its own normalization.

    Args:
        wrapped: the network; it is cut in place.
        shape: its description, for the size and channels of its images.
        name: of the backbone, for messages.
        layer: where it is cut; "" is the layer before its classes.

    Raises:
        InputError: there is no such layer.
    """
    network = wrapped.network
    layers = tap_layers(network)
    chosen = layer or _before_classes(network)
    if chosen not in dict(network.named_modules()):
        raise InputError(unknown_layer(chosen, layers))
    tap = FeatureTap(network, chosen).eval()
    drop_unused(tap, torch.zeros(1, len(wrapped.mean), shape["height"], shape["width"]))
    kept = {name.removeprefix("network.") for name, _ in tap.named_parameters()}
    blocks = [
        inner
        for inner in layers
        if any(name.startswith(f"{inner}.") for name in kept)
        and not any(other.startswith(f"{inner}.") for other in layers)
    ]
    return Backbone(
        name=name,
        layer=chosen,
        layers=layers,
        network=tap.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        mean=tuple(wrapped.mean.tolist()),
        deviation=tuple((1 / wrapped.scale).tolist()),
        smallest=_smallest(shape),
        blocks=tuple((f"network.{block}",) for block in blocks),
        stored={},
    )


def _before_classes(network: nn.Module) -> str:
    """The name of the layer before the classes, which may be one of a head of several layers."""
    *_, (before, _), (last, head) = network.named_children()
    if isinstance(head, FeatureHead) and len(head) > 1:
        return f"{last}.{len(head) - 2}"
    return before


def _smallest(description: Description) -> int:
    """The side in pixels below which a network does not go."""
    if description["model"] in zoo.MODELS:
        return zoo.MODELS[description["model"]].smallest
    if description["model"] == zoo.TRANSFER and description["backbone_size"] is not None:
        return 1
    return min(description["height"], description["width"])
