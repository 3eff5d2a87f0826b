"""Beginnings: the network that a recipe's training begins with, a backbone's weights included."""

import hashlib
import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tinyscope.data.dataset import Preprocessing, Splits
from tinyscope.data.normalization import channel_statistics
from tinyscope.errors import InputError, StorageError
from tinyscope.features.weights import load_backbone, weights_digest
from tinyscope.files import path_of
from tinyscope.models import zoo
from tinyscope.models.backbones import BACKBONES, TIMM, Backbone
from tinyscope.models.description import cut
from tinyscope.models.generator import borrowed_generator
from tinyscope.models.initializers import initialize
from tinyscope.models.layer_stack import FeatureHead
from tinyscope.models.pixel_input import PixelInput
from tinyscope.models.transfer import TransferNetwork
from tinyscope.models.views import ManyViews
from tinyscope.plan.recipe import Recipe
from tinyscope.runs.run import Run
from tinyscope.shipping.classifier import load_classifier
from tinyscope.training.untrained import refuse_unfit, untrained


@dataclass(frozen=True)
class Beginning:
    """What the trainings of a recipe on a data set begin with.

    Its `network` comes from torch's global generator as far as it is not taken over.
    """

    data: Splits
    recipe: Recipe
    backbone: Backbone | None = None
    digest: str = ""
    """Of the weights that are taken over, from a backbone or another run; empty for none."""
    description: Mapping[str, Any] = field(default_factory=dict)
    """What `models.description` needs of a transfer, beside the recipe's own keys."""
    parent: Path | None = None
    """The folder of the run whose weights are taken over whole."""

    @property
    def frozen(self) -> bool:
        """Whether images pass a backbone that is not trained, so that features can be kept."""
        return self.backbone is not None and not self.recipe.unfrozen_blocks

    def network(self) -> tuple[PixelInput, Tensor]:
        """The network, and the mean colour (C,) of the training images.

        Raises:
            InputError: there is no such model, or it does not fit the images or the recipe's sizes
                of batches and images.
            StorageError: the weights of the other run cannot be read.
        """
        if self.backbone is None:
            wrapped, mean = untrained(self.data, self.recipe)
        else:
            wrapped, mean = self._transfer(), self._mean_colour()
            refuse_unfit(wrapped, self.recipe, self.data.train.preprocessing)
        if self.parent is not None:
            _take_over(wrapped, self.parent)
        return wrapped, mean

    def head(self) -> nn.Module:
        """The head of `network`, without its backbone; the same draws give the same weights.

        Raises:
            StorageError: the weights of the other run cannot be read.
        """
        head = self._new_head()
        if self.parent is not None:
            _take_over(head, self.parent, part="network.head.")
        return head

    def going_on_from(self, run: Run) -> "Beginning":
        """The same, with the weights that a run ends with; the run need not be finished yet."""
        told = hashlib.sha256(f"{self.digest} {run.identity}".encode()).hexdigest()[:16]
        return replace(self, digest=told, parent=run.folder)

    def _transfer(self) -> PixelInput:
        backbone = self.backbone
        assert backbone is not None
        network = TransferNetwork(
            deepcopy(backbone.network),
            self._new_head(),
            size=self.recipe.backbone_size,
            pooling=self.recipe.pooling,
        )
        network.freeze(backbone.blocks, unfrozen=self.recipe.unfrozen_blocks)
        wrapped = PixelInput(network, mean=backbone.mean, deviation=backbone.deviation)
        return wrapped.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def _new_head(self) -> nn.Module:
        if self.recipe.classifier != "dense":
            return nn.Identity()
        head = FeatureHead(
            self.recipe.head,
            features=self.description["features"],
            classes=len(self.data.train.class_names),
        )
        initialize(head, self.recipe.initializer)
        return head

    def _mean_colour(self) -> Tensor:
        return torch.from_numpy(channel_statistics(self.data.train.images)[0]).float()


_Backbone = tuple[Backbone, dict[str, Any], str]
"""A backbone with its weights, how it is described, and a digest of all of it."""

