"""A network and images to logits."""

import numpy as np
import torch
from torch import Tensor, nn

from tinyscope.data.batches import Source
from tinyscope.models.transfer import side_of

BATCH = 512
"""Images at a time, where the network computes at up to 64x64 pixels: as fast as larger batches,
and small networks then need less than 1 GB."""


def predict_logits(network: nn.Module, images: Source, *, precision: str) -> Tensor:
    """What the network answers for every image, in their order.

    Args:
        network: takes pixels (n, H, W, C), or features (n, F); it is put into evaluation mode and
            left there.
        images: on the network's device.
        precision: "bf16" or "fp32", of the arithmetic.

    Returns:
        float32 (N, K) on the network's device.
    """
    network.eval()
    at_once = images.at_once(BATCH, side=side_of(network))
    with torch.inference_mode():
        return torch.cat(
            [
                forward(network, pixels, precision=precision).float()
                for pixels, _ in images.in_order(at_once)
            ]
        )


def forward(network: nn.Module, pixels: Tensor, *, precision: str) -> Tensor:
    """One pass in the given precision; logits (n, K) as the arithmetic leaves them."""
    with torch.autocast(pixels.device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits: Tensor = network(pixels)
    return logits


def as_array(logits: Tensor) -> np.ndarray:
    """Logits as float32 numpy array (N, K)."""
    return logits.cpu().numpy()
