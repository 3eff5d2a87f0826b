"""Test-time augmentation: several views of an image at prediction, mirrored and moved."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Look(NamedTuple):
    """One view of an image."""

    name: str
    """Tells it from the others."""
    weight: float
    """Of its logits in the mean."""
    change: Callable[[Tensor], Tensor]
    """Pixels (N, H, W, C) to those of the view."""


def _straight(pixels: Tensor) -> Tensor:
    return pixels


def _mirrored(pixels: Tensor) -> Tensor:
    return pixels.flip(2)


def _moved(by: int, *, mirrored: bool) -> Callable[[Tensor], Tensor]:
    """Moves pixels along both axes; what is uncovered is replaced by its reflection."""

    def change(pixels: Tensor) -> Tensor:
        for axis in (1, 2):
            length = pixels.shape[axis]
            places = torch.arange(length, device=pixels.device) - by
            inside = places.abs().clamp_max(length - 1)
            places = torch.where(places < length, inside, 2 * (length - 1) - places)
            pixels = pixels.index_select(axis, places.clamp_min(0))
        return pixels.flip(2) if mirrored else pixels

    return change


LOOKS: dict[str, tuple[Look, ...]] = {
    "one": (Look("as it is", 1, _straight),),
    "mirrored": (Look("as it is", 1 / 2, _straight), Look("mirrored", 1 / 2, _mirrored)),
    "mirrored-and-moved": (
        Look("as it is", 1 / 4, _straight),
        Look("mirrored", 1 / 4, _mirrored),
        Look("to the lower right", 1 / 8, _moved(1, mirrored=False)),
        Look("to the lower right, mirrored", 1 / 8, _moved(1, mirrored=True)),
        Look("to the upper left", 1 / 8, _moved(-1, mirrored=False)),
        Look("to the upper left, mirrored", 1 / 8, _moved(-1, mirrored=True)),
    ),
}
"""Each kind's views. "mirrored": the image and its mirror image. "mirrored-and-moved": these two
weigh one half; the image moved by a pixel to the lower right and to the upper left, each with its
mirror image, the other half (Jordan 2024, arXiv 2404.00498, section 3.5)."""

VIEWS = {kind: len(looks) for kind, looks in LOOKS.items()}
"""How many times each kind looks at an image."""


class ManyViews(nn.Module):
    """A network that looks at each image several times and averages its logits.

    Args:
        network: takes pixels (N, H, W, C), gives logits (N, K).
        views: a key of `LOOKS` but "one".
    """

    def __init__(self, network: nn.Module, views: str) -> None:
        super().__init__()
        self.network = network
        self.views = views

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, H, W, C) of 0 … 255 to logits (N, K)."""
        looks = LOOKS[self.views]
        weighted = [look.weight * self.network(look.change(pixels)) for look in looks]
        return torch.stack(weighted).sum(0)


def with_views(network: nn.Module, views: str) -> nn.Module:
    """The network, looking at each image as often as `views` (a key of `LOOKS`) says."""
    return network if VIEWS[views] == 1 else ManyViews(network, views)
