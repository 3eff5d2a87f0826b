"""PixelInput: a network that takes pixels as they are stored and normalizes them itself."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PixelInput(nn.Module):
    """A network with its normalization in front, so that nobody can use it with another one.

    Args:
        network: float (N, C, H, W) in, logits (N, K) out.
        mean: of each channel, in 0 … 255.
        deviation: of each channel, above 0.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self, network: nn.Module, *, mean: Sequence[float], deviation: Sequence[float]
    ) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", 1 / torch.tensor(deviation, dtype=torch.float32))

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, H, W, C) of 0 … 255, uint8 or float, to logits (N, K)."""
        return self.network(self.normalized(pixels))

    def normalized(self, pixels: Tensor) -> Tensor:
        """(N, H, W, C) of 0 … 255 to what the network takes: float (N, C, H, W)."""
        # Grey images count as as many equal channels as the network was made for.
        pixels = pixels.expand(*pixels.shape[:3], len(self.mean))
        # Row by row: three channels at a time would fill three lanes of a register.
        rows, width = pixels.to(torch.float32, copy=True).flatten(2), pixels.shape[2]
        mean, scale = (each.expand(width, -1).flatten() for each in (self.mean, self.scale))
        rows.sub_(mean).mul_(scale)
        # The permuted view of an (N, H, W, C) array is torch's channels-last layout, for free.
        return rows.view(pixels.shape).permute(0, 3, 1, 2)