Backbones = dict[tuple[str, str, str], _Backbone]
"""Backbones that were read, by name, weights and layer."""


def beginning(recipe: Recipe, data: Splits, known: Backbones | None = None) -> Beginning:
    """What the trainings of a recipe on a data set begin with; torch's generators stay as they are.

    Args:
        recipe: its model, and what shapes it, are read.
        data: the training images.
        known: backbones that need not be read again; takes the one that is read. Variations that
            share it hold it once in memory.

    Raises:
        InputError: there is no such model or backbone, or it does not fit the images.
        StorageError: the backbone's weights cannot be read.
    """
    if recipe.model != zoo.TRANSFER:
        return Beginning(data, recipe)
    known = {} if known is None else known
    asked = recipe.backbone, recipe.backbone_weights, recipe.backbone_layer
    if asked not in known:
        with borrowed_generator(torch.device("cpu")):  # weights are drawn before they are read
            known[asked] = _backbone(*asked)
    backbone, origin, digest = known[asked]
    shape = data.train.preprocessing
    side = recipe.backbone_size or min(shape.height, shape.width)
    if side < backbone.smallest:
        raise InputError(
            f"Backbone {backbone.name} at layer {backbone.layer} takes images of "
            f"{backbone.smallest} pixels a side or more; these are {shape.width}x{shape.height}. "
            f"Set backbone_size = {backbone.smallest} or more, or another backbone_layer."
        )
    if shape.channels == 3 and len(backbone.mean) == 1:
        raise InputError(f"Backbone {backbone.name} takes grey images; these have 3 channels.")
    described = {"backbone": origin, "features": _features(backbone, recipe, shape)}
    return Beginning(data, recipe, backbone, digest, described)


def _features(backbone: Backbone, recipe: Recipe, shape: Preprocessing) -> int:
    """How many features an image has."""
    probe = TransferNetwork(
        backbone.network, nn.Identity(), size=recipe.backbone_size, pooling=recipe.pooling
    )
    with torch.inference_mode():
        empty = torch.zeros(1, len(backbone.mean), shape.height, shape.width)
        try:
            return int(probe.eval().features(empty).shape[1])
        except RuntimeError:
            raise InputError(
                f"Backbone {backbone.name} at layer {backbone.layer} does not take images of "
                f"{shape.width}x{shape.height}. Set backbone_size to the side that it was trained "
                "with."
            ) from None


def _backbone(name: str, weights: str, layer: str) -> _Backbone:
    """Reads a backbone; a name comes first: "./vgg16" is a folder called so."""
    folder = path_of(name)
    if name in BACKBONES or name.startswith(TIMM) or not os.path.isdir(folder):
        backbone, digest = load_backbone(name, weights=weights, layer=layer)
        return backbone, {"name": backbone.name, "layer": backbone.layer}, digest
    if weights:
        raise InputError(
            f'backbone_weights = "{weights}" does not go with the backbone {name}, a folder that '
            "holds its own."
        )
    classifier = load_classifier(folder)
    wrapped = classifier.network
    if isinstance(wrapped, ManyViews):
        wrapped = wrapped.network
    assert isinstance(wrapped, PixelInput)
    backbone = cut(wrapped, classifier.description, name=folder.name, layer=layer)
    described = {
        "name": backbone.name,
        "layer": backbone.layer,
        "network": dict(classifier.description),
        "mean": list(backbone.mean),
        "deviation": list(backbone.deviation),
    }
    return backbone, described, weights_digest(backbone.network)


def _take_over(network: nn.Module, folder: Path, *, part: str = "") -> None:
    """Gives the network the weights that a run ended with; the study has checked that they fit.

    Args:
        network: the whole one, or a part of it.
        folder: of the run.
        part: what the names of the part's weights begin with.
    """
    try:
        weights = load_file(folder / "weights.safetensors")
        mine = {name[len(part) :]: each for name, each in weights.items() if name.startswith(part)}
        network.load_state_dict(mine)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StorageError(f"{folder}: its weights cannot be taken over: {reason}.") from None
