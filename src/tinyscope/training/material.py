"""Material: what a training learns from, and the network that it begins with."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from tinyscope.data.batches import Batches, Source
from tinyscope.data.dataset import Splits
from tinyscope.plan.recipe import Recipe
from tinyscope.training.untrained import untrained

Begin = Callable[[Recipe], tuple[nn.Module, Tensor]]
"""Makes the network that a training begins with, from torch's global generator, and the mean colour
(C,) that cut-out squares are filled with."""


@dataclass(frozen=True)
class Material:
    """What a training learns from, and the network that it begins with."""

    train: Source
    validation: Source | None
    shape: tuple[int, ...]
    """Of one example, as the network takes it: (H, W, C) for images, (F,) for features."""
    classes: int
    begin: Begin
    proxy: Begin | None = None
    """Makes the network of a proxy, untrained, by the proxy's recipe; None for features."""


def images_of(data: Splits, device: torch.device, *, begin: Begin | None = None) -> Material:
    """The training and validation images of a data set, on the device.

    Args:
        data: its test split is not looked at.
        device: where batches are to be; memory-mapped images stay on disk with a CPU.
        begin: an untrained network where it is None.
    """
    new = partial(untrained, data)
    return Material(
        Batches(data.train, device=device),
        None if data.validation is None else Batches(data.validation, device=device),
        tuple(data.train.preprocessing),
        len(data.train.class_names),
        begin or new,
        new,
    )
