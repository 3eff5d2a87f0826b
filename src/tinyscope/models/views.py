"""Test-time augmentation: several views of an image at prediction, mirrored and moved."""

import torch
from torch import Tensor, nn


class ManyViews(nn.Module):
    """A network that looks at each image several times and averages its logits.

    "mirrored": the image and its mirror image. "mirrored-and-moved": these two weigh one half; the
    image moved by a pixel to the lower right and to the upper left, each with its mirror image, the
    other half (Jordan 2024, arXiv 2404.00498, section 3.5). What a move uncovers is reflected.

    Args:
        network: takes pixels (N, H, W, C), gives logits (N, K).
        views: a key of `VIEWS` but "one".
    """

    def __init__(self, network: nn.Module, views: str) -> None:
        super().__init__()
        self.network = network
        self.views = views

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, H, W, C) of 0 … 255 to logits (N, K)."""
        straight = self._both_sides(pixels)
        if self.views == "mirrored":
            return straight
        down, up = (self._both_sides(_moved(pixels, by)) for by in (1, -1))
        return straight / 2 + (down + up) / 4

    def _both_sides(self, pixels: Tensor) -> Tensor:
        logits: Tensor = (self.network(pixels) + self.network(pixels.flip(2))) / 2
        return logits


VIEWS = {"one": 1, "mirrored": 2, "mirrored-and-moved": 6}
"""How many times each kind looks at an image."""


def with_views(network: nn.Module, views: str) -> nn.Module:
    """The network, looking at each image as often as `views` (a key of `VIEWS`) says."""
    return network if VIEWS[views] == 1 else ManyViews(network, views)


def _moved(pixels: Tensor, by: int) -> Tensor:
    """Pixels moved along both axes; the first row (or last) is replaced by its reflection."""
    for axis in (1, 2):
        length = pixels.shape[axis]
        places = torch.arange(length, device=pixels.device) - by
        inside = places.abs().clamp_max(length - 1)
        places = torch.where(places < length, inside, 2 * (length - 1) - places)
        pixels = pixels.index_select(axis, places.clamp_min(0))
    return pixels
