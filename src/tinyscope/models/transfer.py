"""transfer: a network that knows images already, and a classifier that tells new classes by it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinyscope.errors import InputError
from tinyscope.models.pixel_input import PixelInput


class TransferNetwork(nn.Module):
    """A backbone whose features a head reads.

    What is frozen of the backbone stays as it is in training too, and its dropout is off. All its
    batch norms keep their averages, those of blocks that are trained as well: the statistics of
    small batches of other images would change every feature before anything is learnt, and a head
    that was trained on the frozen backbone would be of no use.

    Args:
        backbone: float (N, C, H, W) to maps (N, F, h, w) or vectors (N, F).
        head: vectors to logits (N, K).
        size: pixels that the shorter side of an image is brought to; None leaves it as it is.
        pooling: "mean", "max" or "flatten", what becomes of a map.
    """

    def __init__(
        self, backbone: nn.Module, head: nn.Module, *, size: int | None, pooling: str
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.size = size
        self.pooling = pooling

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W), normalized as the backbone has it, to vectors (N, F)."""
        if self.size is not None:
            images = resized(images, self.size)
        return pooled(self.backbone(images), self.pooling)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W), normalized as the backbone has it, to logits (N, K)."""
        logits: Tensor = self.head(self.features(images))
        return logits

    def train(self, mode: bool = True) -> "TransferNetwork":
        """As of any module, but for what is frozen."""
        super().train(mode)
        for module in self.backbone.modules():
            learns = any(each.requires_grad for each in module.parameters())
            if not learns or isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.training = False
        return self

    def freeze(self, blocks: Sequence[Sequence[str]], *, unfrozen: int) -> None:
        """Leaves only the last blocks of the backbone trainable, and the head.

        A parameter that does not learn in the backbone's own training does not here either.

        Args:
            blocks: the modules or parameters of each block by name, from input to output.
            unfrozen: how many of them are trained, from the last.

        Raises:
            InputError: there are fewer blocks.
        """
        if unfrozen > len(blocks):
            raise InputError(
                f"unfrozen_blocks = {unfrozen}: this backbone has {len(blocks)} blocks; expected "
                f"0 to {len(blocks)}."
            )
        prefixes = [prefix for block in blocks[len(blocks) - unfrozen :] for prefix in block]
        for name, parameter in self.backbone.named_parameters():
            inside = any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)
            parameter.requires_grad_(parameter.requires_grad and inside)


class Extractor(nn.Module):
    """What the backbone of a transfer makes of images.

    Args:
        wrapped: a `PixelInput` around a `TransferNetwork`.
    """

    def __init__(self, wrapped: PixelInput) -> None:
        super().__init__()
        self.wrapped = wrapped

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, H, W, C) of 0 … 255 to features (N, F)."""
        network = self.wrapped.network
        assert isinstance(network, TransferNetwork)
        return network.features(self.wrapped.normalized(pixels))


def side_of(network: nn.Module) -> int | None:
    """The shorter side, in pixels, that a network brings images to before it computes.

    None where it leaves them as they are. Of several such sizes, one in another's backbone, it is
    the largest.
    """
    inner = (each.size for each in network.modules() if isinstance(each, TransferNetwork))
    return max((size for size in inner if size is not None), default=None)


def pooled(values: Tensor, pooling: str) -> Tensor:
    """Maps (N, F, h, w) as vectors: (N, F), or (N, F h w) by "flatten"; vectors as they are."""
    if values.dim() == 2:
        return values
    if pooling == "flatten":
        # Channels first, as a published head that follows a flatten layer of torch has it.
        return values.flatten(1)
    return values.mean((2, 3)) if pooling == "mean" else values.amax((2, 3))


def resized(images: Tensor, size: int) -> Tensor:
    """Images (N, C, H, W) with a shorter side of `size` pixels; bilinear, antialiased."""
    height, width = images.shape[2:]
    if min(height, width) == size:
        return images
    share = size / min(height, width)
    sides = [max(1, round(share * side)) for side in (height, width)]
    return F.interpolate(
        images.contiguous(memory_format=torch.channels_last),
        sides,
        mode="bilinear",
        antialias=share < 1,
        align_corners=False,
    )
